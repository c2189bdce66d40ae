//! One route definition.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    arg::parse_boolean,
    cors,
    definition::{self, Kind, placed},
    gateway::Gateway,
    notes::Notes,
    relaxed::Relaxed,
    timeouts::{self, Timeouts},
    uri::{self, Uri},
};
use crate::{
    fault::Position,
    field::{Field, quote},
    node::{Key, Node, Value},
    route::{EncodedSlashes, Form, PartSpec, RouteSpec},
    service::ServiceSpec,
    settings::{ScgFilter, ScgSettings},
    target::{TargetSpec, UrlSpec},
};

const MAX_ID_BYTES: usize = 256;

/// What a route definition is read with.
pub(super) struct Context<'c> {
    pub(super) scg: &'c ScgSettings,
    pub(super) gateway: &'c Gateway,
    /// Whether a definition must have a predicate, as in what Spring binds itself. Where a list of definitions is given to it, one without
    /// takes every request.
    pub(super) needs_predicates: bool,
}

/// A definition that was read; without a spec, or with errors in the report, it cannot run.
pub(super) struct Definition {
    pub(super) id: Arc<str>,
    pub(super) spec: Option<RouteSpec>,
}

impl Context<'_> {
    /// Reads a definition.
    pub(super) fn read(&self, field: &Field<'_>, notes: &mut Notes) -> Definition {
        let keys = match field.is_mapping() {
            true => Relaxed::read(field),
            false => {
                field.fault_expected(
                    "no route definition",
                    "a mapping with `id`, `uri` and `predicates`",
                );
                None
            }
        };
        let Some(mut keys) = keys else {
            return Definition {
                id: generated(field.node()),
                spec: None,
            };
        };
        let (id, at) = id(&mut keys, field);
        let spec = self.spec(&id, at, keys, field, notes);
        Definition { id, spec }
    }

    fn spec(
        &self,
        id: &Arc<str>,
        at: Position,
        mut keys: Relaxed<'_>,
        field: &Field<'_>,
        notes: &mut Notes,
    ) -> Option<RouteSpec> {
        let predicates = self.predicates(&mut keys, field, notes);
        let metadata = keys.take("metadata");
        let metadata = metadata
            .map(|field| Metadata::read(&field))
            .unwrap_or_default();
        let mut filters = self.filters(&mut keys, metadata.cors, notes);
        for filter in &mut filters {
            self.gateway.beside.complete_filter(filter, id);
        }
        let order = keys.take("order").and_then(|field| whole(&field));
        let enabled = keys.take("enabled").and_then(|field| flag(&field));
        let uri = keys.take("uri");
        if uri.is_none() {
            field.fault("`uri` is missing");
        }
        let uri = uri.and_then(|field| Some((uri::read(&field, &self.scg.schemes)?, field)));
        for (key, unknown) in keys.rest() {
            notes.unknown_key(&key.text, "a route", &unknown, key.at);
        }
        let (uri, uri_field) = uri?;
        let hint = match &uri {
            Uri::Service(name) => self.gateway.beside.hint(name),
            Uri::Url(_) | Uri::Forward(_) | Uri::Nowhere => None,
        };
        let target = target(uri, &uri_field, metadata.nacos.as_ref(), hint);
        let of_gateway = self.gateway.timeouts;
        Some(RouteSpec {
            id: Arc::clone(id),
            document: field.report().document().clone(),
            at,
            form: Form::Scg,
            order: order.unwrap_or(0),
            enabled: enabled.unwrap_or(true),
            predicates,
            filters,
            target: target?,
            balance: None,
            slow_start: None,
            timeout: metadata.timeouts.response.or(of_gateway.response),
            connect_timeout: metadata.timeouts.connect.or(of_gateway.connect),
            read_timeout: None,
            tunnel_idle_timeout: None,
            total_timeout: None,
            retries: Default::default(),
            // An endpoint gets its own name, and `%2F` is a character of its segment.
            preserve_host: false,
            encoded_slashes: EncodedSlashes::Keep,
            metadata: metadata.labels,
        })
    }

    fn predicates(
        &self,
        keys: &mut Relaxed<'_>,
        field: &Field<'_>,
        notes: &mut Notes,
    ) -> Vec<PartSpec> {
        let list = keys.take("predicates");
        let had_errors = field.report().has_errors();
        let mut predicates = list.as_ref().map_or_else(Vec::new, |list| {
            definition::list(list, Kind::Predicate, &self.scg.beans, notes)
        });
        if self.gateway.without_port {
            let hosts = predicates.iter_mut().filter(|part| part.name == "Host");
            hosts.for_each(take_any_port);
        }
        for predicate in &mut predicates {
            self.gateway.beside.complete_predicate(predicate);
        }
        let is_wrong = field.report().has_errors() && !had_errors;
        if predicates.is_empty() && !is_wrong {
            let at = list.unwrap_or_else(|| field.clone());
            if self.needs_predicates {
                at.fault_expected(
                    "no predicate",
                    "one at least, such as `Path=/**` for every path",
                );
            } else {
                at.warn("no predicate: the route takes every request");
            }
        }
        predicates
    }

    /// CORS first, then the filters of all routes and those of this one in turns, as Spring sorts them.
    fn filters(
        &self,
        keys: &mut Relaxed<'_>,
        cors: Option<PartSpec>,
        notes: &mut Notes,
    ) -> Vec<PartSpec> {
        let own = keys.take("filters").map_or_else(Vec::new, |list| {
            definition::list(&list, Kind::Filter, &self.scg.beans, notes)
        });
        let mut filters: Vec<PartSpec> = Vec::new();
        filters.extend(cors.or_else(|| self.gateway.cors.clone()));
        let mut defaults = self.gateway.default_filters.iter().cloned();
        let mut own = own.into_iter();
        loop {
            let turn = [defaults.next(), own.next()];
            if turn.iter().all(Option::is_none) {
                return filters;
            }
            filters.extend(
                turn.into_iter()
                    .flatten()
                    .filter_map(|part| self.filter(part, notes)),
            );
        }
    }

    /// The filter, or what stands in for it.
    fn filter(&self, mut part: PartSpec, notes: &mut Notes) -> Option<PartSpec> {
        let name = quote(&part.name);
        match self.scg.filters.get(&part.name) {
            None => {
                self.gateway.complete(&mut part, &self.scg.beans);
                Some(part)
            }
            Some(ScgFilter::Ignore) => {
                let problem = format!("the filter {name} is left out, as scg.filters says");
                notes.add(problem, &part.path, part.at);
                None
            }
            Some(ScgFilter::Part(ours)) => {
                let end = match part.args.value {
                    Value::Null => "",
                    _ => "; its arguments are not used",
                };
                let problem = format!(
                    "`{}` stands in for the filter {name}, as scg.filters says{end}",
                    ours.name
                );
                notes.add(problem, &part.path, part.at);
                Some(PartSpec {
                    name: ours.name.clone(),
                    args: placed(&ours.args, part.at),
                    ..part
                })
            }
        }
    }
}

/// The id that is written, or one that stays the same while the definition does.
fn id(keys: &mut Relaxed<'_>, field: &Field<'_>) -> (Arc<str>, Position) {
    let Some(written) = keys.take("id") else {
        return (generated(field.node()), field.at());
    };
    let text = written.string().unwrap_or_default();
    let problem = if text.len() > MAX_ID_BYTES {
        format!("the id is longer than {MAX_ID_BYTES} bytes")
    } else if text.chars().any(char::is_control) {
        "the id contains a control character".to_owned()
    } else if text.is_empty() {
        return (generated(field.node()), written.at());
    } else {
        return (Arc::from(text), written.at());
    };
    written.fault(problem);
    (generated(field.node()), written.at())
}

/// An id from what the definition says (FNV-1a, 64 bits).
fn generated(node: &Node) -> Arc<str> {
    let text = serde_json::to_string(node).unwrap_or_default();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Arc::from(format!("route-{hash:016x}"))
}

fn whole(field: &Field<'_>) -> Option<i32> {
    let text = field.string()?;
    let number = text.trim().parse().ok();
    if number.is_none() {
        field.fault_expected(
            field.quoted(),
            format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        );
    }
    number
}

fn flag(field: &Field<'_>) -> Option<bool> {
    let flag = parse_boolean(&field.string()?);
    if flag.is_none() {
        field.fault_expected(field.quoted(), "true or false");
    }
    flag
}

/// What of a route's metadata means something, and all of it as labels.
#[derive(Default)]
struct Metadata<'a> {
    timeouts: Timeouts,
    cors: Option<PartSpec>,
    nacos: Option<Field<'a>>,
    labels: BTreeMap<String, String>,
}

impl<'a> Metadata<'a> {
    fn read(field: &Field<'a>) -> Metadata<'a> {
        let mut metadata = Metadata::default();
        for (key, value) in field.entries().unwrap_or_default() {
            let name = key
                .text
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            let name = name.unwrap_or(&key.text);
            match name {
                "connect-timeout" => {
                    metadata.timeouts.connect = timeouts::connect(&value);
                    timeouts::warn_of_unit(&value);
                }
                "response-timeout" => {
                    metadata.timeouts.response = timeouts::response(&value);
                    timeouts::warn_of_unit(&value);
                }
                "cors" => metadata.cors = cors::of_route(&value),
                "nacos" => metadata.nacos = Some(value.clone()),
                _ => {}
            }
            let text = match &value.node().value {
                Value::Null => String::new(),
                Value::Scalar(scalar) => scalar.text.clone(),
                Value::Sequence(_) | Value::Mapping(_) => {
                    serde_json::to_string(value.node()).unwrap_or_default()
                }
            };
            metadata.labels.insert(name.to_owned(), text);
        }
        metadata
    }
}

/// Who answers; `Some(None)` where a filter does.
fn target(
    uri: Uri,
    field: &Field<'_>,
    nacos: Option<&Field<'_>>,
    hint: Option<Node>,
) -> Option<Option<TargetSpec>> {
    let of_service = matches!(uri, Uri::Service(_));
    if let Some(nacos) = nacos.filter(|_| !of_service) {
        nacos.warn("ignored: the uri names no service");
    }
    Some(match uri {
        Uri::Service(name) => Some(TargetSpec::Service(service(name, field, nacos, hint)?)),
        Uri::Url(url) => Some(TargetSpec::Url(UrlSpec {
            url,
            tls: None,
            health_check: None,
            endpoint_limit: None,
        })),
        Uri::Forward(path) => Some(TargetSpec::Forward(path)),
        Uri::Nowhere => None,
    })
}

/// The service, with what `metadata.nacos` says of it, which are the keys of a native route's `service`, and with Spring's hint
/// unless that says how requests choose.
fn service(
    name: String,
    field: &Field<'_>,
    nacos: Option<&Field<'_>>,
    hint: Option<Node>,
) -> Option<ServiceSpec> {
    let at = field.at();
    let named = |text: &str, node| {
        let text = text.to_owned();
        (Key { text, at }, node)
    };
    let mut entries = vec![named("name", Node::scalar(name, at))];
    for (key, value) in nacos.map_or(Some(Vec::new()), Field::entries)? {
        if key.text == "name" {
            value.fault("the uri names the service");
            return None;
        }
        entries.push((key.clone(), value.node().clone()));
    }
    if !entries.iter().any(|(key, _)| key.text == "canary") {
        entries.extend(hint.map(|hint| named("canary", hint)));
    }
    let node = match entries.len() {
        1 => entries.remove(0).1,
        _ => Node {
            value: Value::Mapping(entries),
            at,
        },
    };
    let path = nacos.unwrap_or(field).path();
    ServiceSpec::read(&Field::new(&node, path, field.report()))
}

/// Adds to each pattern of a `Host` the same with any port.
fn take_any_port(part: &mut PartSpec) {
    fn with_port(node: &Node) -> Option<Node> {
        match &node.value {
            Value::Scalar(scalar) => Some(Node::scalar(format!("{}:*", scalar.text), node.at)),
            _ => None,
        }
    }
    match &mut part.args.value {
        Value::Mapping(entries) => {
            let more: Vec<_> = entries
                .iter()
                .enumerate()
                .filter_map(|(number, (key, node))| {
                    let text = format!("_genkey_{}", 1000 + number);
                    Some((Key { text, at: key.at }, with_port(node)?))
                })
                .collect();
            entries.extend(more);
        }
        Value::Sequence(items) => {
            let more: Vec<_> = items.iter().filter_map(with_port).collect();
            items.extend(more);
        }
        Value::Scalar(_) | Value::Null => {}
    }
}
