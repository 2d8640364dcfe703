//! `forethought lint`: hazards of ScaledObjects and HPAs that are there.

use super::Failure;
use crate::manifests::lint::{self, Finding, Severity};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  forethought lint manifests/
  kubectl get scaledobjects,hpa -A -o yaml | forethought lint -
  helm template shop | forethought lint - --strict

Looks at ScaledObjects and HorizontalPodAutoscalers, in files and folders of .yml, .yaml and .json, and leaves everything else alone. What each
code in brackets means: docs/serving.md. What is safe: forethought manifests.
Exit codes: 0 nothing found, 1 hazards found, 2 usage or a file that cannot be read.";

/// No manifest is longer.
const LONGEST: u64 = 32 * 1024 * 1024;
/// A folder within folders within ... ends somewhere.
const DEEPEST: usize = 32;

/// Arguments of `lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Files and folders; - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Warnings are failures too
    #[arg(long)]
    strict: bool,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: super::records::Output,
}

/// Looks at all of them.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let mut found: Vec<(String, Finding)> = Vec::new();
    let mut seen = 0;
    for file in &arguments.files {
        for (name, text) in texts(file, 0).map_err(Failure::Usage)? {
            let (findings, objects) = lint::lint(&text)
                .map_err(|problem| Failure::Usage(format!("{name}: {problem}")))?;
            seen += objects;
            found.extend(findings.into_iter().map(|finding| (name.clone(), finding)));
        }
    }
    let errors = found
        .iter()
        .filter(|(_, one)| one.severity == Severity::Error)
        .count();
    let warnings = found.len() - errors;
    match arguments.output {
        super::records::Output::Json => {
            let one = |(file, one): &(String, Finding)| {
                json!({
                    "file": file, "object": one.object, "field": one.field, "severity": one.severity.as_str(),
                    "code": one.code, "text": one.text,
                })
            };
            let all: Vec<_> = found.iter().map(one).collect();
            super::records::json(out, &json!({"objects": seen, "findings": all}))?;
        }
        super::records::Output::Table => {
            for (file, finding) in &found {
                writeln!(out, "{file}: {finding}")?;
            }
            writeln!(
                out,
                "{seen} ScaledObjects and HPAs: {errors} errors, {warnings} warnings"
            )?;
        }
    }
    match errors > 0 || (arguments.strict && warnings > 0) {
        true => Err(Failure::Failed(format!("{} hazards", found.len()))),
        false => Ok(()),
    }
}

/// The text of a file, or of every manifest below a folder, by name.
fn texts(path: &Path, depth: usize) -> Result<Vec<(String, String)>, String> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| format!("{name}: {error}");
    if name == "-" {
        let mut text = String::new();
        let read = std::io::stdin()
            .lock()
            .take(LONGEST + 1)
            .read_to_string(&mut text);
        read.map_err(|error| format!("standard input: {error}"))?;
        return checked("standard input".to_owned(), text);
    }
    if !path.is_dir() {
        let length = fs::metadata(path).map_err(failed)?.len();
        if length > LONGEST {
            return Err(format!("{name}: {length} bytes; at most {LONGEST}"));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        return checked(name, text);
    }
    if depth == DEEPEST {
        return Err(format!("{name}: more than {DEEPEST} folders deep"));
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(path).map_err(failed)?.collect();
    let mut paths: Vec<PathBuf> = entries
        .map_err(failed)?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let is_manifest = |path: &Path| {
        path.extension()
            .is_some_and(|end| ["yml", "yaml", "json"].iter().any(|one| end == *one))
    };
    let mut all = Vec::new();
    for path in paths
        .iter()
        .filter(|path| path.is_dir() || is_manifest(path))
    {
        all.extend(texts(path, depth + 1)?);
    }
    Ok(all)
}

fn checked(name: String, text: String) -> Result<Vec<(String, String)>, String> {
    match text.len() as u64 > LONGEST {
        true => Err(format!("{name}: more than {LONGEST} bytes")),
        false => Ok(vec![(name, text)]),
    }
}
