//! What a request says about the endpoint that it wants.

use std::net::SocketAddr;

use crate::balance;
use crate::tried::Tried;

static NOTHING_TRIED: Tried = Tried::none();

/// What a request says about the endpoint that it wants.
#[derive(Clone, Copy, Debug)]
pub struct Hint<'a> {
    /// The endpoints that the request has tried; it should not go there again.
    pub tried: &'a Tried,
    /// The hash of what keeps requests together: a policy that hashes sends equal ones to the same endpoint.
    pub key: Option<u64>,
    /// The part of a parted selection that it wants.
    pub part: Option<&'a str>,
    /// The endpoint that answered it before: it is picked while it is one of the selection's, or of the part's, and is well.
    pub stays_at: Option<SocketAddr>,
}

impl Hint<'_> {
    /// A first try, without a key.
    pub fn first() -> Hint<'static> {
        Hint {
            tried: &NOTHING_TRIED,
            key: None,
            part: None,
            stays_at: None,
        }
    }
}

impl<'a> Hint<'a> {
    /// A further try, without a key.
    pub fn after(tried: &'a Tried) -> Hint<'a> {
        Hint {
            tried,
            key: None,
            part: None,
            stays_at: None,
        }
    }

    /// The hash of a key: the same in every gateway and every version.
    pub fn hash(key: &[u8]) -> u64 {
        balance::hash(key)
    }

    /// The same for a request that has a key.
    pub fn with_key(self, key: Option<u64>) -> Hint<'a> {
        Hint { key, ..self }
    }

    /// The same for a request that names a part.
    pub fn of_part(self, part: Option<&'a str>) -> Hint<'a> {
        Hint { part, ..self }
    }

    /// The same for a request that stays where it was answered before.
    pub fn staying_at(self, stays_at: Option<SocketAddr>) -> Hint<'a> {
        Hint { stays_at, ..self }
    }
}
