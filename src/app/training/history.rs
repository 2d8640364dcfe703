//! The past that is trained on.

use crate::{
    engine::{
        SignalSettings,
        settings::{Calendars, calendar_of},
        signal::{Epochs, Exclusions},
    },
    series::{Grid, Labels, LocalTime, Millis, Span, Zone},
    source::{Matrix, RangeRequest, Source},
    train::{Series, Settings, usual_features},
};
use std::collections::BTreeMap;

/// A source is asked for a day at a time, or for so many steps if that is longer.
const PIECE: Millis = 86_400_000;
const PIECE_STEPS: i64 = 1_440;

/// One signal with its past.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) settings: SignalSettings,
    pub(crate) grid: Grid,
    /// How far ahead is learnt.
    pub(crate) horizons: Vec<Span>,
    /// Those that the signal of the configuration publishes; none is known of a file.
    pub(crate) published: Option<Vec<Span>>,
    pub(crate) local: LocalTime,
    pub(crate) zone: Zone,
    /// By labels.
    pub(crate) series: Vec<Series>,
}

/// Samples of each series, ascending.
pub(crate) type Samples = BTreeMap<Labels, Vec<(Millis, f64)>>;

impl History {
    /// The series of a signal on its grid, without what is left out of training. `horizons` are learnt, or those of the
    /// signal.
    ///
    /// # Errors
    /// Settings that cannot be, or no samples.
    pub(crate) fn new(
        settings: SignalSettings,
        samples: &Samples,
        calendars: &Calendars,
        horizons: Option<Vec<Span>>,
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
            return Err(format!("signal {:?} has no samples", settings.name));
        }
        Ok(Self {
            horizons: horizons.unwrap_or_else(|| settings.forecast().horizons().to_vec()),
            published: None,
            settings,
            grid,
            local,
            zone,
            series,
        })
    }

    /// Whether some horizon that the signal publishes is answered is part of the judgement from now on.
    pub(crate) fn of_configuration(mut self) -> Self {
        self.published = Some(self.settings.forecast().horizons().to_vec());
        self
    }

    /// The features where none are named, for windows of so many rows.
    pub(crate) fn features(&self, window: usize) -> Vec<String> {
        let longest = self.series.iter().map(|one| one.values.len()).max();
        let span = Span::millis(longest.unwrap_or(0) as i64 * self.grid.step());
        let has_holidays = !self.settings.holidays.is_empty();
        let most = self.kept().saturating_sub(window);
        usual_features(self.grid, &self.horizons, span, most, has_holidays)
    }

    /// Whether such a network can be trained, and have all that it looks back on where it runs.
    ///
    /// # Errors
    /// What is not allowed, with the name of the setting.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), String> {
        settings.steps(self.grid)?;
        let reach = settings.window + settings.features(self.grid)?.lookback();
        if reach <= self.kept() {
            return Ok(());
        }
        let span = |steps: usize| Span::millis(self.grid.step() * steps as i64);
        let history = Epochs::history_for(reach, self.grid);
        Err(format!(
            "features: with the window they look back on {}, but with a history of {} only {} of a series are sure to be there \
             where the model runs; set history to {} or more, or look back less far",
            span(reach),
            self.settings.history(),
            span(self.kept()),
            span(history)
        ))
    }

    /// Values of a series that are sure to be there where the model runs.
    fn kept(&self) -> usize {
        Epochs::new(self.settings.history().as_millis(), self.grid).memory
    }
}

/// Which samples are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) settings: &'a SignalSettings,
    /// First and last time.
    pub(crate) span: (Millis, Millis),
}

/// Fetches the samples of a signal, a piece at a time.
///
/// # Errors
/// What the source says.
pub(crate) async fn fetch(wanted: &Fetch<'_>) -> Result<Samples, String> {
    let settings = wanted.settings;
    let grid = settings.grid().ok_or("step: must be longer than 0s")?;
    let piece = grid.floor(PIECE.max(PIECE_STEPS * grid.step()));
    let (mut at, to) = (grid.floor(wanted.span.0), grid.floor(wanted.span.1));
    let mut samples = Samples::new();
    while at <= to {
        let until = (at + piece - grid.step()).min(to);
        let request = RangeRequest {
            query: settings.query.clone(),
            start: at,
            end: until,
            step: grid.step(),
            max_series: settings.max_series,
        };
        let answer = wanted.source.range(request).await;
        add(&mut samples, answer.map_err(|error| error.to_string())?);
        at = until + grid.step();
    }
    Ok(samples)
}

/// Adds samples that follow those that are there.
pub(crate) fn add(samples: &mut Samples, piece: Matrix) {
    for series in piece.series {
        samples
            .entry(series.labels)
            .or_default()
            .extend(series.samples);
    }
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
