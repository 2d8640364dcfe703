//! Lines that begin with `#`.

use super::{
    Event, MetricType,
    cursor::{Cursor, Quoted, Raw, unescaped},
    error::{Problem, Scanned, excerpt, fault},
};
use std::borrow::Cow;

/// What a line with `#` is.
pub(super) enum Comment<'a> {
    /// It says something of a family.
    Event(Event<'a>),
    /// It says nothing to us. The cursor is at its end, or where it is no UTF-8.
    Words,
    /// The last line of OpenMetrics.
    Eof,
}

#[derive(Clone, Copy)]
enum Word {
    Help,
    Type,
    Unit,
}

const TEXT_TYPES: &str = "counter, gauge, histogram, summary, untyped";
const OPEN_METRICS_TYPES: &str =
    "counter, gauge, gaugehistogram, histogram, info, stateset, summary, unknown";

impl MetricType {
    fn of_text(word: &str) -> Option<Self> {
        Some(match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            "untyped" => Self::Unknown,
            _ => return None,
        })
    }

    fn of_open_metrics(word: &str) -> Option<Self> {
        Some(match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "gaugehistogram" => Self::GaugeHistogram,
            "histogram" => Self::Histogram,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            "summary" => Self::Summary,
            "unknown" => Self::Unknown,
            _ => return None,
        })
    }
}

impl<'a> Cursor<'a> {
    /// The line whose `#` is here.
    pub(super) fn comment(&mut self) -> Scanned<Comment<'a>> {
        match self.is_open_metrics() {
            true => self.open_metrics_comment(),
            false => self.text_comment(),
        }
    }

    fn open_metrics_comment(&mut self) -> Scanned<Comment<'a>> {
        const WORDS: [(&str, Word); 3] = [
            ("# HELP ", Word::Help),
            ("# TYPE ", Word::Type),
            ("# UNIT ", Word::Unit),
        ];
        for (text, word) in WORDS {
            if self.eat_word(text) {
                return self.metadata(word).map(Comment::Event);
            }
        }
        if self.eat_word("# EOF") {
            self.eat(b'\n');
            return match self.is_at_end() {
                true => Ok(Comment::Eof),
                false => fault(self.at, Problem::AfterEof),
            };
        }
        self.unexpected(
            "`# HELP `, `# TYPE `, `# UNIT ` or `# EOF`: OpenMetrics has no other comments",
        )
    }

    /// Whatever is not quite `HELP` or `TYPE` is a comment that means nothing.
    fn text_comment(&mut self) -> Scanned<Comment<'a>> {
        self.at += 1;
        let after_hash = self.at;
        self.blanks();
        let word = match self.at > after_hash {
            true if self.eat_word("HELP") => Some(Word::Help),
            true if self.eat_word("TYPE") => Some(Word::Type),
            _ => None,
        };
        if let Some(word) = word
            && let Some(b' ' | b'\t') = self.peek()
        {
            self.blanks();
            return self.metadata(word).map(Comment::Event);
        }
        self.line();
        Ok(Comment::Words)
    }

    fn metadata(&mut self, word: Word) -> Scanned<Event<'a>> {
        let start = self.at;
        let name = self.family_name()?;
        let text_at = self.at + 1;
        let text = self.metadata_text()?;
        match word {
            Word::Help => {
                let quotes = self.is_open_metrics();
                let text = match text.contains('\\') {
                    true => Cow::Owned(unescaped(text, quotes)),
                    false => Cow::Borrowed(text),
                };
                Ok(Event::Help { name, text })
            }
            Word::Type => {
                let kind = self.metric_type(text, text_at)?;
                Ok(Event::Type { name, kind })
            }
            Word::Unit if !text.is_empty() && !ends_in_unit(&name, text) => {
                let (unit, name) = (excerpt(text), excerpt(&name));
                fault(start, Problem::Unit { unit, name })
            }
            Word::Unit => Ok(Event::Unit { name, unit: text }),
        }
    }

    fn family_name(&mut self) -> Scanned<Cow<'a, str>> {
        if let Some(name) = self.metric_name() {
            return Ok(Cow::Borrowed(name));
        }
        let name = self.quoted(Quoted::Name, "a metric name, in quotes where it needs them")?;
        Ok(Raw::plain(name))
    }

    /// The rest of the line, with the line feed read.
    fn metadata_text(&mut self) -> Scanned<&'a str> {
        if self.is_open_metrics() {
            if !self.eat(b' ') {
                return self.unexpected("a space after the metric name");
            }
        } else if !self.separator()? {
            return Ok("");
        }
        let text = self.line();
        self.line_feed("the end of the line")?;
        Ok(text)
    }

    /// What parts the name from the text in text 0.0.4: whatever byte there is, as in the lexer of
    /// Prometheus. `# HELP a{b="c"} Text` occurs. False at the end of the line, which is read then.
    fn separator(&mut self) -> Scanned<bool> {
        match self.peek() {
            Some(b'\n') | None => self.line_feed("a help text or a type").map(|()| false),
            Some(1..=0x7F) => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => self.unexpected("a blank after the metric name"),
        }
    }

    fn metric_type(&self, text: &str, at: usize) -> Scanned<MetricType> {
        let (found, known) = match self.is_open_metrics() {
            true => (MetricType::of_open_metrics(text), OPEN_METRICS_TYPES),
            false => (MetricType::of_text(text), TEXT_TYPES),
        };
        match found {
            Some(found) => Ok(found),
            None => {
                let text = excerpt(text);
                // Without a text there is no place for it either.
                let at = at.min(self.at);
                fault(at, Problem::UnknownType { text, known })
            }
        }
    }
}

fn ends_in_unit(name: &str, unit: &str) -> bool {
    let before = name.strip_suffix(unit);
    before.is_some_and(|before| before.ends_with('_'))
}
