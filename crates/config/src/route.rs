//! A route as configured.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    fault::{Position, Report},
    field::Field,
    node::Node,
    upstream_url::UpstreamUrl,
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
    /// Who answers.
    pub target: TargetSpec,
    /// How an endpoint is chosen.
    pub balance: Option<PartSpec>,
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
    /// How many more endpoints are tried after the first.
    pub retries: Option<u32>,
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
            timeout,
            connect_timeout,
            read_timeout,
            tunnel_idle_timeout,
            total_timeout,
            retries,
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
            && *timeout == other.timeout
            && *connect_timeout == other.connect_timeout
            && *read_timeout == other.read_timeout
            && *tunnel_idle_timeout == other.tunnel_idle_timeout
            && *total_timeout == other.total_timeout
            && *retries == other.retries
            && *metadata == other.metadata
    }
}

impl Eq for RouteSpec {}

/// Who answers the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSpec {
    /// The endpoints of a service.
    Service(ServiceSpec),
    /// Whoever is at a URL.
    Url(UrlSpec),
}

impl TargetSpec {
    /// The service, if it is one.
    pub fn service(&self) -> Option<&ServiceSpec> {
        match self {
            TargetSpec::Service(service) => Some(service),
            TargetSpec::Url(_) => None,
        }
    }

    /// The way of TLS that it names.
    pub fn tls(&self) -> Option<&TlsName> {
        match self {
            TargetSpec::Service(service) => service.tls.as_ref(),
            TargetSpec::Url(url) => url.tls.as_ref(),
        }
    }

    /// What is spoken there, if it says so. Whoever names a way of TLS wants TLS.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            TargetSpec::Service(service) if service.tls.is_some() => Some(Protocol::Https),
            TargetSpec::Service(service) => service.protocol,
            TargetSpec::Url(url) if url.url.is_https => Some(Protocol::Https),
            TargetSpec::Url(_) => Some(Protocol::Http),
        }
    }
}

/// A URL that a route sends its requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlSpec {
    /// The URL.
    pub url: UpstreamUrl,
    /// The way of TLS, by its id in `gateway.yaml`; the usual one if none is named.
    pub tls: Option<TlsName>,
}

/// The service that a route names. What is `None` takes the value of `nacos` in `gateway.yaml`.
///
/// Equality ignores where it stands.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// The service's name, without its group.
    pub name: String,
    /// The id of the Nacos cluster that lists it, as `gateway.yaml` calls it.
    pub nacos: Option<String>,
    /// The Nacos group.
    pub group: Option<String>,
    /// The Nacos namespace id; empty is the public one.
    pub namespace: Option<String>,
    /// Only instances of this Nacos cluster.
    pub cluster: Option<String>,
    /// Only instances whose metadata has all of these.
    pub metadata: BTreeMap<String, String>,
    /// What its endpoints speak, whatever they say of themselves.
    pub protocol: Option<Protocol>,
    /// The way of TLS to them, by its id in `gateway.yaml`; the usual one if none is named.
    pub tls: Option<TlsName>,
    /// Where it stands.
    pub at: Position,
}

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
}

/// The name of a way of TLS to endpoints. Equality ignores where it stands.
#[derive(Clone, Debug)]
pub struct TlsName {
    /// The id.
    pub id: String,
    /// Where it stands.
    pub at: Position,
}

impl PartialEq for TlsName {
    fn eq(&self, other: &TlsName) -> bool {
        self.id == other.id
    }
}

impl Eq for TlsName {}

impl PartialEq for ServiceSpec {
    fn eq(&self, other: &ServiceSpec) -> bool {
        let ServiceSpec {
            name,
            nacos,
            group,
            namespace,
            cluster,
            metadata,
            protocol,
            tls,
            at: _,
        } = self;
        *name == other.name
            && *nacos == other.nacos
            && *group == other.group
            && *namespace == other.namespace
            && *cluster == other.cluster
            && *metadata == other.metadata
            && *protocol == other.protocol
            && *tls == other.tls
    }
}

impl Eq for ServiceSpec {}
