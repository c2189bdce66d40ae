//! How route documents in the form of Spring Cloud Gateway are read.

use std::{collections::BTreeMap, fmt, path::Path};

use super::{
    environment::Environment,
    kind::{Choice, Flag, Kind, List, Map, Part, node_text},
    schema::section,
    values::NAME,
};
use crate::{
    field::{Field, quote},
    node::Node,
    route::PartSpec,
};

/// How the mapping of a filter to nothing is written.
const IGNORE: &str = "ignore";

section! {
    /// How route documents in the form of Spring Cloud Gateway are read.
    ScgSettings in "scg" {
        /// The version whose behaviour is followed: 4.3 (`4`), which most older ones are like, or 5.0 (`5`). 5.0 reads only
        /// `spring.cloud.gateway.server.webflux`, and never takes `/x/` for `/x`.
        compat: Compat = Compat::V4, Choice(&[("4", Compat::V4), ("5", Compat::V5)]);
        /// The active profiles. Of a document in several parts, the parts for these (`spring.config.activate.on-profile`) are read
        /// beside those without a profile. Left out, it is Spring's `default`.
        profiles: Vec<String> = Vec::new(), List(NAME);
        /// The names in `${NAME}` and `${NAME:default}` that stand for environment variables; `server.port` finds `SERVER_PORT` too.
        /// Other placeholders stay as they are written.
        placeholders: Vec<Placeholder> = Vec::new(), List(PlaceholderName);
        /// What arguments such as `#{@ipKeyResolver}` mean, by the bean's name: `{ ipKeyResolver: client_address }`. Nothing
        /// else in `#{…}` is read.
        beans: BTreeMap<String, Node> = BTreeMap::new(), Map(AnyValue);
        /// What takes the place of filters of your own, by their names: one of Pailou's with its arguments, or `ignore`:
        /// `{ AuthFilter: ignore, CheckToken: { forward_auth: { service: auth, path: /check } } }`.
        filters: BTreeMap<String, ScgFilter> = BTreeMap::new(), Map(Substitute);
        /// The services for which the discovery locator makes a route (`Path=/NAME/**`), in any document that turns the locator on.
        /// Spring makes one for every registered service. Here only services that are named can be reached.
        locator: Vec<String> = Vec::new(), List(NAME);
        /// Whether `/metrics` also counts requests by Spring Cloud Gateway's names and labels (`spring_cloud_gateway_requests_seconds`),
        /// so that its dashboards go on working.
        metrics: bool = false, Flag;
        /// Schemes of your own in `uri`, each with the scheme that it means: `{ grayLb: lb }`.
        schemes: BTreeMap<String, &'static str> = BTreeMap::new(), Map(Choice(SCHEMES));
    }
}

/// The schemes that an alias may mean.
const SCHEMES: &[(&str, &str)] = &[
    ("lb", "lb"),
    ("http", "http"),
    ("https", "https"),
    ("ws", "ws"),
    ("wss", "wss"),
];

/// The line of Spring Cloud Gateway whose behaviour is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// 4.3, and what older ones have in common with it.
    #[default]
    V4,
    /// 5.0.
    V5,
}

/// A name that `${…}` may have.
#[derive(Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The name.
    pub name: String,
    /// What the environment has for it.
    pub value: Option<String>,
}

/// What stands in for a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScgFilter {
    /// Nothing.
    Ignore,
    /// This one.
    Part(PartSpec),
}

impl ScgSettings {
    /// Looks up the values of the placeholders.
    pub(super) fn resolve(&mut self, environment: &Environment) {
        for placeholder in &mut self.placeholders {
            let name = &placeholder.name;
            let relaxed = name.replace(['.', '-'], "_").to_ascii_uppercase();
            let value = environment.any(name).or_else(|| environment.any(&relaxed));
            placeholder.value = value.map(str::to_owned);
        }
    }
}

/// The name only: a value may be a password.
impl fmt::Debug for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Placeholder").field(&self.name).finish()
    }
}

/// The name of a placeholder, whose value is looked up later.
struct PlaceholderName;

impl Kind for PlaceholderName {
    type Value = Placeholder;

    fn describe(&self) -> String {
        NAME.describe()
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<Placeholder> {
        let name = NAME.read(field, base)?;
        Some(Placeholder { name, value: None })
    }

    fn write(&self, value: &Placeholder) -> Option<String> {
        NAME.write(&value.name)
    }
}

/// Whatever a filter may take as an argument.
struct AnyValue;

impl Kind for AnyValue {
    type Value = Node;

    fn describe(&self) -> String {
        "any value".to_owned()
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<Node> {
        Some(field.node().clone())
    }

    fn write(&self, value: &Node) -> Option<String> {
        Some(node_text(value))
    }
}

/// A filter of ours, or `ignore`.
struct Substitute;

impl Kind for Substitute {
    type Value = ScgFilter;

    fn describe(&self) -> String {
        format!("`{IGNORE}`, or {}", Part.describe())
    }

    fn read(&self, field: &Field<'_>, _: &Path) -> Option<ScgFilter> {
        let part = field.part()?;
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if part.name.is_empty() || !part.name.bytes().all(is_legal) {
            field.fault_expected(quote(&part.name), self.describe());
            return None;
        }
        Some(match part.name.as_str() {
            IGNORE => ScgFilter::Ignore,
            _ => ScgFilter::Part(part),
        })
    }

    fn write(&self, value: &ScgFilter) -> Option<String> {
        match value {
            ScgFilter::Ignore => Some(IGNORE.to_owned()),
            ScgFilter::Part(part) => Part.write(part),
        }
    }
}

#[cfg(test)]
mod tests;
