//! The Pailou edge gateway.
fn main() {}
