//! Values that can be.

use serde::Deserialize;

/// What a signal is measured in, as far as that says which values can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes: not negative.
    Bytes,
    /// A number of things, or of things per second: not negative.
    Count,
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Ratio,
    /// A duration: not negative.
    Seconds,
}

impl Unit {
    /// The greatest value, where there is one; the least is 0.
    fn greatest(self) -> Option<f64> {
        match self {
            Self::Percent => Some(100.0),
            Self::Ratio => Some(1.0),
            Self::Bytes | Self::Count | Self::Seconds => None,
        }
    }
}

/// A `rate` is extrapolated to the ends of its window and a division rounds: a share may be so much more than the whole.
const SLACK: f64 = 0.01;

/// The least and the greatest value that can be, in the unit of the signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    least: f32,
    greatest: f32,
    /// So much beyond the greatest a value is still believed.
    slack: f32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new(None, None, None)
    }
}

impl Bounds {
    /// Ends that a person wrote, `min` and `max`, are kept as they are; the unit is asked for the others.
    pub fn new(min: Option<f64>, max: Option<f64>, unit: Option<Unit>) -> Self {
        let of_unit = unit.and_then(Unit::greatest);
        let least = min.or(unit.map(|_| 0.0));
        let greatest = max.or(of_unit);
        let slack = of_unit.filter(|_| max.is_none()).unwrap_or(0.0) * SLACK;
        Self {
            least: least.map_or(f32::NEG_INFINITY, |value| value as f32),
            greatest: greatest.map_or(f32::INFINITY, |value| value as f32),
            slack: slack as f32,
        }
    }

    /// Whether any value can be.
    pub fn is_possible(&self) -> bool {
        self.least < self.greatest
    }

    /// Whether a value can be; `NaN` cannot.
    pub fn allow(&self, value: f32) -> bool {
        value >= self.least && value <= self.greatest + self.slack
    }

    /// The nearest value that can be; `NaN` stays.
    pub fn clip(&self, value: f32) -> f32 {
        if value.is_nan() {
            value
        } else {
            value.clamp(self.least, self.greatest)
        }
    }

    /// Whether a value is at an end, where many rest: nothing to do, or all there is.
    pub(super) fn is_end(&self, value: f32) -> bool {
        value == 0.0 || value <= self.least || value >= self.greatest
    }
}
