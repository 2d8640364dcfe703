//! Decoding: what is well formed comes back whole, what is not never panics.

use super::super::{
    decode::{Decoded, Expected, Range, decode},
    failure::Failure,
    intern::Interner,
};
use super::ONE;
use crate::{
    series::Labels,
    source::{Cause, SeriesSamples},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const START: i64 = 1_700_000_040_000;
const STEP: i64 = 15_000;

fn expected(points: i64) -> Expected {
    Expected {
        query: String::from("up"),
        grid: Some(Range {
            start: START,
            end: START + (points - 1) * STEP,
            step: STEP,
        }),
        max_samples: 10_000,
    }
}

fn decoded(body: &str) -> Result<Decoded, Failure> {
    decode(body.as_bytes(), &expected(4), &Interner::default())
}

fn values(values: &str) -> String {
    format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"a":"1"}},"values":[{values}]}}]}}}}"#
    )
}

#[test]
fn values_that_are_no_numbers_are_gaps_and_bad_order_is_counted() {
    let cases = [
        (
            r#"[1700000040,"1"],[1700000055,"NaN"],[1700000070,"+Inf"],[1700000085,"-Inf"]"#,
            vec![(0, 1.0)],
            3,
        ),
        (
            r#"[1700000040,"1"],[1700000040,"2"],[1700000055.000,"3"]"#,
            vec![(0, 1.0), (1, 3.0)],
            1,
        ),
        (
            r#"[1700000070,"1"],[1700000055,"2"],[1.700000085e9,"1.5e+06"]"#,
            vec![(2, 1.0), (3, 1.5e6)],
            1,
        ),
        (r#"[1700000040,"\u0031"]"#, vec![(0, 1.0)], 0),
    ];
    for (text, samples, rejected) in cases {
        let answer = decoded(&values(text)).unwrap();
        let samples: Vec<(i64, f64)> = samples
            .iter()
            .map(|&(i, v)| (START + i * STEP, v))
            .collect();
        assert_eq!(answer.series[0].samples, samples, "{text}");
        assert_eq!(answer.rejected, rejected, "{text}");
    }
    let nothing = decoded(&values(r#"[1700000040,"NaN"]"#)).unwrap();
    assert!(nothing.series.is_empty());
    assert_eq!(nothing.rejected, 1);
}

#[test]
fn fields_may_come_in_any_order_and_unknown_ones_are_passed_over() {
    let answer = decoded(
        r#"{"stats":{"x":[1,{"y":null}]},"data":{"result":[{"values":[[1700000040,"1"]],"histograms":[],"new":1,"metric":{}}],"resultType":"matrix"},"warnings":null,"status":"success"}"#,
    )
    .unwrap();
    assert_eq!(answer.series[0].samples, [(START, 1.0)]);
    assert!(answer.warnings.is_empty());
}

#[test]
fn what_is_deep_is_refused_before_the_stack_ends() {
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    assert_eq!(decoded(&deep).unwrap_err().error.cause, Cause::Decode);
}

fn label() -> impl Strategy<Value = BTreeMap<String, String>> {
    // Names and values with everything JSON has to escape.
    prop::collection::btree_map(
        "[a-z_][a-z0-9_.é\"\\\\]{0,6}",
        "\\PC{1,8}|[\\x00-\\x1f\"\\\\]{1,4}",
        0..5,
    )
}

prop_compose! {
    fn series()(labels in label(), name in prop::option::of("[a-z:]{1,8}"), samples in prop::collection::vec(prop::option::of(any::<f64>()), 1..30))
        -> (Option<String>, BTreeMap<String, String>, Vec<Option<f64>>) { (name, labels, samples) }
}

type Generated = (Option<String>, BTreeMap<String, String>, Vec<Option<f64>>);

fn write(all: &[Generated]) -> String {
    let rows: Vec<serde_json::Value> = all
        .iter()
        .map(|(name, labels, samples)| {
            let mut metric = labels.clone();
            if let Some(name) = name {
                metric.insert(String::from("__name__"), name.clone());
            }
            let samples = samples.iter().enumerate();
            let values: Vec<serde_json::Value> = samples
                .filter_map(|(index, value)| {
                    let at = (START + index as i64 * STEP) as f64 / 1_000.0;
                    value.map(|value| serde_json::json!([at, value.to_string()]))
                })
                .collect();
            serde_json::json!({"metric": metric, "values": values})
        })
        .collect();
    serde_json::json!({"status": "success", "data": {"resultType": "matrix", "result": rows}})
        .to_string()
}

proptest! {
    #[test]
    fn a_generated_answer_comes_back_whole(all in prop::collection::vec(series(), 0..8)) {
        let mut seen = BTreeSet::new();
        let all: Vec<Generated> = all
            .into_iter()
            .filter(|(_, labels, _)| {
                // A name that starts with two underscores would be the metric's name.
                !labels.contains_key("__name__") && seen.insert(Labels::new(labels.clone()).unwrap())
            })
            .collect();
        let interner = Interner::default();
        let text = write(&all);
        let mut wanted: Vec<SeriesSamples> = all
            .iter()
            .map(|(_, labels, samples)| SeriesSamples {
                labels: Labels::new(labels.clone()).unwrap(),
                samples: samples
                    .iter()
                    .enumerate()
                    .filter_map(|(i, value)| Some((START + i as i64 * STEP, value.filter(|v| v.is_finite())?)))
                    .collect(),
            })
            .filter(|series| !series.samples.is_empty())
            .collect();
        wanted.sort_by(|a, b| a.labels.cmp(&b.labels));
        // The second time the labels come from memory.
        for _ in 0..2 {
            let answer = decode(text.as_bytes(), &expected(30), &interner).unwrap();
            prop_assert_eq!(&answer.series, &wanted);
        }
    }

    #[test]
    fn mutated_answers_never_panic_and_never_leave_the_grid(
        all in prop::collection::vec(series(), 0..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..6),
    ) {
        let mut body = write(&all).into_bytes();
        for (place, byte, kind) in changes {
            let place = place.index(body.len());
            match kind {
                0 => body[place] = byte,
                1 => drop(body.remove(place)),
                _ => body.insert(place, byte),
            }
        }
        if let Ok(answer) = decode(&body, &expected(30), &Interner::default()) {
            let range = expected(30).grid.unwrap();
            for series in answer.series {
                prop_assert!(series.samples.windows(2).all(|pair| pair[0].0 < pair[1].0));
                for (at, value) in series.samples {
                    prop_assert!(range.holds(at) && value.is_finite());
                }
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&body, &expected(4), &Interner::default()).is_err());
    }

    #[test]
    fn every_beginning_of_an_answer_is_refused(length in 0..ONE.len()) {
        prop_assert!(decode(&ONE.as_bytes()[..length], &expected(4), &Interner::default()).is_err());
    }
}
