//! Ridge regression by its normal equations: many rows, few columns, one pass.

use super::linear::{Cholesky, add_scaled, add_square};

/// Sums over rows, from which coefficients follow at any time.
#[derive(Debug, Clone)]
pub struct Ridge {
    rows: usize,
    /// Sums of products of columns, row by row; only the lower half is kept.
    products: Vec<f64>,
    /// Sums of products of each column with the target.
    targets: Vec<f64>,
    /// The newest row.
    row: Vec<f64>,
}

impl Ridge {
    /// No rows yet.
    pub fn new(columns: usize) -> Self {
        Self {
            rows: 0,
            products: vec![0.0; columns * columns],
            targets: vec![0.0; columns],
            row: vec![0.0; columns],
        }
    }

    /// Takes in one row of finite values, as long as there are columns, and its finite target.
    pub fn add(&mut self, row: &[f32], target: f32) {
        self.rows += 1;
        for (own, &value) in self.row.iter_mut().zip(row) {
            *own = f64::from(value);
        }
        add_square(&mut self.products, &self.row, 1.0);
        add_scaled(&mut self.targets, &self.row, f64::from(target));
    }

    /// How many rows were taken in.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The coefficients with the least squared error plus, for each column, `penalty` times its sum of
    /// squares times the squared coefficient: a share, so that the unit of a column does not matter
    /// (Hoerl & Kennard 1970, with scaled columns). A column that is always zero gets zero. `None` where
    /// that is no finite answer.
    pub fn solve(&self, penalty: f64) -> Option<Vec<f32>> {
        let count = self.targets.len();
        // Columns scaled to unit length: the matrix has ones on its diagonal.
        let length = |column: usize| self.products[column * (count + 1)].sqrt();
        let scales: Vec<f64> = (0..count)
            .map(|column| match length(column) {
                length if length > 0.0 => 1.0 / length,
                _ => 0.0,
            })
            .collect();
        let mut matrix = self.products.clone();
        for (line, scale) in matrix.chunks_exact_mut(count.max(1)).zip(&scales) {
            for (product, other) in line.iter_mut().zip(&scales) {
                *product *= scale * other;
            }
        }
        for column in 0..count {
            let empty = if scales[column] > 0.0 { 0.0 } else { 1.0 };
            matrix[column * (count + 1)] += penalty + empty;
        }
        let mut answer: Vec<f64> = self
            .targets
            .iter()
            .zip(&scales)
            .map(|(a, b)| a * b)
            .collect();
        Cholesky::new(matrix, count)?.solve(&mut answer);
        let scaled = answer.iter().zip(&scales).map(|(a, b)| (a * b) as f32);
        let answer: Vec<f32> = scaled.collect();
        answer
            .iter()
            .all(|value| value.is_finite())
            .then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Ridge {
        let mut random = fastrand::Rng::with_seed(3);
        let mut ridge = Ridge::new(3);
        for _ in 0..count {
            let row = [random.f32() * 100.0, random.f32() - 0.5, 0.0];
            ridge.add(&row, 2.0 * row[0] - 3.0 * row[1]);
        }
        ridge
    }

    #[test]
    fn exact_relations_are_found_and_empty_columns_get_nothing() {
        let found = rows(200).solve(1e-9).unwrap();
        for (got, expected) in found.iter().zip([2.0, -3.0, 0.0]) {
            assert!((got - expected).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn a_penalty_draws_towards_zero_whatever_the_unit() {
        let mut alone = Ridge::new(1);
        let mut large = Ridge::new(1);
        for value in [1.0_f32, 2.0, -1.5] {
            alone.add(&[value], 4.0 * value);
            large.add(&[1e4 * value], 4.0 * value);
        }
        // One column: the coefficient is divided by one plus the penalty.
        assert!((alone.solve(1.0).unwrap()[0] - 2.0).abs() < 1e-5);
        assert!((large.solve(1.0).unwrap()[0] - 2e-4).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_told_apart_is_shared_and_nothing_is_nothing() {
        let mut twins = Ridge::new(2);
        for value in [1.0, 2.0, 3.0] {
            twins.add(&[value, value], value);
        }
        let found = twins.solve(1e-6).unwrap();
        assert!((found[0] - 0.5).abs() < 1e-3 && (found[1] - 0.5).abs() < 1e-3);
        assert_eq!(Ridge::new(2).solve(1e-3), Some(vec![0.0, 0.0]));
    }
}
