//! `pailou doctor`: why can't I see my service?
//!
//! It takes the way that the gateway takes, step by step and with the same settings, and says at each step what was
//! found: server, port, login, namespace, document, service, instance. It changes nothing, and it ends: each question
//! has a time limit, and each server one for all of them.

mod access;
mod documents;
mod findings;
mod gateways;
mod namespaces;
mod places;
mod reach;
mod services;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pailou_config::{RouteSource, Settings};
use pailou_nacos::{Client, ServerAddress};
use pailou_routing::Route;
use pailou_upstream::ServiceId;

use self::findings::Findings;
use self::places::Places;
use crate::cli::DoctorArgs;
use crate::judge::Judge;
use crate::nacos::{self, http::Http};

/// The most that one question may take, whatever the settings allow a gateway to wait.
const QUESTION: Duration = Duration::from_secs(3);

/// The most that all questions to one server may take.
const SERVER: Duration = Duration::from_secs(45);

/// Looks at everything. The code says whether something is wrong.
pub(crate) async fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut settings = nacos::settings(args.config.as_deref())?;
    settings.nacos.request_timeout = settings.nacos.request_timeout.min(QUESTION);
    let mut findings = Findings::new(!args.json);
    let judge = Judge::new(settings.clone());
    let files = documents::files(&settings, &judge, &mut findings);
    for id in settings.other_nacos.keys() {
        let found = "not looked at, nor what is only there: this is about the cluster of `nacos`";
        findings.unknown("nacos", id, found);
    }
    let mut first: Option<(String, Findings)> = None;
    for server in nacos::options(&settings)?.servers {
        findings.begin(&server.to_string());
        let visit = async {
            let Some(visit) = Visit::begin(&settings, &server, &mut findings).await? else {
                return Ok(());
            };
            // The servers of a cluster say the same, and where they do not, that is what is told.
            let mut said = Findings::new(first.is_none() && !args.json);
            said.begin(&server.to_string());
            visit
                .inspect(&judge, &files, first.is_none(), &mut said)
                .await;
            visit.client.close().await;
            match &first {
                None => {
                    findings.extend(&said);
                    first = Some((server.to_string(), said));
                }
                Some((name, other)) => findings.compare(&said, name, other),
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(SERVER, visit).await {
            Ok(visited) => visited?,
            Err(_) => findings.problem(
                "time",
                "",
                format!("not everything was answered within {} s", SERVER.as_secs()),
                "Find out what holds the server up: its load, its database, the network between.",
            ),
        }
    }
    findings.finish()?;
    Ok(if findings.is_anything_wrong() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// A server that can be asked.
struct Visit<'a> {
    settings: &'a Settings,
    http: Http,
    /// Knows this server only.
    client: Client,
}

impl<'a> Visit<'a> {
    /// Finds out whether the server can be asked at all.
    async fn begin(
        settings: &'a Settings,
        server: &ServerAddress,
        findings: &mut Findings,
    ) -> anyhow::Result<Option<Visit<'a>>> {
        let mut http = Http::new(server.clone(), settings.nacos.request_timeout)?;
        if !reach::name(server, settings, findings).await {
            return Ok(None);
        }
        let mut seen = reach::http(&http, server, settings, findings).await;
        if !reach::grpc(server, settings, &mut seen, findings).await? {
            return Ok(None);
        }
        let client = access::check(&mut http, server, settings, &seen, findings).await?;
        Ok(client.map(|client| Visit {
            settings,
            http,
            client,
        }))
    }

    /// Looks at what the gateway needs: namespaces, documents, services. `reach_out` also connects to instances.
    async fn inspect(
        &self,
        judge: &Judge,
        files: &[Arc<Route>],
        reach_out: bool,
        findings: &mut Findings,
    ) {
        let mut places = Places::of(self.settings);
        let listed = namespaces::list(&self.http, &mut places, findings).await;
        let mut routes = files.to_vec();
        for source in &self.settings.routes {
            if let RouteSource::Config {
                nacos,
                data_id,
                group,
                namespace,
            } = source
                && nacos == ServiceId::DEFAULT_SOURCE
            {
                let place = places::Place::new(namespace, group, data_id);
                routes.extend(documents::check(self, judge, &places, &place, findings).await);
            }
        }
        let wanted = services::wanted(&routes);
        for service in &wanted {
            places.add(&service.place);
        }
        namespaces::check(&listed, &places, findings);
        for service in &wanted {
            services::check(self, &places, service, reach_out, findings).await;
        }
        gateways::check(self, findings).await;
    }
}
