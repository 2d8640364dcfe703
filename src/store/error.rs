//! Why the store could not do something.

use std::time::Duration;

/// Why the store could not do something.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or not in time, or what is behind it fails. It may be back soon.
    #[error("the database does not work right now: {0}")]
    Gone(String),
    /// Somebody else writes, and did so for longer than anybody waits.
    #[error("the database is locked by another process: {0}")]
    Locked(String),
    /// There is no room.
    #[error("the disk of the database is full: {0}")]
    Full(String),
    /// What is there is no database of ours; waiting does not help.
    #[error("{0}")]
    Unusable(String),
    /// A newer program made the tables.
    #[error(
        "the database has schema {found}, and this version of forethought knows schemas up to {known}: a newer version wrote to it. Run that version, or restore a copy from before it"
    )]
    Newer {
        /// The schema of the database.
        found: i64,
        /// The newest one that is known here.
        known: i64,
    },
    /// What is to be kept is not sound: the field, and what is wrong with it.
    #[error("{}", sentence(.0))]
    Invalid(Vec<(String, String)>),
    /// Somebody else did the same at the same moment; the same attempt works now.
    #[error("{0}")]
    Conflict(String),
    /// There are too many already.
    #[error("{0}")]
    TooMany(String),
    /// Nothing of this name is there.
    #[error("{0}")]
    Unknown(String),
    /// The idempotency key came before, with something else.
    #[error(
        "this idempotency key came with another body before; take a new one for another request"
    )]
    KeyReused,
    /// The cursor is none that was given out.
    #[error("the cursor is none that this call gave; leave it out to begin at the beginning")]
    Cursor,
}

impl StoreError {
    /// Whether the same attempt may work in a while.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Locked(_) | Self::Full(_))
    }

    pub(super) fn late(limit: Duration) -> Self {
        Self::Gone(format!("no answer within {}s", limit.as_secs_f64()))
    }
}

fn sentence(problems: &[(String, String)]) -> String {
    let all: Vec<String> = problems
        .iter()
        .map(|(field, text)| format!("{field}: {text}"))
        .collect();
    all.join("; ")
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        let sqlx::Error::Database(inside) = &error else {
            return Self::Gone(text);
        };
        let code = inside.code().unwrap_or_default();
        if inside
            .try_downcast_ref::<sqlx::sqlite::SqliteError>()
            .is_some()
        {
            return of_sqlite(code.parse().unwrap_or(0), text);
        }
        of_postgres(&code, text)
    }
}

/// From an extended result code of SQLite (<https://sqlite.org/rescode.html>).
fn of_sqlite(code: i64, text: String) -> StoreError {
    match code & 0xff {
        5 | 6 => StoreError::Locked(text),
        13 => StoreError::Full(text),
        8 | 11 | 14 | 23 | 26 => StoreError::Unusable(text),
        _ => StoreError::Gone(text),
    }
}

/// From an SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn of_postgres(code: &str, text: String) -> StoreError {
    match code {
        "53100" => StoreError::Full(text),
        // A character that its texts cannot hold, such as NUL.
        "22021" | "22P05" => StoreError::Invalid(vec![("text".to_owned(), text)]),
        "55P03" | "40001" | "40P01" => StoreError::Locked(text),
        "28000" | "28P01" | "3D000" | "42501" => StoreError::Unusable(text),
        _ => StoreError::Gone(text),
    }
}
