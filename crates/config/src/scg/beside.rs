//! What an application says beside the gateway's settings, and routes go by: where requests have their version
//! (`spring.webflux.apiversion`, for `Version`), and how circuit breakers break (`resilience4j` and
//! `spring.cloud.circuitbreaker`, for `CircuitBreaker`), and which instances requests prefer (`spring.cloud.loadbalancer.hint`).

use super::{arg::parse_boolean, gateway, key::folded, tree::Tree};
use crate::{
    fault::Report,
    node::{Key, Node, Value},
    route::PartSpec,
};

/// The prefixes of these settings.
pub(crate) const PREFIXES: [&str; 5] = [
    "spring.webflux.apiversion",
    "spring.cloud.circuitbreaker.resilience4j",
    "spring.cloud.loadbalancer",
    "resilience4j.circuitbreaker",
    "resilience4j.timelimiter",
];
/// The first name of those that are not Spring's own.
pub(crate) const RESILIENCE: &str = "resilience4j";

/// What of an instance's settings a filter gets, by the key of its arguments.
const OF_INSTANCES: [&str; 2] = ["circuitbreaker", TIME_LIMITER];
const TIME_LIMITER: &str = "timelimiter";

/// These settings, of all parts of a document.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    api_version: Option<Tree>,
    breakers: Option<Tree>,
    balancer: Option<Tree>,
    resilience: Option<Tree>,
}

/// The same, to be copied into arguments.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    api_version: Option<Node>,
    /// What Spring says of all breakers.
    breakers: Option<Node>,
    /// What Spring says of its load balancer.
    balancer: Option<Node>,
    resilience: Option<Node>,
}

impl Beside {
    /// Takes them out of a part, over those of earlier parts.
    pub(crate) fn add(&mut self, part: &mut Tree) {
        let api_version = part.take_path(&["spring", "webflux", "apiversion"]);
        let breakers = part.take_path(&["spring", "cloud", "circuitbreaker", RESILIENCE]);
        let balancer = part.take_path(&["spring", "cloud", "loadbalancer"]);
        let resilience = part.take_path(&[RESILIENCE]);
        for (earlier, later) in [
            (&mut self.api_version, api_version),
            (&mut self.breakers, breakers),
            (&mut self.balancer, balancer),
            (&mut self.resilience, resilience),
        ] {
            let Some(later) = later else { continue };
            match earlier {
                None => *earlier = Some(later),
                Some(earlier) => {
                    earlier.merge(later);
                }
            }
        }
    }

    /// As nodes. A list with items missing is in the report.
    pub(crate) fn into_defaults(self, report: &Report) -> Defaults {
        let node = |tree: Option<Tree>, path: &str| tree.map(|tree| tree.into_node(path, report));
        Defaults {
            api_version: node(self.api_version, PREFIXES[0]),
            breakers: node(self.breakers, PREFIXES[1]),
            balancer: node(self.balancer, PREFIXES[2]),
            resilience: node(self.resilience, RESILIENCE),
        }
    }
}

impl Defaults {
    /// The nodes, for what is done with every text of a document.
    pub(crate) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        let breakers = self.breakers.iter_mut().chain(&mut self.resilience);
        let others = self.api_version.iter_mut().chain(&mut self.balancer);
        others.chain(breakers)
    }

    /// Roughly, how many bytes a route may take of this.
    pub(super) fn weight(&self) -> usize {
        let breakers = self.breakers.iter().chain(&self.resilience);
        let nodes = self
            .api_version
            .iter()
            .chain(&self.balancer)
            .chain(breakers);
        nodes.map(gateway::weight).sum()
    }

    /// Adds to a predicate what it goes by: `Version` gets `apiversion`.
    pub(super) fn complete_predicate(&self, part: &mut PartSpec) {
        if part.name == "Version"
            && let Some(node) = &self.api_version
        {
            add(part, "apiversion", node.clone());
        }
    }

    /// Adds to a filter what it goes by: `CircuitBreaker` gets `circuitbreaker` and `timelimiter`, each with the settings of the
    /// instance of its name, which without one is the route's id. Where there is no such instance, that of the route's id counts: Spring
    /// takes the id for the breaker's group.
    pub(super) fn complete_filter(&self, part: &mut PartSpec, route: &str) {
        if part.name != "CircuitBreaker" {
            return;
        }
        let Some(resilience) = &self.resilience else {
            return;
        };
        let name = instance(&part.args).unwrap_or_else(|| route.to_owned());
        let names = [name.as_str(), route];
        for kind in OF_INSTANCES {
            let Some(settings) = get(resilience, kind) else {
                continue;
            };
            let entries = of_instance(settings, names);
            let is_off = kind == TIME_LIMITER && self.is_time_unlimited(names);
            if !entries.is_empty() && !is_off {
                let at = settings.at;
                let value = Value::Mapping(entries);
                add(part, kind, Node { value, at });
            }
        }
    }

    /// How requests choose among the instances of a service by Spring's hint, as `canary` of a native route's service: the value of a
    /// header, or the one that the document gives the service, is compared with `hint` in the instances' metadata. Spring does so where
    /// a bean asks for it; a document that speaks of hints is taken for one of such an application.
    pub(super) fn hint(&self, service: &str) -> Option<Node> {
        let balancer = self.balancer.as_ref()?;
        let own = get(balancer, "clients").and_then(|clients| exactly(clients, service));
        let said = |name: &str| {
            let of_service = own.and_then(|own| get(own, name));
            of_service.or_else(|| get(balancer, name))
        };
        let (hints, header) = (said("hint"), said("hint-header-name"));
        let at = hints.or(header)?.at;
        let names = [service, "default"];
        let value = hints.and_then(|hints| names.iter().find_map(|name| exactly(hints, name)));
        let entry = |key: &str, value: Node| {
            let text = key.to_owned();
            (Key { text, at }, value)
        };
        let text = |text: &str| Node::scalar(text, at);
        let value = Value::Mapping(vec![
            entry(
                "header",
                header.cloned().unwrap_or_else(|| text("X-SC-LB-Hint")),
            ),
            entry("metadata", text("hint")),
            entry("fallback", text("any")),
            // Spring's value where none is given.
            entry("default", value.cloned().unwrap_or_else(|| text("default"))),
        ]);
        Some(Node { value, at })
    }

    /// Whether breakers of these names are told not to limit the time.
    fn is_time_unlimited(&self, names: [&str; 2]) -> bool {
        let Some(breakers) = &self.breakers else {
            return false;
        };
        let own = get(breakers, "disable-time-limiter-map");
        let own = own.and_then(|map| names.iter().find_map(|name| exactly(map, name)));
        let said = own.or_else(|| get(breakers, "disable-time-limiter"));
        match said.map(|node| &node.value) {
            Some(Value::Scalar(scalar)) => parse_boolean(&scalar.text) == Some(true),
            _ => false,
        }
    }
}

/// The name that the arguments of a circuit breaker give it.
fn instance(args: &Node) -> Option<String> {
    let name = get(args, "name").or_else(|| get(args, "_genkey_0"))?;
    let text = |node: &Node| match &node.value {
        Value::Scalar(scalar) => Some(scalar.text.clone()),
        _ => None,
    };
    text(name).filter(|name| !name.is_empty())
}

/// The settings of an instance, the first of `names` that there is, over those of its base, over those of all.
fn of_instance(settings: &Node, names: [&str; 2]) -> Vec<(Key, Node)> {
    let instances = get(settings, "instances").or_else(|| get(settings, "backends"));
    let own = instances.and_then(|all| names.iter().find_map(|name| exactly(all, name)));
    let base = own.and_then(|own| get(own, "base-config"));
    let base = match base.map(|node| &node.value) {
        Some(Value::Scalar(scalar)) => scalar.text.as_str(),
        _ => "default",
    };
    let base = get(settings, "configs").and_then(|configs| exactly(configs, base));
    let mut entries: Vec<(Key, Node)> = Vec::new();
    for (key, node) in [base, own].into_iter().flatten().flat_map(entries_of) {
        let name = folded(&key.text);
        entries.retain(|(earlier, _)| folded(&earlier.text) != name);
        if name != folded("base-config") {
            entries.push((key.clone(), node.clone()));
        }
    }
    entries
}

fn entries_of(node: &Node) -> &[(Key, Node)] {
    match &node.value {
        Value::Mapping(entries) => entries,
        _ => &[],
    }
}

/// The value of a key by its relaxed name.
fn get<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let name = folded(name);
    let mut entries = entries_of(node).iter();
    Some(&entries.find(|(key, _)| folded(&key.text) == name)?.1)
}

/// The value of a key that is somebody's own name.
fn exactly<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let mut entries = entries_of(node).iter();
    Some(&entries.find(|(key, _)| key.text == name)?.1)
}

fn add(part: &mut PartSpec, key: &str, node: Node) {
    if matches!(part.args.value, Value::Null) {
        part.args.value = Value::Mapping(Vec::new());
    }
    if let Value::Mapping(args) = &mut part.args.value {
        let at = node.at;
        let text = key.to_owned();
        args.push((Key { text, at }, node));
    }
}
