//! The API and the command line.

use super::*;
use crate::{
    live::metrics_of_alerts,
    support::{eventually, http, program::command},
};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

struct Setup {
    program: Program,
    folder: TempDir,
}

impl Setup {
    fn new(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("store: {{sqlite: {}/f.db}}", folder.path().display());
        fs::write(folder.path().join("f.yml"), configuration(&store)).unwrap();
        Self {
            program: program(&store, flags),
            folder,
        }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let path = format!("/api/v1/{path}");
        let reply = http::request(
            method,
            self.program.address(),
            &path,
            headers,
            body.as_bytes(),
        );
        let reply = reply.unwrap();
        let kind = reply.header("content-type").unwrap_or_default().to_owned();
        if reply.status >= 400 {
            assert_eq!(kind, "application/problem+json", "{}", reply.text());
        }
        let value = serde_json::from_str(&reply.text()).unwrap_or(Value::Null);
        if reply.status >= 400 {
            assert_eq!(value["status"], reply.status, "{value}");
            assert_eq!(value["type"], "about:blank");
            assert!(
                value["detail"].is_string() && value["title"].is_string(),
                "{value}"
            );
        }
        (reply.status, value)
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("Content-Type", "application/json")];
        self.ask("POST", path, &headers, &body.to_string())
    }

    fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, &[], "");
        assert_eq!(status, 200, "{value}");
        value
    }

    fn file(&self) -> String {
        format!("--config.file={}/f.yml", self.folder.path().display())
    }

    fn url(&self) -> String {
        format!("--url=http://{}", self.program.address())
    }
}

fn campaign(name: &str) -> Value {
    json!({
        "kind": "campaign", "name": name, "start": "2026-11-27T00:00:00Z", "end": "2026-11-28T00:00:00Z",
        "lead": "30m", "effect": {"multiplier": 3}, "workloads": ["checkout"], "author": "ada",
    })
}

#[test]
fn the_api_keeps_lists_and_removes() {
    let setup = Setup::new(&["--web.enable-admin-api"]);
    let (status, first) = setup.post("events", &campaign("first"));
    assert_eq!(status, 201, "{first}");
    assert_eq!(first["decay"], "0s");
    assert_eq!(first["effect"]["multiplier"], 3.0);
    let id = first["id"].as_str().unwrap().to_owned();
    assert_eq!(setup.get(&format!("events/{id}")), first);
    for name in ["second", "third"] {
        assert_eq!(setup.post("events", &campaign(name)).0, 201);
    }
    let page = setup.get("events?limit=2");
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    let next = page["next"].as_str().unwrap();
    let rest = setup.get(&format!("events?limit=2&cursor={next}"));
    assert_eq!(rest["events"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next"], Value::Null);
    let (status, _) = setup.ask("DELETE", &format!("events/{id}"), &[], "");
    assert_eq!(status, 204);
    let (status, problem) = setup.ask("DELETE", &format!("events/{id}"), &[], "");
    assert_eq!(status, 404, "{problem}");

    let pin =
        json!({"workload": "checkout", "order": {"pin": 5}, "reason": "move", "author": "ada"});
    let (status, set) = setup.post("overrides", &pin);
    assert_eq!((status, &set["order"]["pin"]), (201, &json!(5)), "{set}");
    assert_eq!(setup.get("overrides")["overrides"], json!([set]));
    let (status, cleared) = setup.ask("DELETE", "overrides?workload=checkout", &[], "");
    assert_eq!((status, cleared), (200, json!({"cleared": 1})));
    assert_eq!(setup.get("overrides")["overrides"], json!([]));
    assert_eq!(
        setup.get("scaling/decisions?workload=checkout")["decisions"],
        json!([])
    );
}

/// Method, path, headers, body; the status, and a part of what is said.
type Case<'c> = (
    &'c str,
    &'c str,
    &'c [(&'c str, &'c str)],
    &'c str,
    u16,
    &'c str,
);

#[test]
fn the_api_says_what_is_wrong_with_a_request() {
    let setup = Setup::new(&["--web.enable-admin-api"]);
    let json = ("Content-Type", "application/json");
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let (status, problem) = setup.ask(method, path, headers, body);
        (
            status,
            problem["detail"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let good = campaign("x").to_string();
    let long = format!("{{\"kind\":\"{}\"}}", "x".repeat(70_000));
    let cases: [Case<'_>; 13] = [
        ("POST", "events", &[], &good, 415, "application/json"),
        ("POST", "events", &[json], "{", 422, "body: "),
        ("POST", "events", &[json], &long, 413, "65536 bytes"),
        (
            "POST",
            "events",
            &[json],
            r#"{"knid":1}"#,
            422,
            "knid: unknown field",
        ),
        (
            "POST",
            "events?limit=3",
            &[json],
            &good,
            400,
            "known here: \"unknown_workload\"",
        ),
        (
            "POST",
            "events",
            &[json, ("Idempotency-Key", "a b")],
            &good,
            422,
            "Idempotency-Key: ",
        ),
        ("GET", "events?limit=1001", &[], "", 400, "from 1 to 1000"),
        ("GET", "events?cursor=x", &[], "", 400, "the cursor is none"),
        (
            "GET",
            "events?active=perhaps",
            &[],
            "",
            400,
            "true or false",
        ),
        (
            "GET",
            "scaling/decisions?since=yesterday",
            &[],
            "",
            400,
            "must be a time",
        ),
        (
            "GET",
            "events/unknown",
            &[],
            "",
            404,
            "there is no event \"unknown\"",
        ),
        (
            "DELETE",
            "overrides",
            &[],
            "",
            400,
            "\"workload\" is missing",
        ),
        ("DELETE", "overrides/unknown", &[], "", 404, "is in force"),
    ];
    for (method, path, headers, body, status, part) in cases {
        let (found, detail) = ask(method, path, headers, body);
        assert_eq!(found, status, "{method} {path}: {detail}");
        assert!(detail.contains(part), "{method} {path}: {detail}");
    }
    let wrong =
        json!({"workload": "", "order": {"max": 3}, "reason": "r", "author": "ada", "expires": 1});
    let (status, problem) = setup.post("overrides", &wrong);
    assert_eq!(status, 422);
    let fields: Vec<&str> = problem["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["workload", "expires"]);
    let (status, problem) = setup.ask("GET", "series", &[], "");
    assert_eq!(
        (status, &problem["error"]),
        (400, &problem["detail"]),
        "as it was before"
    );
}

#[test]
fn a_key_makes_a_request_be_carried_out_once() {
    let setup = Setup::new(&["--web.enable-admin-api"]);
    let body = campaign("once").to_string();
    let headers = [
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "k-1"),
    ];
    let (status, first) = setup.ask("POST", "events", &headers, &body);
    let again = setup.ask("POST", "events", &headers, &body);
    assert_eq!((status, again), (201, (201, first)));
    let other = campaign("another").to_string();
    let (status, problem) = setup.ask("POST", "events", &headers, &other);
    assert_eq!(status, 422, "{problem}");
    assert_eq!(setup.get("events")["events"].as_array().unwrap().len(), 1);
}

#[test]
fn without_the_flag_or_a_store_nothing_is_changed_and_it_is_said_why() {
    let setup = Setup::new(&[]);
    let (status, problem) = setup.post("events", &campaign("x"));
    assert_eq!(status, 403);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("--web.enable-admin-api"), "{detail}");
    assert_eq!(setup.get("events")["events"], json!([]));
    // The store is taken out of the configuration, and put in again, while the process runs.
    setup.program.rewrite(&configuration(""));
    setup.program.signal("HUP");
    eventually("the store is gone", 20, || {
        let reply = http::request(
            "GET",
            setup.program.address(),
            "/api/v1/overrides",
            &[],
            b"",
        )?;
        match reply.status {
            501 if reply.text().contains("store: {sqlite: forethought.db}") => Ok(()),
            _ => Err(reply.text()),
        }
    });
    assert_eq!(
        setup
            .program
            .metrics()
            .unwrap()
            .values("forethought_store_up", &[]),
        [0.0; 0]
    );
    let other = format!(
        "store: {{sqlite: {}/other.db}}",
        setup.folder.path().display()
    );
    setup.program.rewrite(&configuration(&other));
    setup.program.signal("HUP");
    eventually("the other store is there", 20, || {
        setup.program.json("/api/v1/events")?;
        match setup
            .program
            .metrics()?
            .value("forethought_store_up", &["database=\"sqlite\""])?
        {
            1.0 => Ok(()),
            other => Err(other.to_string()),
        }
    });
    let families = setup.program.metrics().unwrap();
    for used in metrics_of_alerts() {
        if used.starts_with("forethought_store_") {
            assert!(families.families().contains(&used.as_str()), "{used}");
        }
    }
}

#[test]
fn commands_do_the_same_on_the_file_and_through_the_process() {
    let setup = Setup::new(&["--web.enable-admin-api"]);
    let (file, url) = (setup.file(), setup.url());
    let add = |place: &str, name: &str| {
        let name = format!("--name={name}");
        let (code, id, complaint) = command(&[
            "events",
            "add",
            place,
            "--kind=game",
            &name,
            "--start=+1h",
            "--for=2h",
            "--load=500",
            "--workload=checkout",
            "--author=ada",
        ]);
        assert_eq!(code, 0, "{complaint}");
        id.trim().to_owned()
    };
    let ids = [add(&file, "by file"), add(&url, "by url")];
    for place in [&file, &url] {
        let (code, table, complaint) = command(&["events", "list", place]);
        assert_eq!(code, 0, "{complaint}");
        assert_eq!(table.lines().count(), 3, "{table}");
        for word in [
            "by file",
            "by url",
            "at least 500",
            "checkout",
            &ids[0],
            &ids[1],
        ] {
            assert!(table.contains(word), "{word} is not in {table}");
        }
        let (_, active, _) = command(&["events", "list", place, "--active", "--output=json"]);
        let active: Value = serde_json::from_str(&active).unwrap();
        assert_eq!(active["events"], json!([]), "they begin in an hour");
        let (code, out, _) = command(&["decisions", place, "--since=1h", "--output=json"]);
        assert_eq!((code, out.trim()), (0, "{\n  \"decisions\": []\n}"));
    }
    assert_eq!(command(&["events", "rm", &url, &ids[0]]).0, 0);
    assert_eq!(command(&["events", "rm", &file, &ids[1]]).0, 0);
    let (code, _, complaint) = command(&["events", "rm", &url, &ids[1]]);
    assert_eq!(code, 1);
    assert!(complaint.contains("there is no event"), "{complaint}");

    let set = |place: &str, order: &str| {
        let words = [
            "overrides",
            "set",
            "checkout",
            order,
            "--for=2h",
            "--reason=move",
            "--author=ada",
        ];
        let (code, id, complaint) = command(&[&words[..], &[place]].concat());
        assert_eq!(code, 0, "{complaint}");
        id.trim().to_owned()
    };
    let max = set(&url, "--max=20");
    set(&file, "--min=3");
    set(&url, "--min=4");
    let (_, table, _) = command(&["overrides", "list", &file]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(
        table.contains("min 4") && table.contains("max 20"),
        "{table}"
    );
    let (code, out, _) = command(&["overrides", "clear", &file, &format!("--id={max}")]);
    assert_eq!((code, out.as_str()), (0, "cleared 1 override\n"));
    let (code, out, _) = command(&["overrides", "clear", "checkout", &url]);
    assert_eq!((code, out.as_str()), (0, "cleared 1 override\n"));
}

#[test]
fn decisions_are_shown_newest_first_beyond_one_page() {
    let setup = Setup::new(&[]);
    let runtime = runtime();
    let records = store(
        &Settings::sqlite(setup.folder.path().join("f.db")),
        &Arc::default(),
    );
    runtime.block_on(kept(&records, async {
        records.append((0..1_500).map(|n| decision("checkout", NOW + n * 1_000)));
        records.append([decision("search", NOW)]);
        written(&records).await;
    }));
    for place in [setup.file(), setup.url()] {
        let (code, table, complaint) = command(&["decisions", &place, "--limit=2"]);
        assert_eq!(code, 0, "{complaint}");
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(lines[0].starts_with("TIME"), "{table}");
        for word in [
            "2026-11-18T11:31:39Z",
            "checkout",
            "guarded",
            "forecast",
            "open",
            "überall",
        ] {
            assert!(lines[1].contains(word), "{word}: {table}");
        }
        let all = ["--workload=checkout", "--limit=2000", "--output=json"];
        let (_, json, _) = command(&[&["decisions", place.as_str()][..], &all].concat());
        let json: Value = serde_json::from_str(&json).unwrap();
        let found = json["decisions"].as_array().unwrap();
        assert_eq!(found.len(), 1_500);
        let times: Vec<i64> = found
            .iter()
            .map(|one| one["at"].as_i64().unwrap())
            .collect();
        assert!(times.is_sorted_by(|one, next| one > next));
        let (_, none, _) = command(&["decisions", &place, "--since=2026-11-19", "--output=json"]);
        let none: Value = serde_json::from_str(&none).unwrap();
        assert_eq!(none["decisions"], json!([]));
    }
}

#[test]
fn commands_say_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.yml");
    fs::write(&file, configuration("")).unwrap();
    let file = format!("--config.file={}", file.display());
    let event = [
        "events",
        "add",
        "--kind=Big Sale",
        "--name=x",
        "--start=now",
        "--for=1h",
        "--author=a",
    ];
    let store = configuration("store: {sqlite: f.db}");
    let with = folder.path().join("with.yml");
    fs::write(&with, store).unwrap();
    let with = format!("--config.file={}", with.display());
    let nobody = "--url=http://127.0.0.1:1";
    let cases: [(Vec<&str>, i32, &str); 8] = [
        (vec!["events", "list"], 2, "--config.file"),
        (
            vec!["events", "list", &file],
            2,
            "has no store; add one to it",
        ),
        (
            vec!["overrides", "list", "--config.file=missing.yml"],
            2,
            "missing.yml",
        ),
        (
            [&event[..], &[&with]].concat(),
            2,
            "--kind: must be 1 to 64 lower-case letters",
        ),
        (
            vec!["overrides", "set", "x", &with, "--reason=r"],
            2,
            "--pin",
        ),
        (
            vec![
                "overrides",
                "set",
                "x",
                &with,
                "--pin=1",
                "--reason=r",
                "--until=later",
            ],
            2,
            "+2h",
        ),
        (vec!["events", "list", nobody], 1, "127.0.0.1:1"),
        (vec!["decisions", "--url=localhost:1"], 2, "--url: "),
    ];
    for (arguments, status, part) in cases {
        let (code, _, complaint) = command(&arguments);
        assert_eq!(code, status, "{arguments:?}: {complaint}");
        assert!(complaint.contains(part), "{arguments:?}: {complaint}");
    }
    for name in ["events", "overrides", "decisions"] {
        let (code, help, _) = command(&[name, "--help"]);
        assert!(code == 0 && help.contains("Examples:"), "{help}");
    }
}

#[test]
fn a_workload_that_the_configuration_does_not_have_is_refused_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let rest = "store: {sqlite: f.db}\nworkloads: [{name: checkout, demand: {signal: load}, capacity_per_replica: 10, limits: {max: 10}}]";
    fs::write(folder.path().join("f.yml"), configuration(rest)).unwrap();
    let file = format!("--config.file={}", folder.path().join("f.yml").display());
    let set = |name: &str, more: &[&str]| {
        let mut all = vec!["overrides", "set", name, &file, "--min=3"];
        all.extend(["--reason=r", "--author=ada"].iter().chain(more));
        command(&all)
    };
    let (code, _, told) = set("chekcout", &[]);
    assert_eq!(code, 2, "{told}");
    assert!(
        told.contains("no workload \"chekcout\"; did you mean \"checkout\"; --unknown-workload"),
        "{told}"
    );
    assert_eq!(set("checkout", &[]).0, 0);
    assert_eq!(set("soon", &["--unknown-workload"]).0, 0);
    let add = |name: &str| {
        let of = format!("--workload={name}");
        let all = ["events", "add", &file, "--kind=sale", "--name=x"];
        let rest = ["--start=+1h", "--for=1h", "--author=ada", &of];
        command(&[&all[..], &rest].concat())
    };
    let (code, _, told) = add("mail");
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("there are checkout"), "{told}");
    assert_eq!(add("checkout").0, 0);
}
