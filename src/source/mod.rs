//! Where samples come from. An adapter: it does IO, and knows nothing of what is done with the samples.

pub mod file;
pub mod kafka;
#[cfg(feature = "kube")]
pub(crate) mod kubernetes;
pub mod local;
pub mod prometheus;
pub mod remote_write;
pub mod scrape;
mod secret;
mod table;

pub use secret::Secret;
pub use table::{Known, Table, TableRequest};

use crate::series::{Labels, Millis, Share};
use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc};
use tokio::sync::watch;

/// One range-aligned request: a value per step from `start` to `end`, both included, both on the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeRequest {
    /// PromQL.
    pub query: String,
    /// First grid time.
    pub start: Millis,
    /// Last grid time.
    pub end: Millis,
    /// Grid step.
    pub step: Millis,
    /// No more series than this are kept; the rest is counted in [`Matrix::dropped`].
    pub max_series: usize,
    /// Of the answer only these series are kept, and `max_series` is counted among them; the others are counted in
    /// [`Matrix::foreign`].
    pub share: Share,
}

/// One series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSamples {
    /// Its labels, `__name__` removed.
    pub labels: Labels,
    /// Grid times, ascending and unique, and values; never `NaN` or infinite (those are gaps).
    pub samples: Vec<(Millis, f64)>,
}

/// The answer to a [`RangeRequest`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// Sorted by labels, each label set once.
    pub series: Vec<SeriesSamples>,
    /// What the source warned about, such as a partial response.
    pub warnings: Vec<String>,
    /// Series over the limit that were left out.
    pub dropped: usize,
    /// Series that other shards carry: at most so many in one answer of the source.
    pub foreign: usize,
    /// Samples left out because they were not finite, out of order or twice.
    pub rejected: usize,
}

impl Matrix {
    /// Whether the source says that something of the answer is missing: a store of several did not answer, a remote read
    /// failed. What it merely finds odd about the query is no such thing.
    pub fn is_partial(&self) -> bool {
        let is_remark = |text: &String| {
            let remarks = ["info: ", "PromQL info:", "PromQL warning:"];
            remarks.iter().any(|remark| text.starts_with(remark))
        };
        !self.warnings.iter().all(is_remark)
    }
}

/// Why a source gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// The kind of failure, for the label `cause`.
    pub cause: Cause,
    /// What happened and what can be changed, for a person; never a secret.
    pub message: String,
}

/// The kinds of failure, as the label `cause`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Name look-up, connection or TLS.
    Connect,
    /// A deadline passed.
    Timeout,
    /// An HTTP status other than success.
    Status,
    /// The answer is not what the API promises.
    Decode,
    /// A limit of ours was exceeded (response size, samples).
    Limit,
    /// The source refused the query itself; asking again cannot help.
    Query,
    /// The circuit breaker is open: it was not asked.
    BreakerOpen,
}

impl Cause {
    /// All causes, sorted by label value.
    pub const ALL: [Self; 7] = [
        Self::BreakerOpen,
        Self::Connect,
        Self::Decode,
        Self::Limit,
        Self::Query,
        Self::Status,
        Self::Timeout,
    ];

    /// The value of the label `cause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::Connect => "connect",
            Self::Decode => "decode",
            Self::Limit => "limit",
            Self::Query => "query",
            Self::Status => "status",
            Self::Timeout => "timeout",
        }
    }
}

/// State of a circuit breaker, as a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests go through.
    Closed,
    /// Requests are refused until the pause is over.
    Open,
    /// One trial request is under way.
    HalfOpen,
}

/// The answer of a source, later.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Matrix, SourceError>> + Send + 'a>>;

/// Fingerprints of the labels of series.
pub type Prints = HashSet<u64>;

/// A source that can be asked for ranges.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Its name in the configuration.
    fn name(&self) -> &str;
    /// Asks for a range; cancelled by dropping the future.
    fn range(&self, request: RangeRequest) -> Answer<'_>;
    /// The values of a range in columns, at once, where it has them in memory; `None`: ask for the range instead. They are the same,
    /// rounded to 32 bits.
    fn table(&self, _request: &TableRequest) -> Option<Table> {
        None
    }
    /// As [`Source::range`], for who goes on from an answer: of more series than are asked for those of `known` are kept, then
    /// those that were there first, so that a flood of new ones takes the place of none. A source that tells them from new
    /// ones by itself needs no word of it.
    fn range_on(&self, request: RangeRequest, _known: Arc<Prints>) -> Answer<'_> {
        self.range(request)
    }
    /// The state of its circuit breaker.
    fn breaker(&self) -> BreakerState;
    /// Tells the newest grid time of which everything has come, where samples come by themselves. A source that has to
    /// be asked knows of no such time.
    fn arrivals(&self, _query: &str, _step: Millis) -> Option<watch::Receiver<Millis>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_no_part_that_is_missing() {
        let warned = |text: &str| Matrix {
            warnings: vec![text.to_owned()],
            ..Matrix::default()
        };
        assert!(!Matrix::default().is_partial());
        assert!(!warned("info: PromQL info: metric might not be a counter").is_partial());
        assert!(!warned("PromQL warning: bucket label \"le\" is missing").is_partial());
        for text in [
            "the answer is partial",
            "receive series from store-2: deadline exceeded",
        ] {
            assert!(warned(text).is_partial(), "{text}");
        }
    }
}
