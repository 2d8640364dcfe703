//! The contract against real exports of PyTorch, and everything that must be refused.
//!
//! Made by `tests/fixtures/onnx/make_torch.py`.

use super::*;
use crate::stats::network::ModelFiles;
use ring::{rand::SystemRandom, signature::Ed25519KeyPair, signature::KeyPair};
use std::collections::BTreeMap;

/// How far we and onnxruntime may differ.
const AGREE: f32 = 1e-4;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

fn manifest(name: &str) -> Manifest {
    Manifest::read(&fixture(&format!("{name}.json"))).unwrap()
}

fn load(name: &str, manifest: &Manifest) -> Result<Model, String> {
    let model = fixture(&format!("{name}.onnx"));
    Model::load(&model, &manifest.to_json().unwrap(), &Trust::default())
}

/// What onnxruntime answers, row by row.
fn answers(name: &str) -> Vec<Vec<f32>> {
    let all: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&fixture("answers.json")).unwrap();
    serde_json::from_value(all[name].clone()).unwrap()
}

/// The rows that the script makes.
fn rows(count: usize, length: usize) -> Vec<f32> {
    let number = |row: usize, place: usize| {
        (2.0_f64.sqrt() * (0.37 * place as f64 + 1.3 * row as f64).sin()) as f32
    };
    (0..count)
        .flat_map(|row| (0..length).map(move |place| number(row, place)))
        .collect()
}

fn assert_close(name: &str, got: &[f32], wanted: &[f32]) {
    assert_eq!(got.len(), wanted.len(), "{name}");
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() < AGREE, "{name}: {got} {wanted}");
    }
}

#[test]
fn exports_of_pytorch_answer_as_in_onnxruntime() {
    for name in ["lstm", "gru", "bilstm", "transformer"] {
        let model = load(name, &manifest(name)).unwrap();
        let expected = answers(name);
        let windows = rows(expected.len(), model.network.row_len());
        let mut out = Vec::new();
        model.run(&windows, &mut out);
        assert_close(name, &out, &expected.concat());
    }
    let file = NetworkFile::read(&fixture("autoencoder.onnx")).unwrap();
    assert_eq!(file.row_shape(), Some(vec![64]));
    let expected = answers("autoencoder");
    let mut out = Vec::new();
    let windows = rows(expected.len(), 64);
    file.network(&[64]).unwrap().run(&windows, &mut out);
    assert_close("autoencoder", &out, &expected.concat());
}

/// The bidirectional one is what fails with a batch left open; see the buckets of `stats::network`.
#[test]
fn many_rows_are_answered_as_one_by_one() {
    for name in ["gru", "bilstm"] {
        let model = load(name, &manifest(name)).unwrap();
        for count in [1, 2, 9, 16, 40, 70] {
            let length = model.network.row_len();
            let windows = rows(count, length);
            let mut together = Vec::new();
            model.run(&windows, &mut together);
            let mut alone = Vec::new();
            for window in windows.chunks_exact(length) {
                model.run(window, &mut alone);
            }
            assert_close(name, &together, &alone);
        }
    }
}

#[test]
fn what_is_wrong_with_one_row_does_not_reach_the_others() {
    let model = load("gru", &manifest("gru")).unwrap();
    let length = model.network.row_len();
    let mut windows = rows(20, length);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    model.run(&windows, &mut before);
    windows[3 * length..4 * length].fill(f32::NAN);
    model.run(&windows, &mut after);
    for row in (0..20).filter(|&row| row != 3) {
        assert_eq!(
            before[row * 9..(row + 1) * 9],
            after[row * 9..(row + 1) * 9],
            "{row}"
        );
    }
    assert_ne!(before[27..36], after[27..36]);
}

#[test]
fn what_a_head_answers_is_found_by_its_horizon() {
    let model = load("bilstm", &manifest("bilstm")).unwrap();
    assert_eq!(model.answers(), 16);
    assert_eq!(model.horizons().count(), 15);
    assert_eq!(model.column(Span::minutes(1)), Some(0));
    assert_eq!(model.column(Span::minutes(15)), Some(5));
    assert_eq!(model.column(Span::days(1)), Some(14));
    assert_eq!(model.column(Span::minutes(7)), None);
    let mut answer = vec![0.0; 16];
    assert!(!model.is_sure(&answer));
    answer[15] = 0.1;
    assert!(model.is_sure(&answer));
    answer[15] = f32::NAN;
    assert!(!model.is_sure(&answer));
    let quantiles = load("gru", &manifest("gru")).unwrap();
    assert_eq!(quantiles.column(Span::minutes(15)), Some(1), "the median");
    assert_eq!(quantiles.column(Span::days(1)), Some(7));
}

#[test]
fn from_a_series_to_a_forecast_as_the_script_does_it() {
    #[derive(serde::Deserialize)]
    struct Series {
        values: Vec<Option<f32>>,
        end: i64,
        forecast: f32,
    }
    let all: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&fixture("answers.json")).unwrap();
    let series: Series = serde_json::from_value(all["series"].clone()).unwrap();
    let values: Vec<f32> = series
        .values
        .iter()
        .map(|value| value.unwrap_or(f32::NAN))
        .collect();
    let manifest = manifest("lstm");
    let model = load("lstm", &manifest).unwrap();
    let view = View {
        end: series.end,
        grid: manifest.grid().unwrap(),
        values: &values,
        inputs: &[],
    };
    let (mut windows, mut out) = (Vec::new(), Vec::new());
    let scale = model
        .ask(&view, &mut LocalTime::default(), &mut windows)
        .unwrap();
    model.run(&windows, &mut out);
    let got = scale.shift + scale.factor * out[0];
    assert!(
        (got - series.forecast).abs() < 1e-3,
        "{got} {}",
        series.forecast
    );
}

#[test]
fn a_manifest_that_does_not_fit_its_file_is_refused_with_the_key() {
    let change = |name: &str, change: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifest(name);
        change(&mut manifest);
        load(name, &manifest).unwrap_err()
    };
    type Change = &'static dyn Fn(&mut Manifest);
    let cases: [(&str, Change, &str); 12] = [
        (
            "gru",
            &|m| m.window = 48,
            "takes (N, 60, 4), but the manifest has window 48",
        ),
        (
            "gru",
            &|m| drop(m.features.pop()),
            "and 3 features; correct window or features",
        ),
        (
            "gru",
            &|m| m.outputs.heads[0].name = "x".into(),
            "there is no output \"x\"; outputs of the file: forecast",
        ),
        (
            "gru",
            &|m| m.outputs.heads[0].horizons.truncate(2),
            "answers 9 values, but the manifest has 2 horizons by 3",
        ),
        (
            "gru",
            &|m| m.outputs.heads[0].quantiles = None,
            "by 1 quantiles",
        ),
        (
            "bilstm",
            &|m| m.outputs.confidence.as_mut().unwrap().name = "long".into(),
            "long must answer one value",
        ),
        (
            "gru",
            &|m| m.sha256 = "0".repeat(64),
            "not the one of the manifest: its SHA-256 is",
        ),
        (
            "gru",
            &|m| m.features[1] = "speed".into(),
            "features[1]: unknown feature \"speed\"",
        ),
        (
            "gru",
            &|m| m.step = Span::seconds(7),
            "15m is not a whole number of steps of 7s",
        ),
        (
            "lstm",
            &|m| m.batch = Rows::Fixed(0),
            "batch.fixed: 0 is not within 1 to 1024",
        ),
        (
            "gru",
            &|m| m.batch = Rows::Fixed(1_000_000_000_000),
            "batch.fixed: 1000000000000 is not within 1 to 1024",
        ),
        (
            "gru",
            &|m| {
                m.window = 10_000;
                m.features = (0..200).map(|number| format!("input:x{number}")).collect();
                m.batch = Rows::Fixed(1_000);
            },
            "values of one call; at most 16777216",
        ),
    ];
    for (name, with, part) in cases {
        let problem = change(name, with);
        assert!(problem.contains(part), "{part}: {problem}");
    }
    // The file says one row.
    let problem = change("lstm", &|m| m.batch = Rows::Fixed(4));
    let part = "takes one window at a time, but batch in the manifest says 4 windows; write {\"fixed\": 1}";
    assert!(problem.contains(part), "{problem}");
}

#[test]
fn a_manifest_that_cannot_be_is_refused_whole() {
    let mut wrong = manifest("gru");
    wrong.name = "../up".into();
    wrong.version = String::new();
    wrong.parent = Some(".hidden".into());
    wrong.created = "yesterday".into();
    wrong.window = 1;
    wrong.sha256 = "abc".into();
    wrong.outputs.heads[0].quantiles = Some(vec![0.9, 0.1]);
    wrong.outputs.heads[0].horizons.push(Span::minutes(15));
    wrong.scaling = Scaling::Window { floor: 2.0 };
    wrong.scores.insert("mase".into(), f64::NAN);
    let problems = wrong.problems();
    for key in [
        "name:",
        "version:",
        "parent:",
        "created:",
        "window:",
        "sha256:",
        "outputs.heads[0].quantiles:",
        "outputs.heads[0].horizons: 15m is there twice",
        "scaling.window.floor:",
        "scores.mase:",
    ] {
        assert!(
            problems.iter().any(|text| text.starts_with(key)),
            "{key}: {problems:#?}"
        );
    }
    assert!(manifest("gru").problems().is_empty());
    let text = String::from_utf8(fixture("gru.json")).unwrap();
    for (from, to, part) in [
        (
            "\"format\": 1",
            "\"format\": 2",
            "format: 2 is not known; this program reads 1",
        ),
        ("\"step\"", "\"steps\"", "unknown field `steps`"),
        (
            "\"window\": 60",
            "\"window\": \"x\"",
            "window: invalid type",
        ),
        ("}\n", "} x", "trailing"),
    ] {
        let at = text.rfind(from).unwrap();
        let (before, rest) = text.split_at(at);
        let changed = format!("{before}{}", rest.replacen(from, to, 1));
        let problems = Manifest::read(changed.as_bytes()).unwrap_err().join("; ");
        assert!(problems.contains(part), "{part}: {problems}");
    }
}

fn key() -> (Vec<u8>, PublicKey) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(pair.public_key());
    (pkcs8.as_ref().to_vec(), PublicKey::read(&text).unwrap())
}

#[test]
fn only_what_a_trusted_key_signed_is_trusted() {
    let ((private, public), (_, other)) = (key(), key());
    let model = fixture("gru.onnx");
    let signed = seal::sign(&manifest("gru"), &private).unwrap();
    let trust = |keys: &[&PublicKey]| Trust {
        required: true,
        keys: keys.iter().map(|&key| key.clone()).collect(),
    };
    let loaded = Model::load(&model, &signed, &trust(&[&other, &public])).unwrap();
    assert_eq!(loaded.signature(), &Signature::By(public.clone()));
    let refused = |model: &[u8], manifest: &[u8], trust: &Trust| {
        Model::load(model, manifest, trust).unwrap_err()
    };
    let problem = refused(&model, &signed, &trust(&[&other]));
    assert!(
        problem.contains("by none of models.trusted_keys"),
        "{problem}"
    );
    assert!(refused(&model, &signed, &trust(&[])).contains("no key is trusted"));
    let unsigned = manifest("gru").to_json().unwrap();
    assert!(refused(&model, &unsigned, &trust(&[&public])).contains("is not signed"));
    // Any change of the manifest, and of the file, breaks it.
    let text = String::from_utf8(signed.clone()).unwrap();
    let looser = text.replace("\"floor\": 0.0", "\"floor\": 0.5");
    assert_ne!(looser, text);
    assert!(
        refused(&model, looser.as_bytes(), &trust(&[&public]))
            .contains("changed after it was signed")
    );
    let mut swapped = model.clone();
    *swapped.last_mut().unwrap() ^= 1;
    assert!(refused(&swapped, &signed, &trust(&[&public])).contains("SHA-256"));
    assert!(refused(&model[..model.len() / 2], &signed, &trust(&[&public])).contains("SHA-256"));
    // Where nothing is required a foreign signature is still not that of a key that is named.
    let named = Trust {
        required: false,
        keys: vec![other],
    };
    assert!(refused(&model, &signed, &named).contains("by none of"));
    let nobody = Model::load(&model, &signed, &Trust::default()).unwrap();
    assert_eq!(nobody.signature(), &Signature::Unknown);
    let plain = Model::load(&model, &unsigned, &Trust::default()).unwrap();
    assert_eq!(plain.signature(), &Signature::None);
}

#[test]
fn a_signature_is_where_it_was_put() {
    let (private, public) = key();
    let trust = Trust {
        required: true,
        keys: vec![public],
    };
    let signed = seal::sign(&manifest("gru"), &private).unwrap();
    let found = Manifest::read(&signed).unwrap();
    assert!(trust.check(&signed, &found).is_ok());
    let signature = found.signature.clone().unwrap();
    // Twice in the file, it is not clear what was signed.
    let text = String::from_utf8(signed).unwrap();
    let twice = text.replace("\"name\": \"gru\"", &format!("\"name\": \"{signature}\""));
    assert!(
        trust
            .check(twice.as_bytes(), &found)
            .unwrap_err()
            .contains("once as plain text")
    );
    for broken in ["x", "AAAA"] {
        let mut manifest = found.clone();
        manifest.signature = Some(broken.into());
        let bytes = manifest.to_json().unwrap();
        assert!(
            trust
                .check(&bytes, &manifest)
                .unwrap_err()
                .contains("Base64 of 64 bytes")
        );
    }
    assert!(
        seal::sign(&found, b"no key")
            .unwrap_err()
            .contains("PKCS#8")
    );
    assert!(
        PublicKey::read("c2hvcnQ=")
            .unwrap_err()
            .contains("32 bytes")
    );
}

/// RFC 8032, section 7.1, test 3; FIPS 180-2, appendix B.1.
#[test]
fn the_algorithms_are_the_standard_ones() {
    let bytes = |hex: &str| -> Vec<u8> {
        let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap();
        (0..hex.len()).step_by(2).map(pair).collect()
    };
    let public = bytes("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    let signature = bytes(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    );
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
    assert!(key.verify(&[0xaf, 0x82], &signature).is_ok());
    assert_eq!(
        seal::sha256(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_file_that_answers_nonsense_is_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/autoencoder/");
    let files: ModelFiles = ["nan.onnx", "half.onnx"]
        .into_iter()
        .map(|name| {
            (
                name.into(),
                std::fs::read(format!("{folder}{name}")).unwrap().into(),
            )
        })
        .collect();
    let mut wanted = manifest("gru");
    wanted.features.truncate(1);
    wanted.window = 16;
    wanted.outputs.heads[0].quantiles = None;
    for (name, horizons, part) in [
        ("nan.onnx", 16, "not finite"),
        ("half.onnx", 9, "answers 8 values"),
    ] {
        let model = &files[std::path::Path::new(name)];
        let output = NetworkFile::read(model).unwrap().outputs()[0].to_owned();
        wanted.outputs.heads[0].name = output;
        wanted.outputs.heads[0].horizons = (1..=horizons).map(Span::minutes).collect();
        wanted.sha256 = seal::sha256(model);
        let problem =
            Model::load(model, &wanted.to_json().unwrap(), &Trust::default()).unwrap_err();
        assert!(problem.contains(part), "{name}: {problem}");
    }
}
