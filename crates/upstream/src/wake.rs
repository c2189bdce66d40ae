//! How a request tells the supervisor that an endpoint changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::room::Rooms;

/// One service's bell. A request rings it; the supervisor comes at once and looks at this service.
///
/// With those who wait for room at an endpoint it is all that an endpoint knows of its service, so that neither the beginning nor the
/// end of a request finds the service or takes its lock.
#[derive(Debug)]
pub(crate) struct Bell {
    is_rung: AtomicBool,
    supervisor: Arc<Notify>,
    /// Who waits for room at an endpoint.
    rooms: Rooms,
}

impl Bell {
    pub(crate) fn new(supervisor: Arc<Notify>) -> Arc<Bell> {
        Arc::new(Bell {
            is_rung: AtomicBool::new(false),
            supervisor,
            rooms: Rooms::default(),
        })
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Wakes the supervisor, unless it is on its way already.
    pub(crate) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.supervisor.notify_one();
        }
    }

    /// Whether it was rung since the last call. What was marked before that is seen after this.
    pub(crate) fn answer(&self) -> bool {
        self.is_rung.swap(false, Ordering::AcqRel)
    }
}
