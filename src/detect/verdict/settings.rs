//! What a user sets of verdicts: alert hygiene and severities.

use super::{super::Problems, MOST_BEGINS, MOST_WITHIN};
use crate::series::{Grid, Span};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::fmt;

/// Which side of the expected value may be anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Both.
    #[default]
    Both,
    /// Only values above.
    Above,
    /// Only values below.
    Below,
}

/// Two samples at the default step of a minute: one bad scrape is no incident.
const USUAL_HOLD: Span = Span::minutes(2);
/// Long enough that an incident that pauses is still one.
const USUAL_RECOVERY: Span = Span::minutes(5);
/// Half an hour is about what it takes to look at an alert.
const USUAL_REFRACTORY: Span = Span::minutes(30);
/// The same in steps: on coarse grids noise needs as many of them to calm down.
const USUAL_RECOVERY_STEPS: usize = 3;
const USUAL_REFRACTORY_STEPS: usize = 24;
const USUAL_ADAPTATION_STEPS: usize = 24;
/// Hold, recovery and refractory period of the usual lengths make a cycle of 37 minutes: three of them
/// within this are no chance.
const USUAL_FLAPPING: Span = Span::minutes(180);
/// Longer than a pause between two of its bursts.
const USUAL_CALM: Span = Span::minutes(60);

/// Long enough for an outage that lasts a night, short enough that a shift at a release is normal before the next one.
const USUAL_ADAPTATION: Span = Span::days(1);

/// Alert hygiene. Spans are counted in steps: one sample stands for one step, and a span that is not a
/// whole number of steps is rounded up. Spans that are left out have usual lengths, shortened by
/// [`AlertingSettings::fitted`] where that is needed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertingSettings {
    /// Which side of the expected value may be anomalous.
    pub direction: Side,
    /// A value nearer to the expected one than this is never anomalous; in the unit of the signal.
    pub min_deviation: PerSide,
    /// A value nearer to the expected one than this share of it is never anomalous.
    pub min_relative_deviation: PerSide,
    /// Where both the value and the expected one are smaller than this, nothing is anomalous: three errors
    /// instead of one are no news. In the unit of the signal.
    pub min_volume: f64,
    /// A verdict begins when values were anomalous for so long, on the same side.
    #[serde(rename = "for")]
    pub hold: Option<Span>,
    /// The anomalous values of `for` need not be in a row, but lie within so long; at most 64 steps.
    /// Left out: in a row.
    pub within: Option<Span>,
    /// A verdict ends when values were ordinary (below `recover_below`) for so long.
    pub recover_for: Option<Span>,
    /// After a verdict ended no other begins for so long, unless it is more severe.
    pub refractory: Option<Span>,
    /// The score below which a value counts as ordinary again.
    pub recover_below: f64,
    /// When a verdict that comes and goes stays on.
    pub flapping: Flapping,
    /// While a verdict is on nothing is learned of its series for so long, and no longer than half of what was
    /// seen of the series before: an outage does not become normal, a shift that stays does. 0 for never.
    pub adapt_after: Option<Span>,
    /// How many alarms a series may have before its bounds widen; left out: any number.
    pub budget: Option<Budget>,
    /// A series has no verdict before it has shown so many of its longest season (a day where none is
    /// known).
    pub warm_up_seasons: f64,
}

/// A least deviation: one number for both sides, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PerSide {
    /// For values above the expected one.
    pub above: f64,
    /// For values below the expected one.
    pub below: f64,
}

impl<'de> Deserialize<'de> for PerSide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PerSideVisitor)
    }
}

struct PerSideVisitor;

impl<'de> Visitor<'de> for PerSideVisitor {
    type Value = PerSide;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or {above: number, below: number}")
    }

    fn visit_f64<E: de::Error>(self, both: f64) -> Result<PerSide, E> {
        Ok(both.into())
    }

    fn visit_u64<E: de::Error>(self, both: u64) -> Result<PerSide, E> {
        Ok((both as f64).into())
    }

    fn visit_i64<E: de::Error>(self, both: i64) -> Result<PerSide, E> {
        Ok((both as f64).into())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<PerSide, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Sides {
            #[serde(default)]
            above: f64,
            #[serde(default)]
            below: f64,
        }
        let Sides { above, below } =
            Sides::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(PerSide { above, below })
    }
}

impl From<f64> for PerSide {
    fn from(both: f64) -> Self {
        Self {
            above: both,
            below: both,
        }
    }
}

impl PerSide {
    pub(super) fn on(self, above: bool) -> f64 {
        if above { self.above } else { self.below }
    }
}

/// A verdict that comes and goes stays on until it has been calm for long: one long alert is read, ten
/// short ones are muted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flapping {
    /// So many verdicts begun within [`Flapping::within`] are flapping: 2 to 4; 0 for never.
    pub begins: usize,
    /// The span in which they are counted.
    pub within: Option<Span>,
    /// While flapping, a verdict ends only when values were ordinary for so long.
    pub recover_for: Option<Span>,
}

/// So many alarms a series may have in so long; with more its scores are divided by more than 1 (see
/// [`Budget::factor`]) until it has been calm for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// So many verdicts may begin.
    pub alarms: f64,
    /// In so long.
    pub per: Span,
}

/// Alarms over the budget that count: with more, a series would be deaf for longer than anyone expects.
const MOST_OVER_BUDGET: f64 = 2.0;
/// What one alarm over the budget adds to the factor. The greatest factor is 2: what is critical, twice the threshold,
/// always gets through.
const WIDENING: f64 = 0.5;

impl Budget {
    /// A budget of which `spent` alarms are used, a step later (`began`: with an alarm more).
    pub fn step(&self, spent: f64, began: bool, grid: Grid) -> f64 {
        let paid_back = self.alarms * grid.step() as f64 / self.per.as_millis() as f64;
        let spent = (spent - paid_back).max(0.0) + f64::from(u8::from(began));
        spent.min(self.alarms + MOST_OVER_BUDGET)
    }

    /// What scores are divided by: 1 within the budget, half as much again for each alarm over it, at most 2.
    pub fn factor(&self, spent: f64) -> f32 {
        (1.0 + WIDENING * (spent - self.alarms).clamp(0.0, MOST_OVER_BUDGET)) as f32
    }

    fn validate(&self) -> Problems {
        let mut problems = Vec::new();
        if !(self.alarms.is_finite() && self.alarms >= 1.0) {
            let text = format!("{} is not allowed; allowed: 1 or more", self.alarms);
            problems.push(("budget.alarms".into(), text));
        }
        if self.per.as_millis() <= 0 {
            let text = format!("{} is not allowed; allowed: longer than 0s", self.per);
            problems.push(("budget.per".into(), text));
        }
        problems
    }
}

impl Default for Flapping {
    fn default() -> Self {
        Self {
            begins: 3,
            within: None,
            recover_for: None,
        }
    }
}

impl Flapping {
    /// The span in which begins are counted: as given, or the usual one.
    pub fn within(&self) -> Span {
        self.within.unwrap_or(USUAL_FLAPPING)
    }

    /// How long values must be ordinary while flapping: as given, or the usual span.
    pub fn recover_for(&self) -> Span {
        self.recover_for.unwrap_or(USUAL_CALM)
    }

    /// Spans that were left out, shortened to a half of `memory` steps for counting, a quarter for calm.
    fn fitted(&self, grid: Grid, memory: usize) -> Self {
        let span = |steps: usize| Span::millis(grid.step().saturating_mul(steps.max(1) as i64));
        let within = self.within.unwrap_or(USUAL_FLAPPING.min(span(memory / 2)));
        let calm = self.recover_for.unwrap_or(USUAL_CALM.min(span(memory / 4)));
        Self {
            begins: self.begins,
            within: Some(within),
            recover_for: Some(calm),
        }
    }
}

impl Default for AlertingSettings {
    fn default() -> Self {
        Self {
            direction: Side::Both,
            min_deviation: PerSide::default(),
            min_relative_deviation: PerSide::default(),
            min_volume: 0.0,
            hold: None,
            within: None,
            recover_for: None,
            refractory: None,
            // Below the threshold, so that a value that hovers around it does not flap.
            recover_below: 0.8,
            flapping: Flapping::default(),
            adapt_after: None,
            budget: None,
            warm_up_seasons: 0.0,
        }
    }
}

impl AlertingSettings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = Vec::new();
        let (least, relative) = (self.min_deviation, self.min_relative_deviation);
        let not_negative = [
            ("min_deviation", least.above),
            ("min_deviation", least.below),
            ("min_relative_deviation", relative.above),
            ("min_relative_deviation", relative.below),
            ("min_volume", self.min_volume),
            ("warm_up_seasons", self.warm_up_seasons),
        ];
        for (field, value) in not_negative {
            let text = format!("{value} is not allowed; allowed: 0 or more");
            let problem = (field.to_owned(), text);
            let allowed = value.is_finite() && value >= 0.0;
            if !allowed && !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        let hold = self.hold();
        if let Some(within) = self.within.filter(|within| *within < hold) {
            let text = format!("{within} is shorter than `for` ({hold})");
            problems.push(("within".into(), text));
        }
        if !matches!(self.flapping.begins, 0 | 2..=MOST_BEGINS) {
            let text = format!(
                "{} is not allowed; allowed: 0 (never) or 2 to {MOST_BEGINS}",
                self.flapping.begins
            );
            problems.push(("flapping.begins".into(), text));
        }
        problems.extend(self.budget.iter().flat_map(Budget::validate));
        if !(self.recover_below > 0.0 && self.recover_below <= 1.0) {
            let text = format!(
                "{} is not allowed; allowed: above 0, up to 1",
                self.recover_below
            );
            problems.push(("recover_below".into(), text));
        }
        problems
    }

    /// How long values must be anomalous: as given, or the usual span.
    pub fn hold(&self) -> Span {
        self.hold.unwrap_or(USUAL_HOLD)
    }

    /// How long values must be ordinary: as given, or the usual span.
    pub fn recover_for(&self) -> Span {
        self.recover_for.unwrap_or(USUAL_RECOVERY)
    }

    /// How long no other verdict begins: as given, or the usual span.
    pub fn refractory(&self) -> Span {
        self.refractory.unwrap_or(USUAL_REFRACTORY)
    }

    /// How long nothing is learned while a verdict is on: as given, or the usual span.
    pub fn adapt_after(&self, grid: Grid) -> Span {
        let steps = grid.step().saturating_mul(USUAL_ADAPTATION_STEPS as i64);
        self.adapt_after
            .unwrap_or(USUAL_ADAPTATION.max(Span::millis(steps)))
    }

    /// The settings with which verdicts tell what is not to be learned: on either side, and ready for the next as
    /// soon as one ended.
    pub fn for_learning(&self) -> Self {
        Self {
            direction: Side::Both,
            refractory: Some(Span::millis(0)),
            flapping: Flapping {
                begins: 0,
                ..Flapping::default()
            },
            ..self.clone()
        }
    }

    /// The settings with every span written out, for verdicts that are re-derived from `memory` steps of
    /// `grid`. Spans that were left out are shortened to what that past can show: up to a third for
    /// the beginning and for the end of a verdict, and what is left for the refractory period.
    pub fn fitted(&self, grid: Grid, memory: usize) -> Self {
        let span = |steps: usize| Span::millis(grid.step().saturating_mul(steps as i64));
        let third = span((memory / 3).max(1));
        let hold = self.hold.unwrap_or(USUAL_HOLD.min(third));
        let usual = USUAL_RECOVERY.max(span(USUAL_RECOVERY_STEPS));
        let recover_for = self.recover_for.unwrap_or(usual.min(third));
        let judged = steps(grid, hold) + steps(grid, recover_for);
        let left = span(memory.saturating_sub(judged));
        let usual = USUAL_REFRACTORY.max(span(USUAL_REFRACTORY_STEPS));
        Self {
            hold: Some(hold),
            recover_for: Some(recover_for),
            refractory: Some(self.refractory.unwrap_or(usual.min(left))),
            flapping: self.flapping.fitted(grid, memory),
            adapt_after: Some(self.adapt_after(grid)),
            ..self.clone()
        }
    }

    /// Steps of judged past that show all of a refractory period: a verdict's beginning and end, and the
    /// period after it. Re-derived from fewer, a verdict may begin again too early.
    pub fn memory(&self, grid: Grid) -> usize {
        let spans = [self.hold(), self.recover_for()].map(|span| steps(grid, span));
        spans.iter().sum::<usize>() + grid.steps_up(self.refractory().as_millis())
    }

    /// Problems where nothing holds learning back and widens bounds; `why` that is.
    pub fn refuse_restraint(&self, why: &str) -> Problems {
        let given = [
            ("adapt_after", self.adapt_after.is_some()),
            ("budget", self.budget.is_some()),
        ];
        let given = given.iter().filter(|(_, given)| *given);
        given
            .map(|(key, _)| ((*key).to_owned(), why.to_owned()))
            .collect()
    }

    /// What is wrong with the spans on this grid, where verdicts are re-derived from `memory` steps: what
    /// they do not show, a restart would forget.
    pub fn validate_on(&self, grid: Grid, memory: usize) -> Problems {
        let mut problems = Vec::new();
        let span = |steps: usize| Span::millis(grid.step().saturating_mul(steps as i64));
        if let Some(within) = self.within
            && steps(grid, within) > MOST_WITHIN as usize
        {
            let most = span(MOST_WITHIN as usize);
            let text = format!("{within} is too long; allowed: up to {most} ({MOST_WITHIN} steps)");
            problems.push(("within".into(), text));
        }
        let flapping = &self.flapping;
        if self.flapping_memory(grid) > memory
            && (flapping.within.is_some() || flapping.recover_for.is_some())
        {
            let (within, calm, most) = (flapping.within(), flapping.recover_for(), span(memory));
            let text = format!(
                "within ({within}) and recover_for ({calm}) must fit together into {most}, as a restart would forget the rest"
            );
            problems.push(("flapping".into(), text));
        }
        problems
    }

    /// Steps of judged past that show a flapping verdict.
    fn flapping_memory(&self, grid: Grid) -> usize {
        if self.flapping.begins == 0 {
            return 0;
        }
        steps(grid, self.flapping.within()) + steps(grid, self.flapping.recover_for())
    }
}

fn steps(grid: Grid, span: Span) -> usize {
    grid.steps_up(span.as_millis()).max(1)
}

/// Score thresholds of the severities. A score below `info` is not anomalous.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeverityThresholds {
    /// From here on: 1.
    pub info: f64,
    /// From here on: 2.
    pub warning: f64,
    /// From here on: 3.
    pub critical: f64,
    /// From here on: 4.
    pub emergency: f64,
}

impl Default for SeverityThresholds {
    fn default() -> Self {
        Self {
            info: 1.0,
            warning: 1.5,
            critical: 2.0,
            emergency: 3.0,
        }
    }
}

impl SeverityThresholds {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let rising = [
            ("info", self.info),
            ("warning", self.warning),
            ("critical", self.critical),
            ("emergency", self.emergency),
        ];
        let mut problems = Vec::new();
        if !(self.info.is_finite() && self.info >= 1.0) {
            let text = format!(
                "{} is not allowed; allowed: 1 or more (1 is the threshold of every detector)",
                self.info
            );
            problems.push(("info".into(), text));
        }
        for pair in rising.windows(2) {
            let [(lower, least), (field, value)] = [pair[0], pair[1]];
            if !(value.is_finite() && value >= least) {
                problems.push((
                    field.into(),
                    format!("{value} is not allowed; allowed: {least} (that is `{lower}`) or more"),
                ));
            }
        }
        problems
    }

    pub(super) fn of(&self, score: f32) -> i8 {
        let score = f64::from(score);
        let reached = [self.info, self.warning, self.critical, self.emergency]
            .iter()
            .filter(|&&threshold| score >= threshold)
            .count();
        reached as i8
    }
}
