//! Numbers as the libraries for Go write them in text.

/// Numbers from the first on and below the second are written without an exponent.
const PLAIN: std::ops::Range<f64> = 1e-4..1e6;

/// Appends `value` as `strconv.FormatFloat(value, 'g', -1, 64)` of Go gives it: `0.005`, `1e-05`, `100000`, `1e+06`,
/// `+Inf`; but a zero has no sign.
///
/// Source: `writeFloat` in `expfmt/text_create.go` of prometheus/common.
pub(super) fn push(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value == 0.0 {
        out.push('0');
    } else if PLAIN.contains(&value.abs()) {
        let mut buffer = ryu::Buffer::new();
        let digits = buffer.format(value);
        out.push_str(digits.strip_suffix(".0").unwrap_or(digits));
    } else {
        push_with_exponent(out, value);
    }
}

/// Go writes the sign of the exponent and two digits at least.
fn push_with_exponent(out: &mut String, value: f64) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    out.push_str(&format!("{digits}e{sign}{exponent:0>2}"));
}

#[cfg(test)]
mod tests {
    /// Values of `fmt.Println` of Go.
    #[test]
    fn numbers_are_those_of_go() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (0.5, "0.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000_012_5, "1.25e-05"),
            (100_000.0, "100000"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (-1.5e6, "-1.5e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e21, "1e+21"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, want) in cases {
            let mut out = String::from("le=");
            super::push(&mut out, value);
            assert_eq!(out.strip_prefix("le="), Some(want));
        }
    }
}
