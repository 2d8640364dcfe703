//! From samples to records, and from records to requests.

use super::{book::Due, settings::Protocol};
use crate::{
    expo::wire::{
        Packer, Unpacker,
        write::{Item, Limits, Outgoing, Reader, Version, Writer},
    },
    series::Millis,
};
use bytes::Bytes;
use std::borrow::Cow;

/// A record is cut at so many bytes before it is packed: receivers bound their requests, most of them by 32 MiB.
const MOST_BYTES: usize = 1 << 20;
/// Of a record that we wrote, when unpacked.
const LONGEST: usize = 64 << 20;
/// Everything that we wrote is read again.
const NO_LIMITS: Limits = Limits {
    symbols: usize::MAX,
    labels: usize::MAX,
    name_bytes: usize::MAX,
    value_bytes: usize::MAX,
    samples: usize::MAX,
};

/// Samples as they wait: a request of version 1.0, packed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) packed: Bytes,
    pub(super) samples: usize,
    /// The time of the newest of them.
    pub(super) newest: Millis,
}

/// Records of these samples, by shard: each series in one of them, in the order given. At most `most` samples a record.
pub(super) fn records(due: &[Due], shards: usize, most: usize) -> Vec<Vec<Record>> {
    let mut packer = Packer::new();
    let mut shard = |index: usize| {
        let own = |due: &&Due| (due.key % shards as u128) as usize == index;
        let mut records = Vec::new();
        let mut writer = Writer::new(Version::V1);
        let mut newest = Millis::MIN;
        for due in due.iter().filter(own) {
            let labels = due.series.labels.pairs();
            let labels = with_external(&labels, &due.external);
            writer.push(&Outgoing {
                name: &due.series.name,
                labels: &labels,
                samples: &[due.point],
                metadata: None,
                created: None,
            });
            newest = newest.max(due.point.at);
            if writer.samples() >= most || writer.bytes() >= MOST_BYTES {
                records.extend(finish(&mut writer, &mut packer, newest));
                newest = Millis::MIN;
            }
        }
        records.extend(finish(&mut writer, &mut packer, newest));
        records
    };
    (0..shards).map(&mut shard).collect()
}

/// One request of these records, packed. What cannot be read again is left out; nothing where that is everything.
pub(super) fn request(records: &[Record], protocol: Protocol) -> Option<Bytes> {
    if let ([only], Protocol::V1) = (records, protocol) {
        return Some(only.packed.clone());
    }
    let (mut unpacker, mut packer) = (Unpacker::new(), Packer::new());
    let mut body = Vec::new();
    let mut writer = Writer::new(protocol.version());
    for record in records {
        let Ok(own) = unpacker.unpack(&record.packed, LONGEST) else {
            continue;
        };
        match protocol {
            Protocol::V1 => body.extend_from_slice(own),
            Protocol::V2 => copy(own, &mut writer),
        }
    }
    if protocol == Protocol::V2 {
        writer.append_to(&mut body);
    }
    let packed = packer.pack(&body).ok()?;
    (!body.is_empty()).then(|| Bytes::copy_from_slice(packed))
}

fn copy(body: &[u8], writer: &mut Writer) {
    let mut reader = Reader::new(body, Version::V1, NO_LIMITS);
    while let Ok(Some(item)) = reader.next_item() {
        if let Item::Series(series) = item {
            writer.push(&Outgoing {
                name: series.name,
                labels: series.labels,
                samples: series.samples,
                metadata: None,
                created: None,
            });
        }
    }
}

fn finish(writer: &mut Writer, packer: &mut Packer, newest: Millis) -> Option<Record> {
    let mut body = Vec::with_capacity(writer.bytes());
    writer.append_to(&mut body);
    let samples = writer.samples();
    writer.clear();
    // A record is far from the size that the format has no room for.
    let packed = packer.pack(&body).ok()?;
    (samples > 0).then(|| Record {
        packed: Bytes::copy_from_slice(packed),
        samples,
        newest,
    })
}

/// Both are sorted by name; a label of the series goes before an external one of that name.
fn with_external<'a>(
    own: &'a [(Cow<'a, str>, Cow<'a, str>)],
    external: &'a [(String, String)],
) -> Vec<(&'a str, &'a str)> {
    let has = |name: &str| own.iter().any(|(own, _)| own == name);
    let further = external.iter().filter(|(name, _)| !has(name));
    let further = further.map(|(name, value)| (name.as_str(), value.as_str()));
    let own = own.iter().map(|(name, value)| (&**name, &**value));
    let mut all: Vec<_> = own.chain(further).collect();
    all.sort_unstable();
    all
}
