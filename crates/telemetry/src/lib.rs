//! Events, metrics, the access log and log set-up.
