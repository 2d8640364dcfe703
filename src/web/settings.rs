//! Paths and limits of the server.

use super::routes::is_taken;
use std::time::Duration;

/// Paths and limits of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the metrics are (`--web.telemetry-path`).
    pub telemetry_path: String,
    /// What stands before every path (`--web.route-prefix`), without a slash at its end; empty for nothing.
    pub route_prefix: String,
    /// What one server takes on.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            telemetry_path: "/metrics".to_string(),
            route_prefix: String::new(),
            limits: Limits::default(),
        }
    }
}

/// What one server takes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Open connections; one more is told 503 and closed.
    pub connections: usize,
    /// `/metrics` answered at the same time, until the last byte is sent; one more is told 503.
    pub requests: usize,
    /// A new connection must have sent a whole request head within this.
    pub first_request: Duration,
    /// A connection without a new request for this long is closed.
    pub idle: Duration,
    /// A reader that takes nothing of its answer for this long is given up on.
    pub stall: Duration,
    /// Bytes of a request head.
    pub head: usize,
    /// Bytes a request's body may have.
    pub body: u64,
    /// How long requests under way may still take when the server stops.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            // As node_exporter's `--web.max-requests`.
            requests: 40,
            first_request: Duration::from_secs(10),
            // Longer than the usual scrape intervals, so that a scraper keeps its connection.
            idle: Duration::from_secs(90),
            stall: Duration::from_secs(60),
            // Cookies of a proxy in front of us fit.
            head: 32 * 1024,
            body: 64 * 1024,
            // Shorter than the 30 s after which Kubernetes kills.
            shutdown: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// What is wrong with the paths: the flag, and the problem with what is allowed.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut check = |flag: &str, path: &str, fine: bool, wanted: &str| {
            if !fine || !is_plain_path(path) {
                problems.push((flag.to_string(), format!("{path:?} must {wanted}")));
            }
        };
        let metrics = self.telemetry_path.as_str();
        check(
            "web.telemetry-path",
            metrics,
            metrics.starts_with('/') && !is_taken(metrics),
            "begin with / and not be one of the paths of the page, /-/ or /api/; the usual one is /metrics",
        );
        let prefix = self.route_prefix.as_str();
        check(
            "web.route-prefix",
            prefix,
            prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/')),
            "begin with / and not end with it, such as /forethought, or be empty",
        );
        problems
    }
}

fn is_plain_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    path.bytes().all(plain) && !path.contains("//")
}

/// The route prefix that `--web.external-url` means: the path of the URL without the slash at its end.
///
/// # Errors
/// It is not an http or https URL.
pub fn route_prefix_of(external_url: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "web.external-url: {external_url:?} must be a URL such as https://example.org/forethought"
        )
    };
    let rest = external_url
        .strip_prefix("http://")
        .or_else(|| external_url.strip_prefix("https://"))
        .ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || !is_plain_path(path) {
        return Err(wrong());
    }
    let path = path.trim_end_matches('/');
    Ok(if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_cannot_be_are_refused_with_what_can() {
        let cases = [
            ("/metrics", "", None),
            ("/probe/metrics", "/a/b", None),
            ("metrics", "", Some("web.telemetry-path")),
            ("/", "", Some("web.telemetry-path")),
            ("/-/metrics", "", Some("web.telemetry-path")),
            ("/me?trics", "", Some("web.telemetry-path")),
            ("/metrics", "x", Some("web.route-prefix")),
            ("/metrics", "/x/", Some("web.route-prefix")),
            ("/metrics", "/", Some("web.route-prefix")),
        ];
        for (telemetry_path, route_prefix, flag) in cases {
            let settings = Settings {
                telemetry_path: telemetry_path.to_string(),
                route_prefix: route_prefix.to_string(),
                ..Settings::default()
            };
            let flags: Vec<String> = settings
                .validate()
                .into_iter()
                .map(|(flag, _)| flag)
                .collect();
            assert_eq!(flags.first().map(String::as_str), flag, "{settings:?}");
        }
    }

    #[test]
    fn the_prefix_is_the_path_of_the_external_url() {
        assert_eq!(
            route_prefix_of("https://a.example/x/y/").as_deref(),
            Ok("/x/y")
        );
        assert_eq!(route_prefix_of("http://a.example:80").as_deref(), Ok(""));
        assert_eq!(route_prefix_of("http://a.example/").as_deref(), Ok(""));
        for bad in ["a.example/x", "http://", "http:///x", "http://a/x?y"] {
            assert!(route_prefix_of(bad).is_err(), "{bad}");
        }
    }
}
