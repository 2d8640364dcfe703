//! The `Authorization` header and the further headers of a request.

use super::{failure::Failure, settings::Settings};
use crate::source::Secret;
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use std::path::{Path, PathBuf};

/// How we name ourselves to a source.
const AGENT: &str = concat!("forethought/", env!("CARGO_PKG_VERSION"));

/// Who we are to the source.
#[derive(Debug)]
pub(crate) struct Credentials {
    way: Way,
    headers: HeaderMap,
}

#[derive(Debug)]
enum Way {
    Nobody,
    Basic { user: String, password: Text },
    Scheme { scheme: String, token: Text },
}

/// A secret, or the file that holds it and the key that names the file.
#[derive(Debug)]
enum Text {
    Given(Secret),
    File(&'static str, PathBuf),
}

impl Credentials {
    /// The credentials of `settings`.
    ///
    /// # Errors
    /// A header that cannot be sent, or a file that cannot be read.
    pub(crate) fn new(settings: &Settings) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in &settings.headers {
            let header = HeaderName::from_bytes(name.as_bytes());
            let header = header.map_err(|error| format!("headers.{name}: {error}"))?;
            headers.insert(header, secret_value(value.expose(), name)?);
        }
        let credentials = Self {
            way: Way::of(settings),
            headers,
        };
        if let Some((key, path)) = credentials.file() {
            credentials.authorization(Some(strip(key, path, std::fs::read(path))?))?;
        }
        Ok(credentials)
    }

    /// The headers of one request; a file is read anew.
    pub(super) async fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = self.headers.clone();
        if let Some(value) = self.authorization_now().await.map_err(Failure::own)? {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// The `Authorization` header as it is now; nothing where the settings say nothing of it. A file is read anew.
    pub(crate) async fn authorization_now(&self) -> Result<Option<HeaderValue>, String> {
        let read = match self.file() {
            None => None,
            Some((key, path)) => Some(strip(key, path, tokio::fs::read(path).await)?),
        };
        self.authorization(read)
    }

    fn file(&self) -> Option<(&'static str, &Path)> {
        match &self.way {
            Way::Basic {
                password: Text::File(key, path),
                ..
            }
            | Way::Scheme {
                token: Text::File(key, path),
                ..
            } => Some((key, path)),
            _ => None,
        }
    }

    fn authorization(&self, read: Option<Secret>) -> Result<Option<HeaderValue>, String> {
        let line = match &self.way {
            Way::Nobody => return Ok(None),
            Way::Basic { user, password } => {
                let pair = format!("{user}:{}", password.or(&read).expose());
                format!("Basic {}", STANDARD.encode(pair))
            }
            Way::Scheme { scheme, token } => format!("{scheme} {}", token.or(&read).expose()),
        };
        secret_value(&line, "authorization").map(Some)
    }
}

impl Text {
    fn or<'a>(&'a self, read: &'a Option<Secret>) -> &'a Secret {
        static NOTHING: std::sync::LazyLock<Secret> = std::sync::LazyLock::new(Secret::default);
        match self {
            Self::Given(secret) => secret,
            Self::File(..) => read.as_ref().unwrap_or(&NOTHING),
        }
    }

    fn of(given: &Option<Secret>, key: &'static str, file: &Option<PathBuf>) -> Self {
        match (given, file) {
            (None, Some(file)) => Self::File(key, file.clone()),
            (given, _) => Self::Given(given.clone().unwrap_or_default()),
        }
    }
}

impl Way {
    fn of(settings: &Settings) -> Self {
        let bearer = || String::from("Bearer");
        if let Some(basic) = &settings.basic_auth {
            let key = "basic_auth.password_file";
            let password = Text::of(&basic.password, key, &basic.password_file);
            let user = basic.username.clone();
            return Self::Basic { user, password };
        }
        if let Some(auth) = &settings.authorization {
            let key = "authorization.credentials_file";
            let token = Text::of(&auth.credentials, key, &auth.credentials_file);
            let scheme = auth.scheme.trim().to_owned();
            return Self::Scheme { scheme, token };
        }
        if settings.bearer_token.is_none() && settings.bearer_token_file.is_none() {
            return Self::Nobody;
        }
        let file = &settings.bearer_token_file;
        Self::Scheme {
            scheme: bearer(),
            token: Text::of(&settings.bearer_token, "bearer_token_file", file),
        }
    }
}

/// The text of a secret file without the line end most editors put there.
fn strip(key: &str, path: &Path, read: std::io::Result<Vec<u8>>) -> Result<Secret, String> {
    let place = format!("{key} {}", path.display());
    let bytes = read.map_err(|error| format!("{place}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{place}: is not text"))?;
    Ok(Secret::new(text.trim()))
}

fn secret_value(text: &str, key: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| format!("{key}: has characters that cannot be in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Replaces secrets of `headers` in `text`: some servers show the request they refuse.
pub(super) fn hide(text: String, headers: &HeaderMap) -> String {
    let mut shown = text;
    for value in headers.values().filter(|value| value.is_sensitive()) {
        let whole = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let token = whole.split_once(' ').map_or("", |(_, token)| token);
        for secret in [&whole, token] {
            // Shorter ones (a tenant named `1`) would tear up the text and reveal themselves by it.
            if secret.len() >= 4 {
                shown = shown.replace(secret, "<secret>");
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::prometheus::settings::{Authorization, BasicAuth};

    async fn sent(settings: &Settings) -> String {
        let headers = Credentials::new(settings).unwrap().headers().await.unwrap();
        let value = headers.get(AUTHORIZATION);
        value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn each_way_makes_its_header() {
        let mut settings = Settings::new("http://x");
        assert_eq!(sent(&settings).await, "");
        settings.bearer_token = Some(Secret::new("abc"));
        assert_eq!(sent(&settings).await, "Bearer abc");
        settings.bearer_token = None;
        settings.authorization = Some(Authorization {
            scheme: String::from("Token"),
            credentials: Some(Secret::new("abc")),
            credentials_file: None,
        });
        assert_eq!(sent(&settings).await, "Token abc");
        settings.authorization = None;
        settings.basic_auth = Some(BasicAuth {
            username: String::from("Aladdin"),
            password: Some(Secret::new("open sesame")),
            password_file: None,
        });
        // The example of RFC 7617.
        assert_eq!(sent(&settings).await, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[tokio::test]
    async fn a_rotated_file_is_seen_and_a_lost_one_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let mut settings = Settings::new("http://x");
        settings.bearer_token_file = Some(path.clone());
        let credentials = Credentials::new(&settings).unwrap();
        let first = credentials.headers().await.unwrap();
        assert_eq!(first[AUTHORIZATION], "Bearer one");
        std::fs::write(&path, "two\n").unwrap();
        let second = credentials.headers().await.unwrap();
        assert_eq!(second[AUTHORIZATION], "Bearer two");
        std::fs::remove_file(&path).unwrap();
        let failure = credentials.headers().await.unwrap_err();
        assert!(
            failure.error.message.starts_with("bearer_token_file /"),
            "{failure:?}"
        );
        assert!(Credentials::new(&settings).is_err());
    }

    #[tokio::test]
    async fn what_a_server_repeats_of_us_is_hidden() {
        let mut settings = Settings::new("http://x");
        settings.bearer_token = Some(Secret::new("hunter2"));
        settings
            .headers
            .insert(String::from("X-Key"), Secret::new("opensesame"));
        let headers = Credentials::new(&settings)
            .unwrap()
            .headers()
            .await
            .unwrap();
        let shown = hide(String::from("bad token hunter2, key opensesame"), &headers);
        assert_eq!(shown, "bad token <secret>, key <secret>");
        assert!(!format!("{headers:?}").contains("hunter2"));
    }
}
