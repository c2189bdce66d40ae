//! TLS on clients' connections: handshakes, and the certificates in use.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Handshakes, by version and by whether a session was resumed.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    v1_2: AtomicU64,
    v1_2_resumed: AtomicU64,
    v1_3: AtomicU64,
    v1_3_resumed: AtomicU64,
}

impl Handshakes {
    pub(crate) fn count(&self, is_v1_3: bool, is_resumed: bool) {
        let counter = match (is_v1_3, is_resumed) {
            (false, false) => &self.v1_2,
            (false, true) => &self.v1_2_resumed,
            (true, false) => &self.v1_3,
            (true, true) => &self.v1_3_resumed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Version, whether resumed, and how many.
    pub(crate) fn counts(&self) -> [(&'static str, &'static str, u64); 4] {
        [
            ("1.2", "false", &self.v1_2),
            ("1.2", "true", &self.v1_2_resumed),
            ("1.3", "false", &self.v1_3),
            ("1.3", "true", &self.v1_3_resumed),
        ]
        .map(|(version, resumed, count)| (version, resumed, count.load(Ordering::Relaxed)))
    }
}

/// A certificate in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CertificateState {
    /// When it ends, in seconds since 1970.
    pub(crate) ends: i64,
    /// Whether its files have changed into something that cannot be used.
    pub(crate) is_refused: bool,
}

/// By the file of the certificate.
pub(crate) type Certificates = BTreeMap<Box<str>, CertificateState>;
