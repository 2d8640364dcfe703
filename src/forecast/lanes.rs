//! What is forecast: values at horizons, and maxima over windows.
//!
//! A scaler asks for the greatest load between now and the time at which a new replica is ready, and the maximum of quantiles at
//! single steps is not a quantile of the maximum: errors that are not the same at all steps leave more to chance. So a window is forecast
//! as one more quantity of its own. Its expected value is the greatest of the expected values at a few knots within
//! it, its actual value the greatest one that came, and choice, interval and trust are worked out from those like
//! those of a horizon: the residuals know what the knots do not.

use crate::series::{Grid, Millis, Slot, Span};

/// Knots of a window beside its horizons, at these shares of its length.
const KNOTS: [f32; 3] = [1.0 / 3.0, 2.0 / 3.0, 1.0];
/// Share of the values of a window that must be known for its greatest value to be.
const LEAST_KNOWN: f32 = 0.75;

/// Each costs as much as some horizons.
const MOST_WINDOWS: usize = 4;
/// A day of minutes: that many values of each series are kept.
const LONGEST_WINDOW: usize = 1_440;
const DAY: Millis = 86_400_000;

/// Every problem of the windows that a person wrote, as (field, what is wrong and what is allowed). `step` is that of
/// the signal, where it is known.
pub(super) fn window_problems(windows: &[Span], grid: Option<Grid>) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    if windows.len() > MOST_WINDOWS {
        let text = format!("{} windows; at most {MOST_WINDOWS}", windows.len());
        problems.push(("windows".to_owned(), text));
    }
    for (index, window) in windows.iter().enumerate() {
        let mut add = |text: String| problems.push((format!("windows[{index}]"), text));
        if window.as_millis() <= 0 {
            add("must be longer than 0s".to_owned());
        } else if index > 0 && *window <= windows[index - 1] {
            add(format!(
                "{window} is not longer than {} before it; write them shortest first, each once",
                windows[index - 1]
            ));
        }
        let Some(grid) = grid else { continue };
        let step = Span::millis(grid.step());
        if window.as_millis() % grid.step() != 0 {
            add(format!("{window} is not a whole number of steps of {step}"));
        } else if grid.steps(window.as_millis()) > LONGEST_WINDOW {
            let longest = Span::millis(grid.step() * LONGEST_WINDOW as i64);
            add(format!(
                "{window} is too long; at a step of {step} at most {longest}"
            ));
        }
    }
    problems
}

/// What is forecast of every series: horizons, then windows.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    /// Steps ahead that members are asked for, ascending.
    pub(super) asked: Vec<usize>,
    lanes: Vec<Lane>,
    /// How many of them are horizons.
    pub(super) horizons: usize,
    /// Steps of a day; `None` where there are no windows, or where it has more steps than are kept.
    day: Option<usize>,
}

/// One thing that is forecast.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// Steps until its actual value is known.
    steps: usize,
    /// Places in [`Lanes::asked`]: one of a horizon, some of a window.
    columns: Vec<usize>,
    is_window: bool,
}

impl Lanes {
    /// Horizons and windows in steps, both ascending.
    pub(super) fn new(horizons: &[usize], windows: &[usize], grid: Grid) -> Self {
        let within = |window: usize| {
            let further = KNOTS.map(|share| (window as f32 * share).round().max(1.0) as usize);
            let inside = horizons
                .iter()
                .copied()
                .filter(move |&steps| steps <= window);
            inside.chain(further)
        };
        let knots = windows.iter().flat_map(|&window| within(window));
        let mut asked: Vec<usize> = horizons.iter().copied().chain(knots).collect();
        asked.sort_unstable();
        asked.dedup();
        let columns = |steps: Vec<usize>| -> Vec<usize> {
            let places = asked.iter().enumerate();
            let of = places.filter(|(_, asked)| steps.contains(asked));
            of.map(|(place, _)| place).collect()
        };
        let of_horizons = horizons.iter().map(|&steps| Lane {
            steps,
            columns: columns(vec![steps]),
            is_window: false,
        });
        let of_windows = windows.iter().map(|&steps| Lane {
            steps,
            columns: columns(within(steps).collect()),
            is_window: true,
        });
        let day = (DAY % grid.step() == 0).then(|| grid.steps(DAY));
        Self {
            lanes: of_horizons.chain(of_windows).collect(),
            horizons: horizons.len(),
            asked,
            day: day.filter(|&day| !windows.is_empty() && day <= LONGEST_WINDOW),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn get(&self, lane: usize) -> &Lane {
        &self.lanes[lane]
    }

    /// Whether members are asked for exactly what is forecast.
    pub(super) fn is_plain(&self) -> bool {
        self.len() == self.horizons
    }

    /// Expected values of what is forecast, given those of what was asked, series after series.
    pub(super) fn collapse(&self, asked: &[f32], out: &mut [f32]) {
        let rows = asked.chunks_exact(self.asked.len());
        for (row, out) in rows.zip(out.chunks_exact_mut(self.len())) {
            for (lane, out) in self.lanes.iter().zip(out) {
                *out = lane.of(|column| row[column]);
            }
        }
    }

    /// Steps until the actual value of each is known.
    pub(super) fn steps(&self) -> Vec<usize> {
        self.lanes.iter().map(|lane| lane.steps).collect()
    }

    /// Values of a series that are looked back at: the longest window, and a day.
    fn kept(&self) -> usize {
        let windows = self.lanes[self.horizons..].iter();
        let longest = windows.map(|lane| lane.steps).max().unwrap_or(0);
        longest.max(self.day.unwrap_or(0))
    }

    /// What the window that begins now held a day ago, given the values up to now; `NaN` where that is not known, or not over.
    pub(super) fn day_before(&self, lane: usize, values: &[f32]) -> f32 {
        let lane = self.get(lane);
        let from = self
            .day
            .filter(|&day| lane.is_window && lane.steps <= day)
            .and_then(|day| values.len().checked_sub(day));
        match from {
            Some(from) => greatest(&values[from..from + lane.steps], lane.steps),
            None => f32::NAN,
        }
    }
}

impl Lane {
    /// The expected value, given what is expected at each of [`Lanes::asked`]; `NaN` where nothing is.
    pub(super) fn of(&self, at: impl Fn(usize) -> f32) -> f32 {
        let values = self.columns.iter().map(|&column| at(column));
        values.fold(f32::NAN, f32::max)
    }

    /// The actual value, given the values up to its grid time; `NaN` where it is not known.
    pub(super) fn actual(&self, values: &[f32]) -> f32 {
        match values.last() {
            Some(&newest) if !self.is_window => newest,
            _ => greatest(
                &values[values.len().saturating_sub(self.steps)..],
                self.steps,
            ),
        }
    }
}

/// The greatest of the values of a window of so many steps.
fn greatest(values: &[f32], steps: usize) -> f32 {
    let known = values.iter().filter(|value| value.is_finite()).count();
    if (known as f32) < LEAST_KNOWN * steps as f32 {
        return f32::NAN;
    }
    values.iter().copied().fold(f32::NAN, f32::max)
}

/// The newest values of every series, for the actual values of windows and what they were a day before.
#[derive(Debug)]
pub(super) struct Newest {
    /// Values kept of each.
    kept: usize,
    /// By slot, twice as many, so that the newest ones always lie side by side.
    rings: Vec<f32>,
    /// By slot, where the next one goes.
    next: Vec<u32>,
}

impl Newest {
    pub(super) fn new(lanes: &Lanes) -> Self {
        Self {
            kept: lanes.kept(),
            rings: Vec::new(),
            next: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.rings.resize(slots * 2 * self.kept, f32::NAN);
        self.next.resize(slots, 0);
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        crate::series::swap_rows(&mut self.rings, 2 * self.kept, one, other);
        self.next.swap(one, other);
    }

    /// Takes in a past, oldest first.
    pub(super) fn learn(&mut self, slot: Slot, values: &[f32]) {
        let width = 2 * self.kept;
        self.rings[slot * width..(slot + 1) * width].fill(f32::NAN);
        self.next[slot] = 0;
        let from = values.len().saturating_sub(self.kept);
        values[from..]
            .iter()
            .for_each(|&value| self.see(slot, value));
    }

    /// Takes in the value of the next step, `NaN` where it is missing.
    pub(super) fn see(&mut self, slot: Slot, value: f32) {
        if self.kept == 0 {
            return;
        }
        let next = self.next[slot] as usize;
        let ring = &mut self.rings[slot * 2 * self.kept..(slot + 1) * 2 * self.kept];
        (ring[next], ring[next + self.kept]) = (value, value);
        self.next[slot] = ((next + 1) % self.kept) as u32;
    }

    /// The values that are kept, oldest first.
    pub(super) fn of(&self, slot: Slot) -> &[f32] {
        let from = slot * 2 * self.kept + self.next[slot] as usize;
        &self.rings[from..from + self.kept]
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.rings.capacity() * size_of::<f32>() + self.next.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes() -> Grid {
        Grid::new(60_000).unwrap()
    }

    #[test]
    fn the_day_before_is_the_same_window_of_a_day_ago() {
        let hours = Grid::new(3_600_000).unwrap();
        let lanes = Lanes::new(&[1], &[2, 30], hours);
        let mut values: Vec<f32> = (0..100).map(|hour| hour as f32).collect();
        // The newest is that of hour 99: the window is of hours 100 and 101, a day before 76 and 77.
        assert_eq!(lanes.day_before(1, &values), 77.0);
        assert!(lanes.day_before(0, &values).is_nan(), "no window");
        assert!(lanes.day_before(2, &values).is_nan(), "longer than a day");
        assert!(lanes.day_before(1, &values[..23]).is_nan());
        values[77] = f32::NAN;
        assert!(lanes.day_before(1, &values).is_nan());
        let seconds = Lanes::new(&[1], &[2], Grid::new(15_000).unwrap());
        assert!(seconds.day_before(1, &values.repeat(100)).is_nan());
    }

    #[test]
    fn a_window_is_asked_at_its_horizons_and_three_further_knots() {
        let lanes = Lanes::new(&[15, 60, 1_440], &[15, 90], minutes());
        assert_eq!(lanes.asked, [5, 10, 15, 30, 60, 90, 1_440]);
        let steps = |lane: usize| -> Vec<usize> {
            let columns = lanes.get(lane).columns.iter();
            columns.map(|&column| lanes.asked[column]).collect()
        };
        assert_eq!(steps(1), [60]);
        assert_eq!(steps(3), [5, 10, 15]);
        assert_eq!(steps(4), [15, 30, 60, 90]);
        assert_eq!((lanes.len(), lanes.kept()), (5, 1_440));
        let none = Lanes::new(&[15, 60], &[], minutes());
        assert_eq!((none.asked.as_slice(), none.kept()), (&[15, 60][..], 0));
    }

    #[test]
    fn windows_that_cannot_be_are_told() {
        let spans = |minutes: &[i64]| -> Vec<Span> {
            minutes
                .iter()
                .map(|&minutes| Span::minutes(minutes))
                .collect()
        };
        let grid = Grid::new(300_000);
        let told = |minutes: &[i64]| -> String {
            let problems = window_problems(&spans(minutes), grid).into_iter();
            let lines = problems.map(|(field, text)| format!("{field}: {text}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(told(&[15, 60]), "");
        for (minutes, part) in [
            (&[60, 15][..], "windows[1]: 15m is not longer than 1h"),
            (
                &[12],
                "windows[0]: 12m is not a whole number of steps of 5m",
            ),
            (&[8_000], "at a step of 5m at most 5d"),
            (&[0], "windows[0]: must be longer than 0s"),
            (&[5, 10, 15, 20, 25], "windows: 5 windows; at most 4"),
        ] {
            assert!(
                told(minutes).contains(part),
                "{minutes:?}: {}",
                told(minutes)
            );
        }
    }

    #[test]
    fn the_greatest_of_a_window_needs_most_of_its_values() {
        let lanes = Lanes::new(&[4], &[4], minutes());
        let (horizon, window) = (lanes.get(0), lanes.get(1));
        let mut values = [9.0, 1.0, 5.0, 2.0, 3.0];
        assert_eq!(
            (horizon.actual(&values), window.actual(&values)),
            (3.0, 5.0)
        );
        values[1] = f32::NAN;
        assert_eq!(window.actual(&values), 5.0);
        values[4] = f32::NAN;
        assert!(window.actual(&values).is_nan() && horizon.actual(&values).is_nan());
        assert!(window.actual(&[1.0, 2.0]).is_nan());
    }

    #[test]
    fn the_newest_values_are_those_whatever_came_before() {
        // A third of a day: what is kept is a day then.
        let eight_hours = Grid::new(28_800_000).unwrap();
        let mut newest = Newest::new(&Lanes::new(&[3], &[3], eight_hours));
        newest.grow(2);
        newest.learn(0, &[1.0, 2.0, 3.0, 4.0]);
        newest.see(0, 5.0);
        assert_eq!(newest.of(0), [3.0, 4.0, 5.0]);
        newest.swap(0, 1);
        newest.see(1, 6.0);
        assert_eq!(newest.of(1), [4.0, 5.0, 6.0]);
        newest.learn(1, &[7.0]);
        assert_eq!(newest.of(1)[2], 7.0);
        assert!(newest.of(1)[..2].iter().all(|value| value.is_nan()));
    }
}
