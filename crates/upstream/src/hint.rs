//! What a request says about the endpoint that it wants.

use crate::tried::Tried;

static NOTHING_TRIED: Tried = Tried::none();

/// What a request says about the endpoint that it wants.
#[derive(Clone, Copy, Debug)]
pub struct Hint<'a> {
    /// The endpoints that the request has tried; it should not go there again.
    pub tried: &'a Tried,
    /// What keeps requests together: a policy that hashes would send equal keys to the same endpoint. The present policies ignore it.
    pub key: Option<u64>,
    /// The part of a parted selection that it wants.
    pub part: Option<&'a str>,
}

impl Hint<'_> {
    /// A first try, without a key.
    pub fn first() -> Hint<'static> {
        Hint {
            tried: &NOTHING_TRIED,
            key: None,
            part: None,
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
        }
    }

    /// The same for a request that names a part.
    pub fn of_part(self, part: Option<&'a str>) -> Hint<'a> {
        Hint { part, ..self }
    }
}
