//! What `forethought manifests` writes, judged by those who will read it, and what `forethought lint` says of manifests.

use crate::support::{
    certificates::Authority,
    guard::{output, run},
    program::{BINARY, command},
    read, root,
    servers::{node, python},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::{TempDir, tempdir};

const CONFIGURATION: &str = r#"
sources: [{name: main, prometheus: {url: "http://localhost:9090"}}]
signals:
  - {name: requests, query: "sum by (app) (demand)"}
workloads:
  - name: checkout
    demand: {signal: requests, match: {app: checkout}}
    capacity_per_replica: 10
    limits: {min: 2, max: 50}
  - name: whole
    demand: {signal: requests, query: sum(demand), complete: {query: 'avg(up{app="whole"})', min: 0.5}}
    capacity_per_replica: 10
    limits: {min: 2, max: 50}
  - name: Search API
    demand: {signal: requests, match: {app: search}}
    capacity_per_replica: {learned: {utilisation: "avg(cpu)"}}
    limits: {min: 0, max: 50}
"#;

fn configured() -> (TempDir, String) {
    let folder = tempdir().unwrap();
    let file = folder.path().join("forethought.yml");
    fs::write(&file, CONFIGURATION).unwrap();
    let flag = format!("--config.file={}", file.display());
    (folder, flag)
}

fn written(arguments: &[&str]) -> String {
    let (code, out, error) = command(&[&["manifests"], arguments].concat());
    assert_eq!(code, 0, "{arguments:?}: {error}");
    out
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents
        .map(|one| Value::deserialize(one).unwrap())
        .collect()
}

#[test]
fn the_rules_stand_whatever_fails() {
    let (folder, flag) = configured();
    let rules = written(&[
        "checkout",
        &flag,
        "--up=up{app=\"checkout\"}",
        "--rules-only",
    ]);
    let file = folder.path().join("rules.yml");
    fs::write(&file, rules).unwrap();
    let name = |file: &Path| file.display().to_string();
    run("promtool", &["check", "rules", &name(&file)], None).unwrap();
    let cases = read(root().join("tests/fixtures/manifests/rules_test.yml"));
    let test = folder.path().join("rules_test.yml");
    fs::write(&test, &cases).unwrap();
    run("promtool", &["test", "rules", &name(&test)], None).unwrap();
    // The same cases find the rule that anybody would write first.
    let naive = "groups: [{name: naive, rules: [{record: 'workload:demand:scale', expr: 'max by (workload) (label_replace(sum(demand), \"workload\", \"checkout\", \"\", \"\") or predicted_demand)'}]}]";
    fs::write(&file, naive).unwrap();
    let failed = run("promtool", &["test", "rules", &name(&test)], None).unwrap_err();
    assert!(failed.contains("FAILED"), "{failed}");
}

#[test]
fn what_decisions_go_by_the_rules_go_by() {
    let (_folder, flag) = configured();
    let rules = written(&["whole", &flag, "--rules-only"]);
    let rules = &documents(&rules)[0]["groups"][0]["rules"];
    let reactive = rules[0]["expr"].as_str().unwrap();
    assert!(
        reactive.contains("avg(up{app=\"whole\"})") && reactive.contains(">= 0.5"),
        "{reactive}"
    );
}

#[test]
fn what_a_cluster_needs_once_fits_the_schemas_and_holds_no_secret() {
    let (folder, flag) = configured();
    let authority = Authority::new();
    let file = authority.file("ca.pem");
    let ca = format!("--external.ca-file={}", file.display());
    let text = written(&[
        "checkout",
        &flag,
        "--way=external-metrics",
        "--external.service=here/oracle:443",
        "--external.service-account=prophet",
        &ca,
    ]);
    let all = documents(&text);
    assert_eq!(all.len(), 7, "{text}");
    // The first is of Prometheus' operator.
    for (place, object) in all.iter().enumerate().skip(1) {
        let file = folder.path().join(format!("{place}.yml"));
        fs::write(&file, serde_yaml::to_string(object).unwrap()).unwrap();
        let arguments = ["--strict", "-k", "1.37", &file.display().to_string()];
        run(&python("kubernetes-validate"), &arguments, None).unwrap();
    }
    let service = &all[2]["spec"];
    assert_eq!(
        service["service"],
        json!({"namespace": "here", "name": "oracle", "port": 443})
    );
    let bundle = STANDARD
        .decode(service["caBundle"].as_str().unwrap())
        .unwrap();
    assert_eq!(bundle, fs::read(&file).unwrap());
    let own = json!([{"kind": "ServiceAccount", "name": "prophet", "namespace": "here"}]);
    assert_eq!(all[3]["subjects"], own);

    let both = folder.path().join("both.pem");
    let [_, key] = authority.client("oracle");
    fs::write(
        &both,
        [fs::read(&file).unwrap(), fs::read(key).unwrap()].concat(),
    )
    .unwrap();
    let (nothing, with_key) = (folder.path().join("nothing.pem"), both.display());
    fs::write(&nothing, "").unwrap();
    for (workload, more, part) in [
        (
            "checkout",
            format!("--external.ca-file={with_key}"),
            "private key",
        ),
        (
            "checkout",
            format!("--external.ca-file={}", nothing.display()),
            "no certificate",
        ),
        (
            "checkout",
            "--external.ca-file=nowhere.pem".to_owned(),
            "nowhere.pem",
        ),
        (
            "Search API",
            "--name=search".to_owned(),
            "an HPA selects it by its name",
        ),
    ] {
        let (code, _, error) = command(&[
            "manifests",
            workload,
            &flag,
            "--way=external-metrics",
            &more,
        ]);
        assert_eq!(code, 2, "{more}: {error}");
        assert!(error.contains(part), "{more}: {error}");
    }
}

#[test]
fn every_way_fits_the_schemas_of_those_who_read_it() {
    let (folder, flag) = configured();
    let mut ours = Vec::new();
    for way in [
        "prometheus",
        "two-triggers",
        "metrics-api",
        "grpc",
        "adapter",
        "external-metrics",
    ] {
        let way = format!("--way={way}");
        let text = written(&[
            "checkout",
            &flag,
            "--up=up{app=\"checkout\"}",
            "--fallback=10",
            &way,
            "--target=StatefulSet/shop",
            "--namespace=shop",
        ]);
        let all = documents(&text);
        assert_eq!(all.len(), 2, "{text}");
        assert!(all.iter().all(|one| one["metadata"]["namespace"] == "shop"));
        assert_eq!(all[1]["spec"]["scaleTargetRef"]["kind"], "StatefulSet");
        if ["--way=adapter", "--way=external-metrics"].contains(&way.as_str()) {
            let file = folder.path().join("hpa.yml");
            fs::write(&file, serde_yaml::to_string(&all[1]).unwrap()).unwrap();
            let arguments = ["--strict", "-k", "1.37", &file.display().to_string()];
            run(&python("kubernetes-validate"), &arguments, None).unwrap();
        } else {
            ours.push(all[1].clone());
        }
        ours.push(all[0].clone());
    }
    // What is wrong is found.
    let mut wrong = ours[0].clone();
    wrong["spec"]["fallback"]["replicas"] = "some".into();
    for (objects, problem) in [
        (Value::from(ours), ""),
        (Value::from(vec![wrong]), "replicas must be integer"),
    ] {
        let judge = output(
            "node",
            &["tests/fixtures/manifests/validate.mjs", &node()],
            Some(&objects.to_string()),
        );
        let said = String::from_utf8_lossy(&judge.stdout).into_owned();
        assert!(
            judge.status.success(),
            "{}",
            String::from_utf8_lossy(&judge.stderr)
        );
        match problem.is_empty() {
            true => assert_eq!(said, ""),
            false => assert!(said.contains(problem), "{said}"),
        }
    }
}

#[test]
fn what_is_written_is_clean_and_what_is_planted_is_found() {
    let (folder, flag) = configured();
    let text = written(&[
        "Search API",
        &flag,
        "--way=grpc",
        "--name=search",
        "--fallback=10",
    ]);
    let clean = folder.path().join("clean");
    fs::create_dir(&clean).unwrap();
    fs::write(clean.join("search.yaml"), &text).unwrap();
    fs::write(clean.join("notes.txt"), "minReplicaCount: [").unwrap();
    let place = clean.display().to_string();
    let (code, out, error) = command(&["lint", &place, "--strict"]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(
        out.contains("1 ScaledObjects and HPAs: 0 errors, 0 warnings"),
        "{out}"
    );
    let planted = text.replace(
        "failureThreshold: 3\n    replicas: 10",
        "failureThreshold: 3\n    replicas: 0",
    );
    assert_ne!(planted, text);
    let piped = output(BINARY, &["lint", "-", "--output=json"], Some(&planted));
    assert_eq!(piped.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!(found["findings"][0]["code"], "fallback-to-zero", "{found}");
    let broken = output(BINARY, &["lint", "-"], Some("a: ["));
    assert_eq!(broken.status.code(), Some(2));
}

#[test]
fn every_hazard_has_its_line_in_the_documents() {
    let document = read(root().join("docs/serving.md"));
    let mut codes = 0;
    let pattern = regex::Regex::new(r#"report\s*\.(?:error|warning)\(\s*"([a-z-]+)""#).unwrap();
    for file in ["scaled_object", "hpa"] {
        let text = read(root().join(format!("src/manifests/lint/{file}.rs")));
        for found in pattern.captures_iter(&text) {
            codes += 1;
            assert!(
                document.contains(&format!("| `{}` |", &found[1])),
                "docs/serving.md lacks {}",
                &found[1]
            );
        }
    }
    assert!(codes > 12, "{codes}");
}

#[test]
fn what_cannot_be_written_says_what_to_change() {
    let (_folder, flag) = configured();
    for (arguments, code, part) in [
        (
            vec!["chekout"],
            2,
            "there is no workload called \"chekout\" (did you mean checkout?); there are: ",
        ),
        (vec!["checkout"], 2, "--up: write a selector"),
        (vec!["checkout", "--up=up{", "--fallback=9"], 2, "--up: "),
        (vec!["Search API", "--up=up"], 2, "learned.otherwise"),
        (
            vec!["checkout", "--target=checkout"],
            2,
            "Deployment/checkout",
        ),
        (vec!["checkout", "--way=magic"], 2, "two-triggers"),
        (vec!["checkout", "--up=up"], 2, "--fallback: write a size"),
        (
            vec!["checkout", "--up=up", "--hold=30s", "--fallback=9"],
            2,
            "--hold",
        ),
        (vec!["checkout", "--up=up", "--fallback=0"], 2, "--fallback"),
        (
            vec!["Search API", "--way=grpc", "--fallback=9"],
            2,
            "--name",
        ),
    ] {
        let (found, out, error) = command(&[&["manifests", &flag], arguments.as_slice()].concat());
        assert_eq!(found, code, "{arguments:?}: {out}{error}");
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}
