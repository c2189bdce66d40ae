//! The places of a listener: how many connections it has, and which one gives way to a new one.
//!
//! A new connection always gets a place. Who holds places without asking for anything can therefore not keep out who does:
//! an honest client asks at once, and is answered long before so many others have come that it is the oldest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// More than the probes and people of one gateway need.
pub(super) const PLACES: usize = 64;
/// The most that one address has of them: a kubelet, a Prometheus and a person on one machine need fewer.
pub(super) const PLACES_PER_ADDRESS: usize = 16;

/// The connections of a listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    /// By arrival, the oldest first.
    connections: BTreeMap<u64, Connection>,
    arrived: u64,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    /// Whether a whole request has come over it.
    has_asked: bool,
    task: Option<AbortHandle>,
}

impl Places {
    /// A place for a connection from `address`. Where there is none left, that connection ends which has been without a
    /// request for longest: one of the same address, if that has its share, or else any. Where all have asked for
    /// something, the oldest of them ends.
    pub(super) fn take(&self, address: IpAddr) -> Place {
        let mut taken = self.taken();
        let own = taken.connections.values();
        let own = own.filter(|one| one.address == address).count();
        if own >= PLACES_PER_ADDRESS {
            taken.end_one(|one| one.address == address);
        } else if taken.connections.len() >= PLACES {
            taken.end_one(|_| true);
        }
        taken.arrived += 1;
        let number = taken.arrived;
        let connection = Connection {
            address,
            has_asked: false,
            task: None,
        };
        taken.connections.insert(number, connection);
        Place {
            places: self.clone(),
            number,
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn end_one(&mut self, may_end: impl Fn(&Connection) -> bool) {
        let candidates = self.connections.iter().filter(|(_, one)| may_end(one));
        let chosen = candidates.min_by_key(|(number, one)| (one.has_asked, **number));
        if let Some(number) = chosen.map(|(number, _)| *number)
            && let Some(connection) = self.connections.remove(&number)
            && let Some(task) = connection.task
        {
            task.abort();
        }
    }
}

/// One place, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
}

impl Place {
    /// Says which task ends when the place is given away.
    pub(super) fn belongs_to(places: &Places, number: u64, task: AbortHandle) {
        match places.taken().connections.get_mut(&number) {
            Some(connection) => connection.task = Some(task),
            // It was given away before.
            None => task.abort(),
        }
    }

    /// Which place it is.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Notes that a whole request has come.
    pub(super) fn asked(&self) {
        if let Some(connection) = self.places.taken().connections.get_mut(&self.number) {
            connection.has_asked = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Places whose connections are those of these addresses, in this order.
    fn taken(places: &Places, addresses: impl IntoIterator<Item = u8>) -> Vec<Place> {
        let addresses = addresses.into_iter();
        addresses.map(|last| places.take(address(last))).collect()
    }

    fn left(places: &Places) -> Vec<u64> {
        places.taken().connections.keys().copied().collect()
    }

    #[test]
    fn the_oldest_that_asked_for_nothing_gives_way() {
        let places = Places::default();
        // 64 addresses, so that none has more than its share.
        let held = taken(&places, 0..64);
        held[0].asked();
        let _new = places.take(address(200));
        assert_eq!(
            left(&places),
            [1].into_iter().chain(3..=65).collect::<Vec<_>>()
        );
        for place in &held {
            place.asked();
        }
        let _another = places.take(address(201));
        assert!(!left(&places).contains(&65), "the one that has not asked");
        assert!(left(&places).contains(&1));
    }

    #[test]
    fn an_address_that_has_its_share_gives_way_to_itself() {
        let places = Places::default();
        let _other = places.take(address(1));
        let _held = taken(&places, [2; PLACES_PER_ADDRESS]);
        let _new = places.take(address(2));
        let left = left(&places);
        assert_eq!(left.len(), 1 + PLACES_PER_ADDRESS);
        assert!(left.contains(&1) && !left.contains(&2), "{left:?}");
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let places = Places::default();
        let place = places.take(address(1));
        assert_eq!(left(&places).len(), 1);
        drop(place);
        assert_eq!(left(&places).len(), 0);
    }

    #[tokio::test]
    async fn the_task_of_a_place_that_is_given_away_ends() {
        let places = Places::default();
        let first = places.take(address(1));
        let task = tokio::spawn(std::future::pending::<()>());
        Place::belongs_to(&places, first.number(), task.abort_handle());
        let _rest = taken(&places, [1; PLACES_PER_ADDRESS]);
        assert!(task.await.expect_err("it was ended").is_cancelled());
        // Also when it is only known after the place has gone.
        let late = tokio::spawn(std::future::pending::<()>());
        Place::belongs_to(&places, first.number(), late.abort_handle());
        assert!(late.await.expect_err("it was ended").is_cancelled());
    }
}
