//! The part of a request that a rule counts by.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::FlowRequest;
use super::read::ParamSpec;
use crate::limit_key::cookie;
use crate::{JavaRegex, form_decoded};

/// A part, and which values of it count.
#[derive(Debug)]
pub(super) struct Param {
    part: Part,
    counts: Counts,
}

#[derive(Debug)]
enum Part {
    Client,
    Host,
    Header(HeaderName),
    Query(String),
    Cookie(String),
}

#[derive(Debug)]
enum Counts {
    All,
    Exact(String),
    Regex(Box<JavaRegex>),
    Contains(String),
}

impl Param {
    /// Also says why all values count though there is a pattern, as in Sentinel.
    ///
    /// # Errors
    /// What cannot be followed.
    pub(super) fn compile(spec: &ParamSpec) -> Result<(Param, Option<String>), String> {
        let name = || {
            let name = spec.field_name.as_deref().unwrap_or_default();
            match name.is_empty() {
                true => Err("`paramItem.fieldName` is missing".to_owned()),
                false => Ok(name.to_owned()),
            }
        };
        let part = match spec.parse_strategy {
            0 => Part::Client,
            1 => Part::Host,
            2 => {
                let name = name()?;
                let parsed = name.parse();
                Part::Header(
                    parsed
                        .map_err(|_| format!("`{}` is no name of a header", name.escape_debug()))?,
                )
            }
            3 => Part::Query(name()?),
            4 => Part::Cookie(name()?),
            other => {
                return Err(format!(
                    "`paramItem.parseStrategy` {other} is none of 0 to 4"
                ));
            }
        };
        let pattern = spec
            .pattern
            .as_deref()
            .filter(|pattern| !pattern.is_empty());
        let mut doubt = None;
        let counts = match (pattern.map(str::to_owned), spec.match_strategy) {
            (None, _) => Counts::All,
            (Some(pattern), 0) => Counts::Exact(pattern),
            (Some(pattern), 2) => match JavaRegex::whole(&pattern) {
                Ok(regex) => Counts::Regex(Box::new(regex)),
                Err(error) => {
                    doubt = Some(format!("its pattern: {error}"));
                    Counts::All
                }
            },
            (Some(pattern), 3) => Counts::Contains(pattern),
            (_, other) => {
                doubt = Some(format!(
                    "Sentinel compares none for `paramItem.matchStrategy` {other}, 1 (prefix) among them; 2 with `PREFIX.*` would"
                ));
                Counts::All
            }
        };
        Ok((Param { part, counts }, doubt))
    }

    /// The value of a request, if it counts.
    pub(super) fn value<'r>(&self, request: &FlowRequest<'r>) -> Option<Cow<'r, str>> {
        let text = |value: &'r HeaderValue| String::from_utf8_lossy(value.as_bytes());
        let value = match &self.part {
            Part::Client => Cow::Owned(request.client.to_string()),
            Part::Host => Some(text(request.host)).filter(|host| !host.is_empty())?,
            Part::Header(name) => text(request.headers.get(name)?),
            Part::Query(name) => query(request.query?, name)?,
            Part::Cookie(name) => String::from_utf8_lossy(cookie(request.headers, name)?),
        };
        self.counts.takes(&value).then_some(value)
    }
}

/// The first value of a parameter, decoded. One without a `=` has none.
fn query<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let value = query.split('&').find_map(|pair| {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        let is_it = form_decoded(key.as_bytes()).as_ref() == name.as_bytes();
        is_it.then(|| pair.split_once('=').map(|(_, value)| value))
    })??;
    Some(match form_decoded(value.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(value),
        Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
    })
}

impl Counts {
    fn takes(&self, value: &str) -> bool {
        match self {
            Counts::All => true,
            Counts::Exact(text) => value == text,
            Counts::Regex(regex) => regex.is_match(value),
            Counts::Contains(text) => value.contains(text),
        }
    }
}
