//! From the parser's tree to ours, with a place for every node and every refusal.
//!
//! The parser's tree has no positions. But its nodes come in the order of their words, so a walk over the tree that
//! takes the words along knows where it is. Where the two disagree, the rule is refused rather than misread.

use super::{
    Matcher, Matchers, Refusal, Selector,
    functions::{self, Argument},
    relabel::Names,
    syntax,
    tokens::{Token, Words, balance, tokenise},
    tree::{
        Aggregate, Aggregation, Binary, Call, Cardinality, Grouping, Kind, Matching, Node, Operator,
    },
    typed::Typed,
};
use crate::series::Labels;
use promql_parser::{
    label::{MatchOp, Matcher as ParsedMatcher},
    parser::{self, Expr, LabelModifier, VectorMatchCardinality, VectorSelector, value::ValueType},
};

/// Longer rules are refused.
const MAX_BYTES: usize = 4 * 1024;

/// Deeper nesting of brackets, and of operations, is refused: both cost stack.
const MAX_DEPTH: usize = 64;

/// Longer chains of operators are refused, for the same reason.
const MAX_CHAIN: usize = 256;

/// More regular expressions are refused: each may take a megabyte.
const MAX_REGEXES: usize = 32;

/// What reads the past, and what to do instead.
const NO_PAST: &str = "a rule sees only what is newest; record it in Prometheus, or make the query a signal of its own and use its name here";

/// A rule that was read.
pub(super) struct Read {
    pub(super) root: Node,
    pub(super) selectors: Vec<Selector>,
    pub(super) is_scalar: bool,
}

/// Reads a rule.
pub(super) fn read(text: &str) -> Result<Read, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::new(None, "the rule is empty"));
    }
    if text.len() > MAX_BYTES {
        let message =
            format!("the rule is longer than {MAX_BYTES} bytes; record parts of it in Prometheus");
        return Err(Refusal::new(None, message));
    }
    let tokens = tokenise(text)?;
    limits(text, &tokens)?;
    let tree = syntax::parse(text, &tokens)?;
    let mut walk = Walk {
        words: Words::new(text, tokens),
        selectors: Vec::new(),
    };
    let (root, is_scalar) = match walk.expression(&tree, 0)? {
        Typed::Vector(node) => (node, false),
        Typed::Scalar(node) => (node, true),
        Typed::Text(at, _) => {
            return Err(Refusal::at(
                at,
                "the rule gives a text, which says nothing of when it holds",
            ));
        }
    };
    match walk.words.peek() {
        None => Ok(Read {
            root,
            selectors: walk.selectors,
            is_scalar,
        }),
        Some(_) => Err(walk.words.lost()),
    }
}

fn limits(text: &str, tokens: &[Token]) -> Result<(), Refusal> {
    let deepest = balance(text, tokens)?;
    if deepest > MAX_DEPTH {
        let message = format!(
            "brackets nest deeper than {MAX_DEPTH}; record parts of the rule in Prometheus"
        );
        return Err(Refusal::new(None, message));
    }
    let is_regex = |token: &&Token| matches!(token.text(text), "=~" | "!~");
    if let Some(token) = tokens.iter().filter(is_regex).nth(MAX_REGEXES) {
        let message = format!(
            "more than {MAX_REGEXES} regular expressions; record parts of the rule in Prometheus"
        );
        return Err(Refusal::at(token.start, message));
    }
    Ok(())
}

/// The walk over the tree and the words.
struct Walk<'a> {
    words: Words<'a>,
    selectors: Vec<Selector>,
}

impl Walk<'_> {
    fn expression(&mut self, tree: &Expr, depth: usize) -> Result<Typed, Refusal> {
        if depth > MAX_CHAIN {
            let message = format!(
                "more than {MAX_CHAIN} operations in one another; record parts of the rule in Prometheus"
            );
            return Err(Refusal::at(self.words.here(), message));
        }
        let depth = depth + 1;
        while !matches!(tree, Expr::Binary(_)) && self.words.take_if("+") {}
        match tree {
            Expr::NumberLiteral(number) => {
                while self.words.take_if("-") || self.words.take_if("+") {}
                let (at, _) = self.words.take()?;
                let kind = Kind::Number(number.val);
                Ok(Typed::Scalar(Node { at, kind }))
            }
            Expr::StringLiteral(text) => {
                let (at, _) = self.words.take()?;
                Ok(Typed::Text(at, text.val.clone()))
            }
            Expr::Paren(inner) => {
                self.words.expect("(")?;
                let inner = self.expression(&inner.expr, depth)?;
                self.words.expect(")")?;
                Ok(inner)
            }
            Expr::Unary(inner) => {
                let at = self.words.here();
                self.words.expect("-")?;
                let inner = self.expression(&inner.expr, depth)?;
                inner.negated(at)
            }
            Expr::Binary(operation) => self.binary(operation, depth),
            Expr::Aggregate(operation) => self.aggregate(operation, depth),
            Expr::Call(call) => self.call(call, depth),
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(selector) => {
                self.selector(&selector.vs)?;
                Err(self.range())
            }
            Expr::Subquery(query) => {
                self.expression(&query.expr, depth)?;
                Err(self.range())
            }
            Expr::Extension(_) => Err(self.words.lost()),
        }
    }

    /// A `[` is next.
    fn range(&self) -> Refusal {
        let message = format!("a range of time is not supported: {NO_PAST}");
        Refusal::at(self.words.here(), message)
    }

    fn selector(&mut self, selector: &VectorSelector) -> Result<Typed, Refusal> {
        let at = self.words.here();
        if let Some(name) = &selector.name {
            self.words.expect(name)?;
        }
        let mut groups = Vec::new();
        if selector.name.is_none() || self.words.peek() == Some("{") {
            self.words.expect("{")?;
            let parsed = &selector.matchers;
            let all = [&parsed.matchers].into_iter().chain(&parsed.or_matchers);
            for group in all.filter(|group| !group.is_empty()) {
                groups.push(
                    group
                        .iter()
                        .map(|parsed| self.matcher(parsed))
                        .collect::<Result<_, _>>()?,
                );
            }
            self.words.expect("}")?;
        }
        if selector.at.is_some() || selector.offset.is_some() {
            let word = self.words.peek().unwrap_or_default().to_ascii_lowercase();
            return Err(Refusal::at(
                self.words.here(),
                format!("{word} is not supported: {NO_PAST}"),
            ));
        }
        let matchers = Matchers::new(selector.name.as_deref(), groups);
        self.selectors.push(Selector { at, matchers });
        let kind = Kind::Select(self.selectors.len() - 1);
        Ok(Typed::Vector(Node { at, kind }))
    }

    fn matcher(&mut self, parsed: &ParsedMatcher) -> Result<Matcher, Refusal> {
        let mut at = self.words.take()?.0;
        if matches!(self.words.peek(), Some("=" | "!=" | "=~" | "!~")) {
            self.words.take()?;
            at = self.words.take()?.0;
        }
        while self.words.take_if(",") || self.words.take_if("or") {}
        let (label, value) = (&parsed.name, &parsed.value);
        match parsed.op {
            MatchOp::Equal => Ok(Matcher::equal(label, value)),
            MatchOp::NotEqual => Ok(Matcher::not_equal(label, value)),
            MatchOp::Re(_) => Matcher::like(label, value),
            MatchOp::NotRe(_) => Matcher::not_like(label, value),
        }
        .map_err(|message| Refusal::at(at, message))
    }

    fn binary(&mut self, parsed: &parser::BinaryExpr, depth: usize) -> Result<Typed, Refusal> {
        let left = self.expression(&parsed.lhs, depth)?;
        let (at, word) = self.words.take()?;
        let operator =
            Operator::named(&word.to_ascii_lowercase()).ok_or_else(|| self.words.lost())?;
        let as_bool = parsed.return_bool();
        let matching = self.matching(parsed)?;
        let right = self.expression(&parsed.rhs, depth)?;
        let is_scalar = matches!((&left, &right), (Typed::Scalar(_), Typed::Scalar(_)));
        let (left, right) = (left.operand()?, right.operand()?);
        let kind = Kind::Binary(Box::new(Binary {
            operator,
            left,
            right,
            as_bool,
            matching,
        }));
        let node = Node { at, kind };
        Ok(if is_scalar {
            Typed::Scalar(node)
        } else {
            Typed::Vector(node)
        })
    }

    /// What stands between an operator and its right operand.
    fn matching(&mut self, parsed: &parser::BinaryExpr) -> Result<Matching, Refusal> {
        let modifier = parsed.modifier.clone().unwrap_or_default();
        if modifier.return_bool {
            self.words.expect("bool")?;
        }
        let (on, labels) = match &modifier.matching {
            Some(labels) => {
                let on = labels.is_include();
                self.words.expect(if on { "on" } else { "ignoring" })?;
                self.words.skip_labels()?;
                (on, Names::new(&labels.labels().labels))
            }
            None => (false, Names::default()),
        };
        let cardinality = match &modifier.card {
            VectorMatchCardinality::ManyToOne(taken) => {
                self.words.expect("group_left")?;
                Cardinality::ManyToOne(Names::new(&taken.labels))
            }
            VectorMatchCardinality::OneToMany(taken) => {
                self.words.expect("group_right")?;
                Cardinality::OneToMany(Names::new(&taken.labels))
            }
            _ => Cardinality::OneToOne,
        };
        if !matches!(cardinality, Cardinality::OneToOne) && self.words.peek() == Some("(") {
            self.words.skip_labels()?;
        }
        let fill = &modifier.fill_values;
        if fill.lhs.is_some() || fill.rhs.is_some() {
            let message = "fill is not supported; give the series that may be absent a value with `or`, as in `(x or on() vector(0))`";
            return Err(Refusal::at(self.words.here(), message));
        }
        Ok(Matching {
            on,
            labels,
            cardinality,
        })
    }

    fn aggregate(
        &mut self,
        parsed: &parser::AggregateExpr,
        depth: usize,
    ) -> Result<Typed, Refusal> {
        let (at, word) = self.words.take()?;
        let word = word.to_ascii_lowercase();
        let operation = match aggregation(&word) {
            Some(operation) => operation,
            None => {
                return Err(Refusal::at(
                    at,
                    format!("{word} is not supported; topk, bottomk and quantile are"),
                ));
            }
        };
        let mut before = self.modifier(parsed)?;
        self.words.expect("(")?;
        let (operation, parameter) = match &parsed.param {
            None => (operation, None),
            Some(parameter) => {
                let parameter = self.expression(parameter, depth)?;
                self.words.expect(",")?;
                self.parameter(operation, parameter)?
            }
        };
        let of = self.expression(&parsed.expr, depth)?.vector()?;
        self.words.expect(")")?;
        if !before {
            before = self.modifier(parsed)?;
        }
        if before != parsed.modifier.is_some() {
            return Err(self.words.lost());
        }
        let grouping = match &parsed.modifier {
            Some(LabelModifier::Exclude(labels)) => (false, Names::new(&labels.labels)),
            Some(LabelModifier::Include(labels)) => (true, Names::new(&labels.labels)),
            None => (true, Names::default()),
        };
        let (by, labels) = grouping;
        let kind = Kind::Aggregate(Box::new(Aggregate {
            operation,
            parameter,
            of,
            grouping: Grouping { by, labels },
        }));
        Ok(Typed::Vector(Node { at, kind }))
    }

    /// Takes `by (..)` or `without (..)` where it stands here.
    fn modifier(&mut self, parsed: &parser::AggregateExpr) -> Result<bool, Refusal> {
        let word = match &parsed.modifier {
            Some(LabelModifier::Include(_)) => "by",
            Some(LabelModifier::Exclude(_)) => "without",
            None => return Ok(false),
        };
        let found = self.words.take_if(word);
        if found {
            self.words.skip_labels()?;
        }
        Ok(found)
    }

    /// The parameter goes into the operation where it is a text.
    fn parameter(
        &self,
        operation: Aggregation,
        parameter: Typed,
    ) -> Result<(Aggregation, Option<Node>), Refusal> {
        match (operation, parameter) {
            (Aggregation::CountValues(_), Typed::Text(at, label)) => {
                let named = (at, label);
                functions::label_name(&named)?;
                Ok((Aggregation::CountValues(named.1), None))
            }
            (Aggregation::CountValues(_), other) => Err(Refusal::at(
                other.at(),
                "expected the name of a label in quotes",
            )),
            (operation, parameter) => Ok((operation, Some(parameter.scalar()?))),
        }
    }

    fn call(&mut self, parsed: &parser::Call, depth: usize) -> Result<Typed, Refusal> {
        let (at, word) = self.words.take()?;
        let name = parsed.func.name;
        if word != name {
            return Err(self.words.lost());
        }
        let Some(wanted) = functions::arguments(name) else {
            return Err(Refusal::at(at, not_supported(&parsed.func)));
        };
        self.words.expect("(")?;
        let (mut nodes, mut texts, mut absent) = (Vec::new(), Vec::new(), Labels::default());
        for (index, tree) in parsed.args.args.iter().enumerate() {
            if index > 0 {
                self.words.expect(",")?;
            }
            let argument = self.expression(tree, depth)?;
            match wanted.get(index).or(wanted.last()) {
                Some(Argument::Vector) => nodes.push(argument.vector()?),
                Some(Argument::Scalar) => nodes.push(argument.scalar()?),
                Some(Argument::Text) => texts.push(argument.text()?),
                None => return Err(self.words.lost()),
            }
        }
        self.words.expect(")")?;
        if let Some(Kind::Select(index)) = nodes.first().map(|node| &node.kind) {
            absent = self.certain(*index);
        }
        let function =
            functions::named(name, &texts, absent).ok_or_else(|| self.words.lost())??;
        let kind = Kind::Call(Box::new(Call {
            function,
            arguments: nodes,
        }));
        let node = Node { at, kind };
        Ok(match parsed.func.return_type {
            ValueType::Scalar => Typed::Scalar(node),
            _ => Typed::Vector(node),
        })
    }

    fn certain(&self, index: usize) -> Labels {
        let selector = self.selectors.get(index);
        let certain = selector.map(|selector| selector.matchers.certain());
        // Each label is there once, and none is without a name.
        Labels::new(certain.unwrap_or_default()).unwrap_or_default()
    }
}

fn aggregation(word: &str) -> Option<Aggregation> {
    Some(match word {
        "sum" => Aggregation::Sum,
        "avg" => Aggregation::Avg,
        "count" => Aggregation::Count,
        "min" => Aggregation::Min,
        "max" => Aggregation::Max,
        "group" => Aggregation::Group,
        "stddev" => Aggregation::Stddev,
        "stdvar" => Aggregation::Stdvar,
        "topk" => Aggregation::Top,
        "bottomk" => Aggregation::Bottom,
        "quantile" => Aggregation::Quantile,
        "count_values" => Aggregation::CountValues(String::new()),
        _ => return None,
    })
}

/// Why a function of the parser's is none of ours, and what to do.
fn not_supported(function: &parser::Function) -> String {
    let name = function.name;
    if function.arg_types.contains(&ValueType::Matrix) {
        format!("{name} needs a range of time, which is not supported: {NO_PAST}")
    } else if name.starts_with("histogram_") {
        format!(
            "{name} is not supported: there are no histograms among the newest values; make the query a signal of its own and use its name here"
        )
    } else {
        format!(
            "{name} is not supported; functions: {}",
            functions::NAMES.join(", ")
        )
    }
}
