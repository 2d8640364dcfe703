//! A place in a protobuf message, and the numbers, bytes and messages that stand there.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding>.

use super::error::{Problem, Scanned, fault};

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The most bytes that a number of 64 bits takes, seven bits in each.
const LONGEST_VARINT: usize = 10;

/// A field of a message: its number and type as they stand in front of it.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) tag: u32,
    /// With the name of its message.
    pub(super) name: &'static str,
}

impl Field {
    /// A number of any size, a truth value, an enumeration.
    pub(super) const fn varint(number: u32, name: &'static str) -> Self {
        Self::new(number, VARINT, name)
    }

    /// A `double`.
    pub(super) const fn double(number: u32, name: &'static str) -> Self {
        Self::new(number, FIXED64, name)
    }

    /// Text, bytes, a message, or numbers one after the other.
    pub(super) const fn bytes(number: u32, name: &'static str) -> Self {
        Self::new(number, BYTES, name)
    }

    const fn new(number: u32, wire: u32, name: &'static str) -> Self {
        Self {
            tag: number << 3 | wire,
            name,
        }
    }
}

/// A message: its name, and the fields that are read of it.
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// What is left of a message, and where in the body.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Where the message ends, in bytes from the start of the body.
    end: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of a body.
    pub(super) fn new(body: &'a [u8]) -> Self {
        let end = body.len();
        Self { rest: body, end }
    }

    /// In bytes from the start of the body.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    /// What has not been read of the message.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field's number and type; none at the end of the message.
    #[inline]
    pub(super) fn tag(&mut self, message: &Message) -> Scanned<Option<u32>> {
        match self.rest.split_first() {
            // A number from 1 to 15.
            Some((&byte, rest)) if (0x08..0x80).contains(&byte) => {
                self.rest = rest;
                Ok(Some(u32::from(byte)))
            }
            Some(_) => self.long_tag(message).map(Some),
            None => Ok(None),
        }
    }

    fn long_tag(&mut self, message: &Message) -> Scanned<u32> {
        let start = self.at();
        let tag = self.varint(message.name)?;
        match u32::try_from(tag) {
            Ok(tag) if tag >> 3 > 0 => Ok(tag),
            _ => fault(start, message.name, Problem::FieldNumber(tag >> 3)),
        }
    }

    /// A number.
    #[inline]
    pub(super) fn varint(&mut self, field: &'static str) -> Scanned<u64> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(field),
        }
    }

    fn long_varint(&mut self, field: &'static str) -> Scanned<u64> {
        let mut value = 0;
        for (place, &byte) in self.rest.iter().take(LONGEST_VARINT).enumerate() {
            if place + 1 == LONGEST_VARINT && byte > 1 {
                return fault(self.at(), field, Problem::Varint);
            }
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                self.rest = self.rest.get(place + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        let left = self.rest.len();
        let wanted = left as u64 + 1;
        fault(self.at(), field, Problem::Cut { wanted, left })
    }

    /// A number of 32 bits. Of a longer one the rest is cut off, as the definition of protobuf has it.
    #[inline]
    pub(super) fn varint32(&mut self, field: &'static str) -> Scanned<u32> {
        self.varint(field).map(|number| number as u32)
    }

    /// A `double`, with all its bits: a stale marker is a `NaN` with some of its own.
    #[inline]
    pub(super) fn double(&mut self, field: &'static str) -> Scanned<f64> {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(f64::from_le_bytes(*bytes))
            }
            None => self.cut(8, field),
        }
    }

    /// A length and so many bytes.
    #[inline]
    pub(super) fn bytes(&mut self, field: &'static str) -> Scanned<&'a [u8]> {
        let length = self.varint(field)?;
        let parts = usize::try_from(length).ok();
        match parts.and_then(|length| self.rest.split_at_checked(length)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => self.cut(length, field),
        }
    }

    /// A message inside this one.
    #[inline]
    pub(super) fn message(&mut self, field: &'static str) -> Scanned<Self> {
        let rest = self.bytes(field)?;
        let end = self.at();
        Ok(Self { rest, end })
    }

    /// Text. For many short ones [`Texts`] is faster.
    pub(super) fn text(&mut self, field: &'static str) -> Scanned<&'a str> {
        let bytes = self.bytes(field)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(_) => fault(self.at() - bytes.len(), field, Problem::NotUtf8),
        }
    }

    /// Passes over a field that the message does not know; it is an error that it does.
    pub(super) fn skip(&mut self, tag: u32, message: &Message) -> Scanned<()> {
        let (number, wire) = (tag >> 3, tag & 7);
        let known = message.fields.iter().find(|field| field.tag >> 3 == number);
        if let Some(field) = known {
            let problem = Problem::WireType {
                wanted: wire_name(field.tag & 7),
                found: wire_name(wire),
            };
            return fault(self.at(), field.name, problem);
        }
        match wire {
            VARINT => self.varint(message.name).map(drop),
            FIXED64 => self.pass(8, message),
            BYTES => self.bytes(message.name).map(drop),
            FIXED32 => self.pass(4, message),
            3 | 4 => fault(self.at(), message.name, Problem::Group),
            _ => fault(self.at(), message.name, Problem::UnknownWireType(wire)),
        }
    }

    fn pass(&mut self, length: usize, message: &Message) -> Scanned<()> {
        match self.rest.get(length..) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => self.cut(length as u64, message.name),
        }
    }

    #[cold]
    fn cut<T>(&self, wanted: u64, field: &'static str) -> Scanned<T> {
        let left = self.rest.len();
        fault(self.at(), field, Problem::Cut { wanted, left })
    }
}

fn wire_name(wire: u32) -> &'static str {
    match wire {
        VARINT => "a number",
        FIXED64 => "eight bytes",
        BYTES => "a length and bytes",
        FIXED32 => "four bytes",
        3 | 4 => "a group",
        _ => "a wire type that is none",
    }
}

/// Checks that text is UTF-8, many short ones at once.
///
/// Fields that follow one another, such as the labels of a series, are checked as one text together with the numbers
/// between them, which are ASCII as long as they are below 128; what is cut from a `str` needs no second check. Where
/// that text is none, each piece is looked at by itself.
#[derive(Default)]
pub(super) struct Texts<'a> {
    start: usize,
    end: usize,
    text: Option<&'a str>,
}

impl<'a> Texts<'a> {
    /// Looks at the field whose length is at `cursor` and those of the same `tag` behind it, unless it already has.
    #[inline]
    pub(super) fn look(&mut self, cursor: &Cursor<'a>, tag: u32) {
        if cursor.at() >= self.end {
            self.look_anew(cursor, tag);
        }
    }

    fn look_anew(&mut self, cursor: &Cursor<'a>, tag: u32) {
        let rest = cursor.rest;
        let (mut place, mut end) = (0, 0);
        while let Some(&length) = rest.get(place).filter(|&&byte| byte < 0x80) {
            let behind = place + 1 + usize::from(length);
            if behind > rest.len() {
                break;
            }
            end = behind;
            match rest.get(behind) {
                Some(&next) if u32::from(next) == tag => place = behind + 1,
                _ => break,
            }
        }
        self.start = cursor.at();
        self.end = self.start + end;
        let run = rest.get(..end).filter(|run| !run.is_empty());
        self.text = run.and_then(|run| std::str::from_utf8(run).ok());
    }

    /// `bytes`, which begin at `at` in the body, as text; none where they are not UTF-8.
    #[inline]
    pub(super) fn cut(&self, at: usize, bytes: &'a [u8]) -> Option<&'a str> {
        match self.text {
            Some(text) if self.start <= at && at + bytes.len() <= self.end => {
                let from = at - self.start;
                text.get(from..from + bytes.len())
            }
            _ => std::str::from_utf8(bytes).ok(),
        }
    }
}
