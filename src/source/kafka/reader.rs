//! The task that reads a topic.

use super::{
    Client, Partition, Progress,
    client::{Fetched, Message},
    merge::Merge,
    progress::Place,
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
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// The first pause after a failure; it doubles from one to the next.
const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// The longest of them.
const MOST_PAUSE: Duration = Duration::from_secs(30);
/// How long a broker holds back an answer for messages to come, while nothing else waits to be taken.
const WAIT: Duration = Duration::from_millis(500);
/// How often it is looked for partitions that are new.
const LOOK: Duration = Duration::from_secs(30);
/// Messages that are taken at a time.
const MOST_MESSAGES: usize = 10_000;

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
    around: Surroundings,
}

/// A connection, and what came by it.
struct Session {
    client: Client,
    partitions: BTreeMap<i32, Arc<Partition>>,
    waiting: Merge,
    /// By partition: the offset after what was fetched.
    fetched: BTreeMap<i32, i64>,
    /// By partition: messages that are there and were not fetched.
    behind: BTreeMap<i32, i64>,
    /// By partition: the offset after what was there when it was asked for first.
    target: BTreeMap<i32, i64>,
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
            name: name.to_owned(),
            settings: settings.clone(),
            around,
        })
    }

    /// Reads until `stop`. Whatever fails is tried again, later each time.
    pub async fn run(self, stop: CancellationToken) {
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
            () = stop.cancelled() => {}
            () = reads => {}
        }
    }

    /// Connects and reads until something fails.
    async fn read(&self, pause: &mut Duration) -> Result<std::convert::Infallible, SourceError> {
        let client = Client::connect(&self.settings.cluster()).await?;
        let mut session = Session {
            client,
            partitions: BTreeMap::new(),
            waiting: Merge::default(),
            fetched: BTreeMap::new(),
            behind: BTreeMap::new(),
            target: BTreeMap::new(),
        };
        let (mut looked, mut reached) = (None::<Instant>, false);
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                self.look(&mut session).await?;
                looked = Some(Instant::now());
            }
            self.fetch(&mut session).await?;
            self.around.events.connected(&self.name);
            *pause = LEAST_PAUSE;
            self.take(&mut session.waiting).await;
            let behind = session.behind.values().sum::<i64>();
            self.around.events.behind(&self.name, behind);
            // What waits for the order to be known is taken a round later.
            if std::mem::replace(&mut reached, session.has_reached()) {
                self.around.progress.is_caught_up();
            }
        }
    }

    /// Takes up the partitions that are not read yet.
    async fn look(&self, session: &mut Session) -> Result<(), SourceError> {
        let (topic, progress) = (&self.settings.topic, &self.around.progress);
        let all = session.client.partitions(topic).await?;
        if all.is_empty() {
            let message = format!(
                "there is no topic {topic:?} at these brokers, or we may not see it: create it, or allow us to describe and read it"
            );
            let cause = Cause::Query;
            return Err(SourceError { cause, message });
        }
        let mut begins = Vec::new();
        let place = progress.place(self.settings.start, self.around.clock.now());
        for number in all {
            if session.partitions.contains_key(&number) {
                continue;
            }
            let partition = session.client.partition(topic, number).await?;
            let offset = match progress.next(number) {
                Some(offset) => offset,
                None => {
                    let offset = begin(&partition, place).await?;
                    begins.push((number, offset));
                    offset
                }
            };
            session.partitions.insert(number, Arc::new(partition));
            session.fetched.insert(number, offset);
            session.waiting.add(number);
        }
        // All at once, as the first of them must not make the others new ones where something fails between.
        for (number, offset) in begins {
            progress.advance(number, offset);
        }
        Ok(())
    }

    /// Fetches what comes next of the partitions of which nothing is left, all at once.
    async fn fetch(&self, session: &mut Session) -> Result<(), SourceError> {
        let wait = if session.waiting.is_empty() {
            WAIT
        } else {
            Duration::ZERO
        };
        let mut fetches = JoinSet::new();
        for number in session.waiting.empty() {
            let (Some(partition), Some(&offset)) = (
                session.partitions.get(&number),
                session.fetched.get(&number),
            ) else {
                continue;
            };
            let partition = Arc::clone(partition);
            fetches.spawn(async move { (number, offset, partition.fetch(offset, wait).await) });
        }
        let mut failure = None;
        while let Some(done) = fetches.join_next().await {
            let Ok((number, offset, fetched)) = done else {
                failure = Some(panicked());
                continue;
            };
            match fetched {
                Ok(fetched) => self.came(session, number, offset, fetched),
                Err(error) => {
                    if error.cause == Cause::Decode {
                        self.stumbled(number);
                    }
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn came(&self, session: &mut Session, number: i32, offset: i64, fetched: Fetched) {
        let next = match &fetched {
            Fetched::Messages { next, .. } => *next,
            Fetched::Moved { to } => *to,
        };
        session.fetched.insert(number, next);
        match fetched {
            Fetched::Messages { messages, end, .. } => {
                session.behind.insert(number, (end - next).max(0));
                session.target.entry(number).or_insert(end);
                let at_end = messages.is_empty() && next == offset;
                session.waiting.put(number, (messages, at_end));
            }
            Fetched::Moved { to } => {
                let lost = u64::try_from(to - offset).unwrap_or(0);
                self.around.events.skipped(
                    &self.name,
                    lost,
                    "they were deleted before they were read",
                );
                self.around.progress.advance(number, to);
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
            let taker = Arc::clone(&self.taker);
            // Off the threads that serve. What panics is not read again, or it would be for ever.
            let taken = spawn_blocking(move || taker.take(&messages)).await;
            if let Err(panic) = taken {
                self.around.events.panicked(&self.name, &panic.to_string());
            }
            for (number, offset) in ends {
                self.around.progress.advance(number, offset);
            }
        }
    }
}

impl Session {
    /// Whether everything was fetched that was there when it began.
    fn has_reached(&self) -> bool {
        let mut all = self.fetched.iter();
        all.all(|(number, offset)| self.target.get(number).is_some_and(|end| offset >= end))
    }
}

async fn begin(partition: &Partition, place: Place) -> Result<i64, SourceError> {
    match place {
        Place::Earliest => partition.earliest().await,
        Place::Latest => partition.latest().await,
        Place::Since(at) => {
            // First: what comes between the two questions is to be read.
            let end = partition.latest().await?;
            Ok(partition.since(at).await?.unwrap_or(end))
        }
    }
}

fn panicked() -> SourceError {
    SourceError {
        cause: Cause::Decode,
        message: "fetching panicked; please report it".to_owned(),
    }
}
