//! Why a verdict is on, for people: in the log, the API and the page. Never in labels: each sentence would
//! be a new series.

use super::outcome::SeriesOutcome;

/// Channels of a panel that are named.
const CHANNELS: usize = 3;

/// Why a verdict is on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reason {
    /// The detectors that have a score, with it, greatest first.
    pub detectors: Vec<(&'static str, f32)>,
    /// Of a panel: the signals farthest from what is expected of them, in widths of their noise (signed),
    /// farthest first.
    pub channels: Vec<(String, f32)>,
}

impl Reason {
    /// `scores` are those of the detectors named `kinds`, `NaN` where one abstained.
    pub(super) fn new(
        kinds: impl Iterator<Item = &'static str>,
        scores: impl Iterator<Item = f32>,
    ) -> Self {
        let mut detectors: Vec<_> = kinds
            .zip(scores)
            .filter(|(_, score)| !score.is_nan())
            .collect();
        detectors.sort_by(|one, other| other.1.total_cmp(&one.1));
        Self {
            detectors,
            channels: Vec::new(),
        }
    }

    /// The same, naming the farthest of these channels of a panel.
    pub(super) fn of_channels<'a>(
        mut self,
        channels: impl Iterator<Item = (&'a str, f32)>,
    ) -> Self {
        let mut channels: Vec<_> = channels.filter(|(_, far)| far.is_finite()).collect();
        channels.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
        channels.truncate(CHANNELS);
        self.channels = channels
            .into_iter()
            .map(|(name, far)| (name.to_owned(), far))
            .collect();
        self
    }

    /// One sentence: the value, what was expected, how far that is, and who says so.
    pub fn sentence(&self, series: &SeriesOutcome) -> String {
        let what = if self.channels.is_empty() {
            of_value(series)
        } else {
            self.of_panel()
        };
        let scores = self.detectors.iter();
        let scores: Vec<String> = scores
            .map(|(kind, score)| format!("{kind} {score:.1}"))
            .collect();
        if scores.is_empty() {
            return what;
        }
        format!("{what}; {}", scores.join(", "))
    }

    fn of_panel(&self) -> String {
        let channels = self.channels.iter();
        let channels: Vec<String> = channels
            .map(|(name, far)| format!("{name} {far:+.1}"))
            .collect();
        let channels = channels.join(", ");
        format!("farthest from what is expected, in widths of their noise: {channels}")
    }
}

fn of_value(series: &SeriesOutcome) -> String {
    let SeriesOutcome { value, band, .. } = series;
    if !value.is_finite() {
        return "no value now".to_owned();
    }
    if !band.is_known() {
        return format!("{} where nothing is known to expect", short(*value));
    }
    let side = if *value < band.expected {
        "below"
    } else {
        "above"
    };
    let text = format!(
        "{} is {side} the expected {} ({} to {})",
        short(*value),
        short(band.expected),
        short(band.lower),
        short(band.upper)
    );
    let far = (value - band.expected).abs() / band.scale;
    if !far.is_finite() {
        return text;
    }
    format!("{text} by {far:.1} widths of its noise")
}

/// Four significant digits: more nobody reads at night.
fn short(value: f32) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.digits$}");
    if digits == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{baseline::Band, series::Labels};

    fn series(value: f32, band: Band) -> SeriesOutcome {
        SeriesOutcome {
            labels: Labels::default(),
            value,
            band,
            score: 2.0,
            active: true,
            severity: 2,
            direction: 1,
            began: true,
            since: None,
            worst: 2,
            reason: None,
        }
    }

    fn band() -> Band {
        Band {
            expected: 100.0,
            lower: 95.0,
            upper: 105.04,
            scale: 2.5,
        }
    }

    #[test]
    fn a_sentence_says_what_was_expected_how_far_it_is_and_who_says_so() {
        let kinds = ["zscore", "envelope", "dbscan"].into_iter();
        let reason = Reason::new(kinds, [1.25, 3.0, f32::NAN].into_iter());
        assert_eq!(
            reason.sentence(&series(12_345.67, band())),
            "12346 is above the expected 100 (95 to 105) by 4898.3 widths of its noise; envelope 3.0, zscore 1.2"
        );
        assert_eq!(
            reason.sentence(&series(0.0, band())).split(';').next(),
            Some("0 is below the expected 100 (95 to 105) by 40.0 widths of its noise")
        );
        let unknown = reason.sentence(&series(0.5, Band::UNKNOWN));
        assert!(unknown.starts_with("0.5 where nothing is known to expect;"));
    }

    #[test]
    fn a_panel_names_its_farthest_channels() {
        let channels = [
            ("cpu", 0.5),
            ("memory", -25.0),
            ("disk", f32::NAN),
            ("net", 4.0),
            ("io", 1.0),
        ];
        let reason = Reason::new(["pca"].into_iter(), [2.0].into_iter());
        let reason = reason.of_channels(channels.into_iter());
        assert_eq!(
            reason.sentence(&series(25.0, band())),
            "farthest from what is expected, in widths of their noise: memory -25.0, net +4.0, io +1.0; pca 2.0"
        );
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.000_123_4, 0.5, 1.0, 99.999, 123.45, 1_234.5, -7.25e8];
        let texts = all.map(short);
        assert_eq!(
            texts,
            [
                "0.0001234",
                "0.5",
                "1",
                "100",
                "123.4",
                "1234",
                "-725000000"
            ]
        );
    }
}
