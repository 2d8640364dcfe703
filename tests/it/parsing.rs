//! Odd bodies in the eyes of the real Prometheus and of our parser: what the one takes the other takes,
//! with the same series and values.

use crate::support::{
    eventually, now,
    server::{Answer, Server},
    servers::{Prometheus, Scrape, prometheus},
};
use forethought::expo::parse::{Dialect, Event, Limits, Parser};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Bodies of text 0.0.4. `{ms}` stands for the time now.
const TEXT: &[&str] = &[
    "",
    "\n \t\n",
    "a 1",
    "a 1\n",
    "a{} 1\n",
    "a{b=\"c\"}1\n",
    "a{ b = \"c\" , d=\"e\" , } 1\n",
    "a{b=\"c\"d=\"e\"} 1\n",
    "a {b=\"c\"} 1\n",
    "a{b=\"x}y,z=w{#\"} 1\n",
    "a{b=\"\\\"\\\\\\n\\x\"} 1\n",
    "a{b=\"two\nlines\"} 1\n",
    "a{b=\"\"} 1\n",
    "a{b=\"\0\"} 1\n",
    "a{b=\"größe 😱\"} 1\n",
    "job:a:rate5m 1\n",
    "a+1\n",
    "a-1\n",
    "a.5\n",
    "a\t1 \t\n",
    "a 1 {ms}\n",
    "a  1  {ms}  \n",
    "a 0x10\n",
    "a 0x1p-2\n",
    "a 1_000\n",
    "a 1e999\n",
    "a 1e-999\n",
    "a .5e1\n",
    "a 5.\n",
    "a -0\n",
    "a nan\n",
    "a +NaN\n",
    "a -infinity\n",
    "a infinit\n",
    "a 9007199254740993\n",
    "a 123456789012345678901234567890e-10\n",
    "a 1\r\n",
    "a 1 -5\n",
    "a 1 5.5\n",
    "a 1 1 1\n",
    "a 1 # {} 1\n",
    "a 1{\n",
    "a\n",
    "1a 1\n",
    "a{b} 1\n",
    "a{,} 1\n",
    "a{b=\"c\",,} 1\n",
    "a{b='c'} 1\n",
    "a{b=\"c} 1\n",
    "a{1b=\"c\"} 1\n",
    "a{b=\"c\\\n\"} 1\n",
    "a{b=\"c\"\n} 1\n",
    "a{b=\"c\"}{d=\"e\"} 1\n",
    "{b=\"c\"} 1\n",
    "# any # comment\n#\n#b\na 1\n",
    "# EOF\na 1\n",
    "# HELP\n# TYPE\n# TYPEX\na 1\n",
    "# HELP \n",
    "# HELP a\na 1\n",
    "# HELP a{b=\"c\"} Text\na 1\n",
    "# HELP 1a text\n",
    "\t# TYPE a gauge\na 1\n",
    "# TYPE a gorge\na 1\n",
    "# TYPE a  gauge\na 1\n",
    "# TYPE a gauge \na 1\n",
    "# TYPE a unknown\na 1\n",
    "# TYPE a\na 1\n",
    "# TYPE a-gauge\na 1\n",
];

/// Bodies of OpenMetrics. `{s}` stands for the time now. None is empty: Prometheus 3 takes such an answer
/// without asking its parser, which refuses it, as ours does.
const OPEN_METRICS: &[&str] = &[
    "# EOF",
    "# EOF\n",
    "# EOF\n\n",
    "# EOF\na 1\n",
    "a 1",
    "a 1\n",
    "a 1\n# EOF\n",
    "a 1 {s}\n# EOF\n",
    "a 1 NaN\n# EOF\n",
    "a  1\n# EOF\n",
    "a\t1\n# EOF\n",
    "a 1 \n# EOF\n",
    " a 1\n# EOF\n",
    "\na 1\n# EOF\n",
    "a{b=\"c\"}1\n# EOF\n",
    "a {b=\"c\"} 1\n# EOF\n",
    "a{b=\"c\", d=\"e\"} 1\n# EOF\n",
    "a{b=\"c\"d=\"e\"} 1\n# EOF\n",
    "a{b=\"two\nlines\"} 1\n# EOF\n",
    "a_total 1 # {} 0.5\n# EOF\n",
    "a_total 1 {s} # {t=\"x\",u=\"\\\"\"} 0.5 1.5\n# EOF\n",
    "a_total 1 # {t=\"x\"}\n# EOF\n",
    "a_total 1 # {t} 1\n# EOF\n",
    "a_total 1 # {t=\"x\"} 1 NaN\n# EOF\n",
    "a_total 1 # {t=\"x\"} 1 1 1\n# EOF\n",
    "a_total 1 #{} 1\n# EOF\n",
    "# comment\n# EOF\n",
    "# HELP a\n# EOF\n",
    "# HELP a \na 1\n# EOF\n",
    "# HELP a{b} c\n# EOF\n",
    "# TYPE a untyped\n# EOF\n",
    "# TYPE a stateset\na 1\n# EOF\n",
    "# UNIT a_seconds seconds\na_seconds 1\n# EOF\n",
    "# UNIT a_seconds minutes\na_seconds 1\n# EOF\n",
    "# UNIT seconds seconds\nseconds 1\n# EOF\n",
    "# UNIT a \na 1\n# EOF\n",
];

/// What Prometheus takes from version 3 on: names in quotes, and a last comma in OpenMetrics.
const NEW: &[(Dialect, &str)] = &[
    (Dialect::Text, "{\"a\"} 1\n"),
    (Dialect::Text, "{ \"a.b\" , c=\"d\" } 1\n"),
    (Dialect::Text, "{c=\"d\",\"a.b\"} 1\n"),
    (Dialect::Text, "a{\"b.c\"=\"d\"} 1\n"),
    (Dialect::Text, "{\"q\\\"u\\\\o\\nte\"} 1\n"),
    (Dialect::Text, "# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n"),
    (Dialect::OpenMetrics, "{\"a.b\",c=\"d\"} 1\n# EOF\n"),
    (Dialect::OpenMetrics, "a{b=\"c\",} 1\n# EOF\n"),
    (Dialect::OpenMetrics, "a_total 1 # {t=\"x\",} 1\n# EOF\n"),
    (
        Dialect::OpenMetrics,
        "a_total 1 # {\"t.u\"=\"x\"} 1\n# EOF\n",
    ),
];

/// What every version refuses, of the new forms too.
const NEVER: &[(Dialect, &str)] = &[
    (Dialect::Text, "a{\"b\"} 1\n"),
    (Dialect::Text, "{\"a\",\"b\"} 1\n"),
    (Dialect::Text, "{\"\"} 1\n"),
    (Dialect::Text, "{} 1\n"),
    (Dialect::Text, "\"a\" 1\n"),
    (Dialect::OpenMetrics, "{\"a\" ,b=\"c\"} 1\n# EOF\n"),
];

/// What Prometheus takes and misreads: a name with blanks in front, which version 2 refuses after parsing, and
/// a NUL byte at the start of a line, which ends the body for it.
const MISREAD: [&str; 2] = [" a 1\n", "a 1\n\0b 1\n"];

struct Case {
    dialect: Dialect,
    body: String,
    /// Prometheus knows it only from this version on.
    since: u32,
}

fn cases() -> Vec<Case> {
    let case = |dialect, body: &str, since| {
        let (ms, seconds) = (now().to_string(), (now() / 1_000).to_string());
        let body = body.replace("{ms}", &ms).replace("{s}", &seconds);
        Case {
            dialect,
            body,
            since,
        }
    };
    let text = TEXT.iter().map(|body| case(Dialect::Text, body, 0));
    let open = OPEN_METRICS.iter();
    let open = open.map(|body| case(Dialect::OpenMetrics, body, 0));
    let never = NEVER.iter().map(|(dialect, body)| case(*dialect, body, 0));
    let new = NEW.iter().map(|(dialect, body)| case(*dialect, body, 3));
    let misread = MISREAD.iter().map(|body| case(Dialect::Text, body, 0));
    let all = text.chain(open).chain(never).chain(new).chain(misread);
    all.collect()
}

/// Name, labels, value: all series of a body.
type Series = BTreeSet<(String, BTreeMap<String, String>, String)>;

/// What our parser makes of it.
fn ours(case: &Case) -> Result<Series, String> {
    let mut series = Series::new();
    for event in Parser::new(case.body.as_bytes(), case.dialect, Limits::NONE) {
        if let Event::Sample(sample) = event.map_err(|error| error.to_string())? {
            let pairs = sample.labels.filter(|(_, value)| !value.is_empty());
            let pairs = pairs.map(|(name, value)| (name.into_owned(), value.into_owned()));
            let value = format!("{:?}", sample.value);
            series.insert((sample.name.into_owned(), pairs.collect(), value));
        }
    }
    Ok(series)
}

/// All bodies, each a target of Prometheus in the job `job`.
fn serve(job: &str, cases: &[Case]) -> (Server, Scrape) {
    let answers: Vec<(Dialect, String)> = cases
        .iter()
        .map(|case| (case.dialect, case.body.clone()))
        .collect();
    let server = Server::start(move |asked| {
        let number: usize = asked.path.trim_start_matches('/').parse().unwrap();
        let (dialect, body) = answers[number].clone();
        let kind = match dialect {
            Dialect::Text => "text/plain; version=0.0.4",
            Dialect::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        };
        Answer::Whole(200, kind, body)
    });
    let scrape = prometheus().scrape_paths(job, &server.address(), cases.len());
    (server, scrape)
}

/// Whether each target was taken, by its number, once all have been scraped.
fn verdicts(prometheus: &Prometheus, count: usize) -> BTreeMap<usize, bool> {
    eventually("every body is scraped", 60, || {
        let up = prometheus.query("up{job=\"parsing\"}")?;
        let number = |labels: &Value| labels["instance"].as_str().unwrap().parse().unwrap();
        let all: BTreeMap<usize, bool> = up
            .iter()
            .map(|(labels, value)| (number(labels), *value == 1.0))
            .collect();
        match all.len() == count {
            true => Ok(all),
            false => Err(format!("{} of {count}", all.len())),
        }
    })
}

/// What Prometheus has of each target.
fn theirs(prometheus: &Prometheus) -> BTreeMap<usize, Series> {
    let all = "{job=\"parsing\",__name__!~\"up|scrape_.*\"}";
    let mut found: BTreeMap<usize, Series> = BTreeMap::new();
    for (labels, value) in prometheus.query(all).unwrap() {
        let mut labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap();
        let number = labels.remove("instance").unwrap().parse().unwrap();
        let name = labels.remove("__name__").unwrap();
        labels.remove("job").unwrap();
        let series = found.entry(number).or_default();
        series.insert((name, labels, format!("{value:?}")));
    }
    found
}

#[test]
fn the_real_prometheus_takes_and_refuses_the_same() {
    let prometheus = prometheus();
    let version = prometheus.major_version();
    let cases = cases();
    let (_server, _scrape) = serve("parsing", &cases);
    let verdicts = verdicts(prometheus, cases.len());
    let mut theirs = theirs(prometheus);
    let mut wrong = Vec::new();
    let mut taken = 0;
    for (number, case) in cases.iter().enumerate() {
        if MISREAD.contains(&case.body.as_str()) {
            continue;
        }
        let ours = ours(case);
        let judged = match verdicts[&number] {
            true => Ok(theirs.remove(&number).unwrap_or_default()),
            false => Err(()),
        };
        taken += usize::from(judged.is_ok());
        let agree = match (&ours, &judged) {
            (Ok(ours), Ok(judged)) => ours == judged,
            (Ok(_), Err(())) => version < case.since,
            (Err(_), judged) => judged.is_err(),
        };
        if !agree {
            let Case { dialect, body, .. } = case;
            wrong.push(format!(
                "{dialect:?} {body:?}: ours {ours:?}, theirs {judged:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{taken} of {} bodies taken", cases.len());
    assert!(taken > 40 && taken + 50 < cases.len(), "{taken} taken");
    // The documented differences are still needed.
    let blank = cases.len() - MISREAD.len();
    let nul = blank + 1;
    let names = |number: usize| -> Option<Vec<&str>> {
        let series = theirs.get(&number).filter(|_| verdicts[&number])?;
        Some(series.iter().map(|(name, ..)| name.as_str()).collect())
    };
    let misread = (version >= 3).then(|| vec![" a"]);
    assert_eq!(names(blank), misread);
    assert_eq!(names(nul), Some(vec!["a"]));
}

#[test]
fn times_are_those_of_prometheus() {
    let at = now();
    let seconds = format!("{}.{:03}", at / 1_000, at % 1_000);
    let cases = [
        (Dialect::Text, format!("timed 1 {at}\n")),
        (Dialect::OpenMetrics, format!("timed 1 {seconds}9\n# EOF\n")),
    ];
    let cases = cases.map(|(dialect, body)| Case {
        dialect,
        body,
        since: 0,
    });
    let (_server, _scrape) = serve("timing", &cases);
    for (number, case) in cases.iter().enumerate() {
        let query = format!("timestamp(timed{{job=\"timing\",instance=\"{number}\"}})");
        let theirs = eventually("the sample is there", 30, || prometheus().value(&query));
        let sample = Parser::new(case.body.as_bytes(), case.dialect, Limits::NONE).next();
        let Some(Ok(Event::Sample(sample))) = sample else {
            panic!("{:?}", case.body)
        };
        let ours = sample.at.unwrap();
        assert_eq!((theirs * 1_000.0).round() as i64, ours, "{:?}", case.body);
        assert_eq!(ours, at);
    }
}
