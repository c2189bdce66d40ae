//! What answers: a service, a URL, or another route.

use crate::{
    endpoint_limit::EndpointLimitSpec,
    field::{Field, Fields},
    health_check::HealthCheckSpec,
    service::{Protocol, ServiceSpec, TlsName, tls_name},
    upstream_url::UpstreamUrl,
};

/// What answers the requests of a route, or the questions of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most targets are services, and there is one for each route"
)]
pub enum TargetSpec {
    /// The endpoints of a service.
    Service(ServiceSpec),
    /// The host at a URL.
    Url(UrlSpec),
    /// The route that takes this path, which begins with `/`. Of routes only.
    Forward(String),
}

/// A URL that requests go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlSpec {
    /// The URL.
    pub url: UpstreamUrl,
    /// The TLS settings, by their id in `gateway.yaml`; the default ones if none are named.
    pub tls: Option<TlsName>,
    /// How whoever is there is checked, if that is wanted.
    pub health_check: Option<HealthCheckSpec>,
    /// How many requests each of its addresses may have at once, if that is bounded.
    pub endpoint_limit: Option<EndpointLimitSpec>,
}

impl TargetSpec {
    /// Reads `service` or `to`, of which there may be one. `None` if there is neither; `Some(None)` if it has a fault, which is
    /// in the report.
    pub fn read(fields: &mut Fields<'_>) -> Option<Option<TargetSpec>> {
        let (service, to) = (fields.optional("service"), fields.optional("to"));
        Some(match (service, to) {
            (None, None) => return None,
            (Some(field), None) => ServiceSpec::read(&field).map(TargetSpec::Service),
            (None, Some(field)) => url(&field).map(TargetSpec::Url),
            (Some(_), Some(to)) => {
                to.fault_expected("`to` beside `service`", "one of them");
                None
            }
        })
    }

    /// The same for a route, which may forward to another.
    pub(crate) fn read_of_route(fields: &mut Fields<'_>) -> Option<Option<TargetSpec>> {
        let Some(forward) = fields.optional("forward") else {
            return TargetSpec::read(fields);
        };
        if TargetSpec::read(fields).is_some() {
            forward.fault_expected("`forward` beside `service` or `to`", "one of them");
        }
        let path = forward.string();
        let path = path.filter(|path| {
            let is_path = path.starts_with('/') && !path.contains(['?', '#']);
            if !is_path {
                forward.fault_expected(forward.quoted(), "a path that begins with `/`");
            }
            is_path
        });
        Some(path.map(TargetSpec::Forward))
    }

    /// The service, if it is one.
    pub fn service(&self) -> Option<&ServiceSpec> {
        match self {
            TargetSpec::Service(service) => Some(service),
            TargetSpec::Url(_) | TargetSpec::Forward(_) => None,
        }
    }

    /// The TLS settings that it names.
    pub fn tls(&self) -> Option<&TlsName> {
        match self {
            TargetSpec::Service(service) => service.tls.as_ref(),
            TargetSpec::Url(url) => url.tls.as_ref(),
            TargetSpec::Forward(_) => None,
        }
    }

    /// How it is checked, if it is.
    pub fn health_check(&self) -> Option<&HealthCheckSpec> {
        match self {
            TargetSpec::Service(service) => service.health_check.as_ref(),
            TargetSpec::Url(url) => url.health_check.as_ref(),
            TargetSpec::Forward(_) => None,
        }
    }

    /// How many requests each endpoint may have at once, if that is bounded.
    pub fn endpoint_limit(&self) -> Option<EndpointLimitSpec> {
        match self {
            TargetSpec::Service(service) => service.endpoint_limit,
            TargetSpec::Url(url) => url.endpoint_limit,
            TargetSpec::Forward(_) => None,
        }
    }

    /// What is spoken there, if it says so. Whoever names a way of TLS wants TLS.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            TargetSpec::Service(service) => {
                let of_tls = service.tls.is_some().then_some(Protocol::Https);
                service.protocol.or(of_tls)
            }
            TargetSpec::Url(url) => Some(protocol_of(&url.url)),
            TargetSpec::Forward(_) => None,
        }
    }
}

fn protocol_of(url: &UpstreamUrl) -> Protocol {
    match url.is_https {
        true => Protocol::Https,
        false => Protocol::Http,
    }
}

/// A URL, or a mapping of `url`, `tls`, `health_check` and `endpoint_limit`.
fn url(field: &Field<'_>) -> Option<UrlSpec> {
    if !field.is_mapping() {
        let url = upstream_url(field)?;
        return Some(UrlSpec {
            url,
            tls: None,
            health_check: None,
            endpoint_limit: None,
        });
    }
    let mut fields = field.mapping()?;
    let url = fields
        .required("url")
        .and_then(|field| upstream_url(&field));
    let protocol = url.as_ref().map(protocol_of);
    let tls = fields
        .optional("tls")
        .and_then(|field| tls_name(&field, protocol));
    let health_check = match fields.optional("health_check") {
        Some(check) => Some(HealthCheckSpec::read(&check)?),
        None => None,
    };
    let endpoint_limit = match fields.optional("endpoint_limit") {
        Some(limit) => Some(EndpointLimitSpec::read(&limit)?),
        None => None,
    };
    fields.finish();
    Some(UrlSpec {
        url: url?,
        tls,
        health_check,
        endpoint_limit,
    })
}

fn upstream_url(field: &Field<'_>) -> Option<UpstreamUrl> {
    const EXPECTED: &str = "http://host:port or https://host:port";
    if !field.is_scalar() {
        field.fault_expected("not a URL", EXPECTED);
        return None;
    }
    let text = field.string()?;
    let url = UpstreamUrl::parse(&text);
    url.map_err(|problem| {
        field.fault_expected(format!("{}: {problem}", field.quoted()), EXPECTED);
    })
    .ok()
}
