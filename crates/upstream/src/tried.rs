//! The endpoints that a request has tried.

use std::net::SocketAddr;

/// The addresses that a request has tried already, so that a retry goes elsewhere.
///
/// It is a part of the request's own state. Up to four tries it allocates nothing, and it has room for [`Tried::MAX`].
#[derive(Clone, Debug, Default)]
pub struct Tried {
    first: [Option<SocketAddr>; Tried::INLINE],
    more: Vec<SocketAddr>,
}

impl Tried {
    /// How many addresses it remembers.
    pub const MAX: usize = 32;
    const INLINE: usize = 4;

    /// Nothing tried yet.
    pub const fn none() -> Tried {
        Tried {
            first: [None; Tried::INLINE],
            more: Vec::new(),
        }
    }

    /// Remembers an address. Beyond [`Tried::MAX`] addresses are not remembered, since no request has that many tries.
    pub fn push(&mut self, address: SocketAddr) {
        if let Some(free) = self.first.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(address);
        } else if self.len() < Tried::MAX {
            self.more.push(address);
        }
    }

    /// Whether the address was tried.
    pub fn contains(&self, address: &SocketAddr) -> bool {
        self.iter().any(|tried| tried == address)
    }

    /// Whether nothing was tried yet.
    pub fn is_empty(&self) -> bool {
        self.first[0].is_none()
    }

    /// How many addresses were tried.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The addresses, in the order they were tried.
    pub fn iter(&self) -> impl Iterator<Item = &SocketAddr> {
        self.first.iter().flatten().chain(&self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_remembered_up_to_the_bound() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut tried = Tried::none();
        assert!(tried.is_empty());
        for port in 1..=40 {
            tried.push(address(port));
            assert!(!tried.is_empty());
        }
        assert_eq!(tried.len(), Tried::MAX);
        assert!((1..=32).all(|port| tried.contains(&address(port))));
        assert!(!tried.contains(&address(33)));
        assert!(
            tried
                .iter()
                .eq((1..=32).map(address).collect::<Vec<_>>().iter())
        );
    }
}
