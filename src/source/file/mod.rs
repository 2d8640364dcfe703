//! Files as a source, for looking back without a Prometheus: CSV and the text exposition formats.
//!
//! Samples are put on the grid as Prometheus would see them: a grid time has the newest sample of the
//! step that ends with it.

mod csv;
mod lines;
mod open_metrics;
mod shelf;

pub use csv::{Columns, read_csv};
pub use open_metrics::read_open_metrics;

use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::Path,
};

/// More than this is no trace but a mistake (bytes after decompression).
const MOST_BYTES: u64 = 8 << 30;

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens a file, or standard input where `path` is `-`. What is compressed with gzip is decompressed,
/// whatever its name.
///
/// # Errors
/// The file cannot be read, or is compressed in another way.
pub fn open(path: &Path) -> Result<Box<dyn Read>, String> {
    let shown = path.display();
    let raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| format!("{shown}: {error}"))?)
    };
    plain(raw).map_err(|error| format!("{shown}: {error}"))
}

/// `raw` decompressed where it is gzip, and ended with an error where it is endless.
///
/// # Errors
/// It cannot be read, or is compressed in another way.
pub fn plain<'a>(mut raw: impl Read + 'a) -> Result<Box<dyn Read + 'a>, String> {
    let mut start = Vec::new();
    let read = raw.by_ref().take(XZ.len() as u64).read_to_end(&mut start);
    read.map_err(|error| error.to_string())?;
    for (magic, tool) in [(XZ, "xz"), (ZSTD, "zstd")] {
        if start.starts_with(magic) {
            return Err(format!(
                "is compressed with {tool}, which is not read; give - and pipe `{tool} -dc FILE` into it"
            ));
        }
    }
    let gzip = start.starts_with(GZIP);
    let whole = BufReader::with_capacity(1 << 18, Cursor::new(start).chain(raw));
    Ok(if gzip {
        Box::new(Bounded::new(MultiGzDecoder::new(whole)))
    } else {
        Box::new(Bounded::new(whole))
    })
}

/// A reader that fails after [`MOST_BYTES`], where `take` would only end.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R> Bounded<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            left: MOST_BYTES,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        let left = self.left.checked_sub(read as u64);
        self.left =
            left.ok_or_else(|| io::Error::other(format!("more than {MOST_BYTES} bytes")))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn gzip_is_opened_and_other_compressions_are_refused_with_advice() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"hello").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.csv");
        std::fs::write(&path, encoder.finish().unwrap()).unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        std::fs::write(&path, XZ).unwrap();
        let error = open(&path).err().unwrap();
        assert!(error.contains("pipe `xz -dc FILE`"), "{error}");
        std::fs::write(&path, "a").unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "a");
        std::fs::remove_file(&path).unwrap();
        assert!(
            open(&path)
                .err()
                .unwrap()
                .contains("trace.csv: No such file")
        );
    }

    #[test]
    fn what_never_ends_ends_with_an_error() {
        let mut endless = Bounded::new(io::repeat(b'x'));
        endless.left = 100_000;
        let error = io::copy(&mut endless, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }
}
