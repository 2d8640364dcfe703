//! The files a configuration names, and whether they can be read. Like the environment, the disk is
//! looked at through a function: this module does no IO.

use super::{ConfigFile, Path, check::Report};

/// Why the file cannot be read; `None` where it can. Relative names are as written.
pub type FileCheck<'f> = &'f dyn Fn(&std::path::Path) -> Option<String>;

/// Reports every file that `file` names and that cannot be read, at the key that names it.
pub(super) fn check(file: &ConfigFile, unreadable: FileCheck<'_>, report: Report<'_>) {
    let mut look = |at: Path, name: &std::path::Path| {
        if let Some(why) = unreadable(name) {
            report(at, why);
        }
    };
    for (index, source) in file.sources.iter().enumerate() {
        let at = Path::default().key("sources").index(index);
        for (key, name) in source.prometheus.iter().flat_map(|one| one.files()) {
            look(at.key("prometheus").join(&Path::parse(key)), name);
        }
        for (key, name) in source.remote_write.iter().flat_map(|one| one.files()) {
            look(at.key("remote_write").join(&Path::parse(key)), &name);
        }
        for (key, name) in source.scrape.iter().flat_map(|one| one.files()) {
            look(at.key("scrape").join(&Path::parse(&key)), &name);
        }
        for (key, name) in source.kafka.iter().flat_map(|one| one.files()) {
            look(at.key("kafka").join(&Path::parse(key)), &name);
        }
    }
    for (index, alertmanager) in file.alertmanagers.iter().enumerate() {
        let at = Path::default().key("alertmanagers").index(index);
        for (key, name) in alertmanager.files() {
            look(at.join(&Path::parse(key)), &name);
        }
    }
    for (index, receiver) in file.remote_write.iter().enumerate() {
        let at = Path::default().key("remote_write").index(index);
        for (key, name) in receiver.files() {
            look(at.join(&Path::parse(key)), &name);
        }
    }
    for (index, topic) in file.kafka.iter().enumerate() {
        let at = Path::default().key("kafka").index(index);
        for (key, name) in topic.files() {
            look(at.join(&Path::parse(key)), &name);
        }
    }
    for (index, signal) in file.signals.iter().enumerate() {
        let at = Path::default().key("signals").index(index);
        for (key, name) in signal.files() {
            look(at.join(&Path::parse(&key)), &name);
        }
    }
    for (key, name) in file.models.store.iter().flat_map(|store| store.files()) {
        let at = Path::default().key("models").key("store");
        look(at.join(&Path::parse(key)), name);
    }
    for (key, name) in file.store.iter().flat_map(|store| store.files()) {
        look(Path::default().key("store").join(&Path::parse(key)), name);
    }
    for (index, calendar) in file.calendars.iter().enumerate() {
        let at = Path::default().key("calendars").index(index);
        if let Some(name) = calendar.file() {
            look(at.key("ical"), name);
        }
    }
}
