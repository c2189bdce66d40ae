//! A whole document in the form of Spring Cloud Gateway: where in the text its routes are, and what comes of them.

use std::{collections::HashMap, sync::Arc};

use super::{
    gateway::Gateway,
    notes::Notes,
    parts::Text,
    placeholders::Placeholders,
    route::Context,
    section::{self, Section},
};
use crate::{
    fault::{Fault, Position, Report, Severity},
    field::Field,
    node::{Node, Value},
    route::RouteSpec,
    route_document::{DocumentOutcome, ParsedDocument, RefusedRoute},
    settings::ScgSettings,
};

/// How many bytes the settings of all routes may take, copied to each of them.
const MAX_COPIED_BYTES: usize = 256 << 20;

/// Reads a text that was parsed already.
pub(crate) fn read(text: Text, report: Report, scg: &ScgSettings) -> DocumentOutcome {
    let is_blank = |part: &crate::Node| matches!(part.value, Value::Null);
    if text.parts.iter().all(is_blank) {
        return DocumentOutcome::Blank;
    }
    if report.has_errors() {
        return refused(report);
    }
    text.report_duplicates(Severity::Warning, &report);
    match section::find(text, scg, &report) {
        Some(section) => routes(section, report, scg),
        None => refused(report),
    }
}

/// Reads the properties of a text.
pub(crate) fn read_properties(text: &str, report: Report, scg: &ScgSettings) -> DocumentOutcome {
    match section::of_properties(text, scg, &report) {
        Some(section) => routes(section, report, scg),
        None => refused(report),
    }
}

fn refused(report: Report) -> DocumentOutcome {
    DocumentOutcome::Refused(ParsedDocument {
        faults: report.into_faults(),
        is_isolated: true,
        ..ParsedDocument::default()
    })
}

fn routes(mut section: Section, report: Report, scg: &ScgSettings) -> DocumentOutcome {
    let mut placeholders = Placeholders::new(&scg.placeholders, section.is_loaded_by_spring);
    placeholders.fill(&mut section.node);
    let mut beside = std::mem::take(&mut section.beside);
    beside.nodes_mut().for_each(|node| placeholders.fill(node));
    for (name, at) in placeholders.left() {
        let problem = format!(
            "`${{{name}:…}}` stays as it is written; to have it filled in from the environment, add {name} to \
             scg.placeholders in gateway.yaml"
        );
        warn(&report, Some(at), "", problem);
    }
    let mut notes = Notes::default();
    let field = Field::new(&section.node, section.path.as_str(), &report);
    let (mut gateway, list) = match section.is_list {
        true => (Gateway::default(), Some(field.clone())),
        false => Gateway::read(&field, &scg.beans, &mut notes),
    };
    gateway.beside = beside;
    let definitions = match list {
        Some(list) if list.is_sequence() => list.sequence().unwrap_or_default(),
        Some(list) => {
            list.fault_expected("no list of routes", "a list, `[]` for no routes");
            return refused(report);
        }
        None if gateway.locator.is_some() => Vec::new(),
        None => {
            field.fault_expected("`routes` is missing", "a list, `[]` for no routes");
            return refused(report);
        }
    };
    if gateway.weight().saturating_mul(definitions.len()) > MAX_COPIED_BYTES {
        field.fault("what holds for all routes is too long for so many of them");
    }
    if report.has_errors() {
        return refused(report);
    }
    let context = Context {
        scg,
        gateway: &gateway,
        needs_predicates: section.is_loaded_by_spring,
    };
    let mut found = Definitions {
        is_repository: !section.is_loaded_by_spring,
        ..Definitions::default()
    };
    for definition in &definitions {
        found.read(definition, &context, &mut notes, &report);
    }
    let located = located(&gateway, scg, &report);
    for node in &located {
        let field = Field::new(node, format!("{}.discovery.locator", section.path), &report);
        found.read(&field, &context, &mut notes, &report);
    }
    notes.report(&report);
    let mut parsed = found.finish(&report);
    parsed.unrouted = gateway.unrouted;
    parsed.faults = report.into_faults();
    DocumentOutcome::Routes(parsed)
}

/// The definitions of the routes that the locator makes, of services that the settings list.
fn located(gateway: &Gateway, scg: &ScgSettings, report: &Report) -> Vec<Node> {
    let Some(Some(locator)) = &gateway.locator else {
        return Vec::new();
    };
    let at = Some(locator.at());
    if scg.locator.is_empty() {
        let problem = "no service gets a route by itself: name those that may be reached in scg.locator in gateway.yaml, \
                       or write a route for each (`uri: lb://NAME`, `Path=/NAME/**`, `StripPrefix=1`)";
        warn(report, at, "discovery.locator", problem.to_owned());
    }
    let definitions = scg
        .locator
        .iter()
        .filter_map(|name| locator.definition(name));
    let found: Result<Vec<Node>, String> = definitions.collect();
    found.unwrap_or_else(|expression| {
        let problem = format!(
            "`{}`: of expressions only texts, `serviceId` and `+` are read; no service gets a route by itself",
            expression.escape_debug()
        );
        warn(report, at, "discovery.locator", problem);
        Vec::new()
    })
}

/// The definitions so far, in the order in which they are looked at.
#[derive(Default)]
struct Definitions {
    found: Vec<Found>,
    /// Of each id: its place, and how many had it.
    ids: HashMap<Arc<str>, (usize, usize)>,
    /// Whether they are put into a repository, as by programs that read a list of them: of two with one id the last stays.
    is_repository: bool,
}

struct Found {
    id: Arc<str>,
    at: Position,
    path: String,
    read: Result<RouteSpec, Vec<Fault>>,
    warnings: Vec<Fault>,
}

impl Definitions {
    fn read(
        &mut self,
        field: &Field<'_>,
        context: &Context<'_>,
        notes: &mut Notes,
        whole: &Report,
    ) {
        // A report of its own: what is wrong with this route is no fault of another.
        let report = Report::new(Arc::clone(whole.document()));
        let field = Field::new(field.node(), field.path(), &report);
        let definition = context.read(&field, notes);
        let (at, path) = (field.at(), field.path().to_owned());
        let is_refused = report.has_errors();
        let faults = report.into_faults();
        let (read, warnings) = match definition.spec {
            Some(spec) if !is_refused => (Ok(spec), faults),
            _ => (Err(faults), Vec::new()),
        };
        self.add(
            Found {
                id: definition.id,
                at,
                path,
                read,
                warnings,
            },
            whole,
        );
    }

    fn add(&mut self, mut found: Found, report: &Report) {
        let Some((place, count)) = self.ids.get_mut(&found.id) else {
            self.ids
                .insert(Arc::clone(&found.id), (self.found.len(), 1));
            self.found.push(found);
            return;
        };
        if self.is_repository {
            let problem = format!(
                "an earlier route has the id `{}`, which gives way to this one",
                shown(&found.id)
            );
            warn(report, Some(found.at), &found.path, problem);
            self.found[*place] = found;
            return;
        }
        let mut number = *count;
        let id = loop {
            number += 1;
            let id: Arc<str> = Arc::from(format!("{}~{number}", found.id));
            if !self.ids.contains_key(&id) {
                break id;
            }
        };
        if let Some((_, count)) = self.ids.get_mut(&found.id) {
            *count = number;
        }
        let problem = format!(
            "an earlier route has the id `{}`; both stay, and this one is called `{}`",
            shown(&found.id),
            shown(&id)
        );
        warn(report, Some(found.at), &found.path, problem);
        self.ids.insert(Arc::clone(&id), (self.found.len(), 1));
        if let Ok(spec) = &mut found.read {
            spec.id = Arc::clone(&id);
        }
        self.found.push(Found { id, ..found });
    }

    /// The routes that were read and those that were not; warnings go to the report.
    fn finish(self, report: &Report) -> ParsedDocument {
        let mut parsed = ParsedDocument {
            is_isolated: true,
            ..ParsedDocument::default()
        };
        for found in self.found {
            found
                .warnings
                .into_iter()
                .for_each(|fault| report.push(fault));
            match found.read {
                Ok(spec) => parsed.routes.push(spec),
                Err(faults) => parsed.refused.push(RefusedRoute {
                    id: found.id,
                    place: parsed.routes.len(),
                    faults,
                }),
            }
        }
        parsed
    }
}

fn shown(id: &str) -> impl std::fmt::Display + '_ {
    id.escape_debug()
}

fn warn(report: &Report, position: Option<Position>, path: &str, problem: String) {
    report.push(Fault {
        document: report.document().clone(),
        position,
        path: path.to_owned(),
        problem,
        expected: None,
        nearest: None,
        severity: Severity::Warning,
    });
}
