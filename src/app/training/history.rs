//! The past that is trained on.

use super::cache::Cache;
use crate::{
    engine::{
        SignalSettings,
        settings::{Calendars, calendar_of},
        signal::{Epochs, Exclusions},
    },
    series::{Grid, Labels, LocalTime, Millis, Share, Span, Zone},
    source::{Matrix, RangeRequest, Source},
    train::{Series, Settings, usual_features},
};
use std::collections::BTreeMap;

/// A source is asked for a day at a time, or for so many steps if that is longer.
const PIECE: Millis = 86_400_000;
const PIECE_STEPS: i64 = 1_440;
/// Samples may be late; later than this they are not expected.
const SETTLED: Millis = 3 * 3_600_000;

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
    /// Where the source is: samples of one place are not those of another.
    pub(crate) address: &'a str,
    pub(crate) settings: &'a SignalSettings,
    /// First and last time.
    pub(crate) span: (Millis, Millis),
    /// Now: samples older than [`SETTLED`] do not change any more.
    pub(crate) now: Millis,
    /// Where pieces that are over are kept.
    pub(crate) cache: Option<&'a Cache>,
}

/// How far a fetch has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Pieces that are here.
    pub(crate) pieces: usize,
    /// Of so many.
    pub(crate) of: usize,
    /// Pieces that were in the cache.
    pub(crate) kept: usize,
    /// Samples in them.
    pub(crate) samples: usize,
}

/// Fetches the samples of a signal, a piece at a time; `progress` is told after each.
///
/// # Errors
/// What the source says.
pub(crate) async fn fetch(
    wanted: &Fetch<'_>,
    progress: &mut (dyn FnMut(Fetched) + Send),
) -> Result<Samples, String> {
    let grid = wanted.settings.grid();
    let grid = grid.ok_or("step: must be longer than 0s")?;
    let pieces = pieces(wanted, grid);
    let mut fetched = Fetched {
        of: pieces.len(),
        ..Fetched::default()
    };
    let mut samples = Samples::new();
    for piece in pieces {
        let kept = wanted.kept(&piece);
        fetched.kept += usize::from(kept.is_some());
        let answer = match kept {
            Some(answer) => answer,
            None => wanted.ask(&piece).await?,
        };
        fetched.pieces += 1;
        let series = answer.series.iter();
        fetched.samples += series.map(|one| one.samples.len()).sum::<usize>();
        add(&mut samples, answer);
        progress(fetched);
    }
    Ok(samples)
}

/// One request.
struct Piece {
    request: RangeRequest,
    /// Whether another training will ask for just this, and get the same answer.
    is_lasting: bool,
}

/// The span in pieces that begin at multiples of their length, so that they are the same tomorrow.
fn pieces(wanted: &Fetch<'_>, grid: Grid) -> Vec<Piece> {
    let (from, to) = (grid.floor(wanted.span.0), grid.floor(wanted.span.1));
    let length = grid.floor(PIECE.max(PIECE_STEPS * grid.step()));
    let mut pieces = Vec::new();
    let mut at = from;
    while at <= to {
        let next = (at.div_euclid(length) + 1) * length;
        let end = grid.floor(next - 1).min(to);
        let is_whole = end - at + grid.step() == length;
        pieces.push(Piece {
            is_lasting: is_whole && end < to && end + SETTLED <= wanted.now,
            request: RangeRequest {
                query: wanted.settings.query.clone(),
                start: at,
                end,
                step: grid.step(),
                max_series: wanted.settings.max_series,
                share: Share::ALL,
            },
        });
        at = end + grid.step();
    }
    pieces
}

impl Fetch<'_> {
    fn kept(&self, piece: &Piece) -> Option<Matrix> {
        let cache = self.cache.filter(|_| piece.is_lasting)?;
        cache.read(self.address, &piece.request)
    }

    async fn ask(&self, piece: &Piece) -> Result<Matrix, String> {
        let answer = self.source.range(piece.request.clone()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if let Some(cache) = self.cache.filter(|_| piece.is_lasting) {
            cache.write(self.address, &piece.request, &answer);
        }
        Ok(answer)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Answer, BreakerState, Cause, SeriesSamples, SourceError};
    use std::sync::Mutex;

    const DAY: Millis = 86_400_000;
    const HOUR: Millis = 3_600_000;

    /// A source that remembers what it was asked for, and goes away after so many answers.
    #[derive(Debug, Default)]
    struct Remembering {
        asked: Mutex<Vec<(Millis, Millis)>>,
        most: Option<usize>,
    }

    impl Source for Remembering {
        fn name(&self) -> &str {
            "main"
        }

        fn breaker(&self) -> BreakerState {
            BreakerState::Closed
        }

        fn range(&self, request: RangeRequest) -> Answer<'_> {
            let mut asked = self.asked.lock().unwrap();
            if self.most.is_some_and(|most| asked.len() >= most) {
                let message = "gone".to_owned();
                let cause = Cause::Connect;
                return Box::pin(async move { Err(SourceError { cause, message }) });
            }
            asked.push((request.start, request.end));
            let times = (request.start..=request.end).step_by(request.step as usize);
            let series = vec![SeriesSamples {
                labels: Labels::new([("a", "b")]).unwrap(),
                samples: times.map(|at| (at, at as f64)).collect(),
            }];
            Box::pin(async move {
                Ok(Matrix {
                    series,
                    ..Matrix::default()
                })
            })
        }
    }

    fn fetched(
        source: &Remembering,
        span: (Millis, Millis),
        cache: Option<&Cache>,
    ) -> (Result<Samples, String>, Fetched) {
        let mut settings = SignalSettings::new("load", "load");
        settings.step = Span::minutes(60);
        let wanted = Fetch {
            source,
            address: "http://here",
            settings: &settings,
            span,
            now: 180 * DAY + 4 * HOUR,
            cache,
        };
        let mut last = Fetched::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let done = runtime
            .unwrap()
            .block_on(fetch(&wanted, &mut |now| last = now));
        (done, last)
    }

    #[test]
    fn a_fetch_that_was_broken_off_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        // An hour's steps: a piece is 60 days long. The first and the last one are not whole.
        let span = (30 * DAY, 180 * DAY + HOUR);
        let broken = Remembering {
            most: Some(2),
            ..Remembering::default()
        };
        let (done, last) = fetched(&broken, span, Some(&cache));
        assert_eq!(done, Err("gone".to_owned()));
        assert_eq!((last.pieces, last.of, last.kept), (2, 4, 0));
        let sound = Remembering::default();
        let (done, last) = fetched(&sound, span, Some(&cache));
        assert_eq!((last.pieces, last.kept, last.samples), (4, 1, 150 * 24 + 2));
        let asked = sound.asked.lock().unwrap().clone();
        assert_eq!(
            asked,
            [
                (30 * DAY, 60 * DAY - HOUR),
                (120 * DAY, 180 * DAY - HOUR),
                (180 * DAY, 180 * DAY + HOUR),
            ]
        );
        // Pieces make no difference to what is trained on.
        let (without, _) = fetched(&Remembering::default(), span, None);
        assert_eq!(done, without);
        let samples = without.unwrap().into_values().next().unwrap();
        assert!(samples.windows(2).all(|two| two[1].0 - two[0].0 == HOUR));
    }

    #[test]
    fn what_may_still_change_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let span = (60 * DAY, 180 * DAY - HOUR);
        for _ in 0..2 {
            let source = Remembering::default();
            fetched(&source, span, Some(&cache)).0.unwrap();
            let asked = source.asked.lock().unwrap();
            // The newest piece, although whole and over.
            assert_eq!(asked.last(), Some(&(120 * DAY, 180 * DAY - HOUR)));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
