//! Whole documents: forms, what holds for all routes, what refuses one.

mod forms;
mod gateway;
mod hostile;
mod locator;
mod oracle;
mod routes;

use crate::{DocumentOutcome, ParsedDocument, RouteSpec, ScgSettings, parse_route_document};

/// A document that is read, with the settings.
fn read_with(text: &str, scg: &ScgSettings) -> ParsedDocument {
    match parse_route_document("d", text, scg) {
        DocumentOutcome::Routes(document) => {
            assert!(document.is_isolated, "{text}");
            document
        }
        other => panic!("{text}\n{other:#?}"),
    }
}

fn read(text: &str) -> ParsedDocument {
    read_with(text, &ScgSettings::default())
}

/// The only route of a document without faults.
fn only(text: &str) -> RouteSpec {
    let mut document = read(text);
    assert_eq!(told(&document), [""; 0], "{text}");
    assert_eq!(document.refused, [], "{text}");
    assert_eq!(document.routes.len(), 1, "{text}");
    document.routes.remove(0)
}

/// The faults of a document that is refused whole.
fn refused_with(text: &str, scg: &ScgSettings) -> Vec<String> {
    match parse_route_document("d", text, scg) {
        DocumentOutcome::Refused(document) => told(&document),
        other => panic!("{text}\n{other:#?}"),
    }
}

fn told(document: &ParsedDocument) -> Vec<String> {
    document.faults.iter().map(ToString::to_string).collect()
}

/// The refused routes, each with its place and its faults.
fn refused(document: &ParsedDocument) -> Vec<(String, usize, Vec<String>)> {
    let shown = document.refused.iter().map(|route| {
        let faults = route.faults.iter().map(ToString::to_string).collect();
        (route.id.to_string(), route.place, faults)
    });
    shown.collect()
}

fn ids(document: &ParsedDocument) -> Vec<&str> {
    document.routes.iter().map(|route| &*route.id).collect()
}

/// A part with its arguments as JSON.
fn part(part: &crate::PartSpec) -> String {
    let args = serde_json::to_string(&part.args).expect("plain data");
    format!("{} {args}", part.name)
}

fn parts(parts: &[crate::PartSpec]) -> Vec<String> {
    parts.iter().map(part).collect()
}

/// The settings of a section `scg`.
fn settings(scg: &str) -> ScgSettings {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, format!("scg: {scg}\n")).expect("written");
    let loaded = crate::load_settings(Some(&file), &crate::Environment::default());
    loaded
        .unwrap_or_else(|faults| panic!("{faults:#?}"))
        .settings
        .scg
}
