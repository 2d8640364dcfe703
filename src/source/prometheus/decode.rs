//! Decodes an answer of the query API in one pass over its bytes, without a tree in between.

use super::{
    failure::{A_PAGE, Failure, is_page, short},
    intern::Interner,
    samples::{Limits, Row, Rows, Stop},
};
use crate::{
    series::Millis,
    source::{Cause, SeriesSamples},
};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// The query, for errors.
    pub(super) query: String,
    /// The grid of a range query; `None` for an instant query.
    pub(super) grid: Option<Range>,
    /// Most samples.
    pub(super) max_samples: usize,
}

/// Grid times from `start` to `end`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: Millis,
    pub(super) end: Millis,
    pub(super) step: Millis,
}

impl Range {
    /// Number of grid times.
    pub(super) fn points(self) -> usize {
        usize::try_from((self.end - self.start) / self.step + 1).unwrap_or(0)
    }

    pub(super) fn holds(self, at: Millis) -> bool {
        (self.start..=self.end).contains(&at) && (at - self.start) % self.step == 0
    }
}

/// A decoded answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Decoded {
    /// Sorted by labels, each label set once, none without samples.
    pub(super) series: Vec<SeriesSamples>,
    /// Warnings, then infos.
    pub(super) warnings: Vec<String>,
    /// Samples left out.
    pub(super) rejected: usize,
}

/// Decodes `body`.
pub(super) fn decode(
    body: &[u8],
    expected: &Expected,
    interner: &Interner,
) -> Result<Decoded, Failure> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Failure::garbled(format!("the answer is not text: {error}")))?;
    let mut limits = Limits::new(expected.grid, expected.max_samples);
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = Envelope {
        limits: &mut limits,
    }
    .deserialize(&mut json)
    .and_then(|answer| json.end().map(|()| answer));
    let answer = match (limits.stop.take(), parsed) {
        (Some(stop), _) => return Err(stopped(stop, expected)),
        (None, Err(error)) => return Err(not_the_api(&error, text)),
        (None, Ok(answer)) => answer,
    };
    answer.refuse_failed(expected)?;
    let warnings = answer.warnings();
    let rows = match answer.data {
        Some(Data {
            rows: Some(rows), ..
        }) => rows,
        Some(Data {
            kind: Some(kind),
            scalar,
            ..
        }) => scalar_rows(&kind, scalar, expected)?,
        _ => return Err(Failure::garbled("the answer has no data")),
    };
    Ok(Decoded {
        series: resolve(rows, expected, interner)?,
        warnings,
        rejected: limits.rejected,
    })
}

fn stopped(stop: Stop, expected: &Expected) -> Failure {
    let query = short(&expected.query, 200);
    match stop {
        Stop::TooMany => Failure::too_large(format!(
            "the answer has more than {} samples (max_samples); aggregate in the query {query}",
            expected.max_samples
        )),
        Stop::Histogram => Failure::refused(
            Cause::Query,
            format!(
                "the query {query} gives native histograms; make them numbers with histogram_quantile, histogram_count or histogram_sum"
            ),
        ),
        Stop::OffGrid(at) => Failure::garbled(format!(
            "a sample of {at} ms is not at a time that was asked for"
        )),
    }
}

fn not_the_api(error: &serde_json::Error, text: &str) -> Failure {
    let begins = short(text, super::client::SHOWN);
    if is_page(text) {
        return Failure::garbled(format!("{A_PAGE}; it begins with: {begins}"));
    }
    let error = short(&error.to_string(), 200);
    Failure::garbled(format!(
        "not an answer of the Prometheus API ({error}); check url; it begins with: {begins}"
    ))
}

/// Only an instant query may give a scalar: it becomes a series without labels.
fn scalar_rows<'a>(
    kind: &str,
    scalar: Option<&'a RawValue>,
    expected: &Expected,
) -> Result<Vec<Row<'a>>, Failure> {
    let wanted = if expected.grid.is_some() {
        "matrix"
    } else {
        "vector"
    };
    let (Some(raw), "scalar", None) = (scalar, kind, expected.grid) else {
        return Err(Failure::garbled(format!(
            "the answer to the query {} is of type {kind:?} instead of {wanted:?}",
            short(&expected.query, 200)
        )));
    };
    let sample: Result<(f64, String), _> = serde_json::from_str(raw.get());
    let sample = sample.ok().and_then(|(at, value)| {
        let value: f64 = value.parse().ok()?;
        Some(((at * 1_000.0).round() as Millis, value))
    });
    let (at, value) = sample.ok_or_else(|| Failure::garbled("the scalar is not a number"))?;
    Ok(vec![Row {
        metric: "{}",
        samples: if value.is_finite() {
            vec![(at, value)]
        } else {
            Vec::new()
        },
    }])
}

/// Labels instead of their JSON, sorted, without doubles.
fn resolve(
    mut rows: Vec<Row<'_>>,
    expected: &Expected,
    interner: &Interner,
) -> Result<Vec<SeriesSamples>, Failure> {
    rows.retain(|row| !row.samples.is_empty());
    let labels = interner.resolve(rows.iter().map(|row| row.metric));
    let labels = labels.map_err(Failure::garbled)?;
    let pairs = rows.into_iter().zip(labels);
    let mut series: Vec<SeriesSamples> = pairs
        .map(|(row, labels)| SeriesSamples {
            labels,
            samples: row.samples,
        })
        .collect();
    // Answers come sorted in almost all cases, which this sort notices.
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let twice = series
        .windows(2)
        .find(|pair| pair[0].labels == pair[1].labels);
    match twice {
        None => Ok(series),
        Some(pair) => Err(Failure::refused(
            Cause::Query,
            format!(
                "two series of the query {} are both {} without their name; add an aggregation such as sum by (...)",
                short(&expected.query, 200),
                pair[0].labels
            ),
        )),
    }
}

// === the envelope ===

#[derive(Default)]
struct Answer<'a> {
    status: String,
    data: Option<Data<'a>>,
    error_type: String,
    error: String,
    warnings: Vec<String>,
    infos: Vec<String>,
    partial: bool,
}

impl Answer<'_> {
    fn refuse_failed(&self, expected: &Expected) -> Result<(), Failure> {
        match self.status.as_str() {
            "success" => Ok(()),
            "error" => {
                let query = short(&expected.query, 200);
                let error = short(&self.error, 800);
                let message = format!("{}: {error}; the query was {query}", self.error_type);
                Err(Failure::refused(Cause::Query, message))
            }
            _ => Err(Failure::garbled(
                "not an answer of the Prometheus API (no status); check url",
            )),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let partial = self.partial.then(|| String::from("the answer is partial"));
        let infos = self.infos.iter().map(|info| format!("info: {info}"));
        let warnings = self.warnings.iter().cloned().chain(infos).chain(partial);
        // The source is foreign: neither their length nor their number may hurt us.
        warnings.take(100).map(|text| short(&text, 1_000)).collect()
    }
}

struct Envelope<'l> {
    limits: &'l mut Limits,
}

impl<'de> DeserializeSeed<'de> for Envelope<'_> {
    type Value = Answer<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Answer<'de>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = Answer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with status and data")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Answer<'de>, M::Error> {
        let mut answer = Answer::default();
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "status" => answer.status = map.next_value()?,
                "data" => {
                    let limits = &mut *self.limits;
                    answer.data = map.next_value_seed(OptionalData { limits })?;
                }
                "errorType" => answer.error_type = map.next_value()?,
                "error" => answer.error = map.next_value()?,
                "warnings" => answer.warnings = optional(&mut map)?,
                "infos" => answer.infos = optional(&mut map)?,
                // VictoriaMetrics says `isPartial`.
                "isPartial" | "partial" => answer.partial |= map.next_value::<bool>()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(answer)
    }
}

fn optional<'de, M: MapAccess<'de>>(map: &mut M) -> Result<Vec<String>, M::Error> {
    let list: Option<Vec<String>> = map.next_value()?;
    Ok(list.unwrap_or_default())
}

#[derive(Default)]
struct Data<'a> {
    kind: Option<String>,
    rows: Option<Vec<Row<'a>>>,
    scalar: Option<&'a RawValue>,
}

struct OptionalData<'l> {
    limits: &'l mut Limits,
}

impl<'de> DeserializeSeed<'de> for OptionalData<'_> {
    type Value = Option<Data<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for OptionalData<'_> {
    type Value = Option<Data<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with resultType and result")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let wanted = if self.limits.range.is_some() {
            "matrix"
        } else {
            "vector"
        };
        let mut data = Data::default();
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "resultType" => data.kind = Some(map.next_value()?),
                "result" if data.kind.as_deref() == Some(wanted) => {
                    let limits = &mut *self.limits;
                    data.rows = Some(map.next_value_seed(Rows { limits })?);
                }
                "result" => data.scalar = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        // `result` came first: its type is known only now.
        if let (Some(kind), Some(raw), None) = (&data.kind, data.scalar, &data.rows)
            && kind == wanted
        {
            let limits = &mut *self.limits;
            let mut json = serde_json::Deserializer::from_str(raw.get());
            let rows = Rows { limits }.deserialize(&mut json);
            data.rows = Some(rows.map_err(serde::de::Error::custom)?);
        }
        Ok(Some(data))
    }
}
