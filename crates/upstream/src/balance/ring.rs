//! A ring of points that keys fall on.

use std::net::{IpAddr, SocketAddr};

/// The points of the heaviest endpoint, unless there are too many endpoints for that: shares are then within 3 % of what they should be
/// (one standard deviation is the inverse of the root of it).
const MOST_POINTS: usize = 1_024;
/// The most points of a ring, unless there are more endpoints than that: 512 KiB, and some milliseconds to build.
const MAX_RING: usize = 65_536;

/// Consistent hashing (Karger and others, 1997): each endpoint has points on a ring in proportion to its weight, and a key belongs to the
/// first point that comes after it.
///
/// An endpoint's points depend on its address and on its weight against the heaviest, and on nobody else: of the keys only those move
/// that belong to an endpoint which goes, or that one gets which comes. Another gateway with the same endpoints has the same ring. The
/// one exception: with each doubling of the endpoints beyond 64 all have half the points.
#[derive(Debug)]
pub(super) struct Ring {
    /// In order: the place, and in the lower bits whose point it is.
    points: Box<[u64]>,
}

/// So many bits say whose point it is: more endpoints than a registry can tell of.
const OWNER: u64 = (1 << 20) - 1;

impl Ring {
    /// The ring of these addresses and weights, of which there is at least one and all are above 0.
    pub(super) fn new(endpoints: impl ExactSizeIterator<Item = (SocketAddr, u32)>) -> Ring {
        let endpoints: Vec<_> = endpoints.collect();
        let heaviest = endpoints.iter().map(|(_, weight)| *weight).max();
        let heaviest = u64::from(heaviest.unwrap_or(1).max(1));
        let most = most_points(endpoints.len()) as u64;
        let mut points = Vec::new();
        for (owner, (address, weight)) in endpoints.iter().enumerate() {
            let count = (u64::from(*weight) * most).div_ceil(heaviest);
            let seed = hash_address(*address);
            let place = |number| mix(seed ^ mix(number + 1)) & !OWNER;
            points.extend((0..count).map(|number| place(number) | owner as u64 & OWNER));
        }
        // Where two points fall together, the smaller index comes first: endpoints are in the order of their addresses everywhere.
        points.sort_unstable();
        let points = points.into();
        Ring { points }
    }

    /// Whose key it is, and who comes next, point by point all the way round.
    pub(super) fn owners_from(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let first = self.points.partition_point(|point| *point < key);
        let (before, after) = self.points.split_at(first);
        let points = after.iter().chain(before);
        points.map(|point| (point & OWNER) as usize)
    }
}

/// A power of two, so that most points stay when there are more endpoints.
fn most_points(endpoints: usize) -> usize {
    let fits = (MAX_RING / endpoints.max(1)).max(1);
    let power = 1 << fits.ilog2();
    MOST_POINTS.min(power)
}

/// The hash of a key: the same in every gateway and every version. FNV-1a, then the finish of MurmurHash3, since a ring needs all bits.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

fn hash_address(address: SocketAddr) -> u64 {
    let mut bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(address.port().to_be_bytes());
    hash(&bytes)
}

/// `fmix64` of MurmurHash3.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(weights: &[(u16, u32)]) -> (Ring, Vec<u16>) {
        let of = |(port, weight): &(u16, u32)| (([10, 0, 0, 1], *port).into(), *weight);
        let ports = weights.iter().map(|(port, _)| *port).collect();
        (Ring::new(weights.iter().map(of)), ports)
    }

    /// The owner of each of so many keys.
    fn owners(weights: &[(u16, u32)], keys: u64) -> Vec<u16> {
        let (ring, ports) = ring(weights);
        let owner = |key: u64| ring.owners_from(hash(&key.to_be_bytes())).next();
        (0..keys)
            .map(|key| ports[owner(key).expect("an owner")])
            .collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        for weights in [
            &[(1, 1), (2, 1), (3, 1)][..],
            &[(1, 3), (2, 2), (3, 1)],
            &[(1, 100), (2, 50), (3, 250), (4, 1)],
            &[(1, 1), (2, 1000)],
        ] {
            let owners = owners(weights, 100_000);
            let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
            for (port, weight) in weights {
                let share = owners.iter().filter(|owner| *owner == port).count() as f64 / 1e5;
                let exact = f64::from(*weight) / f64::from(total);
                assert!(
                    (share - exact).abs() < 0.03,
                    "{weights:?}: {port} has {share} for {exact}"
                );
            }
        }
    }

    #[test]
    fn only_the_keys_of_who_comes_or_goes_move() {
        let all: Vec<_> = (1..=10).map(|port| (port, 1)).collect();
        let before = owners(&all, 20_000);
        let without = owners(&all[..9], 20_000);
        for (before, after) in before.iter().zip(&without) {
            assert!(before == after || *before == 10, "{before} lost a key");
        }
        let moved = before.iter().zip(&without).filter(|(a, b)| a != b).count();
        assert!((1_500..2_500).contains(&moved), "{moved} of 20000");
    }

    #[test]
    fn a_lighter_endpoint_gives_keys_and_gets_none() {
        let before = owners(&[(1, 10), (2, 10), (3, 10)], 20_000);
        // A slow start, for instance: the others' keys stay.
        let after = owners(&[(1, 10), (2, 1), (3, 10)], 20_000);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == 2, "{before} to {after}");
        }
        // In lowest terms the same weights are the same ring.
        assert_eq!(before, owners(&[(1, 1), (2, 1), (3, 1)], 20_000));
    }

    #[test]
    fn a_ring_has_a_bound() {
        assert_eq!(most_points(1), 1_024);
        assert_eq!(most_points(64), 1_024);
        assert_eq!(most_points(65), 512);
        assert_eq!(most_points(1_000), 64);
        assert_eq!(most_points(100_000), 1);
        let many: Vec<_> = (1..=3_000).map(|port| (port, 1)).collect();
        assert!(ring(&many).0.points.len() <= MAX_RING);
    }

    #[test]
    fn the_whole_ring_is_walked_from_a_key() {
        let (ring, _) = ring(&[(1, 1), (2, 1)]);
        for key in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(ring.owners_from(key).count(), 2_048);
        }
    }

    /// What a gateway of another version must agree on.
    #[test]
    fn hashes_are_for_ever() {
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash(b"user-7"), hash(b"user-7"));
    }
}
