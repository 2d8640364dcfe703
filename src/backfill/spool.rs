//! More samples than memory holds, in order: sorted runs on disk, merged as they are read.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
    vec,
};

/// Samples that are held in memory: 48 MB.
pub(super) const HELD: usize = 2_000_000;
/// Files that are open at once; when there are so many they become one.
const MOST_RUNS: usize = 64;
/// Bytes of a record on disk.
const BYTES: usize = 24;
/// Names that are tried for a file.
const MOST_NAMES: u32 = 10_000;

/// A value, and where among all of them it belongs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Record {
    pub(super) order: (i64, i64),
    pub(super) value: f64,
}

/// Takes records in any order.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    held: usize,
    buffer: Vec<Record>,
    runs: Vec<File>,
    count: u64,
}

/// Gives them in theirs; of equals the one that came first comes first.
#[derive(Debug)]
pub(super) struct Sorted {
    runs: Vec<Run>,
    /// The next record of each run that has one: its order, and which run, the oldest first.
    next: BinaryHeap<Reverse<((i64, i64), usize)>>,
    values: Vec<f64>,
}

#[derive(Debug)]
enum Run {
    Disk(BufReader<File>),
    Memory(vec::IntoIter<Record>),
}

// === impl Spool ===

impl Spool {
    /// An empty one that holds so many records in memory and the others in `folder`.
    pub(super) fn new(folder: &Path, held: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            held: held.max(1),
            buffer: Vec::new(),
            runs: Vec::new(),
            count: 0,
        }
    }

    /// Records in it.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Takes one.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn push(&mut self, record: Record) -> io::Result<()> {
        self.count += 1;
        self.buffer.push(record);
        if self.buffer.len() < self.held {
            return Ok(());
        }
        self.buffer.sort_by_key(|record| record.order);
        let mut records = self.buffer.iter().copied();
        let run = self.file(|| Ok(records.next()))?;
        self.buffer.clear();
        self.runs.push(run);
        if self.runs.len() >= MOST_RUNS {
            let mut all = Sorted::new(disk(std::mem::take(&mut self.runs)))?;
            let merged = self.file(|| all.next())?;
            self.runs.push(merged);
        }
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn sorted(mut self) -> io::Result<Sorted> {
        self.buffer.sort_by_key(|record| record.order);
        let mut runs = disk(self.runs);
        runs.push(Run::Memory(self.buffer.into_iter()));
        Sorted::new(runs)
    }

    /// A file of these records, at its beginning.
    fn file(&self, mut next: impl FnMut() -> io::Result<Option<Record>>) -> io::Result<File> {
        let mut out = BufWriter::with_capacity(1 << 18, nameless(&self.folder)?);
        while let Some(record) = next()? {
            out.write_all(&record.order.0.to_le_bytes())?;
            out.write_all(&record.order.1.to_le_bytes())?;
            out.write_all(&record.value.to_le_bytes())?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    }
}

fn disk(files: Vec<File>) -> Vec<Run> {
    let readers = files.into_iter();
    let readers = readers.map(|file| BufReader::with_capacity(1 << 16, file));
    readers.map(Run::Disk).collect()
}

/// A file that nobody finds and that goes with this process, however it ends.
fn nameless(folder: &Path) -> io::Result<File> {
    let mut tried = 0;
    loop {
        let path = folder.join(format!(".forethought-backfill-{tried}"));
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        match opened {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
            // Another one at the same moment, or left by one that was killed in it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < MOST_NAMES => {
                tried += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

// === impl Sorted ===

impl Sorted {
    fn new(runs: Vec<Run>) -> io::Result<Self> {
        let mut sorted = Self {
            values: vec![0.0; runs.len()],
            next: BinaryHeap::with_capacity(runs.len()),
            runs,
        };
        for run in 0..sorted.runs.len() {
            sorted.refill(run)?;
        }
        Ok(sorted)
    }

    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(Reverse((order, run))) = self.next.pop() else {
            return Ok(None);
        };
        let value = self.values[run];
        self.refill(run)?;
        Ok(Some(Record { order, value }))
    }

    fn refill(&mut self, run: usize) -> io::Result<()> {
        if let Some(record) = self.runs[run].next()? {
            self.values[run] = record.value;
            self.next.push(Reverse((record.order, run)));
        }
        Ok(())
    }
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Record>> {
        let reader = match self {
            Self::Memory(records) => return Ok(records.next()),
            Self::Disk(reader) => reader,
        };
        let mut bytes = [0; BYTES];
        match reader.read_exact(&mut bytes) {
            // A record is written whole, so the file ends where one does.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let part = |place: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[8 * place..8 * place + 8]);
            eight
        };
        Ok(Some(Record {
            order: (i64::from_le_bytes(part(0)), i64::from_le_bytes(part(1))),
            value: f64::from_le_bytes(part(2)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(records: &[Record], held: usize) -> Vec<Record> {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(folder.path(), held);
        for record in records {
            spool.push(*record).unwrap();
        }
        assert_eq!(spool.count(), records.len() as u64);
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "nothing is to be seen in the folder");
        let mut sorted = spool.sorted().unwrap();
        let mut all = Vec::new();
        while let Some(record) = sorted.next().unwrap() {
            all.push(record);
        }
        all
    }

    proptest! {
        #[test]
        fn records_come_in_order_and_equals_as_they_came(
            orders in prop::collection::vec((-3_i64..3, 0_i64..4), 0..400),
            held in 1_usize..120,
        ) {
            let records: Vec<Record> = orders
                .iter()
                .enumerate()
                .map(|(place, order)| Record { order: *order, value: place as f64 })
                .collect();
            let mut expected = records.clone();
            expected.sort_by_key(|record| record.order);
            prop_assert_eq!(sorted(&records, held), expected);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let mut spool = Spool::new(Path::new("/nowhere/at/all"), 1);
        let record = Record {
            order: (0, 0),
            value: 1.0,
        };
        let error = spool.push(record).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
