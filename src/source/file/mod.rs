//! Files as a source, for looking back without a Prometheus: CSV and the text exposition formats.
//!
//! Samples are put on the grid as Prometheus would see them: a grid time has the newest sample of the
//! step that ends with it.

mod csv;
mod lines;
mod open_metrics;
mod shelf;

pub use csv::{Columns, read_csv};
pub use open_metrics::{TakeSample, each_sample, read_open_metrics};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
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

/// Opens a file, or standard input where `path` is `-`. What is compressed with gzip or xz is
/// decompressed, whatever its name.
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

/// `raw` decompressed where it is gzip or xz, and ended with an error where it is endless.
///
/// # Errors
/// It cannot be read, or is compressed in another way.
pub fn plain<'a>(mut raw: impl Read + 'a) -> Result<Box<dyn Read + 'a>, String> {
    let mut start = Vec::new();
    let read = raw.by_ref().take(XZ.len() as u64).read_to_end(&mut start);
    read.map_err(|error| error.to_string())?;
    if start.starts_with(ZSTD) {
        let text =
            "is compressed with zstd, which is not read; give - and pipe `zstd -dc FILE` into it";
        return Err(text.to_owned());
    }
    let (gzip, xz) = (start.starts_with(GZIP), start.starts_with(XZ));
    let whole = BufReader::with_capacity(1 << 18, Cursor::new(start).chain(raw));
    Ok(if gzip {
        Box::new(Bounded::new(MultiGzDecoder::new(whole)))
    } else if xz {
        Box::new(Bounded::new(XzReader::new(whole, true)))
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

    /// `printf hello | xz`
    const HELLO_XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x04, 0x68, 0x65, 0x6c,
        0x6c, 0x6f, 0x00, 0x00, 0x00, 0x00, 0xb1, 0x37, 0xb9, 0xdb, 0xe5, 0xda, 0x1e, 0x9b, 0x00,
        0x01, 0x1d, 0x05, 0xb8, 0x2d, 0x80, 0xaf, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00,
        0x00, 0x04, 0x59, 0x5a,
    ];

    #[test]
    fn gzip_and_xz_are_opened_and_zstd_is_refused_with_advice() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"hello").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.csv");
        std::fs::write(&path, encoder.finish().unwrap()).unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        std::fs::write(&path, HELLO_XZ).unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        std::fs::write(&path, &HELLO_XZ[..40]).unwrap();
        let cut_off = open(&path).unwrap().read_to_string(&mut text);
        assert!(cut_off.is_err(), "{text}");
        std::fs::write(&path, ZSTD).unwrap();
        let error = open(&path).err().unwrap();
        assert!(error.contains("pipe `zstd -dc FILE`"), "{error}");
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
