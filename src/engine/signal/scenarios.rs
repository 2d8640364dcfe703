//! Alert hygiene as its users see it: each file in `tests/scenarios` is a signal, what its series did, and
//! the verdicts that are right. The real unit is run on it.
//!
//! ```yaml
//! signal: {alerting: {for: 2m}}          # as in a configuration; name and query are left out
//! calendars: [{name: free, country: DE}] # as in a configuration; a file of its own lies beside this one
//! course: {daily: 40, noise: 8}          # added to every value: half the height of a daily wave, and of noise
//! begin: 2026-03-29T00:00:00Z            # the time of the first value of each case; left out: one after an epoch
//! history: {times: 40, values: '10 12 9 11 10'}     # before, so many times over
//! cases:
//!   - {case: what is shown, values: '10 90 90 10', verdicts: '..Ba'}
//! ```
//!
//! Values are in promtool's notation (`1 2 _ 3+1x4 _x5`); `=0` is a value to which nothing is added. A verdict is one
//! letter a step: `.` none, `B` began, `a` active, `-` no score, `?` any of them; `a*5` is five of them. Spaces are only
//! for the eye. Beside the verdicts a case may say the severities, a digit a step in the same way, and what gauges of
//! the signal show at the end (`shows: {anomaly_group_ratio: 0.5}`). `others` are the values of more series, with the
//! same history. A step is a minute unless the signal says so.

use super::*;
use crate::{
    engine::settings::{Calendars, NamedCalendar},
    series::{
        Zone,
        calendar::{CalendarSettings, Moment},
    },
    source::SeriesSamples,
};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

const DAY: Millis = 86_400_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    signal: serde_yaml::Mapping,
    #[serde(default)]
    calendars: Vec<CalendarSettings>,
    #[serde(default)]
    course: Course,
    #[serde(default)]
    begin: Option<Moment>,
    history: History,
    cases: Vec<Case>,
}

/// What is added to the values of a series.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Course {
    daily: f64,
    noise: f64,
    timezone: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    #[serde(default = "once")]
    times: usize,
    values: String,
}

fn once() -> usize {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    values: String,
    #[serde(default)]
    others: Vec<String>,
    verdicts: String,
    #[serde(default)]
    severities: Option<String>,
    #[serde(default)]
    shows: BTreeMap<String, f64>,
}

/// One value as it is written.
#[derive(Debug, Clone, Copy)]
struct Written {
    value: f64,
    /// Whether nothing is added to it.
    bare: bool,
}

/// promtool's notation for values; `NaN` for a missing sample.
fn notation(text: &str) -> Vec<Written> {
    let groups = text.split_whitespace().map(|text| {
        let bare = text.strip_prefix('=');
        (group(bare.unwrap_or(text)), bare.is_some())
    });
    groups
        .flat_map(|(values, bare)| {
            let written = move |value| Written { value, bare };
            values.into_iter().map(written)
        })
        .collect()
}

fn group(text: &str) -> Vec<f64> {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text:?}"));
    if let Some(missing) = text.strip_prefix('_') {
        let times = missing.strip_prefix('x').map_or(1.0, number);
        return vec![f64::NAN; times as usize];
    }
    let Some((start, times)) = text.split_once('x') else {
        return vec![number(text)];
    };
    // The sign of the step is the first after the start's own.
    let signs = start.char_indices().skip(1);
    let sign = signs.into_iter().find(|(_, one)| "+-".contains(*one));
    let (start, step) = sign.map_or((start, 0.0), |(at, _)| {
        let (start, step) = start.split_at(at);
        (start, number(step))
    });
    (0..=number(times) as usize)
        .map(|index| number(start) + index as f64 * step)
        .collect()
}

/// `B a*3 .` written out.
fn letters(text: &str) -> String {
    let groups = text.split_whitespace().map(|text| {
        let Some((letter, times)) = text.split_once('*') else {
            return text.to_owned();
        };
        letter.repeat(times.parse().unwrap_or_else(|_| panic!("{text:?}")))
    });
    groups.collect()
}

/// The other way round, for people.
fn shortened(letters: &str) -> String {
    let mut runs: Vec<(char, usize)> = Vec::new();
    for letter in letters.chars() {
        match runs.last_mut() {
            Some((last, count)) if *last == letter => *count += 1,
            _ => runs.push((letter, 1)),
        }
    }
    let run = |(letter, count): &(char, usize)| match count {
        1 => letter.to_string(),
        count => format!("{letter}*{count}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(" ")
}

/// What is wrong with `found`, if anything.
fn difference(what: &str, expected: &str, found: &str) -> Option<String> {
    let expected = letters(expected);
    let mut pairs = expected.chars().zip(found.chars());
    let same = pairs.all(|(one, other)| one == '?' || one == other);
    if same && found.len() == expected.len() {
        return None;
    }
    let (expected, found) = (shortened(&expected), shortened(found));
    Some(format!("{what}\n expected {expected}\n found    {found}\n"))
}

impl Course {
    fn at(&self, at: Millis) -> f64 {
        let zone = self
            .timezone
            .as_deref()
            .map(|name| Zone::named(name).unwrap());
        let local = at + zone.unwrap_or_default().offset(at);
        let phase = local.rem_euclid(DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        let mut random = fastrand::Rng::with_seed(at as u64);
        self.daily * phase.sin() + self.noise * (2.0 * random.f64() - 1.0)
    }
}

fn folder() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

impl Scenario {
    fn read(text: &str) -> Self {
        let value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        serde_yaml::from_value(value).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn settings(&self) -> SignalSettings {
        let mut map = serde_yaml::Mapping::new();
        map.insert("name".into(), "load".into());
        map.insert("query".into(), "up".into());
        map.insert("step".into(), "1m".into());
        map.insert(
            "forecast".into(),
            serde_yaml::from_str("{horizons: []}").unwrap(),
        );
        map.extend(self.signal.clone());
        let value = serde_yaml::Value::Mapping(map);
        let read = serde_yaml::with::singleton_map_recursive::deserialize(value);
        let settings: SignalSettings = read.unwrap();
        assert_eq!(settings.validate(), []);
        settings
    }

    fn calendars(&self) -> Calendars {
        let named = self.calendars.iter().map(|settings| {
            assert_eq!(settings.validate(), []);
            let file = settings.file().map(|file| folder().join(file));
            let content = file.map_or_else(Vec::new, |file| std::fs::read(file).unwrap());
            let calendar = Arc::new(settings.build(&content).unwrap());
            let revision = 0;
            (settings.name.clone(), NamedCalendar { calendar, revision })
        });
        named.collect()
    }

    /// The samples of each series, from grid slot `from` on.
    fn matrix(&self, step: Millis, from: usize, series: &[&[Written]]) -> Matrix {
        let sample = |place: usize, written: &Written| {
            let at = place as Millis * step;
            let added = if written.bare {
                0.0
            } else {
                self.course.at(at)
            };
            (at, written.value + added)
        };
        let series = series.iter().enumerate().map(|(number, values)| {
            let samples = values.iter().enumerate();
            let samples = samples.map(|(index, value)| sample(from + index, value));
            SeriesSamples {
                labels: Labels::new([("pod", format!("pod-{number}"))]).unwrap(),
                samples: samples.filter(|(_, value)| value.is_finite()).collect(),
            }
        });
        Matrix {
            series: series.collect(),
            ..Matrix::default()
        }
    }

    /// What a run of one case showed at each step.
    fn run(&self, case: &Case) -> Vec<Outcome> {
        let settings = self.settings();
        let step = settings.step.as_millis();
        let options = UnitOptions {
            calendars: self.calendars(),
            ..UnitOptions::default()
        };
        let mut unit = SignalUnit::new(&settings, &options, &ModelFiles::default()).unwrap();
        let history = notation(&self.history.values).repeat(self.history.times);
        // A whole number of epochs after a time that is one for every series.
        let first = self
            .begin
            .map_or(1_000_000, |begin| (begin.0 / step) as usize - history.len());
        let texts = std::iter::once(&case.values).chain(&case.others);
        let series: Vec<Vec<Written>> = texts.map(|text| notation(text)).collect();
        unit.ingest(&self.matrix(step, first, &vec![&history[..]; series.len()]));
        let start = (first + history.len() - 1) as Millis * step;
        let mut at = unit.restart(start);
        while at < start {
            at += step;
            unit.advance(at, Mode::Replay);
        }
        let mode = match case.shows.is_empty() {
            true => Mode::Study,
            false => Mode::Publish,
        };
        let advance = |index: usize| {
            let place = first + history.len() + index;
            let now: Vec<&[Written]> = series.iter().map(|one| &one[index..=index]).collect();
            unit.ingest(&self.matrix(step, place, &now));
            unit.advance(place as Millis * step, mode)
        };
        (0..series[0].len()).map(advance).collect()
    }

    /// What is wrong with one case, in a few lines; nothing where all is well.
    fn wrong(&self, case: &Case) -> String {
        let outcomes = self.run(case);
        let pod = Labels::new([("pod", "pod-0")]).unwrap();
        let series = |outcome: &Outcome| {
            let mut all = outcome.series.iter();
            all.find(|one| one.labels == pod).cloned()
        };
        let letter = |outcome: &Outcome| match series(outcome) {
            Some(one) if one.began => 'B',
            Some(one) if one.active => 'a',
            Some(one) if one.score.is_finite() => '.',
            _ => '-',
        };
        let digit = |outcome: &Outcome| {
            let severity = series(outcome).map_or(0, |one| one.severity);
            char::from(b'0' + severity)
        };
        let verdicts: String = outcomes.iter().map(letter).collect();
        let severities: String = outcomes.iter().map(digit).collect();
        let expected = case.severities.as_ref();
        let mut wrong: String = difference("verdicts", &case.verdicts, &verdicts)
            .into_iter()
            .chain(expected.and_then(|expected| difference("severities", expected, &severities)))
            .collect();
        for (name, expected) in &case.shows {
            let chunks = outcomes.iter().flat_map(|outcome| &outcome.chunks);
            let newest = chunks.filter(|chunk| chunk.name() == name).last();
            let found: Vec<f64> = newest
                .into_iter()
                .flat_map(|chunk| chunk.values())
                .collect();
            if found != [*expected] {
                wrong += &format!("{name}\n expected {expected}\n found    {found:?}\n");
            }
        }
        wrong
    }
}

#[test]
fn scenarios_have_the_verdicts_they_say() {
    let files = std::fs::read_dir(folder()).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yml"));
    files.sort();
    let mut wrong = String::new();
    for file in &files {
        let scenario = Scenario::read(&std::fs::read_to_string(file).unwrap());
        for case in &scenario.cases {
            let problems = scenario.wrong(case);
            if !problems.is_empty() {
                let (name, case) = (file.file_name(), &case.case);
                wrong += &format!("\n{name:?}: {case}\n{problems}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(files.len() >= 20, "{files:?}");
}

#[test]
fn the_notation_is_that_of_promtool() {
    let read = |text: &str| -> Vec<String> {
        let values = notation(text).into_iter();
        values.map(|one| one.value.to_string()).collect()
    };
    assert_eq!(read("1 2.5 -3"), ["1", "2.5", "-3"]);
    assert_eq!(read("1+2x3"), ["1", "3", "5", "7"]);
    assert_eq!(read("-1-1x2 =7x1"), ["-1", "-2", "-3", "7", "7"]);
    assert_eq!(read("_ 1 _x2"), ["NaN", "1", "NaN", "NaN"]);
    assert_eq!(letters("B a*3 .."), "Baaa..");
    assert_eq!(shortened("Baaa.."), "B a*3 .*2");
}
