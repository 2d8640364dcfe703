//! The task that reads a topic.

use super::{
    Client, Progress,
    client::{Fetched, Message},
    merge::Merge,
    session::{Answer, Came, LEAST_PAUSE, MOST_PAUSE, Session},
    settings::Settings,
    taker::Taker,
};
use crate::{
    engine::Clock,
    source::{Cause, SourceError, local::Hub},
    telemetry::{IntakeEvents, KafkaEvents},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;

/// How often it is looked for partitions that are new.
const LOOK: Duration = Duration::from_secs(30);
/// Messages that are taken at a time.
const MOST_MESSAGES: usize = 10_000;
/// So long a former reader may take to end: it has nothing to do but to take what it began with.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a reader needs beside its settings.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where the samples go.
    pub hub: Arc<Hub>,
    /// How far the topic was read, by this reader and by those before it.
    pub progress: Arc<Progress>,
    /// What is counted and logged of messages.
    pub events: Arc<KafkaEvents>,
    /// What is counted and logged of samples.
    pub intake: Arc<IntakeEvents>,
    /// The time.
    pub clock: Clock,
}

/// Reads a topic.
#[derive(Debug)]
pub struct Reader {
    name: String,
    settings: Settings,
    taker: Arc<Taker>,
    /// What is being taken, which is not broken off.
    takes: TaskTracker,
    around: Surroundings,
}

impl Reader {
    /// The reader of the source `name`. Reads the files that are named and starts nothing.
    ///
    /// # Errors
    /// What is wrong with the settings, or a file that cannot be used.
    pub fn build(name: &str, settings: &Settings, around: Surroundings) -> Result<Self, String> {
        let problems = settings.validate().into_iter();
        let problems: Vec<String> = problems
            .map(|(path, text)| format!("{path}: {text}"))
            .collect();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        Client::check(&settings.cluster())?;
        let hub = Arc::clone(&around.hub);
        let events = (
            Arc::clone(&around.events),
            Arc::clone(&around.intake),
            around.clock.clone(),
        );
        Ok(Self {
            taker: Arc::new(Taker::build(name, settings, hub, events)?),
            takes: TaskTracker::new(),
            name: name.to_owned(),
            settings: settings.clone(),
            around,
        })
    }

    /// Reads until `stop`. Whatever fails is tried again, later each time. Begins when `former`, which shares our progress, is done:
    /// how far it came is known then, and it notes nothing any more.
    pub async fn run(self, stop: impl Future<Output = ()>, former: Option<JoinHandle<()>>) {
        if let Some(former) = former {
            timeout(PATIENCE, former).await.ok();
        }
        self.around.progress.read_on(&self.settings.cluster());
        let mut pause = LEAST_PAUSE;
        let reads = async {
            loop {
                let Err(error) = self.read(&mut pause).await;
                self.around.events.failed(&self.name, &error);
                // Signals have no use for waiting for who is away; what cannot be read is soon behind us.
                if error.cause != Cause::Decode {
                    self.around.progress.is_caught_up();
                }
                // Half of it by chance, so that replicas do not come back together.
                sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
                pause = (2 * pause).min(MOST_PAUSE);
            }
        };
        tokio::select! {
            () = stop => {}
            () = reads => {}
        }
        self.takes.close();
        self.takes.wait().await;
    }

    /// Connects and reads until every partition fails.
    async fn read(&self, pause: &mut Duration) -> Result<std::convert::Infallible, SourceError> {
        let mut session = Session::connect(&self.settings, &self.around.progress).await?;
        let (mut looked, mut reached) = (None::<Instant>, false);
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                let all = session.look().await?;
                let now = self.around.clock.now();
                self.around.progress.found(&all, self.settings.start, now);
                session.add(&all);
                looked = Some(Instant::now());
            }
            session.ask(Instant::now());
            while let Some((number, answer)) = session.answer().await {
                self.answered(&mut session, number, answer)?;
            }
            self.around.events.connected(&self.name);
            *pause = LEAST_PAUSE;
            self.take(&mut session.waiting).await;
            self.around.events.behind(&self.name, session.behind());
            // What waits for the order to be known is taken a round later.
            if std::mem::replace(&mut reached, session.has_reached()) {
                self.around.progress.is_caught_up();
            }
        }
    }

    /// Notes what came of a partition, or that it failed: an error only where every other one has, too.
    fn answered(
        &self,
        session: &mut Session,
        number: i32,
        answer: Answer,
    ) -> Result<(), SourceError> {
        let progress = &self.around.progress;
        match answer {
            Ok(Came::Opened(partition, offset)) => {
                progress.begin(number, offset);
                session.opened(number, partition, offset);
            }
            Ok(Came::Fetched(offset, fetched)) => {
                self.fetched(number, offset, &fetched);
                session.came(number, offset, fetched);
            }
            Err(error) => {
                progress.missed(number, self.around.clock.now());
                // Who does not come to reading has nothing that cannot be read.
                if error.cause == Cause::Decode && session.is_open(number) {
                    self.stumbled(number);
                }
                let error = session.failed(number, error, Instant::now())?;
                self.around
                    .events
                    .partition_failed(&self.name, number, &error);
            }
        }
        Ok(())
    }

    /// Notes how far a partition was read by that.
    fn fetched(&self, number: i32, offset: i64, fetched: &Fetched) {
        let progress = &self.around.progress;
        progress.could_be_read(number);
        match fetched {
            // Of what nobody sees nothing is taken.
            Fetched::Messages { messages, next, .. } if messages.is_empty() => {
                progress.advance(number, *next);
            }
            Fetched::Messages { .. } => {}
            Fetched::Moved { to } => {
                let lost = u64::try_from(to - offset).unwrap_or(0);
                let why = "they were deleted before they were read";
                self.around.events.skipped(&self.name, lost, why);
                progress.advance(number, *to);
            }
        }
    }

    fn stumbled(&self, number: i32) {
        let skipped = self.around.progress.stumble(number);
        if skipped > 0 {
            let why = "they cannot be read";
            self.around.events.skipped(&self.name, skipped, why);
        }
    }

    /// Takes everything of which the order is known.
    async fn take(&self, waiting: &mut Merge) {
        loop {
            let next = std::iter::from_fn(|| waiting.next()).take(MOST_MESSAGES);
            let mut ends = BTreeMap::new();
            let messages: Vec<Message> = next
                .map(|(number, message)| {
                    ends.insert(number, message.offset + 1);
                    message
                })
                .collect();
            if messages.is_empty() {
                return;
            }
            let (taker, around) = (Arc::clone(&self.taker), self.around.clone());
            let name = self.name.clone();
            // A task of its own, so that who is stopped amid of it notes what was taken.
            let taken = self.takes.spawn(async move {
                // Off the threads that serve. What panics is not read again, or it would be for ever.
                let taken = spawn_blocking(move || taker.take(&messages)).await;
                if let Err(panic) = taken {
                    around.events.panicked(&name, &panic.to_string());
                }
                for (number, offset) in ends {
                    around.progress.advance(number, offset);
                }
            });
            taken.await.ok();
        }
    }
}

#[cfg(test)]
#[cfg(feature = "kafka")]
mod tests {
    use super::*;
    use crate::source::kafka::progress::{Place, Position};
    use tokio_util::sync::CancellationToken;

    /// A reader of this topic, where nobody listens.
    fn reader(topic: &str, progress: &Arc<Progress>) -> Reader {
        let text = format!("{{brokers: ['127.0.0.1:1'], topic: {topic}}}");
        let settings: Settings = serde_yaml::from_str(&text).unwrap();
        let around = Surroundings {
            hub: Arc::default(),
            progress: Arc::clone(progress),
            events: Arc::default(),
            intake: Arc::default(),
            clock: Clock::System,
        };
        Reader::build("topic", &settings, around).unwrap()
    }

    #[tokio::test]
    async fn what_a_former_reader_still_notes_is_not_taken_for_ours() {
        let progress = Arc::new(Progress::new(None));
        progress.read_on(&reader("former", &progress).settings.cluster());
        let notes = Arc::clone(&progress);
        let (done, is_done) = tokio::sync::oneshot::channel();
        let former = TaskTracker::new().spawn(async move {
            sleep(Duration::from_millis(50)).await;
            notes.advance(0, 7);
            done.send(()).unwrap();
        });
        let stop = CancellationToken::new();
        stop.cancel();
        let own = reader("own", &progress);
        own.run(stop.cancelled(), Some(former)).await;
        is_done.await.unwrap();
        let nothing = Position::From(Place::Earliest);
        assert_eq!(progress.position(0), nothing, "nothing of ours was read");
    }

    #[tokio::test]
    async fn who_is_stopped_while_it_takes_messages_notes_them() {
        let progress = Arc::new(Progress::new(None));
        let reader = reader("topic", &progress);
        progress.read_on(&reader.settings.cluster());
        let mut waiting = Merge::default();
        let message = |offset| Message {
            offset,
            at: 1_000 + offset,
            value: None,
        };
        waiting.put(0, ((0..100).map(message).collect(), true));
        {
            let mut takes = std::pin::pin!(reader.take(&mut waiting));
            // As far as it comes without waiting.
            let is_done = std::future::poll_fn(|context| {
                std::task::Poll::Ready(takes.as_mut().poll(context).is_ready())
            });
            assert!(!is_done.await);
        }
        let stop = CancellationToken::new();
        stop.cancel();
        reader.run(stop.cancelled(), None).await;
        assert_eq!(progress.position(0), Position::At(100));
    }
}
