//! A workload, as written in configuration.

use super::{
    Capacity, DemandSettings, GateSettings, LeadTime, Limits, Mode, RuleSettings,
    budget::{CostSettings, SpotSettings, cost_per_hour},
    emergency::EmergencySettings,
    events::EventSettings,
    queue::QueueSettings,
    schedule::ScheduleSettings,
    verify::VerifySettings,
};
use crate::series::{Calendar, Millis, Span};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

/// A shorter gap between decisions is none.
const LEAST_MEMORY: Span = Span::minutes(5);
/// The quantiles that scaling may ask for.
const LEVELS: std::ops::RangeInclusive<f64> = 0.5..=0.995;
/// Ten rules of thumb are a policy, a thousand a mistake.
const MOST_RULES: usize = 64;

/// A workload, as written in configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name: the label `workload`.
    pub name: String,
    /// What is asked of it.
    pub demand: DemandSettings,
    /// What one replica can take, in the unit of the demand.
    pub capacity_per_replica: Capacity,
    /// How large it is.
    #[serde(default)]
    pub replicas: Option<ReplicasSettings>,
    /// From a decision until a new replica is ready.
    #[serde(default)]
    pub lead_time: LeadTime,
    /// From the demand until the autoscaler has acted on it: scrape, evaluation, poll, sync.
    #[serde(default = "default_pipeline")]
    pub pipeline: Span,
    /// How often decisions are made; `evaluation_interval` where left out.
    #[serde(default)]
    pub review: Option<Span>,
    /// What a replica costs, and what a missing one does.
    #[serde(default)]
    pub cost: Option<CostSettings>,
    /// The quantile of demand to be ready for; follows from `cost` where left out.
    #[serde(default)]
    pub level: Option<f64>,
    /// What the size may be, and how quickly it may change.
    #[serde(default)]
    pub limits: Limits,
    /// When the forecast counts.
    #[serde(default)]
    pub gate: GateSettings,
    /// What a recommendation may do.
    #[serde(default)]
    pub mode: Mode,
    /// PromQL over the current series of this process.
    #[serde(default)]
    pub rules: Vec<RuleSettings>,
    /// Least and greatest sizes of certain times.
    #[serde(default)]
    pub schedules: Vec<ScheduleSettings>,
    /// What events do to it.
    #[serde(default)]
    pub events: EventSettings,
    /// The queue in front of it.
    #[serde(default)]
    pub queue: Option<QueueSettings>,
    /// When the host is critical.
    #[serde(default)]
    pub emergency: Option<EmergencySettings>,
    /// Whether a recommendation did good.
    #[serde(default)]
    pub verify: VerifySettings,
    /// The autoscaler leaves the size alone where the demand is within this share of it.
    #[serde(default = "default_tolerance")]
    pub tolerance: f64,
    /// Who goes first where something is shared; higher first.
    #[serde(default)]
    pub priority: i32,
    /// What one replica takes of what is shared, by name.
    #[serde(default)]
    pub uses: BTreeMap<String, f64>,
    /// Replicas that may vanish.
    #[serde(default)]
    pub spot: Option<SpotSettings>,
    /// `global.evaluation_interval`.
    #[serde(skip, default = "default_interval")]
    pub interval: Span,
    /// A grid slot of the signal is evaluated so long after its end: its `offset`.
    #[serde(skip, default = "default_offset")]
    pub offset: Span,
    /// The calendars that schedules refer to, by name.
    #[serde(skip)]
    pub calendars: BTreeMap<String, Arc<Calendar>>,
}

/// How large a workload is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicasSettings {
    /// Replicas that do work, one value.
    pub query: String,
    /// Replicas that were asked for, one value.
    #[serde(default)]
    pub wanted: Option<String>,
    /// A reading counts for so long.
    #[serde(default = "default_age")]
    pub max_age: Span,
}

const fn default_pipeline() -> Span {
    Span::seconds(75)
}

pub(super) const fn default_age() -> Span {
    Span::minutes(2)
}

const fn default_tolerance() -> f64 {
    0.1
}

const fn default_offset() -> Span {
    Span::seconds(30)
}

const fn default_interval() -> Span {
    Span::seconds(30)
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        self.validate_own(&mut problems);
        let mut within = |field: &str, found: Vec<(String, String)>| {
            let join = |inner: String| match inner.is_empty() {
                true => field.to_owned(),
                false => format!("{field}.{inner}"),
            };
            problems.extend(found.into_iter().map(|(inner, text)| (join(inner), text)));
        };
        let complete = self.demand.complete.iter();
        within(
            "demand.complete",
            complete.flat_map(|one| one.validate()).collect(),
        );
        within("capacity_per_replica", self.capacity_per_replica.validate());
        within("lead_time", self.lead_time.validate());
        within("limits", self.limits.validate());
        within("gate", self.gate.validate());
        within("events", self.events.validate());
        within("verify", self.verify.validate());
        for (index, rule) in self.rules.iter().enumerate() {
            within(&format!("rules[{index}]"), rule.validate());
        }
        for (index, schedule) in self.schedules.iter().enumerate() {
            within(&format!("schedules[{index}]"), schedule.validate());
        }
        within(
            "cost",
            self.cost.iter().flat_map(|one| one.validate()).collect(),
        );
        within(
            "spot",
            self.spot.iter().flat_map(|one| one.validate()).collect(),
        );
        within(
            "queue",
            self.queue.iter().flat_map(|one| one.validate()).collect(),
        );
        let emergency = self.emergency.iter().flat_map(|one| one.validate());
        within("emergency", emergency.collect());
        problems
    }

    /// The quantile of demand to be ready for: given, or the critical ratio of the newsvendor,
    /// `shortfall / (shortfall + replica)`; 0.95 where neither is known. Within 0.5 to 0.995.
    pub fn level(&self) -> f64 {
        let from_cost = || self.cost.as_ref().and_then(CostSettings::level);
        let level = self.level.or_else(from_cost).unwrap_or(0.95);
        level.clamp(*LEVELS.start(), *LEVELS.end())
    }

    /// How often decisions are made, milliseconds.
    pub fn review(&self) -> Millis {
        self.review.unwrap_or(self.interval).as_millis()
    }

    /// A size that was decided on longer ago than this says nothing about now, milliseconds.
    pub(super) fn memory(&self) -> Millis {
        let limits = &self.limits;
        let kept = limits.hold.max(limits.stabilisation.down).max(LEAST_MEMORY);
        // One decision may fail.
        kept.as_millis().max(2 * self.review())
    }

    /// From a decision with this lead time until its replicas work and the next decision's could not yet: the window
    /// whose greatest demand must be covered, milliseconds.
    pub fn window(&self, lead: Millis) -> Millis {
        lead + self.pipeline.as_millis() + self.review()
    }

    /// How old a forecast may be, milliseconds; it is served until the next one comes, a step and the offset later.
    pub(super) fn forecast_age(&self, step: Span) -> Millis {
        let step = step.as_millis().max(1);
        self.gate.age(step, step + self.offset.as_millis())
    }

    /// Names what the demand is measured in: what was learned of it under another name is not about it.
    pub(super) fn unit(&self) -> u64 {
        let demand = &self.demand;
        let queue = self.queue.as_ref();
        let queue = queue.map(|queue| (&queue.query, queue.drain_within.map(Span::as_millis)));
        let capacity = match &self.capacity_per_replica {
            Capacity::Declared(capacity) => (None, *capacity),
            Capacity::Learned(learned) => (Some(&learned.utilisation), learned.target),
        };
        let text = format!(
            "{:?}",
            (
                &demand.signal,
                &demand.r#match,
                &demand.query,
                queue,
                capacity
            )
        );
        xxh3_64(text.as_bytes())
    }

    /// Every query, with the field that holds it: each must give one value.
    pub fn queries(&self) -> Vec<(&'static str, &str)> {
        let mut queries = Vec::new();
        if let Some(query) = &self.demand.query {
            queries.push(("demand.query", query.as_str()));
        }
        if let Some(complete) = &self.demand.complete {
            queries.push(("demand.complete.query", complete.query.as_str()));
        }
        if let Some(replicas) = &self.replicas {
            queries.push(("replicas.query", replicas.query.as_str()));
            let wanted = replicas.wanted.as_deref();
            queries.extend(wanted.map(|wanted| ("replicas.wanted", wanted)));
        }
        queries.extend(self.utilisation());
        if let Some(queue) = &self.queue {
            queries.push(("queue.query", queue.query.as_str()));
        }
        if let Some(emergency) = &self.emergency {
            queries.push(("emergency.host", emergency.host.as_str()));
        }
        queries
    }

    /// The query of [`super::Inputs::utilisation`], with the field that holds it.
    pub fn utilisation(&self) -> Option<(&'static str, &str)> {
        let learned = match &self.capacity_per_replica {
            Capacity::Learned(learned) => Some((
                "capacity_per_replica.learned.utilisation",
                learned.utilisation.as_str(),
            )),
            Capacity::Declared(_) => None,
        };
        let watched = self.verify.utilisation.as_deref();
        learned.or(watched.map(|query| ("verify.utilisation", query)))
    }

    /// How long a reading of the utilisation counts.
    pub(super) fn utilisation_age(&self) -> Span {
        match &self.capacity_per_replica {
            Capacity::Learned(learned) => learned.max_age,
            Capacity::Declared(_) => default_age(),
        }
    }

    /// The calendars that schedules name, with the field that does.
    pub fn calendar_names(&self) -> Vec<(String, &str)> {
        let schedules = self.schedules.iter().enumerate();
        let named = schedules.filter_map(|(index, schedule)| {
            let name = schedule.calendar.as_deref()?;
            Some((format!("schedules[{index}].calendar"), name))
        });
        named.collect()
    }

    fn validate_own(&self, problems: &mut Vec<(String, String)>) {
        let mut add = |field: &str, text: String| problems.push((field.to_owned(), text));
        let is_plain = |text: &str| !text.is_empty() && text.trim() == text && text.len() <= 128;
        if !is_plain(&self.name) {
            add("name", "write a name of 1 to 128 letters".to_owned());
        }
        if self.demand.signal.is_empty() {
            add("demand.signal", "write the name of a signal".to_owned());
        }
        for (field, query) in self.queries() {
            if query.trim().is_empty() {
                add(field, "is empty; write a query with one value".to_owned());
            }
        }
        if let Some(level) = self.level.filter(|level| !LEVELS.contains(level)) {
            add("level", format!("{level} is not within 0.5 to 0.995"));
        }
        let replicas_age = self.replicas.as_ref().map(|one| one.max_age);
        for (field, span, least, most) in [
            ("demand.max_age", Some(self.demand.max_age), 1, 3_600),
            ("replicas.max_age", replicas_age, 1, 3_600),
            ("pipeline", Some(self.pipeline), 0, 1_800),
            ("review", self.review, 1, 1_800),
        ] {
            let allowed = Span::seconds(least)..=Span::seconds(most);
            if let Some(span) = span.filter(|span| !allowed.contains(span)) {
                let (least, most) = (allowed.start(), allowed.end());
                add(field, format!("{span} is not within {least} to {most}"));
            }
        }
        if let Some(review) = self.review.filter(|span| span.as_millis() % 1_000 != 0) {
            add("review", format!("{review} is not whole seconds"));
        }
        if !(0.0..=0.5).contains(&self.tolerance) {
            let text = format!("{} is not within 0 to 0.5", self.tolerance);
            add("tolerance", text);
        }
        if self.rules.len() > MOST_RULES {
            let text = format!("{} rules; at most {MOST_RULES}", self.rules.len());
            add("rules", text);
        }
        for (name, amount) in &self.uses {
            if !(*amount > 0.0 && amount.is_finite()) {
                add(&format!("uses.{name}"), format!("{amount} is not above 0"));
            }
        }
        let priced = self
            .cost
            .as_ref()
            .is_some_and(|cost| cost.replica_hour.is_some());
        if self.limits.budget_per_hour.is_some() && !priced {
            let text = "needs cost.replica_hour".to_owned();
            add("limits.budget_per_hour", text);
        }
        let floor = self.limits.floor();
        let least = cost_per_hour(self.cost.as_ref(), self.spot.as_ref(), floor);
        let budget = self.limits.budget_per_hour.filter(|budget| *budget > 0.0);
        if let Some((least, budget)) = least.zip(budget).filter(|(least, budget)| least > budget) {
            let text = format!("{budget} does not pay for {floor} replicas, which cost {least}");
            add("limits.budget_per_hour", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let value = serde_yaml::Deserializer::from_str(text);
        serde_yaml::with::singleton_map_recursive::deserialize(value)
            .map_err(|error| error.to_string())
    }

    const SHORT: &str = "name: a, demand: {signal: b}, capacity_per_replica: 120";

    fn short(more: &str) -> Settings {
        read(&format!("{{{SHORT}, {more}}}")).unwrap()
    }

    #[test]
    fn reads_what_a_person_writes() {
        let text = "
            name: checkout
            demand: {signal: http_requests_per_second, match: {deployment: checkout}}
            capacity_per_replica: {learned: {utilisation: 'avg(cpu)', target: 0.7, otherwise: 120}}
            replicas: {query: 'kube_deployment_status_replicas_ready{deployment=\"checkout\"}'}
            lead_time: measured
            cost: {replica_hour: 0.12, shortfall_hour: 2.4}
            limits: {min: 2, max: 50, up: {replicas: 10, per: 1m}, down: {fraction: 0.1, per: 1m}, hold: 10m, budget_per_hour: 6}
            mode: observe
            rules:
              - {when: 'queue_depth > 1000 and on() queue_growth_per_second > 50', scale: 1.5, cooldown: 5m, priority: 9}
            schedules: [{calendar: sale, min: 20}]
        ";
        let found = read(text).unwrap();
        assert_eq!(found.validate(), []);
        assert!((found.level() - 0.952_38).abs() < 1e-5);
        let fields: Vec<_> = found.queries().into_iter().map(|one| one.0).collect();
        let utilisation = "capacity_per_replica.learned.utilisation";
        assert_eq!(fields, ["replicas.query", utilisation]);
        let calendars = [("schedules[0].calendar".to_owned(), "sale")];
        assert_eq!(found.calendar_names(), calendars);
        let parts = [
            "capacity_per_replica: many",
            "capacity_per_replica: {guessed: {}}",
        ];
        for part in parts {
            let text = format!("{{name: a, demand: {{signal: b}}, {part}}}");
            assert!(read(&text).unwrap_err().contains("learned"), "{text}");
        }
        assert!(read("{name: a, demand: {signal: b}, capacity_per_replica: 1, max: 3}").is_err());
    }

    #[test]
    fn names_everything_that_is_wrong() {
        let found = short(
            "level: 95, tolerance: 2, uses: {cpu: -1}, lead_time: 9h, pipeline: 2h, cost: {replica_hour: 0},
            limits: {min: 5, max: 2, hysteresis: 2, up: {per: 1m}, down: {replicas: 0, per: 3h}, hold: 2d,
            cooldown: {up: 2h}, oscillation: {changes: 1}, budget_per_hour: -1},
            gate: {max_jump: 0}, rules: [{when: ' ', scale: 99}], schedules: [{hours: 8-9}], events: {max_multiplier: 0},
            queue: {query: ' '}, emergency: {host: x, fraction: 0}, verify: {watch: 1s}, spot: {share: 2}",
        );
        let mut fields: Vec<_> = found.validate().into_iter().map(|one| one.0).collect();
        fields.sort();
        assert_eq!(
            fields,
            [
                "cost.replica_hour",
                "emergency.fraction",
                "events.max_multiplier",
                "gate.max_jump",
                "lead_time",
                "level",
                "limits.budget_per_hour",
                "limits.cooldown.up",
                "limits.down.per",
                "limits.down.replicas",
                "limits.hold",
                "limits.hysteresis",
                "limits.max",
                "limits.oscillation.changes",
                "limits.up",
                "pipeline",
                "queue.query",
                "rules[0].scale",
                "rules[0].when",
                "schedules[0]",
                "spot.share",
                "tolerance",
                "uses.cpu",
                "verify.watch",
            ]
        );
        let unbounded = short("mode: full").validate();
        assert_eq!(unbounded[0].0, "limits.max");
        let unpriced = short("limits: {max: 9, budget_per_hour: 3}").validate();
        assert_eq!(unpriced[0].0, "limits.budget_per_hour");
    }

    #[test]
    fn the_level_stays_within_what_can_be_forecast() {
        for (more, level) in [
            ("mode: full", 0.95),
            ("level: 0.9", 0.9),
            ("cost: {replica_hour: 1, shortfall_hour: 0.1}", 0.5),
            ("cost: {replica_hour: 1, shortfall_hour: 1000000}", 0.995),
            ("cost: {replica_hour: 1}", 0.95),
        ] {
            assert_eq!(short(more).level(), level, "{more}");
        }
    }
}
