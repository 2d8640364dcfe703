//! Calibration of a distance in scales: a series with a heavy tail is used to what would be a sensation
//! elsewhere.

/// How far the noise of one series reaches now and then. Rises by [`RISE`] after every excursion beyond it
/// (not during it, or an incident would argue itself away), falls a little with every other step: it
/// settles where excursions are about [`RARE`] steps apart. 12 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    reach: f32,
    /// Greatest distance of the excursion that is not over yet; 0 where none is.
    peak: f32,
    /// Steps since the last distance beyond the reach.
    quiet: u16,
    /// How often this excursion came back beyond the reach.
    returns: u16,
}

/// Steps between excursions that are taken for ordinary.
const RARE: f32 = 2_000.0;
/// What an excursion multiplies the reach by.
const RISE: f32 = 1.3;
/// Distances beyond the reach that are no more steps apart than this are one excursion.
const EXCURSION: u16 = 30;
/// An excursion that came back so often is no incident but what the series does: it ends, although it never
/// paused for long.
const RETURNS: u16 = 8;
/// The threshold is at least this many times the reach.
const MARGIN: f32 = 1.5;

impl Tail {
    /// Steps after which a reach of a hundred thresholds has worn off: `RARE / (RISE - 1) * ln(100)`.
    pub(super) const MEMORY: usize = 30_701;

    /// A series of which nothing is known: `threshold` distances score 1.
    pub(super) fn new(threshold: f32) -> Self {
        Self::at(threshold / MARGIN)
    }

    fn at(reach: f32) -> Self {
        Self {
            reach,
            peak: 0.0,
            quiet: 0,
            returns: 0,
        }
    }

    /// The score of a distance (not negative, not `NaN`), which is taken in then. It is 1 at `threshold`,
    /// or farther out where the series is used to more.
    pub(super) fn score(&mut self, distance: f32, threshold: f32) -> f32 {
        let score = distance / (MARGIN * self.reach);
        self.take(distance, threshold / MARGIN);
        score
    }

    fn take(&mut self, distance: f32, least: f32) {
        if distance > self.reach {
            self.peak = self.peak.max(distance);
            self.returns += u16::from(self.quiet > 0);
            self.quiet = 0;
            if self.returns >= RETURNS {
                self.rise();
            }
        } else if self.peak > 0.0 {
            self.quiet += 1;
            if self.quiet >= EXCURSION {
                self.rise();
            }
        } else {
            self.reach = (self.reach * (1.0 - (RISE - 1.0) / RARE)).max(least);
        }
    }

    fn rise(&mut self) {
        *self = Self::at((self.reach * RISE).min(self.peak));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: f32 = 6.0;

    #[test]
    fn a_long_incident_does_not_argue_itself_away() {
        let mut tail = Tail::new(THRESHOLD);
        for _ in 0..500 {
            assert_eq!(tail.score(30.0, THRESHOLD), 5.0);
        }
        for _ in 0..EXCURSION {
            tail.score(0.5, THRESHOLD);
        }
        assert!((tail.score(30.0, THRESHOLD) - 5.0 / RISE).abs() < 1e-3);
    }

    #[test]
    fn what_comes_back_again_and_again_becomes_ordinary_without_a_long_pause() {
        let mut tail = Tail::new(THRESHOLD);
        let score = |step: usize| {
            let distance = if step.is_multiple_of(10) { 12.0 } else { 1.0 };
            tail.score(distance, THRESHOLD)
        };
        let scores: Vec<f32> = (0..600).map(score).collect();
        assert!(scores[..80].iter().step_by(10).all(|&score| score == 2.0));
        assert!(scores[400..].iter().all(|&score| score < 1.0));
    }

    #[test]
    fn the_memory_is_what_the_constants_say() {
        let steps = RARE / (RISE - 1.0) * 100.0_f32.ln();
        assert!((steps - Tail::MEMORY as f32).abs() < 2.0, "{steps}");
    }
}
