//! What the seasons left of recent values, to be read one season later.

/// Means over coarse steps of the newest values, smoothed where they are read.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::forecast) struct Echo {
    /// Native steps per coarse step.
    coarse: i64,
    /// The coarse step that is open, and what it has seen.
    newest: i64,
    sum: f64,
    count: u32,
    /// By number modulo their count; `NaN` where nothing is known.
    cells: Box<[f32]>,
}

impl Echo {
    /// Nothing seen yet; remembers the newest `reach` steps, none where that is 0.
    pub(super) fn new(coarse: usize, reach: usize) -> Self {
        // Two on either side of what is asked for are read with it.
        let cells = if reach == 0 { 0 } else { reach / coarse + 6 };
        Self {
            coarse: coarse as i64,
            newest: i64::MIN,
            sum: 0.0,
            count: 0,
            cells: vec![f32::NAN; cells].into_boxed_slice(),
        }
    }

    /// How many steps must lie between the newest value and what is read, for no newer one to matter.
    pub(super) fn margin(coarse: usize) -> usize {
        3 * coarse
    }

    /// Takes in the value at grid time number `index`, later than all before.
    pub(in crate::forecast) fn see(&mut self, index: i64, value: f64) {
        if self.cells.is_empty() || !value.is_finite() {
            return;
        }
        let cell = index.div_euclid(self.coarse);
        if cell != self.newest {
            self.close(cell);
        }
        self.sum += value;
        self.count += 1;
    }

    /// The value around grid time number `index`: between the means of three cells each. `NaN` where it is not
    /// known, or not any more.
    pub(super) fn at(&self, index: i64) -> f64 {
        if self.cells.is_empty() || self.newest == i64::MIN {
            return f64::NAN;
        }
        let place = (index as f64 + 0.5) / self.coarse as f64 - 0.5;
        let below = place.floor();
        let share = place - below;
        let left = self.smooth(below as i64);
        if share == 0.0 {
            return left;
        }
        left + share * (self.smooth(below as i64 + 1) - left)
    }

    /// Bytes on the heap.
    pub(in crate::forecast) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }

    /// Writes down the open cell and opens `cell`.
    fn close(&mut self, cell: i64) {
        let count = self.cells.len() as i64;
        if self.newest != i64::MIN {
            let place = self.newest.rem_euclid(count) as usize;
            self.cells[place] = (self.sum / f64::from(self.count)) as f32;
            for skipped in (self.newest + 1).max(cell - count)..cell {
                self.cells[skipped.rem_euclid(count) as usize] = f32::NAN;
            }
        }
        self.newest = cell;
        self.sum = 0.0;
        self.count = 0;
    }

    /// The mean of a cell and its neighbours.
    fn smooth(&self, cell: i64) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for cell in cell - 1..=cell + 1 {
            let count_of_cells = self.cells.len() as i64;
            if cell >= self.newest || cell < self.newest - count_of_cells {
                continue;
            }
            let value = self.cells[cell.rem_euclid(count_of_cells) as usize];
            if value.is_finite() {
                sum += f64::from(value);
                count += 1.0;
            }
        }
        sum / count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_between_the_means_of_three_cells() {
        let mut echo = Echo::new(2, 40);
        for index in 0..60 {
            echo.see(index, index as f64);
        }
        for index in [25, 30, 31, 50] {
            assert!((echo.at(index) - index as f64).abs() < 1e-5, "{index}");
        }
        // Forgotten, and not yet there.
        assert!(echo.at(1).is_nan() && echo.at(62).is_nan());
    }

    #[test]
    fn gaps_are_unknown_and_the_old_does_not_come_back() {
        let mut echo = Echo::new(1, 20);
        (0..20).for_each(|index| echo.see(index, 7.0));
        echo.see(30, f64::NAN);
        assert_eq!(echo.at(10), 7.0);
        echo.see(35, 9.0);
        assert!(echo.at(30).is_nan());
        assert_eq!(echo.at(18), 7.0);
        echo.see(90, 9.0);
        echo.see(91, 9.0);
        assert_eq!(echo.at(90), 9.0);
        assert!((60..89).all(|index| echo.at(index).is_nan()));
    }

    #[test]
    fn without_a_reach_it_remembers_nothing() {
        let mut echo = Echo::new(1, 0);
        echo.see(3, 1.0);
        assert!(echo.at(3).is_nan() && echo.heap_bytes() == 0);
    }
}
