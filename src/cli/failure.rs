//! How a command ends when it does not end well.

use crate::app::AppError;
use std::{fmt, io};

/// How a command ends when it does not end well. Displayed as the text for the person.
#[derive(Debug)]
pub enum Failure {
    /// Usage or configuration: a person changes what they wrote. Exit code 2.
    Usage(String),
    /// It was right to try and went wrong. Exit code 1.
    Failed(String),
    /// This signal ended it before it was done. Exit code 130 for SIGINT, 143 for SIGTERM.
    Interrupted(&'static str),
    /// Nobody reads the output any more. Exit code 0.
    ClosedPipe,
}

impl Failure {
    /// Arguments that cannot be understood.
    pub(super) fn usage(error: &clap::Error) -> Self {
        Self::Usage(error.render().to_string().trim_end().to_owned())
    }

    /// 0, 1 or 2; or 128 and the number of the signal, as shells have it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::Interrupted("SIGINT") => 130,
            Self::Interrupted(_) => 143,
            Self::ClosedPipe => 0,
        }
    }

    /// Whether there is nothing to tell anybody.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::ClosedPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Interrupted(signal) => write!(
                f,
                "stopped by {signal}: nothing was stored, and what was in force is in force"
            ),
            Self::ClosedPipe => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::Failed(format!("cannot write the output: {error}"))
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        if error.exit_code() == 2 {
            Self::Usage(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}
