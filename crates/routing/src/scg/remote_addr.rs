//! `RemoteAddr`: the peer of the connection is in one of these networks.
//!
//! That is the other end of the connection, or who a PROXY header says it is; never what `X-Forwarded-For` claims.

use std::fmt;

use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, networks::Networks};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "RemoteAddr",
    shortcut: "RemoteAddr=192.168.1.1/24",
    summary: "The peer of the connection is in one of the networks.",
    compile,
};

#[derive(Debug)]
struct RemoteAddr(Networks);

impl Predicate for RemoteAddr {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.0.contain(request.peer)
    }
}

impl fmt::Display for RemoteAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    let args = ScgArgs::read(field, Shortcut::List("sources"))?;
    let given = args.list("sources");
    args.finish();
    if given.is_empty() {
        field.fault("no network is given");
        return None;
    }
    Some(Box::new(RemoteAddr(Networks::read(&given)?)))
}
