//! The part of publishing that computes and does not wait: it runs on a blocking thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use pailou_config::{Fault, Settings};
use pailou_routing::{Compiler, Route, Table};
use pailou_telemetry::Metrics;
use pailou_upstream::{Service, ServiceId, Services};

use crate::documents::{Documents, Verdict};
use crate::source::SourceState;
use crate::view::DocumentView;

/// What routes are compiled with.
pub(crate) struct Defaults {
    pub(crate) services: Arc<Services>,
    pub(crate) metrics: Metrics,
    /// What routes and services do not say, and which registries there are.
    pub(crate) settings: Settings,
}

/// The documents and what compiles them.
pub(crate) struct Work {
    documents: Documents,
    defaults: Defaults,
    revision: u64,
    /// What the documents are to one another: duplicates and shadowed routes of the last table.
    notes: Vec<Fault>,
}

/// What came of some updates.
pub(crate) struct Outcome {
    pub(crate) verdicts: Vec<Verdict>,
    /// Duplicates and shadowed routes that there were none of before.
    pub(crate) new_notes: Vec<Fault>,
    pub(crate) prepared: Option<Prepared>,
    pub(crate) documents: Vec<DocumentView>,
    pub(crate) error: Option<String>,
    pub(crate) texts: Arc<[Option<Arc<str>>]>,
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
    /// Compiles `documents` with these defaults.
    pub(crate) fn new(documents: Documents, defaults: Defaults) -> Work {
        Work {
            documents,
            defaults,
            revision: 0,
            notes: Vec::new(),
        }
    }

    /// Whether the snapshot has a text for a document that none is known of yet.
    pub(crate) fn can_restore(&self) -> bool {
        self.documents.can_restore()
    }

    /// Takes new states of documents and, when other routes follow, prepares the next table. With `anew`
    /// the snapshot's texts take the place of documents that are still unknown, and a table is prepared
    /// in any case, provided that some document was ever good.
    pub(crate) fn apply(&mut self, updates: Vec<(usize, SourceState)>, anew: bool) -> Outcome {
        let settings = &self.defaults.settings;
        let compiler = Compiler {
            services: &self.defaults.services,
            metrics: &self.defaults.metrics,
            defaults: &settings.defaults,
            source: ServiceId::DEFAULT_SOURCE,
            namespace: &settings.nacos.namespace,
            group: &settings.nacos.group,
        };
        let compile = |spec| Route::compile_among(spec, &compiler, settings);
        let mut verdicts: Vec<_> = updates
            .into_iter()
            .map(|(index, state)| self.documents.take(index, state, &compile))
            .collect();
        if anew {
            verdicts.extend(self.documents.restore(&compile));
        }
        let changed = verdicts.iter().any(|verdict| verdict.changed)
            || (anew && self.documents.is_any_good());
        let mut new_notes = Vec::new();
        let prepared = changed.then(|| self.prepare(&mut new_notes));
        Outcome {
            verdicts,
            new_notes,
            prepared,
            documents: self.documents.views(),
            error: self.documents.first_error(),
            texts: self.documents.texts(),
        }
    }

    fn prepare(&mut self, new_notes: &mut Vec<Fault>) -> Prepared {
        self.revision += 1;
        let merged = self.documents.merge(self.revision);
        let table = Table::assemble(self.revision, merged.md5.clone(), merged.routes);
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
