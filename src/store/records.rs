//! What is kept beside the types of decisions, and how long lists are cut into pages.

use super::StoreError;
use crate::series::Millis;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What carries over from one decision of a workload to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedState {
    /// The workload.
    pub workload: String,
    /// The decision it is after; of two the newer is kept.
    pub at: Millis,
    /// JSON; only the code that decides knows what is in it.
    pub body: String,
}

/// How good the forecasts of a signal were over a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Performance {
    /// The signal.
    pub signal: String,
    /// How far ahead, milliseconds.
    pub horizon_ms: Millis,
    /// The beginning of the day, UTC.
    pub day: Millis,
    /// What served most of them, such as a model with its version.
    pub model: Option<String>,
    /// Sum of absolute errors by sum of absolute actual values.
    pub error: Option<f64>,
    /// Share of actual values inside the interval.
    pub coverage: Option<f64>,
    /// `1 - error / error of seasonal naive`.
    pub skill: Option<f64>,
    /// Forecasts that were compared.
    pub count: u64,
}

/// Some of a list, and where it goes on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// What to ask for next; `None`: that was all.
    pub next: Option<String>,
}

/// Most items of a page.
pub const MOST_ITEMS: usize = 1_000;
/// Items of a page where nothing else is asked for.
pub const USUAL_ITEMS: usize = 100;

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// No more items than this, 1 to [`MOST_ITEMS`].
    pub limit: usize,
    /// [`Page::next`] of the page before.
    pub cursor: Option<String>,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            limit: USUAL_ITEMS,
            cursor: None,
        }
    }
}

/// Where the last page ended: lists are in the order of a time, and of a text where times are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: Millis,
    pub(super) key: String,
}

/// A record of a list: what it is sorted by, as in [`Place`], and all of it as JSON.
pub(super) type Row = (Millis, String, String);

impl Cut {
    fn rows(&self) -> usize {
        self.limit.clamp(1, MOST_ITEMS)
    }

    /// Where to begin: after the page before, or before everything.
    pub(super) fn start(&self) -> Result<Place, StoreError> {
        Ok(self.place()?.unwrap_or(Place {
            at: Millis::MAX,
            key: String::new(),
        }))
    }

    /// Where to go on.
    fn place(&self) -> Result<Option<Place>, StoreError> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let place = text.as_deref().and_then(|text| {
            let (at, key) = text.split_once(' ')?;
            Some(Place {
                at: at.parse().ok()?,
                // Nothing that we gave out has one; PostgreSQL takes none in a text.
                key: Some(key)
                    .filter(|key| !key.contains(char::is_control))?
                    .to_owned(),
            })
        });
        place.map(Some).ok_or(StoreError::Cursor)
    }

    /// How many rows to ask for: one more than wanted, so that it is known whether there are more.
    pub(super) fn asked(&self) -> i64 {
        self.rows() as i64 + 1
    }

    /// A page of the rows that were asked for; `read` may leave out what is in them.
    pub(super) fn page<T>(&self, mut rows: Vec<Row>, read: impl Fn(&str) -> Option<T>) -> Page<T> {
        let more = rows.len() > self.rows();
        rows.truncate(self.rows());
        let next = rows
            .last()
            .filter(|_| more)
            .map(|(at, key, _)| URL_SAFE_NO_PAD.encode(format!("{at} {key}")));
        Page {
            items: rows.iter().filter_map(|(.., body)| read(body)).collect(),
            next,
        }
    }
}

/// Letters and digits of ids, without those that look alike.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 50 bits: of ten thousand ids two are equal once in twenty million times, and the primary key refuses that one.
const LETTERS_OF_ID: usize = 10;

/// A name for a record, short enough to be typed.
pub(super) fn new_id() -> String {
    let mut random = fastrand::Rng::new();
    let letter = |_| char::from(LETTERS[random.usize(..LETTERS.len())]);
    (0..LETTERS_OF_ID).map(letter).collect()
}

/// A record as it is kept.
pub(super) fn json(record: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(record)
        .map_err(|error| StoreError::Invalid(vec![(String::new(), error.to_string())]))
}

/// A record as it was kept, perhaps by another version of the program.
pub(super) fn read<T: DeserializeOwned>(body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|error| {
        StoreError::Unusable(format!("a record of the database cannot be read: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_list_goes_on_and_only_where_it_does() {
        let cut = Cut {
            limit: 2,
            cursor: None,
        };
        let rows = |times: &[i64]| -> Vec<Row> {
            let row = |at: &i64| (*at, format!("k {at}"), format!("body {at}"));
            times.iter().map(row).collect()
        };
        let read = |body: &str| Some(body.to_owned());
        assert_eq!(cut.asked(), 3);
        let page = cut.page(rows(&[3, 2, 1]), read);
        assert_eq!(page.items, ["body 3", "body 2"]);
        let next = Cut {
            limit: 2,
            cursor: page.next,
        };
        let place = Place {
            at: 2,
            key: "k 2".to_owned(),
        };
        assert_eq!(next.start(), Ok(place));
        assert_eq!(next.page(rows(&[1]), read).next, None);
        assert_eq!(cut.page(rows(&[2, 1]), read).next, None);
        let control = URL_SAFE_NO_PAD.encode("3 k\0");
        for wrong in ["", "x", "%", "MTIz", &control] {
            let cut = Cut {
                limit: 1,
                cursor: Some(wrong.to_owned()),
            };
            assert_eq!(cut.place(), Err(StoreError::Cursor), "{wrong:?}");
        }
    }
}
