//! A training as the process and the command do it: the past is fetched, a network trained, judged, stored, and put in force where
//! nothing speaks against it. Says nothing to anybody: what came of it is a value.
//!
//! | file | what |
//! |---|---|
//! | `history.rs`, `cache.rs` | a signal with its past; what was fetched of it, in files |
//! | `store.rs` | the version in force, and what becomes of the new one |

mod cache;
mod history;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use cache::Cache;
pub(crate) use history::{Fetch, Fetched, History, Samples, add, fetch};
pub(crate) use store::{Fate, Kept, Store};

use super::models::time;
use crate::{
    contract::{Manifest, Model, Trust},
    series::Span,
    train::{
        self, Champion, Epoch, Judged, Role, Rule, Settings, Standing, Task, Trained, Trial, gain,
    },
};

/// What is trained, on what, and what is asked of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    /// The signal and its past.
    pub(crate) history: &'a History,
    /// The network.
    pub(crate) settings: &'a Settings,
    /// What it must be better by.
    pub(crate) rule: &'a Rule,
    /// Where it goes.
    pub(crate) store: &'a Store,
}

/// A network that was trained and judged, and not stored yet.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) trained: Trained,
    pub(crate) judged: Judged,
    /// Not signed; with its scores.
    pub(crate) manifest: Manifest,
    /// The version in force, where it has learnt from some of the days that are judged.
    pub(crate) favoured: Option<String>,
    /// What speaks against putting it in force, a sentence each.
    pub(crate) objections: Vec<String>,
}

/// Trains and judges, with the threads of the pool it is called in. Changes nothing on disk.
///
/// # Errors
/// It cannot be trained, or nothing can be compared.
pub(crate) fn train(job: &Job<'_>, progress: &mut dyn FnMut(&Epoch)) -> Result<Done, String> {
    let Job {
        history,
        settings,
        store,
        ..
    } = *job;
    let champion = store.champion()?;
    let task = Task {
        series: &history.series,
        grid: history.grid,
        local: &history.local,
        settings,
    };
    let trained = train::train(&task, progress)?;
    let mut manifest = store.manifest(&trained, champion.as_ref())?;
    let model = load(&trained, &manifest)?;
    let usable = champion
        .as_ref()
        .map(|champion| champion.usable(history.grid));
    let asked = usable
        .as_ref()
        .and_then(|usable| usable.as_ref().ok().copied());
    let name = manifest.to_string();
    let judged = train::judge(&Trial {
        series: &history.series,
        grid: history.grid,
        local: &history.local,
        zone: &history.zone,
        split: trained.split,
        history: history.settings.history(),
        horizons: &settings.horizons,
        model: &model,
        name: &name,
        champion: champion
            .as_ref()
            .zip(asked)
            .map(|(champion, model)| Champion {
                name: &champion.name,
                model,
            }),
    })?;
    manifest.scores = scores(&judged).collect();
    let mut objections = train::objections(&judged, job.rule);
    objections.extend(usable.and_then(Result::err));
    objections.extend(too_slow(&model, store.max_latency));
    let before = asked.and_then(Model::manifest);
    objections.extend(unanswered(history, &manifest, before));
    Ok(Done {
        favoured: before.and_then(|before| has_seen(before, &trained)),
        trained,
        judged,
        manifest,
        objections,
    })
}

/// The model as it will run: from the bytes of its files.
fn load(trained: &Trained, manifest: &Manifest) -> Result<Model, String> {
    Model::load(&trained.onnx, &manifest.to_json()?, &Trust::default())
}

/// The version in force, where it has learnt from some of the days that are judged.
fn has_seen(champion: &Manifest, trained: &Trained) -> Option<String> {
    let last: jiff::Timestamp = champion.data.as_ref()?.to.parse().ok()?;
    (last.as_millisecond() >= trained.split.test).then(|| champion.to_string())
}

/// The scores of a manifest: means over the horizons, and what it is better by.
fn scores(judged: &Judged) -> impl Iterator<Item = (String, f64)> {
    let mut found = Vec::new();
    if let Some((new, others)) = judged.standings.split_first() {
        let errors = new.scores.iter().flatten().map(|score| score.error_ratio);
        let count = errors.clone().count() as f64;
        found.push(("error_ratio", errors.sum::<f64>() / count));
        found.extend(others.iter().filter_map(|other| gain_of(new, other)));
    }
    // A series of zeros has no ratio: what is not a number is no score.
    let finite = found.into_iter().filter(|(_, score)| score.is_finite());
    finite.map(|(name, score)| (name.to_owned(), (score * 1e4).round() / 1e4))
}

fn gain_of(new: &Standing, other: &Standing) -> Option<(&'static str, f64)> {
    let name = match other.role {
        Role::Champion => "gain_on_champion",
        Role::Default => "gain_on_default",
        Role::Naive => "gain_on_naive",
        Role::New => return None,
    };
    Some((name, gain(new, other).0?))
}

fn too_slow(model: &Model, limit: Span) -> Option<String> {
    let took = time(|| model.probe());
    let shown = took.as_secs_f64() * 1_000.0;
    (took > limit.to_std()).then(|| {
        format!("it takes {shown:.1} ms for one window, longer than models.max_latency, which is {limit}")
    })
}

/// What would no longer be answered, or never was: a signal without a horizon to publish does not start.
fn unanswered(history: &History, new: &Manifest, before: Option<&Manifest>) -> Vec<String> {
    let answers = |wanted: &Span| new.horizons().any(|horizon| horizon == *wanted);
    let mut found = Vec::new();
    if let Some(wanted) = &history.published
        && !wanted.iter().any(answers)
    {
        let wanted: Vec<String> = wanted.iter().map(Span::to_string).collect();
        found.push(format!(
            "it answers none of the horizons of the signal: {}",
            wanted.join(", ")
        ));
    }
    let lost = before.into_iter().flat_map(Manifest::horizons);
    let lost: Vec<String> = lost
        .filter(|horizon| !answers(horizon))
        .map(|horizon| horizon.to_string())
        .collect();
    if !lost.is_empty() {
        found.push(format!(
            "it does not answer what the version in force does: {}",
            lost.join(", ")
        ));
    }
    found
}
