//! What is measured of compressed answers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::words::CODINGS;

/// The answers that `compress` has encoded, by their content coding.
#[derive(Debug, Default)]
pub(crate) struct Compression([Coded; CODINGS.len()]);

/// One coding's answers.
#[derive(Debug, Default)]
pub(crate) struct Coded {
    pub(crate) responses: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

impl Compression {
    /// Counts one answer, by a word out of [`CODINGS`]; also one that was cut.
    pub(crate) fn count(&self, coding: &str, bytes_in: u64, bytes_out: u64) {
        let place = CODINGS.iter().position(|known| *known == coding);
        let Some(coded) = place.and_then(|place| self.0.get(place)) else {
            return;
        };
        coded.responses.fetch_add(1, Ordering::Relaxed);
        coded.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        coded.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
    }

    /// Each coding with its counts.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Coded)> {
        CODINGS.iter().copied().zip(&self.0)
    }
}
