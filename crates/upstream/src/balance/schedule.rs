//! The order in which weighted endpoints take their turns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One cycle of turns: `weights[i]` of them for each `i`, spread as evenly as can be.
///
/// Earliest deadline first over Pfair windows (Baruah, Cohen, Plaxton, Varvel: "Proportionate progress", 1996): turn `k` of an endpoint
/// with weight `w` out of `W` may lie in the slots from ⌊kW/w⌋ to ⌈(k+1)W/w⌉, and among those whose window is open the one that closes
/// first goes. On a single line of slots that meets every window, so that after any number of slots each endpoint is less than one turn
/// away from its exact share. A plain earliest-deadline order without the opening of windows would not promise that.
///
/// Costs O(W log n) and is built when the endpoints change.
pub(super) fn schedule(weights: &[u32]) -> Box<[u32]> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut taken = vec![0_u64; weights.len()];
    // Among equal deadlines the heavier goes first: its next window opens sooner.
    let turn = |index: usize, taken: u64| {
        let weight = u64::from(weights[index]);
        let deadline = ((taken + 1) * total).div_ceil(weight);
        Reverse((deadline, Reverse(weight), index))
    };
    let mut open: BinaryHeap<_> = (0..weights.len()).map(|index| turn(index, 0)).collect();
    let mut closed: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut slots = Vec::with_capacity(total as usize);
    for slot in 0..total {
        while let Some(Reverse((opens, index))) = closed.peek().copied() {
            if opens > slot {
                break;
            }
            closed.pop();
            open.push(turn(index, taken[index]));
        }
        // The windows of all endpoints together fill the line exactly, so that one is always open.
        let Some(Reverse((_, Reverse(weight), index))) = open.pop() else {
            break;
        };
        slots.push(index as u32);
        taken[index] += 1;
        if taken[index] < weight {
            closed.push(Reverse((taken[index] * total / weight, index)));
        }
    }
    slots.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters(weights: &[u32]) -> String {
        let letter = |index: &u32| char::from(b'A' + *index as u8);
        schedule(weights).iter().map(letter).collect()
    }

    #[test]
    fn turns_are_spread_evenly() {
        for (weights, expected) in [
            (&[][..], ""),
            (&[1], "A"),
            (&[1, 1, 1], "ABC"),
            (&[2, 1], "ABA"),
            (&[1, 2], "BAB"),
            (&[2, 1, 1], "ABAC"),
            (&[10, 1, 1], "AAAAABAAAAAC"),
            (&[5, 1, 1], "AABAACA"),
        ] {
            assert_eq!(letters(weights), expected, "{weights:?}");
        }
    }

    proptest! {
        #[test]
        fn each_gets_its_share_and_is_never_a_whole_turn_away_from_it(
            weights in prop::collection::vec(1_u32..=200, 1..30),
        ) {
            let slots = schedule(&weights);
            let total: u32 = weights.iter().sum();
            prop_assert_eq!(slots.len(), total as usize);
            let mut taken = vec![0_u32; weights.len()];
            for (slot, index) in slots.iter().enumerate() {
                taken[*index as usize] += 1;
                for (taken, weight) in taken.iter().zip(&weights) {
                    let exact = f64::from(*weight) * (slot + 1) as f64 / f64::from(total);
                    prop_assert!((f64::from(*taken) - exact).abs() < 1.0);
                }
            }
            prop_assert_eq!(taken, weights);
        }

        #[test]
        fn there_are_no_bursts(weights in prop::collection::vec(1_u32..=100, 2..20)) {
            let slots = schedule(&weights);
            let total: u32 = weights.iter().sum();
            // Twice around, so that a run over the end of the cycle shows.
            let (mut run, mut last) = (0, u32::MAX);
            for index in slots.iter().chain(slots.iter()) {
                run = if *index == last { run + 1 } else { 1 };
                last = *index;
                // Less than one turn away from its share at both ends of a run: L - Lp < 2.
                let share = f64::from(weights[*index as usize]) / f64::from(total);
                prop_assert!(f64::from(run) * (1.0 - share) < 2.0, "{} in a row at {}", run, share);
            }
        }
    }
}
