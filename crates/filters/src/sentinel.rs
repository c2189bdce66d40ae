//! Flow rules of Sentinel's gateway adapter, honoured by this gateway's own limiter.
//!
//! This follows `GatewayFlowRule` and `ApiDefinition` of `sentinel-api-gateway-adapter-common` 1.8. A rule applies to a route, by its
//! id, or to an API group, by the paths of the group. All rules that apply to a request are checked, those of its route first. Each
//! gateway counts for itself.
//!
//! Two things differ. Tokens come back steadily, while Sentinel gives all of them back at the end of an interval. Rules that count
//! threads are left out, and rules that queue requests refuse at once, each with a warning.

mod group;
mod param;
mod read;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::limit::{Buckets, Rate};
use crate::{Answer, elements};
use group::Group;
use param::Param;
use read::RuleSpec;

/// The rules that are in force, behind one swap.
#[derive(Clone, Debug, Default)]
pub struct FlowCell(Arc<ArcSwap<FlowRules>>);

impl FlowCell {
    /// The rules by now.
    pub fn load(&self) -> arc_swap::Guard<Arc<FlowRules>> {
        self.0.load()
    }

    /// Puts other rules in their place.
    pub fn store(&self, rules: FlowRules) {
        self.0.store(Arc::new(rules));
    }
}

/// Rules, compiled.
#[derive(Debug, Default)]
pub struct FlowRules {
    by_route: HashMap<String, Vec<Arc<Limit>>>,
    groups: Vec<(Group, Vec<Arc<Limit>>)>,
    limits: Vec<Arc<Limit>>,
}

/// What a rule allows, and what was taken of it.
#[derive(Debug)]
struct Limit {
    spec: RuleSpec,
    param: Option<Param>,
    buckets: Buckets,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct FlowRequest<'a> {
    /// The id of its route.
    pub route: &'a str,
    /// Its path, as it was matched.
    pub path: &'a str,
    /// Its query, without the `?`.
    pub query: Option<&'a str>,
    /// The Host header.
    pub host: &'a HeaderValue,
    /// The client's address, as far as a trusted proxy says.
    pub client: IpAddr,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// A request that a rule does not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Whether the rule counts by a part of the request.
    pub is_by_param: bool,
}

impl FlowRules {
    /// Compiles the JSON of rules and, if there are any, of API groups. A rule that `before` had as well goes on with what
    /// was taken of it. Also says, in a sentence each, which rules are not followed, or in another way.
    ///
    /// # Errors
    /// Why a text is no list of rules or groups at all.
    pub fn compile(
        rules: &str,
        groups: Option<&str>,
        before: &FlowRules,
    ) -> Result<(FlowRules, Vec<String>), String> {
        let mut notes = Vec::new();
        let specs =
            read::rules(rules, &mut notes).map_err(|error| format!("the flow rules: {error}"))?;
        let groups = match groups {
            Some(text) => {
                group::read(text, &mut notes).map_err(|error| format!("the API groups: {error}"))?
            }
            None => Vec::new(),
        };
        let mut compiled = FlowRules {
            groups: groups
                .into_iter()
                .map(|group| (group, Vec::new()))
                .collect(),
            ..FlowRules::default()
        };
        for spec in specs {
            compiled.add(spec, before, &mut notes);
        }
        compiled.groups.retain(|(_, limits)| !limits.is_empty());
        Ok((compiled, notes))
    }

    fn add(&mut self, spec: RuleSpec, before: &FlowRules, notes: &mut Vec<String>) {
        let known = before.limits.iter().find(|limit| limit.spec == spec);
        let limit = match known {
            Some(limit) => Arc::clone(limit),
            None => match Limit::compile(spec) {
                Ok(limit) => Arc::new(limit),
                Err(note) => return notes.push(note),
            },
        };
        let spec = &limit.spec;
        match spec.is_of_group {
            false => {
                let of_route = self.by_route.entry(spec.resource.clone()).or_default();
                of_route.push(Arc::clone(&limit));
            }
            true => {
                let mut groups = self.groups.iter_mut();
                let Some((_, limits)) = groups.find(|(group, _)| group.name == spec.resource)
                else {
                    return notes.push(format!(
                        "{spec} is not followed: no API group has this name"
                    ));
                };
                limits.push(Arc::clone(&limit));
            }
        }
        self.limits.push(limit);
    }

    /// How many rules are in force.
    pub fn len(&self) -> usize {
        self.limits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// Checks a request. Takes a token from each rule that applies, until one has no token left.
    ///
    /// Cost: a look-up by the route's id, the patterns of each API group, and for each rule a look-up under the lock of one of
    /// sixteen shards.
    ///
    /// # Errors
    /// What blocks it.
    pub fn pass(&self, request: &FlowRequest<'_>) -> Result<(), Blocked> {
        let of_route = self.by_route.get(request.route).into_iter();
        let groups = self.groups.iter();
        let of_groups = groups.filter(|(group, _)| group.takes(request.path));
        let limits = of_route
            .chain(of_groups.map(|(_, limits)| limits))
            .flatten();
        let now = Instant::now();
        for limit in limits {
            limit.pass(request, now)?;
        }
        Ok(())
    }
}

impl Limit {
    fn compile(spec: RuleSpec) -> Result<Limit, String> {
        let param = match &spec.param {
            Some(param) => Some(
                Param::compile(param).map_err(|why| format!("{spec} is not followed: {why}"))?,
            ),
            None => None,
        };
        // Sentinel drops what is behind the point, so that less than one blocks everything.
        let count = spec.count.floor();
        let rate = Rate {
            per_second: count / f64::from(spec.interval_seconds),
            burst: if count < 1.0 {
                0.0
            } else {
                count + f64::from(spec.burst)
            },
        };
        Ok(Limit {
            buckets: Buckets::new(rate),
            param,
            spec,
        })
    }

    fn pass(&self, request: &FlowRequest<'_>, now: Instant) -> Result<(), Blocked> {
        let key = match &self.param {
            None => None,
            // What has no value, or one that the pattern does not take, is not counted.
            Some(param) => match param.value(request) {
                None => return Ok(()),
                value => value,
            },
        };
        let key = key.as_deref().unwrap_or_default();
        match self.buckets.take(key.as_bytes(), 1.0, now).is_allowed {
            true => Ok(()),
            false => Err(Blocked {
                is_by_param: self.param.is_some(),
            }),
        }
    }
}

impl Blocked {
    /// What the adapter's `DefaultBlockRequestHandler` answers: JSON, or a text for whoever takes HTML.
    pub fn answer(self, headers: &HeaderMap) -> Answer {
        let exception = match self.is_by_param {
            true => "ParamFlowException",
            false => "FlowException",
        };
        let message = format!("Blocked by Sentinel: {exception}");
        let html = elements(headers, &ACCEPT).any(|range| {
            let name = range.split(|byte| *byte == b';').next().unwrap_or_default();
            let name = name.trim_ascii();
            name.eq_ignore_ascii_case(b"text/html") || name.eq_ignore_ascii_case(b"text/*")
        });
        let (kind, body) = match html {
            true => ("text/plain;charset=UTF-8", message),
            false => (
                "application/json;charset=UTF-8",
                format!("{{\"code\":429,\"message\":\"{message}\"}}"),
            ),
        };
        Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]),
            body: body.into(),
        }
    }
}
