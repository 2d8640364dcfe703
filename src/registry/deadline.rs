//! Work on a model that somebody else made: it may never end.

use std::{sync::mpsc, thread, time::Duration};

/// A model that was not loaded and did not answer a first window within this time is not one that runs for every series:
/// the largest of the tests takes a second, on a busy machine.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// What `work` gives, on a thread of its own.
///
/// Nothing can end a thread from outside: one that hangs is left behind and costs a processor until it is done, but
/// whoever waits goes on.
///
/// # Errors
/// It took longer than `limit`, or panicked.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let started = thread::Builder::new()
        .name("model".to_owned())
        .spawn(move || {
            // Nobody waits any more: what it found out comes too late.
            drop(sender.send(work()));
        });
    started.map_err(|error| format!("cannot start a thread: {error}"))?;
    receiver.recv_timeout(limit).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => {
            format!("did not answer within {}s", limit.as_secs_f64())
        }
        mpsc::RecvTimeoutError::Disconnected => "the ONNX library panicked on it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_goes_on() {
        let (release, hold) = mpsc::channel::<()>();
        let hanging = within(Duration::from_millis(20), move || hold.recv());
        assert_eq!(hanging.unwrap_err(), "did not answer within 0.02s");
        drop(release);
        assert_eq!(within(ANSWERS_WITHIN, || 7).unwrap(), 7);
        let problem = within(ANSWERS_WITHIN, || assert_eq!(1, 2, "on purpose")).unwrap_err();
        assert!(problem.contains("panicked"), "{problem}");
    }
}
