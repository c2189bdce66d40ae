//! A selection in parts, for a grey release: the request says which part of the endpoints it wants.
//!
//! An endpoint's part is the value of one key of its metadata, such as `version`. A request that names a part gets
//! an endpoint of this part. The fallback decides for other requests. Gateways in front of Nacos often have such code
//! of their own (a header compared with the metadata of instances).

use std::collections::{BTreeMap, HashMap};

use crate::schedule::Schedule;
use crate::set::EndpointSpec;

/// How a selection is parted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Split {
    /// The key of the metadata whose value is an endpoint's part. Without it an endpoint is untagged.
    pub metadata: String,
    /// What a request gets whose part has no endpoint.
    pub fallback: Fallback,
}

/// What a request gets whose part has no endpoint that may be picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fallback {
    /// Any endpoint.
    Any,
    /// An untagged endpoint; any if there are none.
    #[default]
    Untagged,
    /// No endpoint: the request is answered with 503.
    Refuse,
}

/// The schedules of the parts. The untagged endpoints' part has the empty name.
#[derive(Debug, Default)]
pub(crate) struct Parts(HashMap<Box<str>, Schedule>);

/// The name of the untagged part.
const UNTAGGED: &str = "";

impl Split {
    /// The part of an endpoint.
    fn part<'s>(&self, spec: &'s EndpointSpec) -> &'s str {
        spec.metadata
            .get(&self.metadata)
            .map_or(UNTAGGED, String::as_str)
    }

    /// Sorts things by the parts of their listings.
    pub(crate) fn sort<'s, T: Copy>(
        &self,
        things: &[T],
        listing: impl Fn(T) -> &'s EndpointSpec,
    ) -> BTreeMap<&'s str, Vec<T>> {
        let mut parts = BTreeMap::<_, Vec<_>>::new();
        for thing in things {
            let part = self.part(listing(*thing));
            parts.entry(part).or_default().push(*thing);
        }
        parts
    }
}

impl Parts {
    pub(crate) fn add(&mut self, name: &str, schedule: Schedule) {
        self.0.insert(name.into(), schedule);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Schedule> {
        self.0.get(name)
    }

    pub(crate) fn untagged(&self) -> Option<&Schedule> {
        self.get(UNTAGGED)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
