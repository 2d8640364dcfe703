//! How alike two words are.

/// The closest of `allowed` to `word`, if one is close enough to be a slip of the pen.
pub fn nearest<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = allowed
        .into_iter()
        .map(|candidate| (slips(word, candidate), candidate))
        .min()?;
    // A third of the letters may be wrong, and always one; but one of two is another word.
    let letters = word.chars().count();
    (letters > 2 && best.0 <= (letters / 3).max(1)).then_some(best.1)
}

/// Slips of the pen between two words: letters in another order are one.
fn slips(word: &str, other: &str) -> usize {
    let sorted = |word: &str| {
        let mut letters: Vec<char> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    if sorted(word) == sorted(other) {
        return usize::from(word != other);
    }
    distance(word, other)
}

/// Edits between two words (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&other) {
            let above = *cell;
            left = (diagonal + usize::from(a != *b))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted() {
        for (one, other, letters) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("größe", "grösse", 2),
            ("mail", "mail", 0),
        ] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
            assert_eq!(distance(other, one), letters, "{other} {one}");
        }
        assert_eq!(
            nearest("chekcout", ["search", "checkout"]),
            Some("checkout")
        );
        assert_eq!(nearest("payments", ["search", "checkout"]), None);
    }
}
