//! Documents in the form of Spring Cloud Gateway.
//!
//! A text goes through these steps: YAML, JSON or properties become one tree as Spring's binder sees it (`parts`, `properties`,
//! `tree`); the gateway's part of it is found (`section`); placeholders are filled in; what holds for all routes is read (`gateway`), then
//! each route by itself (`route`), so that what is wrong with one refuses that one alone. Predicates and filters stay names with
//! arguments; whoever knows them reads those with [`ScgArgs`].

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
