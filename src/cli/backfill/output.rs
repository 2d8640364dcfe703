//! Where it is written: standard output, or a file that is there when it is whole.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Where it is written.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Stdout,
    /// A file.
    File(Draft),
}

/// A file that takes its name when it is whole; it goes where it never becomes that.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    draft: PathBuf,
    file: File,
}

impl Output {
    /// Opens `path`; what is there is written over with `force` only.
    ///
    /// # Errors
    /// What is wrong with the path, and what to change.
    pub(super) fn open(path: &Path, force: bool) -> Result<Self, String> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let shown = path.display();
        if path.is_dir() {
            return Err(format!("--output: {shown} is a folder; name a file in it"));
        }
        if path.exists() && !force {
            return Err(format!(
                "--output: {shown} is there already; name another file, or write over it with --force"
            ));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let draft = path.with_file_name(name);
        let file = File::create(&draft)
            .map_err(|error| format!("--output: cannot write {}: {error}", draft.display()))?;
        Ok(Self::File(Draft {
            path: path.to_owned(),
            draft,
            file,
        }))
    }

    /// The folder for what is sorted meanwhile: where there is room for the file there is room for that.
    pub(super) fn folder(&self) -> PathBuf {
        let parent = match self {
            Self::Stdout => return env::temp_dir(),
            Self::File(draft) => draft.path.parent(),
        };
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).to_owned()
    }

    /// What is written to; `out` is standard output.
    pub(super) fn sink<'a>(&'a mut self, out: &'a mut dyn Write) -> &'a mut dyn Write {
        match self {
            Self::Stdout => out,
            Self::File(draft) => &mut draft.file,
        }
    }

    /// It is whole.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(draft) => {
                draft.file.sync_all()?;
                fs::rename(&draft.draft, &draft.path)
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After it took its name there is nothing left to remove.
        drop(fs::remove_file(&self.draft));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("past.om");
        let mut output = Output::open(&path, false).unwrap();
        output.sink(&mut Vec::new()).write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(output);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let mut output = Output::open(&path, false).unwrap();
        assert_eq!(output.folder(), folder.path());
        output.sink(&mut Vec::new()).write_all(b"whole").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        let refused = Output::open(&path, false).unwrap_err();
        assert!(refused.contains("--force"), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(Output::open(&path, true).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        let refused = Output::open(folder.path(), true).unwrap_err();
        assert!(refused.contains("is a folder"), "{refused}");
        let nowhere = Output::open(&folder.path().join("a/b"), false).unwrap_err();
        assert!(nowhere.contains("cannot write"), "{nowhere}");
    }
}
