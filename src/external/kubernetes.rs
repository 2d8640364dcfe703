//! The API server of Kubernetes: may this user, and who is the front proxy?

use super::{
    access::{Question, Review, Verdict, Wish},
    front::Trust,
    settings::{Kubernetes, RequestHeader},
    wire::{GROUP, VERSION},
};
use crate::source::kubernetes::{PATIENCE, chain, client};
use k8s_openapi::api::{
    authorization::v1::{
        NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    },
    core::v1::ConfigMap,
};
use kube::{Api, Client, api::PostParams};
use std::{collections::BTreeMap, path::PathBuf, pin::Pin};

/// What every API server says of its front proxy, and where.
const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// The API server of Kubernetes.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// Finds it. Sends nothing.
    ///
    /// # Errors
    /// It cannot be found, or what is said of it does not fit.
    pub async fn find(settings: &Kubernetes) -> Result<Self, String> {
        let client = client(settings.kubeconfig.as_deref(), "kubernetes.kubeconfig").await?;
        Ok(Self { client })
    }

    /// The front proxy, as the cluster has it.
    ///
    /// # Errors
    /// The API server does not say, or what it says cannot be.
    pub async fn front_proxy(&self) -> Result<Trust, String> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let map = tokio::time::timeout(PATIENCE, maps.get(CONFIG_MAP)).await;
        let place = |problem: String| format!("ConfigMap {NAMESPACE}/{CONFIG_MAP}: {problem}");
        let map = map
            .map_err(|_| place(format!("no answer within {PATIENCE:?}")))?
            .map_err(|error| place(chain(&error)))?;
        trust(&map.data.unwrap_or_default()).map_err(place)
    }

    async fn ask(&self, question: &Question) -> Result<Verdict, String> {
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let (options, review) = (PostParams::default(), review_of(question));
        let answer = reviews.create(&options, &review).await;
        let answer = answer.map_err(|error| {
            format!(
                "the API server does not say whether {} may: {}",
                question.user,
                chain(&error)
            )
        })?;
        let status = answer.status.unwrap_or_default();
        let reason = status.reason.unwrap_or_default();
        match (
            status.allowed,
            status.denied.unwrap_or_default(),
            status.evaluation_error,
        ) {
            (true, false, _) => Ok(Verdict::Allowed),
            (_, _, Some(problem)) => Err(format!(
                "the API server does not know whether {} may: {problem}",
                question.user
            )),
            _ => Ok(Verdict::Denied(reason)),
        }
    }
}

impl Review for Cluster {
    fn review<'q>(
        &'q self,
        question: &'q Question,
    ) -> Pin<Box<dyn Future<Output = Result<Verdict, String>> + Send + 'q>> {
        Box::pin(self.ask(question))
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

fn review_of(question: &Question) -> SubjectAccessReview {
    let mut spec = SubjectAccessReviewSpec {
        user: Some(question.user.clone()),
        uid: question.uid.clone(),
        groups: Some(question.groups.clone()),
        extra: Some(question.extra.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    match &question.wish {
        Wish::Metric { namespace, metric } => {
            spec.resource_attributes = Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                version: Some(VERSION.to_owned()),
                namespace: Some(namespace.clone()),
                resource: Some(metric.clone()),
                // Of a GET without the name of an object, by the rules of Kubernetes.
                verb: Some("list".to_owned()),
                ..ResourceAttributes::default()
            });
        }
        Wish::Path(path) => {
            spec.non_resource_attributes = Some(NonResourceAttributes {
                path: Some(path.clone()),
                verb: Some("get".to_owned()),
            });
        }
    }
    SubjectAccessReview {
        spec,
        ..SubjectAccessReview::default()
    }
}

fn trust(data: &BTreeMap<String, String>) -> Result<Trust, String> {
    let list = |key: &str| -> Result<Vec<String>, String> {
        let text = data.get(key).map_or("[]", String::as_str);
        serde_json::from_str(text).map_err(|error| format!("{key}: {error}"))
    };
    let authority = data
        .get("requestheader-client-ca-file")
        .ok_or("requestheader-client-ca-file is missing: the API server has no front proxy")?;
    let header = RequestHeader {
        client_ca_file: PathBuf::new(),
        allowed_names: list("requestheader-allowed-names")?,
        username_headers: list("requestheader-username-headers")?,
        uid_headers: list("requestheader-uid-headers")?,
        group_headers: list("requestheader-group-headers")?,
        extra_header_prefixes: list("requestheader-extra-headers-prefix")?,
    };
    if header.username_headers.is_empty() {
        return Err("requestheader-username-headers is empty".to_owned());
    }
    let trust = Trust::new(authority.as_bytes(), &header);
    trust.map_err(|problem| format!("requestheader-client-ca-file: {problem}"))
}
