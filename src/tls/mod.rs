//! The server side of TLS, as exporters of Prometheus are configured: a file with `tls_server_config`, whose certificates are
//! read again when they change (<https://prometheus.io/docs/prometheus/latest/configuration/https/>). What both sides need is
//! in `pem.rs` and `anyone.rs`.

mod anyone;
pub(crate) mod pem;

pub(crate) use anyone::Anyone;

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::CertificateDer,
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use xxhash_rust::xxh3::Xxh3;

/// How often the files are looked at. Those of a Kubernetes secret take up to a minute to arrive anyhow.
const POLL: Duration = Duration::from_secs(15);
/// No certificate and no list of authorities is longer.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The file behind `--grpc.config.file`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Settings,
}

/// A file that has more in it, which others read and check.
#[derive(Debug, Clone, Deserialize)]
struct WiderFile {
    tls_server_config: Settings,
}

/// `tls_server_config`. Paths are relative to the file they stand in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    cert_file: PathBuf,
    key_file: PathBuf,
    #[serde(default)]
    client_auth_type: ClientAuth,
    #[serde(default)]
    client_ca_file: Option<PathBuf>,
    /// Of these names a client's certificate must have one; any where empty.
    #[serde(default)]
    client_allowed_sans: Vec<String>,
    #[serde(default)]
    min_version: Version,
}

/// Whether clients show a certificate. Go's other ways accept ones that nobody has verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum ClientAuth {
    #[default]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum Version {
    #[default]
    TLS12,
    TLS13,
}

/// TLS of a listener. The newest certificates that could be read are in force.
#[derive(Debug)]
pub struct Tls {
    file: PathBuf,
    form: Form,
    newest: ArcSwap<Loaded>,
    renewed: watch::Sender<()>,
}

/// What a listener is for.
#[derive(Debug, Clone)]
struct Form {
    protocols: Vec<Vec<u8>>,
    /// Whether clients may show any certificate, which is judged request by request.
    any_client: bool,
}

#[derive(Debug)]
struct Loaded {
    stamp: u64,
    config: Arc<ServerConfig>,
    allowed: Vec<String>,
}

// === impl Tls ===

impl Tls {
    /// Reads the file and those it names; blocks. `protocols` are what is offered of HTTP, `h2` say.
    ///
    /// # Errors
    /// What cannot be read or does not fit, with the key.
    pub fn load(file: &Path, protocols: &[&str]) -> Result<Self, String> {
        Self::of(file, protocols, false)
    }

    /// The same for a file that has more in it, and for clients whose certificates are judged later: any is taken that the
    /// client has the key of, and none. Whoever reads requests must look at it.
    ///
    /// # Errors
    /// What cannot be read or does not fit, with the key.
    pub fn load_for_any_client(file: &Path, protocols: &[&str]) -> Result<Self, String> {
        Self::of(file, protocols, true)
    }

    fn of(file: &Path, protocols: &[&str], any_client: bool) -> Result<Self, String> {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        let form = Form {
            protocols: protocols.collect(),
            any_client,
        };
        let loaded = load(file, &form)?;
        Ok(Self {
            file: file.to_owned(),
            form,
            newest: ArcSwap::from_pointee(loaded),
            renewed: watch::Sender::new(()),
        })
    }

    /// Tells whenever others are in force.
    pub fn renewals(&self) -> watch::Receiver<()> {
        self.renewed.subscribe()
    }

    /// What a handshake is made with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.newest.load().config)
    }

    /// Whether a client with this certificate may ask.
    ///
    /// # Errors
    /// It has none of the names that may.
    pub fn admit(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<(), String> {
        let newest = self.newest.load();
        // Without a certificate the handshake has failed where one is required.
        let Some(certificate) = shown.and_then(<[_]>::first) else {
            return Ok(());
        };
        if newest.allowed.is_empty() {
            return Ok(());
        }
        let parsed = webpki::EndEntityCert::try_from(certificate);
        let parsed = parsed.map_err(|error| format!("the client's certificate: {error}"))?;
        let names: Vec<&str> = parsed
            .valid_dns_names()
            .chain(parsed.valid_uri_names())
            .collect();
        match names
            .iter()
            .any(|name| newest.allowed.iter().any(|allowed| allowed == name))
        {
            true => Ok(()),
            false => Err(format!(
                "none of its names {names:?} is in client_allowed_sans"
            )),
        }
    }

    /// Reads the files again and again until dropped. `read` is told each time whether what lies there is in force; where it
    /// cannot be, the former stays.
    pub async fn follow(self: Arc<Self>, read: impl Fn(&Result<(), String>)) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            poll.tick().await;
            let this = Arc::clone(&self);
            let loaded = tokio::task::spawn_blocking(move || load(&this.file, &this.form)).await;
            let loaded = loaded.unwrap_or_else(|panic| Err(panic.to_string()));
            read(&loaded.map(|loaded| self.take(loaded)));
        }
    }

    fn take(&self, loaded: Loaded) {
        if loaded.stamp == self.newest.load().stamp {
            return;
        }
        self.newest.store(Arc::new(loaded));
        self.renewed.send_replace(());
        tracing::info!(file = %self.file.display(), "the certificates were read again");
    }
}

fn load(file: &Path, form: &Form) -> Result<Loaded, String> {
    let mut stamp = Xxh3::new();
    let mut read = |key: &str, path: &Path| -> Result<Vec<u8>, String> {
        let bytes =
            content(path).map_err(|problem| format!("{key}{}: {problem}", path.display()))?;
        stamp.update(&(bytes.len() as u64).to_le_bytes());
        stamp.update(&bytes);
        Ok(bytes)
    };
    let text = read("", file)?;
    let settings = match form.any_client {
        true => serde_yaml::from_slice(&text).map(|file: WiderFile| file.tls_server_config),
        false => serde_yaml::from_slice(&text).map(|file: File| file.tls_server_config),
    };
    let settings = settings.map_err(|error| format!("{}: {error}", file.display()))?;
    let beside = file.parent().unwrap_or(Path::new(""));
    let certificate = read(
        "tls_server_config.cert_file ",
        &beside.join(&settings.cert_file),
    )?;
    let key = read(
        "tls_server_config.key_file ",
        &beside.join(&settings.key_file),
    )?;
    let authorities = settings.client_ca_file.as_ref();
    let authorities =
        authorities.map(|path| read("tls_server_config.client_ca_file ", &beside.join(path)));
    let config = config(
        &settings,
        &certificate,
        &key,
        authorities.transpose()?.as_deref(),
        form,
    );
    Ok(Loaded {
        config: Arc::new(
            config.map_err(|problem| format!("{}: tls_server_config.{problem}", file.display()))?,
        ),
        stamp: stamp.digest(),
        allowed: settings.client_allowed_sans,
    })
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > LONGEST {
        return Err(format!("{length} bytes; at most {LONGEST}"));
    }
    fs::read(path).map_err(|error| error.to_string())
}

fn config(
    settings: &Settings,
    certificate: &[u8],
    key: &[u8],
    authorities: Option<&[u8]>,
    form: &Form,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[_] = match settings.min_version {
        Version::TLS12 => &[&TLS12, &TLS13],
        Version::TLS13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| format!("min_version: {error}"))?;
    let wants = settings.client_auth_type != ClientAuth::NoClientCert;
    let must = settings.client_auth_type == ClientAuth::RequireAndVerifyClientCert;
    if !must && !settings.client_allowed_sans.is_empty() {
        return Err(
            "client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert".to_owned(),
        );
    }
    if form.any_client && (wants || authorities.is_some()) {
        return Err(
            "client_auth_type and client_ca_file: leave them out; who may ask is said elsewhere in this file".to_owned(),
        );
    }
    let builder = match (wants, authorities) {
        (false, None) if form.any_client => {
            builder.with_client_cert_verifier(Arc::new(Anyone::new(provider)))
        }
        (false, None) => builder.with_no_client_auth(),
        (false, Some(_)) => {
            return Err("client_ca_file: needs client_auth_type: RequireAndVerifyClientCert or VerifyClientCertIfGiven".to_owned());
        }
        (true, None) => return Err("client_ca_file: is needed to verify clients".to_owned()),
        (true, Some(pem)) => {
            let trusted = pem::authorities(pem);
            let trusted = trusted.map_err(|problem| format!("client_ca_file: {problem}"))?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider);
            let verifier = match settings.client_auth_type {
                ClientAuth::VerifyClientCertIfGiven => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let built = verifier
                .build()
                .map_err(|error| format!("client_ca_file: {error}"))?;
            builder.with_client_cert_verifier(built)
        }
    };
    let chain = pem::certificates(certificate);
    let chain = chain.map_err(|problem| format!("cert_file: {problem}"))?;
    let key = pem::key(key).map_err(|problem| format!("key_file: {problem}"))?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("cert_file: {error}"))?;
    config.alpn_protocols = form.protocols.clone();
    Ok(config)
}
