//! When a failed request is sent again: exponential backoff with full jitter.

use super::failure::Again;
use crate::series::Millis;
use jiff::fmt::rfc2822;
use std::time::Duration;

/// The greatest first pause; each further one may be twice as long.
const BASE: Duration = Duration::from_millis(250);
/// No pause of our choice is longer.
const MOST: Duration = Duration::from_secs(10);
/// A source that asks for a longer pause is not asked again by this request.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// How often one request is sent again.
#[derive(Debug)]
pub(super) struct Retries {
    /// Retries left.
    left: u32,
    /// Retries made.
    made: u32,
}

impl Retries {
    /// At most `most` retries.
    pub(super) fn new(most: u32) -> Self {
        Self {
            left: most,
            made: 0,
        }
    }

    /// The pause before the next retry; `None` where there is none. Uses up one retry.
    ///
    /// Full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015): uniform between zero and the
    /// bound, so that replicas that failed together do not come back together.
    pub(super) fn pause(&mut self, again: Again) -> Option<Duration> {
        let pause = match again {
            Again::Never => return None,
            Again::After(asked) if asked > LONGEST_ASKED => return None,
            Again::After(asked) => asked + BASE.mul_f64(fastrand::f64()),
            Again::Backoff => bound(self.made).mul_f64(fastrand::f64()),
        };
        self.left = self.left.checked_sub(1)?;
        self.made += 1;
        Some(pause)
    }
}

fn bound(made: u32) -> Duration {
    BASE.saturating_mul(2_u32.saturating_pow(made)).min(MOST)
}

/// The pause a `Retry-After` header asks for at the time `now`: seconds, or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(header: &str, now: Millis) -> Option<Duration> {
    let text = header.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let until = rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    Some(Duration::from_millis(
        u64::try_from(until - now).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end() {
        let bounds: Vec<u64> = (0..8).map(|made| bound(made).as_millis() as u64).collect();
        assert_eq!(
            bounds,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
        );
        let mut retries = Retries::new(3);
        for made in 0..3 {
            let pause = retries.pause(Again::Backoff).unwrap();
            assert!(pause <= bound(made), "{pause:?}");
        }
        assert_eq!(retries.pause(Again::Backoff), None);
        assert_eq!(Retries::new(3).pause(Again::Never), None);
    }

    #[test]
    fn what_the_source_asks_for_is_honoured_up_to_a_bound() {
        let mut retries = Retries::new(2);
        let asked = Duration::from_secs(7);
        let pause = retries.pause(Again::After(asked)).unwrap();
        assert!(pause >= asked && pause <= asked + BASE, "{pause:?}");
        assert_eq!(retries.pause(Again::After(LONGEST_ASKED * 2)), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 12 ", 0), Some(Duration::from_secs(12)));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let at = 1_445_412_480_000;
        assert_eq!(retry_after(date, at - 5_000), Some(Duration::from_secs(5)));
        assert_eq!(retry_after(date, at + 5_000), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", 0), None);
        assert_eq!(retry_after("-3", 0), None);
    }
}
