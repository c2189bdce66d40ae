//! From settings to parts: which sources, which rules, which times.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use pailou_config::{Loopback, Reading, RegistrationSettings, RouteSource, Settings};
use pailou_filters::Shared;
use pailou_nacos::{ConfigName, ServiceName};
use pailou_telemetry::Metrics;
use pailou_upstream::{ServiceId, Services};
use tokio::time::Instant;

use crate::admission::Admission;
use crate::clients::Clients;
use crate::documents::{Documents, Unread};
use crate::feed::FeedContext;
use crate::feeds::{FeedTimes, Feeds};
use crate::publish::{PublishTimes, Work, compile_route};
use crate::resolve::SystemLookup;
use crate::snapshot::{DocumentKey, Saved, Snapshot};
use crate::source::{FileSource, NacosSource, Source};
use crate::view::RegistrationView;

/// A source and the name of its document.
pub(crate) struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) source: Arc<dyn Source>,
    /// What names the document over restarts.
    pub(crate) key: DocumentKey,
    /// How its texts are read.
    pub(crate) reading: Reading,
}

impl Named {
    /// What the documents must know of it.
    pub(crate) fn document(&self, saved: &Saved) -> Unread {
        Unread {
            name: Arc::clone(&self.name),
            key: self.key.clone(),
            source: self.source.kind(),
            reading: self.reading.clone(),
            saved: saved.documents.get(&self.key).cloned(),
        }
    }
}

/// Opens the sources, in the order of `gateway.yaml`. A new kind of source gets its arm here.
pub(crate) fn sources(settings: &Settings, clients: &Clients, metrics: &Metrics) -> Vec<Named> {
    let scg = Arc::new(settings.scg.clone());
    let open = |source: &RouteSource| -> Named {
        let reading = Reading {
            form: source.form(),
            scg: Arc::clone(&scg),
        };
        match source {
            RouteSource::File { path, .. } => Named {
                name: document_name(settings, source).into(),
                key: DocumentKey::of_file(path),
                source: Arc::new(FileSource::new(path)),
                reading,
            },
            RouteSource::Config {
                nacos,
                data_id,
                group,
                namespace,
                form: _,
            } => {
                let client = clients.pinned(nacos, namespace);
                let config = ConfigName::new(group, data_id);
                Named {
                    name: document_name(settings, source).into(),
                    key: DocumentKey::Config {
                        nacos: nacos.clone(),
                        namespace: namespace.clone(),
                        group: group.clone(),
                        data_id: data_id.clone(),
                    },
                    source: Arc::new(NacosSource::new(client, config, metrics.clone())),
                    reading,
                }
            }
        }
    };
    settings.routes.iter().map(open).collect()
}

/// The data id of a config, or the path of a file; with its Nacos, namespace and group where another
/// source has the same data id.
fn document_name(settings: &Settings, source: &RouteSource) -> String {
    let (nacos, data_id, group, namespace) = match source {
        RouteSource::File { path, .. } => return path.display().to_string(),
        RouteSource::Config {
            nacos,
            data_id,
            group,
            namespace,
            form: _,
        } => (nacos, data_id, group, namespace),
    };
    let is_same = |source: &&RouteSource| match source {
        RouteSource::Config { data_id: other, .. } => other == data_id,
        RouteSource::File { .. } => false,
    };
    let is_ambiguous = settings.routes.iter().filter(is_same).count() > 1;
    if !is_ambiguous {
        return data_id.clone();
    }
    let nacos = match nacos.as_str() {
        ServiceId::DEFAULT_NACOS => String::new(),
        id => format!("{id}:"),
    };
    match namespace.as_str() {
        "" => format!("{nacos}{group}/{data_id}"),
        namespace => format!("{nacos}{namespace}/{group}/{data_id}"),
    }
}

/// No feeds yet, and the rules for those to come.
pub(crate) fn feeds(
    settings: &Settings,
    listeners: &[SocketAddr],
    clients: &Arc<Clients>,
    snapshot: Option<&Arc<Snapshot>>,
    saved: &mut Saved,
    restore_at: Instant,
    metrics: &Metrics,
) -> Feeds {
    let context = FeedContext {
        admission: Arc::new(admission(settings, listeners)),
        lookup: Arc::new(SystemLookup::new()),
        dns_refresh: settings.discovery.dns_refresh,
        metrics: metrics.clone(),
        snapshot: snapshot.cloned(),
    };
    let times = FeedTimes {
        hold: settings.discovery.hold,
        hold_services: settings.discovery.hold_services.clone(),
        unsubscribe_after: settings.discovery.unsubscribe_after,
        restore_at,
    };
    let services = std::mem::take(&mut saved.services);
    Feeds::new(context, times, Arc::clone(clients), services, saved.age)
}

/// What compiles the documents.
pub(crate) fn work(
    settings: &Settings,
    documents: Documents,
    services: Arc<Services>,
    filters: Arc<Shared>,
) -> Arc<Mutex<Work>> {
    let compile = compile_route(services, filters, settings.clone());
    Arc::new(Mutex::new(Work::new(documents, compile)))
}

pub(crate) fn publish_times(settings: &Settings, restore_at: Instant) -> PublishTimes {
    PublishTimes {
        restore_at,
        debounce: settings.discovery.debounce,
        first_state: settings.discovery.first_state_timeout,
    }
}

/// The service that the gateway registers as.
pub(crate) fn own_service(settings: &Settings) -> ServiceName {
    let own = &settings.registration;
    let group = if own.group.is_empty() {
        &settings.nacos.group
    } else {
        &own.group
    };
    ServiceName::new(group, &own.service)
}

/// The registration before it is made.
pub(crate) fn registration_view(settings: &Settings) -> RegistrationView {
    RegistrationView {
        enabled: settings.registration.enabled,
        service: own_service(settings).to_string(),
        ..RegistrationView::default()
    }
}

/// The registration with the address of the first listener, if it listens on one address only.
pub(crate) fn advertised(settings: &Settings) -> RegistrationSettings {
    let mut registration = settings.registration.clone();
    let listener = settings.listeners.first().map(|first| first.address.ip());
    // Behind a port mapping the address is another one too.
    if registration.ip.is_none() && registration.port == 0 {
        registration.ip = listener.filter(|ip| !ip.is_unspecified());
    }
    registration
}

/// The port that others reach the gateway at; none without a listener.
pub(crate) fn advertised_port(settings: &Settings, listeners: &[SocketAddr]) -> Option<u16> {
    match settings.registration.port {
        0 => listeners.first().map(SocketAddr::port),
        port => Some(port),
    }
}

/// The rules for endpoints' addresses.
pub(crate) fn admission(settings: &Settings, listeners: &[SocketAddr]) -> Admission {
    let allow_loopback = match settings.discovery.allow_loopback {
        Loopback::Allow => true,
        Loopback::Deny => false,
        Loopback::Auto => settings
            .all_nacos()
            .flat_map(|(_, nacos)| &nacos.servers)
            .all(|server| is_loopback(&server.host)),
    };
    // Behind a port mapping the gateway is reached at an address that none of its sockets has.
    let advertised = settings
        .registration
        .ip
        .zip(advertised_port(settings, listeners));
    let own = listeners
        .iter()
        .copied()
        .chain(advertised.map(SocketAddr::from));
    let allowed = settings.discovery.allow_addresses.clone();
    Admission::new(allowed, allow_loopback, own.collect())
}

fn is_loopback(host: &str) -> bool {
    let ip = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use pailou_config::{Environment, load_settings};

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let environment = Environment::from_iter(variables.iter().copied());
        load_settings(None, &environment)
            .expect("valid settings")
            .settings
    }

    #[test]
    fn loopback_is_allowed_while_nacos_is_there_unless_the_settings_say_otherwise() {
        let cases = [
            ("127.0.0.1", "auto", true),
            ("localhost:8849", "auto", true),
            ("[::1]:8848", "auto", true),
            ("10.0.0.1", "auto", false),
            ("127.0.0.1,10.0.0.1", "auto", false),
            ("nacos.local", "auto", false),
            ("nacos.local", "true", true),
            ("127.0.0.1", "false", false),
        ];
        for (servers, allow, expected) in cases {
            let settings = settings(&[
                ("PAILOU_NACOS_SERVERS", servers),
                ("PAILOU_DISCOVERY_ALLOW_LOOPBACK", allow),
            ]);
            let admits = admission(&settings, &[]).admit(SocketAddr::from(([127, 0, 0, 1], 9001)));
            assert_eq!(admits.is_ok(), expected, "{servers} {allow}");
        }
    }

    #[test]
    fn the_advertised_address_is_ours_as_well() {
        let settings = settings(&[
            ("PAILOU_REGISTRATION_IP", "203.0.113.7"),
            ("PAILOU_REGISTRATION_PORT", "80"),
        ]);
        let rules = admission(&settings, &[SocketAddr::from(([0, 0, 0, 0], 8080))]);
        assert!(
            rules
                .admit(SocketAddr::from(([203, 0, 113, 7], 80)))
                .is_err()
        );
        assert!(
            rules
                .admit(SocketAddr::from(([203, 0, 113, 7], 81)))
                .is_ok()
        );
    }

    #[test]
    fn a_document_is_named_by_its_data_id_where_that_is_enough() {
        let mut settings = settings(&[("PAILOU_ROUTES", "a.yaml,b.yaml")]);
        for (nacos, namespace) in [("default", "dev"), ("east", ""), ("east", "dev")] {
            settings.routes.push(RouteSource::Config {
                nacos: nacos.to_owned(),
                data_id: "b.yaml".to_owned(),
                group: "DEFAULT_GROUP".to_owned(),
                namespace: namespace.to_owned(),
                form: None,
            });
        }
        let names = settings.routes.iter();
        let names: Vec<_> = names
            .map(|source| document_name(&settings, source))
            .collect();
        let expected = [
            "a.yaml",
            "DEFAULT_GROUP/b.yaml",
            "dev/DEFAULT_GROUP/b.yaml",
            "east:DEFAULT_GROUP/b.yaml",
            "east:dev/DEFAULT_GROUP/b.yaml",
        ];
        assert_eq!(names, expected);
    }
}
