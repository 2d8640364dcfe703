//! The landing page in a real browser, on the real engine with the synthetic workload behind it.

mod browser;
mod polls;

use super::support;
use browser::Browser;
use forethought::{
    app::{App, AppOptions, ConfigSource},
    config, demo,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::mpsc,
    thread::{self, JoinHandle},
};
use tokio::{runtime::Runtime, sync::oneshot};

const PROBE: &str = include_str!("page/probe.js");

/// What the demo's clock shows at its start: a Wednesday afternoon.
const START: i64 = 1_763_560_800_000;

/// A running program; stopped when dropped.
struct Site {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    /// The demo, at a speed of which a busy machine misses no tick.
    fn demo() -> Self {
        Self::start(|runtime, tell, stopped| {
            let options = demo::DemoOptions {
                speed: 8.0,
                listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
                start: Some(START),
                ..demo::DemoOptions::default()
            };
            let announce = |found: &demo::Announcement| tell.send(found.address).unwrap();
            runtime
                .block_on(demo::run(options, announce, stopped))
                .unwrap();
        })
    }

    /// A program under the prefix `/watch` whose one source refuses connections.
    fn silent(port: u16) -> Self {
        Self::start(move |runtime, tell, stopped| {
            let text = "sources: [{name: gone, prometheus: {url: 'http://127.0.0.1:9'}}]\n\
                        signals: [{name: nothing_per_second, query: nothing}]\n";
            let config = config::parse(text, &|_| None).unwrap();
            let mut options = AppOptions::new(ConfigSource::Literal(Box::new(config)));
            options.listen = vec![SocketAddr::from(([127, 0, 0, 1], port))];
            options.web.route_prefix = "/watch".to_owned();
            runtime.block_on(async {
                let app = App::build(options).await.unwrap();
                tell.send(app.addr()).unwrap();
                app.run(stopped).await;
            });
        })
    }

    fn start<F>(run: F) -> Self
    where
        F: FnOnce(&Runtime, mpsc::Sender<SocketAddr>, Stopped) + Send + 'static,
    {
        let ((tell, told), (stop, stopped)) = (mpsc::channel(), oneshot::channel());
        let thread = thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            run(
                &runtime,
                tell,
                Box::pin(async {
                    drop(stopped.await);
                    "the end of the test"
                }),
            );
            runtime.shutdown_background();
        });
        Self {
            address: told.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of its own was told already; a second one here would abort the whole run.
            drop(thread.join());
        }
    }
}

type Stopped = std::pin::Pin<Box<dyn Future<Output = &'static str> + Send>>;

#[test]
fn the_page_draws_reads_and_updates() {
    let _alone = support::undisturbed();
    let site = Site::demo();
    let mut browser = Browser::start();
    browser.size(1_280, 900);
    browser.prefer("light", false);
    open(&mut browser, &site.url("/"));

    charts_are_really_drawn(&mut browser);
    workloads_are_listed_and_drawn(&mut browser);
    polls::points_are_not_drawn_twice(&mut browser);
    polls::it_asks_again_for_what_was_not_ready(&mut browser);
    polls::it_leaves_the_focus_where_it_is(&mut browser);
    it_names_the_series_of_a_group(&mut browser);
    it_updates_by_itself(&mut browser);
    it_fits(&mut browser);
    it_can_be_read_in_light_and_dark(&mut browser);
    it_can_be_read_with_the_keyboard(&mut browser);
    workloads_can_be_read_with_the_keyboard(&mut browser);
    it_has_words_for_everything(&mut browser);
    it_keeps_still_when_asked(&mut browser);
    it_asks_nobody_else(&mut browser, &site.url("/"));
    let complaints = browser.complaints();
    assert!(
        complaints.is_empty(),
        "the browser complained: {complaints:#?}"
    );
}

#[test]
fn the_page_says_why_a_signal_is_silent_and_survives_its_server() {
    let site = Site::silent(0);
    let port = site.address.port();
    let mut browser = Browser::start();
    browser.size(1_280, 900);
    browser.open(&site.url("/watch/"));
    browser.wait(
        "the reason of the silence",
        "/^Silent: .{10}/.test(document.querySelector('.signal .note:not([hidden])')?.textContent)",
    );
    it_asks_nobody_else(&mut browser, &site.url("/watch/"));

    assert_eq!(
        browser.evaluate("document.querySelector('.banner').hidden"),
        json!(true)
    );
    drop(site);
    browser.wait(
        "the news that the server is gone",
        "!document.querySelector('.banner').hidden && \
         document.querySelector('.banner').textContent.includes('cannot be read: no connection')",
    );
    assert_eq!(
        browser.evaluate("document.querySelector('.banner').getAttribute('role')"),
        "alert"
    );
    let _again = Site::silent(port);
    browser.wait(
        "the page to recover",
        "document.querySelector('.banner').hidden",
    );
}

#[test]
fn the_files_of_the_page_name_no_other_host() {
    for file in ["index.html", "page.css", "page.js", "workloads.js"] {
        let text = support::read(format!("src/web/page/{file}"));
        // The one address is a name: that of the SVG language.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for stranger in [
            "http:", "https:", "=\"/", "='/", "url(/", "@import", "<<<<<<<",
        ] {
            assert!(!text.contains(stranger), "{file} holds {stranger:?}");
        }
    }
}

fn it_asks_nobody_else(browser: &mut Browser, site: &str) {
    let requests = browser.requests();
    assert!(
        requests.iter().any(|url| url.ends_with("api/v1/signals")),
        "{requests:?}"
    );
    let strangers: Vec<&String> = requests
        .iter()
        .filter(|url| !url.starts_with(site) && !url.starts_with("data:"))
        .collect();
    assert!(strangers.is_empty(), "asked somebody else: {strangers:?}");
}

/// Opens the page and waits until every signal has its series and one chart at least is drawn.
fn open(browser: &mut Browser, url: &str) {
    browser.open(url);
    browser.evaluate(PROBE);
    browser.wait(
        "the charts",
        "document.querySelectorAll('.card').length >= 30 && \
         [...document.querySelectorAll('.card svg.chart')].some((svg) => svg.querySelector('.actual'))",
    );
}

fn charts_are_really_drawn(browser: &mut Browser) {
    // What is judged is what was there when the wait was over: a page goes on.
    let charts = browser.wait_for(
        "all series, and a forecast in every chart of a signal",
        "((charts) => [...state.sections.values()].every((section) => section.cards.size === section.signal.series && \
         section.signal.phase === 'running' && section.asked === section.standing()) && \
         charts.filter((chart) => chart.forecasts === 3).length >= 25 && charts)(probe.charts())",
    );
    let charts = charts.as_array().unwrap();
    for chart in charts {
        let whole = &chart["title"];
        let count = |name: &str| chart[name].as_f64().unwrap();
        assert!(
            chart["finite"] == true && chart["inside"] == true,
            "{whole}: {chart}"
        );
        assert!(count("width") > 200.0 && count("height") > 100.0, "{whole}");
        if chart["signal"] != "node_health" {
            assert!(
                count("actual") >= 100.0 && count("expected") >= 100.0 && count("band") >= 200.0,
                "{whole}: {chart}"
            );
            assert!(chart["closed"] == true, "{whole}: the band is an area");
            assert_eq!(count("bars"), count("forecasts"), "{whole}");
        }
    }
    let total = |name: &str| {
        charts
            .iter()
            .map(|chart| chart[name].as_f64().unwrap())
            .sum::<f64>()
    };
    assert!(total("regions") >= 3.0, "the last day had incidents");
    assert!(
        total("marks") >= 3.0,
        "anomalies have a shape, not only a colour"
    );
    // Not two pictures of the same thing.
    let mut shapes: Vec<&str> = charts
        .iter()
        .map(|chart| chart["shapes"].as_str().unwrap())
        .collect();
    shapes.sort_unstable();
    shapes.dedup();
    assert_eq!(shapes.len(), charts.len());
}

fn workloads_are_listed_and_drawn(browser: &mut Browser) {
    let told = browser.wait_for(
        "a workload whose forecast counts, sizes of all, and one with its demand of hours",
        "(([rows, drawn]) => rows.some((row) => row.gate === 'counts') && \
         rows.every((row) => [row.recommended, row.asked, row.ready].every((text) => /^\\d/.test(text))) && \
         drawn.actual >= 200 && drawn.takes >= 4 && { rows, drawn })([probe.rows(), probe.workload()])",
    );
    let (rows, drawn) = (&told["rows"], &told["drawn"]);
    let names: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["catalog", "search"]);
    for row in rows.as_array().unwrap() {
        assert_eq!(row["mode"], "observe", "{row}");
        for number in ["recommended", "asked", "ready"] {
            let text = row[number].as_str().unwrap();
            let size: u32 = text.split(' ').next().unwrap().parse().unwrap();
            assert!((2..=60).contains(&size), "{number}: {row}");
        }
        assert!(row["why"].as_str().unwrap().contains("replicas"), "{row}");
    }
    assert_eq!(drawn["name"], "catalog");
    assert!(
        drawn["finite"] == true && drawn["inside"] == true,
        "{drawn}"
    );
    assert_eq!(
        drawn["closed"], true,
        "what the size takes is an area: {drawn}"
    );
    let label = drawn["label"].as_str().unwrap();
    for words in [
        "Chart of the workload catalog over 24 hours",
        "Replicas: ",
        "asked for",
        "ready",
    ] {
        assert!(label.contains(words), "{label}");
    }
    assert!(
        !label.contains("NaN") && !label.contains("undefined"),
        "{label}"
    );
    // The other one, and back.
    let shapes = drawn["shapes"].clone();
    browser.evaluate("[...document.querySelectorAll('#workloads-list button')].at(-1).click()");
    browser.wait(
        "the other workload",
        "probe.workload().name === 'search' && probe.workload().label.includes('workload search')",
    );
    let other = probe(browser, "workload()");
    assert_ne!(other["shapes"], shapes);
    assert_eq!(probe(browser, "rows()[1].pressed"), "true");
    browser.evaluate("document.querySelector('#workloads-list button').click()");
    browser.wait("the first workload", "probe.workload().name === 'catalog'");
}

fn workloads_can_be_read_with_the_keyboard(browser: &mut Browser) {
    browser.evaluate("document.querySelectorAll('#workloads-list button')[1].focus()");
    browser.press("Enter");
    browser.wait("the chosen workload", "probe.workload().name === 'search'");
    browser.press("Tab");
    let focused = probe(browser, "focused()");
    assert_eq!(
        (&focused["kind"], &focused["outline"]),
        (&json!("workload"), &json!("solid")),
        "{focused}"
    );
    let values = "document.activeElement.querySelector('.values').textContent";
    let newest = browser.evaluate(values);
    browser.press("Home");
    let oldest = browser.evaluate(values);
    assert_ne!(newest, oldest);
    browser.press("ArrowRight");
    assert_ne!(browser.evaluate(values), oldest);
    browser.press("Escape");
    let again = browser.evaluate(values);
    assert!(again.as_str().unwrap().starts_with("demand now"), "{again}");
    browser.press("Tab");
    assert_eq!(probe(browser, "focused()")["tag"], "SUMMARY");
    browser.press("Enter");
    browser.wait(
        "the table",
        "document.querySelectorAll('#workload-table tbody tr').length >= 20",
    );
    assert_eq!(probe(browser, "sticking()"), json!([]));
    browser.press("Enter");
}

fn it_names_the_series_of_a_group(browser: &mut Browser) {
    let told = browser.evaluate(
        "(() => {
            const section = [...state.sections.values()].find((one) => one.cards.size > 1);
            const [card] = section.cards.values();
            const top = [{ labels: card.series.labels, score: 4.25 }, { labels: { pod: 'gone' }, score: 2 }];
            section.showGroups([{ labels: {}, series: 12, active: 11, top }]);
            const names = [section.name, Object.values(card.series.labels).join(' · ')];
            const { hidden, textContent } = section.groups;
            const links = [...section.groups.querySelectorAll('a')].map((link) => link.getAttribute('href') === `#${card.root.id}`);
            section.showGroups([]);
            return { names, hidden, text: textContent, links, after: section.groups.hidden };
        })()",
    );
    let name = |index: usize| told["names"][index].as_str().unwrap().to_owned();
    let expected = format!(
        "{} 11 of 12 anomalous: {} 4.25, gone 2.00 and 9 more",
        name(0),
        name(1)
    );
    assert_eq!(told["text"], expected.as_str());
    assert_eq!(
        (&told["hidden"], &told["after"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(told["links"], json!([true]));
}

fn it_updates_by_itself(browser: &mut Browser) {
    // What nobody looks at is not asked for.
    browser.evaluate("document.querySelector('.card').scrollIntoView({ behavior: 'instant' })");
    browser.evaluate("globalThis.before = { ...probe.charts()[0], time: document.querySelector('time').textContent }");
    browser.wait(
        "a new outcome to be drawn",
        "document.querySelector('time').textContent !== before.time && \
         probe.charts().some((chart) => chart.title === before.title && chart.signal === before.signal && \
         chart.shapes !== before.shapes && chart.values !== before.values)",
    );
    browser.evaluate("document.querySelector('input[name=range][value=\"3\"]').click()");
    let hours = probe(browser, "charts()[0].label");
    assert!(hours.as_str().unwrap().contains("over 3 hours"), "{hours}");
    browser.evaluate("document.querySelector('input[name=range][value=\"24\"]').click()");
}

fn it_fits(browser: &mut Browser) {
    for (width, columns) in [(360, 1), (768, 1), (1_280, 2), (1_920, 3)] {
        browser.size(width, 900);
        browser.wait("the charts to take the new width", "probe.charts().every((chart) => chart.width === Math.round(document.querySelector('.card svg.chart').clientWidth))");
        assert_eq!(probe(browser, "sticking()"), json!([]), "at {width}");
        assert_eq!(probe(browser, "overlaps()"), json!([]), "at {width}");
        let tops = "new Set([...document.querySelector('.cards').children].slice(0, 4).map((card) => card.getBoundingClientRect().left)).size";
        assert_eq!(browser.evaluate(tops), json!(columns), "columns at {width}");
        keep(browser, &format!("light-{width}"));
    }
    browser.size(1_280, 900);
}

fn it_can_be_read_in_light_and_dark(browser: &mut Browser) {
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme, true);
        assert_eq!(probe(browser, "faint()"), json!([]), "in {scheme}");
        papers.push(browser.evaluate("getComputedStyle(document.body).backgroundColor"));
        keep(browser, scheme);
    }
    assert_ne!(papers[0], papers[1]);
    browser.prefer("light", false);
}

fn it_can_be_read_with_the_keyboard(browser: &mut Browser) {
    browser.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
    let mut visited = Vec::new();
    for _ in 0..40 {
        browser.press("Tab");
        let focused = probe(browser, "focused()");
        let card = focused["kind"] == "card";
        assert!(
            card || focused["tag"] != "BODY",
            "the focus got lost: {visited:?}"
        );
        visited.push(focused.clone());
        if card {
            break;
        }
    }
    let last = visited.last().unwrap();
    assert_eq!(
        (&last["kind"], &last["outline"]),
        (&json!("card"), &json!("solid")),
        "{visited:?}"
    );
    let values = "document.activeElement.querySelector('.values').textContent";
    let newest = browser.evaluate(values);
    browser.press("Home");
    let oldest = browser.evaluate(values);
    assert_ne!(newest, oldest);
    browser.press("ArrowRight");
    assert_ne!(browser.evaluate(values), oldest);
    assert_eq!(
        browser
            .evaluate("document.activeElement.querySelector('.cursor').getAttribute('visibility')"),
        "visible"
    );
    assert_eq!(
        browser
            .evaluate("document.activeElement.querySelector('.values').getAttribute('aria-live')"),
        "polite"
    );
    browser.press("Escape");
    let again = browser.evaluate(values);
    assert!(again.as_str().unwrap().starts_with("now"), "{again}");
    // On to the table of the same card, which opens with the keyboard too.
    browser.press("Tab");
    assert_eq!(probe(browser, "focused()")["tag"], "SUMMARY");
    browser.press("Enter");
    browser.wait(
        "the table",
        "document.activeElement.closest('.card').querySelectorAll('tbody tr').length >= 20",
    );
    assert_eq!(probe(browser, "sticking()"), json!([]));
    browser.press("Enter");
}

fn it_has_words_for_everything(browser: &mut Browser) {
    for chart in probe(browser, "charts()").as_array().unwrap() {
        let label = chart["label"].as_str().unwrap();
        assert_eq!(chart["role"], "img");
        assert!(label.contains(chart["title"].as_str().unwrap()), "{label}");
        assert!(
            label.contains("anomalous period") && label.contains("Now"),
            "{label}"
        );
        assert!(
            !label.contains("NaN") && !label.contains("undefined"),
            "{label}"
        );
        if chart["active"] == true {
            let badge = chart["badge"].as_str().unwrap();
            assert!(
                ["info", "warning", "critical", "emergency"]
                    .iter()
                    .any(|word| badge.contains(word)),
                "{badge}"
            );
        }
    }
    let unnamed = "[...document.querySelectorAll('a, button, input, summary, section, nav, article')].filter((node) => \
        !node.textContent.trim() && !node.getAttribute('aria-label') && !node.labels?.[0]?.textContent.trim()).map((node) => node.outerHTML)";
    assert_eq!(browser.evaluate(unnamed), json!([]));
    let dangling = "[...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].flatMap((node) => \
        [node.getAttribute('aria-labelledby'), node.getAttribute('aria-describedby')]).filter((id) => id && !document.getElementById(id))";
    assert_eq!(browser.evaluate(dangling), json!([]));
    let twice = "(() => { const ids = [...document.querySelectorAll('[id]')].map((node) => node.id); return ids.filter((id, index) => ids.indexOf(id) !== index); })()";
    assert_eq!(browser.evaluate(twice), json!([]));
}

fn it_keeps_still_when_asked(browser: &mut Browser) {
    let moving = "[...document.querySelectorAll('*')].filter((node) => { const style = getComputedStyle(node); \
        return style.animationName !== 'none' || style.scrollBehavior === 'smooth' || \
        (parseFloat(style.transitionDuration) > 0 && style.transitionProperty !== 'none'); }).length";
    browser.prefer("light", true);
    assert_eq!(browser.evaluate(moving), json!(0));
    browser.prefer("light", false);
    assert_ne!(
        browser.evaluate(moving),
        json!(0),
        "the question above can be answered with no"
    );
}

fn probe(browser: &mut Browser, what: &str) -> Value {
    browser.evaluate(&format!("probe.{what}"))
}

/// Keeps a picture of the page beside the build, to look at.
fn keep(browser: &mut Browser, name: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(folder.join(format!("page-{name}.png")), browser.picture()).unwrap();
}
