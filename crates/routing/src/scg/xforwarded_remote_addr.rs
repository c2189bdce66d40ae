//! `XForwardedRemoteAddr`: the client that `X-Forwarded-For` names is in one of these networks.
//!
//! The header is believed as `forwarded.trusted_proxies` says. If the peer is no trusted proxy, the header was dropped and the peer
//! itself counts. In Spring any client may claim any address.

use std::{fmt, net::IpAddr};

use http::HeaderName;
use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, networks::Networks};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "XForwardedRemoteAddr",
    shortcut: "XForwardedRemoteAddr=192.168.1.1/24",
    summary: "The last client that `X-Forwarded-For` names is in one of the networks.",
    compile,
};

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[derive(Debug)]
struct XForwardedRemoteAddr {
    networks: Networks,
    /// Which entry counts, from the right, beginning with 1; the first one if there are not so many.
    index: usize,
}

impl XForwardedRemoteAddr {
    /// The address that counts; `None` if it is none.
    fn address(&self, request: &Request<'_>) -> Option<IpAddr> {
        let mut lines = request.headers.get_all(&FOR).iter();
        let line = match (lines.next(), lines.next()) {
            (Some(line), None) => line.to_str().ok()?,
            // As in Spring, several lines are not believed.
            _ => "",
        };
        let entries = line.split(',').map(str::trim);
        let mut entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
        // The gateway has added the peer to the header that it forwards.
        let address = |entry: &str| Some(entry.parse::<IpAddr>().ok()?.to_canonical());
        let peer = request.peer.to_canonical();
        if entries.last().and_then(|last| address(last)) == Some(peer) {
            entries.pop();
        }
        let Some(at) = entries.len().checked_sub(1) else {
            return Some(peer);
        };
        address(entries.get(at.saturating_sub(self.index - 1))?)
    }
}

impl Predicate for XForwardedRemoteAddr {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.address(request)
            .is_some_and(|address| self.networks.contain(address))
    }
}

impl fmt::Display for XForwardedRemoteAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.networks.fmt(f)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    const INDEX: &str = "maxTrustedIndex";
    // Spring makes a source of the index, and takes 1. Its author meant it.
    let named = ScgArgs::read(field, Shortcut::Fields(&[]))?;
    let index = named.get(INDEX);
    let args = ScgArgs::read(field, Shortcut::List("sources"))?;
    let mut given = args.list("sources");
    args.finish();
    let mut number = 1;
    if let Some(index) = index {
        given.retain(|arg| (arg.at(), arg.text()) != (index.at(), index.text()));
        number = index.integer(1..=32)?;
        if number != 1 {
            index.warn(format!(
                "`{INDEX}` is honoured; Spring takes 1 whatever it says"
            ));
        }
    }
    if given.is_empty() {
        field.fault("no network is given");
        return None;
    }
    let networks = Networks::read(&given)?;
    Some(Box::new(XForwardedRemoteAddr {
        networks,
        index: number,
    }))
}
