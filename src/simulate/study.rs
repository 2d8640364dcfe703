//! Every policy over one trace, and what that says of ours.

use super::{
    Demand, Foresight, Frontier, Kind, Parameters, Point, Score, Trace,
    autoscaler::Settings,
    parameters::HpaPoint,
    policy::{Crane, Fixed, Hpa, Naive, Oracle, Ours, Phpa, Policy, Smoothing},
    run::{Course, Part, autoscaler, following, guarded},
};
use crate::series::Span;
use rayon::prelude::*;
use serde::Serialize;

/// Smoothing constants that the Holt-Winters of replicas is tuned over.
const SMOOTHINGS: [f64; 3] = [0.1, 0.3, 0.9];

/// One policy at one setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Of the policy.
    pub name: String,
    /// How it was set.
    pub setting: String,
    /// What it came to.
    pub score: Score,
}

/// What came of one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Name of the trace.
    pub trace: String,
    /// What may be asked of a policy there.
    pub kind: Kind,
    /// Days that are scored.
    pub days: f64,
    /// What one replica serves, in the trace's unit.
    pub capacity: f64,
    /// Size of the negative binomial that is drawn from; absent: Poisson alone.
    pub size: Option<f64>,
    /// Share of minutes for which we have a forecast.
    pub forecast_ratio: f64,
    /// Every policy at its own setting.
    pub rows: Vec<Row>,
    /// Policies swept over their knob.
    pub frontiers: Vec<Frontier>,
    /// Ours beside the others.
    pub comparison: Comparison,
}

/// Ours beside the HPA: on the frontiers, and at the level that the costs give. All ratios are of ours by theirs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// Where the tuned HPA is.
    pub tuned: Beside,
    /// Where ours is at its own level: of ours by the best HPA with as many replica-hours, and with as many violations.
    pub own: Beside,
    /// Where the HPA has a hundredth of the minutes violated.
    pub hundredth: Beside,
    /// Where it has a thousandth.
    pub thousandth: Beside,
    /// Replica-hours of ours at its level by those of the tuned HPA.
    pub hours: f64,
    /// Violations; `None` where the tuned HPA has none.
    pub violations: Option<f64>,
    /// Mean of the days' longest queues; `None` where the tuned HPA has none.
    pub queue: Option<f64>,
    /// Cost by that of a static size for the peak.
    pub cost_of_static: f64,
    /// Share of peaks for which enough was ready.
    pub prewarmed: f64,
    /// The same of the tuned HPA.
    pub prewarmed_hpa: f64,
}

/// Our frontier beside one point of the HPA's. `None` where our frontier has no such point, or theirs has not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Beside {
    /// Violations with no more replica-hours.
    pub violations: Option<f64>,
    /// Replica-hours with no more violations.
    pub hours: Option<f64>,
}

/// Runs every policy over `trace`. `progress` is told what is under way and the share done, 0 to 1.
///
/// # Errors
/// A trace that cannot be used.
pub fn study(
    trace: &Trace,
    parameters: &Parameters,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<Outcome, String> {
    let demand = Demand::draw(trace, parameters)?;
    progress(&trace.name, 0.0);
    let foresight = Foresight::walk(&demand, parameters, &|share| {
        progress(&trace.name, share * 0.7)
    })?;
    let bench = Bench {
        course: Course::new(&demand, parameters),
        demand: &demand,
        parameters,
        foresight: &foresight,
    };
    let mut outcome = bench.outcome(trace)?;
    outcome.forecast_ratio = foresight.known();
    progress(&trace.name, 1.0);
    Ok(outcome)
}

/// Everything a trace is judged with.
struct Bench<'a> {
    course: Course<'a>,
    demand: &'a Demand,
    parameters: &'a Parameters,
    foresight: &'a Foresight,
}

/// The HPA of every target, with what else suits it best on the first part.
struct Tuned {
    best: HpaPoint,
    by_target: Vec<HpaPoint>,
    all: Vec<HpaPoint>,
}

impl Bench<'_> {
    fn outcome(&self, trace: &Trace) -> Result<Outcome, String> {
        let tuned = self.tune();
        let frontiers = self.frontiers(&tuned)?;
        let mut rows = self.singles(&tuned);
        let own = ["ours", "seasonal naive", "crane", "phpa"];
        for frontier in frontiers
            .iter()
            .filter(|one| own.contains(&one.name.as_str()))
        {
            rows.extend(self.chosen(frontier));
        }
        let days = (self.demand.ticks.len() - self.demand.split) as f64
            * self.parameters.tick_hours()
            / 24.0;
        Ok(Outcome {
            trace: trace.name.clone(),
            kind: trace.kind,
            days,
            capacity: self.demand.capacity,
            size: self.demand.size.is_finite().then_some(self.demand.size),
            forecast_ratio: 0.0,
            comparison: compare(&rows, &frontiers),
            rows,
            frontiers,
        })
    }

    /// The best of the grid on the first part.
    fn tune(&self) -> Tuned {
        let points = self.parameters.hpa_grid.points();
        let mut targets = self.parameters.frontier.target.clone();
        targets.extend(&self.parameters.hpa_grid.target);
        targets.sort_by(f64::total_cmp);
        targets.dedup();
        let others = points
            .iter()
            .filter(|point| point.target == points[0].target);
        let all: Vec<HpaPoint> = targets
            .iter()
            .flat_map(|&target| {
                others
                    .clone()
                    .map(move |other| HpaPoint { target, ..*other })
            })
            .collect();
        let tried: Vec<(f64, HpaPoint)> = all
            .par_iter()
            .map(|&point| (self.hpa(&point, Part::First).cost, point))
            .collect();
        let cheapest = |suits: &dyn Fn(&HpaPoint) -> bool| {
            let suitable = tried.iter().filter(|(_, point)| suits(point));
            let best = suitable.min_by(|one, other| one.0.total_cmp(&other.0));
            best.map_or(self.parameters.hpa_default, |(_, point)| *point)
        };
        Tuned {
            all,
            best: cheapest(&|point| self.parameters.hpa_grid.target.contains(&point.target)),
            by_target: targets
                .iter()
                .map(|&target| cheapest(&|point| point.target == target))
                .collect(),
        }
    }

    fn singles(&self, tuned: &Tuned) -> Vec<Row> {
        let peak = self.peak();
        let row = |name: &str, setting: String, score| Row {
            name: name.to_owned(),
            setting,
            score,
        };
        let follow = |policy: &mut dyn Policy| {
            self.course
                .run(following(self.parameters), policy, Part::Second, None)
        };
        let fixed = self.course.run(
            following(self.parameters),
            &mut Fixed(peak),
            Part::Second,
            Some(peak),
        );
        let default = self.parameters.hpa_default;
        vec![
            row("static", format!("{peak} replicas"), fixed),
            row(
                "HPA default",
                told(&default),
                self.hpa(&default, Part::Second),
            ),
            row(
                "HPA tuned",
                told(&tuned.best),
                self.hpa(&tuned.best, Part::Second),
            ),
            row(
                "oracle",
                String::new(),
                follow(&mut Oracle::new(self.demand, self.parameters)),
            ),
        ]
    }

    /// What the busiest minute of the whole trace needs.
    fn peak(&self) -> u32 {
        let minute = self.parameters.ticks(Span::minutes(1));
        let minutes = (0..self.demand.ticks.len()).step_by(minute);
        let busiest = minutes.filter_map(|tick| self.demand.mean(tick, tick + minute));
        (busiest.fold(0.0, f64::max) - 1e-9).ceil().max(1.0) as u32
    }

    fn hpa(&self, point: &HpaPoint, part: Part) -> Score {
        let settings = autoscaler(point, self.parameters);
        self.course
            .run(settings, &mut self.metric(point), part, None)
    }

    fn metric(&self, point: &HpaPoint) -> Hpa {
        Hpa {
            target: point.target,
            window: self.parameters.ticks(point.rate_window),
        }
    }

    fn frontiers(&self, tuned: &Tuned) -> Result<Vec<Frontier>, String> {
        let knobs = &self.parameters.frontier;
        let best = self.metric(&tuned.best);
        let smoothing = self.smoothing(tuned);
        let levels: Vec<usize> = (0..knobs.level.len()).collect();
        // Fails here or nowhere, so that no thread has to.
        Ours::new(self.foresight, 0, self.parameters)?;
        let beside = autoscaler(&tuned.best, self.parameters);
        Ok(vec![
            sweep("HPA", &tuned.all, |point| {
                (point.target, self.hpa(point, Part::Second))
            }),
            sweep("phpa", &tuned.by_target, |point| {
                let mut policy = Phpa::new(self.metric(point), smoothing, self.parameters);
                let settings = autoscaler(point, self.parameters);
                (point.target, self.follow(settings, &mut policy))
            }),
            sweep("crane", &knobs.margin, |&margin| {
                let mut policy = Crane::new(best, margin, self.parameters);
                (margin, self.follow(beside.clone(), &mut policy))
            }),
            sweep("seasonal naive", &knobs.level, |&level| {
                let mut policy = Naive::new(level, self.parameters);
                (level, self.follow(guarded(self.parameters), &mut policy))
            }),
            sweep("ours", &levels, |&place| {
                let score = match Ours::new(self.foresight, place, self.parameters) {
                    Ok(mut policy) => self.follow(guarded(self.parameters), &mut policy),
                    Err(_) => Score::default(),
                };
                (knobs.level[place], score)
            }),
        ])
    }

    fn follow(&self, settings: Settings, policy: &mut dyn Policy) -> Score {
        self.course.run(settings, policy, Part::Second, None)
    }

    /// The smoothing constants that cost least on the first part.
    fn smoothing(&self, tuned: &Tuned) -> Smoothing {
        let constants = SMOOTHINGS
            .iter()
            .flat_map(|&level| SMOOTHINGS.iter().map(move |&season| (level, season)));
        let tried = constants.map(|(level, season)| {
            let trend = 0.01;
            let smoothing = Smoothing {
                level,
                trend,
                season,
            };
            let mut policy = Phpa::new(self.metric(&tuned.best), smoothing, self.parameters);
            let settings = autoscaler(&tuned.best, self.parameters);
            let score = self.course.run(settings, &mut policy, Part::First, None);
            (score.cost, smoothing)
        });
        let all: Vec<(f64, Smoothing)> = tried.collect();
        let best = all
            .into_iter()
            .min_by(|one, other| one.0.total_cmp(&other.0));
        best.map_or(
            Smoothing {
                level: 0.1,
                trend: 0.01,
                season: 0.1,
            },
            |(_, smoothing)| smoothing,
        )
    }

    /// The row of a frontier: at the level that the costs give where its knob is one, else where it costs least.
    fn chosen(&self, frontier: &Frontier) -> Option<Row> {
        let by_level = ["ours", "seasonal naive"].contains(&frontier.name.as_str());
        let point = match by_level {
            true => frontier.at(self.parameters.cost.level()),
            false => frontier.cheapest(),
        }?;
        let knob = match frontier.name.as_str() {
            "crane" => "margin",
            "phpa" => "target",
            _ => "level",
        };
        Some(Row {
            name: frontier.name.clone(),
            setting: format!("{knob} {}", point.knob),
            score: point.score,
        })
    }
}

/// Scores at all knobs, two at a time.
fn sweep<K: Sync>(
    name: &str,
    knobs: &[K],
    score: impl Fn(&K) -> (f64, Score) + Sync + Send,
) -> Frontier {
    let points = knobs.par_iter().map(|knob| {
        let (knob, score) = score(knob);
        Point { knob, score }
    });
    Frontier {
        name: name.to_owned(),
        points: points.collect(),
    }
}

fn told(point: &HpaPoint) -> String {
    let down = match point.down {
        super::parameters::Down::Fast => "fast",
        super::parameters::Down::Slow => "slow",
    };
    format!(
        "{} of {}, {} {down}",
        point.target, point.rate_window, point.stabilisation
    )
}

/// Ours beside the others.
fn compare(rows: &[Row], frontiers: &[Frontier]) -> Comparison {
    let row = |name: &str| {
        let found = rows.iter().find(|row| row.name == name);
        found.map(|row| row.score).unwrap_or_default()
    };
    let (fixed, tuned, own) = (row("static"), row("HPA tuned"), row("ours"));
    let ratio = |one: f64, other: f64| (other > 0.0).then_some(one / other);
    let ours = frontiers.iter().find(|one| one.name == "ours");
    let hpa = frontiers.iter().find(|one| one.name == "HPA");
    let beside = |hours: Option<f64>, violations: f64| Beside {
        violations: hours
            .and_then(|hours| ours?.violations_at(hours))
            .and_then(|own| ratio(own, violations)),
        hours: hours
            .zip(ours.and_then(|ours| ours.replica_hours_at(violations)))
            .and_then(|(hours, own)| ratio(own, hours)),
    };
    let at = |violations: f64| {
        beside(
            hpa.and_then(|hpa| hpa.replica_hours_at(violations)),
            violations,
        )
    };
    Comparison {
        tuned: beside(Some(tuned.replica_hours), tuned.violation_ratio),
        own: Beside {
            violations: hpa
                .and_then(|hpa| hpa.violations_at(own.replica_hours))
                .and_then(|theirs| ratio(own.violation_ratio, theirs)),
            hours: hpa
                .and_then(|hpa| hpa.replica_hours_at(own.violation_ratio))
                .and_then(|theirs| ratio(own.replica_hours, theirs)),
        },
        hundredth: at(0.01),
        thousandth: at(0.001),
        hours: own.replica_hours / tuned.replica_hours,
        violations: ratio(own.violation_ratio, tuned.violation_ratio),
        queue: ratio(own.queue_peak, tuned.queue_peak),
        cost_of_static: own.cost / fixed.cost,
        prewarmed: own.prewarmed_ratio(),
        prewarmed_hpa: tuned.prewarmed_ratio(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days of a sine with bursts that come every day at noon.
    fn daily() -> Trace {
        let minute = |minute: usize| {
            let phase = (minute % 1_440) as f64 / 1_440.0 * std::f64::consts::TAU;
            let burst = if (720..760).contains(&(minute % 1_440)) {
                80.0
            } else {
                0.0
            };
            (100.0 - 60.0 * phase.cos() + burst) as f32
        };
        Trace {
            name: "daily".into(),
            kind: Kind::Periodic,
            start: 0,
            step: 60_000,
            values: (0..1_440 * 6).map(minute).collect(),
        }
    }

    fn parameters() -> Parameters {
        let mut parameters = Parameters::built_in().unwrap();
        parameters.hpa_grid.target = vec![0.6, 0.8];
        parameters.frontier.target = vec![0.5];
        parameters.frontier.level = vec![0.5, 0.95];
        parameters.frontier.margin = vec![0.0];
        parameters
    }

    #[test]
    fn a_burst_of_every_day_is_met_by_who_foresees_it() {
        let outcome = study(&daily(), &parameters(), &|_, _| ()).unwrap();
        let score = |name: &str| {
            outcome
                .rows
                .iter()
                .find(|row| row.name == name)
                .unwrap()
                .score
        };
        assert_eq!(score("static").violations, 0);
        assert_eq!(score("oracle").violations, 0);
        let (tuned, own) = (score("HPA tuned"), score("ours"));
        assert!(
            own.prewarmed == 3 && tuned.prewarmed == 0,
            "{own:?} {tuned:?}"
        );
        assert!(2 * own.violations < tuned.violations, "{own:?} {tuned:?}");
        assert!(score("oracle").replica_hours < own.replica_hours);
        assert!(own.cost < 0.65 * score("static").cost);
        assert_eq!(outcome.comparison.prewarmed, 1.0);
        assert_eq!(outcome, study(&daily(), &parameters(), &|_, _| ()).unwrap());
    }

    #[test]
    fn what_cannot_be_studied_is_told() {
        let mut short = daily();
        short.values.truncate(20);
        let told = study(&short, &parameters(), &|_, _| ()).unwrap_err();
        assert!(told.contains("daily: too short"), "{told}");
    }
}
