//! Weights as small whole numbers.

/// The largest quantised weight.
const MAX_WEIGHT: u32 = 1_000;
/// The most slots of a schedule: 256 KiB, and some milliseconds to build.
const MAX_SLOTS: u64 = 65_536;
/// What a weight is multiplied by to look for whole numbers: halves, quarters, fifths, tenths, hundredths and thousandths are what
/// people write.
const SCALES: [f64; 6] = [1.0, 2.0, 4.0, 10.0, 100.0, 1000.0];

/// The weights of one selection as whole numbers from 1 to 1000 in the same proportion, in lowest terms.
///
/// Weights that have such a proportion get it exactly (0.5 beside 1 is 1 to 2; 10000 beside 5000 is 2 to 1). Otherwise the largest
/// becomes 1000 and the others are rounded, but never to 0: no endpoint gets less than a thousandth of the largest. Their sum, which is
/// the length of a schedule, stays within 65,536 by coarser rounding; only more endpoints than that exceed it, with one slot each.
///
/// Every weight must be finite and above zero.
pub(crate) fn quantise(weights: &[f64]) -> Vec<u32> {
    let Some(max) = weights.iter().copied().reduce(f64::max) else {
        return Vec::new();
    };
    let exact = SCALES.iter().find_map(|scale| exactly(weights, *scale));
    if let Some(exact) = exact.filter(|exact| fits(exact)) {
        return exact;
    }
    let mut rounded = round(weights, max, MAX_WEIGHT);
    if !fits(&rounded) {
        // The sum grows with the largest weight: look for the finest rounding that fits.
        let (mut coarse, mut fine) = (1, MAX_WEIGHT);
        while fine - coarse > 1 {
            let middle = coarse.midpoint(fine);
            if fits(&round(weights, max, middle)) {
                coarse = middle;
            } else {
                fine = middle;
            }
        }
        rounded = round(weights, max, coarse);
    }
    rounded
}

fn exactly(weights: &[f64], scale: f64) -> Option<Vec<u32>> {
    let mut whole = Vec::with_capacity(weights.len());
    for weight in weights {
        let scaled = weight * scale;
        let nearest = scaled.round();
        // The upper bound keeps the conversion exact; the lower one refuses what would become 0.
        if !(1.0..=1e9).contains(&nearest) || (scaled - nearest).abs() > scaled * 1e-9 {
            return None;
        }
        whole.push(nearest as u32);
    }
    reduce(&mut whole);
    whole
        .iter()
        .all(|weight| *weight <= MAX_WEIGHT)
        .then_some(whole)
}

fn round(weights: &[f64], max: f64, largest: u32) -> Vec<u32> {
    let largest = f64::from(largest);
    let mut rounded: Vec<u32> = weights
        .iter()
        .map(|weight| ((weight / max * largest).round() as u32).max(1))
        .collect();
    reduce(&mut rounded);
    rounded
}

fn fits(weights: &[u32]) -> bool {
    weights.iter().map(|weight| u64::from(*weight)).sum::<u64>() <= MAX_SLOTS
}

fn reduce(weights: &mut [u32]) {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
    if divisor > 1 {
        weights.iter_mut().for_each(|weight| *weight /= divisor);
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn proportions_that_people_write_are_exact() {
        for (weights, expected) in [
            (&[][..], &[][..]),
            (&[7.0], &[1]),
            (&[1.0, 1.0, 1.0], &[1, 1, 1]),
            (&[0.5, 1.0], &[1, 2]),
            (&[3.0, 2.0, 1.0], &[3, 2, 1]),
            (&[10.0, 1.0, 1.0], &[10, 1, 1]),
            (&[0.1, 0.3], &[1, 3]),
            (&[0.25, 1.0, 1.0], &[1, 4, 4]),
            (&[10000.0, 5000.0], &[2, 1]),
            (&[1.0, 0.1, 1.0], &[10, 1, 10]),
        ] {
            assert_eq!(quantise(weights), expected, "{weights:?}");
        }
    }

    #[test]
    fn what_is_too_small_or_too_odd_is_rounded_against_the_largest() {
        assert_eq!(quantise(&[10000.0, 1.0]), [1000, 1]);
        assert_eq!(quantise(&[1e300, 1e-300]), [1000, 1]);
        assert_eq!(quantise(&[1.0, 1.0 / 3.0]), [1000, 333]);
        assert_eq!(quantise(&[f64::MIN_POSITIVE, f64::MIN_POSITIVE]), [1, 1]);
    }

    #[test]
    fn a_schedule_is_bounded() {
        let weights: Vec<f64> = (0..1000).map(|n| 1.0 + f64::from(n) * 0.7771).collect();
        let quantised = quantise(&weights);
        assert!(fits(&quantised));
        let share = f64::from(quantised[999]) / f64::from(quantised.iter().sum::<u32>());
        assert!((share - weights[999] / weights.iter().sum::<f64>()).abs() < 0.0005);
        assert_eq!(quantise(&vec![0.3; 70_000]), vec![1; 70_000]);
    }

    proptest! {
        #[test]
        fn shares_stay_within_a_percentage_point(weights in prop::collection::vec(0.01_f64..10.0, 1..50)) {
            let quantised = quantise(&weights);
            prop_assert!(fits(&quantised));
            let (total, slots) = (weights.iter().sum::<f64>(), f64::from(quantised.iter().sum::<u32>()));
            for (weight, quantum) in weights.iter().zip(&quantised) {
                prop_assert!((1..=MAX_WEIGHT).contains(quantum));
                prop_assert!((weight / total - f64::from(*quantum) / slots).abs() < 0.01);
            }
        }
    }
}
