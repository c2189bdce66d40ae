//! `pailou doctor`: why can't I see my service?
//!
//! It takes the way that the gateway takes, step by step and with the same settings, and says at each step what was
//! found: server, port, login, namespace, document, service, instance. It changes nothing, and it ends: each question
//! has a time limit, and each server one for all of them.

mod access;
mod clusters;
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

use pailou_nacos::{Client, ServerAddress};
use pailou_routing::Route;

use self::clusters::Cluster;
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
    let settings = nacos::settings(args.config.as_deref())?;
    let mut findings = Findings::new(!args.json);
    let judge = Judge::new(settings.clone());
    let files = documents::files(&settings, &judge, &mut findings);
    let clusters = Cluster::all(&settings, QUESTION);
    let mut foreign = Vec::new();
    // A route of one cluster may name a service of another.
    if clusters.len() > 1 {
        findings.progress("documents of all clusters");
        for cluster in &clusters {
            foreign.push((&cluster.id, cluster.routes(&judge, SERVER).await?));
        }
    }
    for cluster in &clusters {
        let others = foreign.iter().filter(|(id, _)| **id != cluster.id);
        let others = others.flat_map(|(_, routes)| routes);
        let given: Vec<_> = files.iter().chain(others).cloned().collect();
        visit(cluster, &judge, &given, !args.json, &mut findings).await?;
    }
    findings.finish()?;
    Ok(if findings.is_anything_wrong() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Looks at every server of a cluster. `given` are the routes that are not in its documents.
async fn visit(
    cluster: &Cluster,
    judge: &Judge,
    given: &[Arc<Route>],
    tells: bool,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut first: Option<(String, Findings)> = None;
    for server in nacos::options(&cluster.settings)?.servers {
        let name = cluster.server(&server);
        findings.begin(&name, &cluster.id);
        let visit = async {
            let Some(visit) = Visit::begin(cluster, &server, findings).await? else {
                return Ok(());
            };
            // The servers of a cluster say the same, and where they do not, that is what is told.
            let mut said = Findings::new(first.is_none() && tells);
            said.begin(&name, &cluster.id);
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
    cluster: &'a Cluster,
    http: Http,
    /// Knows this server only.
    client: Client,
}

impl<'a> Visit<'a> {
    /// Finds out whether the server can be asked at all.
    async fn begin(
        cluster: &'a Cluster,
        server: &ServerAddress,
        findings: &mut Findings,
    ) -> anyhow::Result<Option<Visit<'a>>> {
        let settings = &cluster.settings;
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
            cluster,
            http,
            client,
        }))
    }

    /// Looks at what the gateway needs: namespaces, documents, services. `reach_out` also connects to instances.
    async fn inspect(
        &self,
        judge: &Judge,
        given: &[Arc<Route>],
        reach_out: bool,
        findings: &mut Findings,
    ) {
        let mut places = Places::of(&self.cluster.settings);
        let listed = namespaces::list(&self.http, &mut places, findings).await;
        let mut routes = given.to_vec();
        for place in self.cluster.documents() {
            routes.extend(documents::check(self, judge, &places, &place, findings).await);
        }
        let wanted = services::wanted(&routes, &self.cluster.id);
        for service in &wanted {
            places.add(&service.place);
        }
        namespaces::check(&listed, &places, findings);
        for service in &wanted {
            services::check(self, &places, service, reach_out, findings).await;
        }
        // Gateways register themselves in this one only.
        if self.cluster.is_default() {
            gateways::check(self, findings).await;
        }
    }
}
