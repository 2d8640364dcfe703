//! Figures that others have published for the same series, to read ours beside.

use std::collections::BTreeMap;

/// VUS-PR by series and detector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    by_series: BTreeMap<String, Vec<(String, f64)>>,
}

impl Published {
    /// Takes in one figure; one that is missing (`NaN`) is left out.
    pub fn add(&mut self, series: &str, detector: &str, value: f64) {
        if value.is_finite() {
            let figures = self.by_series.entry(series.to_owned()).or_default();
            figures.push((detector.to_owned(), value));
        }
    }

    /// Whether anything is published for this series.
    pub fn knows(&self, series: &str) -> bool {
        self.by_series.contains_key(series)
    }

    /// The detector with the greatest figure for this series, and that figure.
    pub fn best(&self, series: &str) -> Option<(&str, f64)> {
        greatest(
            self.by_series
                .get(series)?
                .iter()
                .map(|(name, value)| (name.as_str(), *value)),
        )
    }

    /// The detector with the greatest mean over all series that are known, and that mean. Only detectors with
    /// a figure for each of them count.
    pub fn best_mean(&self) -> Option<(&str, f64)> {
        greatest(self.means())
    }

    /// The median over the detectors of their means over all series.
    pub fn median_mean(&self) -> Option<f64> {
        let mut means: Vec<f64> = self.means().map(|(_, mean)| mean).collect();
        means.sort_by(f64::total_cmp);
        means.get(means.len() / 2).copied()
    }

    fn means(&self) -> impl Iterator<Item = (&str, f64)> {
        let mut sums: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
        for (name, value) in self.by_series.values().flatten() {
            let sum = sums.entry(name).or_default();
            sum.0 += value;
            sum.1 += 1;
        }
        let series = self.by_series.len();
        let complete = move |(_, (_, count)): &(&str, (f64, usize))| *count == series;
        let mean = |(name, (sum, count))| (name, sum / count as f64);
        sums.into_iter().filter(complete).map(mean)
    }
}

fn greatest<'a>(figures: impl Iterator<Item = (&'a str, f64)>) -> Option<(&'a str, f64)> {
    figures.max_by(|one, other| one.1.total_cmp(&other.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_by_series_need_not_be_the_best_on_average() {
        let mut published = Published::default();
        for (series, detector, value) in [
            ("a", "one", 0.9),
            ("a", "two", 0.6),
            ("b", "one", 0.1),
            ("b", "two", 0.6),
            ("b", "three", 0.7),
            ("b", "four", f64::NAN),
        ] {
            published.add(series, detector, value);
        }
        assert_eq!(published.best("a"), Some(("one", 0.9)));
        assert_eq!(published.best("b"), Some(("three", 0.7)));
        assert_eq!(published.best("c"), None);
        assert_eq!(published.best_mean(), Some(("two", 0.6)));
        assert_eq!(published.median_mean(), Some(0.6));
    }
}
