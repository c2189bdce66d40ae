//! The server as its clients meet it, over real sockets on free ports.

mod faults;
mod http;
mod life;
mod raw;
mod transcripts;
