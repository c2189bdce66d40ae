//! A route as configured.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    Fault, Severity,
    fault::{Position, Report},
    field::Field,
    nearest,
    node::Node,
    retries::RetriesSpec,
    service::ServiceSpec,
    target::TargetSpec,
};

/// A predicate, filter or policy as configured: its name and its arguments, not yet understood.
///
/// Equality ignores where it stands.
#[derive(Clone, Debug)]
pub struct PartSpec {
    /// The name that a registry knows it by.
    pub name: String,
    /// The arguments; [`Value::Null`](crate::Value::Null) when only the name was given.
    pub args: Node,
    /// Where the name stands.
    pub at: Position,
    /// The path of the arguments in the document, such as `routes.users.filters[0].set_request_header`.
    pub path: String,
}

impl PartSpec {
    /// The part of that name whose arguments are `args`.
    pub(crate) fn named(name: &str, args: &Field<'_>) -> PartSpec {
        PartSpec {
            name: name.to_owned(),
            args: args.node().clone(),
            at: args.at(),
            path: args.path().to_owned(),
        }
    }

    /// The arguments, ready to be read.
    pub fn field<'a>(&'a self, report: &'a Report) -> Field<'a> {
        Field::new(&self.args, self.path.clone(), report)
    }

    /// The fault of a name that no registry knows, with the names that one does.
    pub fn unknown(&self, problem: String, names: &[&str], report: &Report) -> Fault {
        Fault {
            document: report.document().clone(),
            position: Some(self.at),
            path: self.path.clone(),
            problem,
            expected: Some(format!("one of {}", names.join(", "))),
            nearest: nearest(&self.name, names.iter().copied()).map(str::to_owned),
            severity: Severity::Error,
        }
    }
}

impl PartialEq for PartSpec {
    fn eq(&self, other: &PartSpec) -> bool {
        self.name == other.name && self.args == other.args
    }
}

impl Eq for PartSpec {}

/// The form of document that a route came from. It takes part in the order of routes: native ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Pailou's own form. The position in the document means nothing: a mapping has no order.
    Native,
    /// Spring Cloud Gateway's. Of routes with the same `order` the first in the document comes first.
    Scg,
}

/// What becomes of a request whose path has an encoded slash (`%2F`), which some servers take for a separator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlashes {
    /// It is refused, as 400.
    #[default]
    Reject,
    /// It is a character of its segment and is forwarded as it came.
    Keep,
    /// It is a separator, for matching too, and is forwarded as `/`.
    Decode,
}

impl EncodedSlashes {
    pub(crate) const NAMES: &'static [(&'static str, EncodedSlashes)] = &[
        ("reject", EncodedSlashes::Reject),
        ("keep", EncodedSlashes::Keep),
        ("decode", EncodedSlashes::Decode),
    ];
}

/// A time limit that can be absent on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// No limit.
    Off,
    /// At most this long.
    After(Duration),
}

impl Limit {
    /// The duration, unless it is off.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Limit::Off => None,
            Limit::After(duration) => Some(duration),
        }
    }
}

/// A route as configured. What is `None` takes the value of `defaults` in `gateway.yaml`.
///
/// Equality ignores positions, so that a route that only moved in its document is the same route and is not compiled again.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// The route's name, unique in the whole table.
    pub id: Arc<str>,
    /// The document it stands in.
    pub document: Arc<str>,
    /// Where its id stands.
    pub at: Position,
    /// The form of that document.
    pub form: Form,
    /// Lower comes first; 0 unless set.
    pub order: i32,
    /// A disabled route is checked like any other and takes no request.
    pub enabled: bool,
    /// The conditions, all of which must hold. `path` and `host` come first when present, then those of `match`.
    pub predicates: Vec<PartSpec>,
    /// What is changed on the way: `strip_prefix`, then `prefix`, then the list of `filters` in order.
    pub filters: Vec<PartSpec>,
    /// Who answers; `None` where a filter answers every request.
    pub target: Option<TargetSpec>,
    /// How an endpoint is chosen.
    pub balance: Option<PartSpec>,
    /// How a cookie keeps a client at one endpoint, if it does.
    pub sticky: Option<PartSpec>,
    /// How long an endpoint that begins to take requests takes to its whole share.
    pub slow_start: Option<Limit>,
    /// Until the response's headers, over all tries.
    pub timeout: Option<Duration>,
    /// For one connection to an endpoint.
    pub connect_timeout: Option<Duration>,
    /// Between two reads from the endpoint.
    pub read_timeout: Option<Duration>,
    /// How long an upgraded connection may be silent both ways.
    pub tunnel_idle_timeout: Option<Duration>,
    /// For the whole exchange.
    pub total_timeout: Option<Limit>,
    /// How many more endpoints are tried after the first, and what for.
    pub retries: RetriesSpec,
    /// Whether the endpoint gets the client's Host header, rather than its own name.
    pub preserve_host: bool,
    /// What becomes of a path with an encoded slash.
    pub encoded_slashes: EncodedSlashes,
    /// Free labels, shown in the admin interface.
    pub metadata: BTreeMap<String, String>,
}

impl PartialEq for RouteSpec {
    fn eq(&self, other: &RouteSpec) -> bool {
        // Taken apart, so that a field that is added and forgotten here does not compile.
        let RouteSpec {
            id,
            document,
            at: _,
            form,
            order,
            enabled,
            predicates,
            filters,
            target,
            balance,
            sticky,
            slow_start,
            timeout,
            connect_timeout,
            read_timeout,
            tunnel_idle_timeout,
            total_timeout,
            retries,
            preserve_host,
            encoded_slashes,
            metadata,
        } = self;
        *id == other.id
            && *document == other.document
            && *form == other.form
            && *order == other.order
            && *enabled == other.enabled
            && *predicates == other.predicates
            && *filters == other.filters
            && *target == other.target
            && *balance == other.balance
            && *sticky == other.sticky
            && *slow_start == other.slow_start
            && *timeout == other.timeout
            && *connect_timeout == other.connect_timeout
            && *read_timeout == other.read_timeout
            && *tunnel_idle_timeout == other.tunnel_idle_timeout
            && *total_timeout == other.total_timeout
            && *retries == other.retries
            && *preserve_host == other.preserve_host
            && *encoded_slashes == other.encoded_slashes
            && *metadata == other.metadata
    }
}

impl Eq for RouteSpec {}

impl RouteSpec {
    /// The service that it names, if it names one.
    pub fn service(&self) -> Option<&ServiceSpec> {
        self.target.as_ref().and_then(TargetSpec::service)
    }

    /// What Spring Cloud Gateway would call who answers, in views and labels that are made for it.
    pub fn uri(&self) -> String {
        match &self.target {
            Some(TargetSpec::Service(service)) => format!("lb://{}", service.name),
            Some(TargetSpec::Url(spec)) => spec.url.to_string(),
            Some(TargetSpec::Forward(path)) => format!("forward:{path}"),
            None => "no://op".to_owned(),
        }
    }
}
