//! How the signals of a configuration are divided over several processes (`--shard`), and why so.
//!
//! What is looked at together stays together: the series that a detector compares, those of a group, those that a panel
//! joins, of all its signals. What a workload reads is not divided at all, so that every process answers an autoscaler with
//! the whole demand. Everything else is divided series by series. Pure: it follows from the configuration alone, so that
//! every process divides alike.

use super::{PanelSettings, SignalSettings};
use crate::{
    decide, detect,
    expo::names,
    promql::Expression,
    series::{Labels, Shard, Share, shard::Cut},
};
use std::{collections::BTreeMap, sync::Arc};

/// How one signal is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// `None`: every process carries all of it.
    cut: Option<Cut>,
    why: String,
    has_groups: bool,
}

/// How the signals of a configuration are divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divisions {
    of: BTreeMap<String, Division>,
    /// What in `shard_by` cannot be: which signal, and what to write instead.
    pub problems: Vec<(String, String)>,
}

// === impl Division ===

impl Division {
    /// What a process carries of it; without a shard everything.
    pub fn share(&self, shard: Option<Shard>) -> Share {
        match (&self.cut, shard) {
            (Some(cut), Some(shard)) => Share::of(cut.clone(), shard),
            _ => Share::ALL,
        }
    }

    /// Whether the groups of its series (`group_by`) are whole where they are at all, though it is divided.
    pub fn keeps_groups(&self) -> bool {
        match self.cut {
            Some(Cut::Series | Cut::Labels(_)) => self.has_groups,
            Some(Cut::Together(_)) | None => true,
        }
    }

    /// In a few words, where there are as many processes as `shard` says.
    pub fn how(&self, shard: Shard) -> String {
        match &self.cut {
            None => "whole".to_owned(),
            Some(Cut::Series) => "by all labels".to_owned(),
            Some(Cut::Labels(names)) => format!("by {}", names.join(", ")),
            Some(cut @ Cut::Together(_)) => {
                let holder = cut.shard(&Labels::default(), shard);
                format!("whole on shard {holder}")
            }
        }
    }

    /// Why so.
    pub fn why(&self) -> &str {
        &self.why
    }
}

// === impl Divisions ===

impl Divisions {
    /// Works out how everything is divided.
    pub fn of(
        signals: &[SignalSettings],
        panels: &[PanelSettings],
        workloads: &[decide::Settings],
    ) -> Self {
        let readers = Readers::new(workloads);
        let mut found = Self {
            of: BTreeMap::new(),
            problems: Vec::new(),
        };
        for family in families(signals, panels) {
            let demand = family.demand(&readers);
            let chosen = family.chosen(&demand, &mut found.problems);
            for signal in &family.signals {
                let division = family.division(signal, &demand, chosen.as_deref());
                found.of.insert(signal.name.clone(), division);
            }
        }
        found
    }

    /// How the signal of this name is divided.
    pub fn signal(&self, name: &str) -> Option<&Division> {
        self.of.get(name)
    }

    /// How a panel is divided: as its signals, which are all divided alike.
    pub fn panel(&self, panel: &PanelSettings) -> Option<&Division> {
        panel.signals.iter().find_map(|name| self.signal(name))
    }
}

/// Signals that panels join, directly or by way of others; or one that no panel joins.
struct Family<'c> {
    signals: Vec<&'c SignalSettings>,
    panels: Vec<&'c PanelSettings>,
}

/// What is demanded of the division of a family.
enum Demand {
    /// Everybody needs all of it.
    Whole(String),
    /// One process needs all of it.
    Together(String),
    /// By no other labels than these.
    Within(Vec<String>, String),
    Nothing,
}

fn families<'c>(signals: &'c [SignalSettings], panels: &'c [PanelSettings]) -> Vec<Family<'c>> {
    let alone = |signal| Family {
        signals: vec![signal],
        panels: Vec::new(),
    };
    let mut all: Vec<Family<'c>> = signals.iter().map(alone).collect();
    for panel in panels {
        let is_joined = |family: &Family<'_>| {
            let mut own = family.signals.iter();
            own.any(|signal| panel.signals.contains(&signal.name))
        };
        let (joined, apart): (Vec<_>, Vec<_>) = all.into_iter().partition(is_joined);
        all = apart;
        let mut family = Family {
            signals: Vec::new(),
            panels: vec![panel],
        };
        for one in joined {
            family.signals.extend(one.signals);
            family.panels.extend(one.panels);
        }
        all.push(family);
    }
    all
}

impl Family<'_> {
    fn demand(&self, readers: &Readers<'_>) -> Demand {
        let reader = self.signals.iter().find_map(|signal| {
            let workload = readers.of_signal(&signal.name)?;
            Some(format!("workload {workload} reads {}", signal.name))
        });
        let of_panel = || {
            self.panels.iter().find_map(|panel| {
                let workload = readers.of_panel(&panel.name)?;
                Some(format!("workload {workload} reads {}", panel.name))
            })
        };
        if let Some(why) = reader.or_else(of_panel) {
            return Demand::Whole(why);
        }
        let mut within: Option<(Vec<String>, Vec<String>)> = None;
        for (labels, why) in self.bounds() {
            if labels.is_empty() {
                return Demand::Together(why);
            }
            within = Some(match within {
                None => (labels, vec![why]),
                Some((mut common, mut whys)) => {
                    common.retain(|label| labels.contains(label));
                    whys.push(why);
                    (common, whys)
                }
            });
        }
        match within {
            None => Demand::Nothing,
            Some((labels, whys)) if labels.is_empty() => {
                let why = format!(
                    "no label is common to what belongs together: {}",
                    whys.join("; ")
                );
                Demand::Together(why)
            }
            Some((labels, whys)) => Demand::Within(labels, whys.join("; ")),
        }
    }

    /// Labels in which series that belong together have the same values, and why they do; none: all belong together.
    fn bounds(&self) -> Vec<(Vec<String>, String)> {
        let mut bounds = Vec::new();
        for signal in &self.signals {
            let name = &signal.name;
            if !signal.group_by.is_empty() {
                bounds.push((signal.group_by.clone(), format!("group_by of {name}")));
            }
            let detectors = signal.detectors();
            bounds.extend(
                detectors
                    .iter()
                    .filter_map(|own| compared(own, ["series", "peers"], name)),
            );
        }
        for panel in &self.panels {
            let name = format!("panel {}", panel.name);
            bounds.push((panel.on.clone(), format!("{name} joins on them")));
            let detectors = panel.detectors.iter();
            bounds.extend(detectors.filter_map(|own| compared(own, ["entities", "peers"], &name)));
        }
        bounds
    }

    /// The labels that `shard_by` chooses for the whole family.
    fn chosen(&self, demand: &Demand, problems: &mut Vec<(String, String)>) -> Option<Vec<String>> {
        let mut chosen: Option<(&String, &Vec<String>)> = None;
        let before = problems.len();
        let given = self.signals.iter();
        for signal in given.filter(|signal| !signal.shard_by.is_empty()) {
            let mut refuse = |text: String| problems.push((signal.name.clone(), text));
            match demand {
                Demand::Whole(why) => refuse(format!(
                    "every shard carries this signal whole, as {why}; leave shard_by out"
                )),
                Demand::Together(why) => refuse(format!(
                    "one shard carries all of this signal, as series that belong together would be torn apart ({why}); leave shard_by out"
                )),
                Demand::Within(labels, why) => {
                    let own = signal.shard_by.iter();
                    let torn: Vec<&str> = own
                        .filter(|label| !labels.contains(label))
                        .map(String::as_str)
                        .collect();
                    if !torn.is_empty() {
                        refuse(format!(
                            "{} would tear apart series that belong together ({why}); write [{}] or fewer of them, or leave it out",
                            torn.join(", "),
                            labels.join(", ")
                        ));
                    }
                }
                Demand::Nothing => {}
            }
            match chosen {
                None => chosen = Some((&signal.name, &signal.shard_by)),
                Some((_, labels)) if same(labels, &signal.shard_by) => {}
                Some((other, labels)) => refuse(format!(
                    "a panel joins this signal with {other}, so both must be divided alike; write [{}] as there",
                    labels.join(", ")
                )),
            }
        }
        let is_sound = problems.len() == before;
        chosen
            .filter(|_| is_sound)
            .map(|(_, labels)| labels.clone())
    }

    fn division(
        &self,
        signal: &SignalSettings,
        demand: &Demand,
        chosen: Option<&[String]>,
    ) -> Division {
        let by = |labels: &[String]| Some(Cut::Labels(labels.into()));
        let (cut, why) = match (demand, chosen) {
            (Demand::Whole(why), _) => (None, why.clone()),
            (Demand::Together(why), _) => (Some(Cut::Together(self.name())), why.clone()),
            (_, Some(labels)) => (by(labels), "shard_by".to_owned()),
            (Demand::Within(labels, why), None) => (by(labels), why.clone()),
            (Demand::Nothing, None) => {
                (Some(Cut::Series), "nothing compares its series".to_owned())
            }
        };
        Division {
            cut,
            why,
            has_groups: !signal.group_by.is_empty(),
        }
    }

    /// The same whatever the order of the file.
    fn name(&self) -> Arc<str> {
        let names = self.signals.iter().map(|signal| signal.name.as_str());
        names.min().unwrap_or_default().into()
    }
}

/// What a detector compares of `whom`: all of `those[0]`, or `those[1]`.
fn compared(
    detector: &detect::Settings,
    those: [&str; 2],
    whom: &str,
) -> Option<(Vec<String>, String)> {
    let by = detector.compares()?;
    let kind = detector.kind();
    let why = match by {
        [] => format!("{kind} compares all {} of {whom}", those[0]),
        _ => format!("{kind} compares {} of {whom}", those[1]),
    };
    Some((by.to_vec(), why))
}

fn same(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|label| other.contains(label))
}

/// What workloads read.
struct Readers<'c> {
    demands: BTreeMap<&'c str, &'c str>,
    rules: Vec<(&'c str, Expression)>,
}

impl<'c> Readers<'c> {
    fn new(workloads: &'c [decide::Settings]) -> Self {
        let demands = workloads.iter().rev();
        let demands = demands.map(|one| (one.demand.signal.as_str(), one.name.as_str()));
        let rules = workloads.iter().flat_map(|workload| {
            let rules = workload.rules.iter();
            // What is no rule is refused elsewhere.
            let parsed = rules.filter_map(|rule| Expression::parse_condition(&rule.when).ok());
            parsed.map(|rule| (workload.name.as_str(), rule))
        });
        Self {
            demands: demands.collect(),
            rules: rules.collect(),
        }
    }

    /// A workload that reads something of this signal.
    fn of_signal(&self, name: &str) -> Option<&str> {
        let own = names::names_of_signal(name);
        let of_demand = self.demands.get(name).copied();
        of_demand.or_else(|| self.by_rule(&own, name))
    }

    /// A workload that reads verdicts of this panel.
    fn of_panel(&self, name: &str) -> Option<&str> {
        self.by_rule(&[], name)
    }

    /// A workload a rule of which may read series of these names, or verdicts of the unit `name`.
    fn by_rule(&self, own: &[String], name: &str) -> Option<&str> {
        let mut rules = self.rules.iter();
        let found = rules.find(|(_, rule)| {
            rule.selectors().iter().any(|selector| {
                let matchers = &selector.matchers;
                let mut verdicts = names::VERDICTS.iter();
                own.iter().any(|own| matchers.may_match(own))
                    || verdicts.any(|verdict| matchers.may_match_with(verdict, &[("signal", name)]))
            })
        });
        found.map(|(workload, _)| *workload)
    }
}

#[cfg(test)]
mod tests;
