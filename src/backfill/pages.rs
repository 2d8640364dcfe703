//! What outcomes show, sorted from time by time into family by family and series by series.

use super::spool::{Record, Sorted, Spool};
use crate::{
    engine::Outcome,
    expo::{self, Escaping, RenderedLabels, TimedFamily, timed_labels},
};
use std::{
    collections::HashMap,
    io::{self, Write},
    path::Path,
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes of text that are written at once.
const PART: usize = 1 << 18;

/// How names are written, and the labels that series have beside their own.
#[derive(Debug, Clone)]
pub struct Style {
    /// What is done to names that are not of the old alphabet.
    pub escaping: Escaping,
    /// Labels that a scrape would add, such as `job` and `instance`.
    pub labels: Vec<(String, String)>,
}

/// Everything shown so far.
#[derive(Debug)]
pub(super) struct Pages {
    style: Style,
    families: Vec<TimedFamily>,
    by_name: HashMap<Arc<str>, usize>,
    /// The labels of each series as text.
    series: Vec<Box<str>>,
    by_labels: HashMap<u128, usize>,
    spool: Spool,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples.
    pub samples: u64,
    /// Series.
    pub series: usize,
    /// Families.
    pub families: usize,
}

impl Pages {
    /// None yet; what memory does not hold is kept in `folder`.
    pub(super) fn new(style: Style, folder: &Path, held: usize) -> Self {
        Self {
            style,
            families: Vec::new(),
            by_name: HashMap::new(),
            series: Vec::new(),
            by_labels: HashMap::new(),
            spool: Spool::new(folder, held),
        }
    }

    /// Takes what an outcome shows.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn take(&mut self, outcome: &Outcome) -> io::Result<()> {
        for chunk in &outcome.chunks {
            if chunk.is_empty() {
                continue;
            }
            let mut family = None;
            for (name, labels, value) in chunk.samples() {
                let family = match family {
                    Some(known) => known,
                    None => *family.insert(self.family(name, chunk)),
                };
                let series = self.series(family, labels);
                // Both are places in memory, far below 2^31.
                let order = ((family << 32 | series) as i64, outcome.at);
                self.spool.push(Record { order, value })?;
            }
        }
        Ok(())
    }

    fn family(&mut self, name: &Arc<str>, chunk: &expo::Chunk) -> usize {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let family = TimedFamily::of(chunk, self.style.escaping);
        self.families.push(family);
        self.by_name
            .insert(Arc::clone(name), self.families.len() - 1);
        self.families.len() - 1
    }

    fn series(&mut self, family: usize, labels: &RenderedLabels) -> usize {
        let key = xxh3_128_with_seed(labels.as_str().as_bytes(), family as u64);
        *self.by_labels.entry(key).or_insert_with(|| {
            let text = timed_labels(labels, &self.style.labels, self.style.escaping);
            self.series.push(text.into());
            self.series.len() - 1
        })
    }

    /// Writes them as one text. `progress` is told the share done, 0 to 1.
    ///
    /// # Errors
    /// The disk's, or those of `out`.
    pub(super) fn write(self, out: &mut dyn Write, progress: &dyn Fn(f64)) -> io::Result<Counts> {
        let all = self.spool.count().max(1) as f64;
        let mut sorted = self.spool.sorted()?;
        let mut counts = Counts {
            series: self.series.len(),
            families: self.families.len(),
            ..Counts::default()
        };
        let mut text = String::new();
        let (mut open, mut last) = (usize::MAX, None);
        while let Some(Record { order, value }) = next(&mut sorted, &mut last)? {
            let (family, series) = (order.0 as usize >> 32, order.0 as usize & 0xffff_ffff);
            let own = &self.families[family];
            if family != open {
                text.push_str(own.header());
                open = family;
            }
            own.push_line(&mut text, &self.series[series], order.1, value);
            counts.samples += 1;
            if text.len() >= PART {
                out.write_all(text.as_bytes())?;
                text.clear();
                progress(counts.samples as f64 / all);
            }
        }
        text.push_str(expo::END);
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(counts)
    }
}

/// The next sample of another series or time: of two of the same, as of two chunks in one answer, the first stays.
fn next(sorted: &mut Sorted, last: &mut Option<(i64, i64)>) -> io::Result<Option<Record>> {
    while let Some(record) = sorted.next()? {
        if last.replace(record.order) != Some(record.order) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
