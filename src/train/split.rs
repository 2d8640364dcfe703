//! Which part of the past is for what. Time is never shuffled: what is judged lies after all that was learnt from.

use super::Series;
use crate::series::{Grid, Millis, Span};

/// The newest parts of the past for stopping and for judging, each one of so many.
const PARTS: i64 = 7;
/// Learning needs at least so many origins, one after the other.
const LEAST_ORIGINS: usize = 100;

/// Three parts of the past, one after the other, on the grid. A forecast belongs to the part in which all its
/// targets lie; its window may reach back into the part before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// First time of all: learning begins.
    pub from: Millis,
    /// First time of the part by which learning stops.
    pub validation: Millis,
    /// First time of the part that is held out.
    pub test: Millis,
    /// Time of the newest value.
    pub end: Millis,
}

impl Split {
    /// Five sevenths to learn from, one to stop by, one to judge by; the latter two have at least twice the longest of
    /// `horizons` (in steps). `reach` is how many values a window depends on.
    ///
    /// # Errors
    /// The past is too short.
    pub(super) fn of(
        series: &[&Series],
        grid: Grid,
        horizons: &[usize],
        reach: usize,
    ) -> Result<Self, String> {
        let known = series.iter().filter(|one| !one.values.is_empty());
        let from = known.clone().map(|one| one.time(grid, 0)).min();
        let end = known.map(|one| one.end).max();
        let (Some(from), Some(end)) = (from, end) else {
            return Err("there are no samples".to_owned());
        };
        let longest = horizons.iter().copied().max().unwrap_or(0);
        let steps = grid.index(end) - grid.index(from) + 1;
        let part = (steps / PARTS).max(2 * longest as i64);
        let needed = 2 * part + (reach + longest + LEAST_ORIGINS) as i64;
        if steps < needed {
            let span = |steps: i64| Span::millis(steps * grid.step());
            return Err(format!(
                "the past is too short: {}; with these horizons, window and features {} are needed. Read more, or ask for \
                 shorter horizons or for features that look back less far",
                span(steps),
                span(needed)
            ));
        }
        let test = end - (part - 1) * grid.step();
        Ok(Self {
            from,
            validation: test - part * grid.step(),
            test,
            end,
        })
    }
}
