//! What waits to be sent of one shard, on disk: so that neither an outage of hours nor the end of the process loses what fits.
//!
//! A log is a folder with segments. A segment begins with a line that says what it is, and its version; then come records,
//! each with its length and a checksum. A record is written before it is sent. How far the receiver took them is in a file
//! of its own, and a segment of which everything was taken is removed. Every process begins a segment of its own: one
//! that was cut off ends before the record that is not whole.

use super::record::Record;
use crate::series::Millis;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 20] = b"forethought samples\n";
const VERSION: u32 = 1;
/// Magic and version.
const START: u64 = MAGIC.len() as u64 + 4;
/// Length, samples, newest, checksum.
const HEAD: usize = 4 + 4 + 8 + 8;
const ENDING: &str = "segment";
/// How far the receiver took them: number of a segment, offset in it, checksum.
const TAKEN: &str = "taken";
/// A longer record is none of ours.
const LONGEST: usize = 64 << 20;
/// A segment is closed at so many bytes, or at an eighth of what all may have.
const SEGMENT: u64 = 16 << 20;

/// What waits to be sent of one shard, on disk.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    most_bytes: u64,
    /// Oldest first; the last one may be the one that is written.
    segments: VecDeque<Segment>,
    /// Of the last segment; nothing where a new one is to be begun.
    file: Option<File>,
    /// Of the first segment.
    reader: Option<File>,
    /// Where in the first segment the next record begins.
    at: u64,
    flight: Option<Flight>,
    /// Where it is written how far the receiver took them.
    taken: File,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    /// Those that were not taken yet.
    samples: usize,
}

/// What was given out and is not done with.
#[derive(Debug)]
struct Flight {
    segment: u64,
    /// Where it ends.
    end: u64,
    samples: usize,
}

/// What could be read next.
enum Next {
    Record(Record, u64),
    /// The end, or what is no record.
    End,
}

// === impl Log ===

impl Log {
    /// The log in `folder`, which is made where it is not there, with what a former process left there. At most
    /// `most_bytes` in all.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(folder: &Path, most_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (first, offset) = taken(folder).unwrap_or((0, START));
        let mut segments = VecDeque::new();
        let mut at = START;
        for number in numbers(folder)? {
            let path = path(folder, number);
            if number < first {
                fs::remove_file(path)?;
                continue;
            }
            let from = if number == first { offset } else { START };
            let Some(samples) = samples(&path, from)? else {
                // Of another version, or of somebody else: neither read nor lost.
                fs::rename(&path, path.with_extension("unknown"))?;
                continue;
            };
            if samples == 0 {
                fs::remove_file(path)?;
                continue;
            }
            if segments.is_empty() {
                at = from;
            }
            segments.push_back(Segment {
                number,
                bytes: fs::metadata(&path)?.len(),
                samples,
            });
        }
        Ok(Self {
            folder: folder.to_owned(),
            most_bytes,
            segments,
            file: None,
            reader: None,
            at,
            flight: None,
            // Not cut off first: the end of the process must not find it empty.
            taken: File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join(TAKEN))?,
        })
    }

    /// Samples that were not taken yet, without those under way.
    pub(super) fn waiting(&self) -> usize {
        let all = self.segments.iter().map(|segment| segment.samples);
        all.sum::<usize>().saturating_sub(self.under_way())
    }

    /// Samples of the oldest segment that were given out.
    fn under_way(&self) -> usize {
        let (Some(flight), Some(first)) = (&self.flight, self.segments.front()) else {
            return 0;
        };
        // It may have been dropped meanwhile.
        match flight.segment == first.number {
            true => flight.samples,
            false => 0,
        }
    }

    /// Appends a record; how many samples were dropped to make room for it.
    ///
    /// # Errors
    /// The disk's: the record is not in the log then.
    pub(super) fn push(&mut self, record: &Record) -> io::Result<usize> {
        let bytes = encode(record);
        let full = self.most_bytes.div_ceil(8).min(SEGMENT);
        if self.segments.back().is_none_or(|last| last.bytes >= full) {
            self.file = None;
        }
        if self.file.is_none() {
            self.begin()?;
        }
        let (Some(file), Some(last)) = (&mut self.file, self.segments.back_mut()) else {
            return Err(ErrorKind::NotFound.into());
        };
        if let Err(error) = file.write_all(&bytes) {
            // What is half there would hide what comes after it.
            if file.set_len(last.bytes).is_err() || file.seek(SeekFrom::End(0)).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        last.bytes += bytes.len() as u64;
        last.samples += record.samples;
        Ok(self.make_room())
    }

    /// The next records in order, at most `most` samples where it is more than one, and how many samples could not be read
    /// again. Nothing is given twice before [`Log::done`].
    pub(super) fn take(&mut self, most: usize) -> (Vec<Record>, usize) {
        let (mut batch, mut samples, mut lost) = (Vec::new(), 0, 0);
        let mut end = self.at;
        while let Some(first) = self.segments.front() {
            let (before, is_last) = (first.samples, self.segments.len() == 1);
            match self.next(end) {
                Next::Record(record, after) => {
                    if !batch.is_empty() && samples + record.samples > most {
                        break;
                    }
                    samples += record.samples;
                    batch.push(record);
                    end = after;
                }
                Next::End if batch.is_empty() && (before > 0 || !is_last) => {
                    lost += before;
                    self.remove_first();
                    end = self.at;
                }
                Next::End => break,
            }
            if samples >= most {
                break;
            }
        }
        self.flight = self.segments.front().map(|first| Flight {
            segment: first.number,
            end,
            samples,
        });
        (batch, lost)
    }

    /// What was given last is done with.
    pub(super) fn done(&mut self) {
        let Some(flight) = self.flight.take() else {
            return;
        };
        let first = self.segments.front_mut();
        // It may have been dropped meanwhile.
        let Some(first) = first.filter(|first| first.number == flight.segment) else {
            return;
        };
        first.samples = first.samples.saturating_sub(flight.samples);
        self.at = flight.end;
        if first.samples == 0 && flight.samples > 0 {
            self.remove_first();
        } else {
            // Where that is not written the same is sent again after a restart.
            self.write_taken(flight.segment, flight.end).ok();
        }
    }

    /// A segment of our own.
    fn begin(&mut self) -> io::Result<()> {
        let newest = numbers(&self.folder)?.last().copied();
        let known = taken(&self.folder).map(|(number, _)| number);
        let number = newest.max(known).map_or(1, |newest| newest + 1);
        let path = path(&self.folder, number);
        let mut file = File::options().create_new(true).write(true).open(&path)?;
        let mut start = MAGIC.to_vec();
        start.extend_from_slice(&VERSION.to_le_bytes());
        if let Err(error) = file.write_all(&start) {
            fs::remove_file(&path).ok();
            return Err(error);
        }
        if self.segments.is_empty() {
            (self.at, self.reader) = (START, None);
        }
        self.segments.push_back(Segment {
            number,
            bytes: START,
            samples: 0,
        });
        self.file = Some(file);
        Ok(())
    }

    /// Drops the oldest segments where there is too much; how many samples, without those under way.
    fn make_room(&mut self) -> usize {
        let mut dropped = 0;
        let bytes = |log: &Self| log.segments.iter().map(|one| one.bytes).sum::<u64>();
        while self.segments.len() > 1 && bytes(self) > self.most_bytes {
            let Some(first) = self.segments.front() else {
                break;
            };
            dropped += first.samples.saturating_sub(self.under_way());
            self.remove_first();
        }
        dropped
    }

    fn remove_first(&mut self) {
        if let Some(first) = self.segments.pop_front() {
            if self.segments.is_empty() {
                self.file = None;
            }
            // What cannot be removed is passed over by the next process too: it is before what was taken.
            self.write_taken(first.number + 1, START).ok();
            fs::remove_file(path(&self.folder, first.number)).ok();
        }
        (self.at, self.reader) = (START, None);
    }

    fn next(&mut self, at: u64) -> Next {
        let Some(first) = self.segments.front() else {
            return Next::End;
        };
        if self.reader.is_none() {
            self.reader = File::open(path(&self.folder, first.number)).ok();
        }
        let read = self.reader.as_mut().map(|file| read_record(file, at));
        match read {
            Some(Ok(Some(record))) => {
                let after = at + (HEAD + record.packed.len()) as u64;
                Next::Record(record, after)
            }
            _ => Next::End,
        }
    }

    fn write_taken(&mut self, number: u64, offset: u64) -> io::Result<()> {
        let mut bytes = [number.to_le_bytes(), offset.to_le_bytes()].concat();
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        self.taken.seek(SeekFrom::Start(0))?;
        self.taken.write_all(&bytes)
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.{ENDING}"))
}

/// The numbers of the segments in a folder, in order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.split_once('.'));
        let number = number.filter(|(_, ending)| *ending == ENDING);
        found.extend(number.and_then(|(number, _)| number.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// How far the receiver took them; nothing where that is not known.
fn taken(folder: &Path) -> Option<(u64, u64)> {
    let bytes = fs::read(folder.join(TAKEN)).ok()?;
    let (bytes, sum) = bytes.split_last_chunk::<8>()?;
    let (number, offset) = bytes.split_first_chunk::<8>()?;
    let offset: [u8; 8] = offset.try_into().ok()?;
    let is_whole = u64::from_le_bytes(*sum) == xxh3_64(bytes);
    is_whole.then(|| (u64::from_le_bytes(*number), u64::from_le_bytes(offset)))
}

/// The samples of a segment from an offset on, as far as they can be read; nothing where it is none of ours.
fn samples(path: &Path, from: u64) -> io::Result<Option<usize>> {
    let mut file = File::open(path)?;
    let mut start = [0; START as usize];
    if !is_whole(file.read_exact(&mut start))? {
        return Ok(Some(0));
    }
    if !start.starts_with(MAGIC) || !start.ends_with(&VERSION.to_le_bytes()) {
        return Ok(None);
    }
    let (mut at, mut samples) = (from, 0);
    while let Some(record) = read_record(&mut file, at)? {
        samples += record.samples;
        at += (HEAD + record.packed.len()) as u64;
    }
    Ok(Some(samples))
}

fn encode(record: &Record) -> Vec<u8> {
    let length = u32::try_from(record.packed.len()).unwrap_or(u32::MAX);
    let samples = u32::try_from(record.samples).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD + record.packed.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&samples.to_le_bytes());
    bytes.extend_from_slice(&record.newest.to_le_bytes());
    let sum = checksum(&bytes, &record.packed);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(&record.packed);
    bytes
}

/// Of what stands before it and of what comes after it.
fn checksum(head: &[u8], packed: &[u8]) -> u64 {
    xxh3_64(head) ^ xxh3_64(packed).rotate_left(1)
}

/// The record at `at`; nothing where it is not whole.
fn read_record(file: &mut File, at: u64) -> io::Result<Option<Record>> {
    file.seek(SeekFrom::Start(at))?;
    let mut head = [0; HEAD];
    if !is_whole(file.read_exact(&mut head))? {
        return Ok(None);
    }
    let (length, rest) = head.split_first_chunk::<4>().ok_or(ErrorKind::Other)?;
    let (samples, rest) = rest.split_first_chunk::<4>().ok_or(ErrorKind::Other)?;
    let (newest, rest) = rest.split_first_chunk::<8>().ok_or(ErrorKind::Other)?;
    let (sum, _) = rest.split_first_chunk::<8>().ok_or(ErrorKind::Other)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > LONGEST {
        return Ok(None);
    }
    let mut packed = vec![0; length];
    if !is_whole(file.read_exact(&mut packed))? {
        return Ok(None);
    }
    let stated = u64::from_le_bytes(*sum);
    let (fields, _) = head.split_at(HEAD - 8);
    Ok((stated == checksum(fields, &packed)).then(|| Record {
        packed: Bytes::from(packed),
        samples: u32::from_le_bytes(*samples) as usize,
        newest: Millis::from_le_bytes(*newest),
    }))
}

fn is_whole(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
