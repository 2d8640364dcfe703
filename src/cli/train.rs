//! `forethought train`.

mod past;
mod progress;
mod report;
#[cfg(test)]
mod tests;

use super::{
    Failure,
    flags::{self, Moment},
    samples::FileFlags,
};
use crate::{
    app::{
        signals,
        training::{self, Done, History, Job, Store},
    },
    contract::{Trust, seal},
    engine::Clock,
    registry,
    train::{Kind, Rule, Settings},
};
use clap::ArgGroup;
use past::Past;
use progress::Progress;
use std::{
    io::Write,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  On the last 30 days of a signal; put in force only if it is better than what is:
    forethought train --config.file=forethought.yml --signal=http_requests_per_second
  How good would it be? Nothing is written:
    forethought train --config.file=forethought.yml --signal=http_requests_per_second --from=60d --dry-run
  On samples of a file, with features and horizons of your own:
    forethought train --csv=trace.csv --step=5m --horizons=1h,24h --models.directory=models --model=checkout \\
        --features=value,day_sin_1,day_cos_1,weekend,mean_1h,lag_23h

The past is cut into three parts, one after the other: five sevenths to learn from, one to stop by, one to judge by. The new
model, the one in force, the default forecasters and seasonal naive forecast that last part from the same origins. A new model
is stored as the next version of --model. It is put in force only if its mean absolute error and its quantile loss are both
lower than those of the version in force and of seasonal naive by --margin, over all horizons together, and its error is nowhere
above --max-error; otherwise it stays stored, and the reason is said. A running process uses a model that its configuration
names: `forecast: {models: [.., onnx: {model: NAME}]}`. What was not finished changes nothing.
Exit codes: 0 trained, whether put in force or not; 1 failed; 2 usage or configuration; 130 and 143 stopped by SIGINT (Ctrl-C)
and SIGTERM.";

/// By what share it must be better: less is within the luck of a few days.
const MARGIN: f64 = 0.02;

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("samples").required(true).args(["config_file", "csv", "open_metrics"])
)]
pub(super) struct Arguments {
    /// The configuration file: one of its signals, from its source
    #[arg(
        long = "config.file",
        visible_alias = "config",
        value_name = "FILE",
        requires = "signal"
    )]
    config_file: Option<PathBuf>,
    /// The signal; of a file with one column of values it is that one
    #[arg(long, value_name = "NAME")]
    signal: Option<String>,
    /// First time read from the source, such as 2026-01-31, or 60d for so long ago
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = flags::moment)]
    from: Moment,
    /// Last time read from the source [default: now]
    #[arg(long, value_name = "TIME", value_parser = flags::moment)]
    to: Option<Moment>,
    /// Where fetched pieces of the past are kept, so that a training that was broken off goes on where it was; at most 1 GiB
    /// [default: .history in the folder of the registry, none with --dry-run]
    #[arg(
        long,
        value_name = "DIR",
        requires = "config_file",
        conflicts_with = "no_cache"
    )]
    cache: Option<PathBuf>,
    /// Fetch all of the past, and keep nothing of it
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    file: FileFlags,
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    place: PlaceFlags,
    /// Threads to compute with [default: one per processor]; the result is the same
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
}

/// What is trained.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network")]
struct ModelFlags {
    /// What is trained: mlp, lstm, trees; docs/models.md compares them
    #[arg(long, value_name = "KIND", default_value = "mlp")]
    network: Kind,
    /// Rows of a window: so many steps of the past, each with all features [default: 60]
    #[arg(long, value_name = "STEPS")]
    window: Option<usize>,
    /// Features, value first; docs/models.md lists them [default: wall clock, last hour, the same time of earlier days]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    features: Option<Vec<String>>,
    /// Times all windows are gone through at most, or five trees of each quantile are grown: it stops when it gets no better
    /// [default: 40, of trees 80]
    #[arg(long, value_name = "COUNT")]
    epochs: Option<usize>,
    /// The same seed and samples give the same model [default: 1]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Where it goes, and what is asked of it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registry")]
struct PlaceFlags {
    /// What the model is called [default: as the signal]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The folder of the registry [default: models.directory of the configuration]
    #[arg(long = "models.directory", value_name = "DIR")]
    directory: Option<PathBuf>,
    /// An Ed25519 private key (PKCS#8, DER) to sign the manifest with
    #[arg(long = "models.signing-key", value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// By what share it must be better than the version in force and than seasonal naive, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = MARGIN)]
    margin: f64,
    /// The greatest error it may have at any horizon, as a share of the actual values, such as 0.2
    #[arg(long, value_name = "SHARE")]
    max_error: Option<f64>,
    /// Train and compare, store nothing
    #[arg(long)]
    dry_run: bool,
}

/// Trains and says what came of it.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let rule = arguments.place.rule().map_err(Failure::Usage)?;
    let work = match arguments.config_file {
        Some(_) => None,
        None => Some(arguments.work(past::of_file(arguments)?, rule)?),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let trained = runtime.block_on(async {
        tokio::select! {
            biased;
            signal = signals::terminated() => Err(Failure::Interrupted(signal)),
            trained = trained(arguments, rule, work) => trained,
        }
    });
    // What computes cannot be interrupted; it ends with the process, and nobody needs it any more.
    runtime.shutdown_background();
    let (work, done) = trained?;
    report::learnt(&done.trained, &work.history, out)?;
    report::judged(&done.judged, out)?;
    if let Some(champion) = &done.favoured {
        report::favoured(champion, out)?;
    }
    let kept = work.store.keep(&done).map_err(Failure::Failed)?;
    report::kept(&kept, &done, work.store.directory(), out)?;
    Ok(())
}

/// All that a training needs.
struct Work {
    history: History,
    settings: Settings,
    rule: Rule,
    store: Store,
}

/// Trains on what was read of a file, or on what the source answers.
async fn trained(
    arguments: &Arguments,
    rule: Rule,
    work: Option<Work>,
) -> Result<(Work, Done), Failure> {
    let work = match (work, &arguments.config_file) {
        (None, Some(path)) => {
            let past = past::of_source(arguments, path, Clock::System.now()).await?;
            arguments.work(past, rule)?
        }
        (Some(work), _) => work,
        // clap has seen to it that one of them is there.
        (None, None) => arguments.work(past::of_file(arguments)?, rule)?,
    };
    let threads = arguments.threads.map_or(0, NonZeroUsize::get);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Failure::Failed(format!("cannot start threads: {error}")))?;
    let computed = tokio::task::spawn_blocking(move || {
        let mut told = Progress::new();
        let job = Job {
            history: &work.history,
            settings: &work.settings,
            rule: &work.rule,
            store: &work.store,
        };
        let done = pool.install(|| training::train(&job, &mut |epoch| told.epoch(epoch)));
        told.done();
        done.map(|done| (work, done))
    });
    let computed = computed.await;
    computed
        .map_err(|error| Failure::Failed(format!("training ended early: {error}")))?
        .map_err(Failure::Failed)
}

impl Arguments {
    fn work(&self, (history, models): Past, rule: Rule) -> Result<Work, Failure> {
        Ok(Work {
            store: self.place.open(&history, models)?,
            settings: self.model.settings(&history).map_err(Failure::Usage)?,
            history,
            rule,
        })
    }
}

impl ModelFlags {
    fn settings(&self, history: &History) -> Result<Settings, String> {
        let mut settings = Settings::new(Vec::new(), history.horizons.clone());
        settings.network = self.network;
        settings.window = self.window.unwrap_or(settings.window);
        settings.epochs = self.epochs.unwrap_or(self.network.epochs());
        settings.seed = self.seed.unwrap_or(settings.seed);
        let features = self.features.clone();
        settings.features = features.unwrap_or_else(|| history.features(settings.window));
        history
            .check(&settings)
            .map_err(|problem| format!("--{problem}"))?;
        Ok(settings)
    }
}

impl PlaceFlags {
    fn rule(&self) -> Result<Rule, String> {
        if !(0.0..1.0).contains(&self.margin) {
            return Err(format!("--margin: {} is not within 0 to 1", self.margin));
        }
        if let Some(most) = self.max_error.filter(|&most| most.is_nan() || most <= 0.0) {
            return Err(format!("--max-error: {most} is not above 0"));
        }
        Ok(Rule {
            margin: self.margin,
            max_error: self.max_error,
        })
    }

    /// The registry, found out before anything is trained.
    fn open(&self, history: &History, mut settings: registry::Settings) -> Result<Store, Failure> {
        if let Some(directory) = &self.directory {
            settings.directory = Some(directory.clone());
        }
        let name = self.model.as_ref().unwrap_or(&history.settings.name);
        if let Some(problem) = crate::contract::refuse_name(name) {
            return Err(Failure::Usage(format!("--model: {problem}")));
        }
        if !self.dry_run && settings.directory.is_none() {
            return Err(Failure::Usage(
                "--models.directory: where shall the model be stored? Name a folder here or as models.directory in the \
                 configuration, or say --dry-run"
                    .to_owned(),
            ));
        }
        let key = self.signing_key.as_deref().map(read_key).transpose();
        let key = key.map_err(Failure::Usage)?;
        if settings.require_signature && key.is_none() && !self.dry_run {
            return Err(Failure::Usage(
                "--models.signing-key: is needed, as models.require_signature is on".to_owned(),
            ));
        }
        if let Some(key) = &key {
            let named = |problem| Failure::Usage(format!("--models.signing-key: {problem}"));
            fits(key, &settings.trust()).map_err(named)?;
        }
        if let Some(directory) = settings.directory.as_ref().filter(|_| !self.dry_run) {
            writable(directory).map_err(Failure::Usage)?;
        }
        let shared = match settings.is_followed() && !self.dry_run {
            true => super::models::opened(&settings).map_err(Failure::Usage)?,
            false => None,
        };
        Ok(Store {
            registry: settings.registry(),
            shared,
            is_dry: self.dry_run,
            name: name.clone(),
            key,
            max_latency: settings.max_latency,
            created: now(),
        })
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| {
        format!(
            "--models.signing-key: cannot read {}: {error}",
            path.display()
        )
    })
}

/// Training may take long: that nobody would take what it signs is found out before.
fn fits(key: &[u8], trust: &Trust) -> Result<(), String> {
    let public = seal::public_key(key)?;
    match trust.keys.is_empty() || trust.keys.contains(&public) {
        true => Ok(()),
        false => Err(format!(
            "its public key, {}, is not among models.trusted_keys",
            public.text()
        )),
    }
}

/// Training may take long: that nothing can be stored is found out before.
fn writable(directory: &Path) -> Result<(), String> {
    let named = |error: std::io::Error| {
        let directory = directory.display();
        format!("--models.directory: cannot write to {directory}: {error}")
    };
    std::fs::create_dir_all(directory).map_err(named)?;
    try_file(directory).map_err(named)
}

fn try_file(directory: &Path) -> std::io::Result<()> {
    let path = directory.join(format!(".try-{}", std::process::id()));
    std::fs::write(&path, b"")?;
    std::fs::remove_file(&path)
}

/// The time, in whole seconds, as manifests have it.
fn now() -> String {
    let now = Clock::System.now().div_euclid(1_000) * 1_000;
    jiff::Timestamp::from_millisecond(now).map_or_else(|_| String::new(), |time| time.to_string())
}
