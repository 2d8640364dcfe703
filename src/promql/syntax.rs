//! Is a query PromQL, and is its result a vector? If not: where, and what to do.
//!
//! The parser tells no positions. Brackets and strings are therefore checked here; for the rest, the
//! place is where the text stops to be the beginning of any query: found by completing each beginning
//! in the ways the grammar has.

use super::{
    Refusal,
    tokens::{Token, balance, closers, tokenise},
};
use promql_parser::parser::{self, Expr, value::ValueType};

/// Longer queries are refused: the parser would be asked too often, and deep nesting costs stack.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// Beginnings of more tokens than this are not completed: it would take too long for too little.
const MAX_TOKENS: usize = 400;

/// The parser's message for everything that its grammar has no rule for.
const NO_RULE: &str = "invalid promql query";

/// Ways to complete the beginning of a query, apart from closing what is open.
const COMPLETIONS: [&str; 19] = [
    "", "x", "[1m]", "1m", "1m]", "]", "\"s\"", "=\"s\"", "=\"s\"}", "\"s\"}", "x=\"s\"}", "}",
    "(x)", "(x)(x)", "(x) x", ")(x)", "x)(x)", "x) x", ") x",
];

/// Refuses what is not PromQL and what gives no instant vector.
///
/// # Errors
/// What is wrong with `query`, and where.
pub fn check_query(query: &str) -> Result<(), Refusal> {
    if query.trim().is_empty() {
        return Err(Refusal::new(None, "the query is empty"));
    }
    if query.len() > MAX_QUERY_BYTES {
        let text = format!("the query is longer than {MAX_QUERY_BYTES} bytes; record it as a rule");
        return Err(Refusal::new(None, text));
    }
    let tokens = tokenise(query)?;
    balance(query, &tokens)?;
    result_kind(parse(query, &tokens)?.value_type())
}

/// The parser's tree, or where the text is no PromQL. The brackets are balanced already.
pub(super) fn parse(text: &str, tokens: &[Token]) -> Result<Expr, Refusal> {
    parser::parse(text).map_err(|error| {
        if error == NO_RULE {
            no_rule(text, tokens)
        } else if is_of_types(&error) {
            let at = of_types(&error, text, tokens);
            Refusal::new(at, first_line(&error))
        } else {
            let at = first_with(&error, text);
            Refusal::new(at, first_line(&error))
        }
    })
}

fn result_kind(kind: ValueType) -> Result<(), Refusal> {
    let message = match kind {
        ValueType::Vector => return Ok(()),
        ValueType::Matrix => {
            "the query gives a range vector, not an instant vector; put a function around it, such as rate(...) or avg_over_time(...)"
        }
        ValueType::Scalar => {
            "the query gives a scalar, not an instant vector; put vector(...) around it"
        }
        ValueType::String => "the query gives a string, not an instant vector",
    };
    Err(Refusal::new(None, message))
}

/// No rule of the grammar fits: names the first token after which nothing can be completed.
fn no_rule(query: &str, tokens: &[Token]) -> Refusal {
    if tokens.len() > MAX_TOKENS {
        return Refusal::new(None, "no rule of PromQL fits this query");
    }
    let ends = tokens.iter().map(|token| token.end);
    let fitting = ends
        .take_while(|end| can_be_completed(query.get(..*end).unwrap_or_default()))
        .count();
    match tokens.get(fitting) {
        Some(token) => {
            let message = format!("unexpected {:?}", token.text(query));
            Refusal::new(Some(token.start), message)
        }
        None => Refusal::new(Some(query.len()), "the query ends too early"),
    }
}

fn can_be_completed(beginning: &str) -> bool {
    COMPLETIONS.iter().any(|completion| {
        for space in ["", " "] {
            let mut text = format!("{beginning}{space}{completion}");
            let Some(closers) = closers(&text) else {
                continue;
            };
            text.push_str(&closers);
            // An error of another kind means that the grammar itself was satisfied.
            match parser::parse(&text) {
                Ok(_) => return true,
                Err(error) if is_of_types(&error) => return true,
                Err(_) => {}
            }
        }
        false
    })
}

/// Errors about types and arguments come after the grammar; errors about characters before it.
fn is_of_types(error: &str) -> bool {
    let of_the_lexer = [
        "unexpected",
        "unterminated",
        "unclosed",
        "unknown escape",
        "too many left",
    ];
    error != NO_RULE && !of_the_lexer.iter().any(|start| error.starts_with(start))
}

/// Where an error about types or arguments comes from.
fn of_types(error: &str, text: &str, tokens: &[Token]) -> Option<usize> {
    let seen = if tokens.len() > MAX_TOKENS {
        tokens
    } else {
        tokens.get(..=appears(error, text, tokens))?
    };
    let last = |wanted: &dyn Fn(&str) -> bool| {
        let found = seen.iter().rev().find(|token| wanted(token.text(text)));
        found.map(|token| token.start)
    };
    let quoted = error.split(['\'', '"', '`']).skip(1).step_by(2);
    let named = quoted.filter_map(|word| last(&|other| other.eq_ignore_ascii_case(word)));
    if let Some(at) = { named }.next() {
        return Some(at);
    }
    let of_kind = KINDS.iter().find(|(start, _)| error.starts_with(start));
    let at = match of_kind {
        Some((_, words)) => last(&|other| words.contains(&&*other.to_ascii_lowercase())),
        None if error.starts_with("illegal regex") => {
            last(&|other| other.starts_with(['"', '\'', '`']))
        }
        None if error.contains("aggregation expression") => last(&is_aggregation),
        None => None,
    };
    at.or_else(|| seen.last().map(|token| token.start))
}

/// Beginnings of errors that quote nothing, with the words one of which is meant.
const KINDS: [(&str, &[&str]); 5] = [
    (
        "comparisons between scalars",
        &["==", "!=", ">", "<", ">=", "<="],
    ),
    ("bool modifier", &["bool"]),
    ("vector matching only", &["on", "ignoring"]),
    ("vector selector must", &["{"]),
    (
        "binary expression must",
        &[
            "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "and", "or",
            "unless",
        ],
    ),
];

fn is_aggregation(word: &str) -> bool {
    let all = [
        "sum",
        "avg",
        "count",
        "min",
        "max",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "count_values",
        "quantile",
        "limitk",
        "limit_ratio",
    ];
    all.contains(&&*word.to_ascii_lowercase())
}

/// The token with which the error appears: after the last beginning that is sound, or has another error, once its
/// brackets are closed.
fn appears(error: &str, text: &str, tokens: &[Token]) -> usize {
    let found = |index: usize| {
        let end = tokens.get(index).map_or(0, |token| token.end);
        let mut beginning = text.get(..end).unwrap_or_default().to_owned();
        beginning.push_str(&closers(&beginning)?);
        match parser::parse(&beginning) {
            Err(other) if other == error => Some(true),
            Err(other) if !is_of_types(&other) => None, // no rule of the grammar: more has to come
            _ => Some(false),
        }
    };
    let mut first = tokens.len().saturating_sub(1);
    for index in (0..tokens.len()).rev() {
        match found(index) {
            Some(true) => first = index,
            Some(false) => break,
            None => {}
        }
    }
    first
}

/// The character that first brings about this error, one of characters rather than of grammar.
fn first_with(error: &str, query: &str) -> Option<usize> {
    query
        .char_indices()
        .find(|(at, c)| {
            let beginning = query.get(..at + c.len_utf8()).unwrap_or_default();
            parser::parse(beginning).is_err_and(|found| found == error)
        })
        .map(|(at, _)| at)
}

/// The parser's words, with the names of types that a person knows.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    line.replace(
        "expected type matrix",
        "expected a range vector such as x[5m]",
    )
    .replace("expected type vector", "expected an instant vector")
    .replace("got matrix", "got a range vector")
    .replace("got vector", "got an instant vector")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_refused(query: &str, at: Option<usize>, part: &str) {
        let refusal = check_query(query).unwrap_err();
        assert!(refusal.message.contains(part), "{query}: {refusal:?}");
        assert_eq!(refusal.at, at, "{query}: {refusal:?}");
    }

    #[test]
    fn accepts_vectors() {
        for query in [
            "up",
            "sum by (namespace, deployment) (rate(http_requests_total{code=~\"5..\"}[2m]))",
            "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))",
            "a / on(b) group_left(c) d > 0.5 or vector(1)",
            "max_over_time(rate(x[5m])[1h:1m])",
            "x offset 5m # a comment\n + y @ end()",
            "{\"http.server.duration\", code=\"200\"}",
            "vector(time())",
        ] {
            assert_eq!(check_query(query), Ok(()), "{query}");
        }
    }

    #[test]
    fn refuses_what_is_no_vector() {
        check_refused("", None, "empty");
        check_refused("time()", None, "scalar");
        check_refused("1 + 1", None, "scalar");
        check_refused("x[5m]", None, "range vector");
        check_refused("\"x\"", None, "string");
    }

    #[test]
    fn says_where() {
        check_refused("sum(rate(x[5m])", Some(3), "not closed");
        check_refused("sum(x))", Some(6), "closes nothing");
        check_refused("sum(x]", Some(5), "expected \")\"");
        check_refused("x{a=\"b}", Some(4), "string is not closed");
        check_refused("sum by by (a) (x)", Some(7), "unexpected \"by\"");
        check_refused("x + * y", Some(4), "unexpected \"*\"");
        check_refused("sum(x) by (a) by (b)", Some(14), "unexpected \"by\"");
        check_refused("x y", Some(2), "unexpected \"y\"");
        check_refused("x +", Some(3), "ends too early");
        check_refused("foo(x)", Some(0), "foo");
        check_refused("rate(x)", Some(0), "rate");
        check_refused("x{a!b=\"c\"}", Some(4), "after '!'");
        check_refused("a / on(b group_left(c) d", Some(6), "not closed");
        check_refused("a / on(b) group_left(c) d by", Some(26), "unexpected");
        check_refused("sum by (a, b c) (x)", Some(13), "unexpected");
        check_refused("x > 1 > (2 > 1)", Some(11), "BOOL");
        check_refused("abs(x) + abs(1)", Some(9), "abs");
        check_refused("sum(1 + x) + sum(2 + 3)", Some(13), "aggregation");
        check_refused("x + bool y", Some(4), "bool");
        check_refused("x + on(a) 1", Some(4), "matching");
        check_refused("x + \"s\"", Some(2), "only scalar");
        check_refused("x + {a=~\".*\"}", Some(4), "non-empty matcher");
        check_refused("x{a=\"b\", c=~\"*\"}", Some(12), "regex");
        check_refused("x{a=\"b\", __name__=\"c\"}", Some(0), "twice");
        check_refused("1 and 2", Some(2), "set operator");
        check_refused("x{a=\"b\" c=\"d\"}", Some(8), "unexpected");
    }

    #[test]
    fn survives_deep_nesting() {
        let deep = MAX_QUERY_BYTES / 2 - 1;
        let query = format!("{}x{}", "(".repeat(deep), ")".repeat(deep));
        assert_eq!(check_query(&query), Ok(()));
        let query = format!("{}x", "-".repeat(MAX_QUERY_BYTES - 1));
        assert_eq!(check_query(&query), Ok(()));
    }

    proptest! {
        #[test]
        fn never_panics(query in "[a-z(){}\\[\\]\"'`=~!,.:0-9 +*#\\\\$\u{e4}-]{0,60}") {
            if let Err(refusal) = check_query(&query) {
                prop_assert!(refusal.at.is_none_or(|at| query.is_char_boundary(at)));
            }
        }
    }
}
