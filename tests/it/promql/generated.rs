//! Expressions from a seeded grammar: sound by their types, mostly with an answer.

/// Makes one expression after the other, the same for the same seed.
pub(super) struct Generator(fastrand::Rng);

/// A label and values of it.
type Values = (&'static str, &'static [&'static str]);

/// Metrics with the labels they have.
const METRICS: &[(&str, &[Values])] = &[
    (
        "queue_depth",
        &[
            ("app", &["shop", "pay", "mail", "base"]),
            ("zone", &["a", "b"]),
        ],
    ),
    (
        "queue_growth_per_second",
        &[("app", &["shop", "pay", "mail"])],
    ),
    (
        "limits",
        &[("app", &["shop", "pay"]), ("tier", &["gold", "silver"])],
    ),
    (
        "predicted_queue_depth",
        &[
            ("app", &["shop", "pay"]),
            ("zone", &["a", "b"]),
            ("horizon", &["15m", "1h"]),
        ],
    ),
    ("anomaly_active", &[("app", &["shop", "pay"])]),
    ("temperature", &[("room", &["1", "4", "8", "9"])]),
    ("up", &[("job", &["api", "batch"])]),
    ("workers", &[]),
];

const LABELS: &[&str] = &["app", "zone", "horizon", "tier", "room", "job", "nolabel"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^"];
const COMPARISONS: &[&str] = &[">", "<", ">=", "<=", "==", "!="];
const SETS: &[&str] = &["and", "or", "unless"];
const NUMBERS: &[&str] = &[
    "0", "1", "2", "-1", "0.5", "100", "-3.5", "1e3", "NaN", "Inf",
];
const AGGREGATIONS: &[&str] = &["sum", "avg", "min", "max", "count", "group"];
/// Those whose results are exact, so that what is computed of them does not differ by rounding.
const FUNCTIONS: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "round",
    "sgn",
    "sort",
    "sort_desc",
    "timestamp",
];

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(super) fn expression(&mut self) -> String {
        if self.0.u8(..10) == 0 {
            self.scalar(3)
        } else {
            self.vector(3)
        }
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.usize(..of.len())]
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector();
        }
        let depth = depth - 1;
        match self.0.u8(..14) {
            0..=1 => self.selector(),
            2 => format!("({})", self.vector(depth)),
            3 => format!("-{}", self.operand(depth)),
            4 => {
                let (operator, number) = (self.pick(ARITHMETIC), self.scalar(0));
                format!("{} {operator} {number}", self.operand(depth))
            }
            5 => {
                let (operator, number) = (self.pick(ARITHMETIC), self.scalar(0));
                format!("{number} {operator} {}", self.operand(depth))
            }
            6..=7 => {
                let (operator, as_bool) = (self.pick(COMPARISONS), self.pick(&["", " bool"]));
                let number = self.scalar(depth.min(1));
                format!("{} {operator}{as_bool} {number}", self.operand(depth))
            }
            8 => {
                let operator = self.pick(SETS);
                let matching = self.matching(false);
                format!(
                    "{} {operator}{matching} {}",
                    self.operand(depth),
                    self.operand(depth)
                )
            }
            9 => {
                let operator = self.pick(ARITHMETIC);
                let matching = self.matching(true);
                format!(
                    "{} {operator}{matching} {}",
                    self.operand(depth),
                    self.operand(depth)
                )
            }
            10 => {
                let (operator, as_bool) = (self.pick(COMPARISONS), self.pick(&["", " bool"]));
                let matching = self.matching(true);
                format!(
                    "{} {operator}{as_bool}{matching} {}",
                    self.operand(depth),
                    self.operand(depth)
                )
            }
            11..=12 => self.aggregation(depth),
            _ => self.call(depth),
        }
    }

    /// In brackets, where it would else be read otherwise.
    fn operand(&mut self, depth: usize) -> String {
        let found = self.vector(depth);
        if found.contains(' ') {
            format!("({found})")
        } else {
            found
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.pick(NUMBERS).to_owned();
        }
        let depth = depth - 1;
        match self.0.u8(..5) {
            0 => self.pick(NUMBERS).to_owned(),
            1 => format!("scalar({})", self.vector(depth)),
            2 => {
                let operator = self.pick(ARITHMETIC);
                format!("({} {operator} {})", self.scalar(depth), self.scalar(depth))
            }
            3 => {
                let operator = self.pick(COMPARISONS);
                format!(
                    "({} {operator} bool {})",
                    self.scalar(depth),
                    self.scalar(depth)
                )
            }
            _ => "time()".to_owned(),
        }
    }

    fn selector(&mut self) -> String {
        let (name, labels) = METRICS[self.0.usize(..METRICS.len())];
        if labels.is_empty() || self.0.bool() {
            return name.to_owned();
        }
        let (label, values) = labels[self.0.usize(..labels.len())];
        let value = self.pick(values);
        match self.0.u8(..5) {
            0 => format!("{name}{{{label}!=\"{value}\"}}"),
            1 => format!("{name}{{{label}=~\"{value}|x\"}}"),
            2 => format!("{name}{{{label}!~\"{value}.*\"}}"),
            3 => format!("{{__name__=~\"{name}|workers\", {label}=\"{value}\"}}"),
            _ => format!("{name}{{{label}=\"{value}\"}}"),
        }
    }

    fn names(&mut self) -> String {
        let count = self.0.usize(..3);
        let names: Vec<&str> = (0..count).map(|_| self.pick(LABELS)).collect();
        names.join(", ")
    }

    fn matching(&mut self, groups: bool) -> String {
        let how = self.pick(&["", " on", " ignoring"]);
        if how.is_empty() {
            return String::new();
        }
        let matching = format!("{how}({})", self.names());
        match self.0.u8(..4) {
            0 if groups => format!("{matching} group_left({})", self.names()),
            1 if groups => format!("{matching} group_right({})", self.names()),
            _ => matching,
        }
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let grouping = match self.0.u8(..3) {
            0 => String::new(),
            1 => format!(" by ({})", self.names()),
            _ => format!(" without ({})", self.names()),
        };
        let of = self.vector(depth);
        match self.0.u8(..6) {
            0 => format!(
                "quantile{grouping} ({}, {of})",
                self.pick(&["0", "0.25", "0.5", "1", "2"])
            ),
            1 => format!("count_values{grouping} (\"value\", round({of}))"),
            _ => format!("{}{grouping} ({of})", self.pick(AGGREGATIONS)),
        }
    }

    fn call(&mut self, depth: usize) -> String {
        let of = self.vector(depth);
        match self.0.u8(..8) {
            0 => format!("clamp_min({of}, {})", self.scalar(0)),
            1 => format!("clamp_max({of}, {})", self.scalar(0)),
            2 => format!("clamp({of}, {}, {})", self.scalar(0), self.scalar(0)),
            3 => format!("absent({of})"),
            4 => format!("vector({})", self.scalar(depth)),
            5 => {
                let (target, source) = (self.pick(LABELS), self.pick(LABELS));
                format!("label_replace({of}, \"{target}\", \"$1-x\", \"{source}\", \"(.)(.*)\")")
            }
            6 => format!(
                "label_join({of}, \"both\", \"-\", \"{}\", \"app\")",
                self.pick(LABELS)
            ),
            _ => format!("{}({of})", self.pick(FUNCTIONS)),
        }
    }
}
