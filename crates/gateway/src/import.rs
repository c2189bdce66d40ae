//! `pailou import`: the native form of the routes of a document of Spring Cloud Gateway.
//!
//! What it prints serves the same: Spring's predicates and filters keep their names and run as they are, and what is
//! exactly a key of the native form becomes that key. Routes stand in the order in which Spring would look, by numbers in
//! `order`, since the position in a native document means nothing.

mod yaml;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use pailou_config::{Fault, RouteSpec, Severity};
use pailou_routing::Route;

use crate::cli::ImportArgs;
use crate::judge::{Judge, Judged};
use crate::{nacos, say};

/// Between the orders of two routes, so that another one fits in.
const ORDER_STEP: i32 = 10;

/// Prints the native form of documents. The code says whether every route of them is in it.
pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let settings = nacos::settings(args.config.as_deref())?;
    let judge = Judge::new(settings);
    let mut routes = Vec::new();
    let mut faults = Vec::new();
    for file in &args.files {
        let Judged {
            routes: found,
            faults: said,
        } = judge.document(&name(file), &read(file)?);
        routes.extend(found);
        faults.extend(said);
    }
    let is_whole = faults
        .iter()
        .all(|fault| fault.severity == Severity::Warning);
    say::out(&document(routes, &faults))?;
    for fault in faults
        .iter()
        .filter(|fault| fault.severity == Severity::Error)
    {
        say::err(&fault.to_string());
    }
    Ok(match is_whole {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// The native document of these routes, and what is to be known of it.
fn document(mut routes: Vec<Arc<Route>>, faults: &[Fault]) -> String {
    // Stable, as Spring sorts: of equals the first in the text comes first.
    routes.sort_by_key(|route| route.spec.order);
    let mut text = String::from(
        "# Made by `pailou import`. Two things are looser here than in Spring Cloud Gateway's form: characters that a URI\n\
         # must encode are encoded and not refused, and one route with a fault refuses the whole document.\n",
    );
    for fault in faults
        .iter()
        .filter(|fault| fault.severity == Severity::Error)
    {
        yaml::comment(&mut text, "", &format!("not imported: {fault}"));
    }
    if routes.is_empty() {
        text.push_str("routes: {}\n");
        return text;
    }
    text.push_str("routes:\n");
    for (place, route) in (1..).zip(&routes) {
        let notes = faults.iter().filter(|fault| is_of(fault, &route.spec));
        for note in notes.filter(|fault| fault.severity == Severity::Warning) {
            yaml::comment(&mut text, "  ", &format!("differs: {note}"));
        }
        yaml::route(&mut text, &route.spec, ORDER_STEP.saturating_mul(place));
    }
    text
}

/// Whether a fault stands in this route: its path begins with the path of one of the route's parts.
fn is_of(fault: &Fault, spec: &RouteSpec) -> bool {
    let parts = spec.predicates.iter().chain(&spec.filters);
    fault.document == spec.document
        && !fault.path.is_empty()
        && parts
            .into_iter()
            .any(|part| fault.path.starts_with(&*part.path))
}
