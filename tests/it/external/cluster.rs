//! What plays Kubernetes' API server: it knows the front proxy, and who may do what.

use crate::support::{
    front::AUTOSCALER,
    server::{Answer, Asked, Server},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// How it answers reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// The autoscaler may, and others may not.
    Fair,
    /// Nobody may.
    Strict,
    /// It does not answer.
    Hung,
    /// It answers that something went wrong.
    Broken,
    /// It says yes, and that it does not know.
    Unsure,
}

pub(super) struct Cluster {
    /// Refuses connections where it is told to.
    pub(super) server: Server,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    mood: Mood,
    authority: String,
    reviews: Vec<Value>,
}

impl Cluster {
    /// A cluster whose front proxy's authority is this one.
    pub(super) fn start(authority: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            mood: Mood::Fair,
            authority: authority.to_owned(),
            reviews: Vec::new(),
        }));
        let shared = Arc::clone(&seen);
        let server = Server::start(move |asked| answer(&shared, asked));
        Self { server, seen }
    }

    pub(super) fn is(&self, mood: Mood) {
        self.seen.lock().unwrap().mood = mood;
    }

    /// Another authority signs the front proxy's certificate from now on.
    pub(super) fn trusts(&self, authority: &str) {
        self.seen.lock().unwrap().authority = authority.to_owned();
    }

    /// What it was asked to review so far.
    pub(super) fn reviews(&self) -> Vec<Value> {
        self.seen.lock().unwrap().reviews.clone()
    }

    pub(super) fn kubeconfig(&self) -> String {
        let server = format!("http://{}", self.server.address());
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": server}}],
            "users": [{"name": "me", "user": {"token": "abc"}}],
        })
        .to_string()
    }
}

fn answer(seen: &Mutex<Seen>, asked: &Asked) -> Answer {
    if asked.header("authorization") != "Bearer abc" {
        return Answer::json(401, failure(401, "Unauthorized"));
    }
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication") => {
            Answer::json(200, config_map(&seen.lock().unwrap().authority).to_string())
        }
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews") => review(seen, &asked.body),
        _ => Answer::json(404, failure(404, "NotFound")),
    }
}

fn config_map(authority: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "requestheader-client-ca-file": authority,
            "requestheader-allowed-names": "[\"front-proxy-client\"]",
            "requestheader-username-headers": "[\"X-Remote-User\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
        },
    })
}

fn review(seen: &Mutex<Seen>, body: &str) -> Answer {
    let mut seen = seen.lock().unwrap();
    let mut review: Value = serde_json::from_str(body).unwrap();
    seen.reviews.push(review["spec"].clone());
    let mood = seen.mood;
    // Others must not wait for one that hangs.
    drop(seen);
    let is_autoscaler = review["spec"]["user"] == AUTOSCALER;
    review["status"] = match mood {
        Mood::Fair => json!({"allowed": is_autoscaler, "reason": "by the rules"}),
        Mood::Strict => json!({"allowed": false}),
        Mood::Hung => return Answer::Hang,
        Mood::Broken => return Answer::json(500, failure(500, "InternalError")),
        Mood::Unsure => json!({"allowed": false, "evaluationError": "a webhook is gone"}),
    };
    Answer::json(201, review.to_string())
}

fn failure(code: u16, reason: &str) -> String {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason})
        .to_string()
}
