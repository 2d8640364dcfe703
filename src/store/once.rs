//! A request that comes twice, as nobody knows whether the first one arrived, is carried out once.

use super::{Store, StoreError, records::read};
use crate::series::Millis;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_128;

/// The longest key that is taken.
pub(super) const LONGEST_KEY: usize = 200;

/// The key of a request, and what came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// What is asked for, and the key of who asks.
    name: String,
    /// Of the body.
    digest: String,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered<T> {
    /// It was carried out now.
    Done(T),
    /// It was carried out before; this is what was answered then.
    Before(T),
}

impl<T> Answered<T> {
    /// The answer either way.
    pub fn into_inner(self) -> T {
        match self {
            Self::Done(value) | Self::Before(value) => value,
        }
    }
}

impl Once {
    /// The request for `what` with the key `key` and this body.
    ///
    /// # Errors
    /// The key is empty, too long, or has characters that no header has.
    pub fn new(what: &str, key: &str, body: &[u8]) -> Result<Self, StoreError> {
        let is_plain = key.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        if key.is_empty() || key.len() > LONGEST_KEY || !is_plain {
            let text = format!("must be 1 to {LONGEST_KEY} visible ASCII characters");
            return Err(StoreError::Invalid(vec![(
                "Idempotency-Key".to_owned(),
                text,
            )]));
        }
        Ok(Self {
            name: format!("{what} {key}"),
            digest: format!("{:032x}", xxh3_128(body)),
        })
    }
}

pub(super) const TAKE: &str = "INSERT INTO idempotency (name, digest, answer, created) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING";
pub(super) const TAKEN: &str = "SELECT digest, answer FROM idempotency WHERE name = $1";

/// Within a transaction: notes the answer, or gives the one of before.
macro_rules! first_time {
    ($tx:expr, $once:expr, $answer:expr, $now:expr) => {{
        let (once, now): (&$crate::store::once::Once, $crate::series::Millis) = ($once, $now);
        let took = sqlx::query($crate::store::once::TAKE)
            .bind(once.name())
            .bind(once.digest())
            .bind($answer)
            .bind(now)
            .execute(&mut **$tx)
            .await?;
        if took.rows_affected() == 1 {
            None
        } else {
            let (digest, answer): (String, String) = sqlx::query_as($crate::store::once::TAKEN)
                .bind(once.name())
                .fetch_one(&mut **$tx)
                .await?;
            if digest != once.digest() {
                return Err($crate::store::StoreError::KeyReused);
            }
            Some(answer)
        }
    }};
}

/// A transaction that does its work unless `$once` came before: the answer of then, or nothing.
macro_rules! once_only {
    ($db:expr, $once:expr, $answer:expr, $now:expr, $tx:ident => $work:block) => {
        $crate::store::database::transact!($db, $tx => {
            let before = match $once {
                Some(once) => $crate::store::once::first_time!($tx, once, $answer, $now),
                None => None,
            };
            if before.is_none() {
                $work
            }
            Ok::<Option<String>, $crate::store::StoreError>(before)
        })
    };
}

pub(super) use {first_time, once_only};

impl Store {
    /// What is answered: what was before, or `done`, once the snapshot has it.
    pub(super) async fn answered<T: DeserializeOwned>(
        &self,
        before: Option<String>,
        done: T,
    ) -> Result<Answered<T>, StoreError> {
        match before {
            Some(answer) => Ok(Answered::Before(read(&answer)?)),
            None => {
                self.changed().await;
                Ok(Answered::Done(done))
            }
        }
    }
}

impl Once {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

/// How long a key is remembered: who tries again does so within minutes.
pub(super) const REMEMBERED: Millis = 24 * 3_600_000;
