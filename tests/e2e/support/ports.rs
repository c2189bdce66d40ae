//! Free ports, for what must be told its ports by number.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Below the ports that Linux gives to outgoing connections: those of other cases take none of these between the look
/// and the use. Below Nacos's own range for free pairs, too.
const RANGE: std::ops::Range<u16> = 10_000..12_000;

/// Ports that were handed out in this run.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    find(|_| true)
}

/// A port that nobody listens on, and neither on the one 1000 above it.
pub(crate) fn free_pair() -> u16 {
    find(|port| is_free(port + 1000))
}

fn find(suits: impl Fn(u16) -> bool) -> u16 {
    let mut taken = TAKEN.lock().expect("ports");
    // Not from the start, where another run of these cases would look at the same time.
    let offset = (std::process::id() % u32::from(RANGE.len() as u16)) as u16;
    let mut all =
        RANGE.map(|port| RANGE.start + (port - RANGE.start + offset) % RANGE.len() as u16);
    let port = all
        .find(|port| !taken.contains(port) && is_free(*port) && suits(*port))
        .expect("a free port");
    taken.extend([port, port + 1000]);
    port
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
