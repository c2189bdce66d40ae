//! Routes that are drawn by weight, of those of their group that take a request.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{Request, Route};

/// The groups of a table. They are made anew with each, so that a route that is gone has no share.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// The groups that a route is in, by its rank.
    of_route: HashMap<usize, Vec<usize>>,
}

#[derive(Debug)]
struct Group {
    /// What makes its draws independent of those of other groups.
    seed: u64,
    /// Ranks, with weights above 0.
    members: Vec<(usize, u32)>,
}

impl Groups {
    /// Collects the groups of routes in the total order.
    pub(super) fn of(routes: &[Arc<Route>]) -> Groups {
        let mut groups = Groups::default();
        let mut by_name: HashMap<Arc<str>, usize> = HashMap::new();
        for (rank, route) in routes.iter().enumerate() {
            for (name, weight) in route.matcher().weights() {
                let number = *by_name.entry(Arc::clone(name)).or_insert_with(|| {
                    groups.groups.push(Group {
                        seed: hash(name),
                        members: Vec::new(),
                    });
                    groups.groups.len() - 1
                });
                if *weight > 0 {
                    groups.groups[number].members.push((rank, *weight));
                }
                groups.of_route.entry(rank).or_default().push(number);
            }
        }
        groups
    }

    /// The draws for one request.
    pub(super) fn draws<'d>(
        &'d self,
        routes: &'d [Arc<Route>],
        request: &'d Request<'d>,
    ) -> Draws<'d> {
        Draws {
            groups: self,
            routes,
            request,
            last: None,
        }
    }
}

/// The draws for one request, made as they are asked for.
pub(super) struct Draws<'d> {
    groups: &'d Groups,
    routes: &'d [Arc<Route>],
    request: &'d Request<'d>,
    /// The group that was drawn from last, and the rank that was drawn.
    last: Option<(usize, Option<usize>)>,
}

impl Draws<'_> {
    /// Whether the draws of all its groups fall on this route. One without a group is always drawn.
    ///
    /// Cost: once for each group, the predicates of its routes.
    pub(super) fn falls_on(&mut self, rank: usize) -> bool {
        if self.groups.of_route.is_empty() {
            return true;
        }
        let groups = self.groups.of_route.get(&rank);
        groups.is_none_or(|groups| groups.iter().all(|group| self.draw(*group) == Some(rank)))
    }

    /// One of the routes that take the request, each with its weight's share.
    fn draw(&mut self, number: usize) -> Option<usize> {
        if let Some((last, drawn)) = self.last
            && last == number
        {
            return drawn;
        }
        let group = self.groups.groups.get(number)?;
        let mut total = 0;
        let mut drawn = None;
        for (rank, weight) in &group.members {
            let takes = |route: &Arc<Route>| route.matches(self.request);
            if !self.routes.get(*rank).is_some_and(takes) {
                continue;
            }
            // Each takes the place of the one before with its share of all so far, which comes to its share of all.
            total += u64::from(*weight);
            let draw = mix(group.seed ^ u64::from(self.request.draw) ^ ((*rank as u64) << 32));
            if share(draw, total) < u64::from(*weight) {
                drawn = Some(*rank);
            }
        }
        self.last = Some((number, drawn));
        drawn
    }
}

/// A number below `total`, drawn by `draw`.
fn share(draw: u64, total: u64) -> u64 {
    let product = u128::from(draw) * u128::from(total);
    (product >> 64) as u64
}

/// SplitMix64's finalizer (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// FNV-1a, so that a group's draws are the same in every process.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
