//! `gateway.yaml`: the static half of the configuration. A change of it needs a restart.

mod changes;
mod check;
mod credentials;
mod environment;
mod errors;
mod files;
mod kind;
mod listener;
mod listener_tls;
mod listening;
mod nacos;
mod overload;
mod process;
mod redis;
mod reference;
mod render;
mod scg;
mod schema;
mod secret;
mod sentinel;
mod sources;
mod traffic;
mod upstream_tls;
mod values;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use self::{
    errors::ErrorBody,
    kind::{List, whole},
    listener::Listener,
    schema::{Entry, KeyText, Origin, Outcome, Reader},
    sources::{Source, SourceItem},
};
use crate::{
    fault::{Fault, Report, Severity},
    field::{Field, Fields},
    node::Node,
    route_document::Reading,
};

pub use self::{
    credentials::CredentialSettings,
    environment::Environment,
    errors::{ErrorBodies, ErrorEscape, ErrorField, ErrorPart, ErrorTemplate},
    listener::{ListenerSettings, ProxyProtocol},
    listener_tls::{CertificateFiles, ClientAuth, Place, TlsSettings, TlsVersion},
    listening::{
        AdminSettings, ForwardedHeader, ForwardedSettings, HeaderCase, LimitSettings,
        ProbeSettings, Underscores,
    },
    nacos::{
        DEFAULT_NACOS, DiscoverySettings, Loopback, NacosSettings, RegistrationSettings,
        STATIC_NACOS,
    },
    overload::OverloadSettings,
    process::{
        AccessLogFields, AccessLogFormat, LogFormat, LogLevel, LogSettings, ShutdownSettings,
        SnapshotSettings,
    },
    redis::{OnFailure, RedisAddress, RedisMode, RedisSettings, ScgKeys},
    reference::{KeyDoc, SectionDoc, settings_reference},
    scg::{Compat, Placeholder, ScgFilter, ScgSettings},
    secret::Secret,
    sentinel::SentinelSettings,
    sources::RouteSource,
    traffic::{EjectionSettings, RetrySettings, RouteDefaults},
    upstream_tls::UpstreamTlsSettings,
    values::{ServerAddress, parse_network},
};

/// The longest `gateway.yaml` that is looked at.
const MAX_SETTINGS_BYTES: usize = 1 << 20;

/// The effective settings: environment over `gateway.yaml` over defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The sockets that take requests; at least one.
    pub listeners: Vec<ListenerSettings>,
    /// Threads that serve requests; 0 for one per core.
    pub workers: usize,
    /// The admin interface.
    pub admin: AdminSettings,
    /// Probes and metrics.
    pub probes: ProbeSettings,
    /// The Nacos that is meant where none is named.
    pub nacos: NacosSettings,
    /// Other Nacos, by their ids.
    pub other_nacos: BTreeMap<String, NacosSettings>,
    /// Where routes come from, in the order in which they are merged; at least one.
    pub routes: Vec<RouteSource>,
    /// How documents in the form of Spring Cloud Gateway are read.
    pub scg: ScgSettings,
    /// Flow rules that are kept for Sentinel.
    pub sentinel: SentinelSettings,
    /// Where several gateways count together.
    pub redis: RedisSettings,
    /// Where filters find keys and credentials.
    pub credentials: CredentialSettings,
    /// The gateway's own entry in Nacos.
    pub registration: RegistrationSettings,
    /// How services are followed.
    pub discovery: DiscoverySettings,
    /// What is kept on disk.
    pub snapshot: SnapshotSettings,
    /// What a route does unless it says otherwise.
    pub defaults: RouteDefaults,
    /// Bounds on retries.
    pub retry: RetrySettings,
    /// Endpoints that are left out for a while.
    pub ejection: EjectionSettings,
    /// TLS to endpoints.
    pub upstream_tls: UpstreamTlsSettings,
    /// More ways of it, by their ids.
    pub other_upstream_tls: BTreeMap<String, UpstreamTlsSettings>,
    /// Bounds on clients.
    pub limits: LimitSettings,
    /// What is done when there are more requests than can be served well.
    pub overload: OverloadSettings,
    /// What is believed of forwarding headers.
    pub forwarded: ForwardedSettings,
    /// What clients read where the gateway answers with an error of its own.
    pub errors: ErrorBodies,
    /// How the process ends.
    pub shutdown: ShutdownSettings,
    /// Logs.
    pub log: LogSettings,
}

/// Settings that were loaded without an error.
pub struct LoadedSettings {
    /// The settings.
    pub settings: Settings,
    /// The warnings.
    pub warnings: Vec<Fault>,
    /// The name of the file for faults.
    document: String,
    /// The same without its folder, for the comments of [`render`](LoadedSettings::render).
    file: String,
    entries: Vec<Entry>,
}

/// Loads the settings from the file, if there is one, and the environment, which wins.
///
/// The order of the environment: the setting's own `PAILOU_*` variable, then the name that people already use for it.
///
/// # Errors
/// Every fault of the file and of the environment, at least one of them an error.
///
/// ```
/// use pailou_config::{Environment, load_settings};
///
/// let environment = Environment::from_iter([("NACOS_SERVER_ADDR", "nacos-0,nacos-1:8849"), ("PAILOU_LIMITS_BODY_BYTES", "1MiB")]);
/// let loaded = load_settings(None, &environment).expect("valid settings");
/// assert_eq!(loaded.settings.nacos.servers[1].to_string(), "nacos-1:8849");
/// assert_eq!(loaded.settings.limits.body_bytes, 1 << 20);
///
/// let faults = load_settings(None, &Environment::from_iter([("PAILOU_WORKERS", "many")])).err().expect("no number");
/// assert_eq!(faults[0].to_string(), "environment: PAILOU_WORKERS: `many`; expected a whole number from 0 to 1024");
/// ```
pub fn load_settings(
    path: Option<&Path>,
    environment: &Environment,
) -> Result<LoadedSettings, Vec<Fault>> {
    let Some(path) = path else {
        return load(None, Path::new(""), environment);
    };
    let name = path.display().to_string();
    let problem = match read_file(path) {
        Err(error) => format!("cannot be read: {error}"),
        Ok(bytes) if bytes.len() > MAX_SETTINGS_BYTES => {
            format!("more than the {MAX_SETTINGS_BYTES} bytes that settings may have")
        }
        Ok(bytes) => match String::from_utf8(bytes) {
            Err(_) => "not a text in UTF-8".to_owned(),
            Ok(text) => {
                return load(
                    Some((&name, &text)),
                    path.parent().unwrap_or(Path::new("")),
                    environment,
                );
            }
        },
    };
    let report = Report::new(name.as_str());
    report.fault(None, "", problem);
    Err(report.into_faults())
}

/// Reads at most as much as shows that the file is too large, since it may be any file.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_SETTINGS_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the settings from `document`, its name and text.
fn load(
    document: Option<(&str, &str)>,
    base: &Path,
    environment: &Environment,
) -> Result<LoadedSettings, Vec<Fault>> {
    let name = document.map_or("settings", |(name, _)| name);
    let report = Report::new(name);
    let root = match document.map(|(_, text)| Node::parse_yaml(text, &report)) {
        Some(None) => return Err(report.into_faults()),
        Some(Some(root)) => root,
        None => Node::null(crate::Position { line: 1, column: 1 }),
    };
    let field = Field::new(&root, "", &report);
    // A file of comments only means the defaults.
    let fields = if field.is_null() {
        None
    } else {
        field.mapping()
    };
    let (environment, left_out) = environment.adapted();
    let mut reader = Reader::new(&environment, base, &report);
    let settings = read(fields, &mut reader);
    let settings = check::complete(settings, &mut reader);
    reader.warn_of_unknown_variables();
    if let Some((variable, problem)) = left_out {
        reader.warn_of_variable(variable, problem);
    }
    let Outcome {
        faults: overrides,
        entries,
        ..
    } = reader.finish();
    let faults: Vec<Fault> = report.into_faults().into_iter().chain(overrides).collect();
    if faults.iter().any(|fault| fault.severity == Severity::Error) {
        return Err(faults);
    }
    let file = Path::new(name).file_name().map_or_else(
        || name.to_owned(),
        |file| file.to_string_lossy().into_owned(),
    );
    Ok(LoadedSettings {
        settings,
        warnings: faults,
        document: name.to_owned(),
        file,
        entries,
    })
}

/// Reads every section, in the order in which they are printed.
fn read<'a>(fields: Option<Fields<'a>>, reader: &mut Reader<'a>) -> Settings {
    let mut top = reader.top(fields);
    let listeners = top.key(
        KeyText {
            name: "listeners",
            doc: &[
                " The sockets that take requests. In the environment a comma list of addresses.",
            ],
            also: &[],
        },
        List(Listener),
        vec![Listener::default()],
    );
    let workers = top.key(
        KeyText { name: "workers", doc: &[" Threads that serve requests; 0 for one per core, which is right unless the machine is shared."], also: &[] },
        whole(0..=1_024),
        0,
    );
    let admin = AdminSettings::read(&mut top);
    let probes = ProbeSettings::read(&mut top);
    let nacos = NacosSettings::read(&mut top);
    let other_nacos = NacosSettings::read_others(&mut top);
    let sources = top.key(
        KeyText {
            name: "routes",
            doc: &[
                " Where the routes come from: Nacos configs and files, merged in this order; of two routes with one id the",
                " first stays. One document per team works well. In the environment a comma list of data ids and `file:PATH`s.",
            ],
            also: &[],
        },
        List(SourceItem),
        vec![Source::default()],
    );
    let (routes, unknown): (Vec<_>, Vec<_>) = sources
        .into_iter()
        .map(|source| source.resolve(&nacos, &other_nacos))
        .unzip();
    let settings = Settings {
        listeners,
        workers,
        admin,
        probes,
        routes,
        nacos,
        other_nacos,
        scg: ScgSettings::read(&mut top),
        sentinel: SentinelSettings::read(&mut top),
        redis: RedisSettings::read(&mut top),
        credentials: CredentialSettings::read(&mut top),
        registration: RegistrationSettings::read(&mut top),
        discovery: DiscoverySettings::read(&mut top),
        snapshot: SnapshotSettings::read(&mut top),
        defaults: RouteDefaults::read(&mut top),
        retry: RetrySettings::read(&mut top),
        ejection: EjectionSettings::read(&mut top),
        upstream_tls: UpstreamTlsSettings::read(&mut top),
        other_upstream_tls: UpstreamTlsSettings::read_others(&mut top),
        limits: LimitSettings::read(&mut top),
        overload: OverloadSettings::read(&mut top),
        forwarded: ForwardedSettings::read(&mut top),
        errors: top.key(
            KeyText {
                name: "errors",
                doc: &[
                    " The shape of the gateway's own errors: `problem` (RFC 9457), `scg` (the JSON of Spring Cloud Gateway: `timestamp`,",
                    " `path`, `status`, `error`, `requestId`), or a template of your own. Fields in braces stand for values. Texts are",
                    " escaped for JSON; the quotes around them belong to the template. The content type is JSON, unless a mapping of",
                    " `template` and `content_type` sets another. gRPC calls have errors of their own.",
                ],
                also: &[],
            },
            ErrorBody,
            ErrorBodies::default(),
        ),
        shutdown: ShutdownSettings::read(&mut top),
        log: LogSettings::read(&mut top),
    };
    top.finish();
    for id in unknown.into_iter().flatten() {
        let problem = format!("no Nacos has the id `{}`", id.escape_debug());
        reader.fault("routes", problem, Some(&settings.nacos_ids()));
    }
    settings
}

impl LoadedSettings {
    /// The name of the settings in faults: that of the file, or a word for none.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// A fault of the setting at `path`, found by another crate. It names the place of the setting: in the file, in the
    /// environment, or none for a default.
    pub fn fault(&self, path: &str, problem: String, expected: &str) -> Fault {
        let entry = self.entries.iter().find(|entry| entry.path() == path);
        let (document, position, path) = match entry.map(|entry| &entry.origin) {
            Some(Origin::Environment(variable)) => ("environment", None, variable.as_str()),
            Some(Origin::File(position)) => (self.document.as_str(), Some(*position), path),
            Some(Origin::Default) | None => (self.document.as_str(), None, path),
        };
        Fault {
            document: document.into(),
            position,
            path: path.to_owned(),
            problem,
            expected: Some(expected.to_owned()),
            nearest: None,
            severity: Severity::Error,
        }
    }
}

impl Settings {
    /// The Nacos of this id: `default`, or one of `other_nacos`.
    pub fn nacos_named(&self, id: &str) -> Option<&NacosSettings> {
        if id == DEFAULT_NACOS {
            Some(&self.nacos)
        } else {
            self.other_nacos.get(id)
        }
    }

    /// Each Nacos with its id, the default one first.
    pub fn all_nacos(&self) -> impl Iterator<Item = (&str, &NacosSettings)> {
        let others = self.other_nacos.iter();
        std::iter::once((DEFAULT_NACOS, &self.nacos))
            .chain(others.map(|(id, nacos)| (id.as_str(), nacos)))
    }

    /// All TLS settings for endpoints with the sections that describe them. The first are the default ones; the
    /// named ones follow in the order of their ids.
    pub fn all_upstream_tls(&self) -> impl Iterator<Item = (String, &UpstreamTlsSettings)> {
        let others = self.other_upstream_tls.iter();
        std::iter::once(("upstream_tls".to_owned(), &self.upstream_tls))
            .chain(others.map(|(id, tls)| (format!("other_upstream_tls.{id}"), tls)))
    }

    /// How the document of this name (a data id, or the path of a file) is read. The content shows the form if `routes` does not name the
    /// document, or names several of this name in different forms.
    pub fn reading(&self, document: &str) -> Reading {
        let named = self
            .routes
            .iter()
            .filter(|source| source.name() == document);
        let mut forms = named.map(RouteSource::form);
        let form = forms.next().flatten();
        Reading {
            form: form.filter(|form| forms.all(|other| other == Some(*form))),
            scg: Arc::new(self.scg.clone()),
        }
    }

    /// The ids of every Nacos, as what a fault expects.
    pub fn nacos_ids(&self) -> String {
        let ids: Vec<_> = self.all_nacos().map(|(id, _)| id).collect();
        format!("one of {}", ids.join(", "))
    }
}

#[cfg(test)]
mod tests;
