//! What `spring.cloud.gateway` says beside its routes.

use std::collections::BTreeMap;

use super::{
    beside::Defaults,
    cors,
    definition::{self, Kind},
    key::folded,
    locator::Locator,
    notes::Notes,
    relaxed::Relaxed,
    timeouts::{self, Timeouts},
};
use crate::{
    field::{Field, quote},
    node::{Key, Node, Value},
    route::PartSpec,
    route_document::UnroutedSpec,
};

/// Filters whose arguments have defaults under `filter`, which a route's own win over.
const WITH_DEFAULTS: [&str; 3] = ["SecureHeaders", "LocalResponseCache", "RequestRateLimiter"];

/// Keys that change nothing here, since Pailou does always what they ask for.
const MATTER_OF_COURSE: [&str; 3] = [
    "failonroutedefinitionerror",
    "routerefreshlistener",
    "server",
];

/// What is said of keys that are not read.
const ELSEWHERE: [(&str, &str); 6] = [
    (
        "trustedproxies",
        "whose forwarding headers are believed is `forwarded.trusted_proxies` in gateway.yaml",
    ),
    (
        "forwarded",
        "forwarding headers are written always; see `forwarded` in gateway.yaml",
    ),
    (
        "xforwarded",
        "forwarding headers are written always; see `forwarded` in gateway.yaml",
    ),
    (
        "loadbalancer",
        "a service without instances is answered with 503",
    ),
    (
        "metrics",
        "metrics are always on, at /metrics of the probes' address; `scg.metrics` in gateway.yaml adds those of Spring",
    ),
    (
        "globalfilter",
        "there are no global filters; put them into `default-filters`",
    ),
];

/// What holds for every route of a document.
#[derive(Debug, Default)]
pub(super) struct Gateway {
    pub(super) default_filters: Vec<PartSpec>,
    pub(super) cors: Option<PartSpec>,
    /// The same for requests that no route takes.
    pub(super) unrouted: Option<UnroutedSpec>,
    pub(super) timeouts: Timeouts,
    /// Arguments of filters by the filter's folded name.
    pub(super) defaults: BTreeMap<String, Node>,
    /// Whether `Host` looks past the port (`predicate.host.include-port: false`).
    pub(super) without_port: bool,
    /// The locator, if a route for each service is asked for; `Some(None)` if it cannot be followed.
    pub(super) locator: Option<Option<Locator>>,
    /// What an application says beside the section.
    pub(super) beside: Defaults,
}

impl Gateway {
    /// Reads the keys of the section; the routes are left to the caller. What is wrong is a fault of the whole document, since it would be
    /// one of every route.
    pub(super) fn read<'a>(
        field: &Field<'a>,
        beans: &BTreeMap<String, Node>,
        notes: &mut Notes,
    ) -> (Gateway, Option<Field<'a>>) {
        let mut gateway = Gateway::default();
        let Some(mut keys) = Relaxed::read(field) else {
            return (gateway, None);
        };
        let routes = keys.take("routes");
        if let Some(filters) = keys.take("default-filters") {
            gateway.default_filters = definition::list(&filters, Kind::Filter, beans, notes);
        }
        gateway.unrouted = keys
            .take("globalcors")
            .and_then(|field| cors::of_gateway(&field));
        gateway.cors = gateway.unrouted.as_ref().map(|spec| spec.cors.clone());
        if let Some(client) = keys.take("httpclient") {
            gateway.timeouts = http_client(&client);
        }
        gateway.locator = keys
            .take("discovery")
            .and_then(|field| Locator::read(&field));
        if let Some(predicate) = keys.take("predicate") {
            gateway.without_port = without_port(&predicate);
        }
        if let Some(filter) = keys.take("filter") {
            gateway.read_defaults(&filter);
        }
        if let Some(status) = keys.take("set-status") {
            let args = status.node().clone();
            gateway.defaults.insert(folded("SetStatus"), args);
        }
        if let Some(enabled) = keys.take("enabled")
            && enabled
                .string()
                .is_some_and(|text| text.eq_ignore_ascii_case("false"))
        {
            enabled.warn("ignored: a gateway is turned off by taking its document away");
        }
        for (key, value) in keys.rest() {
            warn_of(&key.text, &value);
        }
        (gateway, routes)
    }

    fn read_defaults(&mut self, field: &Field<'_>) {
        let Some(mut keys) = Relaxed::read(field) else {
            return;
        };
        for name in WITH_DEFAULTS {
            if let Some(args) = keys.take(name) {
                self.defaults.insert(folded(name), args.node().clone());
            }
        }
        for (key, value) in keys.rest() {
            warn_of(&key.text, &value);
        }
    }

    /// Adds what holds for all filters of this name to the arguments that one of them leaves out.
    pub(super) fn complete(&self, part: &mut PartSpec, beans: &BTreeMap<String, Node>) {
        let Some(Value::Mapping(defaults)) = self
            .defaults
            .get(&folded(&part.name))
            .map(|node| &node.value)
        else {
            return;
        };
        if matches!(part.args.value, Value::Null) {
            part.args.value = Value::Mapping(Vec::new());
        }
        let Value::Mapping(args) = &mut part.args.value else {
            return;
        };
        let is_given = |args: &[(Key, Node)], name: &str| {
            args.iter().any(|(key, _)| folded(&key.text) == name)
        };
        for (key, value) in defaults {
            let name = folded(&key.text);
            if name != "enabled" && !is_given(args, &name) {
                let bean = bean_name(value).and_then(|name| beans.get(name));
                args.push((key.clone(), bean.unwrap_or(value).clone()));
            }
        }
    }

    /// Roughly, how many bytes each route takes of this.
    pub(super) fn weight(&self) -> usize {
        let parts = self.default_filters.iter().chain(&self.cors);
        let parts: usize = parts.map(|part| weight(&part.args)).sum();
        let defaults: usize = self.defaults.values().map(weight).sum();
        parts + defaults + self.beside.weight()
    }
}

/// Roughly, how many bytes it takes.
pub(super) fn weight(node: &Node) -> usize {
    size_of::<Node>()
        + match &node.value {
            Value::Null => 0,
            Value::Scalar(scalar) => scalar.text.len(),
            Value::Sequence(items) => items.iter().map(weight).sum(),
            Value::Mapping(entries) => {
                let entry =
                    |(key, node): &(Key, Node)| size_of::<Key>() + key.text.len() + weight(node);
                entries.iter().map(entry).sum()
            }
        }
}

fn http_client(field: &Field<'_>) -> Timeouts {
    let Some(mut keys) = Relaxed::read(field) else {
        return Timeouts::default();
    };
    let connect = keys.take("connect-timeout");
    let response = keys.take("response-timeout");
    let timeouts = Timeouts {
        connect: connect.and_then(|field| timeouts::connect(&field)),
        response: response.and_then(|field| timeouts::response(&field)),
    };
    for (key, value) in keys.rest() {
        let name = quote(&key.text);
        value.warn(format!(
            "{name} of the HTTP client is not read; see `defaults`, `upstream_tls` and `limits` in gateway.yaml"
        ));
    }
    timeouts
}

/// The name of the bean that a value is a look-up of: `#{@name}`.
fn bean_name(value: &Node) -> Option<&str> {
    let Value::Scalar(scalar) = &value.value else {
        return None;
    };
    let inner = scalar.text.trim().strip_prefix("#{")?.strip_suffix('}')?;
    inner.trim().strip_prefix('@')
}

/// Whether `Host` looks past the port.
fn without_port(field: &Field<'_>) -> bool {
    let host = Relaxed::read(field).and_then(|mut keys| keys.take("host"));
    let include = host.and_then(|host| Relaxed::read(&host)?.take("include-port"));
    let include = include.and_then(|field| field.string());
    include.is_some_and(|text| text.eq_ignore_ascii_case("false"))
}

fn warn_of(key: &str, value: &Field<'_>) {
    let name = folded(key);
    if MATTER_OF_COURSE.contains(&name.as_str()) {
        return;
    }
    let elsewhere = ELSEWHERE.iter().find(|(known, _)| *known == name);
    let why = elsewhere.map_or("nothing here follows it", |(_, why)| why);
    value.warn(format!("{} is not read: {why}", quote(key)));
}
