//! The feed of a URL that a route gives: its host's addresses, made into the endpoints that are balanced over.
//!
//! One task per URL. An IP address is an endpoint at once and for good. A host name is looked up, and again by and by; a lookup that
//! fails changes nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use pailou_config::UpstreamUrl;
use pailou_telemetry::events;
use pailou_upstream::{EndpointSet, EndpointSpec, Service, Transport};

use crate::feed::{FeedContext, FeedStatus};
use crate::resolve::{Names, Resolved};
use crate::view::RefusedView;

/// The task of one URL.
pub(crate) struct StaticFeed {
    context: FeedContext,
    service: Arc<Service>,
    url: UpstreamUrl,
    status: Arc<Mutex<FeedStatus>>,
    refused: Vec<RefusedView>,
}

impl StaticFeed {
    /// A feed of `service`, whose name is the URL.
    pub(crate) fn new(
        context: FeedContext,
        service: Arc<Service>,
        url: UpstreamUrl,
        status: Arc<Mutex<FeedStatus>>,
    ) -> StaticFeed {
        StaticFeed {
            context,
            service,
            url,
            status,
            refused: Vec::new(),
        }
    }

    /// Feeds the service until the future is dropped.
    pub(crate) async fn run(mut self) -> String {
        if let Some(ip) = self.url.ip() {
            self.publish(&[ip]);
            return std::future::pending().await;
        }
        let (lookup, refresh) = (Arc::clone(&self.context.lookup), self.context.dns_refresh);
        let mut names = Names::new(lookup, refresh);
        let host = self.url.host.clone();
        names.need(&BTreeSet::from([&*host]));
        loop {
            names.changed().await;
            match names.resolved(&host) {
                Resolved::Pending => {}
                Resolved::Addresses(ips) => self.publish(ips),
                Resolved::Failed(error) => self.failed(error),
            }
        }
    }

    fn publish(&mut self, ips: &[IpAddr]) {
        let addresses = ips.iter().map(|ip| SocketAddr::new(*ip, self.url.port));
        let (mut endpoints, mut refused) = (Vec::new(), Vec::new());
        for address in addresses {
            match self.context.admission.admit(address) {
                Ok(address) => endpoints.push(self.endpoint(address)),
                Err(denied) => refused.push(RefusedView {
                    address: address.to_string(),
                    reason: denied.reason(),
                    detail: None,
                }),
            }
        }
        for new in refused.iter().filter(|it| !self.refused.contains(it)) {
            events::EndpointRefused {
                service: self.service.metrics(),
                address: &new.address,
                reason: new.reason,
            }
            .record();
        }
        self.refused.clone_from(&refused);
        self.note(|status| status.resolved(ips.len(), refused));
        self.service.update(EndpointSet::of(endpoints));
    }

    fn endpoint(&self, address: SocketAddr) -> EndpointSpec {
        let is_name = self.url.ip().is_none();
        EndpointSpec {
            transport: match self.url.is_https {
                true => Transport::HTTPS,
                false => Transport::default(),
            },
            host: is_name.then(|| self.url.host.as_str().into()),
            ..EndpointSpec::new(address)
        }
    }

    /// The host has no address yet, so that its routes have nobody to ask.
    fn failed(&self, error: &str) {
        tracing::warn!(
            target: "pailou",
            service = self.service.label(),
            error,
            "the host name of a route cannot be resolved: its requests get 503"
        );
        self.note(|status| status.unresolved(error));
        if !self.service.is_known() {
            self.service.update(EndpointSet::of([]));
        }
    }

    fn note(&self, note: impl FnOnce(&mut FeedStatus)) {
        note(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pailou_telemetry::Metrics;
    use pailou_upstream::{
        EjectionSettings, Hint, NoEndpoint, Policy, ServiceId, Services, Subset,
    };
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::admission::Admission;
    use crate::resolve::{Answer, Lookup};

    /// Answers with what the test says.
    struct Said(Mutex<Result<Vec<IpAddr>, String>>);

    impl Said {
        fn say(&self, answer: Result<&[&str], &str>) {
            let ips = |ips: &[&str]| ips.iter().map(|ip| ip.parse().expect("an IP")).collect();
            let answer = answer.map(ips).map_err(str::to_owned);
            *self.0.lock().expect("not poisoned") = answer;
        }
    }

    impl Lookup for Said {
        fn lookup(&self, _host: Arc<str>) -> Answer {
            let answer = self.0.lock().expect("not poisoned").clone();
            Box::pin(async move { answer.map_err(std::io::Error::other) })
        }
    }

    struct Bench {
        said: Arc<Said>,
        services: Arc<Services>,
        service: Arc<Service>,
        status: Arc<Mutex<FeedStatus>>,
        _task: tokio::task::JoinSet<String>,
    }

    impl Bench {
        fn new(url: &str, answer: Result<&[&str], &str>) -> Bench {
            let said = Arc::new(Said(Mutex::new(Err(String::new()))));
            said.say(answer);
            let metrics = Metrics::new();
            let services = Services::new(EjectionSettings::default(), metrics.clone());
            let url = UpstreamUrl::parse(url).expect("a URL");
            let service = services.service(&ServiceId::of_url(&url));
            let context = FeedContext {
                admission: Arc::new(Admission::new(Vec::new(), false, Vec::new())),
                lookup: Arc::clone(&said) as Arc<dyn Lookup>,
                dns_refresh: Duration::from_secs(30),
                metrics,
                snapshot: None,
            };
            let status = Arc::default();
            let feed = StaticFeed::new(context, Arc::clone(&service), url, Arc::clone(&status));
            let mut task = tokio::task::JoinSet::new();
            task.spawn(feed.run());
            Bench {
                said,
                services,
                service,
                status,
                _task: task,
            }
        }

        fn addresses(&self) -> Vec<String> {
            let view = self.service.view();
            let rows = view.endpoints.iter();
            rows.map(|row| row.address.to_string()).collect()
        }

        async fn until(&self, expected: &[&str]) -> Duration {
            let started = Instant::now();
            while self.addresses() != expected {
                assert!(
                    started.elapsed() < Duration::from_secs(100),
                    "{expected:?} for {:?}",
                    self.addresses()
                );
                sleep(Duration::from_millis(100)).await;
            }
            started.elapsed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_name_is_resolved_refreshed_and_kept_when_a_lookup_fails() {
        let bench = Bench::new("https://api.internal", Ok(&["10.0.0.2", "10.0.0.1"]));
        bench.service.known().await;
        assert_eq!(bench.addresses(), ["10.0.0.1:443", "10.0.0.2:443"]);
        let policy = Policy::round_robin();
        let selection = bench
            .services
            .selection(&bench.service, &Subset::default(), &policy);
        let pick = selection.pick(&Hint::first()).expect("an endpoint");
        assert!(pick.transport().tls);
        assert_eq!(pick.host().map(|host| &**host), Some("api.internal"));

        bench.said.say(Err("no such host"));
        sleep(Duration::from_secs(100)).await;
        assert_eq!(bench.addresses().len(), 2, "the last good answer stays");
        bench.said.say(Ok(&["10.0.0.3"]));
        let took = bench.until(&["10.0.0.3:443"]).await;
        assert!(took <= Duration::from_secs(31), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_an_address_is_a_service_without_endpoints_until_it_has_one() {
        let bench = Bench::new("http://api.internal:81", Err("no such host"));
        bench.service.known().await;
        let selection =
            bench
                .services
                .selection(&bench.service, &Subset::default(), &Policy::round_robin());
        assert_eq!(
            selection.pick(&Hint::first()).err(),
            Some(NoEndpoint::Empty)
        );
        let view = bench
            .status
            .lock()
            .expect("not poisoned")
            .view(&bench.service, true);
        assert_eq!(view.error.as_deref(), Some("no such host"));
        bench.said.say(Ok(&["10.0.0.1"]));
        let took = bench.until(&["10.0.0.1:81"]).await;
        assert!(took <= Duration::from_secs(4), "{took:?}");
        let view = bench
            .status
            .lock()
            .expect("not poisoned")
            .view(&bench.service, true);
        assert_eq!((view.known, view.listed, view.error), (true, 1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_admitted_like_any_other() {
        let bench = Bench::new("http://10.0.0.7:8080", Err("never asked"));
        bench.service.known().await;
        assert_eq!(bench.addresses(), ["10.0.0.7:8080"]);
        for url in ["http://169.254.169.254", "http://127.0.0.1:9901"] {
            let bench = Bench::new(url, Err("never asked"));
            bench.service.known().await;
            assert!(bench.addresses().is_empty(), "{url}");
            let view = bench
                .status
                .lock()
                .expect("not poisoned")
                .view(&bench.service, true);
            assert_eq!(view.refused.len(), 1, "{url}");
        }
        // A name that leads to a forbidden address leads nowhere.
        let bench = Bench::new(
            "http://rebound.internal",
            Ok(&["10.0.0.1", "169.254.169.254"]),
        );
        bench.service.known().await;
        assert_eq!(bench.addresses(), ["10.0.0.1:80"]);
    }
}
