//! Every policy over one trace, and what that says of ours.

use super::{
    Comparison, Demand, Foresight, Frontier, Kind, Parameters, Point, Score, Subject, Trace, Which,
    autoscaler::Settings,
    compare::compare,
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
    /// Ours beside the others; absent where one of those was not run.
    pub comparison: Option<Comparison>,
    /// The same of ours without a trigger on the present.
    pub alone: Option<Comparison>,
    /// What is not as it would have been.
    pub notes: Vec<String>,
}

/// Runs policies over `trace`: those of `which`, or all where that is empty. `progress` is told what is under way and the share done, 0 to 1.
///
/// # Errors
/// A trace that cannot be used.
pub fn study(
    trace: &Trace,
    parameters: &Parameters,
    subject: &Subject,
    which: &[Which],
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<Outcome, String> {
    let demand = Demand::draw(trace, parameters)?;
    progress(&trace.name, 0.0);
    let needs = [Which::Ours, Which::OursAlone];
    let foresight = match needs.iter().any(|&one| is_wanted(one, which, subject)) {
        true => Some(Foresight::walk(&demand, parameters, subject, &|share| {
            progress(&trace.name, share * 0.7);
        })?),
        false => None,
    };
    let bench = Bench {
        course: Course::new(&demand, parameters),
        demand: &demand,
        parameters,
        subject,
        which,
        foresight: foresight.as_ref(),
    };
    let outcome = bench.outcome(trace);
    progress(&trace.name, 1.0);
    Ok(outcome)
}

fn is_wanted(one: Which, which: &[Which], subject: &Subject) -> bool {
    match which.is_empty() {
        true => one.is_usual(subject.is_own),
        false => which.contains(&one),
    }
}

/// Everything a trace is judged with.
struct Bench<'a> {
    course: Course<'a>,
    demand: &'a Demand,
    parameters: &'a Parameters,
    subject: &'a Subject,
    which: &'a [Which],
    foresight: Option<&'a Foresight>,
}

/// The HPA of every target, with what else suits it best on the first part.
struct Tuned {
    best: HpaPoint,
    by_target: Vec<HpaPoint>,
    all: Vec<HpaPoint>,
}

impl Bench<'_> {
    fn outcome(&self, trace: &Trace) -> Outcome {
        let needs_tuned = [Which::HpaTuned, Which::Phpa, Which::Crane];
        let tuned = needs_tuned.iter().any(|&one| self.wants(one));
        let tuned = tuned.then(|| self.tune());
        let mut rows = self.singles(tuned.as_ref());
        let mut frontiers = tuned
            .as_ref()
            .map_or(Vec::new(), |tuned| self.beside(tuned));
        frontiers.extend(self.predicting());
        let own = ["ours", "ours alone", "seasonal naive", "crane", "phpa"];
        for frontier in frontiers
            .iter()
            .filter(|one| own.contains(&one.name.as_str()))
        {
            rows.extend(self.chosen(frontier));
        }
        let days = (self.demand.ticks.len() - self.demand.split) as f64
            * self.parameters.tick_hours()
            / 24.0;
        Outcome {
            trace: trace.name.clone(),
            kind: trace.kind,
            days,
            capacity: self.demand.capacity,
            size: self.demand.size.is_finite().then_some(self.demand.size),
            forecast_ratio: self.foresight.map_or(0.0, Foresight::known),
            comparison: compare("ours", &rows, &frontiers),
            alone: compare("ours alone", &rows, &frontiers),
            rows,
            frontiers,
            notes: self.subject.notes.clone(),
        }
    }

    fn wants(&self, one: Which) -> bool {
        is_wanted(one, self.which, self.subject)
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

    fn singles(&self, tuned: Option<&Tuned>) -> Vec<Row> {
        let parameters = self.parameters;
        let mut rows = Vec::new();
        let mut add = |which: Which, row: &dyn Fn() -> Option<(&'static str, String, Score)>| {
            let found = self.wants(which).then(row).flatten();
            rows.extend(found.map(|(name, setting, score)| Row {
                name: name.to_owned(),
                setting,
                score,
            }));
        };
        add(Which::Static, &|| {
            let peak = self.peak();
            let mut fixed = Fixed(peak);
            let settings = following(parameters);
            let score = self
                .course
                .run(settings, &mut fixed, Part::Second, Some(peak));
            Some(("static", format!("{peak} replicas"), score))
        });
        add(Which::Recorded, &|| {
            let recorded = self.subject.recorded.as_ref()?;
            let score = self.course.recorded(recorded, Part::Second);
            Some(("recorded", "as it was".to_owned(), score))
        });
        add(Which::Reactive, &|| {
            let mut policy = Ours::observing(self.subject, self.demand.start, parameters);
            let mut settings = autoscaler(&parameters.hpa_default, parameters);
            settings.tolerance = self.subject.workload.tolerance;
            let score = self.follow(settings, &mut policy);
            Some(("reactive", "mode observe".to_owned(), score))
        });
        add(Which::Hpa, &|| {
            let point = parameters.hpa_default;
            Some(("HPA default", told(&point), self.hpa(&point, Part::Second)))
        });
        add(Which::HpaTuned, &|| {
            let best = tuned?.best;
            Some(("HPA tuned", told(&best), self.hpa(&best, Part::Second)))
        });
        add(Which::Oracle, &|| {
            let mut oracle = Oracle::new(self.demand, parameters);
            let score = self.follow(following(parameters), &mut oracle);
            Some(("oracle", String::new(), score))
        });
        rows
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

    /// The HPA, and what goes beside the tuned one.
    fn beside(&self, tuned: &Tuned) -> Vec<Frontier> {
        let parameters = self.parameters;
        let mut frontiers = Vec::new();
        if self.wants(Which::HpaTuned) {
            frontiers.push(sweep("HPA", &tuned.all, |point| {
                (point.target, self.hpa(point, Part::Second))
            }));
        }
        if self.wants(Which::Phpa) {
            let smoothing = self.smoothing(tuned);
            frontiers.push(sweep("phpa", &tuned.by_target, |point| {
                let mut policy = Phpa::new(self.metric(point), smoothing, parameters);
                let settings = autoscaler(point, parameters);
                (point.target, self.follow(settings, &mut policy))
            }));
        }
        if self.wants(Which::Crane) {
            let best = self.metric(&tuned.best);
            frontiers.push(sweep("crane", &parameters.frontier.margin, |&margin| {
                let mut policy = Crane::new(best, margin, parameters);
                let settings = autoscaler(&tuned.best, parameters);
                (margin, self.follow(settings, &mut policy))
            }));
        }
        frontiers
    }

    /// What has a level.
    fn predicting(&self) -> Vec<Frontier> {
        let parameters = self.parameters;
        let levels = &parameters.frontier.level;
        let follower = self.subject.follower(parameters);
        let mut frontiers = Vec::new();
        if self.wants(Which::SeasonalNaive) {
            frontiers.push(sweep("seasonal naive", levels, |&level| {
                let mut policy = Naive::new(level, parameters);
                (level, self.follow(guarded(parameters), &mut policy))
            }));
        }
        if let Some(foresight) = self.foresight {
            let places: Vec<usize> = (0..levels.len()).collect();
            let start = self.demand.start;
            let ours = |place| Ours::new(self.subject, foresight, place, start, parameters);
            if self.wants(Which::Ours) {
                frontiers.push(sweep("ours", &places, |&place| {
                    let score = self.follow(follower.clone(), &mut ours(place));
                    (levels[place], score)
                }));
            }
            if self.wants(Which::OursAlone) {
                frontiers.push(sweep("ours alone", &places, |&place| {
                    let score = self.follow(follower.clone(), &mut ours(place).alone());
                    (levels[place], score)
                }));
            }
        }
        frontiers
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
        let by_level = ["ours", "ours alone", "seasonal naive"].contains(&frontier.name.as_str());
        let point = match by_level {
            true => frontier.at(self.subject.level),
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

    fn studied(trace: &Trace, parameters: &Parameters, which: &[Which]) -> Result<Outcome, String> {
        let subject = Subject::usual(parameters).unwrap();
        study(trace, parameters, &subject, which, &|_, _| ())
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
        let outcome = studied(&daily(), &parameters(), &[]).unwrap();
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
        assert_eq!(outcome.comparison.unwrap().prewarmed, 1.0);
        assert_eq!(outcome, studied(&daily(), &parameters(), &[]).unwrap());
    }

    #[test]
    fn only_the_chosen_policies_are_run() {
        let some = studied(&daily(), &parameters(), &[Which::Static, Which::Hpa]).unwrap();
        let names: Vec<&str> = some.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["static", "HPA default"]);
        assert!(some.frontiers.is_empty() && some.comparison.is_none());
        let all = studied(&daily(), &parameters(), &[]).unwrap();
        assert_eq!(some.rows[..], all.rows[..2]);
    }

    #[test]
    fn what_cannot_be_studied_is_told() {
        let mut short = daily();
        short.values.truncate(20);
        let told = studied(&short, &parameters(), &[]).unwrap_err();
        assert!(told.contains("daily: too short"), "{told}");
    }
}
