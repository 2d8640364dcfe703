//! Why a verdict is on, for people: in the log, the API and the page. Never in labels: each sentence would
//! be a new series.

use super::outcome::SeriesOutcome;
use crate::{
    detect::Peers,
    series::{Labels, Slot},
};

/// Channels of a panel that are named.
const CHANNELS: usize = 3;
/// So many peers beside a series are few: they are named.
const FEW_PEERS: usize = 5;

/// Why a verdict is on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reason {
    /// The detectors that have a score, with it, greatest first.
    pub detectors: Vec<(&'static str, f32)>,
    /// Of a panel: the signals that matter most, at most three. By their share in the score where a detector can
    /// tell it, else by how far they are from what is expected of them.
    pub channels: Vec<Channel>,
    /// Where the peers are, if it was compared with any.
    pub peers: Option<Around>,
}

/// One signal of a panel, of one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// The signal.
    pub signal: String,
    /// Its share in the score, 0 to 1; `None` where no detector can tell.
    pub share: Option<f32>,
    /// How far it is from what is expected, in widths of its noise (signed).
    pub far: f32,
    /// Its value; `NaN` where it is not known any more.
    pub value: f32,
    /// What was expected of it; `NaN` where that is not known.
    pub expected: f32,
}

/// Where the peers of a series are.
#[derive(Debug, Clone, PartialEq)]
pub struct Around {
    /// How many there are with a value now, the series itself among them.
    pub present: usize,
    /// How many of those are together.
    pub together: usize,
    /// Between which values; `None` over a panel.
    pub between: Option<(f32, f32)>,
    /// The others, by the labels that tell them from the series; empty where they are more than a few.
    pub named: Vec<Labels>,
}

impl Around {
    /// `peers` of the series `own` at `slot`, whose labels are those of `name`.
    pub(super) fn new<'a>(
        peers: &Peers<'_>,
        slot: Slot,
        own: &Labels,
        name: impl Fn(Slot) -> Option<&'a Labels>,
    ) -> Self {
        let others = || peers.present.iter().filter(|&&other| other != slot);
        let named = match others().count() {
            0..=FEW_PEERS => others()
                .filter_map(|&other| Some(unlike(name(other)?, own)))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            present: peers.present.len(),
            together: peers.together,
            between: Some((peers.low, peers.high)),
            named,
        }
    }

    fn phrase(&self) -> String {
        let Self {
            present, together, ..
        } = self;
        let place = match self.between {
            Some((low, high)) => format!("between {} and {}", short(low), short(high)),
            None => "together".to_owned(),
        };
        let mut phrase = format!("{together} of {present} peers are {place}");
        if !self.named.is_empty() {
            let named: Vec<String> = self.named.iter().map(Labels::to_string).collect();
            phrase += &format!(" (with {})", named.join(", "));
        }
        phrase
    }
}

/// The labels of `one` that `other` does not have.
fn unlike(one: &Labels, other: &Labels) -> Labels {
    let own = one.iter();
    let own = own.filter(|(name, value)| other.get(name) != Some(value));
    // They are labels already: no name is empty or comes twice.
    Labels::new(own).unwrap_or_default()
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
            ..Self::default()
        }
    }

    /// The same with those of a panel's channels that matter most; each is its signal, its distance, and its share
    /// in the score where that is known.
    pub(super) fn of_channels<'a>(
        mut self,
        channels: impl Iterator<Item = (&'a str, f32, Option<f32>)>,
    ) -> Self {
        let known = channels.filter(|(_, far, _)| far.is_finite());
        let mut channels: Vec<_> = known.filter(|(_, _, share)| *share != Some(0.0)).collect();
        channels.sort_by(|one, other| {
            let shares = other.2.unwrap_or(0.0).total_cmp(&one.2.unwrap_or(0.0));
            shares.then(other.1.abs().total_cmp(&one.1.abs()))
        });
        channels.truncate(CHANNELS);
        let channels = channels.into_iter().map(|(signal, far, share)| Channel {
            signal: signal.to_owned(),
            share,
            far,
            value: f32::NAN,
            expected: f32::NAN,
        });
        self.channels = channels.collect();
        self
    }

    /// One sentence: the value, what was expected, how far that is, where the peers are, and who says so.
    pub fn sentence(&self, series: &SeriesOutcome) -> String {
        let what = if self.channels.is_empty() {
            of_value(series)
        } else {
            self.of_panel()
        };
        let peers = self.peers.as_ref().map(Around::phrase);
        let scores = self.detectors.iter();
        let scores: Vec<String> = scores
            .map(|(kind, score)| format!("{kind} {score:.1}"))
            .collect();
        let scores = (!scores.is_empty()).then(|| scores.join(", "));
        let parts = [Some(what), peers, scores];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    fn of_panel(&self) -> String {
        let shares = self.channels.iter().any(|channel| channel.share.is_some());
        let lead = if shares {
            "most of it is"
        } else {
            "farthest from what is expected:"
        };
        let channels = self.channels.iter().map(Channel::phrase);
        let channels = channels.collect::<Vec<_>>().join(", ");
        format!("{lead} {channels}")
    }
}

impl Channel {
    fn phrase(&self) -> String {
        let Self { signal, far, .. } = self;
        let share = self.share.map(|share| format!(", {:.0} %", 100.0 * share));
        let share = share.unwrap_or_default();
        if self.value.is_finite() && self.expected.is_finite() {
            let (value, expected) = (short(self.value), short(self.expected));
            return format!(
                "{signal} {value} instead of {expected} ({far:+.1} widths of its noise{share})"
            );
        }
        format!("{signal} ({far:+.1} widths of its noise{share})")
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
            ("cpu", 0.5, None),
            ("memory", -25.0, None),
            ("disk", f32::NAN, None),
            ("net", 4.0, None),
            ("io", 1.0, None),
        ];
        let reason = Reason::new(["pca"].into_iter(), [2.0].into_iter());
        let reason = reason.of_channels(channels.into_iter());
        assert_eq!(
            reason.sentence(&series(25.0, band())),
            "farthest from what is expected: memory (-25.0 widths of its noise), net (+4.0 widths of its noise), io (+1.0 widths of its noise); pca 2.0"
        );
    }

    #[test]
    fn a_panel_names_the_channels_that_carry_the_score() {
        let channels = [
            ("cpu", 8.0, Some(0.1)),
            ("memory", -3.0, Some(0.7)),
            ("disk", 2.0, Some(0.2)),
            ("net", 9.0, Some(0.0)),
        ];
        let reason = Reason::new(["pca"].into_iter(), [2.0].into_iter());
        let mut reason = reason.of_channels(channels.into_iter());
        let named: Vec<&str> = reason.channels.iter().map(|one| &*one.signal).collect();
        assert_eq!(named, ["memory", "disk", "cpu"]);
        (reason.channels[0].value, reason.channels[0].expected) = (0.25, 0.5);
        assert_eq!(
            reason.sentence(&series(25.0, band())),
            "most of it is memory 0.25 instead of 0.5 (-3.0 widths of its noise, 70 %), disk (+2.0 widths of its noise, 20 %), cpu (+8.0 widths of its noise, 10 %); pca 2.0"
        );
    }

    #[test]
    fn peers_are_counted_and_a_few_of_them_named() {
        let all: Vec<Labels> = (0..7)
            .map(|pod| Labels::new([("app", "shop".to_owned()), ("pod", format!("p{pod}"))]))
            .map(Result::unwrap)
            .collect();
        let around = |present: &[Slot]| {
            let peers = Peers {
                present,
                together: present.len() - 1,
                low: 9.5,
                high: 10.25,
            };
            Around::new(&peers, 0, &all[0], |slot| all.get(slot))
        };
        let mut reason = Reason::new(["dbscan"].into_iter(), [2.0].into_iter());
        reason.peers = Some(around(&[0, 1, 2]));
        let sentence = reason.sentence(&series(30.0, Band::UNKNOWN));
        assert_eq!(
            sentence,
            "30 where nothing is known to expect; 2 of 3 peers are between 9.5 and 10.25 (with {pod=\"p1\"}, {pod=\"p2\"}); dbscan 2.0"
        );
        let many = around(&[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(many.phrase(), "6 of 7 peers are between 9.5 and 10.25");
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
