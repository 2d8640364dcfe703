//! A short run over what anybody may send us: each target gets what is in its corpus, and what becomes of that by chance. The same
//! chance in each run; `fuzz/README.md` says how to look for longer, guided by what is reached.

mod targets;

use crate::support::root;
use std::{fs, path::Path};

/// Inputs that are made of the corpus for each target.
const INPUTS: usize = 4_000;
/// No input is longer.
const LONGEST: usize = 8_192;

#[test]
fn nothing_that_anybody_may_send_makes_us_panic() {
    for (name, _) in targets::TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
        for input in &corpus {
            targets::run(name, input);
        }
        let mut random = fastrand::Rng::with_seed(20_261_123);
        for _ in 0..INPUTS {
            targets::run(name, &changed(&corpus, &mut random));
        }
    }
}

#[test]
fn every_target_has_a_program_for_the_long_run() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in targets::TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let program = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(
            fs::read_to_string(program)
                .unwrap()
                .contains(&format!("\"{name}\"")),
            "{name}"
        );
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/corpus").join(name);
    let mut files: Vec<_> = entries(&folder).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path())
}

/// An input of the corpus, with some bytes changed, left out, doubled, or taken from another.
fn changed(corpus: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let one = |random: &mut fastrand::Rng| &corpus[random.usize(..corpus.len())];
    let mut bytes = one(random).clone();
    for _ in 0..random.usize(1..6) {
        let place = random.usize(..=bytes.len());
        match random.u8(..6) {
            0 if place < bytes.len() => bytes[place] ^= 1 << random.u8(..8),
            1 if place < bytes.len() => bytes[place] = random.u8(..),
            2 => bytes.truncate(place),
            3 => bytes.insert(place, *random.choice(b"\0\xff{}\"\\\n #=,9").unwrap_or(&0)),
            4 => {
                let end = random.usize(place..=bytes.len());
                let piece = bytes[place..end].to_vec();
                bytes.splice(place..place, piece);
            }
            _ => {
                let other = one(random);
                let start = random.usize(..=other.len());
                let end = random.usize(start..=other.len());
                bytes.splice(place..place, other[start..end].iter().copied());
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}
