//! What was fetched of the past, in files: a training that was killed goes on where it was.
//!
//! A file holds one piece of one query: its name is a hash of what was asked for, its content says so in full, and a checksum
//! stands in front. Only whole pieces that are over are kept, as newer ones may still change. What cannot be read, is of
//! another question or is damaged counts as not there and is fetched again; what cannot be written is not kept. It is a cache:
//! it may be removed at any time.

use crate::{
    series::Labels,
    source::{Matrix, RangeRequest, SeriesSamples},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};
use xxhash_rust::xxh3::xxh3_64;

/// Files of a cache at most, in bytes: the oldest go first. A series of minutes takes about 3 kB a day.
const MOST_BYTES: u64 = 1 << 30;
/// Format of the files.
const MAGIC: &[u8] = b"forethought past 1\n";
const EXTENSION: &str = "past";
/// In front of what is not finished.
const NEW: &str = ".new-";

/// Pieces of the past in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    directory: PathBuf,
    most: u64,
}

impl Cache {
    /// The cache in a folder, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            most: MOST_BYTES,
        })
    }

    /// The answer of `source` (where it is) to a request, if it is kept.
    pub(super) fn read(&self, source: &str, request: &RangeRequest) -> Option<Matrix> {
        let key = key(source, request);
        let bytes = fs::read(self.path(&key)).ok()?;
        let rest = bytes.strip_prefix(MAGIC)?;
        let (sum, packed) = rest.split_first_chunk::<8>()?;
        if u64::from_le_bytes(*sum) != xxh3_64(packed) {
            return None;
        }
        let mut bytes = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut bytes).ok()?;
        decode(&bytes, &key)
    }

    /// Keeps an answer. One that is not the whole truth is not kept.
    pub(super) fn write(&self, source: &str, request: &RangeRequest, answer: &Matrix) {
        if answer.warnings.is_empty() && answer.dropped == 0 {
            // The past is fetched anew where it is not there: a full disk costs time and nothing else.
            drop(self.try_write(&key(source, request), answer));
        }
    }

    fn try_write(&self, key: &str, answer: &Matrix) -> io::Result<()> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&encode(key, answer))?;
        let packed = packer.finish()?;
        let sum = xxh3_64(&packed).to_le_bytes();
        let bytes = [MAGIC, &sum, &packed].concat();
        if !self.make_room(bytes.len() as u64)? {
            return Ok(());
        }
        let path = self.path(key);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let fresh = self
            .directory
            .join(format!("{NEW}{}-{name}", std::process::id()));
        let written = fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, path));
        if written.is_err() {
            drop(fs::remove_file(fresh));
        }
        written
    }

    /// Removes the oldest files until there is room; says whether there is.
    fn make_room(&self, bytes: u64) -> io::Result<bool> {
        if bytes > self.most {
            return Ok(false);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(EXTENSION) || name.starts_with(NEW) {
                let about = entry.metadata()?;
                let at = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((at, about.len(), entry.path()));
            }
        }
        files.sort();
        let mut taken: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if taken + bytes <= self.most {
                break;
            }
            fs::remove_file(path)?;
            taken -= length;
        }
        Ok(true)
    }

    fn path(&self, key: &str) -> PathBuf {
        let hash = xxh3_64(key.as_bytes());
        self.directory.join(format!("{hash:016x}.{EXTENSION}"))
    }
}

/// Everything an answer depends on.
fn key(source: &str, request: &RangeRequest) -> String {
    let RangeRequest {
        query,
        start,
        end,
        step,
        max_series,
        // Whoever trains looks at every series.
        share: _,
    } = request;
    format!("{start} {end} {step} {max_series}\n{source}\n{query}")
}

/// The key, and of each series its labels and samples; lengths in front, all numbers little-endian.
fn encode(key: &str, answer: &Matrix) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, key);
    out.extend((answer.series.len() as u64).to_le_bytes());
    for series in &answer.series {
        out.extend((series.labels.len() as u64).to_le_bytes());
        for (name, value) in series.labels.iter() {
            put(&mut out, name);
            put(&mut out, value);
        }
        out.extend((series.samples.len() as u64).to_le_bytes());
        for (at, value) in &series.samples {
            out.extend(at.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
    }
    out
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn decode(bytes: &[u8], key: &str) -> Option<Matrix> {
    let mut reader = Reader(bytes);
    if reader.text()? != key {
        return None;
    }
    let mut answer = Matrix::default();
    for _ in 0..reader.count()? {
        let pairs: Option<Vec<(String, String)>> = (0..reader.count()?)
            .map(|_| Some((reader.text()?, reader.text()?)))
            .collect();
        let samples: Option<Vec<(i64, f64)>> = (0..reader.count()?)
            .map(|_| {
                Some((
                    i64::from_le_bytes(reader.eight()?),
                    f64::from_le_bytes(reader.eight()?),
                ))
            })
            .collect();
        answer.series.push(SeriesSamples {
            labels: Labels::new(pairs?).ok()?,
            samples: samples?,
        });
    }
    reader.0.is_empty().then_some(answer)
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn eight(&mut self) -> Option<[u8; 8]> {
        let (eight, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(*eight)
    }

    /// A count of things that take a byte each at least.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(u64::from_le_bytes(self.eight()?)).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.count()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Share;

    fn request(start: i64) -> RangeRequest {
        RangeRequest {
            query: "up".to_owned(),
            start,
            end: start + 120_000,
            step: 60_000,
            max_series: 10,
            share: Share::ALL,
        }
    }

    fn answer(first: f64) -> Matrix {
        let labels = |name: &str| Labels::new([("job", name), ("zone", "é\n\"")]).unwrap();
        let samples = vec![(0, first), (60_000, 0.1 + 0.2), (120_000, -1e300)];
        let series = ["a", "b"].map(|name| SeriesSamples {
            labels: labels(name),
            samples: samples.clone(),
        });
        Matrix {
            series: series.to_vec(),
            ..Matrix::default()
        }
    }

    fn only_file(directory: &Path) -> PathBuf {
        let mut entries = fs::read_dir(directory).unwrap();
        let path = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none());
        path
    }

    #[test]
    fn what_is_kept_comes_back_and_another_question_has_another_answer() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("deep/er")).unwrap();
        assert_eq!(cache.read("here", &request(0)), None);
        cache.write("here", &request(0), &answer(1.0));
        assert_eq!(cache.read("here", &request(0)), Some(answer(1.0)));
        assert_eq!(cache.read("there", &request(0)), None);
        assert_eq!(cache.read("here", &request(60_000)), None);
        let mut other = request(0);
        other.query = "down".to_owned();
        assert_eq!(cache.read("here", &other), None);
        cache.write("here", &other, &Matrix::default());
        assert_eq!(cache.read("here", &other), Some(Matrix::default()));
        let mut partial = answer(2.0);
        partial.warnings.push("a store is away".to_owned());
        cache.write("here", &request(60_000), &partial);
        assert_eq!(cache.read("here", &request(60_000)), None);
    }

    #[test]
    fn whatever_happened_to_a_file_it_is_as_it_was_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        cache.write("here", &request(0), &answer(1.0));
        let path = only_file(folder.path());
        let sound = fs::read(&path).unwrap();
        for length in 0..sound.len() {
            fs::write(&path, &sound[..length]).unwrap();
            assert_eq!(cache.read("here", &request(0)), None, "cut to {length}");
            let mut bent = sound.clone();
            bent[length] ^= 0x40;
            fs::write(&path, bent).unwrap();
            assert_eq!(cache.read("here", &request(0)), None, "bent at {length}");
        }
        // The file of another question under this name, as after a collision.
        let other = key("there", &request(0));
        cache.try_write(&other, &answer(3.0)).unwrap();
        fs::rename(cache.path(&other), &path).unwrap();
        assert_eq!(cache.read("here", &request(0)), None);
        fs::write(&path, &sound).unwrap();
        assert_eq!(cache.read("here", &request(0)), Some(answer(1.0)));
    }

    #[test]
    fn it_does_not_grow_without_end_and_its_loss_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(folder.path()).unwrap();
        cache.write("here", &request(0), &answer(1.0));
        let one = fs::metadata(only_file(folder.path())).unwrap().len();
        cache.most = 3 * one + one / 2;
        // As a writer leaves it that was killed.
        fs::write(folder.path().join(".new-1-x.past"), vec![0; one as usize]).unwrap();
        for piece in 1..10 {
            cache.write("here", &request(piece), &answer(piece as f64));
            let all = fs::read_dir(folder.path()).unwrap();
            let taken: u64 = all
                .map(|entry| entry.unwrap().metadata().unwrap().len())
                .sum();
            assert!(taken <= cache.most, "{piece}: {taken}");
        }
        assert_eq!(cache.read("here", &request(9)), Some(answer(9.0)));
        assert_eq!(cache.read("here", &request(0)), None);
        fs::remove_dir_all(folder.path()).unwrap();
        cache.write("here", &request(0), &answer(1.0));
        assert_eq!(cache.read("here", &request(0)), None);
    }
}
