//! Text to specs: `gateway.yaml` and route documents, with the position of every fault.
//!
//! **Its one job**: turn text that a person wrote into typed specs, and say of every mistake in it where it is, what was
//! expected and which valid name is nearest, all of them in one run.
//!
//! **In**: the text of a route document, or `gateway.yaml` and the environment. **Out**: [`RouteSpec`]s, whose predicates and
//! filters are still [`PartSpec`]s (a name and a [`Node`] of arguments), and [`Settings`]; or [`Fault`]s.
//!
//! **It must not know** what any predicate, filter or policy means (their crates read a [`PartSpec`] with the same [`Field`]
//! that is used here), nor anything asynchronous, nor any input but the files it is told to read.
//!
//! YAML is parsed in one private module over `serde-saphyr`: `serde_yaml` is archived, and of its successors only this one
//! knows the position of every node, refuses duplicate keys and honours merge keys. Its errors are worded anew, because a
//! parser's snippet shows neighbouring lines, and one of them may hold a password.
//!
//! ```
//! use pailou_config::{DocumentOutcome, ScgSettings, parse_route_document};
//!
//! let scg = ScgSettings::default();
//! let text = "routes:\n  /api/users/**: user-service\n";
//! let DocumentOutcome::Routes(document) = parse_route_document("routes.yaml", text, &scg) else { panic!("a valid document") };
//! assert_eq!(&*document.routes[0].id, "/api/users/**");
//! let service = document.routes[0].service().expect("it names one");
//! assert_eq!(service.name, "user-service");
//!
//! let text = "routes:\n  /api/users/**:\n    service: user-service\n    strip_prefx: 1\n";
//! let DocumentOutcome::Refused(document) = parse_route_document("routes.yaml", text, &scg) else { panic!("a typing error") };
//! assert!(document.faults[0].to_string().starts_with("routes.yaml:4:5: routes[\"/api/users/**\"].strip_prefx: unknown key"));
//! assert_eq!(document.faults[0].nearest.as_deref(), Some("strip_prefix"));
//! ```

mod canary;
mod endpoint_limit;
mod fault;
mod field;
mod health_check;
mod json;
mod nearest;
mod node;
mod path;
mod request_value;
mod retries;
mod route;
mod route_document;
mod route_reference;
mod scg;
mod service;
mod settings;
mod target;
mod units;
mod upstream_url;
#[cfg(test)]
mod worked;
mod yaml;

pub use crate::{
    canary::{CanaryFallback, CanarySpec},
    endpoint_limit::EndpointLimitSpec,
    fault::{Fault, Position, Report, Severity},
    field::{Field, Fields},
    health_check::{CheckKind, HealthCheckSpec},
    nearest::nearest,
    node::{Key, Node, Scalar, Value},
    request_value::{RequestKey, RequestValue},
    retries::{GrpcStatus, RetriesSpec},
    route::{EncodedSlashes, Form, Limit, PartSpec, RouteSpec},
    route_document::{
        DocumentOutcome, MAX_DOCUMENT_BYTES, ParsedDocument, Reading, RefusedRoute, UnroutedSpec,
        is_scg_document, parse_route_document, parse_scg_document,
    },
    route_reference::{RouteKeyDoc, route_reference},
    scg::{ScgArg, ScgArgs, Shortcut},
    service::{Protocol, ServiceSpec, TlsName},
    settings::{
        AccessLogFields, AccessLogFormat, AdminSettings, CertificateFiles, ClientAuth, Compat,
        CredentialSettings, DEFAULT_NACOS, DiscoverySettings, EjectionSettings, Environment,
        ErrorBodies, ErrorEscape, ErrorField, ErrorPart, ErrorTemplate, ForwardedHeader,
        ForwardedSettings, HeaderCase, KeyDoc, LimitSettings, ListenerSettings, LoadedSettings,
        LogFormat, LogLevel, LogSettings, Loopback, NacosSettings, OnFailure, OverloadSettings,
        Place, Placeholder, ProbeSettings, ProxyProtocol, RedisAddress, RedisMode, RedisSettings,
        RegistrationSettings, RetrySettings, RouteDefaults, RouteSource, STATIC_NACOS, ScgFilter,
        ScgKeys, ScgSettings, Secret, SectionDoc, SentinelSettings, ServerAddress, Settings,
        ShutdownSettings, SnapshotSettings, TlsSettings, TlsVersion, Underscores,
        UpstreamTlsSettings, load_settings, parse_network, settings_reference,
    },
    target::{TargetSpec, UrlSpec},
    units::{format_duration, format_size},
    upstream_url::{UpstreamUrl, is_host_name},
};
