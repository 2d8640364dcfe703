//! A picture of the frontiers of traces: share of violations over replica-hours.

use super::{Frontier, Outcome};
use crate::backtest::Theme;
use plotters::{coord::Shift, prelude::*};
use std::path::Path;

/// Size of the chart of one trace, in pixels.
const CHART: (u32, u32) = (600, 360);
/// Fewer violations than this (a share of all minutes) are drawn as this: the axis is logarithmic.
const LEAST: f64 = 1e-5;

/// Draws the frontiers of every trace, two charts a row, into an SVG file.
///
/// # Errors
/// Nothing to draw, or a file that cannot be written.
pub fn plot(outcomes: &[Outcome], theme: Theme, path: &Path) -> Result<(), String> {
    if outcomes.is_empty() {
        return Err("nothing to draw".to_owned());
    }
    let rows = outcomes.len().div_ceil(2);
    let columns = outcomes.len().min(2);
    let size = (CHART.0 * columns as u32, CHART.1 * rows as u32);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&page(theme)).map_err(|error| failed(&error))?;
    for (part, outcome) in area.split_evenly((rows, columns)).iter().zip(outcomes) {
        chart(part, outcome, theme).map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))
}

const fn page(theme: Theme) -> RGBColor {
    match theme {
        Theme::Light => RGBColor(255, 255, 255),
        Theme::Dark => RGBColor(13, 17, 23),
    }
}

const fn ink(theme: Theme) -> (RGBColor, RGBColor) {
    match theme {
        Theme::Light => (RGBColor(51, 57, 66), RGBColor(226, 230, 236)),
        Theme::Dark => (RGBColor(173, 182, 194), RGBColor(38, 45, 56)),
    }
}

/// The colour of a policy; `None`: it is not drawn.
fn colour(name: &str, theme: Theme) -> Option<RGBColor> {
    let (light, dark) = match name {
        "ours" => (RGBColor(37, 99, 235), RGBColor(96, 165, 250)),
        "ours alone" => (RGBColor(8, 145, 178), RGBColor(34, 211, 238)),
        "HPA" | "HPA tuned" => (RGBColor(220, 38, 38), RGBColor(248, 113, 113)),
        "seasonal naive" => (RGBColor(146, 64, 14), RGBColor(251, 191, 36)),
        "phpa" => (RGBColor(107, 33, 168), RGBColor(192, 132, 252)),
        "crane" => (RGBColor(4, 120, 87), RGBColor(52, 211, 153)),
        "oracle" => (RGBColor(31, 41, 55), RGBColor(230, 237, 243)),
        _ => return None,
    };
    Some(match theme {
        Theme::Light => light,
        Theme::Dark => dark,
    })
}

fn at(replica_hours: f64, violation_ratio: f64) -> (f64, f64) {
    (replica_hours, 100.0 * violation_ratio.max(LEAST))
}

fn line(frontier: &Frontier) -> Vec<(f64, f64)> {
    let best = frontier.best().into_iter();
    best.map(|(hours, ratio)| at(hours, ratio)).collect()
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    outcome: &Outcome,
    theme: Theme,
) -> Result<(), Box<dyn std::error::Error>> {
    let (ink, faint) = ink(theme);
    let font = |size: i32| ("sans-serif", size).into_font().color(&ink);
    let single = |name: &str| outcome.rows.iter().find(|row| row.name == name);
    let least = single("oracle").map_or(0.0, |row| row.score.replica_hours);
    let tuned = single("HPA tuned").map_or(1.0, |row| row.score.replica_hours);
    let right = (2.5 * tuned).max(1.2 * least);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_top(44)
        .x_label_area_size(34)
        .y_label_area_size(60)
        .build_cartesian_2d(0.8 * least..right, (100.0 * LEAST..100.0).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(faint)
        .light_line_style(page(theme))
        .axis_style(faint)
        .label_style(font(12))
        .x_labels(6)
        .y_labels(6)
        .x_desc("replica-hours")
        .y_desc("minutes violated, %")
        .draw()?;
    let mut legend = 0;
    for frontier in &outcome.frontiers {
        let Some(colour) = colour(&frontier.name, theme) else {
            continue;
        };
        let width = if frontier.name.starts_with("ours") {
            3
        } else {
            1
        };
        let inside = line(frontier).into_iter().filter(|point| point.0 <= right);
        chart.draw_series(LineSeries::new(inside, colour.stroke_width(width)))?;
        entry(area, &mut legend, &frontier.name, colour, &font(12))?;
    }
    for name in ["HPA tuned", "oracle"] {
        if let (Some(row), Some(colour)) = (single(name), colour(name, theme)) {
            let point = at(row.score.replica_hours, row.score.violation_ratio);
            chart.draw_series(std::iter::once(Circle::new(point, 5, colour.filled())))?;
            entry(
                area,
                &mut legend,
                &format!("{name} (dot)"),
                colour,
                &font(12),
            )?;
        }
    }
    area.draw(&Text::new(
        format!("{} ({})", outcome.trace, outcome.kind.as_str()),
        (14, 8),
        font(14),
    ))?;
    Ok(())
}

fn entry(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    left: &mut i32,
    text: &str,
    colour: RGBColor,
    font: &TextStyle<'_>,
) -> Result<(), Box<dyn std::error::Error>> {
    let from = 14 + *left;
    area.draw(&Rectangle::new(
        [(from, 31), (from + 10, 35)],
        colour.filled(),
    ))?;
    area.draw(&Text::new(text.to_owned(), (from + 14, 26), font.clone()))?;
    *left += 24 + 7 * text.len() as i32;
    Ok(())
}
