//! How far ahead the greatest demand must be forecast.

use super::{GateSettings, Settings};
use crate::series::{Millis, Span};

/// A forecast has at most so many windows.
const MOST_WINDOWS: usize = 4;
/// And none is longer than so many steps.
const LONGEST_STEPS: Millis = 1_440;

impl Settings {
    /// The longest of the windows that a lead time may ask for, on a grid of `step`.
    pub fn reach(&self, step: Span) -> Span {
        let (_, most) = self.lead_time.range();
        let age = step.as_millis() + self.offset.as_millis();
        let reach = self.window(most.as_millis()) + age;
        let windows = self.windows(step);
        let mut long = windows.iter().filter(|window| window.as_millis() >= reach);
        let found = long.next().or(windows.last());
        found.copied().unwrap_or_default()
    }

    /// The windows whose greatest demand must be forecast, shortest first, on a grid of `step`: what must be covered
    /// with the shortest to the longest lead time, what decides on a release, and where the rate upwards is limited as
    /// far as a climb from the least to the greatest size takes.
    ///
    /// Windows begin where the forecast was made, so each is longer than what it must cover by the age at which a
    /// forecast is still the newest, the greatest by the age at which it usually still counts.
    pub fn windows(&self, step: Span) -> Vec<Span> {
        let step = step.as_millis().max(1);
        let age = step + self.offset.as_millis();
        let (least, most) = self.lead_time.range();
        let least = self.window(least.as_millis()) + age;
        let most = self.window(most.as_millis());
        let longest = self.longest(step);
        let hold = self.limits.hold.as_millis() + age;
        let climb = self.limits.climb().map(|climb| climb + most + age);
        let rungs = MOST_WINDOWS - 1 - usize::from(climb.is_some());
        let ratio = ((most + age) as f64 / least as f64).max(1.0);
        let rung =
            |place: usize| least as f64 * ratio.powf(place as f64 / (rungs - 1).max(1) as f64);
        let ladder = (0..rungs - 1).map(|place| rung(place).round() as Millis);
        let whole = |length: Millis| {
            let steps = length.div_euclid(step) + i64::from(length % step != 0);
            Span::millis(steps.clamp(1, LONGEST_STEPS) * step)
        };
        let mut windows: Vec<Span> = ladder
            .chain([longest, hold])
            .chain(climb)
            .map(whole)
            .collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    }

    /// What must be covered with the longest lead time, and the longest window that can be forecast on a grid of `step`,
    /// where that is shorter: then the gate would be shut whenever the lead time is that long.
    pub fn out_of_reach(&self, step: Span) -> Option<(Span, Span)> {
        let step = step.as_millis().max(1);
        let (must, most) = (self.longest(step), LONGEST_STEPS * step);
        (must > most).then(|| (Span::millis(must), Span::millis(most)))
    }

    /// What must be covered with the longest lead time, the age at which a forecast usually still counts included.
    fn longest(&self, step: Millis) -> Millis {
        let age = step + self.offset.as_millis();
        let usual = GateSettings::usual_age(step, age);
        let oldest = self.forecast_age(Span::millis(step)).min(usual).max(age);
        let (_, most) = self.lead_time.range();
        self.window(most.as_millis()) + oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(more: &str) -> Settings {
        let text = format!("{{name: a, demand: {{signal: b}}, capacity_per_replica: 120, {more}}}");
        let value = serde_yaml::Deserializer::from_str(&text);
        serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap()
    }

    #[test]
    fn windows_cover_lead_time_hold_and_climb() {
        let minute = Span::minutes(1);
        let shown = |more: &str, step: Span| {
            let windows = short(more).windows(step);
            let shown: Vec<_> = windows.iter().map(Span::to_string).collect();
            shown.join(" ")
        };
        // 3 min + 75 s + 30 s to cover, a forecast of up to 90 s of age.
        assert_eq!(shown("lead_time: 3m, limits: {max: 9}", minute), "7m 12m");
        assert_eq!(
            shown("lead_time: 3m, limits: {max: 9}", Span::minutes(5)),
            "15m 20m"
        );
        assert_eq!(
            shown("limits: {max: 9, hold: 15m}", minute),
            "4m 8m 17m 19m"
        );
        let climb = "lead_time: 3m, limits: {min: 5, max: 65, up: {replicas: 2, per: 1m}}";
        assert_eq!(shown(climb, minute), "7m 12m 37m");
        let slow = "limits: {max: 99999, up: {replicas: 1, per: 1h}}";
        let windows = short(slow).windows(minute);
        assert!(windows.len() <= MOST_WINDOWS);
        assert_eq!(windows.last(), Some(&Span::days(1)));
        assert!(windows.is_sorted());
    }

    #[test]
    fn a_forecast_that_counts_reaches_as_far_as_must_be_covered() {
        for (lead, step, offset) in [
            ("3m", 60, 30),
            ("3m", 300, 240),
            ("20s", 15, 5),
            ("measured", 60, 600),
        ] {
            let mut found = short(&format!("lead_time: {lead}, limits: {{max: 9, hold: 0s}}"));
            let step = Span::seconds(step);
            found.offset = Span::seconds(offset);
            let (_, most) = found.lead_time.range();
            let newest = step.as_millis() + found.offset.as_millis();
            let age = found.forecast_age(step);
            assert!(age >= newest, "{lead} {step}: the newest would be stale");
            let must = found.window(most.as_millis()) + age;
            let longest = found.windows(step).last().map(|one| one.as_millis());
            assert!(
                longest >= Some(must),
                "{lead} {step}: {longest:?} of {must}"
            );
        }
        let uneven = short("review: 1500ms, limits: {max: 9}").validate();
        assert_eq!(uneven[0].0, "review");
    }

    #[test]
    fn a_lead_time_that_no_forecast_reaches_is_told() {
        let found = short("lead_time: 2h, limits: {max: 9}");
        assert_eq!(found.out_of_reach(Span::seconds(15)), None);
        let (must, most) = found.out_of_reach(Span::seconds(5)).unwrap();
        assert_eq!(most, Span::minutes(120));
        assert!(
            must > Span::minutes(120) && must < Span::minutes(130),
            "{must}"
        );
        // Where forecasts count for less long, they need not reach as far.
        let measured = short("lead_time: measured, limits: {max: 9, hold: 3h}");
        assert_eq!(measured.out_of_reach(Span::seconds(5)), None);
    }
}
