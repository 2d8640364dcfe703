//! Posting documents to a server with the HTTP client settings of a source: for what sends instead of
//! asking.

use super::{
    client::Caller,
    failure::{Again, Failure, is_page},
    retry::Retries,
    settings::Settings,
};
use crate::source::{Cause, SourceError};
use bytes::Bytes;
use std::time::Duration;

/// Said of an answer that is a web page.
pub(super) const A_PAGE: &str = "the answer is a web page (HTML), not one of an API: look at url and its path prefix, and whether a proxy wants a log-in";

/// Posts documents to one server, again and again where that may help.
#[derive(Debug)]
pub struct Poster {
    caller: Caller,
    retries: Retries,
}

/// What became of a document.
#[derive(Debug)]
pub enum Posted {
    /// The server took it.
    Taken,
    /// The server refused it: the same document would be refused again.
    Refused(SourceError),
    /// It did not arrive, or nobody knows; worth another attempt after this pause.
    Failed(SourceError, Duration),
}

/// A document that is not JSON.
#[derive(Debug, Clone)]
pub struct Document {
    /// As it is sent.
    pub body: Bytes,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Further headers; names in lower case.
    pub headers: &'static [(&'static str, &'static str)],
    /// A header that the answer of a server has that understood it; without it the document is refused.
    pub answered_with: Option<&'static str>,
}

/// What became of such a document.
#[derive(Debug)]
pub enum Delivered {
    /// The server took it.
    Taken,
    /// The server refused it: the same document would be refused again.
    Refused(SourceError),
    /// It did not arrive, or nobody knows; with the pause that the server asks for, if it does.
    Failed(SourceError, Option<Duration>),
}

impl Poster {
    /// A poster to the server of `settings`, which are valid. Reads the files they name.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn build(settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            caller: Caller::new(settings)?,
            retries: Retries::new(u32::MAX),
        })
    }

    /// Posts `json` to `path` once. `longest` is the pause where the server asks for a very long one.
    pub async fn post(&mut self, path: &str, json: Bytes, longest: Duration) -> Posted {
        let answer = self.caller.post(path, json).await.and_then(no_page);
        let Err(failure) = answer else {
            self.retries = Retries::new(u32::MAX);
            return Posted::Taken;
        };
        let again = failure.again;
        let error = as_status(failure.error);
        match (failure.alive, self.retries.pause(again)) {
            // A file of ours that cannot be read right now is no word of the server.
            (true, _) if error.cause != Cause::Connect => Posted::Refused(error),
            (_, Some(pause)) => Posted::Failed(error, pause.min(longest)),
            (_, None) => Posted::Failed(error, longest),
        }
    }
}

impl Poster {
    /// Posts `document` to the very URL of the settings, once. When it is sent again is for the caller to say.
    pub async fn deliver(&self, document: Document) -> Delivered {
        let answer = self.caller.deliver(document).await.and_then(no_page);
        let Err(failure) = answer else {
            return Delivered::Taken;
        };
        let error = as_status(failure.error);
        match (failure.alive, failure.again) {
            // A file of ours that cannot be read right now is no word of the server.
            (true, Again::Never) if error.cause != Cause::Connect => Delivered::Refused(error),
            (_, Again::After(pause)) => Delivered::Failed(error, Some(pause)),
            _ => Delivered::Failed(error, None),
        }
    }
}

/// A log-in page comes with a status of success.
fn no_page(body: Vec<u8>) -> Result<(), Failure> {
    let start = String::from_utf8_lossy(&body);
    if is_page(&start) {
        return Err(Failure::garbled(A_PAGE));
    }
    Ok(())
}

/// There is no query here: what is said of one is about the document.
fn as_status(error: SourceError) -> SourceError {
    match error.cause {
        Cause::Query => SourceError {
            cause: Cause::Status,
            ..error
        },
        _ => error,
    }
}
