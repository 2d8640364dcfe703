//! A picture of a backtest: the series, what had been forecast for each time, its interval, anomalies.

use super::{Picture, Point};
use crate::series::{Labels, Millis};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::path::Path;

/// Width of the picture, in pixels.
const WIDTH: u32 = 1_200;
/// Height of each signal, in pixels.
const HEIGHT: u32 = 320;
/// More points across than this nobody can tell apart.
const MOST_POINTS: usize = 2_400;

/// Colours for a light or a dark page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark lines on a light page.
    #[default]
    Light,
    /// Light lines on a dark page.
    Dark,
}

/// What things are drawn in.
pub(crate) struct Colours {
    pub(crate) page: RGBColor,
    pub(crate) ink: RGBColor,
    pub(crate) faint: RGBColor,
    pub(crate) actual: RGBColor,
    pub(crate) forecast: RGBColor,
    pub(crate) anomaly: RGBColor,
}

impl Theme {
    pub(crate) fn colours(self) -> Colours {
        match self {
            Self::Light => Colours {
                page: RGBColor(255, 255, 255),
                ink: RGBColor(51, 57, 66),
                faint: RGBColor(226, 230, 236),
                actual: RGBColor(31, 41, 55),
                forecast: RGBColor(37, 99, 235),
                anomaly: RGBColor(220, 38, 38),
            },
            Self::Dark => Colours {
                page: RGBColor(13, 17, 23),
                ink: RGBColor(173, 182, 194),
                faint: RGBColor(38, 45, 56),
                actual: RGBColor(230, 237, 243),
                forecast: RGBColor(96, 165, 250),
                anomaly: RGBColor(248, 113, 113),
            },
        }
    }
}

/// Draws one chart per signal, of the series with the most anomalies, into an SVG file.
///
/// # Errors
/// Nothing to draw, or a file that cannot be written.
pub fn plot(pictures: &[Picture], theme: Theme, path: &Path) -> Result<(), String> {
    let charts: Vec<(&Picture, &Labels, &Vec<Point>)> = pictures
        .iter()
        .filter_map(|picture| {
            let (labels, points) = picture.series.iter().max_by_key(|(labels, points)| {
                let active = points.iter().filter(|point| point.active).count();
                // Among equals the first by labels, so that the picture does not change by itself.
                (active, points.len(), std::cmp::Reverse((*labels).clone()))
            })?;
            Some((picture, labels, points))
        })
        .collect();
    if charts.is_empty() {
        return Err("nothing to draw: no series has a value in the span".into());
    }
    let size = (WIDTH, HEIGHT * charts.len() as u32);
    let area = SVGBackend::new(path, size).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    area.fill(&theme.colours().page)
        .map_err(|error| failed(&error))?;
    let parts = area.split_evenly((charts.len(), 1));
    for (part, (picture, labels, points)) in parts.iter().zip(charts) {
        chart(part, picture, labels, points, &theme.colours()).map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn chart(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    picture: &Picture,
    labels: &Labels,
    points: &[Point],
    colours: &Colours,
) -> Drawn {
    let points = &thinned(points);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(());
    };
    let (low, high) = extent(points);
    let font = |size: i32| ("sans-serif", size).into_font().color(&colours.ink);
    let title = format!(
        "{}{labels}, forecast {} ahead",
        picture.signal, picture.horizon
    );
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_top(40)
        .x_label_area_size(30)
        .y_label_area_size(64)
        .build_cartesian_2d(first.at..last.at, low..high)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(colours.faint)
        .light_line_style(colours.page)
        .axis_style(colours.faint)
        .label_style(font(13))
        .x_labels(8)
        .y_labels(5)
        .x_label_formatter(&|at| day(*at))
        .draw()?;
    let band = colours.forecast.mix(0.22).filled();
    for run in runs(points, |point| {
        point.lower.is_finite() && point.upper.is_finite()
    }) {
        let upper = run.iter().map(|point| (point.at, point.upper));
        let lower = run.iter().rev().map(|point| (point.at, point.lower));
        chart.draw_series(std::iter::once(Polygon::new(
            upper.chain(lower).collect::<Vec<_>>(),
            band,
        )))?;
    }
    for run in runs(points, |point| point.expected.is_finite()) {
        let line = run.iter().map(|point| (point.at, point.expected));
        chart.draw_series(LineSeries::new(line, colours.forecast.stroke_width(2)))?;
    }
    // On top: what really happened is never hidden by what was expected.
    for run in runs(points, |point| point.value.is_finite()) {
        let line = run.iter().map(|point| (point.at, point.value));
        chart.draw_series(LineSeries::new(line, colours.actual.stroke_width(1)))?;
    }
    let marks = points.iter().filter(|point| point.active);
    chart.draw_series(
        marks.map(|point| Circle::new((point.at, point.value), 3, colours.anomaly.filled())),
    )?;
    area.draw(&Text::new(title, (20, 14), font(16)))?;
    legend(area, colours)?;
    Ok(())
}

fn legend(area: &DrawingArea<SVGBackend<'_>, Shift>, colours: &Colours) -> Drawn {
    let entries = [
        ("actual", colours.actual),
        ("forecast and interval", colours.forecast),
        ("anomaly", colours.anomaly),
    ];
    let mut right = WIDTH as i32 - 20;
    for (text, colour) in entries.into_iter().rev() {
        let style = ("sans-serif", 13)
            .into_font()
            .color(&colours.ink)
            .pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(text, (right, 22), style))?;
        right -= 7 * text.len() as i32 + 8;
        area.draw(&Rectangle::new(
            [(right - 14, 20), (right, 24)],
            colour.filled(),
        ))?;
        right -= 30;
    }
    Ok(())
}

/// At most [`MOST_POINTS`]: of each stretch the point farthest from its forecast, so that no spike is lost.
fn thinned(points: &[Point]) -> Vec<Point> {
    let stretch = points.len().div_ceil(MOST_POINTS).max(1);
    let telling = |point: &&Point| {
        let distance = (point.value - point.expected).abs();
        let known = if distance.is_finite() { distance } else { 0.0 };
        (point.active, known.to_bits())
    };
    points
        .chunks(stretch)
        .filter_map(|part| part.iter().max_by_key(telling).copied())
        .collect()
}

/// The unbroken stretches of points that `have` something.
fn runs(points: &[Point], have: impl Fn(&Point) -> bool) -> impl Iterator<Item = &[Point]> {
    points
        .split(move |point| !have(point))
        .filter(|run| !run.is_empty())
}

fn extent(points: &[Point]) -> (f32, f32) {
    let all = points
        .iter()
        .flat_map(|point| [point.value, point.lower, point.upper]);
    let (low, high) = all
        .filter(|value| value.is_finite())
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if low > high {
        return (0.0, 1.0);
    }
    let margin = ((high - low) * 0.05)
        .max(f32::MIN_POSITIVE)
        .max(high.abs() * 1e-6);
    (low - margin, high + margin)
}

fn day(at: Millis) -> String {
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    time.strftime("%b %e %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(active_at: i64) -> Picture {
        let points = (0..5_000_i64).map(|step| Point {
            at: step * 60_000,
            value: if step == active_at {
                90.0
            } else {
                (step % 100) as f32
            },
            expected: 50.0,
            lower: 40.0,
            upper: 60.0,
            active: step == active_at,
        });
        let labels = Labels::new([("pod", "a<b>\"&")]).unwrap();
        let series = [(labels, points.collect())].into();
        Picture {
            signal: "load".into(),
            horizon: "15m".into(),
            series,
        }
    }

    #[test]
    fn draws_line_band_and_anomaly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.svg");
        plot(&[picture(77)], Theme::Dark, &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("<polygon") && svg.contains("<polyline") && svg.contains("<circle"));
        assert!(!svg.contains("a<b>"), "label values are escaped");
    }

    #[test]
    fn nothing_to_draw_is_said() {
        let why = plot(&[], Theme::Light, Path::new("unused.svg")).unwrap_err();
        assert!(why.contains("nothing to draw"));
    }

    #[test]
    fn a_spike_survives_thinning() {
        let picture = picture(1_234);
        let points = picture.series.values().next().unwrap();
        assert!(thinned(points).iter().any(|point| point.active));
    }
}
