//! The service that a route document names.

use std::collections::BTreeMap;

use crate::{
    canary::CanarySpec, endpoint_limit::EndpointLimitSpec, fault::Position, field::Field,
    health_check::HealthCheckSpec, node::Value,
};

/// The service that a route names. What is `None` takes the value of `nacos` in `gateway.yaml`.
///
/// Equality ignores where it stands.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// The service's name, without its group.
    pub name: String,
    /// The id of the Nacos that lists it, as in `gateway.yaml`.
    pub nacos: Option<String>,
    /// The Nacos group.
    pub group: Option<String>,
    /// The Nacos namespace id; empty is the public one.
    pub namespace: Option<String>,
    /// Only instances with this cluster label.
    pub cluster: Option<String>,
    /// Only instances whose metadata has all of these.
    pub metadata: BTreeMap<String, String>,
    /// The protocol of its endpoints, which takes precedence over their metadata.
    pub protocol: Option<Protocol>,
    /// The TLS settings for them, by their id in `gateway.yaml`; the default ones if none are named.
    pub tls: Option<TlsName>,
    /// Whether connections to them begin with a PROXY header (version 2) that says who the client is.
    pub proxy_protocol: bool,
    /// How requests choose among its endpoints.
    pub canary: Option<CanarySpec>,
    /// How its endpoints are checked, if they are.
    pub health_check: Option<HealthCheckSpec>,
    /// How many requests each of its endpoints may have at once, if that is bounded.
    pub endpoint_limit: Option<EndpointLimitSpec>,
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
    /// HTTP/2 without TLS, which gRPC services inside a network speak.
    H2c,
    /// HTTP/2 over TLS.
    H2,
}

/// The id of TLS settings for endpoints. Equality ignores where it stands.
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
            proxy_protocol,
            canary,
            health_check,
            endpoint_limit,
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
            && *proxy_protocol == other.proxy_protocol
            && *canary == other.canary
            && *health_check == other.health_check
            && *endpoint_limit == other.endpoint_limit
    }
}

impl Eq for ServiceSpec {}

impl ServiceSpec {
    /// Reads a service's name, or the mapping with `name`. What is wrong goes to
    /// the field's report.
    pub fn read(field: &Field<'_>) -> Option<ServiceSpec> {
        let at = field.at();
        if !field.is_mapping() {
            let name = service_name(field)?;
            return Some(ServiceSpec {
                name,
                nacos: None,
                group: None,
                namespace: None,
                cluster: None,
                metadata: Default::default(),
                protocol: None,
                tls: None,
                proxy_protocol: false,
                canary: None,
                health_check: None,
                endpoint_limit: None,
                at,
            });
        }
        let mut fields = field.mapping()?;
        let name = fields
            .required("name")
            .and_then(|field| service_name(&field));
        let nacos = fields
            .optional("nacos")
            .and_then(|field| nacos_name(&field, "the id of a Nacos"));
        let group = fields
            .optional("group")
            .and_then(|field| nacos_name(&field, "a Nacos group"));
        let namespace = fields
            .optional("namespace")
            .and_then(|field| namespace(&field));
        let cluster = fields
            .optional("cluster")
            .and_then(|field| nacos_name(&field, "a Nacos cluster"));
        let metadata = fields
            .optional("metadata")
            .and_then(|field| field.string_map())
            .unwrap_or_default();
        let protocol = fields
            .optional("protocol")
            .and_then(|field| protocol(&field));
        let tls = fields
            .optional("tls")
            .and_then(|field| tls_name(&field, protocol));
        let proxy_protocol = fields
            .optional("proxy_protocol")
            .and_then(|field| field.one_of(PROXY_PROTOCOLS));
        let canary = match fields.optional("canary") {
            Some(canary) => Some(CanarySpec::read(&canary)?),
            None => None,
        };
        let health_check = match fields.optional("health_check") {
            Some(check) => Some(HealthCheckSpec::read(&check)?),
            None => None,
        };
        let endpoint_limit = match fields.optional("endpoint_limit") {
            Some(limit) => Some(EndpointLimitSpec::read(&limit)?),
            None => None,
        };
        fields.finish();
        Some(ServiceSpec {
            name: name?,
            nacos,
            group,
            namespace,
            cluster,
            metadata,
            protocol,
            tls,
            proxy_protocol: proxy_protocol.unwrap_or(false),
            canary,
            health_check,
            endpoint_limit,
            at,
        })
    }
}

const PROXY_PROTOCOLS: &[(&str, bool)] = &[("off", false), ("v2", true)];

fn protocol(field: &Field<'_>) -> Option<Protocol> {
    match field.string()?.as_str() {
        "http" => Some(Protocol::Http),
        "https" => Some(Protocol::Https),
        "h2c" | "grpc" => Some(Protocol::H2c),
        "h2" | "grpcs" => Some(Protocol::H2),
        _ => {
            field.fault_expected(field.quoted(), "http, https, h2c (or grpc), h2 (or grpcs)");
            None
        }
    }
}

/// The id of TLS settings. Whether `gateway.yaml` has them is found out when the route is compiled.
pub(crate) fn tls_name(field: &Field<'_>, protocol: Option<Protocol>) -> Option<TlsName> {
    let id = nacos_name(
        field,
        "the id of one of `other_upstream_tls` in gateway.yaml",
    )?;
    if matches!(protocol, Some(Protocol::Http | Protocol::H2c)) {
        field.fault_expected("TLS settings where no TLS is spoken", "https, or no `tls`");
        return None;
    }
    let at = field.at();
    Some(TlsName { id, at })
}

fn service_name(field: &Field<'_>) -> Option<String> {
    let name = nacos_name(field, "the name of a service")?;
    if name.contains("://") {
        field.fault_expected(field.quoted(), "a name here, and a URL in `to`");
        return None;
    }
    if name.contains("@@") {
        field.fault_expected(
            field.quoted(),
            "the group apart: `service: { name: …, group: … }`",
        );
        return None;
    }
    Some(name)
}

/// The public namespace is the empty id; the console calls it `public`.
fn namespace(field: &Field<'_>) -> Option<String> {
    let is_empty = matches!(&field.node().value, Value::Scalar(scalar) if scalar.text.is_empty());
    let id = if is_empty {
        String::new()
    } else {
        nacos_name(field, "the id of a Nacos namespace")?
    };
    Some(if id == "public" { String::new() } else { id })
}

fn nacos_name(field: &Field<'_>, expected: &str) -> Option<String> {
    if !field.is_scalar() {
        field.fault_expected("not a name", expected);
        return None;
    }
    let name = field.string()?;
    if name.is_empty()
        || name.len() > 512
        || name.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        field.fault_expected(field.quoted(), format!("{expected}, without spaces"));
        return None;
    }
    Some(name)
}
