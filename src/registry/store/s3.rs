//! A bucket of S3-compatible storage, by the crate `object_store`. Its own HTTP client would bring a second one, and a
//! second TLS library: requests go through the client that sources have ([`super::http`]).

use super::{
    http::Connector,
    objects::{Object, Objects, Only, Refused},
    settings::S3,
};
use crate::series::Span;
use crate::source::{Secret, prometheus::plain_client};
use bytes::Bytes;
use object_store::{
    BackoffConfig, ClientOptions, CredentialProvider, Error, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig, UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder, AwsCredential},
    path::Path,
};
use std::{path::PathBuf, pin::Pin, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};

const CONNECT: Span = Span::seconds(10);
/// The first pause before a request is sent again, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// Requests keep their signature while they are sent again, and that is good for minutes.
const RETRY_WITHIN: Duration = Duration::from_secs(120);
/// Enough of what a server says.
const SHOWN: usize = 300;
/// Ways to be somebody without a key of one's own, of which the environment tells: a service account of Kubernetes on
/// EKS, a task of ECS.
const ROLES: [&str; 6] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
const NOBODY: &str = "nobody is named who asks: give access_key_id and secret_access_key_file, or set \
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// A bucket, or what is below a prefix of it.
#[derive(Debug)]
pub(super) struct Bucket {
    store: AmazonS3,
    prefix: String,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Bucket {
    /// Connects to nothing yet.
    pub(super) fn open(
        settings: &S3,
        endpoint: Option<&str>,
        region: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let client = plain_client(&settings.tls_config, CONNECT)?;
        let options = ClientOptions::new()
            .with_allow_http(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")));
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: PAUSES[0],
                max_backoff: PAUSES[1],
                base: 2.0,
            },
            max_retries: settings.retries,
            retry_timeout: RETRY_WITHIN,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(region)
            .with_client_options(options)
            .with_retry(retry)
            .with_http_connector(Connector::new(client, settings.timeout.to_std()));
        builder = match endpoint {
            // Other servers have their buckets in the path.
            Some(endpoint) => builder.with_endpoint(endpoint),
            // A certificate for one name does not cover a bucket with a dot in it.
            None => builder.with_virtual_hosted_style_request(!settings.bucket.contains('.')),
        };
        builder = match Keys::of(settings, env)? {
            Some(keys) => builder.with_credentials(Arc::new(keys)),
            None => with_role(builder, env)?,
        };
        let store = builder.build().map_err(|error| told(&error))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("model-store")
            .enable_all()
            .build();
        Ok(Self {
            store,
            prefix: settings.prefix.trim_end_matches('/').to_owned(),
            runtime: Some(runtime.map_err(|error| error.to_string())?),
        })
    }

    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.prefix))
    }

    /// Whoever calls may block; only that, as registries do.
    fn wait<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let runtime = self.runtime.as_ref().ok_or("the store is closed")?;
        runtime.block_on(work)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed where this may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Objects for Bucket {
    fn get(&self, key: &str, most: u64) -> Result<Option<Object>, String> {
        self.wait(async {
            let found = match self.store.get(&self.path(key)).await {
                Err(error) if is_absent(&error) => return Ok(None),
                found => found.map_err(|error| told(&error))?,
            };
            if found.meta.size > most {
                return Err(format!("{} bytes; at most {most}", found.meta.size));
            }
            let tag = found.meta.e_tag.clone().unwrap_or_default();
            let bytes = found.bytes().await.map_err(|error| told(&error))?;
            Ok(Some(Object { bytes, tag }))
        })
    }

    fn put(&self, key: &str, bytes: Bytes, only: Only<'_>) -> Result<(), Refused> {
        let mode = match only {
            Only::Absent => PutMode::Create,
            Only::Unchanged(tag) => PutMode::Update(UpdateVersion {
                e_tag: Some(tag.to_owned()),
                version: None,
            }),
        };
        let options = PutOptions::from(mode);
        let path = self.path(key);
        let put = async { Ok(self.store.put_opts(&path, bytes.into(), options).await) };
        match self.wait(put).map_err(Refused::Failed)? {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Err(Refused::Taken),
            // The pin that was to be replaced is gone.
            Err(error) if matches!(only, Only::Unchanged(_)) && is_absent(&error) => {
                Err(Refused::Taken)
            }
            Err(error) => Err(Refused::Failed(told(&error))),
        }
    }

    fn folders(&self, key: &str) -> Result<Vec<String>, String> {
        self.wait(async {
            let path = self.path(key);
            let listed = self.store.list_with_delimiter(Some(&path)).await;
            let listed = listed.map_err(|error| told(&error))?;
            let names = listed.common_prefixes.iter().filter_map(Path::filename);
            let mut names: Vec<String> = names.map(str::to_owned).collect();
            names.sort_unstable();
            Ok(names)
        })
    }
}

// === who asks ===

/// A key of S3, the secret parts read anew for each request where they are in files.
#[derive(Debug)]
struct Keys {
    id: String,
    secret: Text,
    token: Option<Text>,
}

#[derive(Debug)]
enum Text {
    Given(Secret),
    File(&'static str, PathBuf),
}

impl Keys {
    fn of(settings: &S3, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let given = |name: &str| env(name).filter(|text| !text.is_empty());
        if let (Some(id), Some(file)) = (&settings.access_key_id, &settings.secret_access_key_file)
        {
            let token = settings.session_token_file.clone();
            let keys = Self {
                id: id.clone(),
                secret: Text::File("secret_access_key_file", file.clone()),
                token: token.map(|file| Text::File("session_token_file", file)),
            };
            keys.read()?;
            return Ok(Some(keys));
        }
        let secret = |name: &str| given(name).map(|text| Text::Given(Secret::new(text)));
        match (given("AWS_ACCESS_KEY_ID"), secret("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(key)) => Ok(Some(Self {
                id,
                secret: key,
                token: secret("AWS_SESSION_TOKEN"),
            })),
            (None, None) => Ok(None),
            _ => Err("of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set".to_owned()),
        }
    }

    fn read(&self) -> Result<AwsCredential, String> {
        Ok(AwsCredential {
            key_id: self.id.clone(),
            secret_key: self.secret.read()?,
            token: self.token.as_ref().map(Text::read).transpose()?,
        })
    }
}

impl Text {
    fn read(&self) -> Result<String, String> {
        match self {
            Self::Given(secret) => Ok(secret.expose().to_owned()),
            Self::File(key, path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| format!("{key} {}: {error}", path.display()))?;
                Ok(text.trim().to_owned())
            }
        }
    }
}

impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    fn get_credential<'s, 'f>(
        &'s self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async {
            let read = self.read().map(Arc::new);
            read.map_err(|problem| Error::Generic {
                store: "S3",
                source: problem.into(),
            })
        })
    }
}

fn with_role(
    mut builder: AmazonS3Builder,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<AmazonS3Builder, String> {
    let mut found = false;
    for name in ROLES {
        let Some(value) = env(name).filter(|text| !text.is_empty()) else {
            continue;
        };
        let key = name.to_ascii_lowercase().parse();
        builder = builder.with_config(key.map_err(|error: Error| told(&error))?, value);
        found = true;
    }
    match found {
        true => Ok(builder),
        false => Err(NOBODY.to_owned()),
    }
}

// === what went wrong ===

/// Whether there is no such object. That there is no such bucket has the same status and is another matter.
fn is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !error.to_string().contains("NoSuchBucket")
}

/// What a server said, or why none did. No header is in it, so no secret; of the documents that servers answer with only
/// code and message are shown, as others of their elements repeat what was sent.
fn told(error: &Error) -> String {
    let whole = error.to_string();
    let element = |name: &str| {
        let (_, rest) = whole.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once('<')?;
        Some(text.trim().to_owned())
    };
    if let Some(code) = element("Code") {
        let message = element("Message").unwrap_or_default();
        return shortened(&format!("{code}: {message}{}", advice(&code)));
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    shortened(&innermost.to_string())
}

fn advice(code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => "; make it, or correct models.store.s3.bucket",
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AccessDenied" => {
            "; check access_key_id, secret_access_key_file and what they are allowed to do"
        }
        _ => "",
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
