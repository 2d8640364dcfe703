//! The last day of a workload in letters: its demand as columns, what the recommended replicas take as a line.

use crate::{engine::scaling::CoursePoint, series::Millis};
use std::fmt::Write;

const WIDTH: usize = 72;
const HEIGHT: usize = 8;
/// Columns from empty to full.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The chart; `None` where there is nothing to draw.
pub(super) fn chart(course: &[CoursePoint]) -> Option<String> {
    let (first, last) = (course.first()?.at, course.last()?.at);
    if last <= first {
        return None;
    }
    let demand = columns(course, (first, last), |point| point.demand);
    let taken = columns(course, (first, last), |point| {
        Some(point.replicas? as f32 * point.capacity?)
    });
    let most = demand
        .iter()
        .chain(&taken)
        .flatten()
        .copied()
        .fold(0.0, f32::max);
    if most <= 0.0 {
        return None;
    }
    let level = |value: f32| f64::from(value / most) * HEIGHT as f64;
    let top = short(f64::from(most));
    let mut text = format!(
        "Demand (columns) and what the recommended replicas take (line), {}:\n",
        hours(last - first)
    );
    for row in (0..HEIGHT).rev() {
        let label = match row {
            row if row == HEIGHT - 1 => top.as_str(),
            0 => "0",
            _ => "",
        };
        _ = write!(text, "{label:>10} ┤");
        for (demand, taken) in demand.iter().zip(&taken) {
            let is_line =
                taken.is_some_and(|taken| (level(taken).ceil() as usize).max(1) - 1 == row);
            let filled = demand.map_or(0.0, |demand| (level(demand) - row as f64).clamp(0.0, 1.0));
            text.push(match is_line {
                true => '─',
                false => EIGHTHS[(filled * 8.0).round() as usize],
            });
        }
        text.push('\n');
    }
    Some(text)
}

/// The greatest value of each column; a column without a value has that of the one before, as sizes stay until they change.
fn columns(
    course: &[CoursePoint],
    (first, last): (Millis, Millis),
    value: impl Fn(&CoursePoint) -> Option<f32>,
) -> Vec<Option<f32>> {
    let mut found: Vec<Option<f32>> = vec![None; WIDTH];
    for point in course {
        let place =
            ((point.at - first) as f64 / (last - first) as f64 * (WIDTH - 1) as f64) as usize;
        if let Some(value) = value(point).filter(|value| value.is_finite()) {
            found[place] = Some(found[place].map_or(value, |known| known.max(value)));
        }
    }
    let mut before = None;
    for column in &mut found {
        *column = column.or(before);
        before = *column;
    }
    found
}

fn hours(span: Millis) -> String {
    match span as f64 / 3_600_000.0 {
        hours if hours >= 1.5 => format!("last {hours:.0} hours"),
        hours => format!("last {:.0} minutes", hours * 60.0),
    }
}

/// A number as short as it can be said: three digits that count, more where it is whole and large.
pub(in crate::cli) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => trimmed(format!("{value:.1}")),
        size if size >= 0.01 => trimmed(format!("{value:.3}")),
        _ => format!("{value:.2e}"),
    }
}

fn trimmed(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(minute: i64, demand: f32, replicas: u32) -> CoursePoint {
        CoursePoint {
            at: minute * 60_000,
            demand: Some(demand),
            forecast: None,
            capacity: Some(10.0),
            reactive: None,
            replicas: Some(replicas),
            full: None,
            ready: None,
        }
    }

    #[test]
    fn the_line_is_above_the_columns_it_covers() {
        let course: Vec<CoursePoint> = (0..144).map(|minute| point(minute, 40.0, 8)).collect();
        let chart = chart(&course).unwrap();
        let lines: Vec<&str> = chart.lines().skip(1).collect();
        assert_eq!(lines.len(), HEIGHT);
        assert!(lines[0].starts_with("        80 ┤───"), "{chart}");
        assert!(
            lines[4].ends_with('█') && lines[3].trim_end().ends_with('┤'),
            "{chart}"
        );
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(chart(&[]), None);
        assert_eq!(chart(&[point(0, 1.0, 1)]), None);
    }

    #[test]
    fn numbers_are_short() {
        let told: Vec<String> = [0.0, 1.0, 0.95, 12.34, 1_234.56, 0.000_123]
            .map(short)
            .into();
        assert_eq!(told, ["0", "1", "0.95", "12.3", "1235", "1.23e-4"]);
    }
}
