//! CORS settings, as a step in front of a route's filters.

use super::relaxed::Relaxed;
use crate::{
    field::Field,
    node::{Key, Node, Value},
    route::PartSpec,
    route_document::UnroutedSpec,
};

/// The name of the step.
pub(super) const STEP: &str = "Cors";

/// The step for `globalcors`: its arguments are Spring's `cors-configurations`, by path pattern in the order of the document, of which
/// the first that takes the request's path counts.
pub(super) fn of_gateway(field: &Field<'_>) -> Option<UnroutedSpec> {
    let mut keys = Relaxed::read(field)?;
    let is_enabled = keys.take("enabled").and_then(|field| field.string());
    if is_enabled.is_some_and(|text| text.eq_ignore_ascii_case("false")) {
        return None;
    }
    let simple = keys.take("add-to-simple-url-handler-mapping");
    let simple = simple.and_then(|field| field.string());
    let configurations = keys.take("cors-configurations");
    for (key, unknown) in keys.rest() {
        unknown.warn(format!(
            "{} is no key of globalcors; ignored",
            crate::field::quote(&key.text)
        ));
    }
    let configurations = configurations?;
    let mut entries = Vec::new();
    for (key, value) in configurations.entries()? {
        let bare = key
            .text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if bare.is_none() {
            value.warn("a pattern without brackets, of which Spring drops the signs; it is used as it is written here");
        }
        let text = bare.unwrap_or(&key.text).to_owned();
        entries.push((Key { text, at: key.at }, value.node().clone()));
    }
    (!entries.is_empty()).then(|| UnroutedSpec {
        cors: step(entries, &configurations),
        is_served: simple.is_some_and(|text| text.eq_ignore_ascii_case("true")),
    })
}

/// The step for `metadata.cors`: the same with one configuration, for every path of its route.
pub(super) fn of_route(field: &Field<'_>) -> Option<PartSpec> {
    // That it is a mapping is all that is looked at here.
    field.entries()?;
    let key = Key {
        text: "/**".to_owned(),
        at: field.at(),
    };
    Some(step(vec![(key, field.node().clone())], field))
}

fn step(entries: Vec<(Key, Node)>, field: &Field<'_>) -> PartSpec {
    PartSpec {
        name: STEP.to_owned(),
        args: Node {
            value: Value::Mapping(entries),
            at: field.at(),
        },
        at: field.at(),
        path: field.path().to_owned(),
    }
}
