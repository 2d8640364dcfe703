//! What is said in the end: tables, and what became of the model.

use crate::{
    app::training::{Done, Fate, History, Kept},
    cli::table,
    series::Millis,
    train::{Judged, Role, Standing, Trained, gain},
};
use std::{
    io::{self, Write},
    path::Path,
};

/// What it was learnt from.
pub(super) fn learnt(trained: &Trained, history: &History, out: &mut dyn Write) -> io::Result<()> {
    let split = &trained.split;
    let series = match history.series.len() {
        all if all == trained.series => format!("{all} series"),
        all => format!("{} of {all} series", trained.series),
    };
    let windows = trained.windows;
    writeln!(
        out,
        "Learnt from {series}, {} to {}: {windows} windows, {} left out for their gaps",
        time(split.from),
        time(split.validation),
        trained.left_out,
    )?;
    let best = trained.best().map_or(0, |epoch| epoch.number);
    writeln!(
        out,
        "Stopped by {} to {}: epoch {best} of {} is kept",
        time(split.validation),
        time(split.test),
        trained.epochs.len(),
    )
}

/// Errors of all by horizon, and the comparisons.
pub(super) fn judged(judged: &Judged, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "Judged by what followed, at {} origins of {} series; errors are in deviations of each series:\n",
        judged.origins, judged.series
    )?;
    let mut rows = Vec::new();
    for (place, horizon) in judged.horizons.iter().enumerate() {
        for standing in &judged.standings {
            let mut row = vec![horizon.to_string(), named(standing)];
            match standing.scores[place] {
                Some(score) => row.extend([
                    score.count.to_string(),
                    number(score.mae),
                    score.quantile_loss.map(number).unwrap_or_default(),
                    format!("{:.1} %", 100.0 * score.error_ratio),
                ]),
                None => row.push("no answer".to_owned()),
            }
            rows.push(row);
        }
    }
    let head = [
        "HORIZON",
        "FORECASTER",
        "VALUES",
        "MAE",
        "QUANTILE LOSS",
        "ERROR",
    ];
    writeln!(out, "{}", table::columns(&head, &rows))?;
    let mut standings = judged.standings.iter();
    let Some(new) = standings.next() else {
        return Ok(());
    };
    for other in standings {
        if let (Some(error), loss) = gain(new, other) {
            let loss = loss.map(|loss| format!(", quantile loss {}", change(loss)));
            let (name, loss) = (named(other), loss.unwrap_or_default());
            writeln!(
                out,
                "Than {name}: mean absolute error {}{loss}",
                change(error)
            )?;
            if other.role == Role::Default && error < 0.0 {
                let text = "Name them beside the model: each is then used where it is better";
                writeln!(out, "{text}")?;
            }
        }
    }
    Ok(())
}

/// That the comparison favours the model in force.
pub(super) fn favoured(champion: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{champion} has learnt from some of the days that are judged, which favours it"
    )
}

/// What became of the model; `directory` is that of the registry.
pub(super) fn kept(
    kept: &Kept,
    done: &Done,
    directory: Option<&Path>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (manifest, why) = (&kept.manifest, done.objections.join("; "));
    let (name, version) = (&manifest.name, &manifest.version);
    match &kept.fate {
        Fate::NotStored if why.is_empty() => writeln!(
            out,
            "{manifest}: not stored, as asked for; would be put in force"
        )?,
        Fate::NotStored => writeln!(
            out,
            "{manifest}: not stored, as asked for; would not be put in force: {why}"
        )?,
        Fate::InForce { before } => {
            let before = before.as_ref().map(|before| format!(" (before: {before})"));
            let before = before.unwrap_or_default();
            writeln!(out, "{manifest}: stored and put in force{before}")?;
        }
        Fate::Overtaken { by } => writeln!(
            out,
            "{manifest}: stored, not put in force: {name}/{by} was put in force while this one was trained"
        )?,
        Fate::Refused => {
            writeln!(out, "{manifest}: stored, not put in force: {why}")?;
            let directory = directory.unwrap_or(Path::new("")).display();
            let all_the_same = format!(
                "forethought models promote {name} {version} --models.directory={directory}"
            );
            writeln!(out, "To put it in force all the same: {all_the_same}")?;
        }
    }
    if !kept.removed.is_empty() {
        let gone = kept.removed.join(", ");
        writeln!(out, "{name}: removed {gone}, beyond models.retention")?;
    }
    Ok(())
}

fn named(standing: &Standing) -> String {
    match standing.role {
        Role::New => format!("{} (new)", standing.name),
        Role::Champion => format!("{} (in force)", standing.name),
        Role::Default | Role::Naive => standing.name.clone(),
    }
}

fn change(gain: f64) -> String {
    let share = 100.0 * gain.abs();
    let way = if gain < 0.0 { "higher" } else { "lower" };
    format!("{share:.1} % {way}")
}

/// Four digits that count.
fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = (3 - value.abs().log10().floor() as i64).clamp(0, 12);
    format!("{value:.*}", usize::try_from(digits).unwrap_or(0))
}

fn time(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}
