//! Discovery against the embedded registry: what people publish and register is what is served.

mod documents;
mod gateway;
mod other_nacos;
mod registration;
mod services;
mod snapshot;
