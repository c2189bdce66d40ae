//! A route, compiled.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::StatusCode;
use pailou_config::{
    Compat, EncodedSlashes, Fault, Field, GrpcStatus, Protocol, Report, RetriesSpec, RouteDefaults,
    RouteSpec, ServiceSpec, Settings, Severity, TargetSpec, UpstreamTlsSettings,
};
use pailou_filters::{Chain, Destinations, ErrorShape, Hedge, Retry, Scope, Step, Sticky};
use pailou_telemetry::{Metrics, RouteMetrics};
use pailou_upstream::{
    Check, Destination, Http, Policy, Selection, ServiceId, Services, Subset, Transport, balance,
};

use crate::{Canary, HashKey, Request, canary, matcher::Matcher, predicate::Predicate};

mod sending;

use sending::Sending;

/// A compiled route: everything that a request needs once it has matched.
#[derive(Debug)]
pub struct Route {
    /// Its name, unique in a table.
    pub id: Arc<str>,
    /// As it was configured.
    pub spec: Arc<RouteSpec>,
    /// Its filters.
    pub chain: Chain,
    /// What answers.
    pub target: RouteTarget,
    /// Where a request names the endpoints that it wants, if the route allows that.
    pub canary: Option<Canary>,
    /// What keeps its requests together, if its policy hashes.
    pub hash_key: Option<HashKey>,
    /// How a cookie keeps its clients at endpoints, if one does.
    pub sticky: Option<Sticky>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What is tried again.
    pub retry: Retry,
    /// Whether the endpoint gets the Host header as the steps left it, rather
    /// than its own name.
    pub preserve_host: bool,
    /// Whether one of its filters answers preflights of CORS.
    pub answers_preflights: bool,
    /// How many of its steps, from the first on, are those of CORS.
    pub cors_steps: usize,
    /// The places of those of its steps that act for each try, behind a `Retry`; few routes have one.
    pub each_try: Vec<usize>,
    /// What the gateway's own errors look like, if not as everywhere.
    pub errors: Option<ErrorShape>,
    /// The statuses of gRPC that a call is tried again for.
    pub retry_grpc: Vec<GrpcStatus>,
    /// Whether calls of gRPC-Web become calls of gRPC.
    pub grpc_web: bool,
    /// How much its requests matter.
    pub priority: pailou_filters::Priority,
    /// What becomes of a path with an encoded slash.
    pub encoded_slashes: EncodedSlashes,
    /// What is measured of it.
    pub metrics: Arc<RouteMetrics>,
    /// The warnings.
    pub warnings: Vec<Fault>,
    matcher: Matcher,
}

/// What answers the requests of a route.
#[derive(Clone, Debug)]
pub enum RouteTarget {
    /// An endpoint of a service.
    Service(Destination),
    /// The route that takes this path.
    Forward(Arc<str>),
    /// One of the route's filters.
    Filter,
}

impl RouteTarget {
    /// How often a request may be forwarded from route to route. More would be a loop.
    pub const MAX_FORWARDS: usize = 3;

    /// The service's endpoints, if a service answers.
    pub fn selection(&self) -> Option<&Arc<Selection>> {
        self.destination().map(|destination| &destination.selection)
    }

    /// The service's endpoints and how they are spoken to, if a service answers.
    pub fn destination(&self) -> Option<&Destination> {
        match self {
            RouteTarget::Service(destination) => Some(destination),
            RouteTarget::Forward(_) | RouteTarget::Filter => None,
        }
    }
}

/// The time limits of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the response's headers, over all tries.
    pub response: Duration,
    /// For one connection to an endpoint.
    pub connect: Duration,
    /// Between two reads from the endpoint; not on upgraded connections.
    pub read: Duration,
    /// Between two pieces on an upgraded connection, in either direction.
    pub tunnel_idle: Duration,
    /// For the whole exchange; `None` is no limit.
    pub total: Option<Duration>,
}

/// What routes are compiled with.
#[derive(Clone, Copy)]
pub struct Compiler<'a> {
    /// Where services and selections are interned.
    pub services: &'a Services,
    /// Where the route's metrics are registered.
    pub metrics: &'a Metrics,
    /// What filters share, and keep while a route changes.
    pub filters: &'a pailou_filters::Shared,
    /// What a route does unless it says otherwise.
    pub defaults: &'a RouteDefaults,
    /// The id of the Nacos that lists the services.
    pub nacos: &'a str,
    /// The namespace of services that name none; empty is the public one.
    pub namespace: &'a str,
    /// The group of services that name none.
    pub group: &'a str,
    /// The TLS settings for endpoints that a route may name.
    pub upstream_tls: &'a BTreeMap<String, UpstreamTlsSettings>,
    /// The line of Spring Cloud Gateway whose behaviour routes in its form have.
    pub compat: Compat,
}

impl<'a> Compiler<'a> {
    /// The compiler of routes whose services are those of the first Nacos.
    pub fn new(
        services: &'a Services,
        metrics: &'a Metrics,
        filters: &'a pailou_filters::Shared,
        settings: &'a Settings,
    ) -> Compiler<'a> {
        Compiler {
            services,
            metrics,
            filters,
            defaults: &settings.defaults,
            nacos: ServiceId::DEFAULT_NACOS,
            namespace: &settings.nacos.namespace,
            group: &settings.nacos.group,
            upstream_tls: &settings.other_upstream_tls,
            compat: settings.scg.compat,
        }
    }

    /// The compiler for the Nacos that the route's service names, this one if it names none; `None` when
    /// there is no such Nacos.
    fn for_route(&self, spec: &RouteSpec, settings: &'a Settings) -> Option<Compiler<'a>> {
        let service = spec.service();
        let Some(id) = service.and_then(|service| service.nacos.as_deref()) else {
            return Some(*self);
        };
        let mut all = settings.all_nacos();
        let (nacos, its) = all.find(|(known, _)| *known == id)?;
        Some(Compiler {
            nacos,
            namespace: &its.namespace,
            group: &its.group,
            ..*self
        })
    }

    /// The place of the TLS settings that a target names; a fault if there are none.
    fn upstream_tls(&self, spec: &TargetSpec, path: &str, report: &Report) -> usize {
        let Some(name) = spec.tls() else {
            return 0;
        };
        let known = self.upstream_tls;
        if let Some(place) = known.keys().position(|id| *id == name.id) {
            return place + 1;
        }
        let ids: Vec<_> = known.keys().map(String::as_str).collect();
        report.push(Fault {
            document: Arc::clone(report.document()),
            position: Some(name.at),
            path: match spec {
                TargetSpec::Service(_) => format!("{path}.service.tls"),
                TargetSpec::Url(_) | TargetSpec::Forward(_) => format!("{path}.to.tls"),
            },
            problem: format!(
                "gateway.yaml has no `other_upstream_tls.{}`",
                name.id.escape_debug()
            ),
            expected: (!ids.is_empty()).then(|| format!("one of {}", ids.join(", "))),
            nearest: pailou_config::nearest(&name.id, ids).map(str::to_owned),
            severity: Severity::Error,
        });
        0
    }

    /// The service whose endpoints answer, and which of them; none where another
    /// route does.
    fn endpoints(&self, target: &TargetSpec) -> Option<(ServiceId, Subset)> {
        Some(match target {
            TargetSpec::Url(spec) => (ServiceId::of_url(&spec.url), Subset::default()),
            TargetSpec::Service(spec) => {
                let subset = Subset {
                    cluster: spec.cluster.clone(),
                    metadata: spec.metadata.clone(),
                    split: spec.canary.as_ref().map(canary::split),
                };
                (self.service_id(spec), subset)
            }
            TargetSpec::Forward(_) => return None,
        })
    }

    fn target(&self, spec: &TargetSpec, policy: &Policy, upstream_tls: usize) -> RouteTarget {
        if let TargetSpec::Forward(path) = spec {
            return RouteTarget::Forward(path.as_str().into());
        }
        let destination = self.destination(spec, policy, upstream_tls);
        destination.map_or(RouteTarget::Filter, RouteTarget::Service)
    }

    /// The service that a route means, with the defaults filled in.
    pub fn service_id(&self, spec: &ServiceSpec) -> ServiceId {
        // The namespace with the empty id is called `public` where people read it.
        let namespace = spec
            .namespace
            .as_deref()
            .map(|id| if id == "public" { "" } else { id });
        ServiceId {
            nacos: self.nacos.into(),
            namespace: namespace.unwrap_or(self.namespace).into(),
            group: spec.group.as_deref().unwrap_or(self.group).into(),
            name: spec.name.as_str().into(),
        }
    }

    fn destination(
        &self,
        spec: &TargetSpec,
        policy: &Policy,
        upstream_tls: usize,
    ) -> Option<Destination> {
        let (id, subset) = self.endpoints(spec)?;
        let service = self.services.service(&id);
        let transport = spec.protocol().map(transport_of);
        let proxy_protocol = spec.service().is_some_and(|service| service.proxy_protocol);
        let checking = spec.health_check().map(|spec| {
            service.checking(&Check {
                spec: spec.clone(),
                transport,
                upstream_tls,
                proxy_protocol,
            })
        });
        Some(Destination {
            selection: self.services.selection(&service, &subset, policy),
            transport,
            upstream_tls,
            proxy_protocol,
            checking,
        })
    }
}

/// What is tried again, unless a filter says otherwise.
fn retry(spec: &RetriesSpec, defaults: &RouteDefaults) -> Retry {
    let status = |number| StatusCode::from_u16(number).ok();
    let ranges = spec.statuses.iter();
    let methods = spec.methods.as_ref().map(|methods| {
        let methods = methods.iter();
        methods.filter_map(|name| name.parse().ok()).collect()
    });
    Retry {
        statuses: ranges
            .filter_map(|(from, to)| status(*from).zip(status(*to)))
            .collect(),
        methods,
        per_try: spec.try_timeout,
        hedge: spec.hedge.map(|hedge| Hedge {
            after: hedge.after,
            max: hedge.max,
        }),
        ..Retry::without_answers(spec.count.unwrap_or(defaults.retries))
    }
}

fn transport_of(protocol: Protocol) -> Transport {
    let (tls, http) = match protocol {
        Protocol::Http => (false, Http::Http1),
        Protocol::Https => (true, Http::Http1),
        Protocol::H2c => (false, Http::Http2),
        Protocol::H2 => (true, Http::Http2),
    };
    Transport { tls, http }
}

impl Destinations for Compiler<'_> {
    fn destination(&self, spec: &TargetSpec, field: &Field<'_>) -> Option<Destination> {
        if let Some(nacos) = spec.service().and_then(|service| service.nacos.as_ref()) {
            // It is looked up in the Nacos of the route's own service.
            field.fault(format!(
                "a filter asks services of its route's Nacos; `nacos: {}` cannot be honoured here",
                nacos.escape_debug()
            ));
            return None;
        }
        let policy = balance::parse(&self.defaults.balance, field.report())?;
        let upstream_tls = self.upstream_tls(spec, field.path(), field.report());
        self.destination(spec, &policy, upstream_tls)
    }
}

/// Somebody has to answer: a service, or a filter in its place.
fn check_target(spec: &RouteSpec, report: &Report) {
    let answers = spec.filters.iter().any(pailou_filters::answers);
    if spec.target.is_none() && !answers {
        report.push(Fault {
            document: Arc::clone(report.document()),
            position: Some(spec.at),
            path: format!("routes.{}", spec.id),
            problem: "neither `service` nor `to` is given".to_owned(),
            expected: Some(
                "`service`, `to`, `forward`, or a filter that answers, such as `redirect`"
                    .to_owned(),
            ),
            nearest: None,
            severity: Severity::Error,
        });
    }
}

impl Route {
    /// Compiles a route. A disabled one is compiled too, so that its faults show.
    ///
    /// Takes locks (services and metrics are interned): for the writer's thread.
    ///
    /// # Errors
    /// Every fault of the route, at least one of them an error.
    pub fn compile(
        spec: Arc<RouteSpec>,
        compiler: &Compiler<'_>,
    ) -> Result<Arc<Route>, Vec<Fault>> {
        let report = Report::new(Arc::clone(&spec.document));
        let matcher = Matcher::compile(&spec, compiler.compat, &report);
        let names = matcher.as_ref().map(Matcher::names);
        let scope = Scope {
            route: &spec.id,
            service: spec.service().map(|service| service.name.as_str()),
            names: names.as_deref(),
            destinations: compiler,
            shared: compiler.filters,
        };
        let steps = spec
            .filters
            .iter()
            .filter_map(|part| Some((part, pailou_filters::compile(part, &report, &scope)?)))
            .collect::<Vec<_>>();
        let defaults = compiler.defaults;
        let upstream_tls = spec.target.as_ref().map_or(0, |target| {
            compiler.upstream_tls(target, &format!("routes.{}", spec.id), &report)
        });
        let balance = spec.balance.as_ref().unwrap_or(&defaults.balance);
        let slow_start = spec.slow_start.unwrap_or(defaults.slow_start).duration();
        let policy = balance::parse(balance, &report);
        let limit = spec.target.as_ref().and_then(|it| it.endpoint_limit());
        let policy = policy.map(|policy| {
            policy
                .with_slow_start(slow_start.unwrap_or_default())
                .with_endpoint_limit(limit)
        });
        let sticky = spec.sticky.as_ref().and_then(|part| {
            let service = spec.target.as_ref().and_then(|it| compiler.endpoints(it));
            let service = service.map(|(service, _)| service.to_string());
            Sticky::compile(part, service.as_deref(), &report, &scope)
        });
        check_target(&spec, &report);
        pailou_filters::check_order(&steps, &report);
        let (false, Some(matcher), Some(policy)) = (report.has_errors(), matcher, policy) else {
            return Err(report.into_faults());
        };
        let target = match &spec.target {
            Some(target) => compiler.target(target, &policy, upstream_tls),
            None => RouteTarget::Filter,
        };
        let labels = target
            .selection()
            .map(|selection| selection.service().id().labels());
        let metrics = compiler
            .metrics
            .route(&spec.id, &labels.unwrap_or_default());
        metrics.set_uri(&spec.uri());
        let chain = Chain::named(steps.into_iter().flat_map(|(part, steps)| {
            let name: Arc<str> = part.name.as_str().into();
            steps.into_iter().map(move |step| (name.clone(), step))
        }));
        let retry = retry(&spec.retries, defaults);
        let sending = Sending::of(&chain, retry, spec.preserve_host);
        Ok(Arc::new(Route {
            id: Arc::clone(&spec.id),
            chain,
            target,
            canary: spec
                .service()
                .and_then(|service| Canary::compile(service.canary.as_ref()?)),
            hash_key: policy.key().and_then(HashKey::compile),
            sticky,
            retry: sending.retry,
            answers_preflights: sending.answers_preflights,
            cors_steps: sending.cors_steps,
            each_try: sending.each_try,
            errors: sending.errors,
            retry_grpc: spec.retries.grpc_status.clone(),
            preserve_host: sending.preserve_host,
            grpc_web: sending.grpc_web,
            priority: sending.priority,
            encoded_slashes: spec.encoded_slashes,
            timeouts: Timeouts {
                response: spec.timeout.unwrap_or(defaults.timeout),
                connect: spec.connect_timeout.unwrap_or(defaults.connect_timeout),
                read: spec.read_timeout.unwrap_or(defaults.read_timeout),
                tunnel_idle: spec
                    .tunnel_idle_timeout
                    .unwrap_or(defaults.tunnel_idle_timeout),
                total: spec
                    .total_timeout
                    .unwrap_or(defaults.total_timeout)
                    .duration(),
            },
            metrics,
            warnings: report.into_faults(),
            matcher,
            spec,
        }))
    }

    /// The same for a gateway with more than one Nacos: a service that names one is looked for there, with the
    /// namespace and the group that `settings` give that Nacos.
    ///
    /// # Errors
    /// Every fault of the route, a Nacos that the settings do not have among them.
    pub fn compile_among(
        spec: Arc<RouteSpec>,
        compiler: &Compiler<'_>,
        settings: &Settings,
    ) -> Result<Arc<Route>, Vec<Fault>> {
        if let Some(compiler) = compiler.for_route(&spec, settings) {
            return Route::compile(spec, &compiler);
        }
        let unknown = unknown_nacos(&spec, settings);
        // The route is compiled all the same, to find its other faults.
        let mut faults = Route::compile(spec, compiler).err().unwrap_or_default();
        faults.push(unknown);
        Err(faults)
    }

    /// The services that it needs: the one that answers, and those that its
    /// filters ask.
    pub fn selections(&self) -> impl Iterator<Item = &Arc<Selection>> {
        let asked = self.chain.steps().iter().flat_map(Step::destinations);
        let asked = asked.map(|destination| &destination.selection);
        self.target.selection().into_iter().chain(asked)
    }

    /// Its predicates by name, in the order of its document.
    pub fn predicates(&self) -> impl Iterator<Item = (&str, &dyn Predicate)> {
        self.matcher.predicates()
    }

    /// Whether it takes the request: all its predicates hold.
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.matcher.matches(request)
    }

    /// The name of the first predicate that does not hold, and the predicate,
    /// which prints what it asks for.
    pub fn mismatch(&self, request: &Request<'_>) -> Option<(&str, &dyn Predicate)> {
        self.matcher.mismatch(request)
    }

    pub(crate) fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

fn unknown_nacos(spec: &RouteSpec, settings: &Settings) -> Fault {
    let service = spec.service();
    let id = service.and_then(|service| service.nacos.as_deref());
    let id = id.unwrap_or_default();
    Fault {
        document: Arc::clone(&spec.document),
        position: service.map(|service| service.at),
        path: format!("routes.{}.service.nacos", spec.id),
        problem: format!("no Nacos has the id `{}`", id.escape_debug()),
        expected: Some(settings.nacos_ids()),
        nearest: None,
        severity: Severity::Error,
    }
}

#[cfg(test)]
mod tests;
