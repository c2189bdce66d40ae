//! The client against scripted servers over in-memory pipes with a paused clock, and against the embedded registry
//! over TCP.

mod config;
mod connection;
mod faults;
mod login;
mod naming;
mod panics;
mod registration;
mod regression;
mod rules;
mod script;
mod story;
mod tcp;
mod tls;
mod transports;
