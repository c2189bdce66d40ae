//! Documents in the form of Spring Cloud Gateway.
//!
//! A text goes through these steps. YAML, JSON or properties become one tree as Spring's binder sees it (`parts`, `properties`,
//! `tree`). The gateway's part of the tree is found (`section`). Placeholders are filled in. The settings for all routes are read
//! (`gateway`), then each route by itself (`route`), so that a fault in one route refuses that route alone. Predicates and filters stay
//! names with arguments. The crates that know them read the arguments with [`ScgArgs`].

mod arg;
mod args;
mod beside;
mod cors;
mod definition;
mod document;
mod gateway;
mod key;
mod locator;
mod notes;
mod parts;
mod placeholders;
mod profiles;
mod properties;
mod relaxed;
mod route;
mod section;
mod timeouts;
mod tree;
mod units;
mod uri;

pub use arg::ScgArg;
pub use args::{ScgArgs, Shortcut};
pub(crate) use document::{read, read_properties};
pub(crate) use parts::{Text, read as read_text};
pub(crate) use properties::is_properties;
pub(crate) use section::{PREFIX, has_spring};

#[cfg(test)]
mod tests;
