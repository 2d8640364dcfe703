//! The checks of a source's settings: all problems at once, without IO.

use super::settings::{Authorization, Settings};
use crate::source::Secret;
use hyper::header::{HeaderName, HeaderValue};

/// Headers a request gets from elsewhere, and where from.
const RESERVED: [(&str, &str); 11] = [
    ("accept-encoding", "it is set by itself"),
    ("authorization", "use authorization or basic_auth"),
    ("connection", "it belongs to the connection"),
    ("content-encoding", "it is set by itself"),
    ("content-length", "it is set by itself"),
    ("content-type", "it is set by itself"),
    ("host", "it is made from url"),
    ("te", "it belongs to the connection"),
    ("transfer-encoding", "it belongs to the connection"),
    ("upgrade", "it belongs to the connection"),
    ("user-agent", "it is set by itself"),
];

impl Settings {
    /// All problems, each with the path of the key and what to change. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Problems::default();
        if let Err(problem) = self.url.base() {
            found.add("url", problem);
        }
        self.check_auth(&mut found);
        self.check_headers(&mut found);
        self.check_tls(&mut found);
        self.check_limits(&mut found);
        found.0
    }

    fn check_auth(&self, found: &mut Problems) {
        let ways = [
            ("basic_auth", self.basic_auth.is_some()),
            ("authorization", self.authorization.is_some()),
            ("bearer_token", self.bearer_token.is_some()),
            ("bearer_token_file", self.bearer_token_file.is_some()),
        ];
        let given: Vec<&str> = ways.iter().filter(|way| way.1).map(|way| way.0).collect();
        if let [_, second, ..] = given[..] {
            found.add(
                second,
                format!("only one of {} can be given", given.join(" and ")),
            );
        }
        if let Some(basic) = &self.basic_auth {
            if basic.password.is_some() && basic.password_file.is_some() {
                let path = "basic_auth.password_file";
                found.add(path, "only one of password and password_file can be given");
            }
            if basic.username.contains(':') {
                found.add("basic_auth.username", "must not contain a colon (RFC 7617)");
            }
        }
        if let Some(authorization) = &self.authorization {
            authorization.check(found);
        }
        if self
            .bearer_token
            .as_ref()
            .is_some_and(|token| !sendable(token))
        {
            found.add("bearer_token", UNSENDABLE);
        }
    }

    fn check_headers(&self, found: &mut Problems) {
        for (name, value) in &self.headers {
            let path = format!("headers.{name}");
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                found.add(&path, "is not a header name (letters, digits and - only)");
            }
            let lower = name.to_ascii_lowercase();
            if let Some((_, instead)) = RESERVED.iter().find(|(name, _)| *name == lower) {
                found.add(&path, format!("cannot be given here: {instead}"));
            }
            if !sendable(value) {
                found.add(&path, UNSENDABLE);
            }
        }
    }

    fn check_tls(&self, found: &mut Problems) {
        let tls = &self.tls_config;
        if tls.cert_file.is_some() && tls.key_file.is_none() {
            found.add("tls_config.key_file", "is needed where cert_file is given");
        }
        if tls.key_file.is_some() && tls.cert_file.is_none() {
            found.add("tls_config.cert_file", "is needed where key_file is given");
        }
        if let Some(name) = &tls.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            let path = "tls_config.server_name";
            found.add(path, format!("{name:?} is not a DNS name or IP address"));
        }
        if tls.insecure_skip_verify && tls.ca_file.is_some() {
            let path = "tls_config.insecure_skip_verify";
            found.add(path, "makes ca_file useless; give only one of them");
        }
    }

    fn check_limits(&self, found: &mut Problems) {
        let spans = [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("idle_timeout", self.idle_timeout),
            ("breaker.pause", self.breaker.pause),
        ];
        for (path, span) in spans {
            if span.as_millis() <= 0 {
                found.add(path, "must be longer than 0s");
            }
        }
        if self.breaker.max_pause < self.breaker.pause {
            found.add(
                "breaker.max_pause",
                "must not be shorter than breaker.pause",
            );
        }
        if self.breaker.failures == 0 {
            found.add("breaker.failures", "must be at least 1");
        }
        if !(1..=MOST_CONCURRENCY).contains(&self.concurrency) {
            found.add("concurrency", format!("must be 1 to {MOST_CONCURRENCY}"));
        }
        if self.retries > MOST_RETRIES {
            found.add("retries", format!("must be 0 to {MOST_RETRIES}"));
        }
        if self.max_response_bytes < LEAST_RESPONSE {
            let path = "max_response_bytes";
            found.add(path, format!("must be at least {LEAST_RESPONSE}"));
        }
        if self.max_samples == 0 {
            found.add("max_samples", "must be at least 1");
        }
    }
}

/// More at a time than this is an attack.
const MOST_CONCURRENCY: usize = 100;
/// More retries would outlast the tick they belong to.
const MOST_RETRIES: u32 = 10;
/// Less than this would not hold an error text.
const LEAST_RESPONSE: usize = 65_536;

const UNSENDABLE: &str =
    "has characters that cannot be in a header (line ends, control characters)";

fn sendable(value: &Secret) -> bool {
    HeaderValue::from_str(value.expose()).is_ok()
}

impl Authorization {
    fn check(&self, found: &mut Problems) {
        match (&self.credentials, &self.credentials_file) {
            (Some(_), Some(_)) => found.add(
                "authorization.credentials_file",
                "only one of credentials and credentials_file can be given",
            ),
            (None, None) => found.add("authorization", "needs credentials or credentials_file"),
            (Some(credentials), None) if !sendable(credentials) => {
                found.add("authorization.credentials", UNSENDABLE);
            }
            _ => {}
        }
        let scheme = self.scheme.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            found.add("authorization.type", "cannot be Basic; use basic_auth");
        } else if scheme.is_empty() || HeaderName::from_bytes(scheme.as_bytes()).is_err() {
            found.add("authorization.type", "must be one word such as Bearer");
        }
    }
}

#[derive(Default)]
struct Problems(Vec<(String, String)>);

impl Problems {
    fn add(&mut self, path: &str, problem: impl Into<String>) {
        self.0.push((path.to_owned(), problem.into()));
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        series::Span,
        source::prometheus::settings::{Address, Settings},
    };
    use std::path::Path;

    fn read(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn the_defaults_are_sound_and_paths_of_thanos_and_mimir_are_kept() {
        let settings = read("url: http://mimir:8080/prometheus/\n");
        assert_eq!(settings.validate(), []);
        assert_eq!(settings.url.base().unwrap(), "http://mimir:8080/prometheus");
        assert_eq!(settings, {
            let mut same = Settings::new("http://mimir:8080/prometheus/");
            same.timeout = Span::seconds(30);
            same
        });
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let settings = read(
            r#"
url: "ftp://x"
basic_auth: {username: "a:b", password: p, password_file: f}
authorization: {type: basic}
bearer_token: t
headers: {Authorization: x, "a b": y, X-Fine: z, X-Line: "a\nb"}
tls_config: {cert_file: c, ca_file: d, server_name: "a b", insecure_skip_verify: true}
timeout: 0s
concurrency: 0
retries: 99
max_samples: 0
max_response_bytes: 1
breaker: {failures: 0, pause: 10s, max_pause: 1s}
"#,
        );
        let paths: Vec<String> = settings
            .validate()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        let expected = [
            "url",
            "authorization",
            "basic_auth.password_file",
            "basic_auth.username",
            "authorization",
            "authorization.type",
            "headers.Authorization",
            "headers.X-Line",
            "headers.a b",
            "tls_config.key_file",
            "tls_config.server_name",
            "tls_config.insecure_skip_verify",
            "timeout",
            "breaker.max_pause",
            "breaker.failures",
            "concurrency",
            "retries",
            "max_response_bytes",
            "max_samples",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn bad_urls_say_what_to_write_and_never_a_password() {
        let cases = [
            ("prometheus:9090", "http://"),
            ("http://", "http://"),
            ("http://h/p?x=1", "query or fragment"),
            ("http://h/api/v1", "added by itself"),
            ("http://user:hunter2@h:9090/p", "basic_auth"),
        ];
        for (url, part) in cases {
            let problems = Settings::new(url).validate();
            assert_eq!(problems[0].0, "url");
            assert!(problems[0].1.contains(part), "{url}: {problems:?}");
            assert!(!problems[0].1.contains("hunter2"));
        }
        let url = Address::from("http://user:hunter2@h:9090/p@q");
        assert_eq!(
            format!("{url} {url:?}"),
            "http://h:9090/p@q \"http://h:9090/p@q\""
        );
    }

    #[test]
    fn unknown_keys_are_errors_and_debug_shows_no_secret() {
        let error = serde_yaml::from_str::<Settings>("url: http://x\ntimout: 1s\n").unwrap_err();
        assert!(
            error.to_string().contains("unknown field `timout`"),
            "{error}"
        );
        let settings = read(
            "url: http://x\nheaders: {X-Scope-OrgID: hunter2}\nbasic_auth: {username: u, password: hunter2}\n",
        );
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn relative_files_are_beside_the_configuration_file() {
        let mut settings = read(
            "url: http://x\nbasic_auth: {username: u, password_file: p}\ntls_config: {ca_file: /a/ca}\n",
        );
        settings.set_directory(Path::new("/etc/forethought"));
        let password = settings.basic_auth.unwrap().password_file.unwrap();
        assert_eq!(password, Path::new("/etc/forethought/p"));
        assert_eq!(settings.tls_config.ca_file.unwrap(), Path::new("/a/ca"));
    }
}
