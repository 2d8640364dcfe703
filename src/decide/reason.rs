//! Why, in a sentence.

use super::{Binding, Ceiling, Closed, Decision, Gate, Mode, Proposal, Settings};
use crate::series::{Millis, Span};
use std::fmt::Write as _;

/// Why `decision` is what it is: the size, what decided it with its numbers, what was held back and why, and why the
/// forecast does not count where it does not.
pub(super) fn sentence(settings: &Settings, proposal: &Proposal, decision: &Decision) -> String {
    let mut text = String::with_capacity(192);
    // Of which number it is: the published one, but where that is what anybody would have asked for.
    let told = match decision.mode {
        Mode::Observe => decision.would_be,
        Mode::Off | Mode::Guarded | Mode::Full => decision.replicas,
    };
    match told {
        _ if decision.mode == Mode::Off => text.push_str("switched off: nothing is recommended"),
        None => unknown(&mut text, proposal, decision),
        Some(size) => {
            let (verb, by) = verb(decision);
            add(&mut text, format_args!("{verb}{}: ", replicas(size)));
            binding(&mut text, by, size, settings, proposal, decision);
            held(&mut text, decision);
            below(&mut text, size, decision);
        }
    }
    if let (Gate::Shut(why), true) = (decision.gate, decision.mode != Mode::Off) {
        let why = closed(why, settings, decision);
        add(
            &mut text,
            format_args!("; the forecast does not count: {why}"),
        );
    }
    if let (Mode::Guarded, Some(full)) = (decision.mode, decision.would_be)
        && decision.replicas != Some(full)
    {
        add(&mut text, format_args!("; in mode full it would be {full}"));
    }
    if let (Mode::Observe, Some(reactive)) = (decision.mode, decision.replicas) {
        let reactive = replicas(reactive);
        add(
            &mut text,
            format_args!("; observing only: {reactive} (reactive) is published"),
        );
    }
    text
}

/// The word by which a sentence names what decided.
#[cfg(test)]
pub(super) fn word(by: Binding) -> &'static str {
    match by {
        Binding::Reactive => "(reactive)",
        Binding::Forecast => "(forecast)",
        Binding::Schedule => "schedule",
        Binding::Event => "event",
        Binding::Rule => "rule",
        Binding::Hold => "(hold)",
        Binding::Prewarm => "pre-warm",
        Binding::Min => "least size",
        Binding::Max => "greatest size",
        Binding::RateUp => "rate upwards",
        Binding::RateDown => "rate downwards",
        Binding::Cooldown => "cooldown",
        Binding::Hysteresis => "hysteresis",
        Binding::Oscillation => "oscillates",
        Binding::RetryStorm => "retry storm",
        Binding::Budget => "budget",
        Binding::Shared => "shared",
        Binding::Emergency => "emergency",
        Binding::Override => "override",
    }
}

fn verb(decision: &Decision) -> (&'static str, Binding) {
    let kept = matches!(
        decision.binding,
        Binding::Hold
            | Binding::Cooldown
            | Binding::Hysteresis
            | Binding::Oscillation
            | Binding::RetryStorm
    );
    (if kept { "kept at " } else { "" }, decision.binding)
}

fn unknown(text: &mut String, proposal: &Proposal, decision: &Decision) {
    let incomplete = proposal.notes.incomplete.map(|one| one.to_string());
    let why = match (decision.demand, decision.capacity) {
        (None, _) if proposal.notes.lacks_queue => {
            "the queue is not known, and what waits in it counts as demand"
        }
        (None, _) if incomplete.is_some() => incomplete.as_deref().unwrap_or_default(),
        (None, _) => "the demand is not known, so nothing can be said that might not be too little",
        (_, None) => "what one replica can take is not known",
        _ => "the demand is beyond belief",
    };
    add(text, format_args!("no recommendation: {why} (reactive)"));
}

fn binding(
    text: &mut String,
    by: Binding,
    size: u32,
    settings: &Settings,
    proposal: &Proposal,
    decision: &Decision,
) {
    let limits = &settings.limits;
    let each = decision.capacity.map_or_else(String::new, number);
    match by {
        Binding::Reactive => {
            let demand = decision.demand.map_or_else(String::new, number);
            add(
                text,
                format_args!(
                    "the demand of {demand} at {each} per replica asks for them (reactive)"
                ),
            );
        }
        Binding::Forecast => {
            let demand = decision.demand_forecast.map_or_else(String::new, number);
            let (level, window) = (number(decision.level), span(decision.window));
            add(
                text,
                format_args!(
                    "the {level} quantile of demand over the next {window} is {demand} (forecast) at {each} per replica"
                ),
            );
            alone(text, decision);
        }
        Binding::Schedule => {
            add(
                text,
                format_args!("a schedule asks for at least {size} now"),
            );
            alone(text, decision);
        }
        Binding::Event => {
            let name = proposal.notes.event.as_deref().unwrap_or("");
            add(text, format_args!("the event {name:?} asks for them"));
            alone(text, decision);
        }
        Binding::Rule => {
            let rule = proposal
                .notes
                .rule
                .and_then(|place| settings.rules.get(place));
            let (when, scale) = rule.map_or(("", 1.0), |rule| (rule.when.as_str(), rule.scale));
            add(
                text,
                format_args!("the rule `{when}` holds, which scales by {}", number(scale)),
            );
            alone(text, decision);
        }
        Binding::Hold if proposal.target.is_some_and(|one| one.before < size) => {
            let span = limits.stabilisation.up;
            add(
                text,
                format_args!("no more were wanted throughout the last {span} (hold)"),
            );
        }
        Binding::Hold => {
            let (past, ahead) = (limits.stabilisation.down, limits.hold);
            add(
                text,
                format_args!(
                    "nothing is released that was asked for within the last {past} or may be within the next {ahead} (hold)"
                ),
            );
        }
        Binding::Prewarm => {
            let peak = proposal.notes.peak.unwrap_or(size);
            add(
                text,
                format_args!("a pre-warm step towards the {peak} that a peak will need"),
            );
            alone(text, decision);
        }
        Binding::Min => {
            add(text, format_args!("the least size is {size}"));
            alone(text, decision);
        }
        Binding::RateUp => add(
            text,
            format_args!("the rate upwards allows no more{}", rate(limits.up)),
        ),
        Binding::RateDown => add(
            text,
            format_args!("the rate downwards allows no less{}", rate(limits.down)),
        ),
        Binding::Cooldown => add(
            text,
            format_args!("the cooldown after the last change is not over"),
        ),
        Binding::Hysteresis => {
            let share = number(limits.hysteresis * 100.0);
            add(
                text,
                format_args!("the hysteresis leaves out changes below {share} %"),
            );
        }
        Binding::Oscillation => {
            let within = limits.oscillation.within;
            add(
                text,
                format_args!(
                    "it oscillates: up and down in turn too often within {within}, so nothing is released"
                ),
            );
        }
        Binding::RetryStorm => {
            add(
                text,
                format_args!(
                    "the demand dropped abnormally, and those who left may come back all at once (retry storm)"
                ),
            );
        }
        Binding::Max | Binding::Budget | Binding::Shared | Binding::Emergency => {
            ceiling(text, by, size, settings, proposal);
        }
        Binding::Override => ordered(text, size, proposal),
    }
}

/// What is asked for now, where that is less.
fn alone(text: &mut String, decision: &Decision) {
    if let Some(reactive) = decision.parts.reactive {
        add(text, format_args!("; reactive alone would be {reactive}"));
    }
}

fn ceiling(text: &mut String, by: Binding, size: u32, settings: &Settings, proposal: &Proposal) {
    let named = |by: Binding| {
        let mut ceilings = proposal.ceilings.iter();
        let found = ceilings.find(|one: &&Ceiling| one.by == by && one.size == size);
        found.map_or("", |one| one.name.as_str())
    };
    match by {
        Binding::Budget => {
            let budget = settings
                .limits
                .budget_per_hour
                .map_or_else(String::new, number);
            add(
                text,
                format_args!("the budget of {budget} per hour allows no more"),
            );
        }
        Binding::Shared => {
            add(
                text,
                format_args!("the shared {:?} leaves no more", named(Binding::Shared)),
            );
        }
        Binding::Emergency => text.push_str("an emergency: the host is critical"),
        _ => add(
            text,
            format_args!("the greatest size is {size}{}", named(by)),
        ),
    }
}

fn ordered(text: &mut String, size: u32, proposal: &Proposal) {
    let pin = proposal.pin.as_ref().map(|(_, told)| told.as_str());
    let mut ceilings = proposal.ceilings.iter();
    let max = ceilings.find(|one| one.by == Binding::Override && one.size == size);
    let told = pin.or(max.map(|one| one.name.as_str()));
    let told = told.or(proposal.notes.order.as_deref()).unwrap_or("");
    add(text, format_args!("ordered by an override ({told})"));
}

fn held(text: &mut String, decision: &Decision) {
    let Some(held) = decision.held else { return };
    let wanted = held.wanted;
    if held.by == decision.binding {
        add(text, format_args!("; wanted were {wanted}"));
    } else {
        let by = held.by.as_str();
        add(text, format_args!("; {wanted} were wanted, held by {by}"));
    }
}

/// A ceiling that goes below what is asked for now says so.
fn below(text: &mut String, size: u32, decision: &Decision) {
    if let Some(reactive) = decision.parts.reactive.filter(|reactive| size < *reactive) {
        add(
            text,
            format_args!("; this is below the {reactive} that the demand asks for now"),
        );
    }
}

fn closed(why: Closed, settings: &Settings, decision: &Decision) -> String {
    let age = decision
        .generated
        .map_or(0, |then| decision.at.saturating_sub(then));
    match why {
        Closed::NoForecast => "there is none".to_owned(),
        Closed::Stale if age < 0 => format!("it is {} ahead of the clock", span(-age)),
        Closed::Stale => format!("it is {} old", span(age)),
        Closed::Coverage => "too few actual values were under its quantile".to_owned(),
        Closed::Skill => "it is no better than seasonal naive".to_owned(),
        Closed::Anomaly => "the demand is anomalous".to_owned(),
        Closed::Implausible => {
            let jump = number(settings.gate.max_jump);
            format!(
                "it is more than {jump} times what is asked for now, and well above all of the last week"
            )
        }
        Closed::Capacity => "what one replica can take is not known".to_owned(),
        Closed::RolledBack => "a recommendation made things worse and was withdrawn".to_owned(),
        Closed::Paused => "it is paused by an override".to_owned(),
        Closed::Drift => "what it was derived from has drifted".to_owned(),
    }
}

fn rate(rate: Option<super::Rate>) -> String {
    let Some(rate) = rate else {
        return String::new();
    };
    let replicas = rate.replicas.map(|count| count.to_string());
    let share = rate
        .fraction
        .map(|share| format!("{} %", number(share * 100.0)));
    let both: Vec<String> = replicas.into_iter().chain(share).collect();
    format!(" ({} in {})", both.join(" or "), rate.per)
}

fn replicas(size: u32) -> String {
    match size {
        1 => "1 replica".to_owned(),
        _ => format!("{size} replicas"),
    }
}

/// Whole seconds, and whole minutes from ten of them on: nobody reads more.
fn span(millis: Millis) -> Span {
    let unit = if millis >= 600_000 { 60_000 } else { 1_000 };
    Span::millis(millis.saturating_add(unit / 2).div_euclid(unit) * unit)
}

/// Three digits at least, thousands apart.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 3,
    };
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut text = String::with_capacity(plain.len() + 8);
    for (place, letter) in whole.chars().enumerate() {
        let rest = whole.len() - place;
        if place > 0 && rest % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(letter);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// Writing to a text cannot fail.
fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    if text.write_fmt(more).is_err() {
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_people_write_them() {
        for (value, text) in [
            (1_010.4, "1,010"),
            (1_234_567.0, "1,234,567"),
            (-1_234.0, "-1,234"),
            (-123.0, "-123"),
            (0.95, "0.95"),
            (12.34, "12.3"),
            (120.0, "120"),
            (0.0, "0"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(span(359_600).to_string(), "6m");
        assert_eq!(span(754_000).to_string(), "13m");
    }
}
