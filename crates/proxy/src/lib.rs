//! Doing it: the accept loop and the proxy phases on pingora.
