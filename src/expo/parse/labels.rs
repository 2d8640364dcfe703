//! What stands between braces.

use super::{
    Dialect,
    cursor::{Cursor, Quoted, Raw},
    error::{Problem, Scanned, fault},
};
use std::{borrow::Cow, fmt};

/// One thing between braces.
pub(super) enum Item<'a> {
    /// A label with its value.
    Label(Raw<'a>, Raw<'a>),
    /// The name of the metric.
    Name(Raw<'a>),
    /// The closing brace.
    Close,
}

/// Whose braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Series,
    Exemplar,
}

impl<'a> Cursor<'a> {
    /// The next thing between braces, with the comma after it.
    #[inline]
    pub(super) fn item(&mut self, owner: Owner) -> Scanned<Item<'a>> {
        self.blanks();
        let Some(text) = self.label_name() else {
            return self.item_without_a_bare_name(owner);
        };
        self.blanks();
        if !self.eat(b'=') {
            return self.unexpected("`=` after the label name");
        }
        let escaped = false;
        self.value_of(Raw { text, escaped }, owner)
    }

    fn item_without_a_bare_name(&mut self, owner: Owner) -> Scanned<Item<'a>> {
        if self.eat(b'}') {
            return Ok(Item::Close);
        }
        let place = match owner {
            Owner::Series => Quoted::Name,
            Owner::Exemplar => Quoted::Exemplar,
        };
        let start = self.at;
        let name = self.quoted(place, "a label name or `}`")?;
        if name.text.is_empty() {
            return fault(start, Problem::EmptyName);
        }
        self.blanks();
        match self.peek() {
            Some(b'=') => {
                self.at += 1;
                self.value_of(name, owner)
            }
            Some(b',') if owner == Owner::Series => {
                self.at += 1;
                Ok(Item::Name(name))
            }
            Some(b'}') if owner == Owner::Series => Ok(Item::Name(name)),
            _ => self.unexpected("`=` after the label name"),
        }
    }

    #[inline]
    fn value_of(&mut self, name: Raw<'a>, owner: Owner) -> Scanned<Item<'a>> {
        self.blanks();
        let place = match owner {
            Owner::Series => Quoted::Value,
            Owner::Exemplar => Quoted::Exemplar,
        };
        let value = self.quoted(place, "a label value in double quotes")?;
        self.blanks();
        // Text 0.0.4 wants no comma between two labels: nobody meant that, but the lexer of Prometheus
        // takes it.
        if !self.eat(b',') && self.is_open_metrics() && self.peek() != Some(b'}') {
            return self.unexpected("`,` or `}` after the label value");
        }
        Ok(Item::Label(name, value))
    }
}

/// The labels of a sample as they stand in the body, without the metric's name: name and value, borrowed
/// unless there are escapes to undo. Reading them costs another pass over them, and only where it is done.
///
/// A name may come twice, may be `__name__`, and a value may be empty (which means: no such label): the
/// parser of Prometheus leaves all three to its reader, too.
#[derive(Clone)]
pub struct LabelPairs<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> LabelPairs<'a> {
    /// `count` labels from `cursor` on, which have been read without a fault.
    pub(super) fn new(cursor: Cursor<'a>, count: usize) -> Self {
        Self {
            cursor,
            left: count,
        }
    }

    /// The `count` labels between the braces of `series`, which was written here and so has no fault, from `at` on.
    pub(in crate::expo) fn of_written(series: &'a str, at: usize, count: usize) -> Self {
        let cursor = Cursor {
            text: series,
            at,
            dialect: Dialect::Text,
            cut: false,
        };
        Self::new(cursor, count)
    }
}

impl<'a> Iterator for LabelPairs<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            match self.cursor.item(Owner::Series) {
                Ok(Item::Label(name, value)) => {
                    self.left -= 1;
                    return Some((name.plain(), value.plain()));
                }
                Ok(Item::Name(_)) => {}
                Ok(Item::Close) | Err(_) => self.left = 0,
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for LabelPairs<'_> {}

impl fmt::Debug for LabelPairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}
