//! What the metadata of a trigger ask for.

use super::protocol::ScaledObjectRef;
use crate::engine::scaling::Target;
use std::collections::HashMap;

/// The metadata that are ours.
const OURS: [&str; 3] = ["activation", "target", "workload"];
/// What a trigger asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trigger {
    /// The workload; the name of the ScaledObject where the metadata do not name one.
    pub(super) workload: String,
    /// What each replica is to have of the metric: it is the number of replicas times this.
    pub(super) target: Target,
    /// Demand up to this is none: the workload may sleep.
    pub(super) activation: f64,
}

impl Trigger {
    /// Reads the metadata.
    ///
    /// # Errors
    /// What is wrong with them, and what is allowed.
    pub(super) fn of(object: &ScaledObjectRef) -> Result<Self, String> {
        let metadata = &object.scaler_metadata;
        refuse_slips(metadata)?;
        let workload = metadata.get("workload").unwrap_or(&object.name);
        if workload.is_empty() {
            return Err(
                "metadata.workload: write the name of a workload of the configuration".to_owned(),
            );
        }
        let target = match number(metadata, "target")? {
            Some(target) => {
                Target::new(target).map_err(|problem| format!("metadata.target: {problem}"))?
            }
            None => Target::default(),
        };
        let activation = number(metadata, "activation")?.unwrap_or(0.0);
        if !(activation >= 0.0 && activation.is_finite()) {
            return Err(format!(
                "metadata.activation: {activation} is not 0 or above"
            ));
        }
        Ok(Self {
            workload: workload.clone(),
            target,
            activation,
        })
    }

    /// The name of the metric. It tells the target: a value must never be divided by another one than it was made for.
    pub(super) fn metric(&self) -> String {
        match self.target.get() {
            1.0 => "predicted-replicas".to_owned(),
            target => format!("predicted-replicas-x{target}"),
        }
    }
}

/// A key that is nearly one of ours is a slip. Others are KEDA's own, or will be.
fn refuse_slips(metadata: &HashMap<String, String>) -> Result<(), String> {
    let mut keys: Vec<&String> = metadata.keys().collect();
    keys.sort_unstable();
    for key in keys.into_iter().filter(|key| !OURS.contains(&key.as_str())) {
        if let Some(meant) = OURS.iter().find(|meant| is_slip(key, meant)) {
            return Err(format!(
                "metadata.{key}: is not known; did you mean {meant:?}?"
            ));
        }
    }
    Ok(())
}

/// Other cases of letters, letters in another order, or one letter that is wrong, missing or too many.
fn is_slip(key: &str, meant: &str) -> bool {
    let letters = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
    let sorted = |mut letters: Vec<char>| {
        letters.sort_unstable();
        letters
    };
    let (one, other) = (letters(key), letters(meant));
    let same = |pairs: &mut dyn Iterator<Item = (&char, &char)>| {
        pairs.take_while(|(one, other)| one == other).count()
    };
    let begin = same(&mut one.iter().zip(&other));
    let end = same(&mut one.iter().rev().zip(other.iter().rev()));
    let edited =
        one.len().abs_diff(other.len()) <= 1 && begin + end + 1 >= one.len().max(other.len());
    edited || sorted(one) == sorted(other)
}

fn number(metadata: &HashMap<String, String>, key: &str) -> Result<Option<f64>, String> {
    let text = metadata.get(key).map(|text| text.trim());
    let number = text.map(|text| {
        let number: Result<f64, _> = text.parse();
        number.map_err(|_| format!("metadata.{key}: {text:?} is not a number"))
    });
    number.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(metadata: &[(&str, &str)]) -> Result<Trigger, String> {
        let pairs = metadata.iter();
        Trigger::of(&ScaledObjectRef {
            name: "checkout".to_owned(),
            namespace: "shop".to_owned(),
            scaler_metadata: pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        })
    }

    #[test]
    fn metadata_of_keda_are_left_alone_and_ours_have_defaults() {
        let found = trigger(&[
            ("scalerAddress", "forethought:10058"),
            ("enableTLS", "true"),
        ])
        .unwrap();
        assert_eq!(
            (
                found.workload.as_str(),
                found.target.get(),
                found.activation
            ),
            ("checkout", 1.0, 0.0)
        );
        assert_eq!(found.metric(), "predicted-replicas");
        let other = trigger(&[
            ("workload", "search"),
            ("target", "0.12345"),
            ("activation", "5"),
        ])
        .unwrap();
        assert_eq!(
            (
                other.workload.as_str(),
                other.target.get(),
                other.activation
            ),
            ("search", 0.124, 5.0)
        );
        assert_eq!(other.metric(), "predicted-replicas-x0.124");
        assert_eq!(trigger(&[("target", "120")]).unwrap().target.get(), 120.0);
    }

    #[test]
    fn wrong_metadata_say_what_to_change() {
        for (metadata, part) in [
            (("target", "0"), "metadata.target: 0 is not within"),
            (("target", "NaN"), "metadata.target: NaN"),
            (("target", "many"), "\"many\" is not a number"),
            (("activation", "-1"), "metadata.activation: -1"),
            (("workload", ""), "metadata.workload"),
            (("worklaod", "x"), "did you mean \"workload\"?"),
            (("Target", "1"), "did you mean \"target\"?"),
        ] {
            let error = trigger(&[metadata]).unwrap_err();
            assert!(error.contains(part), "{metadata:?}: {error}");
        }
    }
}
