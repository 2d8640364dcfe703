//! Quantities of Kubernetes: decimal numbers with at most three places
//! (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).

/// An HPA counts in thousandths with 64 bits; far above every workload, far below that.
const MOST: f64 = 1e15;
/// So much, relative to itself, is noise of the multiplication by a thousand.
const NOISE: f64 = 1e-12;
/// What a power of a thousand is written as, from the thousandth up.
const SUFFIXES: [&str; 8] = ["m", "", "k", "M", "G", "T", "P", "E"];

/// `value` in its canonical form, rounded up to a thousandth: a demand must never be lost in its last place, least of all to 0.
///
/// # Errors
/// It is no number that an autoscaler may be told: not finite, negative, or absurd.
pub(super) fn quantity(value: f64) -> Result<String, String> {
    if !(0.0..=MOST).contains(&value) {
        return Err(format!("{value} is no number for an autoscaler"));
    }
    let exact = value * 1_000.0;
    let near = exact.round();
    let milli = match (exact - near).abs() <= near * NOISE {
        true => near,
        false => exact.ceil(),
    };
    let (mut digits, mut place) = (milli as u64, 0);
    while digits != 0 && digits.is_multiple_of(1_000) && place + 1 < SUFFIXES.len() {
        digits /= 1_000;
        place += 1;
    }
    let suffix = if digits == 0 { "" } else { SUFFIXES[place] };
    Ok(format!("{digits}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What an HPA reads of it, in thousandths.
    fn milli(text: &str) -> u128 {
        let end = text.find(|letter: char| !letter.is_ascii_digit());
        let (digits, suffix) = text.split_at(end.unwrap_or(text.len()));
        let power = SUFFIXES.iter().position(|known| *known == suffix).unwrap();
        digits.parse::<u128>().unwrap() * 1_000_u128.pow(power as u32)
    }

    #[test]
    fn the_form_is_the_canonical_one() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "500m"),
            (1.5, "1500m"),
            (3.0, "3"),
            (17.8, "17800m"),
            (1_000.0, "1k"),
            (1_500.0, "1500"),
            (1e9, "1G"),
            (0.1 + 0.2, "300m"),
            (0.3001, "301m"),
            (1e-30, "1m"),
        ] {
            assert_eq!(quantity(value).as_deref(), Ok(text), "{value}");
        }
        for bad in [f64::NAN, f64::INFINITY, -1e-9, -1.0, 1e16] {
            assert!(quantity(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn it_is_never_less_and_hardly_more(value in 0.0..1e9_f64) {
            let told = milli(&quantity(value).unwrap()) as f64 / 1_000.0;
            prop_assert!(told >= value * (1.0 - 1e-11), "{told} for {value}");
            prop_assert!(told - value <= 0.001 + value * 1e-9, "{told} for {value}");
            prop_assert!(value == 0.0 || told > 0.0);
        }
    }
}
