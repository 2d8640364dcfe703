//! Where records are kept, and for how long: the mapping `store` of the configuration.

use crate::{series::Span, source::Secret};
use serde::Deserialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where records are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A file of this machine.
    #[serde(default)]
    pub sqlite: Option<PathBuf>,
    /// A database that replicas share.
    #[serde(default)]
    pub postgres: Option<PostgresSettings>,
    /// How long records are kept.
    #[serde(default)]
    pub retention: Retention,
}

/// A PostgreSQL database. It is there already; the tables are made.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// `postgres://user@host:5432/database`, without a password.
    pub url: DatabaseUrl,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file with the password; read anew before every use, so a change of it needs no reload.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// TLS.
    #[serde(default)]
    pub tls_config: PostgresTls,
    /// Most connections at one time.
    #[serde(default = "PostgresSettings::default_connections")]
    pub connections: u32,
}

/// TLS to a PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresTls {
    /// How much it must be.
    pub mode: TlsMode,
    /// Authorities to trust, PEM; left out: the public ones.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// The key of `cert_file`, PEM.
    pub key_file: Option<PathBuf>,
}

/// How much a connection must be protected; the words are those of libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Where the server can. Whoever sits between can talk it out of it.
    #[default]
    Prefer,
    /// Always, to whomever.
    Require,
    /// Always, and the certificate is of an authority that is trusted.
    VerifyCa,
    /// That, and the certificate bears the host's name.
    VerifyFull,
}

/// The URL of a database. Shown without a password, should a person have put one there.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

/// How long records are kept; what is older is removed once an hour, a piece at a time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Decisions, from when they were made.
    pub decisions: Span,
    /// And no more than so many, the newest.
    pub max_decisions: u32,
    /// Events, from their end.
    pub events: Span,
    /// Overrides, from when they held no more.
    pub overrides: Span,
    /// How good models were.
    pub performance: Span,
}

impl Default for Retention {
    /// A quarter of decisions for reviews; two years of events, so that a yearly one can be looked up; a year and
    /// a month of performance, so that a month can be held against that of last year. A million decisions are
    /// about a gigabyte.
    fn default() -> Self {
        Self {
            decisions: Span::days(90),
            max_decisions: 1_000_000,
            events: Span::days(730),
            overrides: Span::days(90),
            performance: Span::days(400),
        }
    }
}

const WANTED_URL: &str = "write it like postgres://forethought@db:5432/forethought";
/// More would take them from everybody else (`max_connections` is 100 where nobody changed it).
const MOST_CONNECTIONS: u32 = 50;
/// Shorter retention would remove what is still in use.
const LEAST_RETENTION: Span = Span::days(1);
/// A number that still fits into the page of a person's disk.
const MOST_DECISIONS: u32 = 100_000_000;

// === impl Settings ===

impl Settings {
    /// Records in the file `sqlite`, everything else as if left out.
    pub fn sqlite(file: impl Into<PathBuf>) -> Self {
        Self {
            sqlite: Some(file.into()),
            postgres: None,
            retention: Retention::default(),
        }
    }

    /// Records in the database at `url`, everything else as if left out.
    pub fn postgres(url: &str) -> Self {
        Self {
            sqlite: None,
            postgres: Some(PostgresSettings {
                url: DatabaseUrl(url.to_owned()),
                password: None,
                password_file: None,
                tls_config: PostgresTls::default(),
                connections: PostgresSettings::default_connections(),
            }),
            retention: Retention::default(),
        }
    }

    /// `sqlite` or `postgres`: a label value.
    pub fn kind(&self) -> &'static str {
        if self.postgres.is_some() {
            "postgres"
        } else {
            "sqlite"
        }
    }

    /// What is wrong: the key, and the problem with what is allowed. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |path: &str, text: String| found.push((path.to_owned(), text));
        match (&self.sqlite, &self.postgres) {
            (None, None) => add(
                "",
                "needs sqlite (a file) or postgres (url); such as {sqlite: forethought.db}"
                    .to_owned(),
            ),
            (Some(_), Some(_)) => add(
                "postgres",
                "only one of sqlite and postgres can be given".to_owned(),
            ),
            (Some(file), None) if file.as_os_str().is_empty() => {
                add(
                    "sqlite",
                    "must name a file, such as forethought.db".to_owned(),
                );
            }
            (Some(_), None) => {}
            (None, Some(postgres)) => postgres.check(&mut add),
        }
        self.retention.check(&mut add);
        found
    }

    /// The files that must be there already, with the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        let Some(postgres) = &self.postgres else {
            return Vec::new();
        };
        let tls = &postgres.tls_config;
        let all = [
            ("postgres.password_file", &postgres.password_file),
            ("postgres.tls_config.ca_file", &tls.ca_file),
            ("postgres.tls_config.cert_file", &tls.cert_file),
            ("postgres.tls_config.key_file", &tls.key_file),
        ];
        all.into_iter()
            .filter_map(|(key, file)| Some((key, file.as_deref()?)))
            .collect()
    }

    /// Makes relative files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        let postgres = self.postgres.iter_mut().flat_map(|postgres| {
            let tls = &mut postgres.tls_config;
            [
                &mut postgres.password_file,
                &mut tls.ca_file,
                &mut tls.cert_file,
                &mut tls.key_file,
            ]
        });
        for file in postgres.chain([&mut self.sqlite]).flatten() {
            *file = directory.join(&*file);
        }
    }
}

impl PostgresSettings {
    /// A replica asks a few times a minute: two at a time, and one for a person.
    fn default_connections() -> u32 {
        3
    }

    fn check(&self, add: &mut dyn FnMut(&str, String)) {
        if let Err(problem) = self.url.check() {
            add("postgres.url", problem);
        }
        if self.password.is_some() && self.password_file.is_some() {
            let text = "only one of password and password_file can be given";
            add("postgres.password_file", text.to_owned());
        }
        let tls = &self.tls_config;
        for (key, one, other) in [
            ("key_file", &tls.cert_file, &tls.key_file),
            ("cert_file", &tls.key_file, &tls.cert_file),
        ] {
            if one.is_some() && other.is_none() {
                let of = if key == "key_file" {
                    "cert_file"
                } else {
                    "key_file"
                };
                let text = format!("is needed where {of} is given");
                add(&format!("postgres.tls_config.{key}"), text);
            }
        }
        if !(1..=MOST_CONNECTIONS).contains(&self.connections) {
            add(
                "postgres.connections",
                format!("must be 1 to {MOST_CONNECTIONS}"),
            );
        }
    }
}

impl DatabaseUrl {
    /// The URL itself, for the one place that connects.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Scheme, what stands before `@`, and the rest.
    fn parts(&self) -> Option<(&str, &str, &str)> {
        let (scheme, rest) = self.0.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        Some(match authority.rsplit_once('@') {
            Some((user, _)) => (scheme, user, rest.strip_prefix(user)?),
            None => (scheme, "", rest),
        })
    }

    /// What is wrong with it, never with a password.
    fn check(&self) -> Result<(), String> {
        let wrong = || format!("{self} is not the URL of a PostgreSQL database; {WANTED_URL}");
        let (scheme, user, rest) = self.parts().ok_or_else(wrong)?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(wrong());
        }
        if user.contains(':') || rest.contains("password=") {
            return Err("has a password in it; put it into password or password_file".to_owned());
        }
        if let Some(name) = tls_parameter(rest) {
            return Err(format!(
                "has {name} in it, which would not count; put it into tls_config (mode, ca_file, cert_file, key_file)"
            ));
        }
        let (host, database) = rest
            .trim_start_matches('@')
            .split_once('/')
            .ok_or_else(wrong)?;
        let database = database.split(['?', '#']).next().unwrap_or_default();
        if host.is_empty() || database.is_empty() {
            return Err(wrong());
        }
        Ok(())
    }
}

/// The first parameter of a URL that is about TLS, in any of the spellings that are in use: `sslmode`, `ssl-root-cert`, ...
fn tls_parameter(url: &str) -> Option<&str> {
    let (_, parameters) = url.split_once('?')?;
    let names = parameters
        .split(['&', '#'])
        .filter_map(|one| one.split('=').next());
    let mut names = names.filter(|name| name.to_ascii_lowercase().starts_with("ssl"));
    names.next()
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, user, rest)) = self.parts() else {
            return f.write_str("the URL");
        };
        let user = user.split(':').next().unwrap_or_default();
        let rest = rest.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{user}{rest}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Retention {
    fn check(&self, add: &mut dyn FnMut(&str, String)) {
        for (key, span) in [
            ("decisions", self.decisions),
            ("events", self.events),
            ("overrides", self.overrides),
            ("performance", self.performance),
        ] {
            if span < LEAST_RETENTION {
                let text = format!("{span} is too short; allowed: {LEAST_RETENTION} and longer");
                add(&format!("retention.{key}"), text);
            }
        }
        if !(1_000..=MOST_DECISIONS).contains(&self.max_decisions) {
            let text = format!("must be 1000 to {MOST_DECISIONS}");
            add("retention.max_decisions", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn paths(yaml: &str) -> Vec<String> {
        let found = read(yaml).validate();
        found.into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(read("sqlite: forethought.db").validate(), []);
        assert_eq!(
            read("sqlite: forethought.db"),
            Settings::sqlite("forethought.db")
        );
        assert_eq!(paths("postgres: {url: 'postgres://f@db:5432/f'}"), [""; 0]);
        assert_eq!(
            paths("postgres: {url: 'postgresql:///f?host=/run'}"),
            ["postgres.url"]
        );
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_key() {
        assert_eq!(paths("{}"), [""]);
        assert_eq!(
            paths("{sqlite: a, postgres: {url: 'postgres://f@db/f'}}"),
            ["postgres"]
        );
        assert_eq!(
            paths(
                "{postgres: {url: 'mysql://db/f', password: a, password_file: b, connections: 0, tls_config: {cert_file: c}}, \
                 retention: {decisions: 1h, max_decisions: 3}}"
            ),
            [
                "postgres.url",
                "postgres.password_file",
                "postgres.tls_config.key_file",
                "postgres.connections",
                "retention.decisions",
                "retention.max_decisions",
            ]
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "postgres://u:hunter2@db/f",
            "postgres://u@db/f?password=hunter2",
            "postgres:hunter2",
        ] {
            let settings = Settings::postgres(url);
            let (path, text) = settings.validate().remove(0);
            assert_eq!(path, "postgres.url");
            assert!(!text.contains("hunter2"), "{text}");
            assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        }
        let secret = read("postgres: {url: 'postgres://u@db/f', password: hunter2}");
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn tls_in_the_url_is_refused_as_it_would_not_count() {
        for name in ["sslmode", "sslrootcert", "ssl-mode", "SSLKEY"] {
            let url = format!("postgres://u@db/f?application_name=x&{name}=verify-full");
            let (path, text) = Settings::postgres(&url).validate().remove(0);
            assert_eq!(path, "postgres.url");
            assert!(text.contains(name) && text.contains("tls_config"), "{text}");
        }
        let url = "postgres://u@db/f?application_name=ssl";
        assert_eq!(Settings::postgres(url).validate(), []);
    }

    #[test]
    fn relative_files_are_beside_the_configuration_file() {
        let mut settings = read("sqlite: a.db");
        settings.set_directory(Path::new("/etc/x"));
        assert_eq!(settings.sqlite.as_deref(), Some(Path::new("/etc/x/a.db")));
        assert_eq!(settings.files(), [], "it need not be there yet");
        let mut settings = read("postgres: {url: 'postgres://u@db/f', password_file: p}");
        settings.set_directory(Path::new("/etc/x"));
        assert_eq!(
            settings.files(),
            [("postgres.password_file", Path::new("/etc/x/p"))]
        );
    }
}
