//! `pailou check`: every fault of settings and route documents in one run, without a server.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use pailou_config::{
    Environment, Fault, MAX_DOCUMENT_BYTES, Node, Report, RouteSource, Settings, Severity, Value,
    load_settings, settings_reference,
};
use pailou_proxy::Certificates;
use pailou_routing::{Route, Table};
use pailou_telemetry::Metrics;

use crate::cli::CheckArgs;
use crate::judge::{self, Judge, fault};
use crate::run::plural;
use crate::{own_files, say};

/// Checks each file. The code says whether there was an error.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut check = Check::new();
    for file in &args.files {
        check.file(file);
    }
    check.merged_table();
    say::out(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&check.faults)?)
    } else {
        check.text()
    })?;
    let is_bad = check
        .faults
        .iter()
        .any(|fault| fault.severity == Severity::Error);
    Ok(if is_bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What has been found so far.
struct Check {
    settings: Settings,
    /// One line for each file that was read.
    read: Vec<String>,
    faults: Vec<Fault>,
    routes: Vec<Arc<Route>>,
    /// A file that the settings name may also be on the command line.
    seen: HashSet<PathBuf>,
}

impl Check {
    fn new() -> Check {
        let settings = load_settings(None, &Environment::default())
            .expect("defaults are valid settings")
            .settings;
        Check {
            settings,
            read: Vec::new(),
            faults: Vec::new(),
            routes: Vec::new(),
            seen: HashSet::new(),
        }
    }

    fn file(&mut self, path: &Path) {
        if let Ok(path) = path.canonicalize()
            && !self.seen.insert(path)
        {
            return;
        }
        match read(path) {
            Err(fault) => self.faults.push(*fault),
            Ok(text) if holds_settings(path, &text) => self.settings(path),
            Ok(text) => self.document(path, &text),
        }
    }

    /// The environment is left out: a file is right or wrong by itself.
    fn settings(&mut self, path: &Path) {
        match load_settings(Some(path), &Environment::default()) {
            Err(faults) => self.faults.extend(faults),
            Ok(loaded) => {
                self.read.push(format!("{}: settings", path.display()));
                self.faults.extend(own_files::faults(&loaded, Some(path)));
                self.faults.extend(judge::defaults(&loaded));
                self.faults.extend(loaded.warnings);
                self.settings = loaded.settings;
                self.certificates(path);
                for source in self.settings.routes.clone() {
                    if let RouteSource::File(file) = source {
                        self.file(&file);
                    }
                }
            }
        }
    }

    /// The files that the listeners name.
    fn certificates(&mut self, path: &Path) {
        let name = path.display().to_string();
        let listeners = &self.settings.listeners;
        let faults = match Certificates::load(listeners, &name, &Metrics::new()) {
            Ok((_, doubts)) => doubts,
            Err(faults) => faults,
        };
        self.faults.extend(faults);
    }

    fn document(&mut self, path: &Path, text: &str) {
        let name = path.display().to_string();
        let judged = Judge::new(self.settings.clone()).document(&name, text);
        if !judged.is_refused() {
            let routes = plural(judged.routes.len(), "route");
            self.read.push(format!("{name}: {routes}"));
        }
        self.routes.extend(judged.routes);
        self.faults.extend(judged.faults);
    }

    /// What only shows when all documents are seen together: ids that stand twice, routes that nothing can reach.
    fn merged_table(&mut self) {
        let mut first: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for route in &self.routes {
            let spec = &route.spec;
            if let Some(document) = first.get(&spec.id) {
                self.faults.push(Fault {
                    position: Some(spec.at),
                    path: format!("routes[{:?}]", &*spec.id),
                    ..fault(
                        &spec.document,
                        &format!("the id stands in {document} already, whose route stays"),
                    )
                });
            } else {
                first.insert(spec.id.clone(), spec.document.clone());
            }
        }
        let table = Table::assemble(1, "", std::mem::take(&mut self.routes));
        self.faults.extend(table.shadowed());
    }

    fn text(&self) -> String {
        let errors = self
            .faults
            .iter()
            .filter(|fault| fault.severity == Severity::Error)
            .count();
        let warnings = self.faults.len() - errors;
        let sum = format!(
            "{}, {}\n",
            plural(errors, "fault"),
            plural(warnings, "warning")
        );
        let read = self.read.iter().map(|line| format!("{line}\n"));
        let faults = self.faults.iter().map(|fault| format!("{fault}\n"));
        read.chain(faults).chain([sum]).collect()
    }
}

/// The text of a file that may be settings or a route document.
pub(crate) fn read(path: &Path) -> Result<String, Box<Fault>> {
    let name = path.display().to_string();
    let refused = |problem: &str| Box::new(fault(&name, problem));
    // No more than it takes to see that it is too much: the file may be anything.
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(MAX_DOCUMENT_BYTES as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(|error| refused(&format!("cannot be read: {error}")))?;
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(refused(&format!(
            "is larger than {MAX_DOCUMENT_BYTES} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|_| refused("is not a text in UTF-8"))
}

/// Settings have sections; a route document has the mapping `routes` alone. What cannot be told by its content is told
/// by its name.
fn holds_settings(path: &Path, text: &str) -> bool {
    let report = Report::new("");
    let Some(Node {
        value: Value::Mapping(entries),
        ..
    }) = Node::parse_yaml(text, &report)
    else {
        return path.file_stem().is_some_and(|stem| stem == "gateway");
    };
    let sections = settings_reference();
    entries.iter().any(|(key, node)| match key.text.as_str() {
        "routes" => matches!(node.value, Value::Sequence(_)),
        name => sections.iter().any(|section| section.name == name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_documents_are_told_apart() {
        for (name, text, is_settings) in [
            ("x.yaml", "routes: { /a/**: a }", false),
            ("x.yaml", "routes: {}", false),
            ("x.yaml", "routes: [{ data_id: r.yaml }]", true),
            ("x.yaml", "nacos: {}\nroutes: {}", true),
            ("x.yaml", "route: {}", false),
            ("gateway.yaml", "routes: { /a/**: a }", false),
            ("gateway.yaml", "", true),
            ("routes.yaml", "", false),
        ] {
            assert_eq!(
                holds_settings(Path::new(name), text),
                is_settings,
                "{name}: {text}"
            );
        }
    }
}
