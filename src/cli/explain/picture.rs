//! The last day of a workload as a picture: its demand, what was forecast of it, what the replicas could take.

use crate::{backtest::Theme, engine::scaling::CoursePoint, series::Millis};
use plotters::{coord::Shift, prelude::*};
use std::path::Path;

const WIDTH: u32 = 1_200;
/// Of each workload.
const HEIGHT: u32 = 420;

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws workloads, one below the other, into an SVG file.
///
/// # Errors
/// Nothing to draw, or a file that cannot be written.
pub(in crate::cli) fn draw(
    courses: &[(&str, &[CoursePoint])],
    theme: Theme,
    path: &Path,
) -> Result<(), String> {
    drawn(courses, theme, path).map_err(|error| format!("{}: {error}", path.display()))
}

fn drawn(courses: &[(&str, &[CoursePoint])], theme: Theme, path: &Path) -> Drawn {
    let some = courses.iter().filter(|(_, course)| !course.is_empty());
    let some: Vec<_> = some.collect();
    if some.is_empty() {
        return Err("nothing to draw: nothing was decided in that day".into());
    }
    let size = (WIDTH, HEIGHT * some.len() as u32);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&theme.colours().page)?;
    let parts = area.split_evenly((some.len(), 1));
    for (part, (name, course)) in parts.iter().zip(some) {
        chart(part, name, course, theme)?;
    }
    area.present()?;
    Ok(())
}

fn chart(area: &Area<'_>, name: &str, course: &[CoursePoint], theme: Theme) -> Drawn {
    let (Some(first), Some(last)) = (course.first(), course.last()) else {
        return Ok(());
    };
    let demand = line(course, |point| point.demand);
    let forecast = line(course, |point| point.forecast);
    let taken = |size: Option<u32>, point: &CoursePoint| Some(size? as f32 * point.capacity?);
    let recommended = steps(&line(course, |point| taken(point.replicas, point)));
    let ready = steps(&line(course, |point| taken(point.ready, point)));
    let all = [&demand, &forecast, &recommended, &ready];
    let values = all.into_iter().flatten().map(|(_, value)| *value);
    let top = values.fold(0.0, f32::max).max(f32::MIN_POSITIVE) * 1.08;
    let colours = theme.colours();
    let font = |size: i32| ("sans-serif", size).into_font().color(&colours.ink);
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{name}: demand, and what its replicas take"),
            font(18),
        )
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(first.at..last.at.max(first.at + 1), 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(colours.page)
        .bold_line_style(colours.faint)
        .axis_style(colours.faint)
        .label_style(font(13))
        .x_label_formatter(&|at| clock(*at))
        .y_label_formatter(&|value| super::chart::short(f64::from(*value)))
        .draw()?;
    for (points, colour, width, label) in [
        (ready, colours.faint, 3, "ready"),
        (recommended, colours.forecast, 2, "recommended"),
        (
            forecast,
            colours.anomaly,
            1,
            "forecast of the greatest demand",
        ),
        (demand, colours.actual, 1, "demand"),
    ] {
        if points.is_empty() {
            continue;
        }
        let style = colour.stroke_width(width);
        let series = chart.draw_series(LineSeries::new(points, style))?;
        series
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(colours.page)
        .border_style(colours.faint)
        .label_font(font(13))
        .draw()?;
    Ok(())
}

fn line(course: &[CoursePoint], value: impl Fn(&CoursePoint) -> Option<f32>) -> Vec<(Millis, f32)> {
    let known = course
        .iter()
        .filter_map(|point| Some((point.at, value(point)?)));
    known.filter(|(_, value)| value.is_finite()).collect()
}

/// Sizes stay until they change.
fn steps(points: &[(Millis, f32)]) -> Vec<(Millis, f32)> {
    let mut steps = Vec::with_capacity(2 * points.len());
    for &(at, value) in points {
        if let Some(&(_, before)) = steps.last() {
            steps.push((at, before));
        }
        steps.push((at, value));
    }
    steps
}

/// Hours and minutes, UTC.
fn clock(at: Millis) -> String {
    let minutes = at.div_euclid(60_000).rem_euclid(1_440);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_drawn_as_steps() {
        assert_eq!(steps(&[(0, 1.0), (5, 2.0)]), [(0, 1.0), (5, 1.0), (5, 2.0)]);
    }

    #[test]
    fn a_picture_shows_all_four_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.svg");
        let course: Vec<CoursePoint> = (0..30)
            .map(|minute| CoursePoint {
                at: minute * 60_000,
                demand: Some(100.0 + minute as f32),
                forecast: Some(140.0),
                capacity: Some(10.0),
                reactive: Some(11),
                replicas: Some(14),
                full: Some(14),
                ready: Some(12),
            })
            .collect();
        draw(&[("shop", &course)], Theme::Light, &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for text in ["shop: demand", "recommended", "ready", "forecast of"] {
            assert!(svg.contains(text), "{text}");
        }
        let nothing = draw(&[("shop", &[])], Theme::Light, &path).unwrap_err();
        assert!(nothing.contains("nothing to draw"), "{nothing}");
    }
}
