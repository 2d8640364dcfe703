//! What is wrong with a configuration: all of it at once.

use super::path::Path;
use std::fmt;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as keys; empty for the whole file.
    pub path: Path,
    /// Line, the first is 1; `None` where nothing of it is in the file.
    pub line: Option<usize>,
    /// Column in characters, the first is 1.
    pub column: Option<usize>,
    /// What is wrong, and what is allowed. Never holds a secret.
    pub message: String,
}

impl Problem {
    /// A problem whose place in the text is not known yet.
    pub fn new(path: Path, message: impl Into<String>) -> Self {
        Self {
            path,
            line: None,
            column: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    /// `line:column: path: message`, without the parts that are not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
            if let Some(column) = self.column {
                write!(f, "{column}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.path.is_root() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, in the order of the file. Never empty as an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts the problems as the file is read.
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| {
            let line = problem.line.unwrap_or(usize::MAX);
            (line, problem.column.unwrap_or(0))
        });
        problems.dedup();
        Self(problems)
    }

    /// The problems, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One line for each problem, `file:line:column: path: message`.
    pub fn render(&self, file: &str) -> String {
        let lines = self.0.iter().map(|problem| match problem.line {
            Some(_) => format!("{file}:{problem}\n"),
            None => format!("{file}: {problem}\n"),
        });
        lines.collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl<'p> IntoIterator for &'p Problems {
    type Item = &'p Problem;
    type IntoIter = std::slice::Iter<'p, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
