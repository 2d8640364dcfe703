//! Targets that are named in files, JSON or YAML, which are read again when they change.

use super::{Group, Publisher};
use crate::{series::Span, source::scrape::settings::StaticSettings};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::SystemTime,
};
use tokio::time::Instant;

/// How often it is looked whether a file changed.
const POLL: std::time::Duration = std::time::Duration::from_secs(2);
/// Larger files are refused: a hundred thousand targets fit.
const MOST_BYTES: u64 = 64 << 20;
/// The label that names the file.
const FILE_LABEL: &str = "__meta_filepath";
const ENDINGS: [&str; 3] = ["json", "yml", "yaml"];

/// Targets that are named in files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSdSettings {
    /// The files; `*` in the last part of a path stands for any letters.
    pub files: Vec<PathBuf>,
    /// How often they are read again even where nothing seems to have changed.
    #[serde(default = "FileSdSettings::default_refresh")]
    pub refresh_interval: Span,
}

impl FileSdSettings {
    /// As in Prometheus.
    fn default_refresh() -> Span {
        Span::minutes(5)
    }

    /// All problems, each with the path of the key and what to change.
    pub(in crate::source::scrape) fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if self.files.is_empty() {
            found.push(("files".to_owned(), "names no file".to_owned()));
        }
        for (index, file) in self.files.iter().enumerate() {
            let mut add = |text: String| found.push((format!("files[{index}]"), text));
            let ending = file.extension().and_then(|ending| ending.to_str());
            let ending = ending.map(str::to_ascii_lowercase);
            if !ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
                add(format!(
                    "{} must end in .json, .yml or .yaml",
                    file.display()
                ));
            }
            let folder = file.parent().map(Path::to_string_lossy);
            if folder.is_some_and(|folder| folder.contains('*')) {
                add("a * can only stand in the last part of the path".to_owned());
            }
        }
        if self.refresh_interval.as_millis() <= 0 {
            found.push((
                "refresh_interval".to_owned(),
                "must be longer than 0s".to_owned(),
            ));
        }
        found
    }

    /// Makes relative files relative to `directory`.
    pub(in crate::source::scrape) fn set_directory(&mut self, directory: &Path) {
        for file in &mut self.files {
            *file = directory.join(&*file);
        }
    }
}

/// Tells the targets of the files, for ever.
pub(super) async fn run(settings: FileSdSettings, publisher: Publisher) {
    let mut shelf = Shelf::default();
    let mut is_first = true;
    let mut read_all_at = Instant::now();
    loop {
        let whole = Instant::now() >= read_all_at;
        if whole {
            read_all_at = Instant::now() + settings.refresh_interval.to_std();
        }
        let files = settings.files.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let looked = shelf.look(&files, whole);
            (shelf, looked)
        });
        let looked = match looked.await {
            Ok((same, looked)) => {
                shelf = same;
                looked
            }
            // What was known went with it; the next look reads everything, and until then what was told stays.
            Err(panic) => {
                publisher.failed(&panic.to_string());
                shelf = Shelf::default();
                tokio::time::sleep(POLL).await;
                continue;
            }
        };
        for problem in &looked.problems {
            publisher.failed(problem);
        }
        if looked.changed || is_first {
            publisher.tell(shelf.groups()).await;
            is_first = false;
        }
        tokio::time::sleep(POLL.min(settings.refresh_interval.to_std())).await;
    }
}

/// The files as they were read last.
#[derive(Debug, Default)]
struct Shelf(BTreeMap<PathBuf, Book>);

#[derive(Debug, Default)]
struct Book {
    /// What the file was when it was read, well or not.
    stamp: Option<(SystemTime, u64)>,
    /// What it held when it was last sound.
    groups: Vec<Group>,
    /// Whether the newest attempt failed: then the next look at everything tells so again.
    broken: bool,
}

/// What a look at the files gave.
#[derive(Debug)]
struct Looked {
    changed: bool,
    problems: Vec<String>,
}

impl Shelf {
    /// Reads what changed; `whole`: everything.
    fn look(&mut self, patterns: &[PathBuf], whole: bool) -> Looked {
        let mut looked = Looked {
            changed: false,
            problems: Vec::new(),
        };
        let mut there = BTreeSet::new();
        for pattern in patterns {
            match matching(pattern) {
                Ok(files) => there.extend(files),
                Err(problem) => {
                    looked.problems.extend(whole.then_some(problem));
                    // What cannot be listed right now is not gone.
                    there.extend(
                        self.0
                            .keys()
                            .filter(|file| file.parent() == pattern.parent())
                            .cloned(),
                    );
                }
            }
        }
        let before = self.0.len();
        self.0.retain(|file, _| there.contains(file));
        looked.changed |= self.0.len() != before;
        for file in there {
            let book = self.0.entry(file.clone()).or_default();
            let stamp = stamp(&file);
            if stamp == book.stamp && !whole {
                continue;
            }
            let read = read(&file);
            // Looked at before reading: what changes meanwhile is read again.
            book.stamp = stamp;
            book.broken = read.is_err();
            match read {
                Ok(groups) if groups == book.groups => {}
                Ok(groups) => {
                    book.groups = groups;
                    looked.changed = true;
                }
                Err(problem) => looked.problems.push(problem),
            }
        }
        looked
    }

    fn groups(&self) -> Vec<Group> {
        self.0
            .values()
            .flat_map(|book| book.groups.clone())
            .collect()
    }
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let about = fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}

fn read(file: &Path) -> Result<Vec<Group>, String> {
    let name = file.display().to_string();
    let place = |error: &dyn std::fmt::Display| format!("{name}: {error}; the targets it had stay");
    let about = fs::metadata(file).map_err(|error| place(&error))?;
    if about.len() > MOST_BYTES {
        return Err(place(&format!("larger than {} MiB", MOST_BYTES >> 20)));
    }
    let text = fs::read_to_string(file).map_err(|error| place(&error))?;
    let is_json = file
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let list: Vec<StaticSettings> = if is_json {
        serde_json::from_str(&text).map_err(|error| place(&error))?
    } else if text.trim().is_empty() {
        Vec::new()
    } else {
        serde_yaml::from_str(&text).map_err(|error| place(&error))?
    };
    let groups = list.into_iter();
    Ok(groups
        .map(|group| Group::of(group, Some((FILE_LABEL, &name))))
        .collect())
}

/// The files that `pattern` stands for; a file that is not there is none.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let last = pattern
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let last = last.unwrap_or_default();
    if !last.contains(['*', '?']) {
        let there = pattern.try_exists().unwrap_or(true);
        return Ok(there.then(|| pattern.to_owned()).into_iter().collect());
    }
    let folder = match pattern.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
        let name = entry.file_name();
        if stands_for(&last, &name.to_string_lossy()) {
            files.push(folder.join(name));
        }
    }
    Ok(files)
}

/// Whether a pattern with `*` (any letters) and `?` (any one letter) stands for `name`.
fn stands_for(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            let mut starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            starts.any(|at| stands_for(rest, name.get(at..).unwrap_or_default()))
        }
        Some(wanted) => {
            let mut left = name.chars();
            let here = left.next();
            here.is_some_and(|here| wanted == '?' || wanted == here)
                && stands_for(letters.as_str(), left.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(shelf: &Shelf) -> Vec<String> {
        let targets = shelf.groups().into_iter().flat_map(|group| group.targets);
        targets
            .map(|labels| labels["__address__"].clone())
            .collect()
    }

    #[test]
    fn files_are_read_when_they_change_and_kept_where_they_are_broken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let patterns = [at("*.json"), at("more.yml")];
        let mut shelf = Shelf::default();
        let looked = shelf.look(&patterns, true);
        assert!(!looked.changed && looked.problems.is_empty(), "{looked:?}");

        fs::write(
            at("a.json"),
            r#"[{"targets": ["a:1", "b:1"], "labels": {"env": "x"}}]"#,
        )
        .unwrap();
        fs::write(at("more.yml"), "- targets: ['c:1']\n").unwrap();
        fs::write(at("not.txt"), "[]").unwrap();
        assert!(shelf.look(&patterns, false).changed);
        assert_eq!(addresses(&shelf), ["a:1", "b:1", "c:1"]);
        let group = &shelf.groups()[0];
        assert_eq!(group.labels["env"], "x");
        assert_eq!(
            group.labels["__meta_filepath"],
            at("a.json").display().to_string()
        );
        assert!(!shelf.look(&patterns, false).changed);

        for broken in ["[{", r#"[{"target": ["a:1"]}]"#, r#"{"targets": []}"#, ""] {
            fs::write(at("a.json"), broken).unwrap();
            let looked = shelf.look(&patterns, true);
            assert!(
                !looked.changed && looked.problems.len() == 1,
                "{broken}: {looked:?}"
            );
            assert!(looked.problems[0].contains("a.json"), "{looked:?}");
            assert_eq!(addresses(&shelf), ["a:1", "b:1", "c:1"], "{broken}");
        }
        fs::write(at("a.json"), r#"[{"targets": ["d:1"]}]"#).unwrap();
        assert!(shelf.look(&patterns, false).changed);
        assert_eq!(addresses(&shelf), ["d:1", "c:1"]);
        fs::remove_file(at("a.json")).unwrap();
        assert!(shelf.look(&patterns, false).changed);
        assert_eq!(addresses(&shelf), ["c:1"]);
    }

    #[test]
    fn patterns_stand_for_names() {
        let cases = [
            ("*.json", "a.json", true),
            ("*.json", ".json", true),
            ("*.json", "a.yml", false),
            ("shop-*-?.yml", "shop-a-b-1.yml", true),
            ("shop-*-?.yml", "shop-a-12.yml", false),
            ("**", "ä", true),
            ("?", "ä", true),
            ("a", "ab", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(stands_for(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_star_is_for_the_last_part_only() {
        let settings: FileSdSettings =
            serde_yaml::from_str("files: ['/a/*/b.json', c.json]").unwrap();
        let found = settings.validate();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "files[0]");
    }
}
