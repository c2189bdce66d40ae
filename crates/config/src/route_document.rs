//! Route documents: the form that one has, and the native form, a mapping `routes` of ids to routes.

use std::{sync::Arc, time::Duration};

use crate::{
    fault::{Fault, MAX_FAULTS, Report, Severity},
    field::{Field, Fields},
    node::{Key, Node, Value},
    retries::RetriesSpec,
    route::{EncodedSlashes, Form, PartSpec, RouteSpec},
    scg,
    service::ServiceSpec,
    settings::ScgSettings,
    target::TargetSpec,
};

/// The longest route document that is looked at.
///
/// Some twenty thousand routes fit; a Nacos server refuses more than 10 MiB by itself, and parsing time grows with the length.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;

const MAX_ID_BYTES: usize = 256;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a route document turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentOutcome {
    /// Routes, perhaps none of them: an explicit `routes: {}` empties the document.
    Routes(ParsedDocument),
    /// Nothing but white space and comments. That is likely an accident, and does not mean that there should be no routes.
    Blank,
    /// Not usable. At least one of the faults is an error. It has the routes that could be read, so that the crates that
    /// know predicates and filters can add their faults, and one run finds every fault.
    Refused(ParsedDocument),
}

/// What was read of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedDocument {
    /// The routes, in the order of the text.
    pub routes: Vec<RouteSpec>,
    /// The faults and warnings.
    pub faults: Vec<Fault>,
    /// Whether a route that cannot run takes no other with it, as in the form of
    /// Spring Cloud Gateway. A native document is taken whole or not at all.
    pub is_isolated: bool,
    /// If routes stand alone: the routes that could not be read.
    pub refused: Vec<RefusedRoute>,
    /// What its CORS settings say of requests that no route takes.
    pub unrouted: Option<UnroutedSpec>,
}

/// CORS settings for requests that no route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnroutedSpec {
    /// The settings by path pattern, as the step `Cors` has them.
    pub cors: PartSpec,
    /// Whether they hold for all such requests (`add-to-simple-url-handler-mapping`); else preflights alone are answered, as
    /// Spring does without them.
    pub is_served: bool,
}

/// A route that cannot run. Its last good version stays, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRoute {
    /// Its id.
    pub id: Arc<str>,
    /// Its place: the number of readable routes before it.
    pub place: usize,
    /// Why it cannot run. At least one of these is an error.
    pub faults: Vec<Fault>,
}

impl ParsedDocument {
    /// Adds all that a later stage found. A place that has a fault already is not reported twice; what is more than anybody
    /// reads is counted.
    pub fn add(&mut self, found: impl IntoIterator<Item = Fault>) {
        let mut unlisted: Option<(Fault, usize)> = None;
        for fault in found {
            let is_known =
                |known: &Fault| fault.position.is_some() && known.position == fault.position;
            if self.faults.iter().any(is_known) {
                continue;
            }
            if self.faults.len() < MAX_FAULTS {
                self.faults.push(fault);
                continue;
            }
            let (worst, count) = unlisted.get_or_insert_with(|| (fault.clone(), 0));
            *count += 1;
            if fault.severity == Severity::Error {
                worst.severity = Severity::Error;
            }
        }
        if let Some((worst, count)) = unlisted {
            let fault = Fault::unlisted(worst.document, count, worst.severity);
            self.faults.push(fault);
        }
    }
}

/// Reads a route document, in the form that its content shows. `document` is the name that its faults and routes carry.
///
/// A native document with any error is refused as a whole, with all its errors, since half a table is worse than the last good one. In the
/// form of Spring Cloud Gateway each route is judged alone.
pub fn parse_route_document(document: &str, text: &str, scg: &ScgSettings) -> DocumentOutcome {
    parse(None, document, text, scg)
}

/// Reads a route document in the form of Spring Cloud Gateway: YAML or properties with `spring.cloud.gateway.routes`, or a JSON list of
/// route definitions.
///
/// A text that cannot be read at all is refused as a whole. A route that cannot be read is among the refused routes, and does not affect
/// others.
pub fn parse_scg_document(document: &str, text: &str, scg: &ScgSettings) -> DocumentOutcome {
    parse(Some(Form::Scg), document, text, scg)
}

/// How one document is read, in this version and in later ones.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Its form; `None` for the one that its content shows.
    pub form: Option<Form>,
    /// How the form of Spring Cloud Gateway is read.
    pub scg: Arc<ScgSettings>,
}

impl Reading {
    /// Reads a text of the document.
    pub fn parse(&self, document: &str, text: &str) -> DocumentOutcome {
        parse(self.form, document, text, &self.scg)
    }
}

fn parse(form: Option<Form>, document: &str, text: &str, scg: &ScgSettings) -> DocumentOutcome {
    let report = Report::new(document);
    if text.len() > MAX_DOCUMENT_BYTES {
        report.fault(
            None,
            "",
            format!(
                "{} bytes are more than the {MAX_DOCUMENT_BYTES} that a document may have",
                text.len()
            ),
        );
        return refused(Vec::new(), report);
    }
    if form != Some(Form::Native) && scg::is_properties(text, scg::PREFIX) {
        return scg::read_properties(text, report, scg);
    }
    let Some(read) = scg::read_text(text, &report) else {
        return refused(Vec::new(), report);
    };
    let is_scg = match form {
        Some(form) => form == Form::Scg,
        None => read.parts.iter().any(is_of_spring),
    };
    match is_scg {
        true => scg::read(read, report, scg),
        false => native(read, report),
    }
}

/// Whether a text is a route document in the form of Spring Cloud Gateway, as far as it can be read.
pub fn is_scg_document(text: &str) -> bool {
    let report = Report::new("");
    text.len() <= MAX_DOCUMENT_BYTES
        && (scg::is_properties(text, scg::PREFIX)
            || scg::read_text(text, &report)
                .is_some_and(|read| read.parts.iter().any(is_of_spring)))
}

/// Whether it is a document of Spring Cloud Gateway: its properties as YAML, or a list of route definitions, alone or in an object.
fn is_of_spring(root: &Node) -> bool {
    let has_uri = |node: &Node| match &node.value {
        Value::Mapping(keys) => keys.iter().any(|(key, _)| key.text == "uri"),
        _ => false,
    };
    let items = |node: &Node| match &node.value {
        Value::Sequence(items) => Some((items.is_empty(), items.iter().any(has_uri))),
        _ => None,
    };
    let Value::Mapping(keys) = &root.value else {
        return items(root).is_some_and(|(is_empty, are_routes)| is_empty || are_routes);
    };
    // With routes of ours in it, it is ours, and Spring's keys are a slip.
    let is_ours =
        |(key, node): &(Key, Node)| key.text == "routes" && matches!(node.value, Value::Mapping(_));
    let is_list = |(key, node): &(Key, Node)| {
        let items = items(node);
        items
            .is_some_and(|(is_empty, are_routes)| are_routes || is_empty && key.text == "routeList")
    };
    !keys.iter().any(is_ours)
        && (scg::has_spring(root) || keys.iter().any(is_list) || has_uri(root))
}

fn native(text: scg::Text, report: Report) -> DocumentOutcome {
    text.report_duplicates(Severity::Error, &report);
    if text.parts.len() > 1 {
        report.push(Fault {
            document: report.document().clone(),
            position: text.second,
            path: String::new(),
            problem: "a second YAML document begins here".to_owned(),
            expected: Some("one document per text, without `---` lines".to_owned()),
            nearest: None,
            severity: Severity::Error,
        });
        return refused(Vec::new(), report);
    }
    let Some(root) = text.parts.first() else {
        return DocumentOutcome::Blank;
    };
    let field = Field::new(root, "", &report);
    if field.is_null() {
        return DocumentOutcome::Blank;
    }
    let routes = document_routes(&field);
    if report.has_errors() {
        return refused(routes, report);
    }
    DocumentOutcome::Routes(ParsedDocument {
        routes,
        faults: report.into_faults(),
        ..ParsedDocument::default()
    })
}

fn refused(routes: Vec<RouteSpec>, report: Report) -> DocumentOutcome {
    DocumentOutcome::Refused(ParsedDocument {
        routes,
        faults: report.into_faults(),
        ..ParsedDocument::default()
    })
}

fn document_routes(root: &Field<'_>) -> Vec<RouteSpec> {
    if !root.is_mapping() {
        root.fault_expected("not a route document", "a mapping with the key `routes`");
        return Vec::new();
    }
    let Some(mut fields) = root.mapping() else {
        return Vec::new();
    };
    let routes = fields.required("routes");
    fields.finish();
    let Some(routes) = routes else {
        return Vec::new();
    };
    if !routes.is_mapping() {
        routes.fault_expected(
            "not a mapping of routes",
            "ids with their routes, or `{}` for no routes",
        );
        return Vec::new();
    }
    routes
        .entries()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(key, field)| route(key, &field))
        .collect()
}

fn route(key: &Key, field: &Field<'_>) -> Option<RouteSpec> {
    let is_named = id(key, field);
    let spec = if field.is_mapping() {
        full_route(key, field)
    } else {
        short_route(key, field)
    };
    spec.filter(|_| is_named)
}

/// Whether the key can be an id.
fn id(key: &Key, field: &Field<'_>) -> bool {
    let problem = if key.text.is_empty() {
        "the id is empty".to_owned()
    } else if key.text.len() > MAX_ID_BYTES {
        format!("the id is longer than {MAX_ID_BYTES} bytes")
    } else if key.text.chars().any(char::is_control) {
        "the id contains a control character".to_owned()
    } else {
        return true;
    };
    field.report().fault(Some(key.at), field.path(), problem);
    false
}

/// `/api/users/**: user-service`
fn short_route(key: &Key, field: &Field<'_>) -> Option<RouteSpec> {
    if !field.is_scalar() {
        field.fault_expected(
            "not a route",
            "the name of a service, or a mapping with `service`",
        );
        return None;
    }
    let service = ServiceSpec::read(field);
    if !key.text.starts_with('/') {
        field.fault_expected(
            "only a service is given, and the id is no path",
            "`path` and `service`, or an id that begins with `/`",
        );
        return None;
    }
    Some(RouteSpec {
        predicates: vec![key_as_path(key, field)],
        ..bare_route(key, field, Some(TargetSpec::Service(service?)))
    })
}

fn full_route(key: &Key, field: &Field<'_>) -> Option<RouteSpec> {
    let mut fields = field.mapping()?;
    let predicates = predicates(key, field, &mut fields);
    let target = TargetSpec::read_of_route(&mut fields);
    let balance = fields.optional("balance").and_then(|field| field.part());
    let sticky = fields
        .optional("sticky")
        .map(|field| PartSpec::named("sticky", &field));
    let slow_start = fields
        .optional("slow_start")
        .and_then(|field| field.limit(SECOND..=HOUR));
    let mut filters: Vec<PartSpec> = ["strip_prefix", "prefix"]
        .into_iter()
        .filter_map(|name| {
            fields
                .optional(name)
                .map(|field| PartSpec::named(name, &field))
        })
        .collect();
    if let Some(list) = fields
        .optional("filters")
        .and_then(|field| field.sequence())
    {
        filters.extend(list.iter().filter_map(Field::part));
    }
    // Whether one of the filters answers in its place, the registry of filters knows.
    if target.is_none() && filters.is_empty() {
        field.fault_expected(
            "neither `service` nor `to` is given",
            "who answers: `service: NAME`, `to: http://HOST:PORT`, or `forward: /PATH` for the route that takes this path",
        );
    }
    let order = fields
        .optional("order")
        .and_then(|field| field.signed(i32::MIN.into()..=i32::MAX.into()));
    let enabled = fields.optional("enabled").and_then(|field| field.boolean());
    let timeout = fields
        .optional("timeout")
        .and_then(|field| field.duration(MILLISECOND..=DAY));
    let connect_timeout = fields
        .optional("connect_timeout")
        .and_then(|field| field.duration(MILLISECOND..=MINUTE));
    let read_timeout = fields
        .optional("read_timeout")
        .and_then(|field| field.duration(MILLISECOND..=DAY));
    let tunnel_idle_timeout = fields
        .optional("tunnel_idle_timeout")
        .and_then(|field| field.duration(MILLISECOND..=DAY));
    let total_timeout = fields
        .optional("total_timeout")
        .and_then(|field| field.limit(MILLISECOND..=DAY));
    let retries = fields
        .optional("retries")
        .map(|field| RetriesSpec::read(&field));
    let preserve_host = fields
        .optional("preserve_host")
        .and_then(|field| field.boolean());
    let encoded_slashes = fields
        .optional("encoded_slashes")
        .and_then(|field| field.one_of(EncodedSlashes::NAMES));
    let metadata = fields
        .optional("metadata")
        .and_then(|field| field.string_map());
    fields.finish();
    Some(RouteSpec {
        order: order
            .and_then(|order| i32::try_from(order).ok())
            .unwrap_or(0),
        enabled: enabled.unwrap_or(true),
        predicates,
        filters,
        balance,
        sticky,
        slow_start,
        timeout,
        connect_timeout,
        read_timeout,
        tunnel_idle_timeout,
        total_timeout,
        retries: retries.unwrap_or_default(),
        preserve_host: preserve_host.unwrap_or(true),
        encoded_slashes: encoded_slashes.unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
        ..bare_route(
            key,
            field,
            target.map_or(Some(None), |read| read.map(Some))?,
        )
    })
}

fn bare_route(key: &Key, field: &Field<'_>, target: Option<TargetSpec>) -> RouteSpec {
    RouteSpec {
        id: Arc::from(key.text.as_str()),
        document: field.report().document().clone(),
        at: key.at,
        form: Form::Native,
        order: 0,
        enabled: true,
        predicates: Vec::new(),
        filters: Vec::new(),
        target,
        balance: None,
        sticky: None,
        slow_start: None,
        timeout: None,
        connect_timeout: None,
        read_timeout: None,
        tunnel_idle_timeout: None,
        total_timeout: None,
        retries: RetriesSpec::default(),
        preserve_host: true,
        encoded_slashes: EncodedSlashes::default(),
        metadata: Default::default(),
    }
}

fn key_as_path(key: &Key, field: &Field<'_>) -> PartSpec {
    PartSpec {
        name: "path".to_owned(),
        args: Node::scalar(key.text.clone(), key.at),
        at: key.at,
        path: field.path().to_owned(),
    }
}

fn predicates(key: &Key, field: &Field<'_>, fields: &mut Fields<'_>) -> Vec<PartSpec> {
    let mut predicates = Vec::new();
    let path = fields.optional("path");
    let host = fields.optional("host");
    match path {
        Some(path) if key.text.starts_with('/') => {
            path.fault("the id is a path already; give the route another id, or leave `path` out")
        }
        Some(path) => {
            if path.string().is_some_and(|text| !text.starts_with('/')) {
                path.fault_expected(path.quoted(), "a path that begins with `/`");
            }
            predicates.push(PartSpec::named("path", &path));
        }
        None if key.text.starts_with('/') => predicates.push(key_as_path(key, field)),
        // A route without either would take every request of every host, which must be written and not happen by mistake.
        None if host.is_none() => field.fault_expected(
            "neither `path` nor `host` is given",
            "for instance `path: /**` to match every path",
        ),
        None => {}
    }
    predicates.extend(host.map(|host| PartSpec::named("host", &host)));
    let conditions = fields.optional("match").map(|field| conditions(&field));
    predicates.extend(conditions.unwrap_or_default());
    predicates
}

/// A mapping of predicates; or a list of them, in which a name may come twice.
fn conditions(field: &Field<'_>) -> Vec<PartSpec> {
    let parts: Vec<PartSpec> = if field.is_sequence() {
        let items = field.sequence().unwrap_or_default();
        items.iter().filter_map(Field::part).collect()
    } else {
        let entries = field.entries().unwrap_or_default();
        let part = |(name, condition): &(&Key, Field<'_>)| PartSpec {
            at: name.at,
            ..PartSpec::named(&name.text, condition)
        };
        entries.iter().map(part).collect()
    };
    let (own, others): (Vec<_>, Vec<_>) = parts
        .into_iter()
        .partition(|part| matches!(part.name.as_str(), "path" | "host"));
    for part in own {
        part.field(field.report()).fault_expected(
            format!("`{}` is no part of `match`", part.name),
            "it beside `match`",
        );
    }
    others
}

#[cfg(test)]
mod tests;
