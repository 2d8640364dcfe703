//! Who pushes and scrapes: a process of its own that is told on its input what to do, line by line.

use super::{
    super::cpu::cpu_seconds,
    data::{NAME, Stream, Values},
};
use crate::{
    expo::wire::{
        Packer,
        write::{Outgoing, Point, Version, Writer},
    },
    series::Millis,
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Range,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};
use tokio::time::Instant;

/// Series of one request, as Prometheus sends them.
const PER_REQUEST: usize = 2_000;
/// After so long without a request a connection is made anew.
const IDLE: Duration = Duration::from_secs(30);

/// The process, until dropped.
pub(super) struct Sender {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Seconds of CPU that it has used.
    pub(super) cpu_seconds: f64,
}

impl Sender {
    /// # Errors
    /// The process does not start.
    pub(super) fn start(mut command: Command) -> Result<Self, String> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| format!("no process that pushes: {error}"))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self {
                child,
                input,
                output: BufReader::new(output),
                cpu_seconds: 0.0,
            }),
            _ => Err("the process that pushes has no input or output".to_owned()),
        }
    }

    /// Pushes a sample of each of these series, and waits until they are taken.
    ///
    /// # Errors
    /// They were refused.
    pub(super) fn push(
        &mut self,
        at: Millis,
        anomalous: bool,
        series: Range<usize>,
    ) -> Result<(), String> {
        let (from, to) = (series.start, series.end);
        self.tell(&format!("push {at} {anomalous} {from} {to}"))
            .map(drop)
    }

    /// Scrapes once with gzip; bytes of the answer.
    ///
    /// # Errors
    /// There was none.
    pub(super) fn scrape(&mut self) -> Result<usize, String> {
        self.tell("scrape")
    }

    fn tell(&mut self, line: &str) -> Result<usize, String> {
        let mut answer = String::new();
        let told = writeln!(self.input, "{line}").and_then(|()| self.output.read_line(&mut answer));
        told.map_err(|error| format!("the process that pushes is gone: {error}"))?;
        let answer = answer.trim_end();
        let mut words = answer.split(' ');
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<f64>().ok());
        match (words.next(), number(words.next()), number(words.next())) {
            (Some("done"), Some(bytes), Some(cpu)) => {
                self.cpu_seconds = cpu;
                Ok(bytes as usize)
            }
            _ => Err(format!("pushing failed: {answer}")),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // It ends by itself where its input does; a child that is not waited for would stay in the table.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the process does: carries out what the lines of `input` say until they end.
///
/// # Errors
/// Input and output that cannot be used; what goes wrong between is told on the output.
pub fn serve(
    series: usize,
    address: SocketAddr,
    input: impl BufRead,
    output: &mut dyn Write,
) -> io::Result<()> {
    let mut pusher = None;
    for line in input.lines() {
        let line = line?;
        let answer = match &mut pusher {
            Some(pusher) => carry_out(pusher, &line),
            none => {
                Pusher::new(series, address).and_then(|fresh| carry_out(none.insert(fresh), &line))
            }
        };
        match answer {
            Ok(bytes) => writeln!(output, "done {bytes} {}", cpu_seconds())?,
            Err(error) => writeln!(output, "failed: {error}")?,
        }
        output.flush()?;
    }
    Ok(())
}

fn carry_out(pusher: &mut Pusher, line: &str) -> io::Result<usize> {
    let words: Vec<&str> = line.split(' ').collect();
    let wrong = || io::Error::other(format!("{line:?} is no order"));
    let number = |word: &str| word.parse::<i64>().map_err(|_| wrong());
    match words[..] {
        ["push", at, anomalous, from, to] => {
            let series = number(from)? as usize..number(to)? as usize;
            pusher.push(number(at)?, anomalous == "true", series)
        }
        ["scrape"] => pusher.scrape(),
        _ => Err(wrong()),
    }
}

/// Pushes over one connection that is kept open.
struct Pusher {
    series: usize,
    address: SocketAddr,
    connection: BufReader<TcpStream>,
    writer: Writer,
    packer: Packer,
    body: Vec<u8>,
    /// When the connection was used last.
    used: Instant,
}

impl Pusher {
    fn new(series: usize, address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            series,
            address,
            connection: connect(address)?,
            used: Instant::now(),
            writer: Writer::new(Version::V1),
            packer: Packer::new(),
            body: Vec::new(),
        })
    }

    fn push(&mut self, at: Millis, anomalous: bool, series: Range<usize>) -> io::Result<usize> {
        let (mut values, mut sent) = (Values::default(), 0);
        for from in series.clone().step_by(PER_REQUEST) {
            self.writer.clear();
            for index in from..(from + PER_REQUEST).min(series.end).min(self.series) {
                let value = Stream::value(index, at, anomalous);
                self.writer.push(&Outgoing {
                    name: NAME,
                    labels: &values.of(index),
                    samples: &[Point { at, value }],
                    metadata: None,
                    created: None,
                });
            }
            self.body.clear();
            self.writer.append_to(&mut self.body);
            sent += self.send()?;
        }
        Ok(sent)
    }

    /// A server closes what is idle for long.
    fn renew(&mut self) -> io::Result<()> {
        if self.used.elapsed() >= IDLE {
            self.connection = connect(self.address)?;
        }
        self.used = Instant::now();
        Ok(())
    }

    fn send(&mut self) -> io::Result<usize> {
        self.renew()?;
        let packed = self.packer.pack(&self.body).map_err(io::Error::other)?;
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: {}\r\nContent-Encoding: snappy\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            Version::V1.content_type(),
            packed.len(),
        );
        let stream = self.connection.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(packed)?;
        let sent = packed.len();
        match self.answer()? {
            (204, _) => Ok(sent),
            (status, body) => {
                let text = String::from_utf8_lossy(&body);
                Err(io::Error::other(format!("status {status}: {text}")))
            }
        }
    }

    fn scrape(&mut self) -> io::Result<usize> {
        self.renew()?;
        let head = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: gzip\r\n\r\n",
            self.address
        );
        self.connection.get_mut().write_all(head.as_bytes())?;
        match self.answer()? {
            (200, body) => Ok(body.len()),
            (status, _) => Err(io::Error::other(format!("status {status}"))),
        }
    }

    /// Status and body; a body without a length is none.
    fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let (mut status, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            if self.connection.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if status.is_none() {
                status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
            } else if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body)?;
        let status = status.ok_or_else(|| io::Error::other("an answer without a status"))?;
        Ok((status, body))
    }
}

fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}
