//! Whether a query reads a counter as if it were a gauge.

use promql_parser::parser::{self, BinaryExpr, Expr};

/// What the names of counters end in (the conventions of Prometheus, and OpenMetrics' rules for its text). Gauges end in
/// `_count` and `_sum` too.
const OF_COUNTERS: [&str; 2] = ["_total", "_bucket"];

/// The aggregations whose result is a counter where what they are given is.
const KEEPING: [&str; 7] = ["sum", "avg", "min", "max", "topk", "bottomk", "quantile"];

/// The name of the counter whose value a query gives as it is, without a rate or a difference: alone, aggregated, or with a
/// number by its side. `None` where it gives something else, or is no PromQL.
pub fn bare_counter(query: &str) -> Option<String> {
    counter_in(&parser::parse(query).ok()?)
}

fn counter_in(tree: &Expr) -> Option<String> {
    match tree {
        Expr::VectorSelector(selector) => {
            let name = selector.name.clone()?;
            let is_counter = OF_COUNTERS.iter().any(|end| name.ends_with(end));
            is_counter.then_some(name)
        }
        Expr::Paren(inner) => counter_in(&inner.expr),
        Expr::Aggregate(own) if KEEPING.contains(&own.op.to_string().as_str()) => {
            counter_in(&own.expr)
        }
        Expr::Binary(own) => counter_beside(own),
        _ => None,
    }
}

/// The counter of an operation with a number that leaves it one: it goes up all the time, or is filtered.
fn counter_beside(own: &BinaryExpr) -> Option<String> {
    let is_number = |side: &Expr| matches!(side, Expr::NumberLiteral(_));
    let (counter, operations): (_, &[&str]) = match (&*own.lhs, &*own.rhs) {
        (left, right) if is_number(right) => (left, &["+", "-", "*", "/"]),
        (left, right) if is_number(left) => (right, &["+", "-", "*"]),
        _ => return None,
    };
    let filters = own.op.is_comparison_operator() && !own.return_bool();
    let keeps = filters || operations.contains(&own.op.to_string().as_str());
    keeps.then(|| counter_in(counter))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_gives_the_counter_itself_is_one() {
        for query in [
            "http_requests_total",
            "http_requests_total{code=\"200\"}",
            "sum by (app) (http_requests_total)",
            "(max(http_requests_total) / 1000)",
            "8 * sum(http_requests_total)",
            "http_requests_total > 100",
        ] {
            let found = bare_counter(query);
            assert_eq!(found.as_deref(), Some("http_requests_total"), "{query}");
        }
        for query in [
            "rate(http_requests_total[5m])",
            "sum(increase(http_requests_total[5m]))",
            "http_requests_total - http_requests_total offset 5m",
            "errors_total / requests_total",
            "errors_total % 60",
            "1 / errors_total",
            "errors_total > bool 100",
            "count(http_requests_total)",
            "node_filesystem_files",
            "time() - process_start_time_seconds",
            "queue_count",
            "sum(",
            "",
        ] {
            assert_eq!(bare_counter(query), None, "{query}");
        }
    }
}
