//! What is forecast with at one series and horizon: the member whose recent residuals cost least, or a
//! mean of two.

/// One member, or a weighted mean of two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Choice {
    /// The member at this index.
    One(usize),
    /// The members at these indices, and the weight of the first.
    Two(usize, usize, f32),
}

/// How fast weight falls with loss: a member that loses a tenth more than another weighs e^-0.8 = 45 % of it.
const SHARPNESS: f64 = 8.0;
/// A weight below this is not worth a second model.
const LEAST_WEIGHT: f64 = 0.1;
/// A mean of two must be better than the best member by this factor: two fits cost twice the surprise.
const TWO_MUST_GAIN: f64 = 0.995;
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
            Self::Two(one, other, weight) => weight * value(one) + (1.0 - weight) * value(other),
        }
    }

    /// Whether a member is part of it.
    pub(super) fn has(self, member: usize) -> bool {
        match self {
            Self::One(one) => one == member,
            Self::Two(one, other, _) => one == member || other == member,
        }
    }
}

/// The choice with the least loss, and the members by theirs. `errors[m][i]` is the residual of member `m` at origin `i`, `NaN`
/// where it had no forecast or there was no actual value; `weights[i]` is how much that origin counts.
pub(super) fn choose(
    errors: &[Vec<f32>],
    weights: &[f32],
    interval: f32,
) -> Option<(Choice, Vec<usize>)> {
    let losses: Vec<Option<(f64, f64)>> = errors
        .iter()
        .map(|errors| loss(errors.iter().copied(), weights, interval))
        .collect();
    let most = losses
        .iter()
        .flatten()
        .map(|(count, _)| *count)
        .max_by(f64::total_cmp)?;
    let mut ranked: Vec<(usize, f64)> = losses
        .iter()
        .enumerate()
        .filter_map(|(member, loss)| {
            let (count, loss) = (*loss)?;
            (count >= LEAST_SHARE * most).then_some((member, loss))
        })
        .collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    let &(best, least) = ranked.first()?;
    let mut choice = (Choice::One(best), TWO_MUST_GAIN * least);
    for (place, &(other, more)) in ranked.iter().enumerate() {
        for &(one, less) in &ranked[..place] {
            let Some(weight) = weight(less, more) else {
                continue;
            };
            let two = Choice::Two(one, other, weight);
            let mixed = (0..weights.len()).map(|i| two.of(|member| errors[member][i]));
            match loss(mixed, weights, interval) {
                Some((_, loss)) if loss < choice.1 => choice = (two, loss),
                _ => {}
            }
        }
    }
    let ranking = ranked.into_iter().map(|(member, _)| member);
    Some((choice.0, ranking.collect()))
}

/// The weight of a member beside one that loses more; `None` where the other is not worth it.
fn weight(less: f64, more: f64) -> Option<f32> {
    let other = (-SHARPNESS * (more / less - 1.0)).exp();
    let other = other / (1.0 + other);
    (other >= LEAST_WEIGHT).then_some((1.0 - other) as f32)
}

/// The weight of the residuals there are, and what they would have cost: their mean absolute size, and the
/// mean interval score of a fixed interval around them.
fn loss(errors: impl Iterator<Item = f32>, weights: &[f32], interval: f32) -> Option<(f64, f64)> {
    let mut errors: Vec<(f64, f64)> = errors
        .zip(weights)
        .filter(|(error, _)| error.is_finite())
        .map(|(error, &weight)| (f64::from(error), f64::from(weight)))
        .collect();
    if errors.len() < LEAST_ERRORS {
        return None;
    }
    errors.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let total: f64 = errors.iter().map(|(_, weight)| weight).sum();
    let tail = f64::from(1.0 - interval) / 2.0;
    let (low, high) = (at(&errors, tail * total), at(&errors, (1.0 - tail) * total));
    let (mut absolute, mut outside) = (0.0, 0.0);
    for &(error, weight) in &errors {
        absolute += weight * error.abs();
        outside += weight * (low - error).max(error - high).max(0.0);
    }
    // Winkler's interval score is the width plus 2 / alpha times the distance outside.
    let score = (high - low) + outside / total / tail;
    Some((total, MIDDLE_WEIGHT * absolute / total + score))
}

/// The residual up to which `weight` is below.
fn at(sorted: &[(f64, f64)], weight: f64) -> f64 {
    let mut below = 0.0;
    for &(error, own) in sorted {
        below += own;
        if below >= weight {
            return error;
        }
    }
    sorted.last().map_or(f64::NAN, |last| last.0)
}
