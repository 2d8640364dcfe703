//! The running set of units: started, kept, replaced and stopped as the configuration says.

use super::{
    EvaluatePanel, EvaluateSignal, FleetPlan, Listener, PanelPlan, SignalPlan, desk::Desk,
    panel::PanelTask, signal::SignalTask,
};
use crate::{
    engine::{
        SignalSettings,
        catalogue::{Catalogue, UnitHandle, UnitReport},
        clock::Clock,
        outcome::Outcome,
        pool::Pool,
        schedule::Timing,
    },
    series::{Millis, Span},
    source::Cause,
    telemetry::EngineEvents,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pause before a task that panicked outside the pool is started again.
const PAUSE: Duration = Duration::from_secs(10);

/// What all units share.
#[derive(Debug, Clone)]
pub struct FleetParts {
    /// What readers see.
    pub catalogue: Arc<Catalogue>,
    /// Where units compute.
    pub pool: Pool,
    /// The time.
    pub clock: Clock,
    /// What is counted and logged.
    pub events: Arc<EngineEvents>,
    /// What waits for the tasks at shutdown.
    pub tracker: TaskTracker,
    /// Ends every task.
    pub stop: CancellationToken,
}

/// A plan whose new units are built; nothing runs yet.
#[derive(Debug)]
pub struct Prepared {
    interval: Span,
    signals: Vec<(SignalPlan, Option<Box<dyn EvaluateSignal>>)>,
    panels: Vec<(PanelPlan, Option<Box<dyn EvaluatePanel>>)>,
}

/// The running set of units.
#[derive(Debug)]
pub struct Fleet {
    parts: FleetParts,
    interval: Span,
    signals: BTreeMap<String, Running<SignalPlan>>,
    panels: BTreeMap<String, Running<PanelPlan>>,
}

#[derive(Debug)]
struct Running<P> {
    plan: P,
    handle: Arc<UnitHandle>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

// === impl Fleet ===

impl Fleet {
    /// A fleet in which nothing runs.
    pub fn new(parts: FleetParts) -> Self {
        Self {
            parts,
            interval: Span::default(),
            signals: BTreeMap::new(),
            panels: BTreeMap::new(),
        }
    }

    /// What readers see.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.parts.catalogue)
    }

    /// Builds the units that are new or changed. Starts and stops nothing.
    ///
    /// A signal stays untouched where its settings, its source and the interval are the same, and no
    /// new or changed panel is to listen to it: a panel needs its signals' past from the start.
    ///
    /// # Errors
    /// What in the settings cannot be, with the name of the signal or panel.
    pub fn prepare(&self, plan: FleetPlan) -> Result<Prepared, String> {
        let started = self.changed(&plan);
        let mut names = BTreeSet::new();
        let mut claim = |name: &str| {
            let free = names.insert(name.to_owned());
            free.then_some(())
                .ok_or_else(|| format!("the name {name:?} is used twice"))
        };
        let mut prepared = Prepared {
            interval: plan.interval,
            signals: Vec::new(),
            panels: Vec::new(),
        };
        for signal in plan.signals {
            let name = &signal.settings.name;
            claim(name)?;
            let build = || (signal.make)().map_err(|problem| format!("signal {name:?}: {problem}"));
            let unit = started.contains(name.as_str()).then(build).transpose()?;
            prepared.signals.push((signal, unit));
        }
        for panel in plan.panels {
            let name = &panel.settings.name;
            claim(name)?;
            for input in &panel.settings.signals {
                if !prepared
                    .signals
                    .iter()
                    .any(|(signal, _)| signal.settings.name == *input)
                {
                    return Err(format!("panel {name:?}: there is no signal {input:?}"));
                }
            }
            let build = || (panel.make)().map_err(|problem| format!("panel {name:?}: {problem}"));
            let unit = started.contains(name.as_str()).then(build).transpose()?;
            prepared.panels.push((panel, unit));
        }
        Ok(prepared)
    }

    /// Names of the units that are to be started: new, changed, or wired to one that is.
    fn changed(&self, plan: &FleetPlan) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for signal in &plan.signals {
            let name = &signal.settings.name;
            let same = self.interval == plan.interval
                && self
                    .signals
                    .get(name)
                    .is_some_and(|old| old.plan.same(signal));
            if !same {
                changed.insert(name.clone());
            }
        }
        loop {
            let before = changed.len();
            for PanelPlan { settings, .. } in &plan.panels {
                let old = self.panels.get(&settings.name);
                let same = old.is_some_and(|old| old.plan.settings == *settings)
                    && !settings
                        .signals
                        .iter()
                        .any(|signal| changed.contains(signal));
                if !same {
                    changed.insert(settings.name.clone());
                    changed.extend(settings.signals.iter().cloned());
                }
            }
            if changed.len() == before {
                return changed;
            }
        }
    }

    /// Stops what is gone or changed, starts what is new or changed, keeps the rest untouched.
    ///
    /// What is gone disappears at once. What changed goes on showing its old outcome until it has a
    /// new one, or until that is too old.
    pub async fn commit(&mut self, prepared: Prepared) {
        let mut signals = std::mem::take(&mut self.signals);
        let mut panels = std::mem::take(&mut self.panels);
        let mut ended = Vec::new();
        for (plan, unit) in &prepared.signals {
            if unit.is_none() {
                keep(&mut signals, &mut self.signals, &plan.settings.name);
            }
        }
        for (plan, unit) in &prepared.panels {
            if unit.is_none() {
                keep(&mut panels, &mut self.panels, &plan.settings.name);
            }
        }
        let mut old = BTreeMap::new();
        for (name, running) in signals {
            ended.push(running.task);
            running.stop.cancel();
            old.insert(name, running.handle);
        }
        for (name, running) in panels {
            ended.push(running.task);
            running.stop.cancel();
            old.insert(name, running.handle);
        }
        self.interval = prepared.interval;
        self.start(prepared, &mut old);
        self.publish();
        for task in ended {
            // Cancelled or panicked, it has ended: only then are its metrics not written again.
            drop(task.await);
        }
        for name in old.into_keys() {
            self.parts.events.forget(&name);
        }
    }

    /// Starts the units that were built. Takes those that succeed an old one from `old`.
    fn start(&mut self, prepared: Prepared, old: &mut BTreeMap<String, Arc<UnitHandle>>) {
        let settings: BTreeMap<String, SignalSettings> = prepared
            .signals
            .iter()
            .map(|(plan, _)| (plan.settings.name.clone(), plan.settings.clone()))
            .collect();
        let mut listeners: BTreeMap<String, Vec<Listener>> = BTreeMap::new();
        for (plan, unit) in prepared.panels {
            if let Some(unit) = unit {
                let former = old.remove(&plan.settings.name);
                self.start_panel(plan, unit, &settings, &mut listeners, former);
            }
        }
        for (plan, unit) in prepared.signals {
            if let Some(unit) = unit {
                let former = old.remove(&plan.settings.name);
                let listeners = listeners.remove(&plan.settings.name).unwrap_or_default();
                self.start_signal(plan, unit, listeners, former);
            }
        }
    }

    fn start_signal(
        &mut self,
        plan: SignalPlan,
        unit: Box<dyn EvaluateSignal>,
        listeners: Vec<Listener>,
        former: Option<Arc<UnitHandle>>,
    ) {
        let settings = &plan.settings;
        let causes = Cause::ALL.map(Cause::as_str);
        self.parts.events.begin(&settings.name, causes);
        let shape = Shape {
            name: &settings.name,
            kind: "signal",
            step: settings.step,
            max_age: settings.max_age(),
        };
        let (desk, handle) = self.desk(&shape, former);
        let task = Arc::new(SignalTask {
            desk,
            query: settings.query.clone(),
            max_series: settings.max_series,
            share: plan.share.clone(),
            timing: Timing {
                grid: unit.grid(),
                interval: self.interval.as_millis(),
                offset: settings.offset.as_millis(),
                history: settings.history().as_millis(),
                max_age: shape.max_age.as_millis(),
            },
            source: Arc::clone(&plan.source),
            make: Arc::clone(&plan.make),
            kept: std::sync::Mutex::default(),
            clock: self.parts.clock.clone(),
            pool: self.parts.pool.clone(),
            listeners,
        });
        let mut first = Some(unit);
        let (stop, running) = self.supervise(settings.name.clone(), move || {
            Arc::clone(&task).run(first.take())
        });
        let running = Running {
            handle,
            stop,
            task: running,
            plan,
        };
        self.signals
            .insert(running.plan.settings.name.clone(), running);
    }

    fn start_panel(
        &mut self,
        plan: PanelPlan,
        unit: Box<dyn EvaluatePanel>,
        signals: &BTreeMap<String, SignalSettings>,
        listeners: &mut BTreeMap<String, Vec<Listener>>,
        former: Option<Arc<UnitHandle>>,
    ) {
        let settings = &plan.settings;
        self.parts.events.begin(&settings.name, []);
        let inputs: Vec<&SignalSettings> = settings
            .signals
            .iter()
            .filter_map(|name| signals.get(name))
            .collect();
        let step = inputs
            .iter()
            .map(|input| input.step)
            .max()
            .unwrap_or_default();
        let shape = Shape {
            name: &settings.name,
            kind: "panel",
            step,
            max_age: inputs
                .iter()
                .map(|input| input.max_age())
                .max()
                .unwrap_or_default(),
        };
        let (desk, handle) = self.desk(&shape, former);
        let (sender, receiver) = mpsc::channel(super::CHANNEL);
        let memory = unit.memory();
        for (input, name) in settings.signals.iter().enumerate() {
            let sender = sender.clone();
            listeners.entry(name.clone()).or_default().push(Listener {
                input,
                memory,
                sender,
            });
        }
        let task = Arc::new(PanelTask {
            desk,
            inputs: settings
                .signals
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            grace: grace(&inputs, self.interval),
            memory,
            make: Arc::clone(&plan.make),
            clock: self.parts.clock.clone(),
            pool: self.parts.pool.clone(),
        });
        let (mut first, receiver) = (Some(unit), Arc::new(Mutex::new(receiver)));
        let (stop, running) = self.supervise(settings.name.clone(), move || {
            Arc::clone(&task).run(first.take(), Arc::clone(&receiver))
        });
        let running = Running {
            handle,
            stop,
            task: running,
            plan,
        };
        self.panels
            .insert(running.plan.settings.name.clone(), running);
    }

    /// What a unit writes to, and what readers see of it. A unit that succeeds an old one begins with
    /// its outcome.
    fn desk(&self, shape: &Shape<'_>, former: Option<Arc<UnitHandle>>) -> (Desk, Arc<UnitHandle>) {
        let before: Option<Arc<Outcome>> =
            former.and_then(|former| former.outcome.borrow().clone());
        let (outcome, receiver) = watch::channel(before);
        let report = UnitReport {
            name: shape.name.to_owned(),
            kind: shape.kind.to_owned(),
            phase: "waiting".to_owned(),
            silent_because: Some("not started yet".to_owned()),
            ..UnitReport::default()
        };
        let handle = Arc::new(UnitHandle {
            name: shape.name.into(),
            kind: shape.kind,
            step: shape.step,
            outcome: receiver,
            max_age: shape.max_age,
            report: Arc::new(std::sync::Mutex::new(report)),
            trail: Arc::default(),
        });
        let desk = Desk {
            name: Arc::clone(&handle.name),
            events: Arc::clone(&self.parts.events),
            report: Arc::clone(&handle.report),
            trail: Arc::clone(&handle.trail),
            outcome,
            max_age: shape.max_age,
            demand: Arc::clone(self.parts.catalogue.demand()),
        };
        (desk, handle)
    }

    /// Runs the future that `make` gives until it is stopped; makes another where one panics.
    fn supervise<F, T>(&self, name: String, mut make: F) -> (CancellationToken, JoinHandle<()>)
    where
        F: FnMut() -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let stop = self.parts.stop.child_token();
        let (stopped, events) = (stop.clone(), Arc::clone(&self.parts.events));
        let supervisor = async move {
            let mut tasks = JoinSet::new();
            while !stopped.is_cancelled() {
                tasks.spawn(make());
                tokio::select! {
                    () = stopped.cancelled() => break,
                    ended = tasks.join_next() => {
                        if let Some(Err(error)) = ended {
                            events.panicked(&name, &error);
                        }
                    }
                }
                tokio::select! {
                    () = stopped.cancelled() => break,
                    () = sleep(PAUSE) => {}
                }
            }
            tasks.shutdown().await;
        };
        (stop, self.parts.tracker.spawn(supervisor))
    }

    fn publish(&self) {
        let signals = self.signals.values().map(|running| &running.handle);
        let panels = self.panels.values().map(|running| &running.handle);
        let handles = signals.chain(panels).map(Arc::clone).collect();
        self.parts.catalogue.replace(handles);
    }
}

/// What readers must know of a unit before it says anything.
struct Shape<'a> {
    name: &'a str,
    kind: &'static str,
    step: Span,
    max_age: Span,
}

fn keep<P>(
    from: &mut BTreeMap<String, Running<P>>,
    to: &mut BTreeMap<String, Running<P>>,
    name: &str,
) {
    if let Some((name, running)) = from.remove_entry(name) {
        to.insert(name, running);
    }
}

/// How long the first outcome of a grid time waits for the others: signals may differ in offset, each
/// tick has its hash delay, and an answer may take a while.
fn grace(inputs: &[&SignalSettings], interval: Span) -> Millis {
    let offsets = inputs.iter().map(|input| input.offset.as_millis());
    let apart = offsets.clone().max().unwrap_or(0) - offsets.min().unwrap_or(0);
    apart + interval.as_millis()
}
