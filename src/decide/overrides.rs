//! A person's order over a workload.

use super::{
    MOST_REPLICAS,
    event::{LONGEST_NAME, TIMES, check_text},
};
use crate::series::Millis;
use serde::{Deserialize, Serialize};

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Nothing predictive: the reactive part alone.
    Pause,
    /// Exactly so many, whatever anybody asks for.
    Pin(u32),
    /// At least so many.
    Min(u32),
    /// At most so many: a human ceiling, which may go below reactive.
    Max(u32),
}

/// An order with its reason and expiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Unique; given by the store.
    pub id: String,
    /// The workload it is over.
    pub workload: String,
    /// What is ordered.
    pub order: Order,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// When it was given.
    pub created: Millis,
    /// From when on it holds no more; `None`: until somebody clears it.
    pub expires: Option<Millis>,
}

const LONGEST_REASON: usize = 500;

// === impl Override ===

impl Override {
    /// What is wrong with it: the field, and the problem with what is allowed.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |field: &str, text: String| found.push((field.to_owned(), text));
        // As long as the longest name of Kubernetes.
        check_text("workload", &self.workload, 253, &mut add);
        check_text("reason", &self.reason, LONGEST_REASON, &mut add);
        check_text("author", &self.author, LONGEST_NAME, &mut add);
        match self.order {
            Order::Pin(size) | Order::Min(size) | Order::Max(size) if size > MOST_REPLICAS => {
                add("order", format!("must be at most {MOST_REPLICAS} replicas"));
            }
            _ => {}
        }
        if let Some(expires) = self.expires {
            if expires <= self.created {
                add("expires", "must be in the future".to_owned());
            } else if !TIMES.contains(&expires) {
                let text = "must be before 2100; leave it out for an order without an end";
                add("expires", text.to_owned());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_says_every_problem_at_once_by_its_field() {
        let order = Override {
            id: String::new(),
            workload: "checkout".to_owned(),
            order: Order::Max(0),
            reason: "the database is being moved".to_owned(),
            author: "ada".to_owned(),
            created: 1_795_737_600_000,
            expires: Some(1_795_737_600_001),
        };
        assert_eq!(order.validate(), []);
        for order_at in [Order::Pin, Order::Min, Order::Max] {
            let with = |size| Override {
                order: order_at(size),
                ..order.clone()
            };
            assert_eq!(with(MOST_REPLICAS).validate(), []);
            assert_eq!(with(MOST_REPLICAS + 1).validate()[0].0, "order");
        }
        let wrong = Override {
            workload: String::new(),
            order: Order::Pin(MOST_REPLICAS + 1),
            reason: "a\u{1b}[2J".to_owned(),
            author: " ".to_owned(),
            expires: Some(order.created),
            ..order
        };
        let fields: Vec<String> = wrong
            .validate()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["workload", "reason", "author", "order", "expires"]);
    }
}
