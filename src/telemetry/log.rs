//! Log lines on stderr: logfmt by default, JSON on request.
//!
//! One line is one event: `ts=... level=info target=engine msg="..." key=value`. Values are quoted where
//! they need it, so a line never breaks, whatever a source put into a name.

use std::{fmt, io, str::FromStr};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `ts=... level=info msg="..."`.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "logfmt" => Ok(Self::Logfmt),
            "json" => Ok(Self::Json),
            _ => Err(format!(
                "{text:?} is not a log format; allowed: logfmt, json"
            )),
        }
    }
}

/// The level called `text`, as in the other programs around Prometheus.
///
/// # Errors
/// The levels that there are.
pub fn level(text: &str) -> Result<Level, String> {
    match text {
        "debug" => Ok(Level::DEBUG),
        "info" => Ok(Level::INFO),
        "warn" => Ok(Level::WARN),
        "error" => Ok(Level::ERROR),
        _ => Err(format!(
            "{text:?} is not a log level; allowed: debug, info, warn, error"
        )),
    }
}

/// Starts logging to stderr for the whole process.
///
/// # Errors
/// Where logging was started before.
pub fn init(level: Level, format: Format) -> Result<(), String> {
    subscriber(level, format, io::stderr)
        .try_init()
        .map_err(|error| error.to_string())
}

/// What collects the events and writes them to `writer`.
fn subscriber<W>(level: Level, format: Format, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let (logfmt, json) = match format {
        Format::Logfmt => (true, false),
        Format::Json => (false, true),
    };
    let lines = logfmt.then(|| {
        tracing_subscriber::fmt::layer()
            .event_format(Logfmt)
            .fmt_fields(LogfmtFields)
            .with_ansi(false)
            .with_writer(writer.clone())
    });
    let objects = json.then(|| {
        tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_ansi(false)
            .with_writer(writer.clone())
    });
    tracing_subscriber::registry()
        .with(filter(level))
        .with(lines)
        .with(objects)
}

/// What others log is only of interest from warnings on: their debug lines show headers, and so secrets.
fn filter(level: Level) -> Targets {
    Targets::new()
        .with_default(level.min(Level::WARN))
        .with_target("forethought", level)
}

/// Writes an event as one logfmt line.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        writer.write_str("ts=")?;
        SystemTime.format_time(&mut writer)?;
        let level = about.level().as_str().to_ascii_lowercase();
        // The first part is the same everywhere.
        let target = about.target().trim_start_matches("forethought::");
        write!(writer, " level={level} target={target}")?;
        let mut fields = Fields::new(&mut writer);
        event.record(&mut fields);
        fields.result?;
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|s| s.from_root())
        {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, "{}", fields.fields)?;
            }
        }
        writeln!(writer)
    }
}

/// Writes the fields of a span as logfmt, to be put behind those of its events.
struct LogfmtFields;

impl<'writer> FormatFields<'writer> for LogfmtFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut visitor = Fields::new(&mut writer);
        fields.record(&mut visitor);
        visitor.result
    }
}

/// Writes ` key=value` for each field.
struct Fields<'w, 'writer> {
    writer: &'w mut Writer<'writer>,
    result: fmt::Result,
}

impl<'w, 'writer> Fields<'w, 'writer> {
    fn new(writer: &'w mut Writer<'writer>) -> Self {
        Self {
            writer,
            result: Ok(()),
        }
    }

    fn put(&mut self, field: &Field, value: &str) {
        let key = match field.name() {
            "message" => "msg",
            name => name,
        };
        if self.result.is_ok() {
            self.result = write!(self.writer, " {key}=").and_then(|()| quote(self.writer, value));
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.put(field, &error.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

/// Writes `value`, in quotes where it is not one plain word.
fn quote(writer: &mut impl fmt::Write, value: &str) -> fmt::Result {
    let plain = |c: char| c.is_alphanumeric() || "_-./:+@%,;()[]{}*#<>$&!?^~|'".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return writer.write_str(value);
    }
    writer.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' => writer.write_str("\\\"")?,
            '\\' => writer.write_str("\\\\")?,
            '\n' => writer.write_str("\\n")?,
            '\r' => writer.write_str("\\r")?,
            '\t' => writer.write_str("\\t")?,
            c if c.is_control() => write!(writer, "\\u{:04x}", u32::from(c))?,
            c => writer.write_char(c)?,
        }
    }
    writer.write_char('"')
}

/// What tests read of the log.
#[cfg(test)]
pub(crate) mod captured {
    use super::{Format, Level, io, subscriber};
    use std::sync::{Arc, Mutex};
    use tracing::subscriber::DefaultGuard;

    /// What was written.
    #[derive(Clone, Default)]
    pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        /// All lines so far.
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes what this thread logs from `level` on, until the guard is dropped.
    pub(crate) fn lines(level: Level) -> (Sink, DefaultGuard) {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(level, Format::Logfmt, move || writer.clone());
        (sink, tracing::subscriber::set_default(subscriber))
    }
}

#[cfg(test)]
mod tests {
    use super::{captured::Sink, *};

    fn logged(level: Level, format: Format, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(level, format, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        sink.text()
    }

    #[test]
    fn a_line_is_logfmt() {
        let text = logged(Level::INFO, Format::Logfmt, || {
            let span = tracing::info_span!(target: "forethought::engine", "unit", signal = "a b");
            let _inside = span.enter();
            let error = io::Error::other("it \"broke\"\nbadly");
            tracing::warn!(target: "forethought::engine::run", at = 5, empty = "", error = &error as &(dyn std::error::Error + 'static), "tick missed");
        });
        let (start, rest) = text.split_once(" level=").unwrap();
        let time = start.strip_prefix("ts=").unwrap();
        assert!(time.ends_with('Z') && time.len() > 20, "{time}");
        assert_eq!(
            rest,
            "warn target=engine::run msg=\"tick missed\" at=5 empty=\"\" error=\"it \\\"broke\\\"\\nbadly\" signal=\"a b\"\n"
        );
    }

    #[test]
    fn a_line_is_json() {
        let text = logged(Level::INFO, Format::Json, || {
            tracing::info!(target: "forethought", series = 5, "evaluated");
        });
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["message"], "evaluated");
        assert_eq!(object["series"], 5);
        assert_eq!(object["level"], "INFO");
    }

    #[test]
    fn levels_hold_and_others_only_warn() {
        let log = || {
            tracing::debug!(target: "forethought", "own debug");
            tracing::debug!(target: "hyper", "their debug");
            tracing::info!(target: "hyper", "their info");
            tracing::warn!(target: "hyper", "their warning");
        };
        let text = logged(Level::DEBUG, Format::Logfmt, log);
        assert!(text.contains("own debug") && text.contains("their warning"));
        assert!(!text.contains("their debug") && !text.contains("their info"));
        assert_eq!(logged(Level::ERROR, Format::Logfmt, log), "");
    }

    #[test]
    fn words_are_read() {
        assert_eq!(level("warn"), Ok(Level::WARN));
        assert!(level("loud").unwrap_err().contains("allowed: debug, info"));
        assert_eq!("json".parse(), Ok(Format::Json));
        assert!(
            "xml"
                .parse::<Format>()
                .unwrap_err()
                .contains("logfmt, json")
        );
    }
}
