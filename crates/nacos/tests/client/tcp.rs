//! Over TCP.
