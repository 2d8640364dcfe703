//! Others who write at the same time, files that are too large, and a model that never answers.

use super::*;

#[test]
fn of_two_who_train_at_once_each_gets_a_number() {
    let (_folder, registry) = with(&["1"]);
    let taken: Vec<String> = std::thread::scope(|scope| {
        let adding = |_| {
            let registry = &registry;
            scope.spawn(move || {
                let manifest = |version: &str| manifest(version).to_json();
                let added = registry.add_next("load", 1, &network(), manifest);
                added.unwrap().version
            })
        };
        let running: Vec<_> = (0..4).map(adding).collect();
        let mut taken: Vec<String> = running.into_iter().map(|one| one.join().unwrap()).collect();
        taken.sort();
        taken
    });
    assert_eq!(taken, ["2", "3", "4", "5"]);
    let from = |least, version: &'static str| {
        let bytes = |_: &str| manifest(version).to_json();
        registry.add_next("load", least, &network(), bytes)
    };
    let problem = from(1, "9").unwrap_err();
    assert!(
        problem.contains("that of load/9, not of load/6"),
        "{problem}"
    );
    assert_eq!(from(9, "9").unwrap().version, "9");
    assert_eq!(all_verify(&registry).len(), 6);
}

#[test]
fn no_version_has_the_name_of_a_file_of_the_registry() {
    let (_folder, registry) = with(&["1"]);
    for version in [
        PIN_FILE,
        MODEL_FILE,
        MANIFEST_FILE,
        "Champion.JSON",
        ".lock",
    ] {
        for problem in [
            add(&registry, version).unwrap_err(),
            registry.promote("load", version).unwrap_err(),
            registry.verify("load", version).unwrap_err(),
            Pin::read(
                format!("{{\"format\": 1, \"version\": \"{version}\"}}").as_bytes(),
                Path::new("x"),
            )
            .unwrap_err(),
        ] {
            let refused =
                problem.contains("is not allowed") || problem.contains("there is no version");
            assert!(refused, "{version}: {problem}");
        }
    }
    assert_eq!(in_force(&registry), "1");
}

#[test]
fn what_is_too_large_is_not_read() {
    let (_folder, registry) = with(&["1", "2"]);
    let place = registry.directory.join("load");
    // Sparse: nobody writes so much, and whoever read it whole would need the memory.
    let enlarge = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(1 << 40).unwrap();
    };
    enlarge(&place.join("2").join(MODEL_FILE));
    assert!(
        registry
            .verify("load", "2")
            .unwrap_err()
            .contains("larger than 67108864 bytes")
    );
    enlarge(&place.join("2").join(MANIFEST_FILE));
    assert!(
        registry
            .manifest("load", "2")
            .unwrap_err()
            .contains("larger than 1048576 bytes")
    );
    assert!(
        registry
            .promote("load", "2")
            .unwrap_err()
            .contains("larger than")
    );
    assert_eq!(in_force(&registry), "1");
    enlarge(&place.join(PIN_FILE));
    for problem in [
        registry.pin("load").map(drop).unwrap_err(),
        registry.in_force("load").map(drop).unwrap_err(),
        registry.promote("load", "1").map(drop).unwrap_err(),
    ] {
        assert!(problem.contains("larger than 4096 bytes"), "{problem}");
    }
}

/// A network that goes on for minutes: two thousand products of matrices of a thousand rows, the weights stored once.
fn endless() -> Vec<u8> {
    use prost::Message;
    use tract_onnx::pb::{
        GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, tensor_proto::DataType,
    };
    const WIDTH: usize = 1_024;
    let template = ModelProto::decode(&network()[..]).unwrap();
    let graph = template.graph.unwrap();
    let (input, output) = (graph.input[0].clone(), graph.output[0].clone());
    let tensor = |name: &str, dims: &[usize], value: f32| TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|&extent| extent as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: value.to_le_bytes().repeat(dims.iter().product()),
        ..TensorProto::default()
    };
    let node = |kind: &str, inputs: [&str; 2], output: &str| NodeProto {
        op_type: kind.to_owned(),
        input: inputs.map(str::to_owned).to_vec(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let flat = TensorProto {
        name: "flat".to_owned(),
        dims: vec![3],
        data_type: DataType::Int64 as i32,
        raw_data: [-1_i64, 1, 16]
            .iter()
            .flat_map(|extent| extent.to_le_bytes())
            .collect(),
        ..TensorProto::default()
    };
    let weights = [
        flat,
        tensor("wide", &[16, WIDTH], 0.01),
        tensor("square", &[WIDTH, WIDTH], 0.001),
    ];
    // (N, 16) to (N, 1, WIDTH), and by a sum to (N, WIDTH, WIDTH): a square that depends on the window.
    let mut nodes = vec![
        node("Reshape", [&input.name, "flat"], "rows"),
        node("MatMul", ["rows", "wide"], "row"),
        node("Add", ["row", "square"], "x0"),
    ];
    for step in 0..2_000 {
        let (from, to) = (format!("x{step}"), format!("x{}", step + 1));
        nodes.push(node("MatMul", [&from, "square"], &to));
    }
    let last = NodeProto {
        op_type: "Identity".to_owned(),
        input: vec!["x2000".to_owned()],
        output: vec![output.name.clone()],
        ..NodeProto::default()
    };
    nodes.push(last);
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            name: "endless".to_owned(),
            node: nodes,
            initializer: weights.to_vec(),
            input: vec![input],
            output: vec![output],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
    .encode_to_vec()
}

#[test]
fn a_model_that_does_not_answer_is_refused_and_the_former_one_stays() {
    let (_folder, mut registry) = with(&["1", "2"]);
    registry.patience = Duration::from_secs(2);
    let (bytes, mut own) = (endless(), manifest("2"));
    own.sha256 = seal::sha256(&bytes);
    let place = registry.directory.join("load/2");
    fs::write(place.join(MODEL_FILE), &bytes).unwrap();
    fs::write(place.join(MANIFEST_FILE), own.to_json().unwrap()).unwrap();
    own.version = "3".to_owned();
    let manifest = own.to_json().unwrap();
    for problem in [
        registry.verify("load", "2").unwrap_err(),
        registry.promote("load", "2").unwrap_err(),
        registry.add(&bytes, &manifest).unwrap_err(),
    ] {
        assert!(problem.contains("did not answer within 2s"), "{problem}");
    }
    assert_eq!(in_force(&registry), "1");
    assert_eq!(registry.versions("load").unwrap(), ["1", "2"]);
}
