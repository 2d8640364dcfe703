//! Least squares: normal equations and their solution.

/// A symmetric positive definite matrix taken apart into `L * L'` (Cholesky), to be solved for many right sides.
#[derive(Debug)]
pub struct Cholesky {
    size: usize,
    /// `L` by rows; what is above the diagonal is not read.
    lower: Vec<f64>,
}

impl Cholesky {
    /// Of `matrix` (`size` times `size`, by rows, of which the lower half is read); `None` where it is not positive
    /// definite, or not finite.
    pub fn new(mut matrix: Vec<f64>, size: usize) -> Option<Self> {
        for row in 0..size {
            let (above, here) = matrix.split_at_mut(row * size);
            for column in 0..row {
                let other = &above[column * size..(column + 1) * size];
                let rest = here[column] - dot(&here[..column], &other[..column]);
                here[column] = rest / other[column];
            }
            let rest = here[row] - dot(&here[..row], &here[..row]);
            if !(rest.is_finite() && rest > 0.0) {
                return None;
            }
            here[row] = rest.sqrt();
        }
        let lower = matrix;
        Some(Self { size, lower })
    }

    /// Replaces `right` by the solution for it.
    pub fn solve(&self, right: &mut [f64]) {
        for row in 0..self.size {
            let line = &self.lower[row * self.size..(row + 1) * self.size];
            right[row] = (right[row] - dot(&line[..row], &right[..row])) / line[row];
        }
        for row in (0..self.size).rev() {
            let line = &self.lower[row * self.size..(row + 1) * self.size];
            right[row] /= line[row];
            let found = right[row];
            for (value, factor) in right[..row].iter_mut().zip(line) {
                *value -= factor * found;
            }
        }
    }
}

/// Adds `weight * row * row'` to the lower half of `gram`.
pub fn add_square(gram: &mut [f64], row: &[f64], weight: f64) {
    for (place, (&value, line)) in row.iter().zip(gram.chunks_exact_mut(row.len())).enumerate() {
        add_scaled(&mut line[..=place], row, weight * value);
    }
}

/// Adds `factor * from` to `sums`, as far as these go.
pub fn add_scaled(sums: &mut [f64], from: &[f64], factor: f64) {
    for (sum, value) in sums.iter_mut().zip(from) {
        *sum += factor * value;
    }
}

/// The scalar product.
pub fn dot(one: &[f64], other: &[f64]) -> f64 {
    // Four sums side by side: the compiler makes vector instructions of them.
    let mut sums = [0.0; 4];
    let (ones, others) = (one.chunks_exact(4), other.chunks_exact(4));
    let rest: f64 = ones
        .remainder()
        .iter()
        .zip(others.remainder())
        .map(|(one, other)| one * other)
        .sum();
    for (one, other) in ones.zip(others) {
        for lane in 0..4 {
            sums[lane] += one[lane] * other[lane];
        }
    }
    rest + sums.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_was_made_of() {
        let mut random = fastrand::Rng::with_seed(4);
        for size in 1..12 {
            let mut gram = vec![0.0; size * size];
            for _ in 0..2 * size {
                let row: Vec<f64> = (0..size).map(|_| random.f64() - 0.5).collect();
                add_square(&mut gram, &row, 0.5 + random.f64());
            }
            let truth: Vec<f64> = (0..size).map(|_| random.f64() - 0.5).collect();
            let at = |row: usize, column: usize| gram[row.max(column) * size + row.min(column)];
            let mut right: Vec<f64> = (0..size)
                .map(|row| {
                    (0..size)
                        .map(|column| at(row, column) * truth[column])
                        .sum()
                })
                .collect();
            Cholesky::new(gram.clone(), size).unwrap().solve(&mut right);
            for (got, expected) in right.iter().zip(&truth) {
                assert!((got - expected).abs() < 1e-8, "{size}: {got} {expected}");
            }
        }
    }

    #[test]
    fn refuses_what_has_no_solution() {
        for matrix in [
            vec![1.0, 0.0, 1.0, 1.0],
            vec![1.0, 0.0, 2.0, 1.0],
            vec![f64::NAN, 0.0, 0.0, 1.0],
        ] {
            assert!(Cholesky::new(matrix, 2).is_none());
        }
    }
}
