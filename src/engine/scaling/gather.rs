//! From answers and outcomes to what a decision looks at.

use super::{
    WorkloadPlan,
    current::Current,
    ledger::Records,
    questions::{self, Answer, Finder, Question, Questions},
};
use crate::{
    decide::{DemandForecast, Incomplete, Inputs, Maximum, Reading, Replicas},
    engine::outcome::Outcome,
    forecast::Trust,
    series::{Millis, Span},
    stats::robust::{normal_quantile, normal_share},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

/// Of some hundred forecasts none is rarer.
const LEAST_SHARE: f64 = 0.001;

/// What is gathered for all workloads.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) inputs: Vec<Inputs>,
    pub(super) about: Vec<About>,
}

/// What readers want to know of what was gathered for one workload.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) notes: Vec<String>,
    pub(super) coverage: Option<f64>,
    pub(super) skill: Option<f64>,
}

/// Knows who wants what.
#[derive(Debug)]
pub(super) struct Gatherer {
    questions: Questions,
    /// To each question the newest answer there was: one that is late or lost leaves the one before in force, whose age
    /// is known.
    answers: Vec<Option<Answer>>,
    wants: Vec<Wants>,
    current: Current,
    shapes: Shapes,
}

/// Of the newest outcomes that workloads name, the [`questions::shape`] of their series: worked out once for each, as
/// decisions are made more often than outcomes.
#[derive(Debug, Default)]
struct Shapes(HashMap<Arc<str>, (Weak<Outcome>, u64)>);

impl Shapes {
    fn of(&mut self, outcome: &Arc<Outcome>) -> u64 {
        let this = Arc::downgrade(outcome);
        if let Some((known, shape)) = self.0.get(&outcome.unit)
            && known.ptr_eq(&this)
        {
            return *shape;
        }
        let shape = questions::shape(outcome.series.iter().map(|one| &one.labels));
        self.0.insert(Arc::clone(&outcome.unit), (this, shape));
        shape
    }
}

/// What one workload wants to know, as places among the questions.
#[derive(Debug)]
struct Wants {
    plan: WorkloadPlan,
    demand: usize,
    /// Labels of the series of its demand; none where the answer has one series anyway.
    demand_match: BTreeMap<String, String>,
    complete: Option<usize>,
    /// The newest demand that was measured as a whole.
    whole: Option<Reading>,
    /// The newest that could be.
    believed: Option<Reading>,
    ready: Option<usize>,
    wanted: Option<usize>,
    utilisation: Option<usize>,
    queue: Option<usize>,
    host: Option<usize>,
    /// The windows of its own, and the longest of those that a lead time may ask for.
    windows: Vec<Span>,
    reach: Span,
    /// Where its series is among the demand's answer, and among the series of its signal.
    asked: Finder,
    forecast: Finder,
}

// === impl Gatherer ===

impl Gatherer {
    pub(super) fn new(plans: &[WorkloadPlan]) -> Self {
        let mut questions = Questions::default();
        let wants = plans.iter().map(|plan| Wants::new(plan, &mut questions));
        let wants: Vec<Wants> = wants.collect();
        let rules = plans.iter().flat_map(|plan| &plan.rules);
        Self {
            answers: vec![None; questions.0.len()],
            current: Current::new(rules),
            shapes: Shapes::default(),
            questions,
            wants,
        }
    }

    /// There are these signals, whether they have outcomes or not.
    pub(super) fn know(&mut self, signals: impl IntoIterator<Item = Arc<str>>) {
        self.current.know(signals);
    }

    pub(super) fn questions(&self) -> &[Question] {
        &self.questions.0
    }

    pub(super) fn gather(
        &mut self,
        at: Millis,
        answers: Vec<Option<Answer>>,
        outcomes: &[Arc<Outcome>],
        records: &Records,
    ) -> Gathered {
        for (known, new) in self.answers.iter_mut().zip(answers) {
            if new.is_some() {
                *known = new;
            }
        }
        self.current.take(outcomes);
        let mut gathered = Gathered {
            inputs: Vec::with_capacity(self.wants.len()),
            about: Vec::with_capacity(self.wants.len()),
        };
        for wants in &mut self.wants {
            let mut about = About::default();
            let mut inputs = wants.readings(at, &self.answers, &mut about.notes);
            let signal = &wants.plan.settings.demand.signal;
            match outcomes.iter().find(|one| *one.unit == **signal) {
                Some(outcome) => {
                    let shape = self.shapes.of(outcome);
                    inputs.forecast = wants.forecast(outcome, shape, &mut about);
                }
                None => about
                    .notes
                    .push(format!("the signal {signal} has no newest outcome")),
            }
            let rules = wants.plan.rules.iter().zip(&wants.plan.settings.rules);
            let (current, notes) = (&mut self.current, &mut about.notes);
            let judged = rules.map(|(rule, own)| current.judge(at, rule, own.scale < 1.0, notes));
            inputs.rules = judged.collect();
            inputs.events = Arc::clone(&records.events);
            inputs.overrides = Arc::clone(&records.overrides);
            gathered.inputs.push(inputs);
            gathered.about.push(about);
        }
        gathered
    }
}

impl Wants {
    fn new(plan: &WorkloadPlan, questions: &mut Questions) -> Self {
        let settings = &plan.settings;
        let (demand, demand_match) = match &settings.demand.query {
            Some(query) => (questions.one(plan.asked, query), BTreeMap::new()),
            None => (
                questions.place(plan.source, &plan.query, plan.max_series),
                settings.demand.r#match.clone(),
            ),
        };
        let mut one = |query: Option<&str>| query.map(|query| questions.one(plan.asked, query));
        let complete = settings.demand.complete.as_ref();
        let replicas = settings.replicas.as_ref();
        Self {
            demand,
            demand_match,
            complete: one(complete.map(|complete| complete.query.as_str())),
            whole: None,
            believed: None,
            ready: one(replicas.map(|replicas| replicas.query.as_str())),
            wanted: one(replicas.and_then(|replicas| replicas.wanted.as_deref())),
            utilisation: one(settings.utilisation().map(|(_, query)| query)),
            queue: one(settings.queue.as_ref().map(|queue| queue.query.as_str())),
            host: one(settings.emergency.as_ref().map(|host| host.host.as_str())),
            windows: settings.windows(plan.step),
            reach: settings.reach(plan.step),
            asked: Finder::default(),
            forecast: Finder::default(),
            plan: plan.clone(),
        }
    }

    /// What the sources answered.
    fn readings(
        &mut self,
        at: Millis,
        answers: &[Option<Answer>],
        notes: &mut Vec<String>,
    ) -> Inputs {
        let measured = match &answers[self.demand] {
            None => {
                notes.push("the demand was never answered".to_owned());
                None
            }
            Some(answer) => {
                let series = &answer.matrix.series;
                let labels = series.iter().map(|one| &one.labels);
                let found = self.asked.find(&self.demand_match, answer.shape(), labels);
                match found {
                    Ok(place) => reading(answer, place),
                    Err(count) => {
                        notes.push(format!(
                            "{count} series of the demand match, and one is needed: see demand.match"
                        ));
                        None
                    }
                }
            }
        };
        let measured = self.believable(measured, notes);
        let mut one = |what: &str, place: Option<usize>| {
            let answer = answers[place?].as_ref()?;
            if answer.matrix.series.len() > 1 {
                let count = answer.matrix.series.len();
                notes.push(format!(
                    "the query of {what} answers with {count} series, and one is needed"
                ));
                return None;
            }
            reading(answer, 0)
        };
        let share = one("demand.complete.query", self.complete);
        let ready = one("replicas.query", self.ready);
        let oldest = self.plan.settings.replicas.as_ref();
        let oldest = oldest.map_or(Millis::MIN, |own| at - own.max_age.as_millis());
        let wanted = one("replicas.wanted", self.wanted);
        let wanted = wanted.filter(|wanted| wanted.at >= oldest);
        let wanted = wanted.and_then(|wanted| whole(wanted.value));
        let ready = ready.and_then(|reading| Some((reading.at, whole(reading.value)?)));
        let utilisation = one("utilisation", self.utilisation);
        let queue = one("queue.query", self.queue);
        let host = one("emergency.host", self.host);
        let (demand, incomplete) = self.completed(measured, share);
        if let Some(incomplete) = incomplete {
            notes.push(format!("the demand of now: {incomplete}"));
        }
        Inputs {
            demand,
            incomplete,
            replicas: ready.map(|(at, ready)| Replicas { at, ready, wanted }),
            utilisation,
            queue,
            host,
            ..Inputs::default()
        }
    }

    /// What was measured, or where that is less than can be the newest that could, until it is too old: what nobody believes
    /// must not make a workload smaller. More than can be is what was measured: whoever scales without us goes by it too.
    fn believable(
        &mut self,
        measured: Option<Reading>,
        notes: &mut Vec<String>,
    ) -> Option<Reading> {
        let reading = measured?;
        if self.plan.bounds.allow(reading.value as f32) {
            self.believed = measured;
            return measured;
        }
        notes.push(format!(
            "the demand of now, {}, cannot be by range or validate.unit of the signal {}",
            reading.value, self.plan.settings.demand.signal
        ));
        let is_more = f64::from(self.plan.bounds.clip(reading.value as f32)) < reading.value;
        if is_more { measured } else { self.believed }
    }

    /// The newest demand that was measured as a whole, and why that is not what was measured now. As with an answer that
    /// says it is partial, the one before holds until it is too old: one scrape that fails is no reason to recommend nothing.
    fn completed(
        &mut self,
        measured: Option<Reading>,
        share: Option<Reading>,
    ) -> (Option<Reading>, Option<Incomplete>) {
        let Some(complete) = &self.plan.settings.demand.complete else {
            return (measured, None);
        };
        let Some(measured) = measured else {
            return (self.whole, None);
        };
        // A share of another time says nothing of this one.
        let share = share.filter(|share| share.at == measured.at);
        let share = share.map(|share| share.value);
        if share.is_some_and(|share| share >= complete.min) {
            self.whole = Some(measured);
        }
        let is_whole = self.whole == Some(measured);
        let incomplete = Incomplete {
            share,
            least: complete.min,
        };
        (self.whole, (!is_whole).then_some(incomplete))
    }

    /// What the newest outcome of its signal says of the future.
    fn forecast(
        &mut self,
        outcome: &Outcome,
        shape: u64,
        about: &mut About,
    ) -> Option<Arc<DemandForecast>> {
        let settings = &self.plan.settings;
        let (series, wanted) = (&outcome.series, &settings.demand.r#match);
        let labels = series.iter().map(|one| &one.labels);
        let place = match self.forecast.find(wanted, shape, labels) {
            Ok(place) => place,
            Err(count) => {
                let signal = &outcome.unit;
                about.notes.push(format!(
                    "{count} series of the signal {signal} match, and one is needed: see demand.match"
                ));
                return None;
            }
        };
        let level = settings.level();
        let at_level = |own: &&f32| (f64::from(**own) - level).abs() < 1e-6;
        let Some(column) = outcome.levels.iter().position(|own| at_level(&own)) else {
            let signal = &outcome.unit;
            let note = format!("the signal {signal} does not forecast the level {level} yet");
            about.notes.push(note);
            return None;
        };
        let (windows, levels) = (outcome.windows.len(), outcome.levels.len());
        // Others have windows of their own on the same signal.
        let own = outcome.windows.iter().enumerate();
        let own = own.filter(|(_, horizon)| self.windows.contains(&horizon.span));
        let own = own.map(|(window, horizon)| (place * windows + window, horizon.span));
        let own: Vec<(usize, Span)> = own.collect();
        let maxima = own.iter().filter_map(|(cell, span)| {
            Some(Maximum {
                ahead: span.as_millis(),
                expected: f64::from(outcome.maxima.get(*cell)?.expected),
                quantile: f64::from(*outcome.tails.get(cell * levels + column)?),
            })
        });
        let maxima: Vec<Maximum> = maxima.collect();
        // Some of them missing is for the decision to judge: a shorter window is not the one it needs.
        if maxima.iter().all(|one| one.quantile.is_nan()) {
            about.notes.push(format!(
                "the signal {} has no forecast of this series yet",
                outcome.unit
            ));
            return None;
        }
        let trusts = || {
            let lead = own.iter().filter(|(_, span)| *span <= self.reach);
            lead.filter_map(|(cell, _)| outcome.tail_trust.get(*cell)?.as_ref())
        };
        // The window that counts depends on the lead time: the worst of those that it may be.
        let coverages = trusts().map(|trust| self.coverage(level, trust));
        about.coverage = coverages.min_by(f64::total_cmp);
        let trust = trusts().next();
        let skill = trust.map(|trust| f64::from(trust.skill_ratio));
        about.skill = skill.filter(|skill| skill.is_finite());
        let one = &series[place];
        // What is not believed says nothing against the forecast, which has not learned from it.
        let doubt = outcome.doubt(&one.labels);
        if let Some(finding) = doubt {
            about.notes.push(format!(
                "the series of the demand in the signal {} is not believed ({}): {}",
                outcome.unit,
                finding.reason(),
                finding.advice()
            ));
        }
        let is_active = one.active && doubt.is_none();
        Some(Arc::new(DemandForecast {
            generated: outcome.at,
            step: self.plan.step.as_millis(),
            level,
            maxima,
            coverage: about.coverage,
            skill: about.skill,
            anomaly: if is_active { one.direction } else { 0 },
            // Of a signal of one series the median over its series is that of this one.
            drift: outcome.drift.map(f64::from).filter(|_| series.len() == 1),
        }))
    }

    /// Share of greatest values at or below the quantile at `level`: measured at the upper end of the signal's interval, and
    /// moved from there in standard deviations of a normal variable, as misses lie closer together in the tail.
    fn coverage(&self, level: f64, trust: &Trust) -> f64 {
        let measured_at = (1.0 + self.plan.interval) / 2.0;
        let below = f64::from(trust.below_ratio).clamp(LEAST_SHARE, 1.0 - LEAST_SHARE);
        let shift = normal_quantile(below) - normal_quantile(measured_at);
        normal_share(normal_quantile(level) + shift)
    }
}

fn reading(answer: &Answer, place: usize) -> Option<Reading> {
    let (_, value) = answer.matrix.series.get(place)?.samples.last()?;
    let at = answer.at;
    value.is_finite().then_some(Reading { at, value: *value })
}

/// A number of replicas.
fn whole(value: f64) -> Option<u32> {
    let rounded = value.round();
    (0.0..=f64::from(u32::MAX))
        .contains(&rounded)
        .then_some(rounded as u32)
}
