//! What is said while it works, on stderr: a bar on a terminal, a line now and then elsewhere.

use crate::{app::training::Fetched, train::Epoch};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};
use tokio::time::Instant;

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// One piece of work under way.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    said: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = || {
            let bar = ProgressBar::new(1);
            let template = "{msg} {wide_bar} {pos}/{len}, {per_sec}, {eta} left";
            match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        };
        Self {
            bar: io::stderr().is_terminal().then(bar),
            began: Instant::now(),
            said: None,
        }
    }

    /// A piece of the past is here.
    pub(super) fn fetched(&mut self, fetched: Fetched) {
        let Fetched {
            pieces, of, kept, ..
        } = fetched;
        let asked = pieces - kept;
        let millions = fetched.samples as f64 / 1e6;
        let kept = match kept {
            0 => String::new(),
            kept => format!(", {kept} of them before"),
        };
        let left = match asked {
            0 => String::new(),
            asked => {
                let seconds = self.began.elapsed().as_secs_f64() / asked as f64;
                format!(", about {:.0} s left", seconds * (of - pieces) as f64)
            }
        };
        self.tell(
            (pieces, of),
            &format!("fetched {millions:.2} million samples{kept}"),
            || format!("{pieces} of {of} pieces of the past are here{kept}: {millions:.2} million samples{left}"),
        );
    }

    /// An epoch is over.
    pub(super) fn epoch(&mut self, epoch: &Epoch) {
        let (number, of) = (epoch.number, epoch.of);
        let (training, validation) = (epoch.training, epoch.validation);
        let losses = format!("loss {training:.4}, on later days {validation:.4}");
        let best = if epoch.is_best {
            ", the best so far"
        } else {
            ""
        };
        self.tell((number, of), &losses, || {
            format!("epoch {number} of {of}: {losses}{best}")
        });
    }

    /// It is over.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn tell(&mut self, (done, of): (usize, usize), message: &str, line: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(of as u64);
            bar.set_message(message.to_owned());
            bar.set_position(done as u64);
            return;
        }
        let is_due = self.said.is_none_or(|said| said.elapsed() >= PAUSE);
        if is_due || done == of {
            self.said = Some(Instant::now());
            // Nobody may be reading; the work goes on.
            drop(writeln!(io::stderr(), "{}", line()));
        }
    }
}
