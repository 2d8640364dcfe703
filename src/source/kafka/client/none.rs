//! In the place of the client, in a program that was built without Kafka: settings that name it are refused, so nobody gets here.

use super::{super::Cluster, Compression, Fetched, Pair};
use crate::source::{Cause, SourceError};
use std::{convert::Infallible, time::Duration};

/// There is none.
pub(crate) struct Client(Infallible);

/// There is none.
pub(crate) struct Partition(Infallible);

impl Client {
    pub(crate) fn check(_: &Cluster) -> Result<(), String> {
        Err(refused().message)
    }

    pub(crate) async fn connect(_: &Cluster) -> Result<Self, SourceError> {
        Err(refused())
    }

    pub(crate) async fn partitions(&self, _: &str) -> Result<Vec<i32>, SourceError> {
        match self.0 {}
    }

    pub(crate) async fn partition(&self, _: &str, _: i32) -> Result<Partition, SourceError> {
        match self.0 {}
    }
}

impl Partition {
    pub(crate) async fn earliest(&self) -> Result<i64, SourceError> {
        match self.0 {}
    }

    pub(crate) async fn latest(&self) -> Result<i64, SourceError> {
        match self.0 {}
    }

    pub(crate) async fn since(&self, _: i64) -> Result<Option<i64>, SourceError> {
        match self.0 {}
    }

    pub(in super::super) async fn fetch(
        &self,
        _: i64,
        _: Duration,
    ) -> Result<Fetched, SourceError> {
        match self.0 {}
    }

    pub(crate) async fn produce(
        &self,
        _: Vec<Pair>,
        _: (i64, Compression),
    ) -> Result<(), SourceError> {
        match self.0 {}
    }
}

fn refused() -> SourceError {
    let message = super::super::refusal(false).unwrap_or_default().to_owned();
    let cause = Cause::Query;
    SourceError { cause, message }
}
