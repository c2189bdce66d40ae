//! Flow rules of Sentinel's gateway adapter, honoured by this gateway's own limiter.
//!
//! This follows `sentinel-spring-cloud-gateway-adapter` 1.8: the adapter itself was asked (`tests/sentinel-oracle`), and the same
//! requests pass here. A rule applies to the route or the API group of its name, and one that counts by a part of the request only
//! to what its `resourceMode` says. All rules that apply to a request are checked, those of its route first. Each gateway counts for
//! itself.

mod group;
mod param;
mod read;
mod taken;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::key_table::KeyHash;
use crate::{Answer, elements};
use group::Group;
use param::Param;
use read::RuleSpec;
use taken::{Got, Taken};

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
    taken: Taken,
}

/// A request that may go on.
#[derive(Debug, Default)]
#[must_use]
pub struct Passage {
    /// When its turn comes.
    pub wait: Duration,
    /// What it has until it ends.
    pub places: Vec<FlowPlace>,
}

/// A place among so many requests at once, free again when this is dropped.
#[derive(Debug)]
pub struct FlowPlace {
    limit: Arc<Limit>,
    key: KeyHash,
}

impl Drop for FlowPlace {
    fn drop(&mut self) {
        self.limit.taken.leave(self.key);
    }
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
pub struct Blocked;

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
        compiled.share_out(&mut notes);
        Ok((compiled, notes))
    }

    fn add(&mut self, spec: RuleSpec, before: &FlowRules, notes: &mut Vec<String>) {
        let known = before.limits.iter().find(|limit| limit.spec == spec);
        match known {
            Some(limit) => self.limits.push(Arc::clone(limit)),
            None => match Limit::compile(spec, notes) {
                Ok(limit) => self.limits.push(Arc::new(limit)),
                Err(note) => notes.push(note),
            },
        }
    }

    /// Gives routes and groups the rules that apply to them.
    fn share_out(&mut self, notes: &mut Vec<String>) {
        let all = std::mem::take(&mut self.limits);
        for limit in &all {
            let spec = &limit.spec;
            let group = self.group(&spec.resource);
            if spec.is_of_group && group.is_none() {
                notes.push(format!(
                    "{spec} is not followed: no API group has this name"
                ));
            }
            if let Some(limits) = group.filter(|_| limit.applies(true)) {
                limits.push(Arc::clone(limit));
            }
            if limit.applies(false) {
                let of_route = self.by_route.entry(spec.resource.clone()).or_default();
                of_route.push(Arc::clone(limit));
            }
        }
        for is_of_group in [false, true] {
            self.switch_off(&all, is_of_group, notes);
        }
        self.groups.retain(|(_, limits)| !limits.is_empty());
        let lists = self
            .by_route
            .values()
            .chain(self.groups.iter().map(|(_, limits)| limits));
        let used: Vec<_> = lists.flatten().map(Arc::as_ptr).collect();
        self.limits = all;
        self.limits
            .retain(|limit| used.contains(&Arc::as_ptr(limit)));
    }

    /// Takes all rules from the routes, or the groups, whose name stands in a rule that counts by a part and is for the other kind:
    /// `GatewayParamParser` finds no parameters then, and without them no rule is checked.
    fn switch_off(&mut self, all: &[Arc<Limit>], is_of_group: bool, notes: &mut Vec<String>) {
        for limit in all.iter().filter(|limit| !limit.applies(is_of_group)) {
            let name = &limit.spec.resource;
            let limits = match is_of_group {
                false => self.by_route.get_mut(name),
                true => self.group(name),
            };
            if limits.is_some_and(|limits| !std::mem::take(limits).is_empty()) {
                let kind = if is_of_group { "API group" } else { "route" };
                notes.push(format!(
                    "no rule of the {kind} `{}` is followed, as in Sentinel: {} has the same name, and counts by a part",
                    name.escape_debug(),
                    limit.spec
                ));
            }
        }
    }

    /// The rules of a group that is there.
    fn group(&mut self, name: &str) -> Option<&mut Vec<Arc<Limit>>> {
        let mut groups = self.groups.iter_mut();
        let group = groups.find(|(group, _)| group.name == name);
        group.map(|(_, limits)| limits)
    }

    /// How many rules are in force.
    pub fn len(&self) -> usize {
        self.limits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// Checks a request. Takes one from each rule that applies, until one has none left.
    ///
    /// Cost: a look-up by the route's id, the patterns of each API group, and for each rule a look-up under the lock of one of
    /// sixteen shards.
    ///
    /// # Errors
    /// That a rule blocks it.
    pub fn pass(&self, request: &FlowRequest<'_>) -> Result<Passage, Blocked> {
        let of_route = self.by_route.get(request.route).into_iter();
        let groups = self.groups.iter();
        let of_groups = groups.filter(|(group, _)| group.takes(request.path));
        let limits = of_route
            .chain(of_groups.map(|(_, limits)| limits))
            .flatten();
        let began = Instant::now();
        let mut passage = Passage::default();
        for limit in limits {
            // The next rule is asked when this one's turn has come.
            match limit.take(request, began + passage.wait)? {
                Some(Got::Turn(wait)) => passage.wait += wait,
                Some(Got::Place(key)) => passage.places.push(FlowPlace {
                    limit: Arc::clone(limit),
                    key,
                }),
                None => {}
            }
        }
        Ok(passage)
    }
}

impl Limit {
    fn compile(spec: RuleSpec, notes: &mut Vec<String>) -> Result<Limit, String> {
        let param = match &spec.param {
            Some(param) => {
                let (param, doubt) = Param::compile(param)
                    .map_err(|why| format!("{spec} is not followed: {why}"))?;
                notes.extend(doubt.map(|doubt| format!("{spec} counts all values: {doubt}")));
                Some(param)
            }
            None => None,
        };
        Ok(Limit {
            taken: Taken::new(&spec),
            param,
            spec,
        })
    }

    /// Whether it is for groups, or for routes, of its name.
    fn applies(&self, to_groups: bool) -> bool {
        self.param.is_none() || self.spec.is_of_group == to_groups
    }

    /// `None`: the request does not count.
    fn take(&self, request: &FlowRequest<'_>, now: Instant) -> Result<Option<Got>, Blocked> {
        let key = match &self.param {
            None => None,
            // What has no value, or one that the pattern does not take, is not counted.
            Some(param) => match param.value(request) {
                None => return Ok(None),
                value => value,
            },
        };
        let key = key.as_deref().unwrap_or_default();
        match self.taken.take(key.as_bytes(), now) {
            None => Err(Blocked),
            got => Ok(got),
        }
    }
}

impl Blocked {
    /// What the adapter's `DefaultBlockRequestHandler` answers: JSON, or a text for whoever takes HTML.
    pub fn answer(self, headers: &HeaderMap) -> Answer {
        // The adapter makes a rule for parameters of each rule.
        let message = "Blocked by Sentinel: ParamFlowException";
        let html = elements(headers, &ACCEPT).any(|range| {
            let name = range.split(|byte| *byte == b';').next().unwrap_or_default();
            let name = name.trim_ascii();
            name.eq_ignore_ascii_case(b"text/html") || name.eq_ignore_ascii_case(b"text/*")
        });
        let (kind, body) = match html {
            true => ("text/plain", message.to_owned()),
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
