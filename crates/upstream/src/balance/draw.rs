//! A weighted draw in constant time.

/// Draws an index by weight, independently each time: Walker's alias method, with Vose's way to build the table.
#[derive(Debug)]
pub(super) struct Draw {
    columns: Box<[Column]>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// The column itself is drawn when a 32-bit number is below this; 2^32 is always.
    own: u64,
    /// What is drawn otherwise.
    other: u32,
}

const WHOLE: u64 = 1 << 32;

impl Draw {
    /// A draw over weights that are all above zero, of which there is at least one.
    pub(super) fn new(weights: impl ExactSizeIterator<Item = u32>) -> Draw {
        // Scaled so that a column holds exactly the mean: then all is whole numbers and nothing is lost.
        let count = weights.len() as u64;
        let mut left: Vec<u64> = weights.map(|weight| u64::from(weight) * count).collect();
        let mean = left.iter().sum::<u64>() / count.max(1);
        let mut columns: Vec<Column> = (0..left.len())
            .map(|index| Column {
                own: WHOLE,
                other: index as u32,
            })
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..left.len()).partition(|index| left[*index] < mean);
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            columns[poor] = Column {
                own: left[poor] * WHOLE / mean,
                other: rich as u32,
            };
            left[rich] -= mean - left[poor];
            if left[rich] < mean {
                large.pop();
                small.push(rich);
            }
        }
        Draw {
            columns: columns.into(),
        }
    }

    /// Another index for a second choice, by weight; where it is the first again, any of the others. A policy that takes it only for a
    /// reason shares endpoints without one by the first draw alone.
    pub(super) fn draw_other(&self, first: usize) -> usize {
        let second = self.draw();
        let count = self.columns.len();
        if second != first || count == 1 {
            return second;
        }
        (first + fastrand::usize(1..count)) % count
    }

    /// An index, by weight. One random number, one look.
    pub(super) fn draw(&self) -> usize {
        let random = fastrand::u64(..);
        let index = ((random >> 32) * self.columns.len() as u64) >> 32;
        let column = self.columns[index as usize];
        if random % WHOLE < column.own {
            index as usize
        } else {
            column.other as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() {
        fastrand::seed(7);
        for weights in [
            &[1_u32][..],
            &[1, 1],
            &[1000, 1],
            &[3, 2, 1],
            &[1, 1000, 1, 500, 7],
        ] {
            let draw = Draw::new(weights.iter().copied());
            let mut drawn = vec![0_u32; weights.len()];
            for _ in 0..200_000 {
                drawn[draw.draw()] += 1;
            }
            let total: u32 = weights.iter().sum();
            for (drawn, weight) in drawn.iter().zip(weights) {
                let (share, exact) = (
                    f64::from(*drawn) / 2e5,
                    f64::from(*weight) / f64::from(total),
                );
                assert!(
                    (share - exact).abs() < 0.005,
                    "{weights:?}: {share} for {exact}"
                );
            }
        }
    }
}
