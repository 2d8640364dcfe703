//! What a report is made of: demand and size from the sources, decisions and accuracy from the store.

use super::day::{Day, Known, WorkloadDay, sum_up};
use crate::{
    app::{self, AppOptions, ConfigSource, Loaded},
    cli::{Failure, backtest, backtest::without_past, records, workload},
    config::SourceSettings,
    decide::{Decision, Settings},
    engine::scaling::the_one,
    series::{Millis, Share},
    source::{Matrix, RangeRequest, Source},
    store::{Cut, DecisionFilter, MOST_ITEMS, Store},
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
    let store = loaded.config.store.clone().map(records::opened);
    let asked = Asked {
        loaded: &loaded,
        sources: &sources,
        store: store.as_ref(),
        span: (from, until),
    };
    let day = asked.day(wanted).await;
    if let Some(store) = &store {
        store.close().await;
    }
    day
}

/// What is asked, and of whom.
struct Asked<'a> {
    loaded: &'a Loaded,
    sources: &'a Sources,
    store: Option<&'a Store>,
    span: (Millis, Millis),
}

impl Asked<'_> {
    async fn day(&self, wanted: Option<&str>) -> Result<Day, Failure> {
        let some = self.workloads(wanted)?;
        let (from, until) = self.span;
        let mut day = Day {
            from,
            until,
            workloads: Vec::new(),
            accuracy: Vec::new(),
            notes: Vec::new(),
        };
        match self.store {
            Some(store) => day.accuracy = store.performance(from, from + 1).await?,
            None => day.notes.push(
                "the configuration has no store, so nothing is known of decisions and accuracy"
                    .to_owned(),
            ),
        }
        for settings in some {
            let decisions = match self.store {
                Some(store) => logged(store, &settings.name, from, until).await?,
                None => Vec::new(),
            };
            match self.workload(settings, &decisions).await {
                Ok(workload) => day.workloads.push(workload),
                Err(note) => day.notes.push(format!("{}: {note}", settings.name)),
            }
        }
        Ok(day)
    }

    /// The workload called `wanted`, or all of them.
    fn workloads(&self, wanted: Option<&str>) -> Result<Vec<&Settings>, Failure> {
        let config = &self.loaded.config;
        if let Some(name) = wanted {
            return workload::named(config, name).map(|one| vec![one]);
        }
        match config.workloads.is_empty() {
            true => Err(Failure::Usage(
                "the configuration has no workloads; name what is to be scaled under workloads"
                    .to_owned(),
            )),
            false => Ok(config.workloads.iter().collect()),
        }
    }

    async fn workload(
        &self,
        settings: &Settings,
        decisions: &[Decision],
    ) -> Result<WorkloadDay, String> {
        let reader = Reader {
            loaded: self.loaded,
            sources: self.sources,
            settings,
            span: self.span,
        };
        let (demand, ready, capacity) = reader.known(decisions).await?;
        let lead = decisions.last().map_or_else(
            || settings.lead_time.range().0.as_millis(),
            |newest| newest.lead,
        );
        Ok(sum_up(&Known {
            workload: &settings.name,
            from: self.span.0,
            demand: &demand,
            ready: &ready,
            decisions,
            capacity,
            lead,
            min: settings.limits.min,
            max: settings.limits.max.unwrap_or(u32::MAX),
            replica_hour: settings.cost.as_ref().and_then(|cost| cost.replica_hour),
        }))
    }
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
        let capacity = capacity(settings, decisions);
        let capacity = capacity.ok_or("what one replica takes is not known")?;
        let signals = self.loaded.config.signals.iter();
        let mut signals = signals.filter(|one| one.name == settings.demand.signal);
        let signal = signals.next().ok_or("its signal is not configured")?;
        let (query, wanted) = match &settings.demand.query {
            Some(query) => (query, None),
            None => (&signal.query, Some(&settings.demand.r#match)),
        };
        let config = &self.loaded.config;
        let instead =
            "name a recorded series as demand.query, from a source of the kind prometheus";
        let source = match wanted {
            None => config.asked_of(signal),
            Some(_) => match without_past(config, signal, instead) {
                None => config.source_of(signal),
                Some(problem) => return Err(problem),
            },
        };
        let answer = self.ask(source, query).await?;
        let demand = self.one(&answer, wanted).map_err(|count| {
            format!("{count} series of its demand match, and one is needed: see demand.match")
        })?;
        let ready = match &settings.replicas {
            None => Vec::new(),
            Some(replicas) => {
                let answer = self.ask(config.asked_of(signal), &replicas.query).await?;
                self.one(&answer, None).unwrap_or_default()
            }
        };
        Ok((demand, ready, capacity))
    }

    async fn ask(&self, source: Option<&SourceSettings>, query: &str) -> Result<Matrix, String> {
        let source = source.and_then(|source| self.sources.get(&source.name));
        let source = source.ok_or("its source is not configured")?;
        let (from, until) = self.span;
        let request = RangeRequest {
            query: query.to_owned(),
            start: from,
            end: until - MINUTE,
            step: MINUTE,
            max_series: MOST_SERIES,
            share: Share::ALL,
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
        let (all, none) = (answer.series.iter(), BTreeMap::new());
        let place = the_one(wanted.unwrap_or(&none), all.map(|one| &one.labels))?;
        let minutes = usize::try_from((until - from) / MINUTE).unwrap_or(0);
        let mut values = vec![f32::NAN; minutes];
        for (at, value) in &answer.series[place].samples {
            let place = usize::try_from((at - from) / MINUTE).ok();
            if let Some(slot) = place.and_then(|place| values.get_mut(place)) {
                *slot = *value as f32;
            }
        }
        Ok(values)
    }
}

/// What one replica took: as it was reckoned with at the end of the day; where nothing was decided then, as it is
/// configured.
fn capacity(settings: &Settings, decisions: &[Decision]) -> Option<f64> {
    let mut newest = decisions.iter().rev();
    let known = newest.find_map(|one| one.capacity);
    known.or_else(|| settings.capacity_per_replica.declared())
}
