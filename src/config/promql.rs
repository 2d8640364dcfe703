//! Is a query PromQL, and is its result a vector? If not: where, and what to do.
//!
//! The parser tells no positions. Brackets and strings are therefore checked here; for the rest, the
//! place is where the text stops to be the beginning of any query: found by completing each beginning
//! in the ways the grammar has.

use promql_parser::parser::{self, value::ValueType};

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

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Byte in the query at which the problem begins, where that is known.
    pub at: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Refusal {
    fn new(at: Option<usize>, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

/// Refuses what is not PromQL and what gives no instant vector.
pub fn check(query: &str) -> Result<(), Refusal> {
    if query.trim().is_empty() {
        return Err(Refusal::new(None, "the query is empty"));
    }
    if query.len() > MAX_QUERY_BYTES {
        let text = format!("the query is longer than {MAX_QUERY_BYTES} bytes; record it as a rule");
        return Err(Refusal::new(None, text));
    }
    let tokens = tokenise(query)?;
    balance(query, &tokens)?;
    match parser::parse(query) {
        Ok(expression) => result_kind(expression.value_type()),
        Err(error) if error == NO_RULE => Err(no_rule(query, &tokens)),
        Err(error) if is_of_types(&error) => {
            let at = named_in(&error, query, &tokens);
            Err(Refusal::new(at, first_line(&error)))
        }
        Err(error) => {
            let at = first_with(&error, query);
            Err(Refusal::new(at, first_line(&error)))
        }
    }
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

/// A piece of the query: its bytes from `start` to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    start: usize,
    end: usize,
}

impl Token {
    fn text(self, query: &str) -> &str {
        query.get(self.start..self.end).unwrap_or_default()
    }
}

/// Words, strings, operators and brackets; comments and spaces are left out.
fn tokenise(query: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut chars = query.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        if first.is_whitespace() {
            continue;
        }
        if first == '#' {
            while chars.next_if(|(_, c)| *c != '\n').is_some() {}
            continue;
        }
        if matches!(first, '"' | '\'' | '`') {
            string_end(first, &mut chars)
                .ok_or_else(|| Refusal::new(Some(start), "this string is not closed"))?;
        } else if is_word(first) {
            while chars.next_if(|(_, c)| is_word(*c)).is_some() {}
        } else if matches!(first, '=' | '!' | '<' | '>') {
            let _second = chars.next_if(|(_, c)| matches!(c, '=' | '~'));
        }
        let end = chars.peek().map_or(query.len(), |(next, _)| *next);
        tokens.push(Token { start, end });
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | ':' | '.')
}

fn string_end(
    quote: char,
    chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>,
) -> Option<()> {
    while let Some((_, c)) = chars.next() {
        if c == quote {
            return Some(());
        }
        if c == '\\' && quote != '`' {
            chars.next()?;
        }
    }
    None
}

/// Every bracket has its partner.
fn balance(query: &str, tokens: &[Token]) -> Result<(), Refusal> {
    let mut open: Vec<(Token, &str)> = Vec::new();
    for token in tokens {
        let text = token.text(query);
        if let Some(closing) = partner(text) {
            open.push((*token, closing));
        } else if matches!(text, ")" | "]" | "}") {
            match open.pop() {
                Some((_, closing)) if closing == text => {}
                Some((_, closing)) => {
                    let message = format!("expected {closing:?} before this {text:?}");
                    return Err(Refusal::new(Some(token.start), message));
                }
                None => {
                    let message = format!("this {text:?} closes nothing");
                    return Err(Refusal::new(Some(token.start), message));
                }
            }
        }
    }
    match open.pop() {
        Some((token, closing)) => {
            let message = format!("{:?} is not closed by {closing:?}", token.text(query));
            Err(Refusal::new(Some(token.start), message))
        }
        None => Ok(()),
    }
}

fn partner(open: &str) -> Option<&'static str> {
    match open {
        "(" => Some(")"),
        "[" => Some("]"),
        "{" => Some("}"),
        _ => None,
    }
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

/// What closes the brackets that `text` leaves open, innermost first; `None` where they do not nest.
fn closers(text: &str) -> Option<String> {
    let mut open = Vec::new();
    for token in tokenise(text).ok()? {
        let word = token.text(text);
        match partner(word) {
            Some(closing) => open.push(closing),
            None if matches!(word, ")" | "]" | "}") && open.pop()? != word => return None,
            None => {}
        }
    }
    open.reverse();
    Some(open.concat())
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

/// Where the query has the word that the error quotes.
fn named_in(error: &str, query: &str, tokens: &[Token]) -> Option<usize> {
    let quoted = error.split(['\'', '"', '`']).skip(1).step_by(2);
    quoted
        .filter_map(|word| tokens.iter().find(|token| token.text(query) == word))
        .map(|token| token.start)
        .next()
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

/// `at` as line and column in characters, both from 1.
pub fn line_and_column(query: &str, at: usize) -> (usize, usize) {
    let before = query.get(..at).unwrap_or(query);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default();
    (before.matches('\n').count() + 1, column.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_refused(query: &str, at: Option<usize>, part: &str) {
        let refusal = check(query).unwrap_err();
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
            assert_eq!(check(query), Ok(()), "{query}");
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
        check_refused("x{a=\"b\" c=\"d\"}", Some(8), "unexpected");
    }

    #[test]
    fn survives_deep_nesting() {
        let deep = MAX_QUERY_BYTES / 2 - 1;
        let query = format!("{}x{}", "(".repeat(deep), ")".repeat(deep));
        assert_eq!(check(&query), Ok(()));
        let query = format!("{}x", "-".repeat(MAX_QUERY_BYTES - 1));
        assert_eq!(check(&query), Ok(()));
    }

    #[test]
    fn counts_lines_and_columns_in_characters() {
        assert_eq!(line_and_column("ä\nöx", 5), (2, 2));
        assert_eq!(line_and_column("x", 0), (1, 1));
    }

    proptest! {
        #[test]
        fn never_panics(query in "[a-z(){}\\[\\]\"'`=~!,.:0-9 +*#\\\\$\u{e4}-]{0,60}") {
            if let Err(refusal) = check(&query) {
                prop_assert!(refusal.at.is_none_or(|at| query.is_char_boundary(at)));
            }
        }
    }
}
