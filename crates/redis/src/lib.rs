//! A Redis that several gateways count in.
//!
//! **Its one job**: to ask a Redis, within a small deadline, and to keep the connection to it in the background.
//!
//! **In**: the settings of `redis`, and [`Script`]s with their keys and numbers. **Out**: what a script has returned, or at once
//! that nobody can be asked.
//!
//! **It must not know** what is counted: limits are of `filters`.
//!
//! A request never connects and never waits for a connection. Whoever gets no answer in time takes the connection out of use, so
//! that the next request does not wait; [`Redis::run`] makes another one.

mod connect;
mod redis;
mod script;

pub use redis::{Redis, Unavailable};
pub use script::Script;
