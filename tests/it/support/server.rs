//! Servers under the tests' control: a scrape target, and a source that misbehaves on order.

use super::http::decode_form;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The method.
    pub(crate) method: String,
    /// The path, without the query.
    pub(crate) path: String,
    /// The query's and the form's parameters.
    pub(crate) parameters: Vec<(String, String)>,
    /// The path with the query, as it came.
    pub(crate) uri: String,
    /// Headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as text.
    pub(crate) body: String,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

impl Asked {
    /// A parameter; empty where it is absent.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }

    /// A header, its name in lower case; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }

    /// A parameter in seconds since the epoch or as a plain number of seconds.
    pub(crate) fn seconds(&self, name: &str) -> f64 {
        self.parameter(name)
            .trim_end_matches('s')
            .parse()
            .unwrap_or(0.0)
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Status, content type, body.
    Whole(u16, &'static str, String),
    /// As `Whole`, but the connection breaks in the middle of the body.
    Half(String),
    /// A body that never ends, of spaces: they may stand before any JSON document.
    Endless,
    /// Nothing, and the connection stays open.
    Hang,
    /// The connection is closed without an answer.
    Close,
}

impl Answer {
    /// A JSON document.
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Whole(status, "application/json", body.into())
    }
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A small HTTP server; stops when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    handler: Arc<Handler>,
    running: Option<Running>,
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens on a loopback port of the system's choice.
    pub(crate) fn start(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = Self {
            address: listener.local_addr().unwrap(),
            handler: Arc::new(handler),
            running: None,
        };
        server.accept(listener);
        server
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Stops listening: connections are refused.
    pub(crate) fn refuse(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.stop.store(true, Ordering::SeqCst);
        // Wakes the accept loop, so that the listener is really closed when this returns.
        drop(TcpStream::connect(self.address));
        running.thread.join().unwrap();
    }

    /// Listens again on the same port.
    pub(crate) fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.accept(listener);
    }

    fn accept(&mut self, listener: TcpListener) {
        let stop = Arc::new(AtomicBool::new(false));
        let handler = Arc::clone(&self.handler);
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let handler = Arc::clone(&handler);
                let stopped = Arc::clone(&stopped);
                // A broken connection is the other side's business, and often what is tested.
                thread::spawn(move || stream.and_then(|stream| serve(stream, &*handler, &stopped)));
            }
        });
        self.running = Some(Running { stop, thread });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.refuse();
    }
}

fn serve(mut stream: TcpStream, handler: &Handler, stopped: &AtomicBool) -> std::io::Result<()> {
    let Some(asked) = read(&stream)? else {
        return Ok(());
    };
    match handler(&asked) {
        Answer::Whole(status, kind, body) => {
            write_head(&mut stream, status, kind, body.len())?;
            stream.write_all(body.as_bytes())
        }
        Answer::Half(body) => {
            write_head(&mut stream, 200, "application/json", body.len())?;
            stream.write_all(body.as_bytes().get(..body.len() / 2).unwrap_or_default())
        }
        Answer::Endless => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            while !stopped.load(Ordering::SeqCst) {
                stream.write_all(&[b' '; 65_536])?;
            }
            Ok(())
        }
        Answer::Hang => {
            while !stopped.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
        Answer::Close => Ok(()),
    }
}

fn write_head(
    stream: &mut TcpStream,
    status: u16,
    kind: &str,
    length: usize,
) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())
}

fn read(stream: &TcpStream) -> std::io::Result<Option<Asked>> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(uri)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let headers = read_headers(&mut reader)?;
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
    let mut parameters = decode_form(query);
    parameters.extend(decode_form(&body));
    Ok(Some(Asked {
        method,
        path: path.to_owned(),
        parameters,
        uri: uri.clone(),
        headers,
        body,
        bytes,
    }))
}

fn read_headers(reader: &mut impl BufRead) -> std::io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(headers);
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// A scrape target; its text is made anew for each scrape.
pub(crate) struct Target {
    server: Server,
}

impl Target {
    /// Exposes what `text` gives.
    pub(crate) fn start(text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let server =
            Server::start(move |_| Answer::Whole(200, "text/plain; version=0.0.4", text()));
        Self { server }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        self.server.address()
    }
}
