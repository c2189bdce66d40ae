//! Who told us: sources, the service cache, compile and publish.
