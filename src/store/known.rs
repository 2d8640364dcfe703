//! Whether an order or an event is about workloads that there are: one with a wrong name does nothing, and nobody notices.

use super::StoreError;
use crate::stats::words::nearest;
use std::collections::BTreeSet;

/// So many names are told where none is like the one that was asked for.
const TOLD: usize = 5;

/// The names of the workloads that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownWorkloads(BTreeSet<String>);

// === impl KnownWorkloads ===

impl KnownWorkloads {
    /// These and no others. Where there are none at all nothing is known, and every name is taken.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Refuses names that are unknown. `field` is where they stand, `otherwise` how they are taken all the same.
    ///
    /// # Errors
    /// There are unknown ones: [`StoreError::Invalid`] with the nearest name that there is.
    pub fn check<'n>(
        &self,
        field: &str,
        asked: impl IntoIterator<Item = &'n str>,
        otherwise: &str,
    ) -> Result<(), StoreError> {
        let unknown = |name: &&str| !self.0.is_empty() && !self.0.contains(*name);
        let problems: Vec<(String, String)> = asked
            .into_iter()
            .filter(unknown)
            .map(|name| (field.to_owned(), self.sentence(name, otherwise)))
            .collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(StoreError::Invalid(problems)),
        }
    }

    fn sentence(&self, name: &str, otherwise: &str) -> String {
        let there = match nearest(name, self.0.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean {nearest:?}"),
            None => {
                let some: Vec<&str> = self.0.iter().take(TOLD).map(String::as_str).collect();
                let more = self.0.len() > TOLD;
                let rest = if more { ", .." } else { "" };
                format!("there are {}{rest}", some.join(", "))
            }
        };
        format!("there is no workload {name:?}; {there}; {otherwise} takes it all the same")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_there_is_refused_with_the_nearest() {
        let known = KnownWorkloads::new(["checkout", "search", "mail"]);
        let said = |names: &[&str]| {
            let checked = known.check("workloads", names.iter().copied(), "--unknown-workload");
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(said(&["checkout", "mail"]), Ok(()));
        assert_eq!(said(&[]), Ok(()));
        let text = said(&["chekcout", "search", "payments"]).unwrap_err();
        let expected = "workloads: there is no workload \"chekcout\"; did you mean \"checkout\"; --unknown-workload takes it all the same; \
                        workloads: there is no workload \"payments\"; there are checkout, mail, search; --unknown-workload takes it all the same";
        assert_eq!(text, expected);
        let nothing = KnownWorkloads::default();
        assert_eq!(nothing.check("workload", ["x"], "it"), Ok(()));
    }
}
