//! The part of publishing that computes and never waits. It runs on a blocking thread.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pailou_config::{Fault, RouteSpec, Settings};
use pailou_filters::Shared;
use pailou_routing::{Compiler, Route, Table};
use pailou_upstream::{Service, Services};

use crate::documents::{Documents, Verdict, panic_text};
use crate::snapshot::SavedText;
use crate::source::SourceState;
use crate::view::DocumentView;

/// What compiles a route.
pub(crate) type CompileRoute = Box<dyn Fn(Arc<RouteSpec>) -> Result<Arc<Route>, Vec<Fault>> + Send>;

/// Compiles routes with what the settings say for them.
pub(crate) fn compile_route(
    services: Arc<Services>,
    filters: Arc<Shared>,
    settings: Settings,
) -> CompileRoute {
    Box::new(move |spec| {
        let compiler = Compiler::new(&services, filters.metrics(), &filters, &settings);
        Route::compile_among(spec, &compiler, &settings)
    })
}

/// The documents and what compiles them.
pub(crate) struct Work {
    documents: Documents,
    compile: CompileRoute,
    revision: u64,
    /// Whether the next round prepares a table even if no document has changed.
    is_table_due: bool,
    /// The faults between documents: duplicate and shadowed routes of the last table.
    notes: Vec<Fault>,
}

/// The result of a round.
pub(crate) struct Outcome {
    pub(crate) verdicts: Vec<Verdict>,
    /// Duplicate and shadowed routes that the table before did not have.
    pub(crate) new_notes: Vec<Fault>,
    pub(crate) prepared: Option<Prepared>,
    pub(crate) documents: Vec<DocumentView>,
    pub(crate) error: Option<String>,
    pub(crate) texts: Arc<[Option<SavedText>]>,
    /// Which documents are to be taken again, as the gateway failed over them.
    pub(crate) again: Vec<usize>,
    /// Whether another round is needed, for these documents or for the snapshot's.
    pub(crate) failed: bool,
    /// Why no table was prepared although one was due.
    pub(crate) unprepared: Option<String>,
}

/// A table that is ready to be published.
pub(crate) struct Prepared {
    pub(crate) table: Table,
    pub(crate) revision: u64,
    pub(crate) md5: String,
    pub(crate) routes: usize,
    pub(crate) duplicates: usize,
    pub(crate) shadowed: usize,
    pub(crate) services: Vec<Arc<Service>>,
}

impl Work {
    /// Compiles the routes of `documents`.
    pub(crate) fn new(documents: Documents, compile: CompileRoute) -> Work {
        Work {
            documents,
            compile,
            revision: 0,
            is_table_due: false,
            notes: Vec::new(),
        }
    }

    /// Whether the snapshot has a text for a document that is still unknown.
    pub(crate) fn can_restore(&self) -> bool {
        self.documents.can_restore()
    }

    /// Makes the next round prepare a table in any case, provided that some document was ever good.
    pub(crate) fn owe_table(&mut self) {
        self.is_table_due = true;
    }

    /// Takes new states of documents. If the routes change, prepares the next table. With `anew`
    /// the snapshot's texts take the place of documents that are still unknown.
    pub(crate) fn apply(&mut self, updates: Vec<(usize, SourceState)>, anew: bool) -> Outcome {
        let mut again = Vec::new();
        let mut verdicts = Vec::new();
        for (index, state) in updates {
            let verdict = self.documents.take(index, state, &self.compile);
            if verdict.panicked {
                again.push(index);
            }
            verdicts.push(verdict);
        }
        if anew {
            verdicts.extend(self.documents.restore(&self.compile));
        }
        self.is_table_due |= verdicts.iter().any(|verdict| verdict.changed);
        let is_due = self.is_table_due && self.documents.is_any_good();
        let mut new_notes = Vec::new();
        let prepared = is_due.then(|| {
            let prepare = AssertUnwindSafe(|| self.prepare(&mut new_notes));
            catch_unwind(prepare).map_err(|panic| panic_text(&*panic).to_owned())
        });
        let (prepared, unprepared) = match prepared.transpose() {
            Ok(prepared) => {
                self.is_table_due &= prepared.is_none();
                (prepared, None)
            }
            Err(panic) => (None, Some(panic)),
        };
        Outcome {
            failed: unprepared.is_some() || verdicts.iter().any(|verdict| verdict.panicked),
            unprepared,
            verdicts,
            new_notes,
            prepared,
            documents: self.documents.views(),
            error: self.documents.first_error(),
            texts: self.documents.texts(),
            again,
        }
    }

    fn prepare(&mut self, new_notes: &mut Vec<Fault>) -> Prepared {
        self.revision += 1;
        let merged = self.documents.merge(self.revision);
        let table = Table::assemble(self.revision, merged.md5.clone(), merged.routes)
            .with_unrouted(merged.unrouted);
        let shadowed = table.shadowed();
        self.documents.note_shadowed(&shadowed);
        let counts = (merged.duplicates.len(), shadowed.len());
        let notes: Vec<_> = merged.duplicates.into_iter().chain(shadowed).collect();
        new_notes.extend(
            notes
                .iter()
                .filter(|note| !self.notes.contains(note))
                .cloned(),
        );
        self.notes = notes;
        let services: BTreeMap<_, _> = table
            .routes()
            .iter()
            .flat_map(|route| route.selections())
            .map(|selection| selection.service())
            .map(|service| (service.id(), service))
            .collect();
        let services = services.into_values().cloned().collect();
        Prepared {
            revision: self.revision,
            md5: merged.md5,
            routes: table.routes().len(),
            duplicates: counts.0,
            shadowed: counts.1,
            services,
            table,
        }
    }
}
