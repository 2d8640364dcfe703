//! Members against the models of `statsforecast` and Prophet, on the windows these were measured on.
//!
//! `reference_forecast_windows.csv` beside the public series holds, for ten origins of each of eight series at five
//! minutes, the errors over the path of the next 15 minutes, hour and day. The origin is the first time that is
//! forecast; MASE is the mean absolute error over that of repeating the day before, in the history given.

use super::{ModelFiles, ModelSettings, arima, harmonic, prophet};
use crate::{
    series::{Grid, Millis, Past, Zone},
    stats::season,
};
use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const STEP: Millis = 300_000;
const HORIZONS: [(&str, usize); 3] = [("15m", 3), ("60m", 12), ("24h", 288)];

/// By horizon.
type Errors = [f64; HORIZONS.len()];

struct Series {
    start: Millis,
    values: Vec<f32>,
}

struct Window {
    series: String,
    origin: Millis,
    history: usize,
    scale: f64,
    /// Mean absolute errors of repeating the newest value, as the file has them.
    naive: Errors,
}

struct Reference {
    windows: Vec<Window>,
    /// Mean of the MASE over all windows, by model.
    models: BTreeMap<String, Errors>,
}

fn data() -> Option<PathBuf> {
    let given = std::env::var_os("FORETHOUGHT_DATA").map(PathBuf::from);
    let root =
        given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    root.join("reference_forecast_windows.csv")
        .is_file()
        .then_some(root)
}

fn text(path: &Path) -> String {
    let file = std::fs::File::open(path).unwrap();
    let mut text = String::new();
    if path.extension().unwrap() == "gz" {
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .unwrap();
    } else {
        let mut reader = lzma_rust2::XzReader::new(file, true);
        reader.read_to_string(&mut text).unwrap();
    }
    text
}

/// Means over five minutes of the column `value`, of the rows of `owner` where there is a column of series.
fn read(path: &Path, value: &str, owner: Option<&str>) -> Series {
    let text = text(path);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (time, value) = (place("timestamp"), place(value));
    let mut cells: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for row in reader.records().map(Result::unwrap) {
        if owner.is_some_and(|owner| row[place("series")] != *owner) {
            continue;
        }
        let at = row[time].parse::<Millis>().unwrap() * 1_000;
        if let Ok(value) = row[value].parse::<f64>() {
            let cell = cells.entry(at.div_euclid(STEP)).or_default();
            *cell = (cell.0 + value, cell.1 + 1.0);
        }
    }
    let (first, last) = (*cells.keys().next().unwrap(), *cells.keys().last().unwrap());
    let mean = |index| {
        cells
            .get(&index)
            .map_or(f32::NAN, |(sum, count)| (sum / count) as f32)
    };
    Series {
        start: first * STEP,
        values: (first..=last).map(mean).collect(),
    }
}

fn series(root: &Path) -> BTreeMap<String, Series> {
    let one = |name: &str, file: &str, value, owner| {
        (
            format!("public/{name}"),
            read(&root.join(file), value, owner),
        )
    };
    let bitbrains = "traces/bitbrains_rnd201308_5min.csv.xz";
    let eth = "kpi/server_res_eth1out_curve_6.csv.gz";
    let alibaba = "traces/alibaba2018_cluster_30s.csv.gz";
    BTreeMap::from([
        one("nasa_http", "traces/nasa_http_1min.csv.gz", "value", None),
        one("wc98_pre", "traces/wc98_pre_1min.csv.gz", "value", None),
        one("alibaba2018_cpu", alibaba, "cpu_util_percent", None),
        one(
            "google2019_cpu",
            "traces/google2019_cell_5min.csv.gz",
            "avg_cpu",
            None,
        ),
        one("bitbrains_vm43_cpu", bitbrains, "cpu_pct", Some("vm43")),
        one("bitbrains_vm497_cpu", bitbrains, "cpu_pct", Some("vm497")),
        one("kpi_cpu4", "kpi/cpu4.csv.gz", "value", None),
        one("kpi_eth6", eth, "value", None),
    ])
}

fn reference(root: &Path) -> Reference {
    let mut reader = csv::Reader::from_path(root.join("reference_forecast_windows.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let mut windows: BTreeMap<(String, String), Window> = BTreeMap::new();
    let mut sums: BTreeMap<String, [(f64, f64); HORIZONS.len()]> = BTreeMap::new();
    for row in reader.records().map(Result::unwrap) {
        let number = |name: &str| row[place(name)].parse::<f64>().unwrap();
        let horizon = &row[place("horizon")];
        let h = HORIZONS
            .iter()
            .position(|(name, _)| name == &horizon)
            .unwrap();
        let model = row[place("model")].to_owned();
        let sum = &mut sums.entry(model.clone()).or_default()[h];
        *sum = (sum.0 + number("mase"), sum.1 + 1.0);
        if model != "naive" {
            continue;
        }
        let key = (row[place("series")].to_owned(), row[place("k")].to_owned());
        let origin: jiff::civil::DateTime = row[place("origin")].parse().unwrap();
        let origin = origin.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let window = windows.entry(key.clone()).or_insert(Window {
            series: key.0,
            origin: origin.timestamp().as_millisecond(),
            history: number("H") as usize,
            scale: number("scale"),
            naive: [f64::NAN; HORIZONS.len()],
        });
        window.naive[h] = number("mae");
    }
    sums.retain(|_, sums| sums[0].1 >= windows.len() as f64);
    let mean = |(model, sums): (String, [(f64, f64); 3])| (model, sums.map(|(sum, n)| sum / n));
    Reference {
        windows: windows.into_values().collect(),
        models: sums.into_iter().map(mean).collect(),
    }
}

/// Mean absolute errors of a path over each horizon; the actual values that are missing do not count.
fn errors(path: &[f32], actual: &[f32]) -> Errors {
    HORIZONS.map(|(_, steps)| {
        let errors = path[..steps]
            .iter()
            .zip(actual)
            .filter(|(_, actual)| actual.is_finite());
        let (sum, count) = errors.fold((0.0, 0.0), |(sum, count), (path, actual)| {
            (sum + f64::from((path - actual).abs()), count + 1.0)
        });
        sum / count
    })
}

/// Mean MASE of `model` over all windows, and what a fit took.
fn measure(
    model: &ModelSettings,
    windows: &[Window],
    series: &BTreeMap<String, Series>,
) -> (Errors, Duration) {
    let (grid, zone) = (Grid::new(STEP).unwrap(), Zone::default());
    let horizons: Vec<usize> = (1..=288).collect();
    let mut sums = [0.0; HORIZONS.len()];
    let mut spent = Duration::ZERO;
    for window in windows {
        let series = &series[&window.series];
        let next = ((window.origin - series.start) / STEP) as usize;
        let values = &series.values[next - window.history..next];
        let seasons = season::detect(values, grid);
        let past = Past {
            end: window.origin - STEP,
            grid,
            values,
            seasons: &seasons,
            zone: &zone,
        };
        let mut built = model
            .build(grid, &[3, 12, 288], &ModelFiles::new())
            .unwrap();
        built.grow(1);
        #[expect(
            clippy::disallowed_methods,
            reason = "what is measured is this very machine"
        )]
        let begun = Instant::now();
        assert!(built.fit(0, &past), "{} {}", model.kind(), window.series);
        spent += begun.elapsed();
        let mut path = vec![f32::NAN; horizons.len()];
        built.predict(&[0], &horizons, &mut path);
        let errors = errors(&path, &series.values[next..]);
        for (sum, error) in sums.iter_mut().zip(errors) {
            *sum += error / window.scale;
        }
    }
    let count = windows.len() as f64;
    (sums.map(|sum| sum / count), spent / windows.len() as u32)
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the table is what a person runs this test for"
)]
fn members_beat_the_reference_on_its_windows() {
    let Some(root) = data() else {
        println!("SKIPPED: no data; set FORETHOUGHT_DATA");
        return;
    };
    let Reference { windows, models } = reference(&root);
    let series = series(&root);
    assert_eq!((windows.len(), series.len()), (80, 8));
    // The series are made as those of the reference: repeating the newest value has the errors it had there.
    for window in &windows {
        let series = &series[&window.series];
        let next = ((window.origin - series.start) / STEP) as usize;
        let mut before = series.values[..next].iter().rev();
        let newest = before.find(|value| value.is_finite()).unwrap();
        let future = &series.values[next..next + 288];
        // The reference filled gaps before.
        let tolerance = 2e-3;
        for (own, given) in errors(&[*newest; 288], future)
            .into_iter()
            .zip(window.naive)
        {
            let difference = (own - given).abs();
            assert!(
                difference < tolerance * (own + window.scale),
                "{own} {given}"
            );
        }
    }
    for (model, errors) in &models {
        println!("{model:<16} {errors:.3?}");
    }
    let members = [
        ModelSettings::Arima(arima::Settings::default()),
        ModelSettings::Harmonic(harmonic::Settings::default()),
        ModelSettings::Prophet(prophet::Settings::default()),
    ];
    for member in members {
        let (errors, fit) = measure(&member, &windows, &series);
        println!(
            "{:<16} {errors:.3?} {:.1} ms a fit",
            member.kind(),
            fit.as_secs_f64() * 1e3
        );
        // Prophet itself is the one to be as good as.
        let (near, far) = match member.kind() {
            "prophet" => (models["Prophet"], models["Prophet"]),
            _ => (models["AutoARIMA"], models["MSTL_day"]),
        };
        assert!(errors[0] < near[0] && errors[1] < near[1] && errors[2] < 1.02 * far[2]);
    }
}
