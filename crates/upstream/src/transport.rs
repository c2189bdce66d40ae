//! How an endpoint is spoken to.

use std::fmt;

use serde::{Serialize, Serializer};

/// How an endpoint is spoken to: over TLS or not, and in which version of HTTP. HTTP/1.1 without TLS by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transport {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its version of HTTP.
    pub http: Http,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Http {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
}

impl Transport {
    /// HTTP/1.1 over TLS.
    pub const HTTPS: Transport = Transport {
        tls: true,
        http: Http::Http1,
    };

    /// The word for it: `http`, `https`, `h2c` (HTTP/2 without TLS) or `h2`.
    pub fn word(self) -> &'static str {
        match (self.tls, self.http) {
            (false, Http::Http1) => "http",
            (true, Http::Http1) => "https",
            (false, Http::Http2) => "h2c",
            (true, Http::Http2) => "h2",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Transport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}
