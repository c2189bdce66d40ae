//! A Nacos client over one gRPC connection per namespace: naming, config and login.

pub mod wire;
