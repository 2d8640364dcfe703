//! The calendars of a configuration, with the iCal files they are read from.

use crate::{
    config::{Config, MAX_FILE_BYTES},
    engine::settings::{Calendars, NamedCalendar, SignalSettings},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::fs;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The contents of the iCal files of a configuration.
pub(super) type CalendarFiles = BTreeMap<PathBuf, Vec<u8>>;

/// Reads the iCal files of `config`.
pub(super) async fn read(config: &Config) -> Result<CalendarFiles, String> {
    let mut files = CalendarFiles::new();
    for path in config.calendars.iter().filter_map(|one| one.file()) {
        let content = read_file(path).await?;
        files.insert(path.to_owned(), content);
    }
    Ok(files)
}

/// The content of one file.
pub(super) async fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let named = |error: &dyn std::fmt::Display| format!("calendar {}: {error}", path.display());
    let about = fs::metadata(path).await.map_err(|error| named(&error))?;
    if about.len() > MAX_FILE_BYTES as u64 {
        return Err(named(&"larger than 1 MiB, which is refused"));
    }
    fs::read(path).await.map_err(|error| named(&error))
}

/// The calendars of `config`.
///
/// # Errors
/// Everything that is wrong in the files, a line each, `file:line: path: message`.
pub(super) fn build(config: &Config, files: &CalendarFiles) -> Result<Calendars, String> {
    let (mut calendars, mut wrong) = (Calendars::new(), Vec::new());
    for (index, settings) in config.calendars.iter().enumerate() {
        let content = settings.file().and_then(|path| files.get(path));
        let content = content.map_or(&[][..], Vec::as_slice);
        match settings.build(content) {
            Ok(calendar) => {
                let revision = xxh3_64(format!("{settings:?}").as_bytes()) ^ xxh3_64(content);
                let calendar = Arc::new(calendar);
                let named = NamedCalendar { calendar, revision };
                calendars.insert(settings.name.clone(), named);
            }
            Err(problems) => {
                let file = settings.file().unwrap_or(Path::new(""));
                wrong.extend(problems.into_iter().map(|(line, text)| {
                    format!("{}:{line}: calendars[{index}].ical: {text}", file.display())
                }));
            }
        }
    }
    if wrong.is_empty() {
        Ok(calendars)
    } else {
        Err(wrong.join("\n"))
    }
}

/// A hash of the contents of files.
pub(super) fn hash(files: &CalendarFiles) -> u64 {
    let mut hash = Xxh3::new();
    for content in files.values() {
        hash.update(&xxh3_64(content).to_le_bytes());
    }
    hash.digest()
}

/// A hash of the calendars that a signal names.
pub(super) fn revision(signal: &SignalSettings, calendars: &Calendars) -> u64 {
    let mut hash = Xxh3::new();
    for named in signal.calendars().filter_map(|name| calendars.get(name)) {
        hash.update(&named.revision.to_le_bytes());
    }
    hash.digest()
}
