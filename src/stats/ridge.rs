//! Ridge regression by its normal equations: many rows, few columns, one pass.

/// Sums over rows, from which coefficients follow at any time.
#[derive(Debug, Clone)]
pub struct Ridge {
    columns: usize,
    rows: usize,
    /// Lower triangle of the sums of products of columns, row by row.
    products: Vec<f64>,
    /// Sums of products of each column with the target.
    targets: Vec<f64>,
}

impl Ridge {
    /// No rows yet.
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            rows: 0,
            products: vec![0.0; columns * (columns + 1) / 2],
            targets: vec![0.0; columns],
        }
    }

    /// Takes in one row of finite values, as long as there are columns, and its finite target.
    pub fn add(&mut self, row: &[f32], target: f32) {
        self.rows += 1;
        let mut products = self.products.iter_mut();
        for (column, &value) in row.iter().enumerate() {
            let value = f64::from(value);
            self.targets[column] += value * f64::from(target);
            for (&other, sum) in row[..=column].iter().zip(&mut products) {
                *sum += value * f64::from(other);
            }
        }
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
        let count = self.columns;
        let at = |row: usize, column: usize| row * (row + 1) / 2 + column;
        // Columns scaled to unit length: the matrix has ones on its diagonal.
        let lengths: Vec<f64> = (0..count).map(|i| self.products[at(i, i)].sqrt()).collect();
        let mut lower = vec![0.0_f64; self.products.len()];
        for i in 0..count {
            for j in 0..=i {
                let scale = lengths[i] * lengths[j];
                let product = if scale > 0.0 {
                    self.products[at(i, j)] / scale
                } else {
                    0.0
                };
                let ridge = if i == j { penalty } else { 0.0 };
                let zero = if i == j && scale <= 0.0 { 1.0 } else { 0.0 };
                let known: f64 = (0..j).map(|k| lower[at(i, k)] * lower[at(j, k)]).sum();
                let rest = product + ridge + zero - known;
                lower[at(i, j)] = if i == j {
                    (rest > 0.0).then(|| rest.sqrt())?
                } else {
                    rest / lower[at(j, j)]
                };
            }
        }
        let mut answer: Vec<f64> = self.targets.clone();
        for i in 0..count {
            let known: f64 = (0..i).map(|k| lower[at(i, k)] * answer[k]).sum();
            let target = if lengths[i] > 0.0 {
                self.targets[i] / lengths[i]
            } else {
                0.0
            };
            answer[i] = (target - known) / lower[at(i, i)];
        }
        for i in (0..count).rev() {
            let known: f64 = (i + 1..count).map(|k| lower[at(k, i)] * answer[k]).sum();
            answer[i] = (answer[i] - known) / lower[at(i, i)];
        }
        let scaled = answer.iter().zip(&lengths).map(|(&value, &length)| {
            if length > 0.0 {
                (value / length) as f32
            } else {
                0.0
            }
        });
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
