//! An explanation as a person reads it.

use std::fmt::Write as _;

use super::{Explanation, FilterView, UpstreamView};

/// A line for each thing, the name of the thing first.
pub(super) fn write(explanation: &Explanation) -> String {
    let mut text = String::new();
    add(&mut text, explanation);
    text
}

/// The route and what goes to the service, between tabs.
pub(super) fn line_of(explanation: &Explanation) -> String {
    let route = explanation.route.as_deref().unwrap_or("-");
    let last = std::iter::successors(Some(explanation), |one| one.forwarded.as_deref()).last();
    let last = last.unwrap_or(explanation);
    let upstream = last.upstream.as_ref();
    let to = match (upstream, &last.answer, &last.service) {
        (Some(view), _, Some(service)) => format!("{service}\t{} {}", view.method, view.target),
        (_, Some(answer), _) => format!("-\t{answer}"),
        _ => "-\t404".to_owned(),
    };
    format!("{route}\t{to}")
}

// Writing to a string cannot fail.
fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<11}{value}");
}

fn add(text: &mut String, explanation: &Explanation) {
    line(text, "path", &explanation.path);
    match (&explanation.route, &explanation.stands) {
        (Some(route), Some(stands)) => line(text, "route", &format!("{route}  ({stands})")),
        (Some(route), None) => line(text, "route", route),
        (None, _) if explanation.answer.is_some() => line(text, "route", "none"),
        (None, _) => line(text, "route", "none: the answer is 404"),
    }
    for passed in &explanation.passed_over {
        let why = format!(
            "{}: {} asks for {}",
            passed.route, passed.predicate, passed.asks_for
        );
        line(text, "not", &why);
    }
    for (name, value) in &explanation.bindings {
        line(text, "bound", &format!("{name} = {value}"));
    }
    for view in &explanation.filters {
        filter(text, view);
    }
    if let Some(answer) = &explanation.answer {
        line(text, "answer", answer);
    }
    if let Some(service) = &explanation.service {
        line(text, "service", service);
    }
    if let Some(view) = &explanation.upstream {
        upstream(text, view);
    }
    if let Some(next) = &explanation.forwarded {
        text.push_str("forwarded\n");
        add(text, next);
    }
}

fn filter(text: &mut String, view: &FilterView) {
    let mut does: Vec<String> = view.note.iter().cloned().collect();
    does.extend(view.target.iter().map(|target| format!("target {target}")));
    does.extend(view.headers.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}: {value}"),
        None => format!("{name} removed"),
    }));
    let does = match does.is_empty() {
        true => "changes nothing of this request".to_owned(),
        false => does.join("; "),
    };
    line(text, "filter", &format!("{}: {does}", view.filter));
}

fn upstream(text: &mut String, view: &UpstreamView) {
    let host = view.host.as_deref().unwrap_or("-");
    line(
        text,
        "upstream",
        &format!("{} {}  host {host}", view.method, view.target),
    );
    let part = view.part.as_deref();
    let part = part
        .map(|part| format!(", the request wants {part}"))
        .unwrap_or_default();
    line(
        text,
        "balance",
        &format!("{} over {}{part}", view.balance, view.subset),
    );
    for endpoint in &view.endpoints {
        let reasons = match endpoint.reasons.is_empty() {
            true => String::new(),
            false => format!("  ({})", endpoint.reasons.join(", ")),
        };
        let name = if endpoint.is_in { "in" } else { "out" };
        line(text, name, &format!("{}{reasons}", endpoint.address));
    }
    let picked = view.picked.as_deref();
    line(
        text,
        "next",
        picked.unwrap_or("no endpoint: the answer is 503"),
    );
}
