//! `Host`: the host matches one of these patterns.
//!
//! As in Spring the port counts, if the client sent one; two things differ. Case does not matter, and the scheme's own port may be
//! missing in the pattern.

use std::{borrow::Cow, fmt, sync::Arc};

use http::header::HOST;
use pailou_config::{Compat, Field, ScgArgs, Shortcut};
use pailou_filters::Bindings;

use super::{Entry, SpringHost};
use crate::{
    Request,
    predicate::{Place, Predicate},
};

pub(super) const ENTRY: Entry = Entry {
    name: "Host",
    shortcut: "Host=**.somehost.org,{sub}.other.org",
    summary: "The host, with its port, matches one of the patterns.",
    compile,
};

#[derive(Debug)]
struct Host {
    patterns: Box<[SpringHost]>,
    names: Box<[Arc<str>]>,
}

impl Host {
    /// The first pattern that matches, and the host in the form in which it does.
    fn find<'r>(&self, request: &Request<'r>) -> Option<(&SpringHost, Cow<'r, str>)> {
        let name = request.host?;
        let port = port(request);
        let whole = port.map_or(Cow::Borrowed(name), |port| {
            Cow::Owned(format!("{name}:{port}"))
        });
        let is_default = port == Some(default_port(request.scheme));
        self.patterns.iter().find_map(|pattern| {
            if pattern.matches(&whole) {
                Some((pattern, whole.clone()))
            } else if is_default && pattern.matches(name) {
                Some((pattern, Cow::Borrowed(name)))
            } else {
                None
            }
        })
    }
}

/// The port that the client named.
fn port(request: &Request<'_>) -> Option<u16> {
    let value = request.headers.get(HOST)?;
    crate::Host::parse(value.as_bytes()).ok()?.port()
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

impl Predicate for Host {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.find(request).is_some()
    }

    fn bind(&self, request: &Request<'_>, bindings: &mut Bindings) {
        if self.names.is_empty() {
            return;
        }
        if let Some((pattern, host)) = self.find(request) {
            pattern.capture(&host, |name, value| bindings.bind(name, value));
        }
    }

    fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    fn place(&self) -> Place<'_> {
        Place::SpringHosts(&self.patterns)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_list(f, &self.patterns)
    }
}

fn compile(field: &Field<'_>, _: Compat) -> Option<Box<dyn Predicate>> {
    let args = ScgArgs::read(field, Shortcut::List("patterns"))?;
    let given = args.list("patterns");
    if given.is_empty() {
        field.warn("this never matches: no pattern is given");
    }
    let mut patterns = Vec::with_capacity(given.len());
    for arg in &given {
        match SpringHost::parse(arg.text()) {
            Ok(pattern) => {
                if arg.text().contains(',') {
                    arg.warn(format!(
                        "{} is one pattern, as in Spring; several are a list",
                        arg.quoted()
                    ));
                }
                super::warn_of_groups(arg, pattern.capturing_constraints());
                patterns.push(pattern);
            }
            Err(problem) => arg.fault(format!("{}: {problem}", arg.quoted())),
        }
    }
    let is_legal = patterns.len() == given.len();
    args.finish();
    let names = patterns
        .iter()
        .flat_map(SpringHost::names)
        .cloned()
        .collect();
    is_legal.then(|| {
        Box::new(Host {
            patterns: patterns.into(),
            names,
        }) as Box<dyn Predicate>
    })
}
