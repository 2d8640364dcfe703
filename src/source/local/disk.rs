//! What is not to be read again, on disk: the recorders of a hub in one file.
//!
//! The file begins with a line that says what it is, and has its version, the length and the checksum of the rest, so that a file that was cut
//! off, damaged or written by somebody else is known as such. It is written beside the old one and takes its place at once.

use super::{Hub, Subscription};
use crate::{
    intake::{Filled, Image, ImageError, Recorder},
    series::{Millis, Share},
};
use prost::Message;
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use xxhash_rust::xxh3::xxh3_128;

const MAGIC: &[u8; 20] = b"forethought history\n";
const VERSION: u32 = 1;
/// Magic, version, length, checksum.
const HEADER: usize = MAGIC.len() + 4 + 8 + 16;
/// A longer file is none of ours.
const MOST_BYTES: u64 = 16 << 30;

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
    images: Vec<Image>,
    /// When it was written, by the newest that it knows of.
    pub newest: Option<Millis>,
}

#[derive(Clone, PartialEq, Message)]
struct Whole {
    #[prost(message, repeated, tag = "1")]
    images: Vec<Image>,
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
        self.put_all(hub.each(Image::of))
    }

    /// Writes a past. Returns the bytes written.
    ///
    /// # Errors
    /// As [`Shelf::write`].
    pub fn put(&self, past: &Past) -> io::Result<usize> {
        self.put_all(past.images.clone())
    }

    fn put_all(&self, images: Vec<Image>) -> io::Result<usize> {
        let bytes = encode(images);
        let new = self.path.with_extension("new");
        let written = write_whole(&new, &bytes).and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = written {
            // What is half there is of no use, and a full disk needs the room.
            drop(fs::remove_file(&new));
            return Err(error);
        }
        if let Some(folder) = self.path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all())?;
        }
        Ok(bytes.len())
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
        if version != VERSION {
            return Err(format!(
                "of version {version}, where this program reads version {VERSION}"
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
            newest: whole.images.iter().filter_map(Image::newest).max(),
            images: whole.images,
        })
    }

    /// What it knows of a subscription.
    ///
    /// # Errors
    /// What of it cannot be.
    pub fn of(&self, subscription: &Subscription, now: Millis) -> Result<Option<Recorder>, String> {
        let mut images = self.images.iter();
        let same = |image: &&Image| {
            image.selection == subscription.selection.text()
                && image.step == subscription.grid.step()
        };
        let restored = images
            .find(same)
            .map(|image| image.restore(subscription.clone(), now));
        restored.transpose().map_err(|error| error.to_string())
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
    ) -> Result<Filled, ImageError> {
        let selection = subscription.selection.text();
        let step = subscription.grid.step();
        let Some(other) = hub.with(selection, (Some(step), &Share::ALL), |recorder| {
            Image::of(recorder)
        }) else {
            return Ok(Filled::default());
        };
        let same = |image: &Image| image.selection == selection && image.step == step;
        let place = match self.images.iter().position(same) {
            Some(place) => place,
            None => {
                self.images.push(Image::empty(selection, step));
                self.images.len() - 1
            }
        };
        let filled = self.images[place].fill(&other, subscription.oldest(now))?;
        self.newest = self.images.iter().filter_map(Image::newest).max();
        Ok(filled)
    }
}

fn encode(images: Vec<Image>) -> Vec<u8> {
    let body = Whole { images }.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&xxh3_128(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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
