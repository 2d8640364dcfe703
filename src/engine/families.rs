//! The families every unit publishes beside its predictions.

use super::outcome::{Contributor, Group, Horizon};
use crate::{
    detect::Verdict,
    expo::{self, Chunk, Kind, RenderedLabels, names},
    forecast::{Breaker, Contest, Link, Trust},
    series::Labels,
};
use std::{collections::BTreeMap, sync::Arc};

/// The judgement of one series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Severities {
    pub(super) score: f32,
    pub(super) verdict: Verdict,
}

type Samples = Vec<(Arc<RenderedLabels>, f64)>;

/// `anomaly_score`, `anomaly_active`, `anomaly_severity`, `anomaly_direction`. A series without a
/// score has none of them.
pub(super) fn anomalies(
    labels: &[Arc<RenderedLabels>],
    judged: impl Iterator<Item = Severities>,
) -> Vec<Chunk> {
    let mut columns: [Samples; 4] = Default::default();
    for (labels, judged) in labels
        .iter()
        .zip(judged)
        .filter(|(_, judged)| !judged.score.is_nan())
    {
        let verdict = judged.verdict;
        let values = [
            expo::shortest(judged.score),
            f64::from(u8::from(verdict.active)),
            f64::from(verdict.severity),
            f64::from(verdict.direction),
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push((Arc::clone(labels), value));
        }
    }
    let [score, active, severity, direction] = columns;
    vec![
        own("anomaly_score", score),
        own("anomaly_active", active),
        own("anomaly_severity", severity),
        own("anomaly_direction", direction),
    ]
}

/// `anomaly_detector_score`.
pub(super) fn detector_scores(scores: impl Iterator<Item = (Arc<RenderedLabels>, f32)>) -> Chunk {
    let samples = scores
        .map(|(labels, score)| (labels, expo::shortest(score)))
        .collect();
    own("anomaly_detector_score", samples)
}

/// `anomaly_channel_ratio` of the entities of a panel: of those with a score, as the other families.
pub(super) fn channel_ratio(
    labels: &[Arc<RenderedLabels>],
    scores: &[f32],
    shares: &[f32],
) -> Chunk {
    let judged = labels.iter().zip(scores).zip(shares);
    let samples = judged
        .filter(|((_, score), _)| !score.is_nan())
        .map(|((labels, _), &share)| (Arc::clone(labels), expo::shortest(share)));
    own("anomaly_channel_ratio", samples.collect())
}

/// One series that was judged, as a member of its group.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) group: Labels,
    pub(super) active: bool,
    /// The combined score.
    pub(super) score: f32,
    /// Which series of the outcome.
    pub(super) index: usize,
}

/// The groups of these series, sorted by labels.
pub(super) fn groups(series: impl Iterator<Item = Judged>) -> Vec<Group> {
    let mut groups: BTreeMap<Labels, (usize, Vec<Contributor>)> = BTreeMap::new();
    for one in series {
        let (judged, active) = groups.entry(one.group).or_default();
        *judged += 1;
        if one.active {
            active.push(Contributor {
                index: one.index,
                score: one.score,
            });
        }
    }
    let groups = groups.into_iter();
    let groups = groups.map(|(labels, (judged, active))| group(labels, judged, active));
    groups.collect()
}

/// A group of which so many were judged, of which these are anomalous, in the order of the series.
pub(super) fn group(labels: Labels, judged: usize, mut active: Vec<Contributor>) -> Group {
    let count = active.len();
    // Sorting is stable: of equals the first by labels.
    active.sort_by(|one, other| other.score.total_cmp(&one.score));
    active.truncate(Group::MOST_TOP);
    Group {
        labels,
        judged,
        active: count,
        top: active,
    }
}

/// `anomaly_group_ratio`.
pub(super) fn group_ratio(unit: &str, replica: Option<&str>, groups: &[Group]) -> Chunk {
    let samples = groups.iter().map(|group| {
        let own: Vec<_> = group
            .labels
            .iter()
            .map(|(name, value)| (names::published_label_name(name), value))
            .collect();
        let pairs = own.iter().map(|(name, value)| (name.as_ref(), *value));
        let labels = rendered(pairs.chain([("signal", unit)]), replica);
        (labels, group.ratio())
    });
    own("anomaly_group_ratio", samples.collect())
}

/// `anomaly_budget_exceeded_ratio` over the series that are judged, each with whether its bounds are wider.
pub(super) fn budget_exceeded(
    unit: &str,
    replica: Option<&str>,
    series: impl Iterator<Item = bool>,
) -> Chunk {
    let (mut over, mut all) = (0_u32, 0_u32);
    for exceeded in series {
        over += u32::from(exceeded);
        all += 1;
    }
    let labels = rendered([("signal", unit)].into_iter(), replica);
    // None judged: NaN, which is left out.
    let ratio = f64::from(over) / f64::from(all);
    own("anomaly_budget_exceeded_ratio", vec![(labels, ratio)])
}

/// `anomaly_events_total`: verdicts begun below and above what was expected.
pub(super) fn events_total(unit: &str, replica: Option<&str>, begun: [u64; 2]) -> Chunk {
    let samples = ["below", "above"]
        .into_iter()
        .zip(begun)
        .map(|(direction, count)| {
            let pairs = [("direction", direction), ("signal", unit)];
            (rendered(pairs.into_iter(), replica), count as f64)
        })
        .collect();
    own("anomaly_events_total", samples)
}

/// `predicted_model_info`: the forecasters in force, each with its versions; with that of this program where it has
/// none of its own.
pub(super) fn model_info(
    unit: &str,
    replica: Option<&str>,
    models: Vec<(&'static str, Vec<String>)>,
) -> Chunk {
    let ours = || vec![env!("CARGO_PKG_VERSION").to_owned()];
    let samples = models.into_iter().flat_map(|(model, versions)| {
        let versions = if versions.is_empty() {
            ours()
        } else {
            versions
        };
        versions.into_iter().map(move |version| {
            let pairs = [
                ("model", model),
                ("signal", unit),
                ("version", version.as_str()),
            ];
            (rendered(pairs.into_iter(), replica), 1.0)
        })
    });
    own("predicted_model_info", samples.collect())
}

/// `forethought_forecast_series` and `forethought_forecast_fallback_ratio`. `served` has, series by series and horizons
/// inner, the link in force and whether that is not what was chosen.
pub(super) fn links(
    unit: &str,
    replica: Option<&str>,
    horizons: &[Horizon],
    served: &[(Link, bool)],
) -> Vec<Chunk> {
    let (mut counts, mut ratios) = (Samples::new(), Samples::new());
    for (place, horizon) in horizons.iter().enumerate() {
        let of: Vec<_> = served.iter().skip(place).step_by(horizons.len()).collect();
        let span = horizon.span.to_string();
        let pairs = [("horizon", span.as_str()), ("signal", unit)];
        for link in Link::ALL {
            let count = of.iter().filter(|(one, _)| *one == link).count();
            let pairs = pairs.into_iter().chain([("link", link.name())]);
            counts.push((rendered(pairs, replica), count as f64));
        }
        let fallen = of.iter().filter(|(_, fallen)| *fallen).count();
        // No series: NaN, which is left out.
        let ratio = fallen as f64 / of.len() as f64;
        ratios.push((rendered(pairs.into_iter(), replica), ratio));
    }
    vec![
        own("forethought_forecast_series", counts),
        own("forethought_forecast_fallback_ratio", ratios),
    ]
}

/// `forethought_model_breaker_state`, of networks and their states.
pub(super) fn breaker_states<'a>(
    unit: &str,
    replica: Option<&str>,
    networks: impl Iterator<Item = (&'a str, &'static str)>,
) -> Chunk {
    let samples = networks.flat_map(|(model, now)| {
        Breaker::STATES.map(|state| {
            let pairs = [("model", model), ("signal", unit), ("state", state)];
            let labels = rendered(pairs.into_iter(), replica);
            (labels, f64::from(u8::from(state == now)))
        })
    });
    own("forethought_model_breaker_state", samples.collect())
}

/// `forethought_model_loss_ratio` and `forethought_model_scored_forecasts`.
pub(super) fn contests(unit: &str, replica: Option<&str>, contests: &[Contest]) -> Vec<Chunk> {
    let (mut losses, mut counts) = (Samples::new(), Samples::new());
    for contest in contests {
        for at in &contest.horizons {
            let span = at.span.to_string();
            let pairs = [
                ("horizon", &*span),
                ("model", &contest.model),
                ("signal", unit),
            ];
            let versions = [
                ("champion", Some(&contest.champion), at.champion),
                ("challenger", contest.challenger.as_ref(), at.challenger),
                ("previous", contest.previous.as_ref(), at.previous),
            ];
            for (role, version, loss) in versions {
                if let Some(version) = version {
                    let own = [("role", role), ("version", version)];
                    let labels = rendered(pairs.into_iter().chain(own), replica);
                    losses.push((labels, expo::shortest(loss)));
                }
            }
            counts.push((rendered(pairs.into_iter(), replica), at.scored as f64));
        }
    }
    vec![
        own("forethought_model_loss_ratio", losses),
        own("forethought_model_scored_forecasts", counts),
    ]
}

/// `predicted_drift_score`.
pub(super) fn drift(unit: &str, replica: Option<&str>, drift: f32) -> Chunk {
    let labels = rendered([("signal", unit)].into_iter(), replica);
    own(
        "predicted_drift_score",
        vec![(labels, expo::shortest(drift))],
    )
}

/// `predicted_error_ratio`, `predicted_coverage_ratio`, `predicted_skill_ratio`.
pub(super) fn trust(
    unit: &str,
    replica: Option<&str>,
    horizons: &[Horizon],
    trust: &[Option<Trust>],
) -> Vec<Chunk> {
    let family = |name: &str, field: fn(&Trust) -> f32| {
        let samples = horizons
            .iter()
            .zip(trust)
            .filter_map(|(horizon, trust)| Some((horizon.span.to_string(), trust.as_ref()?)))
            .map(|(span, trust)| {
                let pairs = [("horizon", span.as_str()), ("signal", unit)];
                (
                    rendered(pairs.into_iter(), replica),
                    expo::shortest(field(trust)),
                )
            })
            .collect();
        own(name, samples)
    };
    vec![
        family("predicted_error_ratio", |trust| trust.error_ratio),
        family("predicted_coverage_ratio", |trust| trust.coverage_ratio),
        family("predicted_skill_ratio", |trust| trust.skill_ratio),
    ]
}

pub(super) fn rendered<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    replica: Option<&'a str>,
) -> Arc<RenderedLabels> {
    let replica = replica.map(|replica| ("forethought_replica", replica));
    Arc::new(RenderedLabels::new(pairs.chain(replica)))
}

/// The family of that name, typed and explained as [`names::OWN_FAMILIES`] says.
pub(super) fn own(name: &str, samples: Samples) -> Chunk {
    let known = names::own_family(name);
    debug_assert!(known.is_some(), "{name} is not in the list of our families");
    let (kind, help) = known.map_or((Kind::Gauge, ""), |family| (family.kind, family.help));
    Chunk::new(name.into(), help.into(), kind, samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_names_its_anomalous_series_the_farthest_first_and_ten_at_most() {
        let group = |name: &str| Labels::new([("app", name)]).unwrap();
        let shop = (0..12).map(|index| Judged {
            group: group("shop"),
            active: true,
            score: (index % 7) as f32,
            index,
        });
        let calm = (12..16).map(|index| Judged {
            group: group("calm"),
            active: index == 14,
            score: 9.0,
            index,
        });
        let groups = groups(shop.chain(calm));
        let told: Vec<_> = groups
            .iter()
            .map(|one| (one.labels.get("app"), one.judged, one.active, one.ratio()))
            .collect();
        assert_eq!(
            told,
            [(Some("calm"), 4, 1, 0.25), (Some("shop"), 12, 12, 1.0)]
        );
        let top = |group: &Group| -> Vec<usize> { group.top.iter().map(|one| one.index).collect() };
        assert_eq!(top(&groups[0]), [14]);
        assert_eq!(top(&groups[1]), [6, 5, 4, 11, 3, 10, 2, 9, 1, 8]);
    }
}
