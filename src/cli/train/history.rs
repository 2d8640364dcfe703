//! The past that is trained on: of a signal from its source, or of a file.

use super::{Arguments, Failure};
use crate::{
    app::{self, AppOptions, ConfigSource},
    backtest::Input,
    cli::backtest::sources,
    config::{self, Config, suggestion},
    engine::{
        SignalSettings,
        settings::{Calendars, calendar_of},
        signal::Exclusions,
    },
    forecast::Models,
    registry,
    series::{Grid, Labels, LocalTime, Millis, Span, Zone},
    source::Matrix,
    train::{Series, usual_features},
};
use std::{collections::BTreeMap, path::Path};

/// A source is asked for a day at a time, or for so many steps if that is longer.
const PIECE: Millis = 86_400_000;
const PIECE_STEPS: i64 = 1_440;

/// One signal with its past.
#[derive(Debug)]
pub(super) struct History {
    pub(super) settings: SignalSettings,
    pub(super) grid: Grid,
    pub(super) horizons: Vec<Span>,
    /// Those that the signal of the configuration publishes; none is known of a file.
    pub(super) published: Option<Vec<Span>>,
    pub(super) local: LocalTime,
    pub(super) zone: Zone,
    /// By labels.
    pub(super) series: Vec<Series>,
    /// The section `models` of the configuration.
    pub(super) models: registry::Settings,
}

type Samples = BTreeMap<Labels, Vec<(Millis, f64)>>;

impl History {
    /// Reads what the arguments name.
    pub(super) fn read(arguments: &Arguments, now: Millis) -> Result<Self, Failure> {
        match &arguments.config_file {
            Some(path) => {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(of_source(arguments, path, now))
            }
            None => of_file(arguments),
        }
    }

    /// The features where none are named.
    pub(super) fn features(&self) -> Vec<String> {
        let longest = self.series.iter().map(|one| one.values.len()).max();
        let span = Span::millis(longest.unwrap_or(0) as i64 * self.grid.step());
        let has_holidays = !self.settings.holidays.is_empty();
        usual_features(self.grid, &self.horizons, span, has_holidays)
    }

    fn new(
        settings: SignalSettings,
        samples: Samples,
        calendars: &Calendars,
        models: registry::Settings,
        arguments: &Arguments,
    ) -> Result<Self, String> {
        let grid = settings.grid().ok_or("step: must be longer than 0s")?;
        let zone = settings.timezone.as_deref();
        let zone = zone.map_or(Ok(Zone::default()), Zone::named)?;
        let holidays = settings.holidays.iter();
        let holidays = holidays.map(|name| calendar_of(calendars, name));
        let local = LocalTime::new(zone.clone(), holidays.collect::<Result<_, String>>()?);
        let excluded = Exclusions::new(&settings.exclude, calendars)?;
        let series: Vec<Series> = samples
            .values()
            .filter_map(|samples| dense(samples, grid))
            .map(|series| without(series, &excluded, grid))
            .collect();
        if series.is_empty() {
            let text = match arguments.config_file {
                Some(_) => format!(
                    "{} answers none since --from={}",
                    settings.query, arguments.from
                ),
                None => "the file has none of it".to_owned(),
            };
            return Err(format!("signal {:?} has no samples: {text}", settings.name));
        }
        let published = settings.forecast().horizons().to_vec();
        let published = arguments.config_file.is_some().then_some(published);
        let horizons = arguments.file.horizons().map(<[Span]>::to_vec);
        let horizons = horizons.unwrap_or_else(|| settings.forecast().horizons().to_vec());
        Ok(Self {
            settings,
            grid,
            horizons,
            published,
            local,
            zone,
            series,
            models,
        })
    }
}

async fn of_source(arguments: &Arguments, path: &Path, now: Millis) -> Result<History, Failure> {
    let config = configured(path, arguments).map_err(Failure::Usage)?;
    let options = AppOptions::new(ConfigSource::Literal(Box::new(config)));
    let loaded = app::load(&options).await.map_err(Failure::Usage)?;
    let input = Input::Sources(sources(&loaded).map_err(Failure::Failed)?);
    let settings = loaded.config.signals[0].clone();
    let from = arguments.from.resolve(now);
    let to = arguments
        .to
        .map_or(now - settings.offset.as_millis(), |to| to.resolve(now));
    if from >= to {
        let text = format!("--from: {} is not before --to", arguments.from);
        return Err(Failure::Usage(text));
    }
    let samples = fetch(&input, &settings, from, to).await;
    let samples = samples.map_err(Failure::Failed)?;
    let models = loaded.config.models.clone();
    History::new(settings, samples, &loaded.calendars, models, arguments).map_err(Failure::Failed)
}

/// The configuration with the signal that is asked for alone, and without what it names to run: the model that is to be
/// trained may be among its forecasters and not be there yet.
fn configured(path: &Path, arguments: &Arguments) -> Result<Config, String> {
    let text = std::fs::read_to_string(path);
    let text =
        text.map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
    let env = AppOptions::new(ConfigSource::File(path.to_owned())).env;
    let mut config = config::parse(&text, &*env).map_err(|problems| {
        let lines = problems.render(&path.display().to_string());
        lines.trim_end().to_owned()
    })?;
    config.set_directory(path.parent().unwrap_or(Path::new("")));
    let name = arguments.signal.as_deref().unwrap_or_default();
    let mut signal = chosen(std::mem::take(&mut config.signals), name)?;
    signal.forecast.models = Models::Auto;
    signal.detectors = None;
    config.signals = vec![signal];
    Ok(config)
}

fn chosen(all: Vec<SignalSettings>, name: &str) -> Result<SignalSettings, String> {
    let known: Vec<String> = all.iter().map(|signal| signal.name.clone()).collect();
    let found = all.into_iter().find(|signal| signal.name == name);
    found.ok_or_else(|| {
        let near = suggestion(name, known.iter().map(String::as_str));
        let known = known.join(", ");
        format!("--signal: there is no signal {name:?}{near}; signals: {known}")
    })
}

async fn fetch(
    input: &Input,
    settings: &SignalSettings,
    from: Millis,
    to: Millis,
) -> Result<Samples, String> {
    let grid = settings.grid().ok_or("step: must be longer than 0s")?;
    let piece = grid.floor(PIECE.max(PIECE_STEPS * grid.step()));
    let (mut at, to) = (grid.floor(from), grid.floor(to));
    let mut samples = Samples::new();
    while at <= to {
        let until = (at + piece - grid.step()).min(to);
        add(&mut samples, input.fetch(settings, at, until).await?);
        at = until + grid.step();
    }
    Ok(samples)
}

fn add(samples: &mut Samples, piece: Matrix) {
    for series in piece.series {
        samples
            .entry(series.labels)
            .or_default()
            .extend(series.samples);
    }
}

fn of_file(arguments: &Arguments) -> Result<History, Failure> {
    let (signals, mut samples) = arguments.file.read().map_err(Failure::Usage)?;
    let name = match (&arguments.signal, &signals[..]) {
        (Some(name), _) => name.clone(),
        (None, [only]) => only.name.clone(),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|one| one.name.as_str()).collect();
            let text = format!("--signal: which of {}?", names.join(", "));
            return Err(Failure::Usage(text));
        }
    };
    let settings = chosen(signals, &name).map_err(Failure::Usage)?;
    let mut by_labels = Samples::new();
    add(&mut by_labels, samples.remove(&name).unwrap_or_default());
    let models = registry::Settings::default();
    History::new(settings, by_labels, &Calendars::new(), models, arguments).map_err(Failure::Failed)
}

/// Samples with the gaps between them.
fn dense(samples: &[(Millis, f64)], grid: Grid) -> Option<Series> {
    let (first, last) = (samples.first()?.0, samples.last()?.0);
    let count = grid.index(last) - grid.index(first) + 1;
    let mut values = vec![f32::NAN; usize::try_from(count).ok()?];
    for &(at, value) in samples {
        let place = usize::try_from(grid.index(at) - grid.index(first)).unwrap_or(0);
        // What does not fit is missing, as in the windows of a running process.
        values[place] = Some(value as f32)
            .filter(|value| value.is_finite())
            .unwrap_or(f32::NAN);
    }
    Some(Series {
        end: grid.floor(last),
        values,
    })
}

/// What is left out of training is missing.
fn without(series: Series, excluded: &Exclusions, grid: Grid) -> Series {
    let begin = series.time(grid, 0);
    let values = excluded.learnable(begin, grid.step(), &series.values);
    Series {
        values: values.into_owned(),
        ..series
    }
}
