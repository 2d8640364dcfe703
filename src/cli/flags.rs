//! Flags that several commands share, and how their values are read.

use crate::{
    config,
    series::{Millis, Shard, Span},
    telemetry::log,
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use tracing::Level;

/// How the program logs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logging")]
pub(super) struct LogFlags {
    /// Only log what is at least this severe: debug, info, warn, error
    #[arg(long = "log.level", global = true, default_value = "info", value_name = "LEVEL", value_parser = log::level)]
    pub(super) level: Level,
    /// How log lines look on stderr: logfmt, json
    #[arg(
        long = "log.format",
        global = true,
        default_value = "logfmt",
        value_name = "FORMAT"
    )]
    pub(super) format: log::Format,
}

/// Reads `0.0.0.0:10057`, `[::1]:10057`, `localhost:10057` or `:10057` (every IPv4 address).
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let wanted = || format!("{text:?} is not an address; write it like 0.0.0.0:10057 or :10057");
    let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
    let host = match host {
        "" => return port.parse().map(everywhere).map_err(|_| wanted()),
        // Names are not looked up: what is listened on must not depend on a name server.
        "localhost" => return port.parse().map(here).map_err(|_| wanted()),
        host => host.trim_start_matches('[').trim_end_matches(']'),
    };
    let ip: IpAddr = host.parse().map_err(|_| wanted())?;
    let port = port.parse().map_err(|_| wanted())?;
    Ok(SocketAddr::new(ip, port))
}

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Reads `512MiB`, `2GiB`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    config::parse_bytes(text)
}

/// Reads `1/3`: which of how many shards.
pub(super) fn shard(text: &str) -> Result<Shard, String> {
    text.parse()
}

/// Reads a span that is not zero.
pub(super) fn span(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.as_millis() == 0 {
        return Err("must be longer than 0s".to_owned());
    }
    Ok(span)
}

/// A point in time as a person gives it: absolute, or so long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Milliseconds since the epoch.
    At(Millis),
    /// So long before now.
    Ago(Span),
}

impl Moment {
    /// The time in milliseconds since the epoch.
    pub(super) fn resolve(self, now: Millis) -> Millis {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now.saturating_sub(span.as_millis()),
        }
    }
}

impl fmt::Display for Moment {
    /// As a person said it: a time, or so long ago.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ago(span) => write!(f, "{span} ago"),
            Self::At(at) => match jiff::Timestamp::from_millisecond(*at) {
                Ok(time) => write!(f, "{time}"),
                Err(_) => write!(f, "{at} ms"),
            },
        }
    }
}

/// Reads `2026-01-31T12:00:00Z`, `2026-01-31`, `1767225600` or `7d` (so long ago).
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(Moment::Ago(span));
    }
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return Ok(Moment::At((seconds * 1_000.0) as Millis));
    }
    let day = format!("{text}T00:00:00Z");
    [text, &day]
        .iter()
        .find_map(|text| text.parse::<jiff::Timestamp>().ok())
        .map(|time| Moment::At(time.as_millisecond()))
        .ok_or_else(|| {
            format!(
                "{text:?} is not a time; write it like 2026-01-31T12:00:00Z, 2026-01-31, 1767225600, or 7d for so long ago"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            (":10057", "0.0.0.0:10057"),
            ("localhost:1", "127.0.0.1:1"),
            ("[::1]:80", "[::1]:80"),
            ("10.0.0.1:0", "10.0.0.1:0"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for bad in ["10057", "prom:9090", ":99999", "1.2.3.4:x", ""] {
            assert!(address(bad).unwrap_err().contains("0.0.0.0:10057"), "{bad}");
        }
    }

    #[test]
    fn moments_are_read() {
        let now = 1_000_000_000_000;
        for (text, expected) in [
            ("2026-01-01T00:00:00Z", 1_767_225_600_000),
            ("2026-01-01", 1_767_225_600_000),
            ("1767225600", 1_767_225_600_000),
            ("1h", now - 3_600_000),
        ] {
            assert_eq!(moment(text).unwrap().resolve(now), expected, "{text}");
        }
        assert!(moment("yesterday").unwrap_err().contains("so long ago"));
        assert!(span("0s").is_err());
    }
}
