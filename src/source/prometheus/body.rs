//! Reads the body of an answer: decompressed as it comes, and never beyond its limit.

use super::failure::Failure;
use crate::{series::Span, source::Cause};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Buf};
use std::{
    error::Error,
    io::{self, Write},
};
use tokio::time::{Instant, timeout_at};

/// Bounds of one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most bytes after decompression.
    pub(super) bytes: usize,
    /// Longest pause between two pieces.
    pub(super) idle: Span,
    /// When the whole must be there, and the span that was allowed for it.
    pub(super) deadline: Instant,
    pub(super) timeout: Span,
    /// What a person can change.
    pub(super) words: Words,
}

/// The keys that bound an answer, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub(super) timeout: &'static str,
    pub(super) idle: &'static str,
    /// The key of the limit, and what else helps.
    pub(super) bytes: &'static str,
}

impl Words {
    /// Of answers to queries.
    pub(super) const OF_QUERIES: Self = Self {
        timeout: "(timeout)",
        idle: "(idle_timeout)",
        bytes: "(max_response_bytes); aggregate in the query",
    };
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
}

/// Reads `body` to its end.
pub(super) async fn read<B>(mut body: B, coding: Coding, bounds: Bounds) -> Result<Vec<u8>, Failure>
where
    B: Body + Unpin,
    B::Error: Error + 'static,
{
    let announced = body.size_hint().lower();
    if coding == Coding::Identity && announced > bounds.bytes as u64 {
        return Err(over(&bounds));
    }
    let mut sink = Sink::new(coding, bounds.bytes);
    loop {
        let now = Instant::now();
        let pause = now + bounds.idle.to_std();
        let next = timeout_at(pause.min(bounds.deadline), body.frame()).await;
        let frame = match next {
            Ok(Some(frame)) => frame.map_err(|error| broken(&error, &sink))?,
            Ok(None) => return sink.finish(&bounds),
            Err(_) => return Err(late(pause < bounds.deadline, &bounds, &sink)),
        };
        if let Ok(mut data) = frame.into_data() {
            while data.has_remaining() {
                let piece = data.chunk();
                let length = piece.len();
                sink.take(piece, &bounds)?;
                data.advance(length);
            }
        }
    }
}

fn late(idle: bool, bounds: &Bounds, sink: &Sink) -> Failure {
    let so_far = sink.len();
    Failure::late(if idle {
        let pause = bounds.idle;
        let key = bounds.words.idle;
        format!("the answer stood still for {pause} after {so_far} bytes {key}")
    } else {
        let timeout = bounds.timeout;
        let key = bounds.words.timeout;
        format!("the answer was not complete after {timeout}, {so_far} bytes were there {key}")
    })
}

fn broken(error: &dyn Error, sink: &Sink) -> Failure {
    let so_far = sink.len();
    let message = format!("the connection broke after {so_far} bytes of the answer: {error}");
    Failure::lost(Cause::Connect, message)
}

fn over(bounds: &Bounds) -> Failure {
    let (limit, key) = (bounds.bytes, bounds.words.bytes);
    Failure::too_large(format!("the answer is longer than {limit} bytes {key}"))
}

enum Sink {
    Plain(Capped),
    Gzip(Box<MultiGzDecoder<Capped>>),
}

impl Sink {
    fn new(coding: Coding, limit: usize) -> Self {
        let capped = Capped {
            bytes: Vec::new(),
            limit,
            over: false,
        };
        match coding {
            Coding::Identity => Self::Plain(capped),
            Coding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(capped))),
        }
    }

    fn capped(&self) -> &Capped {
        match self {
            Self::Plain(capped) => capped,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn len(&self) -> usize {
        self.capped().bytes.len()
    }

    fn take(&mut self, piece: &[u8], bounds: &Bounds) -> Result<(), Failure> {
        let written = match self {
            Self::Plain(capped) => capped.write_all(piece),
            Self::Gzip(decoder) => decoder.write_all(piece),
        };
        written.map_err(|error| self.refuse(&error, bounds))
    }

    fn finish(self, bounds: &Bounds) -> Result<Vec<u8>, Failure> {
        let mut decoder = match self {
            Self::Plain(capped) => return Ok(capped.bytes),
            Self::Gzip(decoder) => decoder,
        };
        match decoder.try_finish() {
            Ok(()) => Ok(std::mem::take(&mut decoder.get_mut().bytes)),
            Err(error) => Err(Self::Gzip(decoder).refuse(&error, bounds)),
        }
    }

    fn refuse(&self, error: &io::Error, bounds: &Bounds) -> Failure {
        if self.capped().over {
            over(bounds)
        } else {
            Failure::garbled(format!("the answer is not sound gzip: {error}"))
        }
    }
}

/// A buffer that refuses to grow beyond its limit, which is what stops a decompression bomb.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
    over: bool,
}

impl Write for Capped {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.limit {
            self.over = true;
            return Err(io::Error::other("limit"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
