//! What is not to be read again, on disk: the recorders of a hub in one file.
//!
//! Very many series are written in pieces of some thousand, each packed with DEFLATE, so that there never is a second copy of all in memory.
//!
//! The file begins with a line that says what it is, and has its version, the length and the checksum of the rest, so that a file that was cut
//! off, damaged or written by somebody else is known as such. It is written beside the old one and takes its place at once.

use super::{Hub, Subscription};
use crate::{
    intake::{Filled, Image, Recorder, Restored},
    series::{Millis, Share},
};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use prost::Message;
use std::{
    fs::{self, File, TryLockError},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

const MAGIC: &[u8; 20] = b"forethought history\n";
const VERSION: u32 = 2;
/// Without pieces.
const OLD_VERSION: u32 = 1;
/// Magic, version, length, checksum.
const HEADER: usize = MAGIC.len() + 4 + 8 + 16;
/// A longer file is none of ours.
const MOST_BYTES: u64 = 16 << 30;
/// Of a past that is written anew.
const SERIES_OF_A_PART: usize = 4_096;
/// A longer piece, unpacked, is none of ours.
const MOST_PIECE_BYTES: u64 = 1 << 30;

/// The file of a source in a folder.
#[derive(Debug, Clone)]
pub struct Shelf {
    path: PathBuf,
    _hold: Option<Arc<Hold>>,
}

/// Who works with a folder: processes beside each other, or one who changes what they left.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "what is locked is free when it is closed")] File);

/// What a former process knew.
#[derive(Debug, Default)]
pub struct Past {
    whole: Whole,
    /// When it was written, by the newest that it knows of.
    pub newest: Option<Millis>,
}

#[derive(Clone, PartialEq, Message)]
struct Whole {
    /// Those of recorders with a past, which is packed already.
    #[prost(message, repeated, tag = "1")]
    images: Vec<Image>,
    /// Those of very many series.
    #[prost(message, repeated, tag = "2")]
    pieces: Vec<Piece>,
}

/// A part of a recorder.
#[derive(Clone, PartialEq, Message)]
struct Piece {
    /// What its signal selects, as PromQL.
    #[prost(string, tag = "1")]
    selection: String,
    /// Milliseconds from one grid time to the next.
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(sint64, optional, tag = "3")]
    newest: Option<i64>,
    /// An [`Image`], packed with DEFLATE.
    #[prost(bytes = "vec", tag = "4")]
    packed: Vec<u8>,
}

impl Shelf {
    /// The file of the source `name` in `folder`, which is made where it is not there.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn new(folder: &Path, name: &str) -> Result<Self, String> {
        let wrong = |error: io::Error| {
            format!(
                "cannot keep the history of source {name:?} in {}: {error}; name another folder with --storage.path",
                folder.display()
            )
        };
        fs::create_dir_all(folder).map_err(wrong)?;
        let mut shelf = Self::at(folder, name);
        let probe = shelf.path.with_extension("probe");
        File::create(&probe).map_err(wrong)?;
        fs::remove_file(&probe).map_err(wrong)?;
        shelf._hold = Hold::beside_others(folder).map(Arc::new);
        Ok(shelf)
    }

    /// The same for who only reads, or holds the folder.
    pub fn at(folder: &Path, name: &str) -> Self {
        Self {
            path: folder.join(format!("{}.history", file_name(name))),
            _hold: None,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a former process wrote; nothing where there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn read(&self) -> Result<Past, String> {
        let shown = self.path.display();
        let about = match fs::metadata(&self.path) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Past::default()),
            Err(error) => return Err(format!("{shown}: {error}")),
        };
        if about.len() > MOST_BYTES {
            return Err(format!("{shown}: longer than {MOST_BYTES} bytes"));
        }
        let bytes = fs::read(&self.path).map_err(|error| format!("{shown}: {error}"))?;
        Past::decode(&bytes).map_err(|problem| format!("{shown}: {problem}"))
    }

    /// Puts a damaged file aside, so that the next one does not take its place.
    pub fn put_aside(&self) -> io::Result<PathBuf> {
        let aside = self.path.with_extension("history.damaged");
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// Writes what `hub` knows. Returns the bytes written.
    ///
    /// # Errors
    /// The disk's; the former file is as it was.
    pub fn write(&self, hub: &Hub) -> io::Result<usize> {
        self.replace(|put| hub.images(|image| put(Whole::of(image)?)))
    }

    /// Writes a past. Returns the bytes written.
    ///
    /// # Errors
    /// As [`Shelf::write`].
    pub fn put(&self, past: &Past) -> io::Result<usize> {
        self.replace(|put| {
            for image in &past.whole.images {
                let mut parts = image.parts(SERIES_OF_A_PART);
                parts.try_for_each(|part| put(Whole::of(part)?))?;
            }
            let mut pieces = past.whole.pieces.iter();
            pieces.try_for_each(|piece| put(Whole::piece(piece.clone())))
        })
    }

    /// Puts a new file in the place of the former one, of all that `tell` gives to be put.
    fn replace(&self, tell: impl FnOnce(Put<'_>) -> io::Result<()>) -> io::Result<usize> {
        let new = self.path.with_extension("new");
        let written = write_whole(&new, tell).and_then(|bytes| {
            fs::rename(&new, &self.path)?;
            Ok(bytes)
        });
        let bytes = match written {
            Ok(bytes) => bytes,
            Err(error) => {
                // What is half there is of no use, and a full disk needs the room.
                drop(fs::remove_file(&new));
                return Err(error);
            }
        };
        if let Some(folder) = self.path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all())?;
        }
        Ok(bytes)
    }
}

impl Hold {
    /// Beside other processes, as soon as nobody has it alone. Nothing where the folder is on a file system without locks: then
    /// nobody can be told.
    fn beside_others(folder: &Path) -> Option<Self> {
        let opened = File::open(folder).ok()?;
        opened.lock_shared().ok()?;
        Some(Self(opened))
    }

    /// Alone: until it is dropped, processes that begin wait. Nothing where the folder has no locks.
    ///
    /// # Errors
    /// The folder is not there, or a process has it.
    pub fn alone(folder: &Path) -> Result<Option<Self>, String> {
        let shown = folder.display();
        let opened = File::open(folder).map_err(|error| format!("{shown}: {error}"))?;
        match opened.try_lock() {
            Ok(()) => Ok(Some(Self(opened))),
            Err(TryLockError::WouldBlock) => Err(format!(
                "{shown}: a forethought that runs keeps its histories there and would write over what is imported: stop it first, or \
                 name another folder with --storage.path"
            )),
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }
}

impl Past {
    /// Of the bytes of a file.
    ///
    /// # Errors
    /// They are not what this program wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let not_ours = || "not a history of forethought".to_owned();
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(not_ours)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(not_ours)?;
        let version = u32::from_le_bytes(*version);
        if !(OLD_VERSION..=VERSION).contains(&version) {
            return Err(format!(
                "of version {version}, where this program reads versions {OLD_VERSION} and {VERSION}"
            ));
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(not_ours)?;
        let (sum, rest) = rest.split_first_chunk::<16>().ok_or_else(not_ours)?;
        if u64::from_le_bytes(*length) != rest.len() as u64 {
            return Err("cut off".to_owned());
        }
        if u128::from_le_bytes(*sum) != xxh3_128(rest) {
            return Err("damaged: its checksum is another one".to_owned());
        }
        Self::decode_body(rest)
    }

    /// Of what follows the checksum.
    ///
    /// # Errors
    /// As [`Past::decode`].
    pub fn decode_body(body: &[u8]) -> Result<Self, String> {
        let whole = Whole::decode(body).map_err(|error| error.to_string())?;
        Ok(Self {
            newest: whole.newest(),
            whole,
        })
    }

    /// What it knows of a subscription.
    ///
    /// # Errors
    /// What of it cannot be.
    pub fn of(&self, subscription: &Subscription, now: Millis) -> Result<Option<Recorder>, String> {
        let (text, step) = (subscription.selection.text(), subscription.grid.step());
        let images = self.whole.images.iter();
        let mut images = images.filter(|image| image.selection == text && image.step == step);
        if let Some(image) = images.next() {
            let restored = image.restore(subscription.clone(), now);
            return restored.map(Some).map_err(|error| error.to_string());
        }
        let pieces = self.whole.pieces.iter();
        let pieces = pieces.filter(|piece| piece.selection == text && piece.step == step);
        let mut restored: Option<Restored> = None;
        for piece in pieces {
            let image = piece.unpack()?;
            let all = restored.get_or_insert_with(|| Restored::new(subscription.clone(), now));
            all.add(&image).map_err(|error| error.to_string())?;
        }
        Ok(restored.map(Restored::finish))
    }

    /// Puts what `hub` knows of a subscription into the gaps of what is here of it; of that only what is kept at `now`.
    ///
    /// # Errors
    /// What of this past is broken.
    pub fn fill(
        &mut self,
        hub: &Hub,
        subscription: &Subscription,
        now: Millis,
    ) -> Result<Filled, String> {
        let selection = subscription.selection.text();
        let step = subscription.grid.step();
        let Some(other) = hub.with(selection, (Some(step), &Share::ALL), |recorder| {
            Image::of(recorder)
        }) else {
            return Ok(Filled::default());
        };
        let image = self.whole.image(selection, step)?;
        let filled = image.fill(&other, subscription.oldest(now));
        let filled = filled.map_err(|error| error.to_string())?;
        self.newest = self.whole.newest();
        Ok(filled)
    }
}

impl Whole {
    /// One image, packed where it is of very many series.
    fn of(image: Image) -> io::Result<Self> {
        if image.is_plain() {
            return Ok(Self::piece(Piece::pack(&image)?));
        }
        Ok(Self {
            images: vec![image],
            pieces: Vec::new(),
        })
    }

    fn piece(piece: Piece) -> Self {
        Self {
            images: Vec::new(),
            pieces: vec![piece],
        }
    }

    fn newest(&self) -> Option<Millis> {
        let images = self.images.iter().filter_map(Image::newest);
        let pieces = self.pieces.iter().filter_map(|piece| piece.newest);
        images.chain(pieces).max()
    }

    /// What there is of a selection in one image, an empty one where there is nothing.
    fn image(&mut self, selection: &str, step: Millis) -> Result<&mut Image, String> {
        let same = |image: &Image| image.selection == selection && image.step == step;
        let place = match self.images.iter().position(same) {
            Some(place) => place,
            None => {
                let mut image = Image::empty(selection, step);
                let of_it = |piece: &&Piece| piece.selection == selection && piece.step == step;
                for piece in self.pieces.iter().filter(of_it) {
                    image.append(piece.unpack()?);
                }
                self.pieces.retain(|piece| !of_it(&piece));
                self.images.push(image);
                self.images.len() - 1
            }
        };
        Ok(&mut self.images[place])
    }
}

impl Piece {
    fn pack(image: &Image) -> io::Result<Self> {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&image.encode_to_vec())?;
        Ok(Self {
            selection: image.selection.clone(),
            step: image.step,
            newest: image.newest(),
            packed: packer.finish()?,
        })
    }

    fn unpack(&self) -> Result<Image, String> {
        let mut bytes = Vec::new();
        let mut packed = DeflateDecoder::new(&self.packed[..]).take(MOST_PIECE_BYTES);
        let unpacked = packed.read_to_end(&mut bytes);
        unpacked.map_err(|error| format!("a piece that cannot be unpacked: {error}"))?;
        Image::decode(&bytes[..]).map_err(|error| error.to_string())
    }
}

/// Takes one part of a file after the other.
type Put<'a> = &'a mut dyn FnMut(Whole) -> io::Result<()>;

/// Writes part after part, and then the header in front of them.
fn write_whole(path: &Path, tell: impl FnOnce(Put<'_>) -> io::Result<()>) -> io::Result<usize> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&[0; HEADER])?;
    let (mut sum, mut length) = (Xxh3::new(), 0);
    tell(&mut |part| {
        // Messages one after the other are one with all that they repeat.
        let bytes = part.encode_to_vec();
        sum.update(&bytes);
        length += bytes.len();
        file.write_all(&bytes)
    })?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(MAGIC)?;
    file.write_all(&VERSION.to_le_bytes())?;
    file.write_all(&(length as u64).to_le_bytes())?;
    file.write_all(&sum.digest128().to_le_bytes())?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(HEADER + length)
}

/// A name of the configuration as that of a file: what is not a letter or a digit is written as its number.
pub fn file_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => out.push(char::from(byte)),
            other => out.push_str(&format!("_{other:02x}")),
        }
    }
    out
}
