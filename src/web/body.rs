//! A response body in parts that are shared with what they came from.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::OwnedSemaphorePermit;

/// What hyper is given at once. It takes a piece out of our sight as soon as there is room for the next:
/// with whole parts the permit would come back with megabytes still to send.
const PIECE: usize = 256 * 1024;

/// A response body in parts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    parts: VecDeque<Bytes>,
    left: u64,
    /// Given back when the last byte is out, or the reader has gone.
    permit: Option<OwnedSemaphorePermit>,
}

impl Parts {
    pub(super) fn new(parts: Vec<Bytes>) -> Self {
        Self {
            left: parts.iter().map(|part| part.len() as u64).sum(),
            parts: parts.into_iter().filter(|part| !part.is_empty()).collect(),
            permit: None,
        }
    }

    pub(super) fn holding(self, permit: OwnedSemaphorePermit) -> Self {
        Self {
            permit: Some(permit),
            ..self
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.left
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let first = self.parts.front_mut()?;
        if first.len() > PIECE {
            return Some(first.split_to(PIECE));
        }
        self.parts.pop_front()
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.next_piece();
        match &next {
            Some(piece) => self.left -= piece.len() as u64,
            None => self.permit = None,
        }
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
