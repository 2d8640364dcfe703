//! What is expected of a series now: expected value, bounds, and the scale of its ordinary noise.
//!
//! Pure: no IO, no clock (invariant 1). State is columnar: one instance owns every series of a shard.

mod auto;
pub mod mstl;
pub mod quantile;
pub mod rolling;
pub mod seasonal;
pub mod wide;

use crate::series::{Grid, Millis, Past, Slot};

/// What is expected of one series at one grid time, before its value is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The expected value, in the unit of the series.
    pub expected: f32,
    /// Lower bound of what is ordinary.
    pub lower: f32,
    /// Upper bound of what is ordinary.
    pub upper: f32,
    /// Size of ordinary noise (one standard deviation or its robust equal); never zero or negative, `NaN`
    /// for a series that was always zero: nothing is known of its noise.
    pub scale: f32,
}

impl Band {
    /// No opinion yet: every field is `NaN`.
    pub const UNKNOWN: Self = Self {
        expected: f32::NAN,
        lower: f32::NAN,
        upper: f32::NAN,
        scale: f32::NAN,
    };

    /// A band of `width` scales on either side.
    fn around(expected: f32, scale: f32, width: f32) -> Self {
        Self {
            expected,
            lower: expected - width * scale,
            upper: expected + width * scale,
            scale,
        }
    }

    /// The same with bounds `factor` times as far out.
    pub fn widened(self, factor: f32) -> Self {
        Self {
            lower: self.expected - factor * (self.expected - self.lower),
            upper: self.expected + factor * (self.upper - self.expected),
            ..self
        }
    }

    /// Whether there is an opinion.
    pub fn is_known(&self) -> bool {
        self.expected.is_finite()
    }
}

/// A model of what is expected now, for all series of one shard.
///
/// A series' state is derived from its past alone: [`Baseline::fit`] learns what changes slowly (a
/// seasonal profile) from the whole past and sets what changes quickly (level, scale) as it was at the
/// *start* of that past; the caller then walks the past with `expect` and `observe` in turn, exactly
/// as it will walk the future.
pub trait Baseline: Send + std::fmt::Debug {
    /// Makes room for `slots` series in all; new ones know nothing.
    fn grow(&mut self, slots: usize);
    /// Forgets one series.
    fn evict(&mut self, slot: Slot);
    /// Exchanges what is known of two series.
    fn swap(&mut self, one: Slot, other: Slot);
    /// Learns one series from its past, see above.
    fn fit(&mut self, slot: Slot, past: &Past<'_>);
    /// `out[i]` is the band of `slots[i]` at grid time `at`.
    fn expect(&self, at: Millis, slots: &[Slot], out: &mut [Band]);
    /// Takes in the values at `at` (`NaN` where missing).
    fn observe(&mut self, at: Millis, slots: &[Slot], values: &[f32]);
    /// Bytes of state, all series together.
    fn heap_bytes(&self) -> usize;
}

/// What is wrong with settings: path of the field below them, and a sentence with what is allowed.
pub type Problems = Vec<(String, String)>;

/// The one list of baselines that are set by a map, sorted: it makes the settings, their names, checks
/// and constructors.
macro_rules! kinds {
    ($($module:ident => $variant:ident),+ $(,)?) => {
        /// Which baseline a signal has: the word `auto`, or a map with a single key, its kind.
        #[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Settings {
            /// Seasonal where a season is known, rolling otherwise.
            #[default]
            Auto,
            $(
                #[doc = concat!("`", stringify!($module), "`")]
                $variant($module::Settings),
            )+
        }

        /// The names of the baselines, sorted.
        pub const KINDS: &[&str] = &["auto", $(stringify!($module)),+];

        impl Settings {
            /// Its name in configuration.
            pub fn kind(&self) -> &'static str {
                match self {
                    Self::Auto => "auto",
                    $(Self::$variant(_) => stringify!($module),)+
                }
            }

            /// Problems by field; empty where all is well.
            pub fn validate(&self) -> Problems {
                match self {
                    Self::Auto => Vec::new(),
                    $(Self::$variant(settings) => settings.validate(),)+
                }
            }

            /// The baseline.
            pub fn build(&self, grid: Grid) -> Box<dyn Baseline> {
                match self {
                    Self::Auto => Box::new(auto::Auto::new(grid)),
                    $(Self::$variant(settings) => settings.build(grid),)+
                }
            }
        }
    };
}

kinds! {
    mstl => Mstl,
    quantile => Quantile,
    rolling => Rolling,
    seasonal => Seasonal,
    wide => Wide,
}

/// The least scale of a series whose values have this range and this smallest difference: a share of the
/// range, since what nobody would see in a chart is no anomaly; a part of a quantum, since counts jump by
/// whole ones. A series that never moved is measured by its level; `NaN` where that is zero too: nothing
/// is known of its scale.
pub(crate) fn scale_floor(range: f32, quantum: f32, values: &[f32], share: f32) -> f32 {
    let floor = (share * range).max(QUANTUM_SHARE * quantum);
    if floor > 0.0 {
        return floor;
    }
    let level = values.iter().copied().find(|value| value.is_finite());
    let floor = CONSTANT_SHARE * level.unwrap_or(0.0).abs();
    if floor > 0.0 { floor } else { f32::NAN }
}

/// A count that is always 0 or 1 has at least this scale.
const QUANTUM_SHARE: f32 = 0.5;
/// Share of the level of a series that never moved which counts as its noise.
const CONSTANT_SHARE: f32 = 0.01;

/// The greater one; `NaN` where the floor is unknown and the scale zero: no scale can be told then.
fn at_least(scale: f32, floor: f32) -> f32 {
    let scale = scale.max(floor);
    if scale > 0.0 { scale } else { f32::NAN }
}

fn positive(field: &str, value: f64) -> Problems {
    if value.is_finite() && value > 0.0 {
        return Vec::new();
    }
    vec![(
        field.into(),
        format!("{value} is not allowed; allowed: greater than 0"),
    )]
}

fn band_width(value: f64) -> Problems {
    positive("width", value)
}

fn share(field: &str, value: f64) -> Problems {
    if (0.0..1.0).contains(&value) {
        return Vec::new();
    }
    vec![(
        field.into(),
        format!("{value} is not allowed; allowed: 0 up to (not including) 1"),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;

    const STEP: Millis = 300_000;
    const DAY: usize = 288;

    /// Days of a season with noise.
    fn values(seed: u64, days: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        let phase = |step: usize| step as f32 / DAY as f32 * std::f32::consts::TAU;
        (0..days * DAY)
            .map(|step| 20.0 * phase(step).sin() + random.f32())
            .collect()
    }

    #[test]
    fn exchanged_series_go_on_as_each_other() {
        let grid = Grid::new(STEP).unwrap();
        let (one, other) = (values(1, 6), values(2, 6));
        let zone = Zone::default();
        let with = |kind: &str| match kind {
            "auto" => Settings::Auto,
            kind => serde_json::from_str(&format!("{{{kind:?}: {{}}}}")).unwrap(),
        };
        for (kind, seasons) in KINDS
            .iter()
            .flat_map(|kind| [(kind, &[DAY][..]), (kind, &[])])
        {
            let bands = |exchanged: bool| {
                let mut baseline = with(kind).build(grid);
                baseline.grow(3);
                for (slot, values) in [(0, &one), (2, &other)] {
                    let values = &values[..4 * DAY];
                    let end = (4 * DAY as i64 - 1) * STEP;
                    let past = Past {
                        end,
                        grid,
                        values,
                        seasons,
                        zone: &zone,
                    };
                    baseline.fit(slot, &past);
                }
                let mut slots = [0, 2];
                let mut out = Vec::new();
                for index in 0..6 * DAY {
                    if exchanged && index == 5 * DAY {
                        baseline.swap(0, 2);
                        slots = [2, 0];
                    }
                    let at = index as i64 * STEP;
                    let mut bands = [Band::UNKNOWN; 2];
                    baseline.expect(at, &slots, &mut bands);
                    baseline.observe(at, &slots, &[one[index], other[index]]);
                    out.push(bands.map(|band| [band.expected, band.scale].map(f32::to_bits)));
                }
                out
            };
            assert_eq!(bands(false), bands(true), "{kind}");
        }
    }
}
