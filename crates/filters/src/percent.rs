//! A share of the requests.

use pailou_config::{Field, Fields};

/// So many of a hundred requests, fractions too. Each request is drawn for itself.
///
/// Cost: one number of the thread's generator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(f64);

impl Share {
    pub(crate) const NONE: Share = Share(0.0);
    pub(crate) const ALL: Share = Share(1.0);

    /// Reads the number under `key`; `default` where it is left out.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        key: &'static str,
        default: Share,
    ) -> Option<Share> {
        match fields.optional(key) {
            Some(field) => Share::of(&field),
            None => Some(default),
        }
    }

    fn of(field: &Field<'_>) -> Option<Share> {
        field
            .number(0.0..=100.0)
            .map(|percent| Share(percent / 100.0))
    }

    /// Whether this one is among them.
    pub(crate) fn hits(self) -> bool {
        fastrand::f64() < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept() {
        let hits = |share: Share| (0..10_000).filter(|_| share.hits()).count();
        assert_eq!(hits(Share::NONE), 0);
        assert_eq!(hits(Share::ALL), 10_000);
        let quarter = hits(Share(0.25));
        assert!((2_200..2_800).contains(&quarter), "{quarter}");
    }
}
