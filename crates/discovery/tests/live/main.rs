//! Discovery against the in-memory registry: what people publish and register is what is served.

mod clusters;
mod documents;
mod gateway;
mod registration;
mod services;
mod snapshot;
