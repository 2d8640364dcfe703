//! Remote write as senders do it, and as receivers see it.

use super::{
    http::{self, Reply},
    server::Asked,
};
use forethought::expo::wire::{
    Packer, Unpacker,
    write::{Item, Limits, Outgoing, Point, Reader, Version, Writer},
};
use std::collections::BTreeMap;

/// Where the only source that is pushed to is pushed to.
pub(crate) const PATH: &str = "/api/v1/write";

/// The labels of a series, its name among them.
pub(crate) type Labels = BTreeMap<String, String>;

/// One sample.
pub(crate) fn point(at: i64, value: f64) -> Vec<Point> {
    vec![Point { at, value }]
}

/// A request of version 1.0: series of `load` of the job `test`, by pod.
pub(crate) fn packed(samples: &[(impl AsRef<str>, Vec<Point>)]) -> Vec<u8> {
    let mut writer = Writer::new(Version::V1);
    for (pod, points) in samples {
        writer.push(&Outgoing {
            name: "load",
            labels: &[("job", "test"), ("pod", pod.as_ref())],
            samples: points,
            metadata: None,
            created: None,
        });
    }
    let mut body = Vec::new();
    writer.append_to(&mut body);
    Packer::new().pack(&body).unwrap().to_vec()
}

/// Pushes samples of these pods; the answer's status.
pub(crate) fn push(address: &str, path: &str, samples: &[(impl AsRef<str>, Vec<Point>)]) -> u16 {
    send(address, path, &[], &packed(samples))
}

/// Sends a body; the answer's status.
pub(crate) fn send(address: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> u16 {
    deliver(address, path, more, body).unwrap().status
}

/// Sends a body to whoever may not be there.
pub(crate) fn deliver(
    address: &str,
    path: &str,
    more: &[(&str, &str)],
    body: &[u8],
) -> Result<Reply, String> {
    let mut headers = vec![("Content-Encoding", "snappy")];
    if !more.iter().any(|(name, _)| *name == "Content-Type") {
        headers.push(("Content-Type", Version::V1.content_type()));
    }
    headers.extend(more);
    http::request("POST", address, path, &headers, body)
}

/// The samples of a request of version 1.0, in their order.
pub(crate) fn samples(asked: &Asked) -> Vec<(Labels, Point)> {
    let mut unpacker = Unpacker::new();
    let body = unpacker.unpack(&asked.bytes, 32 << 20).unwrap();
    let mut reader = Reader::new(body, Version::V1, Limits::default());
    let mut found = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        let Item::Series(series) = item else {
            panic!("{item:?}");
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut labels: Labels = series.labels.iter().map(owned).collect();
        labels.insert("__name__".to_owned(), series.name.to_owned());
        let points = series.samples.iter();
        found.extend(points.map(|point| (labels.clone(), *point)));
    }
    found
}
