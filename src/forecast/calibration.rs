//! From what the members forecast on a walk through the past to the choice, interval and trust of one
//! series at one horizon.

use super::{
    choice::{Choice, choose},
    contest::{Bout, Score},
    crest::{Crest, Judged},
    health::Errors,
    lanes::Lanes,
    scale::{Mode, Seen},
    standby::{Source, Standby},
    track::Track,
    wall::Wall,
};
use crate::series::{Millis, Past};

/// Forecasts waiting for their actual value, at most, per horizon.
const MOST_PENDING: usize = 96;

/// An origin this much older counts half in the choice among members, or one horizon where that is longer: forecasts
/// that overlap say the same.
const HALF_LIFE: Millis = 3 * DAY;
const DAY: Millis = 86_400_000;

/// A less plain way of scaling must score better by this factor: plain ones surprise less.
const MUST_GAIN: f32 = 0.98;

/// What members forecast at the origins of a walk through the newer part of a past.
pub(super) struct Walk<'a> {
    pub(super) past: &'a Past<'a>,
    pub(super) wall: &'a Wall,
    /// Origins are the grid times whose number is a multiple of this.
    pub(super) stride: usize,
    pub(super) cast: &'a Cast,
    /// Steps ahead of each, windows among them.
    pub(super) horizons: &'a [usize],
    pub(super) lanes: &'a Lanes,
    /// Index of each origin in the past, ascending.
    pub(super) origins: Vec<usize>,
    /// By origin, then as in [`Cast`], horizons inner.
    pub(super) points: Vec<f32>,
}

/// Whose forecasts lie where at an origin: the members, seasonal naive, the rule, the last value, then versions of
/// networks that stand by or are compared.
#[derive(Debug, Clone, Default)]
pub(super) struct Cast {
    /// By member, whether it is a network.
    pub(super) networks: Vec<bool>,
    /// By member, whether it is about the greatest value within a window.
    pub(super) of_maxima: Vec<bool>,
    /// By member, the place of the version that was in force before.
    pub(super) former: Vec<Option<usize>>,
    /// Rows in all.
    pub(super) rows: usize,
}

impl Cast {
    /// How many members there are.
    pub(super) fn members(&self) -> usize {
        self.networks.len()
    }

    /// Whether a member says nothing of horizons, as it is about windows and others are there.
    fn leaves_horizons(&self, member: usize) -> bool {
        self.of_maxima[member] && self.of_maxima.contains(&false)
    }

    pub(super) fn reference(&self) -> usize {
        self.members()
    }

    pub(super) fn rule(&self) -> usize {
        self.members() + 1
    }

    pub(super) fn last_value(&self) -> usize {
        self.members() + 2
    }

    /// Where the versions begin.
    pub(super) fn shadows(&self) -> usize {
        self.members() + 3
    }

    /// What a naive forecast expects: the season before, or the last value where no season is known.
    pub(super) fn naive(&self, point: impl Fn(usize) -> f32) -> f32 {
        let seasonal = point(self.reference());
        if seasonal.is_finite() {
            seasonal
        } else {
            point(self.last_value())
        }
    }

    /// What `source` expects, given `point`, which says what each row does.
    pub(super) fn expected(
        &self,
        source: Source,
        choice: Option<Choice>,
        point: impl Fn(usize) -> f32,
    ) -> f32 {
        match source {
            Source::Member(member) => point(member),
            Source::Reference => point(self.reference()),
            Source::Rule => point(self.rule()),
            Source::Previous => choice.map_or(f32::NAN, |choice| {
                choice.of(|member| point(self.former[member].unwrap_or(member)))
            }),
        }
    }

    /// Whether a choice has a former version to go back to.
    fn has_former(&self, choice: Choice) -> bool {
        (0..self.members()).any(|member| choice.has(member) && self.former[member].is_some())
    }
}

/// One origin as one horizon sees it.
struct Origin<'a> {
    /// Number of its grid time.
    number: i64,
    /// Number of the grid time forecast, and the part of the season it is in.
    target: i64,
    bin: usize,
    /// `NaN` where it is missing or not yet known.
    actual: f32,
    /// As in [`Cast`], horizons inner.
    points: &'a [f32],
}

impl Walk<'_> {
    /// The track of the `h`-th horizon as of the end of the past.
    pub(super) fn track(&self, h: usize, interval: f32) -> Track {
        let stride = horizon_stride(self.stride, self.horizons[h]);
        let mut track = Track::new(stride, self.past.seasons.first().copied(), interval);
        let origins = self.origins(h, &track);
        let errors = self.errors(h, &origins);
        let weights = self.weights(&origins, self.horizons[h]);
        let (choice, ranking) = choose(&errors, &weights, interval).unzip();
        track.choice = choice;
        let mut track = match choice {
            Some(choice) => {
                let judged = (&errors[..], &weights[..], &origins[..]);
                self.calibrated(&track, choice, h, interval, judged)
            }
            None => track,
        };
        track.standbys = self.standbys(h, choice, &ranking.unwrap_or_default(), &origins);
        track
    }

    /// How the versions of a network did at the `h`-th horizon, at the origins of its track.
    pub(super) fn score(&self, h: usize, track: &Track, bout: &Bout) -> Score {
        let (count, grid) = (self.horizons.len(), self.past.grid);
        let mut score = Score::default();
        for origin in self.origins(h, track) {
            score.resolve(origin.number, grid, |target| self.actual(h, target));
            let point = |row: usize| origin.points[row * count + h];
            score.file(bout.waiting(origin.target, self.cast.naive(point), point));
        }
        let end = grid.index(self.past.end);
        score.resolve(end, grid, |target| self.actual(h, target));
        score
    }

    /// Who stands by for the choice.
    fn standbys(
        &self,
        h: usize,
        choice: Option<Choice>,
        ranking: &[usize],
        origins: &[Origin<'_>],
    ) -> Box<[Standby]> {
        let (cast, count) = (self.cast, self.horizons.len());
        let former = choice.is_some_and(|choice| cast.has_former(choice));
        let overlap = self.horizons[h] / horizon_stride(self.stride, self.horizons[h]);
        let standby = |source: Source| {
            let errors = origins.iter().map(|origin| {
                let point = |row: usize| origin.points[row * count + h];
                origin.actual - cast.expected(source, choice, point)
            });
            Standby::new(source, errors, overlap)
        };
        let sources = Source::behind(choice, ranking, &cast.networks, former);
        sources.into_iter().filter_map(standby).collect()
    }

    /// The way of scaling that would have cost least, with the state it leaves behind.
    fn calibrated(
        &self,
        track: &Track,
        choice: Choice,
        h: usize,
        interval: f32,
        (errors, weights, origins): (&[Vec<f32>], &[f32], &[Origin<'_>]),
    ) -> Track {
        let count = self.horizons.len();
        let residuals: Vec<Seen> = origins
            .iter()
            .enumerate()
            .map(|(i, origin)| Seen {
                bin: origin.bin,
                expected: choice.of(|member| origin.points[member * count + h]),
                residual: choice.of(|member| errors[member][i]),
            })
            .filter(|seen| seen.residual.is_finite())
            .collect();
        let prepared = |mode: Mode| {
            let mut track = track.clone();
            track.prepare(interval, &residuals, self.horizons[h], mode);
            track
        };
        let attempt = |mode: &Mode| {
            let mut tried = prepared(*mode);
            self.replay(&mut tried, choice, h, origins, &mut |_, _| ());
            (*mode, tried)
        };
        let better = |best: (Mode, Track), next: (Mode, Track)| {
            if next.1.score() < MUST_GAIN * best.1.score() {
                next
            } else {
                best
            }
        };
        let [plain, scales @ ..] = Mode::SCALES;
        let best = scales.iter().map(attempt).fold(attempt(&plain), better);
        let refined = best.0.refined();
        let (mode, mut best) = refined.iter().map(attempt).fold(best, better);
        if h >= self.lanes.horizons {
            best.crest = self.crest(prepared(mode), choice, h, weights, origins);
        }
        best.errors = self.errors_so_far(choice, errors, origins);
        best
    }

    /// Whether what a window held a day before counts, judged by the quantiles that `track` had at each origin.
    fn crest(
        &self,
        mut track: Track,
        choice: Choice,
        h: usize,
        weights: &[f32],
        origins: &[Origin<'_>],
    ) -> Crest {
        let mut judged = Judged::default();
        let count = self.horizons.len();
        let values = self.past.values;
        let end = self.past.grid.index(self.past.end);
        let mut weights = weights.iter();
        self.replay(&mut track, choice, h, origins, &mut |track, origin| {
            let weight = weights.next().copied().unwrap_or(0.0);
            let known = values.len() as i64 - (end - origin.number);
            let before = self.lanes.day_before(h, &values[..known as usize]);
            let expected = choice.of(|member| origin.points[member * count + h]);
            judged.see(weight, origin.actual, before, |level| {
                track.quantile(origin.bin, expected, level)
            });
        });
        judged.crest()
    }

    /// The errors of what is chosen, those of the newest day judged by the others.
    fn errors_so_far(&self, choice: Choice, errors: &[Vec<f32>], origins: &[Origin<'_>]) -> Errors {
        let grid = self.past.grid;
        let end = grid.index(self.past.end);
        let day = grid.steps(DAY) as i64;
        let known: Vec<f32> = (0..origins.len())
            .filter(|&index| origins[index].target <= end)
            .map(|index| choice.of(|member| errors[member][index]))
            .collect();
        let open = origins
            .iter()
            .filter(|one| one.target <= end && one.target > end - day);
        Errors::derive(&known, open.count())
    }

    fn origins(&self, h: usize, track: &Track) -> Vec<Origin<'_>> {
        let (past, steps, lane) = (self.past, self.horizons[h], self.lanes.get(h));
        let row = self.cast.rows * self.horizons.len();
        self.origins
            .iter()
            .zip(self.points.chunks_exact(row))
            .map(|(&index, points)| {
                let target = past.time(index) + steps as i64 * past.grid.step();
                Origin {
                    number: past.grid.index(past.time(index)),
                    target: past.grid.index(target),
                    bin: track.bin(self.wall.index(target)),
                    actual: match past.values.get(..=index + steps) {
                        Some(values) => lane.actual(values),
                        None => f32::NAN,
                    },
                    points,
                }
            })
            .filter(|origin| origin.number.rem_euclid(track.stride as i64) == 0)
            .collect()
    }

    /// How much each origin counts in the choice: what was best lately counts more.
    fn weights(&self, origins: &[Origin<'_>], steps: usize) -> Vec<f32> {
        let half = (HALF_LIFE as f32 / self.past.grid.step() as f32).max(steps as f32);
        let newest = origins.last().map_or(0, |origin| origin.number);
        let weight = |origin: &Origin<'_>| (-((newest - origin.number) as f32) / half).exp2();
        origins.iter().map(weight).collect()
    }

    /// Residuals by member, then origin.
    fn errors(&self, h: usize, origins: &[Origin<'_>]) -> Vec<Vec<f32>> {
        let count = self.horizons.len();
        let is_horizon = h < self.lanes.horizons;
        (0..self.cast.members())
            .map(|member| {
                let says = !(is_horizon && self.cast.leaves_horizons(member));
                let error = |origin: &Origin<'_>| match says {
                    true => origin.actual - origin.points[member * count + h],
                    false => f32::NAN,
                };
                origins.iter().map(error).collect()
            })
            .collect()
    }

    /// Forecasts at each origin and takes in each actual value when it became known, in their order. `seen` is told of each
    /// origin before it is forecast from.
    fn replay(
        &self,
        track: &mut Track,
        choice: Choice,
        h: usize,
        origins: &[Origin<'_>],
        seen: &mut dyn FnMut(&Track, &Origin<'_>),
    ) {
        let count = self.horizons.len();
        for origin in origins {
            self.resolve(track, h, origin.number);
            seen(track, origin);
            let expected = choice.of(|member| origin.points[member * count + h]);
            let reference = origin.points[self.cast.reference() * count + h];
            track.forecast(origin.target, origin.bin, expected, reference);
        }
        self.resolve(track, h, self.past.grid.index(self.past.end));
    }

    fn resolve(&self, track: &mut Track, h: usize, now: i64) {
        while let Some(due) = track.due(now) {
            track.resolve(&due, self.actual(h, due.target));
        }
    }

    /// What came of the `h`-th thing that is forecast for a grid time within the past, by its number.
    fn actual(&self, h: usize, number: i64) -> f32 {
        let end = self.past.grid.index(self.past.end);
        let index = self.past.values.len() as i64 - 1 - (end - number);
        self.lanes
            .get(h)
            .actual(&self.past.values[..=index as usize])
    }
}

/// A multiple of the walk's stride, so that every origin of the horizon is one of the walk's.
fn horizon_stride(stride: usize, steps: usize) -> usize {
    steps.div_ceil(MOST_PENDING).div_ceil(stride) * stride
}
