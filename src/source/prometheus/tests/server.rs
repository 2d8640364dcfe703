//! A server that answers as a test says.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What a server was asked.
#[derive(Debug, Clone)]
pub(in crate::source) struct Asked {
    pub(in crate::source) method: String,
    pub(in crate::source) path: String,
    pub(in crate::source) version: hyper::Version,
    pub(in crate::source) headers: HeaderMap,
    /// Fields of the form, from the body of a POST or the query of a GET.
    pub(in crate::source) form: BTreeMap<String, String>,
}

impl Asked {
    pub(in crate::source) fn number(&self, field: &str) -> i64 {
        self.form[field].parse().unwrap()
    }
}

/// One step of a body.
#[derive(Debug, Clone)]
pub(in crate::source) enum Part {
    Bytes(Bytes),
    /// The same bytes so many times.
    Repeat(Bytes, usize),
    /// Nothing more comes, ever.
    Hang,
    /// The connection is cut, once what came before is on its way.
    Cut,
    /// The connection is cut.
    CutNow,
}

/// What a server answers.
#[derive(Debug, Clone)]
pub(in crate::source) enum Reply {
    /// Status, headers, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<Part>),
    /// Never.
    Silence,
}

impl Reply {
    pub(in crate::source) fn json(body: impl Into<String>) -> Self {
        Self::status(200, body)
    }

    pub(in crate::source) fn status(status: u16, body: impl Into<String>) -> Self {
        Self::with(status, &[], body)
    }

    pub(in crate::source) fn with(
        status: u16,
        headers: &[(&'static str, &str)],
        body: impl Into<String>,
    ) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let body = Bytes::from(body.into());
        Self::Whole(status, headers.collect(), vec![Part::Bytes(body)])
    }

    pub(in crate::source) fn parts(parts: Vec<Part>) -> Self {
        Self::Whole(200, Vec::new(), parts)
    }
}

type Behaviour = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// A server on a free port; it ends with the test.
pub(in crate::source) struct Server {
    pub(in crate::source) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    sent: Arc<Mutex<usize>>,
    _serving: JoinSet<()>,
}

impl Server {
    pub(in crate::source) async fn new(
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(None, Arc::new(answer)).await
    }

    pub(in crate::source) async fn with_tls(
        acceptor: TlsAcceptor,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(acceptor), Arc::new(answer)).await
    }

    async fn start(acceptor: Option<TlsAcceptor>, answer: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, sent) = (Arc::default(), Arc::default());
        let mut serving = JoinSet::new();
        let state = (Arc::clone(&asked), Arc::clone(&sent));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (answer, state) = (answer.clone(), state.clone());
                match acceptor.clone() {
                    None => drop(connections.spawn(serve(tcp, answer, state))),
                    Some(acceptor) => drop(connections.spawn(async move {
                        if let Ok(stream) = acceptor.accept(tcp).await {
                            serve(stream, answer, state).await;
                        }
                    })),
                }
            }
        });
        Self {
            address,
            asked,
            sent,
            _serving: serving,
        }
    }

    pub(in crate::source) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Everything it was asked so far.
    pub(in crate::source) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Bytes of bodies it could get rid of.
    pub(in crate::source) fn sent(&self) -> usize {
        *self.sent.lock().unwrap()
    }
}

type State = (Arc<Mutex<Vec<Asked>>>, Arc<Mutex<usize>>);

async fn serve<S>(stream: S, answer: Behaviour, (asked, sent): State)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, asked, sent) = (answer.clone(), asked.clone(), sent.clone());
        async move {
            let request = read(request).await;
            asked.lock().unwrap().push(request.clone());
            match answer(&request) {
                Reply::Silence => std::future::pending().await,
                Reply::Whole(status, headers, parts) => {
                    let mut response = Response::builder().status(status);
                    for (name, value) in headers {
                        response = response.header(name, value);
                    }
                    let parts = parts.into();
                    Ok::<_, Infallible>(response.body(Script { parts, sent }).unwrap())
                }
            }
        }
    });
    let connection = auto::Builder::new(TokioExecutor::new());
    // A client that goes away in the middle is what many tests are about.
    drop(
        connection
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn read(request: Request<Incoming>) -> Asked {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let form = head.uri.query().map_or(body, str::to_owned);
    let form = form.split('&').filter_map(|pair| pair.split_once('='));
    let text = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text);
        bytes.decode_utf8().unwrap().into_owned()
    };
    Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        version: head.version,
        headers: head.headers,
        form: form
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
    }
}

/// A body that goes by its parts.
struct Script {
    parts: VecDeque<Part>,
    sent: Arc<Mutex<usize>>,
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let bytes = match self.parts.pop_front() {
            None => return Poll::Ready(None),
            Some(Part::Bytes(bytes)) => bytes,
            Some(Part::Repeat(bytes, times)) => {
                if times > 1 {
                    self.parts
                        .push_front(Part::Repeat(bytes.clone(), times - 1));
                }
                bytes
            }
            Some(Part::Cut) => {
                self.parts.push_front(Part::CutNow);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Part::CutNow) => return Poll::Ready(Some(Err(io::Error::other("cut")))),
            // Nobody wakes it: that is the point.
            Some(Part::Hang) => {
                self.parts.push_front(Part::Hang);
                return Poll::Pending;
            }
        };
        *self.sent.lock().unwrap() += bytes.len();
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
