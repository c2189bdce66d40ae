//! Requests that wait until an endpoint has room for them.
//!
//! A request that ends looks at one number, which is 0 unless somebody waits. Only then it takes the lock of the list of rooms, and
//! wakes one of each: the endpoint may be of use to each of them.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// The rooms of all selections of a service that bound the requests of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    waiting: Arc<AtomicUsize>,
    rooms: Mutex<Vec<Weak<Room>>>,
}

/// Where the requests of one selection wait, the first in front.
#[derive(Debug)]
pub(crate) struct Room {
    /// How many wait in all rooms of the service, and in this one.
    of_all: Arc<AtomicUsize>,
    waiting: AtomicUsize,
    pub(crate) freed: Notify,
}

/// Somebody who waits, for as long as this is kept.
pub(crate) struct Waiting<'a> {
    room: &'a Room,
    /// Whether nobody else waited.
    pub(crate) is_first: bool,
}

impl Rooms {
    /// Another room.
    pub(crate) fn add(&self) -> Arc<Room> {
        let room = Arc::new(Room {
            of_all: Arc::clone(&self.waiting),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        });
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|room| room.strong_count() > 0);
        rooms.push(Arc::downgrade(&room));
        room
    }

    /// A request of some endpoint is over.
    ///
    /// Whoever begins to wait counts himself first and looks for room then; a request makes room first and looks for the count then.
    /// All of this is in one order (`SeqCst`), so that one of the two sees the other.
    pub(crate) fn freed(&self) {
        if self.waiting.load(SeqCst) > 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        for room in rooms.iter().filter_map(Weak::upgrade) {
            if room.waiting() > 0 {
                room.freed.notify_one();
            }
        }
    }
}

impl Room {
    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Begins to wait, if fewer than `most` do.
    pub(crate) fn begin(&self, most: u32) -> Option<Waiting<'_>> {
        let more = |waiting: usize| (waiting < most as usize).then_some(waiting + 1);
        let before = self.waiting.fetch_update(SeqCst, SeqCst, more).ok()?;
        self.of_all.fetch_add(1, SeqCst);
        Some(Waiting {
            room: self,
            is_first: before == 0,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.room.of_all.fetch_sub(1, SeqCst);
        self.room.waiting.fetch_sub(1, SeqCst);
    }
}
