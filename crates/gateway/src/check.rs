//! `pailou check`: every fault of settings and route documents in one run, without a server.

mod kind;

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use pailou_config::{
    Environment, Fault, MAX_DOCUMENT_BYTES, RouteSource, Settings, Severity, load_settings,
};
use pailou_proxy::{Certificates, UpstreamTls};
use pailou_routing::{Route, Table};
use pailou_telemetry::Metrics;
use serde_json::json;

use crate::cli::CheckArgs;
use crate::judge::{self, Judge, Listing, RouteVerdict, Verdict, fault};
use crate::run::plural;
use crate::{own_files, say};
use kind::Kind;

/// Checks each file. The code says whether there was an error.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut check = Check::new();
    for file in &args.files {
        check.file(file);
    }
    check.merged_table();
    say::out(&if args.json {
        format!(
            "{}\n",
            serde_json::to_string_pretty(&check.json(args.strict))?
        )
    } else {
        check.text()
    })?;
    Ok(match check.is_good(args.strict) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What has been found so far.
struct Check {
    settings: Settings,
    /// Whether the settings were read from a file, or are the defaults.
    has_settings: bool,
    /// One line for each file that was read.
    read: Vec<String>,
    faults: Vec<Fault>,
    routes: Vec<Arc<Route>>,
    /// Of routes in Spring's form.
    verdicts: Vec<RouteVerdict>,
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
            has_settings: false,
            read: Vec::new(),
            faults: Vec::new(),
            routes: Vec::new(),
            verdicts: Vec::new(),
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
            Ok(text) => match Kind::of(path, &text) {
                Kind::Settings => self.settings(path),
                Kind::Document => self.document(path, &text),
            },
        }
    }

    /// A file that the settings name is a route document, whatever it holds.
    fn named_document(&mut self, path: &Path) {
        if let Ok(path) = path.canonicalize()
            && !self.seen.insert(path)
        {
            return;
        }
        match read(path) {
            Err(fault) => self.faults.push(*fault),
            Ok(text) => self.document(path, &text),
        }
    }

    /// The environment is ignored, since a file is right or wrong by itself.
    fn settings(&mut self, path: &Path) {
        match load_settings(Some(path), &Environment::default()) {
            Err(faults) => {
                self.read
                    .push(format!("{}: settings, refused", path.display()));
                self.faults.extend(faults);
            }
            Ok(loaded) => {
                self.read.push(format!("{}: settings", path.display()));
                self.has_settings = true;
                self.faults.extend(own_files::faults(&loaded, Some(path)));
                self.faults.extend(judge::settings(&loaded));
                self.faults.extend(loaded.warnings);
                self.settings = loaded.settings;
                self.certificates(path);
                self.upstream_tls(path);
                for source in self.settings.routes.clone() {
                    if let RouteSource::File { path, .. } = source {
                        self.named_document(&path);
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

    /// What the files for TLS to endpoints hold.
    fn upstream_tls(&mut self, path: &Path) {
        let Err(faults) = UpstreamTls::load(&self.settings) else {
            return;
        };
        let name = path.display().to_string();
        self.faults.extend(faults.into_iter().map(|found| Fault {
            path: found.path,
            ..fault(&name, &found.problem)
        }));
    }

    fn document(&mut self, path: &Path, text: &str) {
        let name = path.display().to_string();
        let mut judge = Judge::new(self.settings.clone());
        if !self.has_settings {
            judge = judge.without_settings();
        }
        let judged = judge.document(&name, text);
        let found = match (&judged.verdicts, judged.is_refused()) {
            (Some(verdicts), is_refused) if !verdicts.is_empty() || !is_refused => {
                format!("in Spring Cloud Gateway's form, {}", summary(verdicts))
            }
            (Some(_), _) => "in Spring Cloud Gateway's form, refused".to_owned(),
            (_, true) => "refused".to_owned(),
            (_, false) => plural(judged.routes.len(), "route"),
        };
        self.read.push(format!("{name}: route document, {found}"));
        for verdict in judged.verdicts.into_iter().flatten() {
            self.read
                .push(format!("  {:<9} {}", verdict.verdict.name(), verdict.id));
            self.verdicts.push(verdict);
        }
        self.routes.extend(judged.routes);
        self.faults.extend(judged.faults);
    }

    /// The faults between documents: ids that are there twice, routes that no request can reach.
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
        self.read.extend(always_tried(&table));
    }

    /// Whether there is no fault; if `strict`, no warning either.
    fn is_good(&self, strict: bool) -> bool {
        let mut faults = self.faults.iter();
        faults.all(|fault| fault.severity == Severity::Warning && !strict)
    }

    fn json(&self, strict: bool) -> serde_json::Value {
        let (faults, more) = Listing::new().take(&self.faults);
        let mut listing = Listing::new();
        let routes = self.verdicts.iter().map(|route| {
            let (faults, more) = listing.take(&route.faults);
            json!({ "id": route.id, "verdict": route.verdict, "faults": faults, "more_faults": more })
        });
        json!({
            "ok": self.is_good(strict),
            "faults": faults,
            "more_faults": more,
            "routes": routes.collect::<Vec<_>>(),
        })
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
        let faults = judge::bounded(&self.faults).into_iter();
        let faults = faults.map(|line| format!("{line}\n"));
        read.chain(faults).chain([sum]).collect()
    }
}

/// How many routes run, run in another way, and do not.
fn summary(verdicts: &[RouteVerdict]) -> String {
    let count = |verdict: Verdict| {
        let all = verdicts.iter().filter(|route| route.verdict == verdict);
        let count = all.count();
        format!("{count} {}", verdict.name())
    };
    let routes = plural(verdicts.len(), "route");
    let counts = [Verdict::Accepted, Verdict::Differs, Verdict::Refused].map(count);
    format!("{routes}: {}", counts.join(", "))
}

/// What a request costs whatever its path, if it costs something.
fn always_tried(table: &Table) -> Option<String> {
    const LISTED: usize = 10;
    let ids: Vec<&str> = table.always_tried().map(|route| &*route.id).collect();
    let first = ids.first()?;
    let listed = ids[1..ids.len().min(LISTED)].iter();
    let listed = listed.fold((*first).to_owned(), |list, id| format!("{list}, {id}"));
    let more = ids.len().saturating_sub(LISTED);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "tried on every request, since their paths begin and their hosts end with a wildcard: {} ({listed}{more})",
        plural(ids.len(), "route")
    ))
}

/// The text of a file that may be settings or a route document.
pub(crate) fn read(path: &Path) -> Result<String, Box<Fault>> {
    let name = path.display().to_string();
    let refused = |problem: &str| Box::new(fault(&name, problem));
    // At most as much as shows that the file is too large, since it may be any file.
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
