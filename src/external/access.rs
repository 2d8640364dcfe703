//! Whether a user may ask: the API server says, and its answers are remembered for a short while.

use super::{
    front::User,
    settings::Reviews,
    wire::{GROUP, VERSION},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// Whoever may do everything, as every server of Kubernetes has it: no question, and the aggregator asks as one of these.
const MASTERS: &str = "system:masters";
/// Most answers that are remembered; more users ask for more than any cluster has.
const MOST_REMEMBERED: usize = 4_096;
/// No longer question is remembered, in bytes: paths are as long as users make them.
const LONGEST_REMEMBERED: usize = 8 * 1024;
/// Questions at the same time.
const AT_ONCE: usize = 32;

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// Read a metric.
    Metric {
        /// In this namespace.
        namespace: String,
        /// Its name.
        metric: String,
    },
    /// Read what is at a path.
    Path(String),
}

/// A user and a wish.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The user's name.
    pub user: String,
    /// The user's identifier.
    pub uid: Option<String>,
    /// The user's groups.
    pub groups: Vec<String>,
    /// What else is known of the user.
    pub extra: BTreeMap<String, Vec<String>>,
    /// What is wanted.
    pub wish: Wish,
}

/// Yes or no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No, and what the API server says of it.
    Denied(String),
}

/// Where questions are answered.
pub trait Review: fmt::Debug + Send + Sync {
    /// Whether the user may; an error where nobody knows.
    fn review<'q>(
        &'q self,
        question: &'q Question,
    ) -> Pin<Box<dyn Future<Output = Result<Verdict, String>> + Send + 'q>>;
}

/// Whether users may ask.
#[derive(Debug)]
pub struct Access {
    reviewer: Option<Arc<dyn Review>>,
    timeout: Duration,
    cache: Duration,
    remembered: Mutex<HashMap<Question, (Verdict, Instant)>>,
    room: Semaphore,
}

impl Access {
    /// Access as `reviewer` gives it; everybody has it where there is none.
    pub fn new(reviewer: Option<Arc<dyn Review>>, settings: &Reviews) -> Self {
        Self {
            reviewer,
            timeout: settings.timeout.to_std(),
            cache: settings.cache.to_std(),
            remembered: Mutex::default(),
            room: Semaphore::new(AT_ONCE),
        }
    }

    /// Whether `user` may; `asked` is told how each question to the API server ended.
    ///
    /// # Errors
    /// Nobody knows: then the user may not.
    pub(super) async fn permit(
        &self,
        user: User,
        wish: Wish,
        asked: impl Fn(&Result<Verdict, String>),
    ) -> Result<Verdict, String> {
        let Some(reviewer) = &self.reviewer else {
            return Ok(Verdict::Allowed);
        };
        if user.groups.iter().any(|group| group == MASTERS) {
            return Ok(Verdict::Allowed);
        }
        let question = Question {
            user: user.name,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            wish,
        };
        if let Some(verdict) = self.recall(&question) {
            return Ok(verdict);
        }
        let answer = async {
            // Waiting for room counts: whoever asks has waited that long.
            let _room = self.room.acquire().await;
            reviewer.review(&question).await
        };
        let late = || {
            Err(format!(
                "the API server has not said within {:?} whether {} may",
                self.timeout, question.user
            ))
        };
        let answer = timeout(self.timeout, answer)
            .await
            .unwrap_or_else(|_| late());
        asked(&answer);
        let verdict = answer?;
        self.remember(question, verdict.clone());
        Ok(verdict)
    }

    fn recall(&self, question: &Question) -> Option<Verdict> {
        let remembered = self.remembered.lock();
        let remembered = remembered.unwrap_or_else(PoisonError::into_inner);
        let (verdict, until) = remembered.get(question)?;
        (Instant::now() < *until).then(|| verdict.clone())
    }

    fn remember(&self, question: Question, verdict: Verdict) {
        if question.length() > LONGEST_REMEMBERED {
            return;
        }
        let now = Instant::now();
        let remembered = self.remembered.lock();
        let mut remembered = remembered.unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, (_, until)| now < *until);
        }
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(question, (verdict, now + self.cache));
    }
}

impl Question {
    fn length(&self) -> usize {
        let texts = self.groups.iter().chain(self.uid.as_ref());
        let texts = texts.chain(self.extra.values().flatten());
        let texts = texts.chain(self.extra.keys()).map(String::len);
        let wish = match &self.wish {
            Wish::Metric { namespace, metric } => namespace.len() + metric.len(),
            Wish::Path(path) => path.len(),
        };
        texts.sum::<usize>() + self.user.len() + wish
    }
}

impl Wish {
    /// The words of Kubernetes for it: verb and what follows it.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Metric { namespace, metric } => format!(
                "list resource {metric:?} in API group {GROUP:?} at version {VERSION:?} in the namespace {namespace:?}"
            ),
            Self::Path(path) => format!("get path {path:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Says yes to `good`, nothing to `hung`, an error to `broken`, and no to others.
    #[derive(Debug, Default)]
    struct Fake {
        asked: AtomicUsize,
    }

    impl Review for Fake {
        fn review<'q>(
            &'q self,
            question: &'q Question,
        ) -> Pin<Box<dyn Future<Output = Result<Verdict, String>> + Send + 'q>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match question.user.as_str() {
                    "good" => Ok(Verdict::Allowed),
                    "hung" => std::future::pending().await,
                    "broken" => Err("no connection".to_owned()),
                    _ => Ok(Verdict::Denied("no rule".to_owned())),
                }
            })
        }
    }

    fn user(name: &str, groups: &[&str]) -> User {
        User {
            name: name.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..User::default()
        }
    }

    fn metric(name: &str) -> Wish {
        Wish::Metric {
            namespace: "shop".to_owned(),
            metric: name.to_owned(),
        }
    }

    fn access() -> (Arc<Fake>, Access) {
        let fake = Arc::new(Fake::default());
        let reviewer: Arc<dyn Review> = Arc::<Fake>::clone(&fake);
        (fake, Access::new(Some(reviewer), &Reviews::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_remembered_and_forgotten() {
        let (fake, access) = access();
        let permit = |name: &'static str, wish: Wish| access.permit(user(name, &[]), wish, |_| ());
        for _ in 0..3 {
            assert_eq!(permit("good", metric("a")).await, Ok(Verdict::Allowed));
            assert!(matches!(
                permit("bad", metric("a")).await,
                Ok(Verdict::Denied(_))
            ));
        }
        assert_eq!(fake.asked.load(Ordering::Relaxed), 2);
        permit("good", metric("b")).await.unwrap();
        permit("good", Wish::Path("/apis".to_owned()))
            .await
            .unwrap();
        let grouped = access.permit(user("good", &["a"]), metric("a"), |_| ());
        grouped.await.unwrap();
        assert_eq!(
            fake.asked.load(Ordering::Relaxed),
            5,
            "another question each"
        );
        tokio::time::advance(Duration::from_secs(11)).await;
        permit("good", metric("a")).await.unwrap();
        assert_eq!(fake.asked.load(Ordering::Relaxed), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_not_known_to_may_may_not() {
        let (fake, access) = access();
        for (name, part) in [("hung", "within 5s"), ("broken", "no connection")] {
            for _ in 0..2 {
                let error = access
                    .permit(user(name, &[]), metric("a"), |_| ())
                    .await
                    .unwrap_err();
                assert!(error.contains(part), "{error}");
            }
        }
        assert_eq!(
            fake.asked.load(Ordering::Relaxed),
            4,
            "an error is not remembered"
        );
        let master = access
            .permit(user("broken", &[MASTERS]), metric("a"), |_| ())
            .await;
        assert_eq!(
            master,
            Ok(Verdict::Allowed),
            "as every server of Kubernetes has it"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_an_end() {
        let (_, access) = access();
        for number in 0..MOST_REMEMBERED + 10 {
            access
                .permit(user("good", &[]), metric(&number.to_string()), |_| ())
                .await
                .unwrap();
        }
        let remembered = access.remembered.lock().unwrap().len();
        assert!(remembered <= MOST_REMEMBERED, "{remembered}");
        access.remembered.lock().unwrap().clear();
        let long = Wish::Path("/".repeat(LONGEST_REMEMBERED));
        access
            .permit(user("good", &[]), long, |_| ())
            .await
            .unwrap();
        assert!(access.remembered.lock().unwrap().is_empty());
    }
}
