//! A place in the text, and the words that stand there: names, quoted text, blanks, ends of lines.
//!
//! The grammar is that of the lexers of Prometheus, `promlex.l` and `openmetricslex.l` in its
//! `model/textparse`.

use super::{
    Dialect,
    error::{Found, Problem, Scanned, excerpt, fault},
};
use memchr::{memchr, memchr2, memchr3};
use std::borrow::Cow;

/// Where letters of names may stand.
const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const COLON: u8 = 4;
/// What ends a value of text 0.0.4.
const ENDS_VALUE: u8 = 8;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => LETTER,
            b'0'..=b'9' => DIGIT,
            b':' => COLON,
            b'{' | b' ' | b'\t' | b'\n' | 0 => ENDS_VALUE,
            _ => 0,
        };
        byte += 1;
    }
    classes
}

/// Text as it stands in the body: quoted or not, without its quotes, escapes not undone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) text: &'a str,
    pub(super) escaped: bool,
}

impl<'a> Raw<'a> {
    /// The text that is meant: `\\`, `\"` and `\n` undone. A backslash before anything else stands for itself.
    pub(super) fn plain(self) -> Cow<'a, str> {
        match self.escaped {
            false => Cow::Borrowed(self.text),
            true => Cow::Owned(unescaped(self.text, true)),
        }
    }

    /// How many bytes the text that is meant has.
    pub(super) fn plain_len(self) -> usize {
        match self.escaped {
            false => self.text.len(),
            true => self.plain().len(),
        }
    }
}

/// Escapes undone; `\"` only where `quotes`.
pub(super) fn unescaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let (letter, skip) = match after.as_bytes().first() {
            Some(b'\\') => ('\\', 1),
            Some(b'n') => ('\n', 1),
            Some(b'"') if quotes => ('"', 1),
            _ => ('\\', 0),
        };
        out.push(letter);
        rest = after.get(skip..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Where quotes stand, which decides what may be inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoted {
    /// Around the name of a metric or a label.
    Name,
    /// Around the value of a label.
    Value,
    /// Around either in an exemplar.
    Exemplar,
}

/// A place in text that is UTF-8.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    /// In bytes.
    pub(super) at: usize,
    pub(super) dialect: Dialect,
    /// What follows the text is not UTF-8, so its end is not that of the body.
    pub(super) cut: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn is_open_metrics(&self) -> bool {
        self.dialect == Dialect::OpenMetrics
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The text from `start` to here; both must be where a character begins.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Whether the body ends here.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len() && !self.cut
    }

    #[inline]
    pub(super) fn eat(&mut self, wanted: u8) -> bool {
        let here = self.peek() == Some(wanted);
        self.at += usize::from(here);
        here
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let here = self.rest().starts_with(word.as_bytes());
        self.at += if here { word.len() } else { 0 };
        here
    }

    /// Passes over spaces and tabs; only text 0.0.4 has any to spare.
    #[inline]
    pub(super) fn blanks(&mut self) {
        if self.dialect == Dialect::Text {
            while let Some(b' ' | b'\t') = self.peek() {
                self.at += 1;
            }
        }
    }

    #[inline]
    fn skip(&mut self, classes: u8) {
        let of = |byte: &u8| CLASSES[usize::from(*byte)] & classes != 0;
        let rest = self.rest();
        self.at += rest.iter().position(|byte| !of(byte)).unwrap_or(rest.len());
    }

    /// The name of a metric of the old alphabet, or nothing.
    #[inline]
    pub(super) fn metric_name(&mut self) -> Option<&'a str> {
        self.bare(LETTER | COLON)
    }

    /// The name of a label of the old alphabet, or nothing.
    #[inline]
    pub(super) fn label_name(&mut self) -> Option<&'a str> {
        self.bare(LETTER)
    }

    #[inline]
    fn bare(&mut self, letters: u8) -> Option<&'a str> {
        let start = self.at;
        let first = self.peek()?;
        if CLASSES[usize::from(first)] & letters == 0 {
            return None;
        }
        self.skip(letters | DIGIT);
        Some(self.since(start))
    }

    /// Digits, perhaps none.
    pub(super) fn digits(&mut self) -> &'a str {
        let start = self.at;
        self.skip(DIGIT);
        self.since(start)
    }

    /// What stands where a value is due: up to a blank or the end of the line, perhaps nothing.
    #[inline]
    pub(super) fn word(&mut self) -> &'a str {
        let start = self.at;
        let ends = |byte: &u8| match self.dialect {
            Dialect::Text => CLASSES[usize::from(*byte)] & ENDS_VALUE != 0,
            Dialect::OpenMetrics => matches!(byte, b' ' | b'\n'),
        };
        let rest = self.rest();
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
        self.since(start)
    }

    /// Everything up to the line feed or the end of the text; the line feed stays.
    pub(super) fn line(&mut self) -> &'a str {
        let start = self.at;
        let rest = self.rest();
        self.at += memchr(b'\n', rest).unwrap_or(rest.len());
        self.since(start)
    }

    /// The line feed. Text 0.0.4 may end without one.
    #[inline]
    pub(super) fn line_feed(&mut self, wanted: &'static str) -> Scanned<()> {
        if self.eat(b'\n') || (self.is_at_end() && self.dialect == Dialect::Text) {
            return Ok(());
        }
        self.unexpected(wanted)
    }

    /// Text in quotes; `wanted` says what it is.
    #[inline]
    pub(super) fn quoted(&mut self, place: Quoted, wanted: &'static str) -> Scanned<Raw<'a>> {
        if !self.eat(b'"') {
            return self.unexpected(wanted);
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.next_in_quotes(place) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    if matches!(self.peek(), None | Some(b'\n')) {
                        return self.unexpected("`\\`, `\"` or `n` after the backslash");
                    }
                    self.at += 1;
                }
                _ => return self.unclosed(start - 1),
            }
        }
        let text = self.since(start);
        self.at += 1;
        // Only label values may hold NUL bytes: the lexers take one for the end of any other word.
        if place != Quoted::Value
            && let Some(at) = memchr(0, text.as_bytes())
        {
            self.at = start + at;
            return self.unexpected("text without NUL bytes");
        }
        Ok(Raw { text, escaped })
    }

    /// The quote at `start` has no other end than the one here. That it began is what helps to find it.
    #[cold]
    fn unclosed<T>(&self, start: usize) -> Scanned<T> {
        let here = self.unexpected("a closing quote for the text that begins here");
        here.map_err(|mut fault| {
            if fault.problem != Problem::NotUtf8 {
                fault.at = start;
            }
            fault
        })
    }

    /// Goes on to the next byte that means something between quotes. The end of a line means something but
    /// in names, and in the values of text 0.0.4.
    #[inline]
    fn next_in_quotes(&mut self, place: Quoted) -> Option<u8> {
        let lines = match place {
            Quoted::Name => true,
            Quoted::Value => self.dialect == Dialect::Text,
            Quoted::Exemplar => false,
        };
        let rest = self.rest();
        let found = match lines {
            true => memchr2(b'"', b'\\', rest),
            false => memchr3(b'"', b'\\', b'\n', rest),
        };
        self.at += found.unwrap_or(rest.len());
        self.peek()
    }

    /// Something else is due here.
    #[cold]
    pub(super) fn unexpected<T>(&self, wanted: &'static str) -> Scanned<T> {
        let mut at = self.at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let letter = self.text.get(at..).and_then(|rest| rest.chars().next());
        let found = match letter {
            Some('\n') => Found::EndOfLine,
            Some(letter) => Found::Letter(letter),
            None if self.cut => return fault(at, Problem::NotUtf8),
            None => Found::EndOfBody,
        };
        let open_metrics_ended = found == Found::EndOfBody && self.is_open_metrics();
        let problem = match open_metrics_ended {
            true => Problem::MissingEof,
            false => Problem::Unexpected { wanted, found },
        };
        fault(at, problem)
    }

    /// `text`, which ends here, is no value.
    #[cold]
    pub(super) fn no_value<T>(&self, text: &str) -> Scanned<T> {
        if self.at >= self.text.len() && self.cut {
            return fault(self.at, Problem::NotUtf8);
        }
        fault(self.at - text.len(), Problem::Value(excerpt(text)))
    }

    /// `text`, which ends here, is no time.
    #[cold]
    pub(super) fn no_time<T>(&self, text: &str, wanted: &'static str) -> Scanned<T> {
        if self.at >= self.text.len() && self.cut {
            return fault(self.at, Problem::NotUtf8);
        }
        let text_shown = excerpt(text);
        let problem = Problem::Time {
            text: text_shown,
            wanted,
        };
        fault(self.at - text.len(), problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_from_the_left_and_unknown_ones_stay() {
        let cases = [
            (r"a\\nb", "a\\nb", "a\\nb"),
            (r"a\nb", "a\nb", "a\nb"),
            (r#"\"x\""#, "\"x\"", "\\\"x\\\""),
            (r"\x\t\", r"\x\t\", r"\x\t\"),
            (r"\\\\\n", "\\\\\n", "\\\\\n"),
            (r"\é", r"\é", r"\é"),
        ];
        for (raw, value, help) in cases {
            assert_eq!(unescaped(raw, true), value, "{raw}");
            assert_eq!(unescaped(raw, false), help, "{raw}");
        }
    }
}
