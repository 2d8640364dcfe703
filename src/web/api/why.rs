//! Why series are anomalous: evidence of one verdict, and who contributes to a group.

use super::{as_map, known, severity};
use crate::{
    engine::{Contributor, Group, Outcome, Reason},
    series::Labels,
};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Groups in one answer.
const GROUPS: usize = 20;

#[derive(Serialize)]
pub(super) struct GroupOfSeries {
    #[serde(serialize_with = "as_map")]
    labels: Labels,
    series: usize,
    active: usize,
    ratio: f64,
    /// The series that are farthest off.
    top: Vec<TopSeries>,
}

/// A series of a group; its score is the one that lasts as long as the anomaly does.
#[derive(Serialize)]
struct TopSeries {
    #[serde(serialize_with = "as_map")]
    labels: Labels,
    score: f32,
    severity: &'static str,
    direction: i8,
}

/// What the sentence of the reason is made of.
#[derive(Serialize)]
pub(super) struct Evidence {
    detectors: Vec<DetectorScore>,
    channels: Vec<ChannelOfPanel>,
    peers: Option<PeersOfSeries>,
}

#[derive(Serialize)]
struct DetectorScore {
    detector: &'static str,
    score: f32,
}

/// A signal of a panel, with its share in the score and its distance in widths of its noise.
#[derive(Serialize)]
struct ChannelOfPanel {
    signal: String,
    share: Option<f32>,
    distance: f32,
    value: Option<f32>,
    expected: Option<f32>,
}

#[derive(Serialize)]
struct PeersOfSeries {
    present: usize,
    together: usize,
    lower: Option<f32>,
    upper: Option<f32>,
    #[serde(serialize_with = "as_maps")]
    others: Vec<Labels>,
}

pub(super) fn groups(outcome: &Outcome) -> Vec<GroupOfSeries> {
    let mut active: Vec<&Group> = outcome.groups.iter().filter(|one| one.active > 0).collect();
    active.sort_by(|one, other| other.ratio().total_cmp(&one.ratio()));
    active.truncate(GROUPS);
    let groups = active.into_iter().map(|group| GroupOfSeries {
        labels: group.labels.clone(),
        series: group.judged,
        active: group.active,
        ratio: group.ratio(),
        top: group.top.iter().map(|one| top(outcome, *one)).collect(),
    });
    groups.collect()
}

fn top(outcome: &Outcome, one: Contributor) -> TopSeries {
    let series = &outcome.series[one.index];
    TopSeries {
        labels: series.labels.clone(),
        score: one.score,
        severity: severity(series.severity),
        direction: series.direction,
    }
}

pub(super) fn evidence(reason: &Reason) -> Evidence {
    let detectors = reason.detectors.iter();
    let channels = reason.channels.iter();
    Evidence {
        detectors: detectors
            .map(|&(detector, score)| DetectorScore { detector, score })
            .collect(),
        channels: channels
            .map(|channel| ChannelOfPanel {
                signal: channel.signal.clone(),
                share: channel.share,
                distance: channel.far,
                value: known(channel.value),
                expected: known(channel.expected),
            })
            .collect(),
        peers: reason.peers.as_ref().map(|around| PeersOfSeries {
            present: around.present,
            together: around.together,
            lower: around.between.map(|(low, _)| low),
            upper: around.between.map(|(_, high)| high),
            others: around.named.clone(),
        }),
    }
}

fn as_maps<S: Serializer>(all: &[Labels], serializer: S) -> Result<S::Ok, S::Error> {
    let maps = all.iter().map(|labels| labels.iter().collect());
    serializer.collect_seq(maps.map(|map: BTreeMap<&str, &str>| map))
}
