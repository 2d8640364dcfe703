//! What became of samples, counted.

use crate::intake::Verdict;

/// What became of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// How many had which verdict, in the order of [`Verdict::ALL`].
    verdicts: [u64; Verdict::ALL.len()],
    /// Samples of what other shards carry.
    pub foreign: u64,
    /// Samples that nobody wants.
    pub unwanted: u64,
    /// Samples of routes that are no more: their series was silent for so long that it was forgotten.
    pub lost: u64,
}

impl Taken {
    /// How many samples had this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        Verdict::ALL
            .iter()
            .zip(self.verdicts)
            .find_map(|(own, count)| (*own == verdict).then_some(count))
            .unwrap_or(0)
    }

    pub(super) fn count(&mut self, verdict: Verdict) {
        // They are declared in the order of `ALL`.
        self.verdicts[verdict as usize] += 1;
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in self.verdicts.iter_mut().zip(other.verdicts) {
            *own += more;
        }
        self.foreign += other.foreign;
        self.unwanted += other.unwanted;
        self.lost += other.lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_is_counted_as_itself() {
        for verdict in Verdict::ALL {
            let mut taken = Taken::default();
            taken.count(verdict);
            let counted: Vec<_> = Verdict::ALL
                .into_iter()
                .filter(|one| taken.of(*one) > 0)
                .collect();
            assert_eq!(counted, [verdict]);
        }
    }
}
