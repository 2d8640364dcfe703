//! The symbols of a request of 2.0 while it is written: each text once.

use crate::expo::wire::put;
use xxhash_rust::xxh3::xxh3_64;

/// Texts with their numbers. An open table of places in the bytes that are sent, so that nothing is allocated for a
/// text once there was room for as many.
#[derive(Default)]
pub(super) struct Symbols {
    /// The fields as they are sent.
    fields: Vec<u8>,
    /// Where in `fields` each text is: its start and its end.
    places: Vec<(usize, usize)>,
    /// Numbers of texts plus one, by hash; zero where free. At most half full.
    slots: Vec<u32>,
    tag: u8,
}

const FEWEST_SLOTS: usize = 64;

impl Symbols {
    /// With the empty text as number 0, which every request must have.
    pub(super) fn new(tag: u8) -> Self {
        let mut symbols = Self {
            tag,
            ..Self::default()
        };
        symbols.clear();
        symbols
    }

    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.places.clear();
        self.slots.fill(0);
        self.number("");
    }

    /// The fields as they are sent.
    pub(super) fn fields(&self) -> &[u8] {
        &self.fields
    }

    /// The number of a text, which is added where it is new.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if self.slots.len() < 2 * (self.places.len() + 1) {
            self.grow();
        }
        let slot = self.slot(text.as_bytes());
        let taken = self.slots.get(slot).copied().unwrap_or_default();
        if let Some(number) = taken.checked_sub(1) {
            return number;
        }
        put::bytes(&mut self.fields, self.tag, text.as_bytes());
        let end = self.fields.len();
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX - 1);
        self.places.push((end - text.len(), end));
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = number + 1;
        }
        number
    }

    /// The slot that has this text, or the free one where it belongs.
    fn slot(&self, text: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = xxh3_64(text) as usize & mask;
        while let Some(number) = self.slots.get(slot).and_then(|taken| taken.checked_sub(1)) {
            if self.text(number) == text {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn text(&self, number: u32) -> &[u8] {
        let place = self.places.get(number as usize);
        let text = place.and_then(|&(start, end)| self.fields.get(start..end));
        text.unwrap_or_default()
    }

    /// Twice the slots. Every text finds its place anew.
    fn grow(&mut self) {
        let count = (2 * self.slots.len()).max(FEWEST_SLOTS);
        self.slots.clear();
        self.slots.resize(count, 0);
        for number in 0..self.places.len() as u32 {
            let slot = self.slot(self.text(number));
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = number + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_number() {
        let mut symbols = Symbols::new(0x22);
        for _ in 0..2 {
            for number in 0..1_000 {
                assert_eq!(symbols.number(&number.to_string()), number + 1);
            }
            assert_eq!(symbols.number(""), 0);
            for number in (0..1_000).rev() {
                assert_eq!(symbols.number(&number.to_string()), number + 1);
            }
            assert!(
                symbols
                    .fields()
                    .starts_with(&[0x22, 0, 0x22, 1, b'0', 0x22, 1, b'1'])
            );
            symbols.clear();
            assert_eq!(symbols.fields(), [0x22, 0]);
        }
    }
}
