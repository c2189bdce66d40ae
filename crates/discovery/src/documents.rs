//! The route documents: the newest state of each, the last good one, and their merge.
//!
//! A native document is taken whole or not at all. If it has a fault, is blank, gone or unreadable, its last good
//! routes stay, and an alarm stays on until the document is good again. In a document in the form of Spring Cloud
//! Gateway each route stands alone: a route that cannot run keeps its own last good version, and does not affect
//! others. If no route can run, the document is refused like a native one. Only an explicit `routes: {}` empties a
//! document, and only this one.
//!
//! The last good text outlives the process: where a source has no good text to offer, the snapshot's is
//! taken. So do the older texts that routes still come from which newer ones broke.

mod older;
mod routes;

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use md5::{Digest, Md5};
use pailou_config::{DocumentOutcome, Fault, ParsedDocument, Reading, Report, RouteSpec, Severity};
use pailou_filters::UnroutedCors;
use pailou_routing::Route;

use self::routes::Compiled;
use crate::snapshot::{DocumentKey, OlderText, SavedText};
use crate::source::SourceState;
use crate::view::{DocumentState, DocumentView};

/// Turns a spec into a route, or says what is wrong with it.
pub(crate) type Compile<'a> = &'a dyn Fn(Arc<RouteSpec>) -> Result<Arc<Route>, Vec<Fault>>;

/// All documents, in the order of `gateway.yaml`.
#[derive(Debug)]
pub(crate) struct Documents {
    documents: Vec<Document>,
}

/// What a new state of a document led to.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The document's name.
    pub(crate) document: Arc<str>,
    /// What its newest state is.
    pub(crate) state: DocumentState,
    /// Whether other routes or another text are applied now.
    pub(crate) changed: bool,
    /// Whether an alarm was on before.
    pub(crate) was_alarmed: bool,
    /// Whether the gateway failed over it: the state is to be taken again.
    pub(crate) panicked: bool,
    /// Whether the snapshot's text was applied, since the source has no good one.
    pub(crate) restored: bool,
    /// Whether the source confirmed the snapshot's text.
    pub(crate) confirmed: bool,
    /// How many routes of it are applied.
    pub(crate) routes: usize,
    /// MD5 of the applied text.
    pub(crate) md5: String,
    /// The warnings about the applied text.
    pub(crate) warnings: Vec<Fault>,
    /// What is wrong with the newest state.
    pub(crate) faults: Vec<Fault>,
    /// Why it is not applied, in one sentence.
    pub(crate) reason: Option<String>,
    /// Where it comes from.
    pub(crate) key: Arc<DocumentKey>,
}

/// The merge of all last good documents.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// The routes, disabled ones included.
    pub(crate) routes: Vec<Arc<Route>>,
    /// MD5 over the texts, in order.
    pub(crate) md5: String,
    /// Routes left out because an earlier document has their id.
    pub(crate) duplicates: Vec<Fault>,
    /// What the documents say of requests that no route takes.
    pub(crate) unrouted: Vec<Arc<UnroutedCors>>,
}

#[derive(Debug)]
struct Document {
    name: Arc<str>,
    key: Arc<DocumentKey>,
    source: &'static str,
    reading: Reading,
    state: DocumentState,
    faults: Vec<Fault>,
    reason: Option<String>,
    good: Option<Good>,
    /// The text of the snapshot, until there is a good one.
    saved: Option<SavedText>,
    /// Of the last merge: routes that an earlier document keeps out.
    duplicates: Vec<Fault>,
    /// Routes of the last table that no request reaches.
    shadowed: Vec<Fault>,
}

#[derive(Debug)]
struct Good {
    text: Arc<str>,
    md5: String,
    routes: Vec<Arc<Route>>,
    /// What it says of requests that no route takes.
    unrouted: Option<Arc<UnroutedCors>>,
    /// Why routes of the text are not served, or not in this version.
    refused: Vec<Fault>,
    /// The routes that are not served in this version, but in an older one.
    kept: Vec<Arc<str>>,
    /// The texts that these are from.
    older: Arc<[OlderText]>,
    warnings: Vec<Fault>,
    revision: Option<u64>,
    /// Whether the text is the snapshot's, and the source has not confirmed it yet.
    from_snapshot: bool,
}

/// A document that no source has spoken of yet.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) name: Arc<str>,
    /// What names it over restarts.
    pub(crate) key: DocumentKey,
    /// The kind of source.
    pub(crate) source: &'static str,
    /// How its texts are read.
    pub(crate) reading: Reading,
    /// Its last good text in an earlier run.
    pub(crate) saved: Option<SavedText>,
}

impl Documents {
    /// Documents that no source has spoken of yet.
    pub(crate) fn new(documents: impl IntoIterator<Item = Unread>) -> Documents {
        let document = |unread: Unread| Document {
            name: unread.name,
            key: Arc::new(unread.key),
            source: unread.source,
            reading: unread.reading,
            saved: unread.saved,
            state: DocumentState::Waiting,
            faults: Vec::new(),
            reason: Some("its source has not answered yet".to_owned()),
            good: None,
            duplicates: Vec::new(),
            shadowed: Vec::new(),
        };
        Documents {
            documents: documents.into_iter().map(document).collect(),
        }
    }

    /// Takes the newest state of the document at `index`.
    pub(crate) fn take(
        &mut self,
        index: usize,
        state: SourceState,
        compile: Compile<'_>,
    ) -> Verdict {
        self.documents[index].judge(|document| document.take(state, compile), compile)
    }

    /// Whether the snapshot has a text for a document that is still unknown.
    pub(crate) fn can_restore(&self) -> bool {
        self.documents
            .iter()
            .any(|document| document.good.is_none() && document.saved.is_some())
    }

    /// Takes the snapshot's text for those documents whose sources are silent.
    pub(crate) fn restore(&mut self, compile: Compile<'_>) -> Vec<Verdict> {
        self.documents
            .iter_mut()
            .filter(|document| document.good.is_none() && document.saved.is_some())
            .map(|document| document.judge(|_| false, compile))
            .collect()
    }

    /// The last good text of each document.
    pub(crate) fn texts(&self) -> Arc<[Option<SavedText>]> {
        let saved = |good: &Good| SavedText {
            text: Arc::clone(&good.text),
            older: Arc::clone(&good.older),
        };
        let documents = self.documents.iter();
        documents
            .map(|document| document.good.as_ref().map(saved))
            .collect()
    }

    /// Whether some document was ever good: only then is there a table.
    pub(crate) fn is_any_good(&self) -> bool {
        self.documents
            .iter()
            .any(|document| document.good.is_some())
    }

    /// Merges the last good documents. Of two routes with one id the earlier document's stays.
    pub(crate) fn merge(&mut self, revision: u64) -> Merged {
        let mut merged = Merged::default();
        let mut md5 = Md5::new();
        let mut owners: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for document in &mut self.documents {
            document.duplicates.clear();
            let Some(good) = &mut document.good else {
                continue;
            };
            md5.update(good.text.as_bytes());
            good.revision.get_or_insert(revision);
            merged.unrouted.extend(good.unrouted.clone());
            for route in &good.routes {
                let owner = owners
                    .entry(Arc::clone(&route.spec.id))
                    .or_insert_with(|| Arc::clone(&document.name));
                if *owner == document.name {
                    merged.routes.push(Arc::clone(route));
                } else {
                    document.duplicates.push(duplicate(&route.spec, owner));
                }
            }
            merged.duplicates.extend_from_slice(&document.duplicates);
        }
        merged.md5 = hex(md5);
        merged
    }

    /// Notes which routes of the merge no request reaches.
    pub(crate) fn note_shadowed(&mut self, faults: &[Fault]) {
        for document in &mut self.documents {
            let own = faults
                .iter()
                .filter(|fault| fault.document == document.name);
            document.shadowed = own.cloned().collect();
        }
    }

    /// The documents as shown to people.
    pub(crate) fn views(&self) -> Vec<DocumentView> {
        self.documents.iter().map(Document::view).collect()
    }

    /// What a person should know first: the first document's fault or alarm.
    pub(crate) fn first_error(&self) -> Option<String> {
        self.documents.iter().find_map(Document::error)
    }
}

impl Good {
    /// `before` is what the routes are from that are kept.
    fn new(
        text: &Arc<str>,
        compiled: Compiled,
        mut warnings: Vec<Fault>,
        before: Option<&Good>,
    ) -> Good {
        let older = before.map(|before| older::of_kept(&compiled.kept, before));
        let routes = compiled.routes;
        warnings.extend(routes.iter().flat_map(|route| &route.warnings).cloned());
        Good {
            text: Arc::clone(text),
            md5: hex(Md5::new_with_prefix(text.as_bytes())),
            routes,
            unrouted: compiled.unrouted,
            refused: compiled.faults,
            kept: compiled.kept,
            older: older.unwrap_or_default().into(),
            warnings,
            revision: None,
            from_snapshot: false,
        }
    }
}

impl Document {
    /// Whether the applied text is not that of the newest state.
    fn is_alarmed(&self) -> bool {
        !matches!(self.state, DocumentState::Applied | DocumentState::Waiting)
    }

    /// Runs `take` on a new state, falls back on the snapshot if nothing is good, and returns the verdict.
    fn judge(&mut self, take: impl FnOnce(&mut Self) -> bool, compile: Compile<'_>) -> Verdict {
        let was_alarmed = self.is_alarmed();
        let was_from_snapshot = self.is_from_snapshot();
        // A document that makes the gateway fail costs the others nothing.
        let taken = catch_unwind(AssertUnwindSafe(|| take(self)));
        let mut panicked = taken.is_err();
        let changed = taken.unwrap_or_else(|panic| {
            self.refuse(vec![failed(&self.name, &*panic)]);
            false
        });
        let restored = self.good.is_none() && {
            let saved = self.saved.clone();
            let taken = catch_unwind(AssertUnwindSafe(|| self.take_saved(compile)));
            taken.unwrap_or_else(|_| {
                panicked = true;
                self.saved = saved;
                false
            })
        };
        if self.good.is_some() {
            self.saved = None;
        }
        let good = self.good.as_ref();
        Verdict {
            document: Arc::clone(&self.name),
            key: Arc::clone(&self.key),
            state: self.state,
            changed: changed || restored,
            panicked,
            was_alarmed,
            restored,
            confirmed: was_from_snapshot && !self.is_from_snapshot(),
            routes: good.map_or(0, |good| good.routes.len()),
            md5: good.map_or_else(String::new, |good| good.md5.clone()),
            warnings: good.map_or_else(Vec::new, |good| good.warnings.clone()),
            faults: self.faults.clone(),
            reason: self.reason.clone(),
        }
    }

    /// Applies the snapshot's text, and returns whether that succeeded. The state stays that of the source, which
    /// may be silent.
    fn take_saved(&mut self, compile: Compile<'_>) -> bool {
        let Some(good) = self
            .saved
            .take()
            .and_then(|saved| self.good_of(&saved, compile))
        else {
            return false;
        };
        self.good = Some(Good {
            from_snapshot: true,
            ..good
        });
        if self.state == DocumentState::Waiting {
            self.reason =
                Some("its source has not answered yet; served from the snapshot".to_owned());
        }
        true
    }

    /// What an earlier run served, as far as it can run.
    fn good_of(&self, saved: &SavedText, compile: Compile<'_>) -> Option<Good> {
        let DocumentOutcome::Routes(mut parsed) = self.reading.parse(&self.name, &saved.text)
        else {
            return None;
        };
        let older = older::restore(saved, &self.name, &self.reading, compile);
        let compiled = self.compile(&mut parsed, older.as_ref(), compile);
        // It was good once. Where this version of the gateway has become stricter, it is no help.
        if !compiled.faults.is_empty() && (!parsed.is_isolated || compiled.routes.is_empty()) {
            return None;
        }
        Some(Good::new(
            &saved.text,
            compiled,
            parsed.faults,
            older.as_ref(),
        ))
    }

    /// What an earlier run served, where a text may break routes of it and this run knows no good version of them.
    /// A document that makes the gateway fail is none.
    fn earlier(
        &self,
        text: &Arc<str>,
        parsed: &ParsedDocument,
        compile: Compile<'_>,
    ) -> Option<Good> {
        let saved = self.saved.as_ref()?;
        let says_more = saved.text != *text || !saved.older.is_empty();
        if self.good.is_some() || !parsed.is_isolated || !says_more {
            return None;
        }
        catch_unwind(AssertUnwindSafe(|| self.good_of(saved, compile)))
            .ok()
            .flatten()
    }

    fn is_from_snapshot(&self) -> bool {
        self.good.as_ref().is_some_and(|good| good.from_snapshot)
    }

    /// Takes a state; whether what is applied has changed.
    fn take(&mut self, state: SourceState, compile: Compile<'_>) -> bool {
        match state {
            SourceState::Missing => self.keep(DocumentState::Missing, "it does not exist"),
            SourceState::Unreadable(error) => self.keep(DocumentState::Unreadable, &error),
            SourceState::Text(text) => return self.take_text(&text, compile),
        }
        false
    }

    fn take_text(&mut self, text: &Arc<str>, compile: Compile<'_>) -> bool {
        if let Some(good) = &mut self.good
            && good.text == *text
        {
            good.from_snapshot = false;
            self.applied();
            return false;
        }
        let (mut parsed, is_refused) = match self.reading.parse(&self.name, text) {
            DocumentOutcome::Blank => {
                self.keep(DocumentState::Blank, "it is blank");
                return false;
            }
            DocumentOutcome::Refused(parsed) => (parsed, true),
            DocumentOutcome::Routes(parsed) => (parsed, false),
        };
        let earlier = self.earlier(text, &parsed, compile);
        let before = self.good.as_ref().or(earlier.as_ref());
        // What is refused already is compiled all the same: a person wants every fault in one run.
        let compiled = self.compile(&mut parsed, before, compile);
        let is_any = parsed.is_isolated && !compiled.routes.is_empty();
        if is_refused || !(compiled.faults.is_empty() || is_any) {
            parsed.add(compiled.faults);
            self.refuse(parsed.faults);
            return false;
        }
        self.good = Some(Good::new(text, compiled, parsed.faults, before));
        self.applied();
        true
    }

    /// Compiles every route, taking over those of `before` whose spec has not changed.
    fn compile(
        &self,
        parsed: &mut ParsedDocument,
        before: Option<&Good>,
        compile: Compile<'_>,
    ) -> Compiled {
        let before = before.map_or(&[][..], |good| &good.routes);
        let unrouted = parsed.unrouted.take().and_then(|spec| {
            // The faults of each route are reported with the route.
            let report = Report::new(Arc::clone(&self.name));
            UnroutedCors::compile(&spec, self.reading.scg.compat, &report)
        });
        Compiled {
            unrouted: unrouted.map(Arc::new),
            ..routes::compile(parsed, before, compile)
        }
    }

    /// The newest state is served: all of it, or what can run of it.
    fn applied(&mut self) {
        let good = self.good.as_ref();
        self.faults = good.map_or_else(Vec::new, |good| good.refused.clone());
        self.reason = first_of(&self.faults);
        self.state = match self.faults.is_empty() {
            true => DocumentState::Applied,
            false => DocumentState::Partial,
        };
    }

    fn keep(&mut self, state: DocumentState, reason: &str) {
        self.state = state;
        self.faults.clear();
        self.reason = Some(reason.to_owned());
    }

    fn refuse(&mut self, faults: Vec<Fault>) {
        self.state = DocumentState::Refused;
        self.reason = first_of(&faults);
        self.faults = faults;
    }

    fn error(&self) -> Option<String> {
        match (&self.reason, self.is_alarmed()) {
            // A fault names its document by itself.
            (Some(reason), true)
                if matches!(self.state, DocumentState::Refused | DocumentState::Partial) =>
            {
                Some(reason.clone())
            }
            (Some(reason), true) => Some(format!("{}: {reason}", self.name)),
            _ => first_of(&self.duplicates),
        }
    }

    fn view(&self) -> DocumentView {
        let good = self.good.as_ref();
        let faults = self.faults.iter().chain(&self.duplicates);
        let warnings = good.into_iter().flat_map(|good| &good.warnings);
        DocumentView {
            name: self.name.to_string(),
            source: self.source,
            state: self.state,
            alarm: self.is_alarmed(),
            reason: self.reason.clone(),
            from_snapshot: self.is_from_snapshot(),
            trouble: None,
            md5: good.map(|good| good.md5.clone()),
            revision: good.and_then(|good| good.revision),
            routes: good.map_or(0, |good| good.routes.len()),
            faults: faults.cloned().collect(),
            warnings: warnings.chain(&self.shadowed).cloned().collect(),
        }
    }
}

fn first_of(faults: &[Fault]) -> Option<String> {
    let is_error = |fault: &&Fault| fault.severity == Severity::Error;
    let first = faults.iter().find(is_error).or_else(|| faults.first());
    first.map(Fault::to_string)
}

fn duplicate(spec: &RouteSpec, owner: &str) -> Fault {
    Fault {
        document: Arc::clone(&spec.document),
        position: Some(spec.at),
        path: format!("routes.{}", spec.id),
        problem: format!("the earlier document {owner} has a route with this id, which stays"),
        expected: Some("an id that is unique over all documents".to_owned()),
        nearest: None,
        severity: Severity::Error,
    }
}

/// The words of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason is known")
}

/// The fault of a version that the gateway failed over.
fn failed(document: &Arc<str>, panic: &(dyn Any + Send)) -> Fault {
    let panic = panic_text(panic);
    Fault {
        document: Arc::clone(document),
        position: None,
        path: String::new(),
        problem: format!(
            "the gateway failed while it compiled this document ({panic}), and tries again"
        ),
        expected: None,
        nearest: None,
        severity: Severity::Error,
    }
}

/// The digest in hexadecimal digits.
pub(crate) fn hex(md5: Md5) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(32);
    for byte in md5.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
