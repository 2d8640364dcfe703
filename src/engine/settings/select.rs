//! What a signal takes of a source that is scraped or pushed to.

use super::{SignalSettings, SizeClass};
use crate::{
    intake::{Selection, Shape},
    series::{Share, Span},
};

impl SignalSettings {
    /// What it selects of a source that is scraped or pushed to; `None` where it has a query instead.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn selection(&self) -> Option<Result<Selection, Vec<(&'static str, String)>>> {
        let select = self.select.as_ref()?;
        let (window, aggregate) = (self.window, self.aggregate.clone());
        Some(Selection::new(select, self.reading, window, aggregate))
    }

    /// What a source that is scraped or pushed to has to keep for it, of at most `max_series` series of `share`; `None`
    /// where it has a query instead, or is not sound.
    pub fn subscription(&self, max_series: usize, share: Share) -> Option<Shape> {
        let grid = self.grid()?;
        let history = match self.size_class() {
            SizeClass::Deep => grid.steps_up(self.history().as_millis()),
            SizeClass::Wide => 1,
        };
        Some(Shape {
            selection: self.selection()?.ok()?,
            grid,
            history,
            max_series,
            share,
        })
    }

    /// Puts what is selected as the query, and lets a grid time last until its step is over, which is when the value of it
    /// is known at the latest. Of a signal that has a query of its own nothing changes.
    pub fn settle_selection(&mut self) {
        if let Some(Ok(selection)) = self.selection() {
            selection.text().clone_into(&mut self.query);
            self.offset = Span::millis(self.offset.as_millis() + self.step.as_millis());
        }
    }
}
