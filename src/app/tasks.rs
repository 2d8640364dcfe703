//! Tasks by name: each goes on untouched where what it is made from stays, and another of its name begins where it ended.

use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tasks in force, made from `T` each. At its end one leaves `H` to the next of its name.
#[derive(Debug)]
pub(super) struct Tasks<T, H> {
    pub(super) tracker: TaskTracker,
    stop: CancellationToken,
    pub(super) running: BTreeMap<String, Running<T, H>>,
    /// Those that are gone from the configuration, as one that comes back has to begin where they ended.
    pub(super) leaving: BTreeMap<String, JoinHandle<H>>,
}

/// A task in force.
#[derive(Debug)]
pub(super) struct Running<T, H> {
    terms: T,
    pub(super) stop: CancellationToken,
    pub(super) replaced: CancellationToken,
    task: JoinHandle<H>,
}

/// What a task has to know of its place.
#[derive(Debug)]
pub(super) struct Place<H> {
    /// Nobody goes on with what it does.
    pub(super) stop: CancellationToken,
    /// Another goes on with it.
    pub(super) replaced: CancellationToken,
    /// Who did it before, and may not be done yet.
    pub(super) former: Option<JoinHandle<H>>,
}

/// The tasks of a configuration: all their names, and what was built (`W`) of those that do not run already.
#[derive(Debug)]
pub(super) struct Prepared<T, W> {
    all: BTreeSet<String>,
    pub(super) new: Vec<(String, T, W)>,
}

// === impl Tasks ===

impl<T: PartialEq, H: Send + 'static> Tasks<T, H> {
    /// None yet. `tracker` waits for them, `stop` ends them with the process.
    pub(super) fn new(tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            tracker,
            stop,
            running: BTreeMap::new(),
            leaving: BTreeMap::new(),
        }
    }

    /// Puts a task into a configuration, and builds it where it does not run already from the same terms. Starts nothing.
    ///
    /// # Errors
    /// Those of `build`.
    pub(super) fn add<W>(
        &self,
        prepared: &mut Prepared<T, W>,
        (name, terms): (String, T),
        build: impl FnOnce(&T) -> Result<W, String>,
    ) -> Result<(), String> {
        prepared.all.insert(name.clone());
        let running = self.running.get(&name);
        if running.is_none_or(|running| running.terms != terms) {
            let built = build(&terms)?;
            prepared.new.push((name, terms, built));
        }
        Ok(())
    }

    /// Starts what is new or changed, stops what is gone or changed. Names that come are announced, those that go are forgotten.
    pub(super) fn commit<W, F>(
        &mut self,
        prepared: Prepared<T, W>,
        (announce, forget): (impl Fn(&str), impl Fn(&str)),
        run: impl Fn(W, Place<H>) -> F,
    ) where
        F: Future<Output = H> + Send + 'static,
    {
        let Prepared { all, new } = prepared;
        let is_gone = |name: &String, _: &mut Running<T, H>| !all.contains(name);
        for (name, gone) in self.running.extract_if(.., is_gone) {
            gone.stop.cancel();
            forget(&name);
            self.leaving.insert(name, gone.task);
        }
        for (name, terms, built) in new {
            let former = match self.running.remove(&name) {
                Some(running) => {
                    running.replaced.cancel();
                    Some(running.task)
                }
                None => {
                    announce(&name);
                    self.leaving.remove(&name)
                }
            };
            let (stop, replaced) = (self.stop.child_token(), CancellationToken::new());
            let place = Place {
                stop: stop.clone(),
                replaced: replaced.clone(),
                former,
            };
            let task = self.tracker.spawn(run(built, place));
            let running = Running {
                terms,
                stop,
                replaced,
                task,
            };
            self.running.insert(name, running);
        }
    }
}

impl<T, W> Default for Prepared<T, W> {
    fn default() -> Self {
        Self {
            all: BTreeSet::new(),
            new: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Tasks made from numbers, and what became of them.
    struct World {
        tasks: Tasks<u32, String>,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl World {
        fn put_in_force(&mut self, all: &[(&str, u32)]) {
            let mut prepared = Prepared::default();
            for &(name, number) in all {
                let terms = (name.to_owned(), number);
                let added = self
                    .tasks
                    .add(&mut prepared, terms, |number| Ok(format!("{name}{number}")));
                added.unwrap();
            }
            let said = Arc::clone(&self.said);
            let say = |text: String| said.lock().unwrap().push(text);
            let tell = (
                |name: &str| say(format!("{name} comes")),
                |name: &str| say(format!("{name} goes")),
            );
            self.tasks.commit(prepared, tell, |own, place| {
                let said = Arc::clone(&said);
                async move {
                    let former = match place.former {
                        Some(former) => former.await.unwrap(),
                        None => "nobody".to_owned(),
                    };
                    said.lock()
                        .unwrap()
                        .push(format!("{own} begins after {former}"));
                    let how = tokio::select! {
                        () = place.stop.cancelled() => "ended",
                        () = place.replaced.cancelled() => "replaced",
                    };
                    format!("{own}, {how}")
                }
            });
        }

        async fn said(&self) -> Vec<String> {
            // Everybody who can go on does.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            std::mem::take(&mut self.said.lock().unwrap())
        }
    }

    #[tokio::test]
    async fn who_changes_or_comes_back_begins_where_the_former_ended() {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let mut world = World {
            tasks: Tasks::new(tracker.clone(), stop.clone()),
            said: Arc::default(),
        };
        world.put_in_force(&[("a", 1), ("b", 1)]);
        let begun = [
            "a comes",
            "b comes",
            "a1 begins after nobody",
            "b1 begins after nobody",
        ];
        assert_eq!(world.said().await, begun);
        world.put_in_force(&[("a", 1), ("b", 2)]);
        assert_eq!(world.said().await, ["b2 begins after b1, replaced"]);
        world.put_in_force(&[("b", 2)]);
        assert_eq!(world.said().await, ["a goes"]);
        world.put_in_force(&[("a", 1), ("b", 2)]);
        assert_eq!(
            world.said().await,
            ["a comes", "a1 begins after a1, ended"],
            "also where it was gone for a while"
        );
        assert!(world.tasks.leaving.is_empty());
        let problem = world
            .tasks
            .add(&mut Prepared::default(), ("a".to_owned(), 2), |_| {
                Err::<(), _>("no".to_owned())
            });
        assert_eq!(problem, Err("no".to_owned()));
        stop.cancel();
        tracker.close();
        tracker.wait().await;
    }
}
