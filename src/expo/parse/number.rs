//! Values and times, as Prometheus takes them: what Go's `strconv.ParseFloat` reads, without hexadecimal
//! numbers and underscores (`parseFloat` in its `model/textparse`).

use crate::series::Millis;

/// Integers up to here are exact in an `f64`.
const EXACT_INTEGERS: u64 = 1 << 53;

/// So many digits cannot overflow a `u64`.
const QUICK_DIGITS: usize = 18;

/// Longer texts are not of the common forms.
const QUICK_BYTES: usize = 26;

/// Powers of ten that are exact in an `f64`.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The number that `text` is, correctly rounded; every NaN is the same. `None` where Prometheus refuses
/// it: no number, hexadecimal, `_`, a NaN with a sign, or more than an `f64` can hold.
pub(super) fn float(text: &str) -> Option<f64> {
    quick(text.as_bytes()).or_else(|| careful(text))
}

/// Seconds since the epoch, as OpenMetrics has them: what is less than a millisecond is cut off. A time
/// beyond all times is the last or the first there is.
pub(super) fn seconds(text: &str) -> Option<Millis> {
    let seconds = float(text).filter(|seconds| seconds.is_finite())?;
    Some((seconds * 1_000.0) as Millis)
}

/// The common forms: up to 18 digits with a point and a small exponent. Mantissa and power of ten are exact
/// in an `f64`, so their product or quotient is rounded once, which is what correct rounding means (Clinger
/// 1990). `None` says nothing: [`careful`] decides.
fn quick(text: &[u8]) -> Option<f64> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if text.len() > QUICK_BYTES {
        return None;
    }
    let mut mantissa = 0_u64;
    let mut after_point = 0_i32;
    let mut digits = 0_usize;
    let mut point = false;
    let mut rest = text;
    let exponent = loop {
        match rest {
            [] => break 0,
            [digit @ b'0'..=b'9', tail @ ..] => {
                mantissa = mantissa
                    .wrapping_mul(10)
                    .wrapping_add(u64::from(digit - b'0'));
                after_point += i32::from(point);
                digits += 1;
                rest = tail;
            }
            [b'.', tail @ ..] if !point => {
                point = true;
                rest = tail;
            }
            [b'e' | b'E', tail @ ..] => break small(tail)?,
            _ => return None,
        }
    };
    if digits == 0 || digits > QUICK_DIGITS || mantissa > EXACT_INTEGERS {
        return None;
    }
    let scale = exponent - after_point;
    let power = POWERS.get(scale.unsigned_abs() as usize)?;
    let value = match scale < 0 {
        true => mantissa as f64 / power,
        false => mantissa as f64 * power,
    };
    Some(if negative { -value } else { value })
}

/// An exponent of one or two digits.
fn small(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
    match *digits {
        [one] => Some(sign * digit(one)?),
        [ten, one] => Some(sign * (digit(ten)? * 10 + digit(one)?)),
        _ => None,
    }
}

/// Everything. Rust's parser and Go's agree on what is a number but for two things.
fn careful(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        // Go knows no sign there.
        return (!text.starts_with(['+', '-'])).then_some(f64::NAN);
    }
    // Rust reads `1e999` as infinite, Go says that it is out of range.
    let overflow = value.is_infinite() && !text.contains(['i', 'I']);
    (!overflow).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_go_reads_is_read() {
        let cases = [
            ("0", 0.0),
            ("-0", -0.0),
            ("+1", 1.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("-.5e1", -5.0),
            ("1.e2", 100.0),
            ("1E+2", 100.0),
            ("1e-7", 1e-7),
            ("1.7e+09", 1.7e9),
            ("007", 7.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("9007199254740992e1", 9.007_199_254_740_992e16),
            ("1e22", 1e22),
            ("1e23", 1e23),
            ("123456789012345678901234567890", 1.234_567_890_123_456_8e29),
            ("0.000000000000000000000000000001", 1e-30),
            ("2.2250738585072011e-308", 2.225_073_858_507_201e-308),
            ("4.9e-324", 5e-324),
            ("1e-400", 0.0),
            ("0e99999999999999999999", 0.0),
            ("1.7976931348623157e308", f64::MAX),
            ("inf", f64::INFINITY),
            ("+Inf", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ];
        for (text, value) in cases {
            let read = float(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.to_bits(), value.to_bits(), "{text}");
        }
        for text in ["NaN", "nan", "NAN"] {
            assert_eq!(float(text).unwrap().to_bits(), f64::NAN.to_bits(), "{text}");
        }
    }

    #[test]
    fn what_prometheus_refuses_is_refused() {
        let cases = [
            "", "+", "-", ".", "e5", ".e5", "1e", "1e+", "1e5.5", "--1", "+-1", "1.2.3", "1,5",
            "1_000", "0x10", "0x1p-2", "0X1P4", "0b1", "0o7", "1f", "true", "+NaN", "-nan",
            "infinit", "infi", "in", "na", "nano", "1e309", "-1e999", "1.8e308", " 1", "1 ", "1\r",
            "٣", "−1",
        ];
        for text in cases {
            assert_eq!(float(text), None, "{text:?}");
        }
    }

    #[test]
    fn seconds_are_cut_to_milliseconds() {
        let cases = [
            ("0", Some(0)),
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000.123", Some(1_700_000_000_123)),
            ("-1.5", Some(-1_500)),
            ("0.0019", Some(1)),
            ("-0.0019", Some(-1)),
            ("1e3", Some(1_000_000)),
            ("1e300", Some(Millis::MAX)),
            ("-1e300", Some(Millis::MIN)),
            ("NaN", None),
            ("+Inf", None),
            ("now", None),
        ];
        for (text, millis) in cases {
            assert_eq!(seconds(text), millis, "{text}");
        }
    }

    /// What both ways must agree on, to the bit.
    fn reference(text: &str) -> Option<u64> {
        let value: f64 = text.parse().ok()?;
        value.is_finite().then_some(value.to_bits())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn numbers_are_exact_to_the_bit(text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?") {
            prop_assert_eq!(float(&text).map(f64::to_bits), reference(&text), "{}", text);
        }

        #[test]
        fn short_numbers_are_exact_to_the_bit(text in "-?[0-9]{1,9}(\\.[0-9]{1,7})?(e[+-][0-9]{2})?") {
            prop_assert_eq!(float(&text).map(f64::to_bits), reference(&text), "{}", text);
        }

        #[test]
        fn every_number_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for text in [value.to_string(), format!("{value:e}"), ryu::Buffer::new().format(value).to_owned()] {
                prop_assert_eq!(float(&text).map(f64::to_bits), Some(bits), "{}", text);
            }
        }

        #[test]
        fn any_text_is_judged_as_by_rust_but_for_two_rules(text in "[+-]?[0-9a-fA-F._xXpPiInN+-]{0,8}") {
            let rust = text.parse::<f64>().ok();
            let signed_nan = rust.is_some_and(f64::is_nan) && text.starts_with(['+', '-']);
            let overflow = rust.is_some_and(f64::is_infinite) && !text.to_lowercase().contains("inf");
            prop_assert_eq!(float(&text).is_some(), rust.is_some() && !signed_nan && !overflow);
        }
    }
}
