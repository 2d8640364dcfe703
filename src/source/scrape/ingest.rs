//! From the body of a scrape to samples on their way.

use super::{
    failure::{Cause, Failure},
    known::{Found, Known, Series},
    settings::Settings,
    taker::{Passed, Taker},
    target::Target,
};
use crate::{
    expo::{
        parse::{Event, Sample},
        wire::{Body, BodyError},
    },
    promql::METRIC_NAME,
    series::{
        Labels, Millis,
        relabel::{self, LabelMap, Relabel},
    },
};

/// Samples further ahead are refused, as Prometheus does.
const MOST_AHEAD: Millis = 10 * 60_000;
/// What is put in front of a label that the target itself has.
const EXPORTED: &str = "exported_";

/// What holds for every scrape of a source.
#[derive(Debug)]
pub(super) struct Rules {
    steps: Vec<Relabel>,
    honor_labels: bool,
    honor_timestamps: bool,
    track_timestamps: bool,
    samples: usize,
    labels: usize,
    name_bytes: usize,
    value_bytes: usize,
}

/// What a body had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All samples.
    pub scraped: usize,
    /// Those that relabelling kept.
    pub kept: usize,
    /// Series that were not known before.
    pub added: usize,
    /// Second samples of a series.
    pub duplicates: usize,
    /// Samples too far in the future.
    pub ahead: usize,
}

/// The samples of one body.
pub(super) struct Ingest<'a> {
    pub(super) rules: &'a Rules,
    pub(super) target: &'a Target,
    pub(super) taker: &'a dyn Taker,
    pub(super) generation: u64,
    /// The time of samples that have none of their own.
    pub(super) at: Millis,
}

impl Rules {
    /// The rules of `settings`, which are valid.
    ///
    /// # Errors
    /// What is wrong with a regular expression.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let none = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let steps = settings.metric_relabel_configs.iter().map(Relabel::new);
        Ok(Self {
            steps: steps.collect::<Result<_, _>>()?,
            honor_labels: settings.honor_labels,
            honor_timestamps: settings.honor_timestamps,
            track_timestamps: settings.track_timestamps_staleness,
            samples: none(settings.sample_limit),
            labels: none(settings.label_limit),
            name_bytes: none(settings.label_name_length_limit),
            value_bytes: none(settings.label_value_length_limit),
        })
    }
}

impl Ingest<'_> {
    /// Reads `body` into `samples`. Of a body with a fault nothing is to be taken; `counts` says how far it was read.
    pub(super) fn body(
        &self,
        mut body: Body<'_>,
        known: &mut Known,
        samples: &mut Vec<Passed>,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        while let Some(event) = body.next_event() {
            if let Event::Sample(sample) = event.map_err(unreadable)? {
                self.sample(&sample, known, samples, counts)?;
            }
        }
        let limit = self.rules.samples;
        if counts.kept > limit {
            let kept = counts.kept;
            let text = format!("{kept} samples after relabelling, where sample_limit is {limit}");
            return Err(Failure::new(Cause::SampleLimit, text));
        }
        Ok(())
    }

    fn sample(
        &self,
        sample: &Sample<'_>,
        known: &mut Known,
        samples: &mut Vec<Passed>,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        counts.scraped += 1;
        let index = match known.find(sample.series, self.generation) {
            Found::Entry(index) => index,
            Found::LetGo => return Ok(()),
            Found::Unknown => {
                let Some(series) = self.series(sample)? else {
                    known.let_go(sample.series);
                    return Ok(());
                };
                let route = self.taker.route(&series.name, &series.labels, self.at);
                let (index, is_new) = known.learn(sample.series, series, route, self.generation);
                counts.added += usize::from(is_new);
                index
            }
        };
        counts.kept += 1;
        let time = sample.at.filter(|_| self.rules.honor_timestamps);
        let at = time.unwrap_or(self.at);
        if at > self.at.saturating_add(MOST_AHEAD) {
            counts.ahead += 1;
            return Ok(());
        }
        let tracked = time.is_none() || self.rules.track_timestamps;
        match known.mark(index, time.is_some(), tracked) {
            None => counts.duplicates += 1,
            Some(route) if !route.is_kept() => {}
            // More than there may be are not taken in; they are counted on for the message.
            Some(_) if counts.kept > self.rules.samples => {}
            Some(route) => samples.push((route, at, sample.value)),
        }
        Ok(())
    }

    /// The series of a sample, with the target's labels and relabelled; `None` where that lets go of it.
    fn series(&self, sample: &Sample<'_>) -> Result<Option<Series>, Failure> {
        let mut labels = LabelMap::new();
        labels.insert(METRIC_NAME.to_owned(), sample.name.clone().into_owned());
        for (name, value) in sample.labels.clone() {
            if let Some(former) = labels.insert(name.clone().into_owned(), value.into_owned()) {
                let series = sample.series;
                let text =
                    format!("{series}: the label {name} is given twice, before as {former:?}");
                return Err(Failure::new(Cause::Parse, text));
            }
        }
        self.add_own(&mut labels);
        labels.retain(|_, value| !value.is_empty());
        if !relabel::relabel(&mut labels, &self.rules.steps) || labels.is_empty() {
            return Ok(None);
        }
        self.check_limits(&labels, sample.series)?;
        let Some(name) = labels.remove(METRIC_NAME) else {
            let series = sample.series;
            let text = format!("{series}: metric_relabel_configs leave it without a name");
            return Err(Failure::new(Cause::Parse, text));
        };
        let labels = Labels::new(labels);
        let labels = labels.map_err(|error| Failure::new(Cause::Parse, error.to_string()))?;
        Ok(Some(Series { name, labels }))
    }

    /// The labels of the target. What the target exposes under the same name goes before, or is renamed.
    fn add_own(&self, labels: &mut LabelMap) {
        let own = self.target.labels.iter();
        if self.rules.honor_labels {
            for (name, value) in own {
                if !labels.contains_key(name) {
                    labels.insert(name.to_owned(), value.to_owned());
                }
            }
            return;
        }
        let mut exposed = Vec::new();
        for (name, value) in own {
            let former = labels.insert(name.to_owned(), value.to_owned());
            exposed.extend(
                former
                    .filter(|value| !value.is_empty())
                    .map(|value| (name, value)),
            );
        }
        exposed.sort_by_key(|(name, _)| name.len());
        for (name, value) in exposed {
            let mut renamed = format!("{EXPORTED}{name}");
            while labels.get(&renamed).is_some_and(|value| !value.is_empty()) {
                renamed.insert_str(0, EXPORTED);
            }
            labels.insert(renamed, value);
        }
    }

    /// Limits of labels, that of the name among them, as Prometheus counts.
    fn check_limits(&self, labels: &LabelMap, series: &str) -> Result<(), Failure> {
        let rules = self.rules;
        let over = |text: String| Err(Failure::new(Cause::LabelLimit, format!("{series}: {text}")));
        if labels.len() > rules.labels {
            let (count, limit) = (labels.len(), rules.labels);
            return over(format!("{count} labels, where label_limit is {limit}"));
        }
        for (name, value) in labels {
            if name.len() > rules.name_bytes {
                let (length, limit) = (name.len(), rules.name_bytes);
                return over(format!(
                    "the name {name} has {length} bytes, where label_name_length_limit is {limit}"
                ));
            }
            if value.len() > rules.value_bytes {
                let (length, limit) = (value.len(), rules.value_bytes);
                return over(format!(
                    "the value of {name} has {length} bytes, where label_value_length_limit is {limit}"
                ));
            }
        }
        Ok(())
    }
}

fn unreadable(error: BodyError) -> Failure {
    Failure::new(Cause::Parse, error.to_string())
}
