//! What is fed with bytes that anybody may send, one function each: they must not panic, whatever comes. The short run of `tests/it/fuzz.rs` and
//! the long one of `fuzz` (libFuzzer, which is guided by what the bytes reach) call the same functions.

use forethought::{
    config,
    contract::Manifest,
    expo::{
        messages,
        parse::{Dialect, Event, Limits, Parser},
        wire::{
            Unpacker,
            families::Families,
            write::{self, Item, Reader, Version, Writer},
        },
    },
    intake::{Reading, Selection},
    promql::{self, Expression},
    series::{Grid, Labels, Share},
    source::{
        file::read_open_metrics,
        local::{Hub, Subscription, disk::Past},
    },
};

/// A target: its name, which is that of its corpus, and what is done with the bytes.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 11] = [
    ("config", config),
    ("exposition", exposition),
    ("families", families),
    ("hub", hub),
    ("manifest", manifest),
    ("messages", topic),
    ("openmetrics", openmetrics),
    ("rule", rule),
    ("snapshot", snapshot),
    ("write_v1", write_v1),
    ("write_v2", write_v2),
];

/// Feeds the target of this name.
pub(crate) fn run(name: &str, bytes: &[u8]) {
    for (own, target) in TARGETS {
        if own == name {
            target(bytes);
        }
    }
}

/// A configuration file.
fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match config::parse(&text, &|name| (name == "HOME").then(|| "x".to_owned())) {
        Ok(config) => drop(config),
        Err(problems) => assert!(!problems.render("file").is_empty()),
    }
}

/// What a target of a scrape answers, as text.
fn exposition(bytes: &[u8]) {
    text(bytes, Dialect::Text);
}

/// What a target of a scrape answers, as OpenMetrics; and as a file that is looked back on.
fn openmetrics(bytes: &[u8]) {
    text(bytes, Dialect::OpenMetrics);
    if let Some(grid) = Grid::new(60_000) {
        drop(read_open_metrics(bytes, grid));
    }
}

fn text(bytes: &[u8], dialect: Dialect) {
    for limits in [
        Limits::NONE,
        Limits {
            samples: 5,
            labels: 2,
            name_bytes: 10,
            value_bytes: 10,
        },
    ] {
        for event in Parser::new(bytes, dialect, limits) {
            match event {
                Ok(Event::Sample(sample)) => sample.labels.for_each(drop),
                Ok(_) => {}
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

/// What a target of a scrape answers, as protobuf.
fn families(bytes: &[u8]) {
    let mut families = Families::new(bytes, Limits::NONE);
    while let Some(Ok(event)) = families.next_event() {
        if let Event::Sample(sample) = event {
            sample.labels.for_each(drop);
        }
    }
}

/// Remote write 1.0, packed and plain.
fn write_v1(bytes: &[u8]) {
    pushed(bytes, Version::V1);
}

/// Remote write 2.0, packed and plain.
fn write_v2(bytes: &[u8]) {
    pushed(bytes, Version::V2);
}

fn pushed(bytes: &[u8], version: Version) {
    read(bytes, version);
    if let Ok(body) = Unpacker::new().unpack(bytes, 1 << 20) {
        read(body, version);
    }
}

fn read(body: &[u8], version: Version) {
    let mut reader = Reader::new(body, version, write::Limits::default());
    while let Ok(Some(item)) = reader.next_item() {
        match item {
            Item::Series(series) => {
                assert!(!series.name.is_empty());
                assert!(Labels::new(series.labels.iter().copied()).is_ok());
            }
            Item::Refused(refused) => assert!(!refused.reason.to_string().is_empty()),
            Item::Metadata { .. } => {}
        }
    }
}

/// Samples of a few series at any times, with any values, and what is asked in between: each 17 bytes are one.
fn hub(bytes: &[u8]) {
    let hub = Hub::default();
    for reading in [Reading::Gauge, Reading::Rate] {
        let selection = Selection::new("x", reading, None, None);
        let (Ok(selection), Some(grid)) = (selection, Grid::new(1_000)) else {
            return;
        };
        hub.subscribe(
            Subscription {
                selection,
                grid,
                history: 50,
                max_series: 3,
                share: Share::ALL,
            },
            None,
        );
    }
    let mut now = 1_000_000_000_i64;
    for chunk in bytes.chunks_exact(17).take(200) {
        let [kind, rest @ ..] = chunk else { return };
        let (time, value) = rest.split_at(8);
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let shift = number(time).cast_signed();
        match kind % 4 {
            0 => now += shift.rem_euclid(100_000),
            1 => now -= shift.rem_euclid(10_000),
            2 => hub.tidy(now),
            _ => {
                let name = (kind / 4 % 5).to_string();
                let Ok(labels) = Labels::new([("n", name.as_str())]) else {
                    return;
                };
                let route = hub.route("x", &labels, now);
                let at = if kind & 64 == 0 {
                    now + shift % 20_000
                } else {
                    shift
                };
                hub.take(&[(route, at, f64::from_bits(number(value)))], now);
            }
        }
        for selection in ["x", "rate(x[2m])"] {
            let told = hub.with(selection, (Some(1_000), &Share::ALL), |recorder| {
                let floor = now.div_euclid(1_000) * 1_000;
                recorder.range((floor - 5_000, floor), (10, &Share::ALL), |_, samples| {
                    assert!(samples.iter().all(|(_, value)| value.is_finite()));
                });
                recorder.instant(now)
            });
            assert!(told.is_some_and(|told| told.iter().all(|(_, value)| value.is_finite())));
        }
    }
}

/// The manifest of a model.
fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::read(bytes) {
        assert!(manifest.to_json().is_ok());
    }
}

/// Messages of a topic, one a line; what was made of them is read as what is pushed is.
fn topic(bytes: &[u8]) {
    for version in [Version::V1, Version::V2] {
        let mut request = Writer::new(version);
        for message in bytes.split(|byte| *byte == b'\n') {
            if let Err(error) = messages::read(message, &mut request) {
                assert!(!error.is_empty());
            }
        }
        let mut body = Vec::new();
        request.append_to(&mut body);
        read(&body, version);
    }
}

/// A query, a rule, a selector.
fn rule(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let refusals = [
        promql::check_query(&text).err(),
        Expression::parse_condition(&text).err(),
        promql::Selector::parse(&text).err(),
    ];
    for refusal in refusals.into_iter().flatten() {
        assert!(!refusal.in_text(&text, "rule").is_empty());
    }
}

/// The file with the past of what came by itself: as it is, and as what a right checksum vouches for.
fn snapshot(bytes: &[u8]) {
    let selection = Selection::new("x", Reading::Gauge, None, None);
    let (Ok(selection), Some(grid)) = (selection, Grid::new(60_000)) else {
        return;
    };
    let subscription = Subscription {
        selection,
        grid,
        history: 100,
        max_series: 10,
        share: Share::ALL,
    };
    for past in [Past::decode(bytes), Past::decode_body(bytes)]
        .into_iter()
        .flatten()
    {
        if let Ok(Some(mut recorder)) = past.of(&subscription, 1_000_000_000_000) {
            let span = (999_999_000_000, 1_000_000_000_000);
            recorder.range(span, (10, &Share::ALL), |_, _| {});
        }
    }
}
