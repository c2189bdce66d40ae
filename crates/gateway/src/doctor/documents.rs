//! Whether the route documents are there, and would be served.

use std::sync::Arc;

use pailou_config::{RouteSource, Settings, Severity};
use pailou_nacos::{Client, Error, wire};
use pailou_routing::Route;

use super::Visit;
use super::findings::Findings;
use super::places::{Place, Places, namespace};
use crate::check;
use crate::judge::{Judge, Judged};
use crate::run::plural;

/// How many faults of a document are told.
const MAX_FAULTS: usize = 5;

/// The routes of the files on this machine.
pub(super) fn files(
    settings: &Settings,
    judge: &Judge,
    findings: &mut Findings,
) -> Vec<Arc<Route>> {
    let mut routes = Vec::new();
    for source in &settings.routes {
        let RouteSource::File { path, .. } = source else {
            continue;
        };
        let name = path.display().to_string();
        match check::read(path) {
            Ok(text) => {
                let judged = judge.document(&name, &text);
                tell(&name, &judged, findings);
                routes.extend(judged.routes);
            }
            Err(fault) => findings.problem(
                "document",
                &name,
                fault.problem,
                "Correct the path in `routes` (relative to the folder of the settings), or the rights of the file.",
            ),
        }
    }
    routes
}

/// Judges one document of Nacos and gives its routes.
pub(super) async fn check(
    visit: &Visit<'_>,
    judge: &Judge,
    places: &Places,
    place: &Place,
    findings: &mut Findings,
) -> Vec<Arc<Route>> {
    let name = place.to_string();
    findings.progress(&format!("document {name}"));
    match read(&visit.client, &place.namespace, place).await {
        Ok(Some(text)) => {
            let judged = judge.document(&place.name, &text);
            tell(&name, &judged, findings);
            return judged.routes;
        }
        Ok(None) => missing(visit, places, place, findings).await,
        Err(error @ Error::Forbidden { .. }) => findings.problem(
            "document",
            &name,
            error.to_string(),
            format!(
                "Give the account the right to read {}.",
                namespace(&place.namespace)
            ),
        ),
        Err(error) => findings.unknown("document", &name, error.to_string()),
    }
    Vec::new()
}

fn tell(name: &str, judged: &Judged, findings: &mut Findings) {
    let routes = plural(judged.routes.len(), "route");
    if judged.is_refused() {
        let errors: Vec<_> = judged
            .faults
            .iter()
            .filter(|fault| fault.severity == Severity::Error)
            .collect();
        let mut lines: Vec<_> = errors
            .iter()
            .take(MAX_FAULTS)
            .map(ToString::to_string)
            .collect();
        if errors.len() > MAX_FAULTS {
            lines.push(format!("and {} more", errors.len() - MAX_FAULTS));
        }
        return findings.problem(
            "document",
            name,
            format!("is refused: {}", lines.join("; ")),
            "Correct the document and publish it again; `pailou check` shows every fault. Until then the gateway serves the last good version.",
        );
    }
    match judged.faults.len() {
        0 => findings.ok("document", name, routes),
        more => {
            let faults: Vec<_> = judged
                .faults
                .iter()
                .take(MAX_FAULTS)
                .map(ToString::to_string)
                .collect();
            let found = format!(
                "{routes}, {}: {}",
                plural(more, "warning"),
                faults.join("; ")
            );
            findings.warning(
                "document",
                name,
                found,
                "Read the warnings: are these differences meant?",
            );
        }
    }
}

async fn missing(visit: &Visit<'_>, places: &Places, place: &Place, findings: &mut Findings) {
    let name = place.to_string();
    let found = elsewhere(visit, places, place).await;
    let Some(other) = found.first() else {
        return findings.problem(
            "document",
            &name,
            "does not exist, and no document of a similar name was found elsewhere",
            format!(
                "Publish the document: pailou nacos config publish {} FILE --group {}, with the same --config or environment as this command",
                place.name, place.group
            ),
        );
    };
    if other.name == place.name && other.group == place.group && is_public(other) {
        return findings.problem(
            "document",
            &name,
            "does not exist in the default namespace, but in the one literally called `public`, which servers before 3.0 \
             keep apart over gRPC",
            "Publish it with an empty namespace id.",
        );
    }
    let others: Vec<_> = found.iter().map(|other| place.difference(other)).collect();
    findings.problem(
        "document",
        &name,
        format!("does not exist; there is one {}", others.join(", and one ")),
        format!(
            "Correct `routes` in the settings (data_id: {}, group: {}, namespace: \"{}\"), or publish it as {name}.",
            other.name, other.group, other.namespace
        ),
    );
}

/// Where people put a document by mistake: another group or namespace, with or without its extension.
async fn elsewhere(visit: &Visit<'_>, places: &Places, place: &Place) -> Vec<Place> {
    let stem = stem(&place.name);
    let mut found = Vec::new();
    for id in places.searched(&place.namespace) {
        if let Ok(listed) = visit.http.configs(id, stem).await {
            let like = listed
                .into_iter()
                .filter(|(_, data_id)| is_like(data_id, &place.name));
            found.extend(like.map(|(group, data_id)| Place::new(id, &group, &data_id)));
        }
    }
    if found.is_empty() {
        let names = ["", ".yaml", ".yml", ".json"].map(|extension| format!("{stem}{extension}"));
        for other in places.around(place, &names) {
            if let Ok(Some(_)) = read(&visit.client, &other.namespace, &other).await {
                found.push(other);
            }
        }
    }
    let literal = place.namespace.is_empty() && found.is_empty();
    if literal && let Ok(Some(_)) = read(&visit.client, wire::PUBLIC, place).await {
        found.push(Place {
            namespace: wire::PUBLIC.to_owned(),
            ..place.clone()
        });
    }
    found.retain(|other| other != place);
    found.truncate(MAX_FAULTS);
    found
}

fn is_public(place: &Place) -> bool {
    place.namespace == wire::PUBLIC
}

/// A config's content, `None` if there is none.
pub(super) async fn read(
    client: &Client,
    tenant: &str,
    place: &Place,
) -> Result<Option<String>, Error> {
    let request = wire::ConfigQueryRequest {
        data_id: place.name.clone(),
        group: place.group.clone(),
        tenant: tenant.to_owned(),
        ..Default::default()
    };
    match client.request(request).await {
        Ok(answer) => Ok(answer.content),
        Err(Error::Refused {
            code: wire::code::STARTING_OR_NOT_FOUND,
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn stem(data_id: &str) -> &str {
    match data_id.rsplit_once('.') {
        Some((stem, "yaml" | "yml" | "json" | "properties" | "txt")) => stem,
        _ => data_id,
    }
}

fn is_like(data_id: &str, wanted: &str) -> bool {
    stem(data_id).eq_ignore_ascii_case(stem(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_id_is_like_another_but_for_extension_and_case() {
        for (data_id, expected) in [
            ("routes", true),
            ("routes.yml", true),
            ("Routes.YAML", false),
            ("Routes.yaml", true),
            ("routes.v2.yaml", false),
            ("my-routes.yaml", false),
        ] {
            assert_eq!(is_like(data_id, "routes.yaml"), expected, "{data_id}");
        }
    }
}
