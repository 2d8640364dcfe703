//! Requests with some bytes changed: where `prost` still makes sense of one, we make the same of it; where it does not,
//! neither do we.

use super::{
    messages::{v1, v2},
    properties::{NO_LIMITS, any_series, request_1, request_2},
};
use crate::expo::wire::{
    Problem, WireError,
    write::{Item, Reader, Version},
};
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;

/// Labels with the name, and the bits and times of the samples; none where the series is refused.
type Judged = Option<(BTreeMap<String, String>, Vec<(u64, i64)>)>;

/// What the rules make of labels in the order of the request.
fn labels(pairs: Vec<(String, String)>) -> Option<BTreeMap<String, String>> {
    let count = pairs.len();
    let mut labels: BTreeMap<String, String> = pairs.into_iter().collect();
    if labels.len() < count || labels.contains_key("") {
        return None;
    }
    labels.retain(|_, value| !value.is_empty());
    labels.contains_key("__name__").then_some(labels)
}

fn judged_1(body: &[u8]) -> Result<Vec<Judged>, prost::DecodeError> {
    let request = v1::WriteRequest::decode(body)?;
    let series = request.timeseries.into_iter().map(|series| {
        let pairs = series.labels.into_iter();
        let pairs = pairs.map(|label| (label.name, label.value)).collect();
        let samples = series.samples.iter();
        let samples = samples.map(|one| (one.value.to_bits(), one.timestamp));
        Some((labels(pairs)?, samples.collect()))
    });
    Ok(series.collect())
}

fn judged_2(body: &[u8]) -> Result<Vec<Judged>, prost::DecodeError> {
    let v2::Request {
        symbols,
        timeseries,
    } = v2::Request::decode(body)?;
    let symbol = |place: &u32| symbols.get(*place as usize).cloned();
    let series = timeseries.into_iter().map(|series| {
        let (twos, odd) = series.labels_refs.as_chunks::<2>();
        let pair = |[name, value]: &[u32; 2]| Some((symbol(name)?, symbol(value)?));
        let pairs: Option<Vec<_>> = twos.iter().map(pair).collect();
        if let Some(metadata) = series.metadata {
            // Number 0 is what is not in the message, which asks for no symbol.
            for place in [metadata.help_ref, metadata.unit_ref] {
                symbol(&place).or((place == 0).then(String::new))?;
            }
        }
        let samples = series.samples.iter();
        let samples = samples.map(|one| (one.value.to_bits(), one.timestamp));
        let known = odd.is_empty().then_some(pairs)??;
        Some((labels(known)?, samples.collect()))
    });
    Ok(series.collect())
}

/// What our reader makes of it, and how much it passed over unread.
fn ours(body: &[u8], version: Version) -> Result<(Vec<Judged>, usize), WireError> {
    let mut reader = Reader::new(body, version, NO_LIMITS);
    let (mut all, mut unread) = (Vec::new(), 0);
    while let Some(item) = reader.next_item()? {
        match item {
            Item::Series(series) => {
                let name = [("__name__", series.name)];
                let pairs = name.iter().chain(series.labels);
                let owned = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
                let samples = series.samples.iter();
                let samples = samples.map(|point| (point.value.to_bits(), point.at));
                all.push(Some((owned.collect(), samples.collect())));
                unread += series.histograms + series.exemplars;
            }
            Item::Refused(refused) => {
                all.push(None);
                unread += refused.histograms + refused.exemplars;
            }
            Item::Metadata { .. } => {}
        }
    }
    Ok((all, unread))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_changed_request_is_read_as_prost_reads_it(
        given in prop::collection::vec(any_series(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), 0..64_u8]), 0..4),
    ) {
        for version in [Version::V1, Version::V2] {
            let mut body = match version {
                Version::V1 => request_1(&given),
                Version::V2 => request_2(&given),
            };
            for (at, byte) in &changes {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let judged = match version {
                Version::V1 => judged_1(&body),
                Version::V2 => judged_2(&body),
            };
            match (judged, ours(&body, version)) {
                (Ok(judged), Ok((ours, _))) => prop_assert_eq!(ours, judged),
                // prost knows nothing of the other version, and passes over groups.
                (Ok(_), Err(error)) => prop_assert!(
                    matches!(error.problem, Problem::Group | Problem::OtherVersion { .. }),
                    "{}", error
                ),
                // Text that is none is the fault of its series only; and what we do not read may be anything.
                (Err(error), Ok((_, unread))) => prop_assert!(
                    error.to_string().contains("UTF-8") || unread > 0,
                    "{}", error
                ),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
