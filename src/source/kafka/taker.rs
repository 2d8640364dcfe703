//! What messages say, put into the hub as what is pushed is: one reader of labels and samples, one set of limits, one count.

use super::{
    client::Message,
    settings::{Format, Settings},
};
use crate::{
    engine::Clock,
    expo::{
        messages,
        wire::{
            Packer,
            write::{Version, Writer},
        },
    },
    source::{local::Hub, remote_write},
    telemetry::{IntakeEvents, KafkaEvents, MessageResult},
};
use hyper::StatusCode;
use std::{collections::BTreeMap, sync::Arc};

/// Samples in JSON are put together to requests of so many bytes.
const REQUEST_BYTES: usize = 1 << 20;

/// Takes the messages of one topic.
#[derive(Debug)]
pub(super) struct Taker {
    name: String,
    format: Format,
    most: usize,
    receiver: remote_write::Receiver,
    events: Arc<KafkaEvents>,
}

impl Taker {
    /// Fills `hub`, that of the source `name`.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn build(
        name: &str,
        settings: &Settings,
        hub: Arc<Hub>,
        (events, intake, clock): (Arc<KafkaEvents>, Arc<IntakeEvents>, Clock),
    ) -> Result<Self, String> {
        let most = settings.max_message_bytes.limit();
        let pushed = remote_write::Settings {
            max_series: settings.max_series,
            // Requests made of JSON are cut after the message that fills them; in protobuf it is shorter.
            max_request_bytes: most.max(REQUEST_BYTES) + REQUEST_BYTES,
            ..remote_write::Settings::default()
        };
        Ok(Self {
            name: name.to_owned(),
            format: settings.format,
            most,
            receiver: remote_write::Receiver::build(name, &pushed, hub, (intake, clock))?,
            events,
        })
    }

    /// Takes what these messages say. One that says nothing sensible is counted, and harms no other.
    pub(super) fn take(&self, messages: &[Message]) {
        let (mut request, mut counts) = (Writer::new(Version::V1), BTreeMap::new());
        for message in messages {
            let result = match (&message.value, self.format.version()) {
                (None, _) => Err(MessageResult::Empty),
                (Some(value), _) if value.len() > self.most => Err(MessageResult::TooLarge),
                (Some(value), Some(version)) => self.pushed(value, version),
                (Some(value), None) => {
                    let read = messages::read(value, &mut request).map(drop);
                    read.map_err(|problem| self.garbled(&problem))
                }
            };
            let result = result.err().unwrap_or(MessageResult::Read);
            *counts.entry(result).or_insert(0) += 1;
            if request.bytes() >= REQUEST_BYTES {
                self.flush(&mut request);
            }
        }
        self.flush(&mut request);
        self.events.messages(&self.name, &counts);
    }

    /// A message that is a request.
    fn pushed(&self, packed: &[u8], version: Version) -> Result<(), MessageResult> {
        match self.receiver.take(packed, version) {
            Ok(written) => {
                self.tell(written.problem);
                Ok(())
            }
            Err(refusal) if refusal.status == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(MessageResult::TooLarge)
            }
            Err(refusal) => Err(self.garbled(&refusal.message)),
        }
    }

    /// Takes the request that was made of samples in JSON.
    fn flush(&self, request: &mut Writer) {
        if request.is_empty() {
            return;
        }
        let mut body = Vec::with_capacity(request.bytes());
        request.append_to(&mut body);
        request.clear();
        let mut packer = Packer::new();
        let packed = packer.pack(&body).map_err(|error| error.to_string());
        let taken = packed.and_then(|packed| {
            let taken = self.receiver.take(packed, Version::V1);
            taken.map_err(|refusal| refusal.message)
        });
        match taken {
            Ok(written) => self.tell(written.problem),
            Err(problem) => self.tell(Some(problem)),
        }
    }

    fn garbled(&self, problem: &str) -> MessageResult {
        self.events.garbled(&self.name, problem);
        MessageResult::Garbled
    }

    /// What was left out was counted where it was.
    fn tell(&self, problem: Option<String>) {
        if let Some(problem) = problem {
            self.events.left_out(&self.name, &problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        expo::wire::write::{Outgoing, Point},
        intake::{Reading, Selection},
        series::{Grid, Labels, Share},
        source::local::Subscription,
        telemetry::Telemetry,
    };

    struct World {
        taker: Taker,
        hub: Arc<Hub>,
        telemetry: Telemetry,
        now: i64,
    }

    impl World {
        fn new(more: &str) -> Self {
            let text = format!("{{brokers: ['a:1'], topic: t, {more}}}");
            let settings: Settings = serde_yaml::from_str(&text).unwrap();
            let telemetry = Telemetry::default();
            telemetry.kafka.announce("topic");
            let hub = Arc::new(Hub::new("topic", 100, Arc::clone(&telemetry.intake)));
            let subscription = Subscription {
                selection: Selection::new("load", Reading::Gauge, None, None).unwrap(),
                grid: Grid::new(60_000).unwrap(),
                history: 100,
                max_series: 1_000,
                share: Share::ALL,
            };
            hub.subscribe(subscription, None);
            let around = (
                Arc::clone(&telemetry.kafka),
                Arc::clone(&telemetry.intake),
                Clock::System,
            );
            let taker = Taker::build("topic", &settings, Arc::clone(&hub), around);
            Self {
                taker: taker.unwrap(),
                hub,
                telemetry,
                now: Clock::System.now(),
            }
        }

        fn take(&self, values: &[Option<&[u8]>]) {
            let messages: Vec<Message> = values
                .iter()
                .map(|value| Message {
                    offset: 0,
                    at: self.now,
                    value: value.map(<[u8]>::to_vec),
                })
                .collect();
            self.taker.take(&messages);
        }

        fn value(&self, pod: &str) -> Option<f64> {
            let found = self.hub.with("load", (None, &Share::ALL), |recorder| {
                recorder.instant(self.now)
            });
            let wanted = Labels::new([("pod", pod)]).unwrap();
            let mut all = found.unwrap().into_iter();
            all.find(|(labels, _)| *labels == wanted)
                .map(|(_, value)| value)
        }

        fn counted(&self, result: &str) -> u64 {
            let text = self.telemetry.open_metrics().unwrap();
            let start = format!(
                "forethought_kafka_messages_total{{source=\"topic\",result=\"{result}\"}} "
            );
            let found = text.lines().find_map(|line| line.strip_prefix(&start));
            found.unwrap().parse().unwrap()
        }

        fn json(&self, pod: &str, value: f64) -> Vec<u8> {
            let point = Point {
                at: self.now - 1_000,
                value,
            };
            messages::write("load", [("pod", pod)], point)
        }
    }

    #[test]
    fn what_is_sensible_is_taken_and_the_rest_is_counted() {
        let world = World::new("max_message_bytes: 1KB");
        let long = world.json(&"x".repeat(2_000), 1.0);
        world.take(&[
            Some(&world.json("a", 1.5)),
            Some(b"garbage"),
            None,
            Some(&[0xff, 0xfe]),
            Some(&long),
            Some(b"[]"),
            Some(&world.json("b", 2.5)),
        ]);
        assert_eq!((world.value("a"), world.value("b")), (Some(1.5), Some(2.5)));
        let counts = ["read", "garbled", "empty", "too_large"].map(|result| world.counted(result));
        assert_eq!(counts, [3, 2, 1, 1]);
        let ended = messages::write("load", [("pod", "a")], Point::stale(world.now));
        world.take(&[Some(&ended)]);
        assert_eq!((world.value("a"), world.value("b")), (None, Some(2.5)));
    }

    #[test]
    fn a_message_may_be_a_request_of_remote_write() {
        for (format, version) in [
            ("remote_write", Version::V1),
            ("remote_write_2", Version::V2),
        ] {
            let world = World::new(&format!("format: {format}"));
            let mut writer = Writer::new(version);
            writer.push(&Outgoing {
                name: "load",
                labels: &[("pod", "a")],
                samples: &[Point {
                    at: world.now - 1_000,
                    value: 4.0,
                }],
                metadata: None,
                created: None,
            });
            let mut body = Vec::new();
            writer.append_to(&mut body);
            let packed = Packer::new().pack(&body).unwrap().to_vec();
            let bomb = Packer::new().pack(&vec![0; 40 << 20]).unwrap().to_vec();
            world.take(&[Some(&world.json("b", 1.0)), Some(&bomb), Some(&packed)]);
            assert_eq!((world.value("a"), world.value("b")), (Some(4.0), None));
            let counts = ["read", "garbled", "too_large"].map(|result| world.counted(result));
            assert_eq!(counts, [1, 1, 1], "{format}");
        }
    }

    #[test]
    fn many_samples_go_in_several_requests() {
        let world = World::new("max_series: 10");
        let label = "y".repeat(4_000);
        let values: Vec<Vec<u8>> = (0..600)
            .map(|number| {
                let point = Point {
                    at: world.now - 1_000,
                    value: f64::from(number),
                };
                messages::write(
                    "load",
                    [("long", label.as_str()), ("pod", &number.to_string())],
                    point,
                )
            })
            .collect();
        let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(&value[..])).collect();
        world.take(&values);
        assert_eq!(world.counted("read"), 600);
        assert_eq!(world.hub.series(), 100, "the room of the hub");
    }
}
