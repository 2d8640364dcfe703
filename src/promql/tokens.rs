//! The words of a text with their places, which the parser does not tell.

use super::Refusal;

/// A piece of the text: its bytes from `start` to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    pub(super) fn text(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

type Letters<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

/// Words, numbers, strings, operators and brackets; comments and spaces are left out.
pub(super) fn tokenise(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut letters = text.char_indices().peekable();
    while let Some((start, first)) = letters.next() {
        if first.is_whitespace() {
            continue;
        }
        if first == '#' {
            while letters.next_if(|(_, c)| *c != '\n').is_some() {}
            continue;
        }
        if matches!(first, '"' | '\'' | '`') {
            string_end(first, &mut letters)
                .ok_or_else(|| Refusal::at(start, "this string is not closed"))?;
        } else if is_word(first) {
            word_end(first, &mut letters);
        } else if matches!(first, '=' | '!' | '<' | '>') {
            let _second = letters.next_if(|(_, c)| matches!(c, '=' | '~'));
        }
        let end = letters.peek().map_or(text.len(), |(next, _)| *next);
        tokens.push(Token { start, end });
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | ':' | '.')
}

/// Goes to the end of a word or number; the sign of an exponent belongs to its number, as in `1e-3`.
fn word_end(first: char, letters: &mut Letters<'_>) {
    let number = first.is_ascii_digit() || first == '.';
    let (mut hexadecimal, mut last) = (false, first);
    loop {
        while let Some((_, c)) = letters.next_if(|(_, c)| is_word(*c)) {
            hexadecimal |= matches!(c, 'x' | 'X');
            last = c;
        }
        let exponent = number && !hexadecimal && matches!(last, 'e' | 'E');
        let sign = letters.next_if(|(_, c)| exponent && matches!(c, '+' | '-'));
        match sign {
            Some((_, c)) => last = c,
            None => return,
        }
    }
}

fn string_end(quote: char, letters: &mut Letters<'_>) -> Option<()> {
    while let Some((_, c)) = letters.next() {
        if c == quote {
            return Some(());
        }
        if c == '\\' && quote != '`' {
            letters.next()?;
        }
    }
    None
}

/// Every bracket has its partner. Gives how deep they nest.
pub(super) fn balance(text: &str, tokens: &[Token]) -> Result<usize, Refusal> {
    let mut open: Vec<(Token, &str)> = Vec::new();
    let mut deepest = 0;
    for token in tokens {
        let word = token.text(text);
        if let Some(closing) = partner(word) {
            open.push((*token, closing));
            deepest = deepest.max(open.len());
        } else if matches!(word, ")" | "]" | "}") {
            match open.pop() {
                Some((_, closing)) if closing == word => {}
                Some((_, closing)) => {
                    let message = format!("expected {closing:?} before this {word:?}");
                    return Err(Refusal::at(token.start, message));
                }
                None => {
                    let message = format!("this {word:?} closes nothing");
                    return Err(Refusal::at(token.start, message));
                }
            }
        }
    }
    match open.pop() {
        Some((token, closing)) => {
            let message = format!("{:?} is not closed by {closing:?}", token.text(text));
            Err(Refusal::at(token.start, message))
        }
        None => Ok(deepest),
    }
}

fn partner(open: &str) -> Option<&'static str> {
    match open {
        "(" => Some(")"),
        "[" => Some("]"),
        "{" => Some("}"),
        _ => None,
    }
}

/// What closes the brackets that `text` leaves open, innermost first; `None` where they do not nest.
pub(super) fn closers(text: &str) -> Option<String> {
    let mut open = Vec::new();
    for token in tokenise(text).ok()? {
        let word = token.text(text);
        match partner(word) {
            Some(closing) => open.push(closing),
            None if matches!(word, ")" | "]" | "}") && open.pop()? != word => return None,
            None => {}
        }
    }
    open.reverse();
    Some(open.concat())
}

/// The words of a text, one after the other.
pub(super) struct Words<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str, tokens: Vec<Token>) -> Self {
        Self {
            text,
            tokens,
            next: 0,
        }
    }

    /// The next word.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.tokens
            .get(self.next)
            .map(|token| token.text(self.text))
    }

    /// The byte at which the next word begins.
    pub(super) fn here(&self) -> usize {
        self.tokens
            .get(self.next)
            .map_or(self.text.len(), |token| token.start)
    }

    /// The next word and where it is.
    pub(super) fn take(&mut self) -> Result<(usize, &'a str), Refusal> {
        let found = self.peek().ok_or_else(|| self.lost())?;
        let at = self.here();
        self.next += 1;
        Ok((at, found))
    }

    /// Takes a word if it is the next one; words of the language in any case.
    pub(super) fn take_if(&mut self, word: &str) -> bool {
        let found = self
            .peek()
            .is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    /// Takes a word that must be the next one.
    pub(super) fn expect(&mut self, word: &str) -> Result<(), Refusal> {
        if self.take_if(word) {
            Ok(())
        } else {
            Err(self.lost())
        }
    }

    /// The refusal where tree and words do not agree.
    pub(super) fn lost(&self) -> Refusal {
        Refusal::at(
            self.here(),
            "this part of the rule is not understood; write it with brackets",
        )
    }

    /// A list of labels in brackets.
    pub(super) fn skip_labels(&mut self) -> Result<(), Refusal> {
        self.expect("(")?;
        while self.take()?.1 != ")" {}
        Ok(())
    }
}

/// `at` as line and column in characters, both from 1.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default();
    (before.matches('\n').count() + 1, column.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let tokens = tokenise(text).unwrap();
        let words: Vec<&str> = tokens.iter().map(|token| token.text(text)).collect();
        assert_eq!(words, expected);
    }

    #[test]
    fn words_are_those_of_the_language() {
        check("a+1e-3*x", &["a", "+", "1e-3", "*", "x"]);
        check("0x1e-3", &["0x1e", "-", "3"]);
        check("one-3 -.5E+2", &["one", "-", "3", "-", ".5E+2"]);
        check(
            "a{b=~\"}\\\"\",c!='#'} # d\n>=2",
            &[
                "a",
                "{",
                "b",
                "=~",
                "\"}\\\"\"",
                ",",
                "c",
                "!=",
                "'#'",
                "}",
                ">=",
                "2",
            ],
        );
    }

    #[test]
    fn counts_lines_and_columns_in_characters() {
        assert_eq!(line_and_column("ä\nöx", 5), (2, 2));
        assert_eq!(line_and_column("x", 0), (1, 1));
    }
}
