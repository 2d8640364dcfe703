//! What must stay true of the code itself: the invariants of `src/lib.rs` that can be read off the text.

use crate::support::{files, read, root};
use regex::Regex;
use std::path::{Path, PathBuf};

/// The pure core (invariant 1).
const CORE: &[&str] = &[
    "series", "stats", "baseline", "contract", "detect", "features", "forecast", "train", "decide",
    "promql", "expo", "intake", "quality",
];

/// Everything but the core.
const OUTSIDE: &[&str] = &[
    "app",
    "backfill",
    "backtest",
    "bench",
    "cli",
    "config",
    "demo",
    "engine",
    "external",
    "keda",
    "manifests",
    "registry",
    "simulate",
    "sink",
    "source",
    "store",
    "telemetry",
    "tls",
    "web",
];

/// What each part may use beside itself (invariant 2); every part may use the core. A part that is not
/// here may use anything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("engine", &["telemetry", "source"]), // `source` for the trait and the words of its answers only
    ("source", &["telemetry", "engine", "tls"]), // `engine::Clock` only; `tls` for PEM files
    ("sink", &["telemetry", "engine", "source"]), // `source` for its HTTP client and secrets
    ("store", &["telemetry", "engine", "source"]), // `engine::Clock`, `source` for its secrets
    ("web", &["telemetry", "engine", "source", "store"]),
    ("keda", &["telemetry", "engine", "tls", "web"]), // `web` for how connections come in and end
    ("external", &["telemetry", "engine", "source", "tls", "web"]), // `source` for its HTTP client, `web` as `keda`
    ("manifests", &["external"]),                                   // the name of its metric only
    ("tls", &[]),
    ("telemetry", &["source"]), // the words of its failures, which are label values
    (
        "config",
        &["engine", "registry", "sink", "source", "store", "web"],
    ),
    ("registry", &["source"]), // `source` for its HTTP client and secrets
];

/// What the core must not touch: IO, clocks, threads, logging, and randomness without a seed.
const IMPURE: &[&str] = &[
    r"\bstd::fs\b",
    r"\bstd::net\b",
    r"\bstd::process\b",
    r"\bstd::env\b",
    r"\bstd::io\b",
    r"\bSystemTime\b",
    r"\bInstant\b",
    r"\btokio\b",
    r"\btracing\b",
    r"\bthread::spawn\b",
    r"\brayon::spawn\b",
    r"\bThreadPool",
    r"\bprintln!",
    r"\beprintln!",
    r"\bfastrand::(bool|f32|f64|u\d+|i\d+|usize|shuffle|choice)\b",
    r"\bRng::new\(\)",
    r"\bthread_rng\b",
];

/// The longest file a person can hold in the head.
const LONGEST: usize = 600;

/// The Rust files of `folder` that are part of the program: without those that only tests have.
fn program(folder: &str) -> Vec<(String, String)> {
    let declared = Regex::new(r"#\[cfg\(test\)\]\s+(?:pub(?:\(\w+\))? )?mod (\w+);").unwrap();
    let all = rust(folder);
    let mut tests = Vec::new();
    for (name, text) in &all {
        let home = home_of(Path::new(name));
        let found = declared.captures_iter(text);
        tests.extend(found.map(|captures| home.join(&captures[1])));
    }
    let is_test = |name: &str| {
        let path = Path::new(name).with_extension("");
        tests.iter().any(|test| path.starts_with(test))
    };
    all.into_iter().filter(|(name, _)| !is_test(name)).collect()
}

/// The folder of the modules that a file declares.
fn home_of(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap();
    if stem == "mod" || stem == "lib" || stem == "main" {
        path.parent().unwrap().to_path_buf()
    } else {
        path.with_extension("")
    }
}

/// The Rust files of `folder`.
fn rust(folder: &str) -> Vec<(String, String)> {
    let named = |path: &Path| (path.display().to_string(), read(path));
    files(folder, "rs").iter().map(|path| named(path)).collect()
}

/// The code of a file without its tests and comments, line numbers kept.
fn code(text: &str) -> String {
    let comment = Regex::new(r"(^|\s)//.*$").unwrap();
    let tests = Regex::new(r"\n#\[cfg\(test\)\]\nmod \w+ \{").unwrap();
    let until_tests = tests.split(text).next().unwrap_or(text);
    let strip = |line: &str| comment.replace(line, "").into_owned();
    until_tests
        .lines()
        .map(strip)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every line of `text` that matches, as `file:line: text`.
fn matches(name: &str, text: &str, pattern: &Regex) -> Vec<String> {
    let hit = |(number, line): (usize, &str)| {
        let found = pattern.is_match(line);
        found.then(|| format!("{name}:{}: {}", number + 1, line.trim()))
    };
    text.lines().enumerate().filter_map(hit).collect()
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let impure = Regex::new(&IMPURE.join("|")).unwrap();
    let mut found = Vec::new();
    let mut seen = 0;
    for part in CORE {
        for (name, text) in program(&format!("src/{part}")) {
            seen += 1;
            found.extend(matches(&name, &code(&text), &impure));
        }
    }
    assert!(seen > 10, "the core was not found");
    assert_none(
        &found,
        "invariant 1: the core does no IO, reads no clock, spawns and logs nothing",
    );
}

#[test]
fn the_check_for_purity_bites() {
    let impure = Regex::new(&IMPURE.join("|")).unwrap();
    for line in [
        "let now = Instant::now();",
        "use std::fs;",
        "tracing::info!(\"x\");",
    ] {
        assert!(impure.is_match(line), "{line}");
    }
    let text =
        "fn a() {}\n// std::fs in a comment\n\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n";
    assert!(!impure.is_match(&code(text)));
}

/// The top-level modules that a file uses through `crate::`.
fn used(text: &str) -> Vec<String> {
    let single = Regex::new(r"\bcrate::(\w+)").unwrap();
    let group = Regex::new(r"(?s)\bcrate::\{(.*?)\};").unwrap();
    let mut found: Vec<String> = single
        .captures_iter(text)
        .map(|captures| captures[1].to_owned())
        .collect();
    for captures in group.captures_iter(text) {
        found.extend(first_words(&captures[1]));
    }
    found
}

/// The first word of each entry of a use group, nested groups left out.
fn first_words(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut entries = vec![String::new()];
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => entries.push(String::new()),
            _ if depth == 0 => entries.last_mut().unwrap().push(letter),
            _ => {}
        }
    }
    let first = |entry: &String| entry.trim().split("::").next().unwrap_or("").to_owned();
    entries
        .iter()
        .map(first)
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn the_check_for_directions_reads_use_lines() {
    let text = "use crate::{\n    engine::{Clock, web},\n    series::Span,\n};\nlet x = crate::stats::y();";
    assert_eq!(used(text), ["stats", "engine", "series"]);
}

#[test]
fn dependencies_point_one_way() {
    let mut found = Vec::new();
    let mut check = |part: &str, allowed: &dyn Fn(&str) -> bool| {
        for (name, text) in program(&format!("src/{part}")) {
            for word in used(&code(&text)) {
                if word != part && OUTSIDE.contains(&word.as_str()) && !allowed(&word) {
                    found.push(format!("{name} uses crate::{word}"));
                }
            }
        }
    };
    for part in CORE {
        check(part, &|_| false);
    }
    for (part, others) in MAY_USE {
        check(part, &|word| others.contains(&word));
    }
    assert_none(
        &found,
        "invariant 2: main -> cli -> app -> adapters -> engine -> core",
    );
}

/// The list of kinds in a module: the names before `=>` inside `kinds! { .. }`.
fn listed(module: &str) -> Vec<String> {
    let call = Regex::new(r"(?s)\bkinds!\s*[({\[](.*?)\n[)}\]]").unwrap();
    let entry = Regex::new(r"(\w+)\s*=>").unwrap();
    let module = code(module);
    let body = call.captures(&module).map(|found| found[1].to_owned());
    let body = body.expect("the list `kinds!` was not found");
    entry
        .captures_iter(&code(&body))
        .map(|captures| captures[1].to_owned())
        .collect()
}

#[test]
fn every_detector_and_forecaster_is_in_the_sorted_list() {
    for (part, implements) in [
        ("detect", r"\bDetector for \w+"),
        ("forecast", r"\bForecaster for \w+"),
    ] {
        let implements = Regex::new(implements).unwrap();
        let all = program(&format!("src/{part}"));
        let with_list = |(_, text): &&(String, String)| code(text).contains("kinds!");
        let Some((_, module)) = all.iter().find(with_list) else {
            panic!("invariant 6: src/{part} has no list `kinds!`");
        };
        let kinds = listed(module);
        assert!(
            kinds.is_sorted(),
            "invariant 6: sort the list of src/{part}: {kinds:?}"
        );
        for (name, text) in &all {
            if !implements.is_match(&code(text)) {
                continue;
            }
            let path = Path::new(name);
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let folder = path
                .parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            // A detector of several files is a folder: `detect/x/mod.rs`.
            let is_listed = kinds.contains(&stem) || (stem == "mod" && kinds.contains(&folder));
            assert!(
                is_listed,
                "invariant 6: {name} is not in the list {kinds:?}"
            );
        }
        for kind in &kinds {
            let flat = root().join(format!("src/{part}/{kind}.rs"));
            let folder = root().join(format!("src/{part}/{kind}/mod.rs"));
            assert!(
                flat.exists() || folder.exists(),
                "invariant 6: `{kind}` has no file of its name"
            );
        }
    }
}

#[test]
fn no_file_is_too_long() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (name, text) in rust(folder) {
            let lines = text.lines().count();
            if lines >= LONGEST {
                found.push(format!("{name}: {lines} lines"));
            }
        }
    }
    assert_none(&found, "split files of 600 lines and more");
}

#[test]
fn no_lint_is_silenced_without_a_reason() {
    let pattern = Regex::new(r"#!?\[allow\(").unwrap();
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (name, text) in rust(folder) {
            found.extend(matches(&name, &code(&text), &pattern));
        }
    }
    assert_none(
        &found,
        "use #[expect(lint, reason = \"..\")], which says why and ends by itself",
    );
}
