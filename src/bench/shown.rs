//! What a process shows at `/metrics`, to be asked for sums.

/// A text exposition.
#[derive(Debug, Default)]
pub(super) struct Shown(String);

impl Shown {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The sum over the series of this name; 0 where there are none.
    pub(super) fn sum(&self, name: &str) -> f64 {
        let lines = self.0.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_other_names_are_left_out() {
        let text = "# TYPE up gauge\nup 1\nup{job=\"a b\"} 2\nuptime 7\n";
        assert_eq!(Shown::new(text.to_owned()).sum("up"), 3.0);
        assert_eq!(Shown::default().sum("up"), 0.0);
    }
}
