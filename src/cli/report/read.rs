//! What a report is made of: demand and size from the sources, decisions and accuracy from the store.

use super::day::{Day, Known, sum_up};
use crate::{
    app::{self, AppOptions, ConfigSource, Loaded},
    cli::{Failure, backtest},
    decide::{Decision, Settings},
    engine::{Clock, SignalSettings},
    series::Millis,
    source::{Matrix, RangeRequest, Source},
    store::{Cut, DecisionFilter, MOST_ITEMS, Store},
    telemetry::Telemetry,
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

const MINUTE: Millis = 60_000;
/// What held at midnight was decided within so long before, or nobody knows.
const BEFORE: Millis = 7 * 86_400_000;
/// Decisions of a workload that are read; more than one every nine seconds is not a day to sum up.
const MOST_DECISIONS: usize = 10_000;
/// An answer with more series than this is not one demand.
const MOST_SERIES: usize = 5_000;

type Sources = BTreeMap<String, Arc<dyn Source>>;

/// Reads and sums up.
pub(super) async fn read(
    file: &Path,
    wanted: Option<&str>,
    from: Millis,
    until: Millis,
) -> Result<Day, Failure> {
    let options = AppOptions::new(ConfigSource::File(file.to_owned()));
    let loaded = app::load(&options).await.map_err(Failure::Usage)?;
    let sources = backtest::sources(&loaded).map_err(Failure::Failed)?;
    let store = store(&loaded);
    let mut day = Day {
        from,
        until,
        workloads: Vec::new(),
        accuracy: Vec::new(),
        notes: Vec::new(),
    };
    match &store {
        Some(store) => day.accuracy = store.performance(from, from + 1).await?,
        None => day.notes.push(
            "the configuration has no store, so nothing is known of decisions and accuracy"
                .to_owned(),
        ),
    }
    let all = loaded.config.workloads.iter();
    let is_wanted = |one: &&Settings| wanted.is_none_or(|wanted| *one.name == *wanted);
    let some: Vec<&Settings> = all.filter(is_wanted).collect();
    if some.is_empty() {
        return Err(Failure::Usage(match wanted {
            Some(name) => format!("no workload is called {name:?}"),
            None => "the configuration has no workloads".to_owned(),
        }));
    }
    for settings in some {
        let decisions = match &store {
            Some(store) => logged(store, &settings.name, from, until).await?,
            None => Vec::new(),
        };
        let reader = Reader {
            loaded: &loaded,
            sources: &sources,
            settings,
            span: (from, until),
        };
        match reader.known(&decisions).await {
            Ok((demand, ready, capacity)) => {
                let lead = decisions.last().map_or_else(
                    || settings.lead_time.range().0.as_millis(),
                    |newest| newest.lead,
                );
                day.workloads.push(sum_up(&Known {
                    workload: &settings.name,
                    from,
                    demand: &demand,
                    ready: &ready,
                    decisions: &decisions,
                    capacity,
                    lead,
                    min: settings.limits.min,
                    max: settings.limits.max.unwrap_or(u32::MAX),
                    replica_hour: settings.cost.as_ref().and_then(|cost| cost.replica_hour),
                }));
            }
            Err(note) => day.notes.push(format!("{}: {note}", settings.name)),
        }
    }
    Ok(day)
}

fn store(loaded: &Loaded) -> Option<Store> {
    let settings = loaded.config.store.clone()?;
    Some(Store::new(
        settings,
        Clock::System,
        Telemetry::default().store,
    ))
}

/// The decisions of the day and the last one before it, oldest first.
async fn logged(
    store: &Store,
    workload: &str,
    from: Millis,
    until: Millis,
) -> Result<Vec<Decision>, Failure> {
    let filter = DecisionFilter {
        workload: Some(workload.to_owned()),
        since: Some(from - BEFORE),
        until: Some(until),
    };
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let cut = Cut {
            limit: MOST_ITEMS,
            cursor,
        };
        let page = store.decisions(&filter, &cut).await?;
        let is_whole = page.items.iter().any(|one| one.at < from);
        found.extend(page.items);
        cursor = page.next;
        if is_whole || cursor.is_none() || found.len() >= MOST_DECISIONS {
            break;
        }
    }
    let within = found.iter().position(|one| one.at < from);
    found.truncate(within.map_or(found.len(), |before| before + 1));
    found.reverse();
    Ok(found)
}

/// Asks what is to be known of one workload.
struct Reader<'a> {
    loaded: &'a Loaded,
    sources: &'a Sources,
    settings: &'a Settings,
    span: (Millis, Millis),
}

impl Reader<'_> {
    /// Demand and ready replicas by minute, and what one of them takes.
    async fn known(&self, decisions: &[Decision]) -> Result<(Vec<f32>, Vec<f32>, f64), String> {
        let settings = self.settings;
        let mut newest = decisions.iter().rev();
        let capacity = settings
            .capacity_per_replica
            .declared()
            .or_else(|| newest.find_map(|one| one.capacity));
        let capacity = capacity.ok_or("what one replica takes is not known")?;
        let signals = self.loaded.config.signals.iter();
        let mut signals = signals.filter(|one| one.name == settings.demand.signal);
        let signal = signals.next().ok_or("its signal is not configured")?;
        let (query, wanted) = match &settings.demand.query {
            Some(query) => (query, None),
            None => (&signal.query, Some(&settings.demand.r#match)),
        };
        let answer = self.ask(signal, query).await?;
        let demand = self.one(&answer, wanted).map_err(|count| {
            format!("{count} series of its demand match, and one is needed: see demand.match")
        })?;
        let ready = match &settings.replicas {
            None => Vec::new(),
            Some(replicas) => {
                let answer = self.ask(signal, &replicas.query).await?;
                self.one(&answer, None).unwrap_or_default()
            }
        };
        Ok((demand, ready, capacity))
    }

    async fn ask(&self, signal: &SignalSettings, query: &str) -> Result<Matrix, String> {
        let source = match &signal.source {
            Some(name) => self.sources.get(name),
            None => self.sources.values().next(),
        };
        let source = source.ok_or("its source is not configured")?;
        let (from, until) = self.span;
        let request = RangeRequest {
            query: query.to_owned(),
            start: from,
            end: until - MINUTE,
            step: MINUTE,
            max_series: MOST_SERIES,
        };
        let answer = source.range(request).await;
        answer.map_err(|error| error.to_string())
    }

    /// The one series that is meant, by minute; else how many there are.
    fn one(
        &self,
        answer: &Matrix,
        wanted: Option<&BTreeMap<String, String>>,
    ) -> Result<Vec<f32>, usize> {
        let (from, until) = self.span;
        let is_meant = |labels: &crate::series::Labels| {
            let mut wanted = wanted.into_iter().flatten();
            wanted.all(|(name, value)| labels.get(name) == Some(value))
        };
        let found = answer.series.iter().filter(|one| is_meant(&one.labels));
        let found: Vec<_> = found.collect();
        let [one] = found.as_slice() else {
            return Err(found.len());
        };
        let minutes = usize::try_from((until - from) / MINUTE).unwrap_or(0);
        let mut values = vec![f32::NAN; minutes];
        for (at, value) in &one.samples {
            let place = usize::try_from((at - from) / MINUTE).ok();
            if let Some(slot) = place.and_then(|place| values.get_mut(place)) {
                *slot = *value as f32;
            }
        }
        Ok(values)
    }
}
