//! What predicates look at.

use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use http::{HeaderMap, Method};

use crate::Target;

/// The parts of a request that decide its route.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host as [`Host::name`](crate::Host::name) gives it: lower-case, without
    /// port and trailing dot. `None` when the request names none.
    pub host: Option<&'a str>,
    /// The parsed target.
    pub target: &'a Target<'a>,
    /// The header fields as the client sent them.
    pub headers: &'a HeaderMap,
    /// `http` or `https`: the scheme that the client used; a trusted proxy may say which.
    pub scheme: &'static str,
    /// The client's address; a trusted proxy may say which.
    pub client: IpAddr,
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// The time; `None` is now. Few predicates need it, so the clock is read only for
    /// those.
    pub time: Option<SystemTime>,
    /// A random number, one for the whole search: what is drawn by weight.
    pub draw: u32,
}

impl<'a> Request<'a> {
    /// A request over plain HTTP without a client, of which nothing else is known.
    pub fn new(
        method: &'a Method,
        host: Option<&'a str>,
        target: &'a Target<'a>,
        headers: &'a HeaderMap,
    ) -> Request<'a> {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Request {
            method,
            host,
            target,
            headers,
            scheme: "http",
            client: nobody,
            peer: nobody,
            time: None,
            draw: 0,
        }
    }

    /// When the request came.
    pub fn time(&self) -> SystemTime {
        self.time.unwrap_or_else(SystemTime::now)
    }
}
