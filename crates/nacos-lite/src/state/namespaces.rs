//! Namespaces that were created. None needs to be: services and configs may name any.

use super::{Refusal, State, limits};
use crate::PUBLIC;

impl State {
    /// Creates a namespace; false if its id is taken.
    pub(crate) fn create_namespace(&mut self, id: String, name: String) -> Result<bool, Refusal> {
        if id == PUBLIC || self.namespaces.contains_key(&id) {
            return Ok(false);
        }
        if self.namespaces.len() >= limits::NAMESPACES {
            return Err(Refusal::Full("too many namespaces"));
        }
        self.namespaces.insert(id, name);
        Ok(true)
    }

    /// Id and name of each that was created.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = (&str, &str)> {
        self.namespaces
            .iter()
            .map(|(id, name)| (id.as_str(), name.as_str()))
    }
}
