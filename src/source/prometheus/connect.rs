//! Connecting to a server: name look-up, TCP and TLS within one deadline, and clients that follow their TLS files.

use super::{
    failure::{Again, Failure},
    settings::{Settings, TlsSettings},
    tls::{TlsFiles, client_config},
};
use crate::{series::Span, source::Cause};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::pki_types::ServerName;
use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::timeout;
use tower_service::Service;

/// A client for `http` and `https` that connects within a deadline.
pub(crate) type HttpClient = Client<Patient<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// Kept open between ticks of a minute, closed before most servers do (Prometheus: 5 minutes).
const IDLE_CONNECTION: Duration = Duration::from_secs(120);

/// A client that is made anew where one of its TLS files changes.
pub(super) struct Clients {
    settings: Settings,
    /// The client, and the stamp of the TLS files it was made from.
    client: Mutex<(u64, HttpClient)>,
}

impl Clients {
    /// Clients with the connection settings of `settings`, which are valid. Reads the files they name.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let files = TlsFiles::read(&settings.tls_config)?;
        let client = http_client(settings, &files)?;
        Ok(Self {
            settings: settings.clone(),
            client: Mutex::new((files.stamp(), client)),
        })
    }

    /// The client.
    pub(super) async fn client(&self) -> Result<HttpClient, Failure> {
        let tls = &self.settings.tls_config;
        if tls.ca_file.is_none() && tls.cert_file.is_none() {
            return Ok(self.current(None));
        }
        let settings = tls.clone();
        let files = tokio::task::spawn_blocking(move || TlsFiles::read(&settings)).await;
        let files = files.map_err(|error| Failure::own(error.to_string()))?;
        let files = files.map_err(Failure::own)?;
        let stamp = files.stamp();
        let current = self.client.lock().unwrap_or_else(PoisonError::into_inner).0;
        if stamp == current {
            return Ok(self.current(None));
        }
        let client = http_client(&self.settings, &files).map_err(Failure::own)?;
        Ok(self.current(Some((stamp, client))))
    }

    fn current(&self, new: Option<(u64, HttpClient)>) -> HttpClient {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(new) = new {
            *client = new;
        }
        client.1.clone()
    }
}

fn http_client(settings: &Settings, files: &TlsFiles) -> Result<HttpClient, String> {
    client_to(
        &settings.tls_config,
        files,
        settings.connect_timeout,
        settings.enable_http2,
    )
}

/// A client for servers that are no sources. Reads the files that `tls` names.
///
/// # Errors
/// A file that cannot be used, with its key.
pub(crate) fn plain_client(tls: &TlsSettings, connect_timeout: Span) -> Result<HttpClient, String> {
    client_to(tls, &TlsFiles::read(tls)?, connect_timeout, false)
}

/// Changes when one of the files that `tls` names changes. Reads them.
///
/// # Errors
/// A file that cannot be read, with its key.
pub(crate) fn tls_stamp(tls: &TlsSettings) -> Result<u64, String> {
    Ok(TlsFiles::read(tls)?.stamp())
}

fn client_to(
    tls_config: &TlsSettings,
    files: &TlsFiles,
    connect_timeout: Span,
    enable_http2: bool,
) -> Result<HttpClient, String> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let tls = client_config(tls_config, files)?;
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    if let Some(name) = &tls_config.server_name {
        let name = ServerName::try_from(name.clone());
        let name = name.map_err(|error| format!("tls_config.server_name: {error}"))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let connector = if enable_http2 {
        builder.enable_all_versions().wrap_connector(http)
    } else {
        builder.enable_http1().wrap_connector(http)
    };
    let patient = Patient {
        inner: connector,
        limit: connect_timeout,
    };
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_timer(TokioTimer::new());
    client.pool_idle_timeout(IDLE_CONNECTION);
    Ok(client.build(patient))
}

/// A connector with one deadline for name look-up, connection and TLS handshake together; the ones
/// below it know none for the handshake.
#[derive(Clone)]
pub(crate) struct Patient<C> {
    inner: C,
    limit: Span,
}

#[derive(Debug, thiserror::Error)]
#[error("no connection within {0} (connect_timeout)")]
struct ConnectTimeout(Span);

type BoxError = Box<dyn Error + Send + Sync>;

impl<C> Service<Uri> for Patient<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
    C::Response: 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(to), self.limit);
        Box::pin(async move {
            let connected = timeout(limit.to_std(), connecting).await;
            connected.map_err(|_| ConnectTimeout(limit))?
        })
    }
}

/// What a client error means.
pub(super) fn unreachable_source(error: &ClientError) -> Failure {
    let lost = Lost::of(error);
    if lost.is_late {
        return Failure {
            narrow: false,
            ..Failure::late(lost.text)
        };
    }
    let mut failure = Failure::lost(Cause::Connect, lost.text);
    if lost.certificate {
        failure.again = Again::Never;
    }
    failure
}

/// Why a server was not reached.
pub(crate) struct Lost {
    /// The innermost causes, each once: they say what a person can act on.
    pub(crate) text: String,
    /// Whether it did not answer in time to being connected to.
    pub(crate) is_late: bool,
    /// Whether its certificate was refused.
    pub(crate) certificate: bool,
}

impl Lost {
    /// What a client error means.
    pub(crate) fn of(error: &ClientError) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut certificate = false;
        let mut next = error.source();
        while let Some(cause) = next {
            if cause.is::<ConnectTimeout>() {
                return Self {
                    text: cause.to_string(),
                    is_late: true,
                    certificate: false,
                };
            }
            certificate |= is_certificate(cause);
            let text = cause.to_string();
            if !texts.iter().any(|outer| outer.contains(&text)) {
                texts.push(text);
            }
            next = cause.source();
        }
        if texts.is_empty() {
            texts.push(error.to_string());
        }
        let advice = if certificate {
            "; check tls_config"
        } else {
            ""
        };
        Self {
            text: format!("{}{advice}", texts.join(": ")),
            is_late: false,
            certificate,
        }
    }
}

/// Whether the certificate was refused. TLS errors come wrapped in IO errors, which do not show them
/// as their source.
fn is_certificate(cause: &(dyn Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        return error.get_ref().is_some_and(|inner| is_certificate(inner));
    }
    let tls = cause.downcast_ref::<rustls::Error>();
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}
