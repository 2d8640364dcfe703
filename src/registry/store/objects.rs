//! What a store of models asks of where it is: objects by key, written on a condition.

use bytes::Bytes;

/// Objects by key. Whoever calls may block.
pub trait Objects: std::fmt::Debug + Send + Sync {
    /// An object; `None` where there is none.
    ///
    /// # Errors
    /// It has more than `most` bytes, or cannot be had: what happened and what can be changed, never a secret.
    fn get(&self, key: &str, most: u64) -> Result<Option<Object>, String>;

    /// Writes an object, whole or not at all.
    ///
    /// # Errors
    /// The condition does not hold, or nobody knows whether it was written.
    fn put(&self, key: &str, bytes: Bytes, only: Only<'_>) -> Result<(), Refused>;

    /// The names of what has `key` and a slash in front and a slash behind, sorted; of all where `key` is empty.
    ///
    /// # Errors
    /// As for [`Objects::get`].
    fn folders(&self, key: &str) -> Result<Vec<String>, String>;
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What is in it.
    pub bytes: Bytes,
    /// Another one once it was written again.
    pub tag: String,
}

/// On which condition an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only<'t> {
    /// There is none yet.
    Absent,
    /// It is still the one with this tag.
    Unchanged(&'t str),
}

/// Why an object was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The condition does not hold.
    Taken,
    /// It did not work, or nobody knows.
    Failed(String),
}
