//! `forethought backfill import`.

use crate::{
    app::{self, AppOptions, ConfigSource},
    backfill::{self, Import, Imported},
    cli::{Failure, bar::bar},
    engine::Clock,
};
use std::{io::Write, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  The past of what is scraped, out of the Prometheus that scraped it until now:
    promtool tsdb dump-openmetrics --match='{job=\"shop\"}' /var/lib/prometheus > past.om
    forethought backfill import --config.file=forethought.yml past.om

Samples are taken in as if they came now, in the order of their times; of each signal as many steps as its history is long.
What is kept already stays: only grid times that nothing is known of are filled. Labels must be those that the series have
when they come, job and instance too. Nothing is changed where a file is wrong, or while a forethought runs that keeps its
histories in the folder.
Exit codes: 0 all well, 1 failed, 2 usage or configuration.";

/// Arguments of `backfill import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file: its signals over sources that are scraped or pushed to
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: PathBuf,
    /// The folder in which a process keeps the past of what it scrapes or is pushed
    #[arg(long = "storage.path", value_name = "DIR", default_value = "data")]
    storage: PathBuf,
    /// Files of OpenMetrics or Prometheus text with times, packed with gzip or xz or not; - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Takes them in and says what came of it.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let options = AppOptions::new(ConfigSource::File(arguments.config_file.clone()));
    let loaded = runtime.block_on(app::load(&options));
    let loaded = loaded.map_err(Failure::Usage)?;
    let import = Import {
        locals: backfill::locals(&loaded.config),
        storage: arguments.storage.clone(),
        files: arguments.files.clone(),
        now: Clock::System.now(),
    };
    let bar = bar(1_000);
    let progress = |what: &str, share: f64| {
        bar.set_message(what.to_owned());
        bar.set_position((share * 1_000.0) as u64);
    };
    let done = backfill::import(&import, &progress);
    bar.finish_and_clear();
    let done: Imported = done.map_err(Failure::Failed)?;
    write!(out, "{done}")?;
    Ok(())
}
