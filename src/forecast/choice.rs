//! Which forecaster is used: the one whose residuals are the least spread, at one series and horizon.

/// One member, or the mean of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The member at this index.
    One(usize),
    /// The mean of the members at these indices.
    Mean(usize, usize),
}

/// A mean of two must be better than the best member by this factor: two fits cost twice the surprise.
const MEAN_MUST_GAIN: f64 = 0.98;
/// A member must have had an opinion at this share of the origins at which any had.
const LEAST_SHARE: f64 = 0.9;
/// Weight of the mean absolute error beside the interval score, which is about four times as large:
/// the expected value and the interval count the same.
const MIDDLE_WEIGHT: f64 = 4.0;
/// Fewer residuals than this show nothing.
const LEAST_ERRORS: usize = 4;

impl Choice {
    /// The chosen value of a quantity that each member has.
    pub(super) fn of(self, value: impl Fn(usize) -> f32) -> f32 {
        match self {
            Self::One(member) => value(member),
            Self::Mean(one, other) => 0.5 * (value(one) + value(other)),
        }
    }
}

/// The choice with the least loss. `errors[m][i]` is the residual of member `m` at origin `i`, `NaN`
/// where it had no forecast or there was no actual value.
pub(super) fn choose(errors: &[Vec<f32>], interval: f32) -> Option<Choice> {
    let losses: Vec<Option<(usize, f64)>> = errors
        .iter()
        .map(|errors| loss(errors.iter().copied(), interval))
        .collect();
    let most = losses.iter().flatten().map(|(count, _)| *count).max()?;
    let mut ranked: Vec<(usize, f64)> = losses
        .iter()
        .enumerate()
        .filter_map(|(member, loss)| {
            let (count, loss) = (*loss)?;
            (count as f64 >= LEAST_SHARE * most as f64).then_some((member, loss))
        })
        .collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    let &(best, least) = ranked.first()?;
    let mut choice = (Choice::One(best), MEAN_MUST_GAIN * least);
    for (place, &(one, _)) in ranked.iter().enumerate() {
        for &(other, _) in &ranked[..place] {
            let mean = errors[one]
                .iter()
                .zip(&errors[other])
                .map(|(a, b)| 0.5 * (a + b));
            if let Some((_, loss)) = loss(mean, interval).filter(|(_, loss)| *loss < choice.1) {
                choice = (Choice::Mean(one.min(other), one.max(other)), loss);
            }
        }
    }
    Some(choice.0)
}

/// How many residuals there are, and what they would have cost: their mean absolute size, and the mean
/// interval score of a fixed interval around them.
fn loss(errors: impl Iterator<Item = f32>, interval: f32) -> Option<(usize, f64)> {
    let mut errors: Vec<f32> = errors.filter(|error| error.is_finite()).collect();
    if errors.len() < LEAST_ERRORS {
        return None;
    }
    errors.sort_unstable_by(f32::total_cmp);
    let count = errors.len();
    let tail = f64::from(1.0 - interval) / 2.0;
    let at = |level: f64| f64::from(errors[((count - 1) as f64 * level).round() as usize]);
    let (low, high) = (at(tail), at(1.0 - tail));
    let (mut absolute, mut outside) = (0.0, 0.0);
    for &error in &errors {
        let error = f64::from(error);
        absolute += error.abs();
        outside += (low - error).max(error - high).max(0.0);
    }
    // Winkler's interval score is the width plus 2 / alpha times the distance outside.
    let score = (high - low) + outside / count as f64 / tail;
    Some((count, MIDDLE_WEIGHT * absolute / count as f64 + score))
}
