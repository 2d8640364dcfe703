//! What is read, what is refused, and where errors point. `prost` writes what is read: it knows the messages from
//! their definitions and nothing of the readers.

mod encode;
mod families;
mod faults;
mod judged;
mod messages;
mod properties;
mod snappy;
mod write;

use super::write::{Item, Limits, Reader, Version};
use crate::expo::{
    parse,
    wire::{Body, BodyError, WireError, families::Families},
};
use parse::Event;

/// A field of bytes below 128, in a message.
fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    out.extend(bytes);
    assert!(bytes.len() < 128);
    out
}

/// An item as one line.
fn show(item: Item<'_, '_>) -> String {
    match item {
        Item::Series(series) => {
            let labels = series.labels.iter();
            let labels: Vec<String> = labels
                .map(|(name, value)| format!("{name}={value:?}"))
                .collect();
            let points = series.samples.iter();
            let points: Vec<String> = points
                .map(|point| match point.is_stale() {
                    true => format!(" stale@{}", point.at),
                    false => format!(" {:?}@{}", point.value, point.at),
                })
                .collect();
            let mut line = format!("{}{{{}}}{}", series.name, labels.join(","), points.concat());
            if series.histograms + series.exemplars > 0 {
                line += &format!(" h{} e{}", series.histograms, series.exemplars);
            }
            if let Some(created) = series.created {
                line += &format!(" created {created}");
            }
            if let Some(metadata) = series.metadata {
                line += &format!(
                    " {:?} {:?} {:?}",
                    metadata.kind, metadata.help, metadata.unit
                );
            }
            line
        }
        Item::Refused(refused) => {
            let name = refused.name.unwrap_or("?");
            let (samples, histograms, exemplars) =
                (refused.samples, refused.histograms, refused.exemplars);
            format!(
                "refused {name} s{samples} h{histograms} e{exemplars}: {}",
                refused.reason
            )
        }
        Item::Metadata { family, metadata } => {
            format!(
                "about {family} {:?} {:?} {:?}",
                metadata.kind, metadata.help, metadata.unit
            )
        }
    }
}

/// The items of a request up to its error.
fn read_up_to(body: &[u8], version: Version, limits: Limits) -> (Vec<String>, Option<WireError>) {
    let mut reader = Reader::new(body, version, limits);
    let mut shown = Vec::new();
    let error = loop {
        match reader.next_item() {
            Ok(Some(item)) => shown.push(show(item)),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(
        reader.next_item().unwrap().is_none(),
        "goes on after its end"
    );
    (shown, error)
}

fn read(body: &[u8], version: Version) -> Result<Vec<String>, WireError> {
    let (shown, error) = read_up_to(body, version, Limits::default());
    error.map_or(Ok(shown), Err)
}

/// An event as one line.
fn show_event(event: Event<'_>) -> String {
    match event {
        Event::Sample(sample) => {
            let labels = sample
                .labels
                .map(|(name, value)| format!("{name}={value:?}"));
            let labels: Vec<String> = labels.collect();
            let at = sample.at.map(|at| format!(" @{at}")).unwrap_or_default();
            let (name, series, value) = (sample.name, sample.series, sample.value);
            format!("{name:?}{{{}}} {value:?}{at} as {series}", labels.join(","))
        }
        Event::Type { name, kind } => format!("TYPE {name:?} {kind:?}"),
        Event::Help { name, text } => format!("HELP {name:?} {text:?}"),
        Event::Unit { name, unit } => format!("UNIT {name:?} {unit:?}"),
        Event::Eof => String::from("EOF"),
    }
}

/// The events of a body up to its error.
fn events_up_to(mut body: Body<'_>) -> (Vec<String>, Option<BodyError>) {
    let mut shown = Vec::new();
    while let Some(event) = body.next_event() {
        match event {
            Ok(event) => shown.push(show_event(event)),
            Err(error) => {
                assert!(body.next_event().is_none(), "goes on after its error");
                return (shown, Some(error));
            }
        }
    }
    (shown, None)
}

fn events(body: &[u8], limits: parse::Limits) -> Result<Vec<String>, BodyError> {
    let (shown, error) = events_up_to(Body::Families(Families::new(body, limits)));
    error.map_or(Ok(shown), Err)
}

fn text_events(body: &str) -> Vec<String> {
    let parser = parse::Parser::new(body.as_bytes(), parse::Dialect::Text, parse::Limits::NONE);
    let (shown, error) = events_up_to(Body::Text(parser));
    assert_eq!(error, None, "{body}");
    shown
}
