//! The order of versions as people number them.

use std::cmp::Ordering;

/// Numbers inside the text count as numbers: `9` before `10`, `1.9.2` before `1.10.0`.
pub(super) fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (parts(one), parts(other));
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return one.cmp(other),
            (a, b) => match (a, b) {
                (Some(a), Some(b)) => compare(a, b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

fn compare(one: &str, other: &str) -> Ordering {
    match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        _ => one.cmp(other),
    }
}

/// Runs of digits and runs of anything else.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let runs = text
        .as_bytes()
        .chunk_by(move |a, b| is_digit(a) == is_digit(b));
    // Names are ASCII; what is not is compared as nothing.
    runs.map(|run| std::str::from_utf8(run).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut versions = [
            "10",
            "v2",
            "9",
            "1.10.0",
            "1.9.2",
            "1.9",
            "2026-11-22",
            "v10",
            "01",
        ];
        versions.sort_by(|one, other| natural(one, other));
        let expected = [
            "01",
            "1.9",
            "1.9.2",
            "1.10.0",
            "9",
            "10",
            "2026-11-22",
            "v2",
            "v10",
        ];
        assert_eq!(versions, expected);
    }
}
