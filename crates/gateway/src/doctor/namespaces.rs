//! Whether the namespaces are there, and are named by their ids.

use super::findings::Findings;
use super::places::Places;
use crate::nacos::http::{Http, HttpError, Namespace};

/// More namespaces than this are not searched for what is missing.
const MAX_SEARCHED: usize = 20;

/// Asks which namespaces there are; they are searched for what is missing.
pub(super) async fn list(
    http: &Http,
    places: &mut Places,
    findings: &mut Findings,
) -> Result<Vec<Namespace>, HttpError> {
    findings.progress("namespaces");
    let listed = http.namespaces().await;
    if let Ok(listed) = &listed {
        let ids = listed.iter().take(MAX_SEARCHED);
        places.elsewhere.extend(ids.map(|one| one.id.clone()));
    }
    listed
}

/// Judges the namespaces that settings and routes name.
pub(super) fn check(
    listed: &Result<Vec<Namespace>, HttpError>,
    places: &Places,
    findings: &mut Findings,
) {
    for id in places.namespaces.iter().filter(|id| !id.is_empty()) {
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let found = format!("the server does not say whether it exists ({error})");
                findings.unknown("namespace", id, found);
                continue;
            }
        };
        if let Some(found) = listed.iter().find(|one| one.id == *id) {
            findings.ok("namespace", id, format!("exists, named `{}`", found.name));
        } else if let Some(named) = listed.iter().find(|one| one.name == *id) {
            let cure = match named.id.as_str() {
                "" => {
                    "Write \"\" (or leave the namespace out) where the settings or routes name it."
                        .to_owned()
                }
                right => format!("Write the id, {right}, where the settings or routes name it."),
            };
            findings.problem(
                "namespace",
                id,
                "is the name of a namespace, not its id",
                cure,
            );
        } else {
            findings.warning(
                "namespace",
                id,
                "was never created. Nacos answers for it as for an empty namespace, and no console shows it",
                "Correct the id, or create the namespace with this id in the console.",
            );
        }
    }
}
