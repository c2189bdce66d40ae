//! Documents of Spring Cloud Gateway.

mod arg;
mod args;
mod key;
mod parts;
mod placeholders;
mod profiles;
mod properties;
mod relaxed;
mod tree;
mod units;

pub use arg::ScgArg;
pub use args::{ScgArgs, Shortcut};
