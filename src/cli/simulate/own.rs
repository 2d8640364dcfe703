//! `simulate --what-if`: a workload of the user's own configuration over its own last days.

use super::past::{self, Asked, Wrong};
use crate::{
    app::{self, AppOptions, ConfigSource, Loaded},
    cli::{Failure, backtest, workload},
    decide::Settings,
    engine::{SignalSettings, settings::Seasonality},
    series::{Millis, Span, Zone},
    simulate::{Forecasting, Parameters, Subject, Trace, traces},
    source::Source,
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

const MINUTE: Millis = 60_000;
/// Fewer minutes than this teach nobody anything: the tuned HPA is chosen on half of them.
const LEAST: Millis = 120 * MINUTE;
/// Below this nobody has seen a day come back.
const RHYTHM: Millis = 2 * 86_400_000;
/// A size is one series.
const MOST_SIZES: usize = 2;

/// A workload, what was asked of it, and the parameters with what it says of itself.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) trace: Trace,
    pub(super) subject: Subject,
    pub(super) parameters: Parameters,
}

/// The workload called `name` over its last `days`.
pub(super) fn read(
    file: &Path,
    name: &str,
    days: u32,
    parameters: &Parameters,
) -> Result<Own, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let options = AppOptions::new(ConfigSource::File(file.to_owned()));
        let loaded = app::load(&options).await.map_err(Failure::Usage)?;
        let workload = workload::named(&loaded.config, name)?;
        Reader::new(&loaded, workload, days, parameters)?
            .own(parameters)
            .await
    })
}

/// Asks for what there was.
struct Reader<'a> {
    loaded: &'a Loaded,
    workload: &'a Settings,
    signal: &'a SignalSettings,
    source: Arc<dyn Source>,
    days: u32,
    /// Milliseconds between samples of the demand.
    step: Millis,
}

impl<'a> Reader<'a> {
    fn new(
        loaded: &'a Loaded,
        workload: &'a Settings,
        days: u32,
        parameters: &Parameters,
    ) -> Result<Self, Failure> {
        let wanted = &workload.demand.signal;
        let mut signals = loaded.config.signals.iter();
        let signal = signals.find(|one| one.name == *wanted);
        let signal = signal.ok_or_else(|| {
            Failure::Usage(format!(
                "--workload: its signal {wanted:?} is not configured"
            ))
        })?;
        let instead = "record its demand and simulate that (--trace)";
        if let Some(problem) = backtest::without_past(&loaded.config, signal, instead) {
            return Err(Failure::Usage(problem));
        }
        let mut sources = backtest::sources(loaded).map_err(Failure::Failed)?;
        let source = loaded.config.source_of(signal);
        let source = source.and_then(|source| sources.remove(&source.name));
        let source = source.ok_or_else(|| {
            Failure::Usage(format!(
                "--workload: the source of the signal {wanted:?} is not configured"
            ))
        })?;
        Ok(Self {
            loaded,
            workload,
            signal,
            source,
            days,
            step: step(signal, parameters),
        })
    }

    async fn own(&self, parameters: &Parameters) -> Result<Own, Failure> {
        let trace = self.demand().await?;
        let (recorded, missing) = self.recorded().await;
        let forecasting = self.forecasting()?;
        let (mut subject, parameters) =
            Subject::own(self.workload, forecasting, recorded, parameters);
        subject.notes.extend(missing);
        subject.notes.extend(plainer(self.signal));
        subject
            .notes
            .extend(late(&trace, subject.recorded.as_ref()));
        let length = trace.values.len() as Millis * trace.step;
        if length < RHYTHM {
            subject.notes.push(format!(
                "{} of demand are known: forecasts have not seen a day come back, so this says little of what they would do",
                Span::millis(length)
            ));
        }
        Ok(Own {
            trace,
            subject,
            parameters,
        })
    }

    async fn demand(&self) -> Result<Trace, Failure> {
        let (demand, nothing) = (&self.workload.demand, BTreeMap::new());
        let (query, labels) = match &demand.query {
            Some(query) => (query, &nothing),
            None => (&self.signal.query, &demand.r#match),
        };
        let asked = Asked {
            query,
            labels,
            most: self.signal.max_series,
            days: self.days,
            step: self.step,
        };
        let name = &self.workload.name;
        let rows = past::rows(self.source.as_ref(), &asked).await;
        let rows = rows.map_err(|wrong| match wrong {
            Wrong::Series(count) => Failure::Usage(format!(
                "workload {name:?}: {count} series of its demand match, and one is needed: see demand.match"
            )),
            Wrong::Source(problem) => Failure::Failed(problem),
        })?;
        let known = rows.len() as Millis * self.step;
        let trace = traces::of_rows(name.clone(), rows).ok();
        let trace = trace.filter(|_| known >= LEAST);
        trace.ok_or_else(|| {
            Failure::Failed(format!(
                "workload {name:?}: too little history: {} of its demand are known in the last {} days, and {} are needed at least; query: {query}",
                Span::millis(known),
                self.days,
                Span::millis(LEAST),
            ))
        })
    }

    /// The replicas that there were; or why they are not known.
    async fn recorded(&self) -> (Option<Trace>, Option<String>) {
        let missing = |why: &str| (None, Some(format!("recorded is left out: {why}")));
        let Some(replicas) = &self.workload.replicas else {
            return missing("the workload has no replicas.query");
        };
        let asked = Asked {
            query: &replicas.query,
            labels: &BTreeMap::new(),
            most: MOST_SIZES,
            days: self.days,
            step: self.step,
        };
        match past::rows(self.source.as_ref(), &asked).await {
            Ok(rows) => match traces::of_rows("replicas".to_owned(), rows) {
                Ok(trace) => (Some(trace), None),
                Err(problem) => missing(&format!("replicas.query: {problem} in that time")),
            },
            Err(Wrong::Series(count)) => missing(&format!(
                "replicas.query answers with {count} series, and one is needed"
            )),
            Err(Wrong::Source(problem)) => missing(&problem),
        }
    }

    /// What its signal is forecast with. A forecast is made once a minute, or once a step where that is so many whole minutes.
    fn forecasting(&self) -> Result<Forecasting, Failure> {
        let signal = self.signal;
        let is_whole = signal.step.as_millis() % MINUTE == 0;
        let zone = signal.timezone.as_deref().map(Zone::named).transpose();
        Ok(Forecasting {
            settings: signal.forecast(),
            files: self.loaded.models.clone(),
            step: if is_whole {
                signal.step
            } else {
                Span::minutes(1)
            },
            history: signal.history(),
            offset: signal.offset,
            seasons: match &signal.seasonality {
                Seasonality::Auto => None,
                Seasonality::Given(seasons) => Some(seasons.clone()),
            },
            zone: zone.map_err(Failure::Usage)?.unwrap_or_default(),
        })
    }
}

/// In what the forecasts of a signal are plainer here than they are live.
fn plainer(signal: &SignalSettings) -> Vec<String> {
    let all = [
        (
            !signal.exclude.is_empty(),
            "exclude of the signal: what it leaves out was replayed and learned from",
        ),
        (
            !signal.holidays.is_empty(),
            "holidays of the signal: forecasts took them for ordinary days",
        ),
        (
            !signal.forecast.events.is_empty(),
            "forecast.events of the signal: forecasts knew of none of them",
        ),
    ];
    let told = all.into_iter().filter(|(there, _)| *there);
    told.map(|(_, note)| note.to_owned()).collect()
}

/// That the size there was is known of a part only.
fn late(demand: &Trace, recorded: Option<&Trace>) -> Option<String> {
    let recorded = recorded?;
    let since = recorded.start - demand.start;
    (since > demand.step.max(recorded.step)).then(|| {
        format!(
            "recorded: replicas.query is known from {} after the demand on; before that the first size is taken",
            Span::millis(since)
        )
    })
}

/// The step of the signal where ticks and it divide each other; a minute elsewhere.
fn step(signal: &SignalSettings, parameters: &Parameters) -> Millis {
    let (step, tick) = (signal.step.as_millis(), parameters.tick.as_millis());
    let divides = step > 0 && (step % tick == 0 || tick % step == 0);
    if divides { step } else { MINUTE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Kind;

    #[test]
    fn what_forecasts_do_not_know_here_is_told() {
        let mut signal = SignalSettings::new("load", "up");
        assert!(plainer(&signal).is_empty());
        signal.holidays.push("at".to_owned());
        signal.forecast.events.push("sales".to_owned());
        let told = plainer(&signal).join("\n");
        assert!(
            told.contains("holidays of the signal") && told.contains("forecast.events"),
            "{told}"
        );
        assert!(!told.contains("exclude"), "{told}");
    }

    #[test]
    fn a_size_that_is_known_later_than_the_demand_is_told() {
        let trace = |start: Millis| Trace {
            name: "one".into(),
            kind: Kind::Mixed,
            start,
            step: MINUTE,
            values: vec![1.0; 10],
        };
        let said = |start| late(&trace(0), Some(&trace(start)));
        assert_eq!(
            (late(&trace(0), None), said(0), said(MINUTE)),
            (None, None, None)
        );
        let told = said(3 * 60 * MINUTE).unwrap();
        assert!(told.contains("from 3h after the demand on"), "{told}");
    }
}
