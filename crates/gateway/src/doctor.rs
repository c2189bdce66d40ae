//! `pailou doctor`: why can't I see my service?
//!
//! It asks Nacos what the gateway asks, step by step and with the same settings, and says at each step what was found:
//! server, port, login, namespace, document, service, instance. It changes nothing. It always ends: each question has a
//! time limit, and so have all questions to one server.

mod access;
mod documents;
mod each_nacos;
mod findings;
mod gateways;
mod namespaces;
mod places;
mod reach;
mod services;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pailou_nacos::{Client, ServerAddress};
use pailou_routing::Route;

use self::each_nacos::Nacos;
use self::findings::Findings;
use self::places::Places;
use crate::cli::DoctorArgs;
use crate::judge::Judge;
use crate::nacos::{self, http::Http};

/// The most that one question may take, whatever the settings allow a gateway to wait.
const QUESTION: Duration = Duration::from_secs(3);

/// The most that all questions to one server may take.
const SERVER: Duration = Duration::from_secs(45);

/// Checks everything. The exit code says whether something is wrong.
pub(crate) async fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let settings = nacos::settings(args.config.as_deref())?;
    let mut findings = Findings::new(!args.json);
    let judge = Judge::new(settings.clone());
    let files = documents::files(&settings, &judge, &mut findings);
    let all = Nacos::all(&settings, QUESTION);
    let mut foreign = Vec::new();
    // A route of one Nacos may name a service of another.
    if all.len() > 1 {
        findings.progress("documents of every Nacos");
        for nacos in &all {
            foreign.push((&nacos.id, nacos.routes(&judge, SERVER).await?));
        }
    }
    for nacos in &all {
        let others = foreign.iter().filter(|(id, _)| **id != nacos.id);
        let others = others.flat_map(|(_, routes)| routes);
        let given: Vec<_> = files.iter().chain(others).cloned().collect();
        visit(nacos, &judge, &given, !args.json, &mut findings).await?;
    }
    findings.finish()?;
    Ok(if findings.is_anything_wrong() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Checks every server of a Nacos. `given` are the routes that are not in its documents.
async fn visit(
    nacos: &Nacos,
    judge: &Judge,
    given: &[Arc<Route>],
    tells: bool,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut first: Option<(String, Findings)> = None;
    for server in nacos::options(&nacos.settings)?.servers {
        let name = nacos.server(&server);
        findings.begin(&name, &nacos.id);
        let visit = async {
            let Some(visit) = Visit::begin(nacos, &server, findings).await? else {
                return Ok(());
            };
            // All servers of a Nacos should say the same. Of the others only what differs is told.
            let mut said = Findings::new(first.is_none() && tells);
            said.begin(&name, &nacos.id);
            visit
                .inspect(judge, given, first.is_none(), &mut said)
                .await;
            visit.client.close().await;
            match &first {
                None => {
                    findings.extend(&said);
                    first = Some((name, said));
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
    Ok(())
}

/// A server that can be asked.
struct Visit<'a> {
    nacos: &'a Nacos,
    http: Http,
    /// Knows this server only.
    client: Client,
}

impl<'a> Visit<'a> {
    /// Finds out whether the server can be asked at all.
    async fn begin(
        nacos: &'a Nacos,
        server: &ServerAddress,
        findings: &mut Findings,
    ) -> anyhow::Result<Option<Visit<'a>>> {
        let settings = &nacos.settings;
        let mut http = Http::new(nacos::options(settings)?, server.clone());
        if !reach::name(server, settings, findings).await {
            return Ok(None);
        }
        let mut seen = reach::http(&http, server, settings, findings).await;
        if !reach::grpc(server, settings, &mut seen, findings).await? {
            return Ok(None);
        }
        let client = access::check(&mut http, server, settings, &seen, findings).await?;
        Ok(client.map(|client| Visit {
            nacos,
            http,
            client,
        }))
    }

    /// Checks what the gateway needs: namespaces, documents, services. With `reach_out` it also connects to instances.
    async fn inspect(
        &self,
        judge: &Judge,
        given: &[Arc<Route>],
        reach_out: bool,
        findings: &mut Findings,
    ) {
        let mut places = Places::of(&self.nacos.settings);
        let listed = namespaces::list(&self.http, &mut places, findings).await;
        let mut routes = given.to_vec();
        for place in self.nacos.documents() {
            routes.extend(documents::check(self, judge, &places, &place, findings).await);
        }
        let wanted = services::wanted(&routes, &self.nacos.id);
        for service in &wanted {
            places.add(&service.place);
        }
        namespaces::check(&listed, &places, findings);
        for service in &wanted {
            services::check(self, &places, service, reach_out, findings).await;
        }
        // Gateways register themselves in this one only.
        if self.nacos.is_default() {
            gateways::check(self, findings).await;
        }
    }
}
