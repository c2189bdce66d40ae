//! The order in which weighted endpoints take their turns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One turn, in the unit in which turns that are owed are counted: fine enough that nothing is lost over millions of edits.
pub(super) const TURN: i64 = 1 << 32;
/// Nobody is owed more: who comes back after a long time must not get a burst.
const MOST_OWED: i64 = 2 * TURN;

/// One cycle of turns: `weights[i]` of them for each `i`, spread as evenly as can be, and sooner for those who are owed a part of one.
///
/// Earliest deadline first over Pfair windows (Baruah, Cohen, Plaxton, Varvel: "Proportionate progress", 1996): turn `k` of an endpoint
/// with weight `w` out of `W` may lie in the slots from ⌊kW/w⌋ to ⌈(k+1)W/w⌉, and among those whose window is open the one that closes
/// first goes. On a single line of slots that meets every window, so that after any number of slots each endpoint is less than one turn
/// away from its exact share. A plain earliest-deadline order without the opening of windows would not promise that. What is owed moves
/// the windows of an endpoint to the left.
///
/// Costs O(W log n) and is built when the endpoints change.
pub(super) fn cycle(weights: &[u32], owed: &[i64]) -> Box<[u32]> {
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    let weight = |index: usize| i64::from(weights[index]);
    let opens = |index: usize, turn: i64| {
        let opens = ((turn * TURN - owed[index]) * total).div_euclid(weight(index) * TURN);
        Reverse((opens, index))
    };
    // Among equal deadlines the heavier goes first: its next window opens sooner.
    let closes = |index: usize, turn: i64| {
        let closes = -((owed[index] - (turn + 1) * TURN) * total).div_euclid(weight(index) * TURN);
        Reverse((closes, Reverse(weight(index)), index))
    };
    let mut taken = vec![0_i64; weights.len()];
    let mut closed: BinaryHeap<_> = (0..weights.len()).map(|index| opens(index, 0)).collect();
    let mut open = BinaryHeap::new();
    let mut slots = Vec::with_capacity(total as usize);
    for slot in 0..total {
        // Without debts the windows fill the line exactly; with them a slot may come before any has opened, and the first is let in early.
        while closed
            .peek()
            .is_some_and(|Reverse((opens, _))| *opens <= slot || open.is_empty())
        {
            if let Some(Reverse((_, index))) = closed.pop() {
                open.push(closes(index, taken[index]));
            }
        }
        let Some(Reverse((_, _, index))) = open.pop() else {
            break;
        };
        slots.push(index as u32);
        taken[index] += 1;
        if taken[index] < weight(index) {
            closed.push(opens(index, taken[index]));
        }
    }
    slots.into()
}

/// What each is owed after the first `done` slots of its cycle: its exact share of them, less the turns it had.
pub(super) fn owed_after(done: usize, slots: &[u32], weights: &[u32], owed: &[i64]) -> Vec<i64> {
    let mut owed = owed.to_vec();
    for (owed, weight) in owed.iter_mut().zip(weights) {
        // A slot is worth w/W of a turn.
        *owed += done as i64 * i64::from(*weight) * TURN / slots.len() as i64;
    }
    for index in &slots[..done] {
        owed[*index as usize] -= TURN;
    }
    owed
}

/// Makes what is owed fit a new set: together nobody owes anybody, and nobody is owed a burst.
pub(super) fn settle(owed: &mut [i64]) {
    let mean = owed.iter().sum::<i64>() / owed.len().max(1) as i64;
    for owed in owed {
        *owed = (*owed - mean).clamp(-MOST_OWED, MOST_OWED);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters(weights: &[u32]) -> String {
        let letter = |index: &u32| char::from(b'A' + *index as u8);
        cycle(weights, &vec![0; weights.len()])
            .iter()
            .map(letter)
            .collect()
    }

    #[test]
    fn turns_are_spread_evenly() {
        for (weights, expected) in [
            (&[][..], ""),
            (&[1], "A"),
            (&[1, 1, 1], "ABC"),
            (&[1, 2], "BBA"),
            (&[2, 1, 1], "ABAC"),
            (&[3, 2, 1], "ABABAC"),
            (&[4, 3], "ABABAAB"),
            (&[5, 1, 1], "AAABAAC"),
            (&[6, 3, 2, 1], "ABACABACABAD"),
            (&[10, 1, 1], "AAAAABAAAAAC"),
        ] {
            assert_eq!(letters(weights), expected, "{weights:?}");
        }
    }

    proptest! {
        #[test]
        fn each_gets_its_share_and_is_never_a_whole_turn_away_from_it(
            weights in prop::collection::vec(1_u32..=200, 1..30),
        ) {
            let slots = cycle(&weights, &vec![0; weights.len()]);
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
        fn edits_between_turns_cost_nobody_its_share(
            edits in prop::collection::vec((prop::collection::vec(1_u32..=20, 6), 0_usize..50), 1..60),
        ) {
            let mut owed = vec![0; 6];
            let mut exact = [0.0; 6];
            let mut taken = [0.0; 6];
            for (weights, turns) in edits {
                let slots = cycle(&weights, &owed);
                prop_assert_eq!(slots.len() as u32, weights.iter().sum::<u32>());
                let turns = turns.min(slots.len());
                for index in &slots[..turns] {
                    taken[*index as usize] += 1.0;
                    for (exact, weight) in exact.iter_mut().zip(&weights) {
                        *exact += f64::from(*weight) / slots.len() as f64;
                    }
                    for (taken, exact) in taken.iter().zip(&exact) {
                        let off: f64 = taken - exact;
                        prop_assert!(off.abs() < 2.0, "{} turns off", off);
                    }
                }
                owed = owed_after(turns, &slots, &weights, &owed);
                settle(&mut owed);
            }
        }

        #[test]
        fn there_are_no_bursts(weights in prop::collection::vec(1_u32..=100, 2..20)) {
            let slots = cycle(&weights, &vec![0; weights.len()]);
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
