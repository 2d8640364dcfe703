//! A topic as signals ask it.

use super::Progress;
use crate::{
    series::Millis,
    source::{Answer, BreakerState, RangeRequest, Source, Table, TableRequest, local::LocalSource},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// So long a signal waits for the past of its series. What comes later of it is kept, but does not teach before the next start.
const PATIENCE: Duration = Duration::from_secs(120);

/// The hub of a source, which answers once the past has come in.
#[derive(Debug)]
pub struct TopicSource {
    local: LocalSource,
    progress: Arc<Progress>,
    /// When it was asked first: who asks may give up before us and come again.
    since: OnceLock<Instant>,
}

impl TopicSource {
    /// Answers from `local`, which is filled with what `progress` tells of.
    pub fn new(local: LocalSource, progress: Arc<Progress>) -> Self {
        Self {
            local,
            progress,
            since: OnceLock::new(),
        }
    }
}

impl Source for TopicSource {
    fn name(&self) -> &str {
        self.local.name()
    }

    fn range(&self, request: RangeRequest) -> Answer<'_> {
        let mut caught_up = self.progress.caught_up();
        Box::pin(async move {
            let until = *self.since.get_or_init(Instant::now) + PATIENCE;
            if timeout_at(until, caught_up.wait_for(|is| *is))
                .await
                .is_err()
            {
                self.progress.is_caught_up();
            }
            self.local.range(request).await
        })
    }

    fn table(&self, request: &TableRequest) -> Option<Table> {
        // Until then it is to be waited for, which a range can.
        let caught_up = *self.progress.caught_up().borrow();
        caught_up.then(|| self.local.table(request)).flatten()
    }

    fn breaker(&self) -> BreakerState {
        self.local.breaker()
    }

    fn arrivals(&self, query: &str, step: Millis) -> Option<watch::Receiver<Millis>> {
        self.local.arrivals(query, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{series::Share, source::local::Hub};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn request() -> RangeRequest {
        RangeRequest {
            query: "nothing".to_owned(),
            start: 0,
            end: 0,
            step: 1_000,
            max_series: 1,
            share: Share::ALL,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_the_past_and_not_for_ever() {
        let progress = Arc::new(Progress::new(None));
        let local = LocalSource::new("topic", Arc::new(Hub::default()));
        let source = TopicSource::new(local, Arc::clone(&progress));
        let early = AtomicBool::new(true);
        let caught = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            early.store(false, Ordering::Relaxed);
            progress.is_caught_up();
        };
        let (answer, ()) = tokio::join!(source.range(request()), caught);
        assert!(answer.is_err() && !early.load(Ordering::Relaxed));

        let progress = Arc::new(Progress::new(None));
        let local = LocalSource::new("topic", Arc::new(Hub::default()));
        let source = TopicSource::new(local, progress);
        let began = Instant::now();
        let impatient = tokio::time::timeout(PATIENCE / 2, source.range(request()));
        assert!(impatient.await.is_err());
        drop(source.range(request()).await);
        assert_eq!(began.elapsed(), PATIENCE);
        drop(source.range(request()).await);
        assert_eq!(began.elapsed(), PATIENCE, "once is enough");
    }
}
