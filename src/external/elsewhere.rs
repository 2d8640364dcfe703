//! What stands for the API server in a program that was built without `kube`: there is none.

use super::{
    access::{Question, Review, Verdict},
    front::Trust,
    settings::Kubernetes,
};
use std::{convert::Infallible, pin::Pin};

/// The API server of Kubernetes, which this program cannot ask.
#[derive(Debug, Clone)]
pub struct Cluster(Infallible);

impl Cluster {
    /// Finds none.
    ///
    /// # Errors
    /// Always.
    pub async fn find(_: &Kubernetes) -> Result<Self, String> {
        Err(
            "this program was built without kube, the feature that asks the API server: write request_header and \
             authorization: {subject_access_review: false}"
                .to_owned(),
        )
    }

    /// The front proxy, as the cluster has it.
    ///
    /// # Errors
    /// There is no such value.
    pub async fn front_proxy(&self) -> Result<Trust, String> {
        match self.0 {}
    }
}

impl Review for Cluster {
    fn review<'q>(
        &'q self,
        _: &'q Question,
    ) -> Pin<Box<dyn Future<Output = Result<Verdict, String>> + Send + 'q>> {
        match self.0 {}
    }
}
