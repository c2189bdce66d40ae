//! Whether the services that routes name have instances that a request could go to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_config::nearest;
use pailou_discovery::AddressRules;
use pailou_nacos::{Client, Error, Instance, wire};
use pailou_routing::Route;
use pailou_upstream::Subset;
use tokio::net::TcpStream;

use super::Visit;
use super::findings::Findings;
use super::places::{Place, Places, namespace};
use crate::run::plural;

/// How long a connection to an instance may take.
const CONNECT: Duration = Duration::from_secs(1);

/// How many instances of a service are connected to.
const MAX_CONNECTED: usize = 3;

/// How many instances are named in one line.
const MAX_NAMED: usize = 5;

/// A service that routes name.
pub(super) struct Wanted {
    pub(super) place: Place,
    /// Which of its instances which route takes; those that take all are not here.
    subsets: Vec<(Arc<str>, Subset)>,
}

/// Every service of a Nacos that a route names, once.
pub(super) fn wanted(routes: &[Arc<Route>], nacos: &str) -> Vec<Wanted> {
    let mut all: BTreeMap<Place, Vec<(Arc<str>, Subset)>> = BTreeMap::new();
    let selections = routes
        .iter()
        .flat_map(|route| route.selections().map(move |selection| (route, selection)));
    for (route, selection) in selections {
        let id = selection.service().id();
        if &*id.nacos != nacos {
            continue;
        }
        let subsets = all
            .entry(Place::new(&id.namespace, &id.group, &id.name))
            .or_default();
        let subset = selection.subset();
        if *subset != Subset::default() {
            subsets.push((route.id.clone(), subset.clone()));
        }
    }
    let wanted = |(place, subsets)| Wanted { place, subsets };
    all.into_iter().map(wanted).collect()
}

/// Judges one service.
pub(super) async fn check(
    visit: &Visit<'_>,
    places: &Places,
    wanted: &Wanted,
    reach_out: bool,
    findings: &mut Findings,
) {
    let place = &wanted.place;
    let name = place.to_string();
    findings.progress(&format!("service {name}"));
    let state = match query(&visit.client, naming(&place.namespace), place).await {
        Ok(state) => state,
        Err(error @ Error::Forbidden { .. }) => {
            let cure = format!(
                "Give the account the right to read {}.",
                namespace(&place.namespace)
            );
            return findings.problem("service", &name, error.to_string(), cure);
        }
        Err(error) => return findings.unknown("service", &name, error.to_string()),
    };
    let listed = visit.http.services(&place.namespace, &place.name).await;
    let counted = listed
        .iter()
        .flatten()
        .find(|one| one.group == place.group && one.name == place.name);
    let counted = counted.map_or(0, |one| usize::try_from(one.instances).unwrap_or_default());
    let disabled = counted.saturating_sub(state.instances.len());
    if state.instances.is_empty() {
        return empty(visit, places, place, disabled, findings).await;
    }
    let (eligible, out) = judge(&state, &visit.nacos.rules);
    let total = state.instances.len() + disabled;
    let mut reasons: Vec<_> = out
        .iter()
        .take(MAX_NAMED)
        .map(|(instance, reason)| format!("{} {reason}", address(instance)))
        .collect();
    if out.len() > MAX_NAMED {
        reasons.push(format!("{} more", out.len() - MAX_NAMED));
    }
    if disabled > 0 {
        reasons.push(format!("{disabled} disabled"));
    }
    let reasons = reasons.join(", ");
    if eligible.is_empty() {
        let cure = out.first().map_or("", |(_, reason)| reason.cure());
        let found = format!("{}, none eligible: {reasons}", plural(total, "instance"));
        return findings.problem("service", &name, found, cure);
    }
    let found = if reasons.is_empty() {
        format!("{}, all eligible", plural(total, "instance"))
    } else {
        format!(
            "{} of {total} instances eligible; {reasons}",
            eligible.len()
        )
    };
    if state.protected {
        let cure = "Lower the service's protection threshold in the console, or bring instances back: the server calls all of \
                    them healthy, and the gateway finds out by itself.";
        findings.warning(
            "service",
            &name,
            format!("{found}; protection threshold reached"),
            cure,
        );
    } else {
        findings.ok("service", &name, found);
    }
    subsets(wanted, &eligible, findings);
    if reach_out {
        connect(&name, &eligible, findings).await;
    }
}

/// What the server says of a service.
struct State {
    instances: Vec<Instance>,
    protected: bool,
}

/// The namespace as naming calls it.
fn naming(namespace: &str) -> &str {
    if namespace.is_empty() {
        wire::PUBLIC
    } else {
        namespace
    }
}

async fn query(client: &Client, namespace: &str, place: &Place) -> Result<State, Error> {
    let request = wire::ServiceQueryRequest {
        namespace: namespace.to_owned(),
        service_name: place.name.clone(),
        group_name: place.group.clone(),
        ..Default::default()
    };
    let info = client
        .request(request)
        .await?
        .service_info
        .unwrap_or_default();
    let hosts = info.hosts.unwrap_or_default();
    Ok(State {
        instances: hosts.into_iter().map(Instance::from).collect(),
        protected: info.reach_protection_threshold,
    })
}

/// Why an instance gets no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Disabled,
    Unhealthy,
    NoWeight,
    BadWeight,
    Refused(&'static str),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Disabled => f.write_str("disabled"),
            Reason::Unhealthy => f.write_str("unhealthy"),
            Reason::NoWeight => f.write_str("weight 0"),
            Reason::BadWeight => f.write_str("weight not a number"),
            Reason::Refused(why) => write!(f, "refused ({why})"),
        }
    }
}

impl Reason {
    fn cure(self) -> &'static str {
        match self {
            Reason::Disabled => "Enable an instance in the console.",
            Reason::Unhealthy => {
                "See whether the instances run and send their heartbeats to this Nacos, which hears nothing of them."
            }
            Reason::NoWeight | Reason::BadWeight => {
                "Give an instance a weight above 0, in the console or where it registers."
            }
            Reason::Refused(_) => {
                "Let the service register an address at which others reach it (NACOS_SERVICE_IP, \
                 spring.cloud.nacos.discovery.ip), or change discovery.allow_addresses or discovery.allow_loopback."
            }
        }
    }
}

fn judge<'a>(
    state: &'a State,
    rules: &AddressRules,
) -> (Vec<&'a Instance>, Vec<(&'a Instance, Reason)>) {
    let mut eligible = Vec::new();
    let mut out = Vec::new();
    for instance in &state.instances {
        // A host name is resolved and then judged by the gateway; here it is only connected to.
        let ip = instance.ip.parse().ok();
        let refused = ip.and_then(|ip| rules.refusal(SocketAddr::new(ip, instance.port)));
        let reason = if !instance.enabled {
            Some(Reason::Disabled)
        } else if !instance.healthy && !state.protected {
            Some(Reason::Unhealthy)
        } else if !instance.weight.is_finite() || instance.weight < 0.0 {
            Some(Reason::BadWeight)
        } else if instance.weight == 0.0 {
            Some(Reason::NoWeight)
        } else {
            refused.map(Reason::Refused)
        };
        match reason {
            None => eligible.push(instance),
            Some(reason) => out.push((instance, reason)),
        }
    }
    (eligible, out)
}

fn address(instance: &Instance) -> String {
    if instance.ip.contains(':') {
        format!("[{}]:{}", instance.ip, instance.port)
    } else {
        format!("{}:{}", instance.ip, instance.port)
    }
}

/// Whether each route that wants certain instances finds one.
fn subsets(wanted: &Wanted, eligible: &[&Instance], findings: &mut Findings) {
    for (route, subset) in &wanted.subsets {
        let has = |instance: &&&Instance| {
            let is_there =
                |(key, value): (&String, &String)| instance.metadata.get(key) == Some(value);
            subset
                .cluster
                .as_ref()
                .is_none_or(|cluster| *cluster == instance.cluster)
                && subset.metadata.iter().all(is_there)
        };
        let count = eligible.iter().filter(has).count();
        let subject = format!("{} for route {route}", wanted.place);
        if count > 0 {
            findings.ok(
                "subset",
                &subject,
                format!("{} with {subset}", plural(count, "instance")),
            );
            continue;
        }
        findings.problem(
            "subset",
            &subject,
            format!("no eligible instance with {subset}"),
            "Correct cluster and metadata in the route, or register instances with these values. Both are compared letter by letter.",
        );
    }
}

/// Whether something listens at the instances, as seen from here.
async fn connect(name: &str, eligible: &[&Instance], findings: &mut Findings) {
    let mut tried = tokio::task::JoinSet::new();
    for instance in eligible.iter().take(MAX_CONNECTED) {
        let (ip, port, shown) = (instance.ip.clone(), instance.port, address(instance));
        tried.spawn(async move {
            let connecting = TcpStream::connect((ip.as_str(), port));
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(format!("{shown} ({error})")),
                Err(_) => Err(format!("{shown} (no answer within {CONNECT:?})")),
            }
        });
    }
    let all = tried.join_all().await;
    let count = all.len();
    let mut failed: Vec<_> = all.into_iter().filter_map(Result::err).collect();
    failed.sort();
    if failed.is_empty() {
        return;
    }
    let found = format!("no TCP connection from here to {}", failed.join(", "));
    let cure = "Start the instance, or let it register an address that is reached from the gateway (NACOS_SERVICE_IP, \
                spring.cloud.nacos.discovery.ip), or open the network between.";
    if failed.len() == count {
        findings.problem("instance", name, found, cure);
    } else {
        findings.warning("instance", name, found, cure);
    }
}

/// Nobody is there: looks where else the service may be.
async fn empty(
    visit: &Visit<'_>,
    places: &Places,
    place: &Place,
    disabled: usize,
    findings: &mut Findings,
) {
    let name = place.to_string();
    if disabled > 0 {
        let found = format!("{}, all disabled", plural(disabled, "instance"));
        return findings.problem("service", &name, found, Reason::Disabled.cure());
    }
    // Some clients register into a namespace that is literally called "", which no console shows.
    if place.namespace.is_empty()
        && let Ok(state) = query(&visit.client, "", place).await
        && !state.instances.is_empty()
    {
        let found = format!(
            "{} in the namespace that is literally called \"\", none in `public`",
            plural(state.instances.len(), "instance")
        );
        let cure = "Set the service's namespace to `public`, or leave it out if its client then sends `public`.";
        return findings.problem("service", &name, found, cure);
    }
    let found = elsewhere(visit, places, place).await;
    if let Some((other, _)) = found.first() {
        let others: Vec<_> = found
            .iter()
            .map(|(other, count)| {
                format!("{} {}", plural(*count, "instance"), place.difference(other))
            })
            .collect();
        let mut route = vec![format!("name: {}", other.name)];
        if !visit.nacos.is_default() {
            route.push(format!("nacos: {}", visit.nacos.id));
        }
        if other.group != place.group {
            route.push(format!("group: {}", other.group));
        }
        if other.namespace != place.namespace {
            route.push(format!("namespace: \"{}\"", other.namespace));
        }
        return findings.problem(
            "service",
            &name,
            format!("no instance here; {}", others.join(", ")),
            format!(
                "Write `service: {{ {} }}` in the route, or register the service as {name}.",
                route.join(", ")
            ),
        );
    }
    let mut near = names(visit, place).await;
    let known = near.len();
    near.retain(|name| *name != place.name);
    if near.len() < known {
        return findings.problem(
            "service",
            &name,
            "the service exists, but all its instances have left",
            "Start the service. If it runs, see what its log says of Nacos.",
        );
    }
    let near = nearest(&place.name, near.iter().map(String::as_str));
    let (found, cure) = match near {
        Some(near) => (
            format!("no instance; there is a service `{near}` in this group"),
            format!(
                "Correct the name in the route if `{near}` is meant, or start `{}`.",
                place.name
            ),
        ),
        None => (
            "no instance, neither here nor in the other groups and namespaces that were searched".to_owned(),
            "Start the service. If it runs, see which Nacos address, namespace and group it registers with, and what its \
             log says."
                .to_owned(),
        ),
    };
    findings.problem("service", &name, found, cure);
}

/// Where people register a service by mistake, and with how many instances.
async fn elsewhere(visit: &Visit<'_>, places: &Places, place: &Place) -> Vec<(Place, usize)> {
    let mut found = Vec::new();
    for id in places.searched(&place.namespace) {
        if let Ok(listed) = visit.http.services(id, &place.name).await {
            let like = listed
                .into_iter()
                .filter(|one| one.instances > 0 && one.name.eq_ignore_ascii_case(&place.name));
            found.extend(like.map(|one| {
                let count = usize::try_from(one.instances).unwrap_or(usize::MAX);
                (Place::new(id, &one.group, &one.name), count)
            }));
        }
    }
    if found.is_empty() {
        for other in places.around(place, std::slice::from_ref(&place.name)) {
            let state = query(&visit.client, naming(&other.namespace), &other).await;
            match state.map_or(0, |state| state.instances.len()) {
                0 => {}
                count => found.push((other, count)),
            }
        }
    }
    found.retain(|(other, _)| other != place);
    found.truncate(MAX_NAMED);
    found
}

/// The names of the group's services.
async fn names(visit: &Visit<'_>, place: &Place) -> Vec<String> {
    let request = wire::ServiceListRequest {
        namespace: naming(&place.namespace).to_owned(),
        group_name: place.group.clone(),
        page_no: 1,
        page_size: 500,
        ..Default::default()
    };
    let answer = visit.client.request(request).await;
    answer
        .map(|answer| answer.service_names)
        .unwrap_or_default()
}
