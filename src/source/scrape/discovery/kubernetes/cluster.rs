//! Asking the API server, again and again: what it says comes from its memory, and costs it little.

use super::{
    super::{Group, Publisher},
    KubernetesSdSettings, Role,
    endpoints::Behind,
    node, pod, service,
};
use crate::source::kubernetes::{PATIENCE, chain, client};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Endpoints, Node, Pod, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Tells the targets of a cluster, for ever. Where it cannot be asked, those of its last answer stay.
pub(super) async fn run(settings: &KubernetesSdSettings, publisher: &Publisher) {
    let (mut cluster, mut known) = (None, None);
    loop {
        match look(settings, &mut cluster).await {
            Ok(groups) if known.as_ref() == Some(&groups) => {}
            Ok(groups) => {
                publisher.tell(groups.clone()).await;
                known = Some(groups);
            }
            Err(problem) => publisher.failed(&problem),
        }
        tokio::time::sleep(settings.refresh_interval.to_std()).await;
    }
}

async fn look(
    settings: &KubernetesSdSettings,
    known: &mut Option<Client>,
) -> Result<Vec<Group>, String> {
    let client = match known {
        Some(client) => client.clone(),
        None => {
            let file = settings.kubeconfig_file.as_deref();
            let found = client(file, "kubernetes_sd_configs.kubeconfig_file").await?;
            known.insert(found).clone()
        }
    };
    let cluster = Cluster { client, settings };
    let groups = tokio::time::timeout(PATIENCE, cluster.groups()).await;
    groups.unwrap_or_else(|_| Err(format!("kubernetes: no answer within {PATIENCE:?}")))
}

struct Cluster<'s> {
    client: Client,
    settings: &'s KubernetesSdSettings,
}

impl Cluster<'_> {
    async fn groups(&self) -> Result<Vec<Group>, String> {
        match self.settings.role {
            Role::Node => {
                let nodes = self
                    .pages(Api::<Node>::all(self.client.clone()), Role::Node)
                    .await?;
                Ok(nodes.iter().filter_map(node::group).collect())
            }
            Role::Pod => {
                let pods = self.list::<Pod>(Role::Pod).await?;
                Ok(pods.iter().filter_map(pod::group).collect())
            }
            Role::Service => {
                let services = self.list::<Service>(Role::Service).await?;
                Ok(services.iter().map(service::group).collect())
            }
            Role::Endpoints => {
                let behind = self.behind().await?;
                let all = self.list::<Endpoints>(Role::Endpoints).await?;
                Ok(all
                    .iter()
                    .map(|endpoints| behind.endpoints(endpoints))
                    .collect())
            }
            Role::EndpointSlice => {
                let behind = self.behind().await?;
                let all = self.list::<EndpointSlice>(Role::EndpointSlice).await?;
                Ok(all.iter().map(|slice| behind.slice(slice)).collect())
            }
        }
    }

    async fn behind(&self) -> Result<Behind, String> {
        let services = self.list::<Service>(Role::Service).await?;
        let pods = self.list::<Pod>(Role::Pod).await?;
        Ok(Behind::new(services, pods))
    }

    /// All objects of a kind in the namespaces that are wanted.
    async fn list<K>(&self, role: Role) -> Result<Vec<K>, String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let wanted = &self.settings.namespaces;
        let own = wanted
            .own_namespace
            .then(|| self.client.default_namespace().to_owned());
        let mut names: Vec<&String> = own.iter().chain(&wanted.names).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return self.pages(Api::all(self.client.clone()), role).await;
        }
        let mut all = Vec::new();
        for name in names {
            all.extend(
                self.pages(Api::namespaced(self.client.clone(), name), role)
                    .await?,
            );
        }
        Ok(all)
    }

    async fn pages<K>(&self, api: Api<K>, role: Role) -> Result<Vec<K>, String>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        let mut wanted = ListParams::default().match_any();
        let mut selectors = self.settings.selectors.iter();
        if let Some(selector) = selectors.find(|selector| selector.role == role) {
            wanted.label_selector.clone_from(&selector.label);
            wanted.field_selector.clone_from(&selector.field);
        }
        let mut all = Vec::new();
        loop {
            let page = api.list(&wanted).await;
            let page = page.map_err(|error| {
                format!(
                    "kubernetes: {} cannot be listed: {}",
                    role.as_str(),
                    chain(&error)
                )
            })?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                // Where it goes on says which version is meant.
                Some(next) => {
                    wanted = ListParams {
                        continue_token: Some(next),
                        resource_version: None,
                        version_match: None,
                        ..wanted
                    }
                }
                None => return Ok(all),
            }
        }
    }
}
