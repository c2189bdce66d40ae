//! Documents of Spring Cloud Gateway.

mod arg;
mod args;
mod key;
mod units;

pub use arg::ScgArg;
pub use args::{ScgArgs, Shortcut};
