//! What a shard has learned of its series: their baseline and the detectors that look at each series
//! by itself.

use super::{
    columns::Columns,
    plan::Plan,
    restraint::{Restraint, View},
};
use crate::{
    baseline::{Band, Baseline},
    detect::{Batch, Detector, KINDS, Scope},
    engine::guard::guarded,
    quality::{Finding, Validator},
    series::{Labels, Millis, Past, Slot},
};
use std::{borrow::Cow, cell::Cell, sync::Arc};

/// Baseline and detectors of one shard.
#[derive(Debug)]
pub(super) struct Learned {
    plan: Arc<Plan>,
    baseline: Component<Box<dyn Baseline>>,
    /// With each its position in the configured list.
    detectors: Vec<(usize, Component<Box<dyn Detector>>)>,
    restraint: Restraint,
    validator: Validator,
}

/// Something that may panic, and the slots for which it did. Those are left out until their next epoch.
#[derive(Debug)]
struct Component<T> {
    inner: T,
    kind: &'static str,
    broken: Vec<bool>,
}

impl<T> Component<T> {
    fn new(inner: T, kind: &'static str) -> Self {
        Self {
            inner,
            kind,
            broken: Vec::new(),
        }
    }

    /// Runs `work` for one slot; a panic marks the slot as broken.
    fn run(&mut self, slot: Slot, panics: &mut Vec<&'static str>, work: impl FnOnce(&mut T)) {
        if self.broken[slot] {
            return;
        }
        if guarded(|| work(&mut self.inner)).is_none() {
            self.broken[slot] = true;
            panics.push(self.kind);
        }
    }
}

impl Learned {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        let detectors = plan.scoped(Scope::Series).into_iter().map(|position| {
            let detector = plan.detector(position);
            let kind = detector.kind();
            (position, Component::new(detector, kind))
        });
        Self {
            baseline: Component::new(plan.baseline(), "baseline"),
            detectors: detectors.collect(),
            restraint: Restraint::new(plan),
            validator: Validator::new(plan.checks.clone()),
            plan: Arc::clone(plan),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.baseline.inner.grow(slots);
        self.baseline.broken.resize(slots, false);
        self.restraint.grow(slots);
        self.validator.grow(slots);
        for (_, detector) in &mut self.detectors {
            detector.inner.grow(slots);
            detector.broken.resize(slots, false);
        }
    }

    pub(super) fn evict(&mut self, slot: Slot) {
        self.baseline.broken[slot] = false;
        self.baseline.inner.evict(slot);
        self.restraint.evict(slot);
        self.validator.evict(slot);
        for (_, detector) in &mut self.detectors {
            detector.broken[slot] = false;
            detector.inner.reset(slot);
        }
    }

    /// Tells the labels of a series.
    pub(super) fn assign(&mut self, slot: Slot, labels: &Labels) {
        for (_, detector) in &mut self.detectors {
            detector.inner.assign(slot, labels);
        }
    }

    /// Exchanges what is known of two series.
    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        self.baseline.inner.swap(one, other);
        self.baseline.broken.swap(one, other);
        self.restraint.swap(one, other);
        self.validator.swap(one, other);
        for (_, detector) in &mut self.detectors {
            detector.inner.swap(one, other);
            detector.broken.swap(one, other);
        }
    }

    /// Does a piece of what the next step will need; `false` where nothing is left. What panics here will again in
    /// its step, where it is counted.
    pub(super) fn prepare(&mut self) -> bool {
        let mut detectors = self.detectors.iter_mut();
        detectors.any(|(_, detector)| guarded(|| detector.inner.prepare()).unwrap_or(false))
    }

    /// Derives one series from its past: learns the baseline, then walks the past.
    pub(super) fn derive(&mut self, slot: Slot, past: &Past<'_>, panics: &mut Vec<&'static str>) {
        self.fit(slot, past, panics);
        if !past.values.is_empty() {
            self.walk(slot, past.time(0), past.values, panics);
        }
    }

    /// First part of deriving one series from its past: learns the baseline, and forgets the rest. What is left is
    /// to walk the past.
    pub(super) fn fit(&mut self, slot: Slot, past: &Past<'_>, panics: &mut Vec<&'static str>) {
        self.baseline.broken[slot] = false;
        let believed = self.plan.checks.believed(past.values);
        let past = Past {
            values: &believed,
            ..*past
        };
        self.baseline
            .run(slot, panics, |baseline| baseline.fit(slot, &past));
        self.restraint.evict(slot);
        self.validator.evict(slot);
        for (_, detector) in &mut self.detectors {
            detector.broken[slot] = false;
            detector.run(slot, panics, |detector| detector.reset(slot));
        }
    }

    /// Steps one series over `values`, the first of them at grid time `from`; gives those that were believed, the others as
    /// `NaN`.
    pub(super) fn walk(
        &mut self,
        slot: Slot,
        from: Millis,
        values: &[f32],
        panics: &mut Vec<&'static str>,
    ) -> Vec<f32> {
        let step = self.plan.grid.step();
        let mut believed = values.to_vec();
        let mut one = Columns {
            slots: vec![slot],
            values: vec![f32::NAN],
            bands: vec![Band::UNKNOWN],
            scores: vec![vec![f32::NAN]; self.plan.detectors.len()],
            doubts: vec![None],
            ..Columns::default()
        };
        for (index, &value) in values.iter().enumerate() {
            let at = from + index as i64 * step;
            one.values[0] = value;
            self.step_one(at, 0, self.plan.exclusions.not_judged(at), &mut one);
            if one.doubts[0].is_some() {
                believed[index] = f32::NAN;
            }
        }
        panics.append(&mut one.panics);
        believed
    }

    /// Steps all series of `columns` at once. `false`: something panicked, and the state of all must
    /// be derived anew before [`Learned::step_each`].
    ///
    /// Where nothing is to be learned, copies of the detectors score the values, and what goes on
    /// sees them as missing: as it will when it is derived from the past.
    pub(super) fn step(&mut self, at: Millis, columns: &mut Columns) -> bool {
        self.restraint
            .leniencies(&columns.slots, &mut columns.lenient);
        let any_broken = |broken: &[bool]| broken.iter().any(|&broken| broken);
        if any_broken(&self.baseline.broken)
            || self
                .detectors
                .iter()
                .any(|(_, detector)| any_broken(&detector.broken))
        {
            self.step_each(at, columns);
            return true;
        }
        let Columns {
            slots,
            values,
            bands,
            scores,
            doubts,
            panics,
            ..
        } = columns;
        self.doubt(at, slots, values, doubts);
        let seen = without(values, doubts, Finding::is_impossible);
        let learns = self.plan.learnable(at, &seen);
        let ordinary = self.restraint.ordinary(slots, &learns);
        let ordinary = without(&ordinary, doubts, |_| true);
        // What runs is read after a panic, so it lives outside the closure.
        let running = Cell::new(self.baseline.kind);
        let done = guarded(|| {
            self.baseline.inner.expect(at, slots, bands);
            let batch = Batch {
                at,
                slots,
                values: &seen,
                bands,
            };
            for (position, detector) in &mut self.detectors {
                running.set(detector.kind);
                let out = &mut scores[*position];
                step(&mut detector.inner, &batch, &learns, out);
            }
            running.set(self.baseline.kind);
            self.baseline.inner.observe(at, slots, &ordinary);
        });
        if done.is_none() {
            panics.push(running.get());
            return false;
        }
        self.restraint.step(View {
            at,
            slots,
            values,
            ordinary: &ordinary,
            bands,
            scores: &scores.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            blind: self.plan.exclusions.any(at),
        });
        true
    }

    /// Steps the series one by one, so that a panic harms no other.
    pub(super) fn step_each(&mut self, at: Millis, columns: &mut Columns) {
        self.restraint
            .leniencies(&columns.slots, &mut columns.lenient);
        let blind = self.plan.exclusions.any(at);
        columns.doubts.clear();
        columns.doubts.resize(columns.slots.len(), None);
        for index in 0..columns.slots.len() {
            self.step_one(at, index, blind, columns);
        }
    }

    /// Steps the series at position `index` of `columns`.
    fn step_one(&mut self, at: Millis, index: usize, blind: bool, columns: &mut Columns) {
        let Columns {
            slots,
            values,
            bands,
            scores,
            doubts,
            panics,
            ..
        } = columns;
        let one = index..index + 1;
        let (slot, slots) = (slots[index], &slots[one.clone()]);
        let (values, bands) = (&values[one.clone()], &mut bands[one.clone()]);
        let learned = !self.plan.exclusions.not_learned(at);
        let grid_index = self.plan.grid.index(at);
        doubts[index] = self.validator.step(slot, grid_index, values[0], learned);
        let doubt = &doubts[one.clone()];
        let seen = without(values, doubt, Finding::is_impossible);
        let learns = self.plan.learnable(at, &seen);
        let ordinary = self.restraint.ordinary(slots, &learns);
        let ordinary = without(&ordinary, doubt, |_| true);
        bands.fill(Band::UNKNOWN);
        self.baseline
            .run(slot, panics, |baseline| baseline.expect(at, slots, bands));
        let batch = Batch {
            at,
            slots,
            values: &seen,
            bands,
        };
        for (position, detector) in &mut self.detectors {
            let out = &mut scores[*position][one.clone()];
            out.fill(f32::NAN);
            detector.run(slot, panics, |detector| {
                step(detector, &batch, &learns, out);
            });
            if detector.broken[slot] {
                out.fill(f32::NAN);
            }
        }
        self.baseline.run(slot, panics, |baseline| {
            baseline.observe(at, slots, &ordinary)
        });
        // No more than one of each kind: a list on the stack, since every step of every past comes by.
        let mut members = [&[][..]; KINDS.len()];
        for (member, column) in members.iter_mut().zip(scores.iter()) {
            *member = &column[one.clone()];
        }
        self.restraint.step(View {
            at,
            slots,
            values,
            ordinary: &ordinary,
            bands,
            scores: &members[..scores.len()],
            blind,
        });
    }

    /// Which of these values are not believed, and why.
    fn doubt(
        &mut self,
        at: Millis,
        slots: &[Slot],
        values: &[f32],
        doubts: &mut Vec<Option<Finding>>,
    ) {
        let index = self.plan.grid.index(at);
        let learned = !self.plan.exclusions.not_learned(at);
        doubts.clear();
        let looked = slots.iter().zip(values);
        doubts
            .extend(looked.map(|(&slot, &value)| self.validator.step(slot, index, value, learned)));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let detectors = self
            .detectors
            .iter()
            .map(|(_, detector)| detector.inner.heap_bytes());
        self.baseline.inner.heap_bytes()
            + self.restraint.heap_bytes()
            + self.validator.heap_bytes()
            + detectors.sum::<usize>()
    }
}

/// The values without those of which something is found that `hides` them: `NaN` in their place.
fn without<'v>(
    values: &'v [f32],
    doubts: &[Option<Finding>],
    hides: fn(Finding) -> bool,
) -> Cow<'v, [f32]> {
    let mut left = Cow::Borrowed(values);
    for (index, doubt) in doubts.iter().enumerate() {
        if doubt.is_some_and(hides) {
            left.to_mut()[index] = f32::NAN;
        }
    }
    left
}

/// Scores the values of `batch`; the detector goes on as if they had been `learns`.
fn step(detector: &mut Box<dyn Detector>, batch: &Batch<'_>, learns: &[f32], out: &mut [f32]) {
    if std::ptr::eq(batch.values, learns) {
        detector.step(batch, out);
        return;
    }
    detector.copied().step(batch, out);
    let missing = Batch {
        values: learns,
        ..*batch
    };
    detector.step(&missing, &mut vec![f32::NAN; learns.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{SignalSettings, UnitOptions},
        forecast::ModelFiles,
    };

    /// Panics on 13 and is content with everything else.
    #[derive(Debug, Clone)]
    struct Superstitious;

    impl Detector for Superstitious {
        fn kind(&self) -> &'static str {
            "superstitious"
        }

        fn scope(&self) -> Scope {
            Scope::Series
        }

        fn memory(&self) -> usize {
            1
        }

        fn grow(&mut self, _slots: usize) {}

        fn reset(&mut self, _slot: Slot) {}

        fn swap(&mut self, _one: Slot, _other: Slot) {}

        fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
            for (value, score) in batch.values.iter().zip(out) {
                assert!(*value != 13.0, "thirteen");
                *score = 0.5;
            }
        }

        fn heap_bytes(&self) -> usize {
            0
        }
    }

    fn learned() -> Learned {
        let settings: SignalSettings = serde_yaml::from_str("{name: load, query: up}").unwrap();
        let plan = Plan::new(&settings, &UnitOptions::default(), &ModelFiles::new()).unwrap();
        let mut learned = Learned::new(&Arc::new(plan));
        let superstitious: Box<dyn Detector> = Box::new(Superstitious);
        learned.detectors = vec![(0, Component::new(superstitious, "superstitious"))];
        learned.grow(3);
        learned
    }

    fn columns(values: [f32; 3]) -> Columns {
        Columns {
            slots: vec![0, 1, 2],
            values: values.to_vec(),
            bands: vec![Band::UNKNOWN; 3],
            scores: vec![vec![f32::NAN; 3]],
            ..Columns::default()
        }
    }

    #[test]
    fn a_series_that_makes_a_detector_panic_harms_no_other() {
        let mut learned = learned();
        let mut bad = columns([1.0, 13.0, 2.0]);
        assert!(!learned.step(0, &mut bad), "the shard must be derived anew");
        assert_eq!(bad.panics, ["superstitious"]);

        bad.panics.clear();
        learned.step_each(0, &mut bad);
        assert_eq!(bad.panics, ["superstitious"]);
        assert_eq!((bad.scores[0][0], bad.scores[0][2]), (0.5, 0.5));
        assert!(bad.scores[0][1].is_nan());

        let mut next = columns([1.0, 1.0, 1.0]);
        assert!(learned.step(60_000, &mut next));
        assert_eq!(next.scores[0][0], 0.5);
        assert!(next.scores[0][1].is_nan(), "left out until its next epoch");

        let zone = crate::series::Zone::default();
        let past = Past {
            end: 60_000,
            grid: learned.plan.grid,
            values: &[1.0, 1.0],
            seasons: &[],
            zone: &zone,
        };
        learned.derive(1, &past, &mut Vec::new());
        let mut healed = columns([1.0, 1.0, 1.0]);
        assert!(learned.step(120_000, &mut healed));
        assert_eq!(healed.scores[0], [0.5, 0.5, 0.5]);
    }

    /// A day of ordinary values, six hours at zero, an hour of ordinary values.
    fn outage() -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(3);
        let mut values: Vec<f32> = (0..1_860).map(|_| 100.0 + random.f32()).collect();
        values[1_440..1_800].fill(0.0);
        values
    }

    fn plan(settings: &str) -> Arc<Plan> {
        let settings: SignalSettings = serde_yaml::from_str(settings).unwrap();
        let plan = Plan::new(&settings, &UnitOptions::default(), &ModelFiles::new());
        Arc::new(plan.unwrap())
    }

    /// One series as it is after minute 999 of `values`.
    fn derived(plan: &Arc<Plan>, values: &[f32]) -> Learned {
        let mut learned = Learned::new(plan);
        learned.grow(1);
        let past = plan.past(999 * 60_000, &values[..1_000], &[]);
        learned.derive(0, &past, &mut Vec::new());
        learned
    }

    /// Lives through the rest of `values`; what was expected at each step.
    fn live(learned: &mut Learned, values: &[f32]) -> Vec<f32> {
        let step = |(index, &value): (usize, &f32)| {
            let mut columns = Columns {
                slots: vec![0],
                values: vec![value],
                bands: vec![Band::UNKNOWN],
                scores: vec![vec![f32::NAN]; learned.plan.detectors.len()],
                ..Columns::default()
            };
            assert!(learned.step((1_000 + index as i64) * 60_000, &mut columns));
            columns.bands[0].expected
        };
        values[1_000..].iter().enumerate().map(step).collect()
    }

    /// Walks over the rest of `values`, as a process that starts later does.
    fn walk(learned: &mut Learned, values: &[f32]) {
        let begin = 1_000 * 60_000;
        let exclusions = &Arc::clone(&learned.plan).exclusions;
        let values = exclusions.learnable(begin, 60_000, &values[1_000..]);
        learned.walk(0, begin, &values, &mut Vec::new());
    }

    fn held_back(learned: &Learned) -> String {
        format!("{:?} {:?}", learned.baseline, learned.restraint)
    }

    #[test]
    fn the_walk_over_the_past_holds_back_what_the_live_step_does() {
        let (plan, values) = (plan("{name: load, query: up}"), outage());
        let (mut lived, mut walked) = (derived(&plan, &values), derived(&plan, &values));
        let expected = live(&mut lived, &values);
        walk(&mut walked, &values);
        assert_eq!(held_back(&lived), held_back(&walked));
        // Six hours at zero have moved what is expected by less than a hundredth.
        let (before, after) = (expected[430], expected[850]);
        assert!((before - after).abs() < 1.0, "{before} {after}");
    }

    /// The walk does not see what is left out of training, and the live step must not make anything of it.
    #[test]
    fn the_walk_agrees_where_the_way_back_is_left_out_of_training() {
        let plan = plan(
            "{name: load, query: up, exclude: [{from: 1970-01-02T06:02:00Z, to: 1970-01-02T06:20:00Z, for: [training]}]}",
        );
        let mut values = outage();
        values[1_700..1_703].fill(f32::NAN);
        let (mut lived, mut walked) = (derived(&plan, &values), derived(&plan, &values));
        live(&mut lived, &values);
        walk(&mut walked, &values);
        assert_eq!(held_back(&lived), held_back(&walked));
    }
}
