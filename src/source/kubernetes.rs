//! The way to the API server of Kubernetes.

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{error::Error, path::Path, time::Duration};

/// Nothing that is asked of the API server takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the cluster of `kubeconfig`, which the key `key` names, or of the one we run in. Sends nothing.
///
/// # Errors
/// It cannot be found, or what is said of it does not fit.
pub(crate) async fn client(kubeconfig: Option<&Path>, key: &str) -> Result<Client, String> {
    let mut config = match kubeconfig {
        Some(file) => {
            let place = |error: &dyn Error| format!("{key}: {}", chain(error));
            let kubeconfig = Kubeconfig::read_from(file).map_err(|error| place(&error))?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options);
            config.await.map_err(|error| place(&error))?
        }
        None => Config::infer().await.map_err(|error| {
            format!("kubernetes: {}; in a pod the token of its service account must be mounted, elsewhere write {key}", chain(&error))
        })?,
    };
    // Whoever asks us has the patience to ask again; we have not.
    config.default_retry = false;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    config.write_timeout = Some(PATIENCE);
    let client = Client::try_from(config);
    client.map_err(|error| format!("kubernetes: {}", chain(&error)))
}

/// An error with its causes, each once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !texts.iter().any(|outer| outer.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    texts.join(": ")
}
