//! The client: rskafka, with deadlines, as it has none of its own.

use super::{
    super::{Cluster, Mechanism, SaslSettings},
    Compression, Fetched, Message, Pair,
};
use crate::{
    series::Millis,
    source::{Cause, SourceError, prometheus},
};
use rskafka::{
    BackoffConfig,
    chrono::{DateTime, Utc},
    client::{
        self, ClientBuilder, Credentials, SaslConfig,
        error::{Error, ProtocolError, RequestError},
        partition::{Compression as Packing, OffsetAt, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::timeout};

/// For whatever is asked, beside what a broker is told to wait.
const DEADLINE: Duration = Duration::from_secs(10);
/// The client itself tries again for so long, as while partitions change their broker.
const OWN_ATTEMPTS: Duration = Duration::from_secs(3);
/// No answer is longer: a fetch is a megabyte, or one batch where that is more.
const LONGEST_ANSWER: usize = 128 << 20;
/// Of one partition in one answer, unless its first batch is longer.
const FETCH_BYTES: i32 = 1 << 20;
/// So few that an answer has the first batch and no other.
const ONE_BATCH: i32 = 2;
/// How the library begins what it says of a record whose time is no time.
const OF_RECORDS: [&str; 3] = [
    "Timestamp overflow",
    "Not a valid timestamp",
    "Ambiguous timestamp",
];

/// A connection to brokers.
pub(crate) struct Client(client::Client);

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition(PartitionClient);

impl Client {
    /// Whether the files that are named can be used. Reads them.
    ///
    /// # Errors
    /// The first that cannot, with its key.
    pub(crate) fn check(cluster: &Cluster) -> Result<(), String> {
        builder(cluster).map(drop)
    }

    /// Connects. Files are read anew.
    ///
    /// # Errors
    /// No broker answers, or not to us.
    pub(crate) async fn connect(cluster: &Cluster) -> Result<Self, SourceError> {
        let cluster = cluster.clone();
        let built = spawn_blocking(move || builder(&cluster)).await;
        let built = built.unwrap_or_else(|panic| Err(panic.to_string()));
        let builder = built.map_err(|message| SourceError {
            cause: Cause::Connect,
            message,
        })?;
        within(DEADLINE, builder.build()).await.map(Self)
    }

    /// The numbers of the partitions of a topic; none where there is no such topic.
    ///
    /// # Errors
    /// No answer.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<Vec<i32>, SourceError> {
        let all = within(DEADLINE, self.0.list_topics()).await?;
        let found = all.into_iter().find(|one| one.name == topic);
        Ok(found.map_or_else(Vec::new, |found| found.partitions.into_iter().collect()))
    }

    /// Connects to the broker that has a partition.
    ///
    /// # Errors
    /// It does not answer, or not to us.
    pub(crate) async fn partition(
        &self,
        topic: &str,
        number: i32,
    ) -> Result<Partition, SourceError> {
        let asked = self
            .0
            .partition_client(topic, number, UnknownTopicHandling::Retry);
        within(DEADLINE, asked).await.map(Partition)
    }
}

impl Partition {
    /// The offset of the oldest message.
    pub(crate) async fn earliest(&self) -> Result<i64, SourceError> {
        within(DEADLINE, self.0.get_offset(OffsetAt::Earliest)).await
    }

    /// The offset after the newest message that may be read.
    pub(crate) async fn latest(&self) -> Result<i64, SourceError> {
        within(DEADLINE, self.0.get_offset(OffsetAt::Latest)).await
    }

    /// The offset of the first message of this time or later; none where there is none.
    pub(crate) async fn since(&self, at: Millis) -> Result<Option<i64>, SourceError> {
        let at = OffsetAt::Timestamp(time(at));
        let offset = within(DEADLINE, self.0.get_offset(at)).await?;
        Ok(Some(offset).filter(|offset| *offset >= 0))
    }

    /// What there is from `offset` on; waits for so long where there is nothing.
    ///
    /// # Errors
    /// [`Cause::Decode`] where what comes first cannot be taken apart; whatever else kept an answer away.
    pub(in super::super) async fn fetch(
        &self,
        offset: i64,
        wait: Duration,
    ) -> Result<Fetched, SourceError> {
        match self.fetch_bytes(offset, wait, FETCH_BYTES).await {
            // An answer is taken apart whole or not at all: by itself, the first batch may be sound.
            Err(error) if error.cause == Cause::Decode => {
                self.fetch_bytes(offset, Duration::ZERO, ONE_BATCH).await
            }
            done => done,
        }
    }

    async fn fetch_bytes(
        &self,
        offset: i64,
        wait: Duration,
        bytes: i32,
    ) -> Result<Fetched, SourceError> {
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let asked = self.0.fetch_records(offset, 1..bytes, millis);
        let answer = timeout(DEADLINE + wait, asked).await;
        let (records, end) = match answer.map_err(|_| late())? {
            Ok(found) => found,
            Err(error) if is_out_of_range(&error) => {
                let to = self.earliest().await?;
                return Ok(Fetched::Moved { to });
            }
            Err(error) => return Err(failure(&error)),
        };
        let next = match records.last() {
            Some(last) => last.offset + 1,
            // Ends of transactions are messages that nobody sees; behind one that is still open nothing may be read yet.
            None if end > offset && self.latest().await? > offset => offset + 1,
            None => offset,
        };
        let messages = records.into_iter().map(|found| Message {
            offset: found.offset,
            at: found.record.timestamp.timestamp_millis(),
            value: found.record.value,
        });
        Ok(Fetched::Messages {
            messages: messages.collect(),
            next,
            end,
        })
    }

    /// Writes messages, key and value of each, at this time of the clock.
    ///
    /// # Errors
    /// [`Cause::Limit`] where they are more than the broker takes at once: it is of no use to send them again.
    pub(crate) async fn produce(
        &self,
        messages: Vec<Pair>,
        (at, compression): (Millis, Compression),
    ) -> Result<(), SourceError> {
        let timestamp = time(at);
        let records = messages.into_iter().map(|(key, value)| Record {
            key: Some(key),
            value: Some(value),
            headers: BTreeMap::new(),
            timestamp,
        });
        let packing = match compression {
            Compression::None => Packing::NoCompression,
            Compression::Gzip => Packing::Gzip,
            Compression::Lz4 => Packing::Lz4,
            Compression::Snappy => Packing::Snappy,
            Compression::Zstd => Packing::Zstd,
        };
        let written = self.0.produce(records.collect(), packing);
        within(DEADLINE, written).await.map(drop)
    }
}

fn builder(cluster: &Cluster) -> Result<ClientBuilder, String> {
    let mut builder = ClientBuilder::new(cluster.brokers.clone())
        .client_id("forethought")
        .max_message_size(LONGEST_ANSWER)
        .backoff_config(BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
            deadline: Some(OWN_ATTEMPTS),
        });
    if let Some(tls) = &cluster.tls_config {
        builder = builder.tls_config(Arc::new(prometheus::read_client_config(tls)?));
    }
    if let Some(sasl) = &cluster.sasl {
        builder = builder.sasl_config(credentials(sasl)?);
    }
    Ok(builder)
}

fn credentials(sasl: &SaslSettings) -> Result<SaslConfig, String> {
    let password = match (&sasl.password, &sasl.password_file) {
        (Some(password), _) => password.expose().to_owned(),
        (None, Some(file)) => {
            let read = std::fs::read_to_string(file);
            let read =
                read.map_err(|error| format!("sasl.password_file {}: {error}", file.display()))?;
            read.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) => String::new(),
    };
    let credentials = Credentials::new(sasl.username.clone(), password);
    Ok(match sasl.mechanism {
        Mechanism::Plain => SaslConfig::Plain(credentials),
        Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
        Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
    })
}

async fn within<T>(
    deadline: Duration,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, SourceError> {
    let answer = timeout(deadline, asked).await;
    answer.map_err(|_| late())?.map_err(|error| failure(&error))
}

fn late() -> SourceError {
    SourceError {
        cause: Cause::Timeout,
        message: format!("no answer within {}s", DEADLINE.as_secs()),
    }
}

fn is_out_of_range(error: &Error) -> bool {
    let Error::ServerError { protocol_error, .. } = error else {
        return false;
    };
    *protocol_error == ProtocolError::OffsetOutOfRange
}

fn failure(error: &Error) -> SourceError {
    let cause = match error {
        Error::ServerError {
            protocol_error:
                ProtocolError::MessageTooLarge
                | ProtocolError::RecordListTooLarge
                | ProtocolError::InvalidRecord,
            ..
        } => Cause::Limit,
        Error::ServerError { .. } => Cause::Status,
        Error::Timeout => Cause::Timeout,
        Error::InvalidResponse(text) if is_of_records(text) => Cause::Decode,
        // What brokers say of the cluster does not fit together, as while partitions move or come.
        Error::InvalidResponse(_) | Error::Request(RequestError::NoVersionMatch { .. }) => {
            Cause::Status
        }
        Error::Request(
            RequestError::ReadError(_)
            | RequestError::ReadVersionedError(_)
            | RequestError::TooMuchData { .. },
        ) => Cause::Decode,
        _ => Cause::Connect,
    };
    // What the library says is long; the beginning says it.
    let message = error.to_string().chars().take(400).collect();
    SourceError { cause, message }
}

/// Whether it is a record that is not sound. The library says so in words only.
fn is_of_records(text: &str) -> bool {
    OF_RECORDS.iter().any(|begin| text.starts_with(begin))
}

fn time(at: Millis) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rskafka::client::error::RequestContext;
    use std::io;

    #[test]
    fn only_what_cannot_be_taken_apart_leads_to_skipping() {
        let invalid = |text: &str| Error::InvalidResponse(text.to_owned());
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        let moved = Error::ServerError {
            protocol_error: ProtocolError::NotLeaderOrFollower,
            error_message: None,
            request: RequestContext::Partition("t".to_owned(), 1),
            response: None,
            is_virtual: false,
        };
        let cases = [
            (invalid("Not a valid timestamp (9)"), Cause::Decode),
            (
                invalid("Partition leader 3 not found in metadata response"),
                Cause::Status,
            ),
            (
                invalid("Could not find metadata for partition 1 in topic \"t\""),
                Cause::Status,
            ),
            (Error::Request(RequestError::IO(broken)), Cause::Connect),
            (moved, Cause::Status),
            (Error::Timeout, Cause::Timeout),
        ];
        for (error, cause) in cases {
            assert_eq!(failure(&error).cause, cause, "{error}");
        }
    }
}
