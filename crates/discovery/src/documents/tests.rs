use std::cell::Cell;

use pailou_config::Environment;
use pailou_routing::Compiler;
use pailou_telemetry::Metrics;
use pailou_upstream::{EjectionSettings, Services};

use super::*;

struct Bench {
    documents: Documents,
    services: Arc<Services>,
    metrics: Metrics,
    settings: pailou_config::Settings,
    compiled: Cell<usize>,
    revision: u64,
}

impl Bench {
    fn new(names: &[&str]) -> Bench {
        Bench::with_saved(&names.iter().map(|name| (*name, None)).collect::<Vec<_>>())
    }

    /// Documents by name, with the text of the snapshot.
    fn with_saved(documents: &[(&str, Option<&str>)]) -> Bench {
        let documents = documents.iter();
        Bench::of(documents.map(|(name, saved)| (*name, saved.map(SavedText::of))))
    }

    /// Documents by name, with what the snapshot has of them.
    fn of<'n>(documents: impl Iterator<Item = (&'n str, Option<SavedText>)>) -> Bench {
        let metrics = Metrics::new();
        let loaded = pailou_config::load_settings(None, &Environment::default());
        let documents = documents.map(|(name, saved)| Unread {
            name: Arc::from(name),
            key: DocumentKey::File(name.to_owned()),
            source: "file",
            reading: pailou_config::Reading::default(),
            saved,
        });
        Bench {
            documents: Documents::new(documents),
            services: Services::new(EjectionSettings::default(), metrics.clone()),
            metrics,
            settings: loaded.expect("default settings").settings,
            compiled: Cell::new(0),
            revision: 0,
        }
    }

    fn take(&mut self, index: usize, state: SourceState) -> Verdict {
        self.with_compiler(|documents, compile| documents.take(index, state, compile))
    }

    fn restore(&mut self) -> Vec<Verdict> {
        self.with_compiler(|documents, compile| documents.restore(compile))
    }

    fn with_compiler<T>(&mut self, act: impl FnOnce(&mut Documents, Compile<'_>) -> T) -> T {
        let filters = pailou_filters::Shared::new(self.metrics.clone());
        let compiler = Compiler::new(&self.services, &self.metrics, &filters, &self.settings);
        let compile = |spec| {
            self.compiled.set(self.compiled.get() + 1);
            Route::compile(spec, &compiler)
        };
        act(&mut self.documents, &compile)
    }

    fn text(&mut self, index: usize, text: &str) -> Verdict {
        self.take(index, SourceState::Text(text.into()))
    }

    /// The merged routes as `id=service`.
    fn routes(&mut self) -> Vec<String> {
        self.revision += 1;
        let merged = self.documents.merge(self.revision);
        let service = |route: &Route| {
            let selection = route.target.selection();
            selection.map(|selection| selection.service().id().name.clone())
        };
        let name =
            |route: &Arc<Route>| format!("{}={}", route.id, service(route).unwrap_or_default());
        merged.routes.iter().map(name).collect()
    }
}

#[test]
fn whatever_is_wrong_with_a_document_its_last_good_routes_stay() {
    let mut bench = Bench::new(&["a.yaml"]);
    let good = "routes: { /a/**: one }";
    let verdict = bench.text(0, good);
    assert!(verdict.changed && verdict.state == DocumentState::Applied);
    let bad = [
        (SourceState::Missing, DocumentState::Missing),
        (
            SourceState::Unreadable("locked".into()),
            DocumentState::Unreadable,
        ),
        (SourceState::Text("".into()), DocumentState::Blank),
        (
            SourceState::Text("# routes: {}\n".into()),
            DocumentState::Blank,
        ),
        (
            SourceState::Text("routes: { /b/**: }".into()),
            DocumentState::Refused,
        ),
        (
            SourceState::Text("routes: [".into()),
            DocumentState::Refused,
        ),
        (
            SourceState::Text("#".repeat(pailou_config::MAX_DOCUMENT_BYTES + 1).into()),
            DocumentState::Refused,
        ),
        (
            SourceState::Text(
                "routes: { b: { path: /b, service: s, filters: [ { no_such: {} } ] } }".into(),
            ),
            DocumentState::Refused,
        ),
    ];
    for (state, expected) in bad {
        let shown: String = format!("{state:?}").chars().take(80).collect();
        let verdict = bench.take(0, state);
        assert_eq!(verdict.state, expected, "{shown}");
        assert!(!verdict.changed, "{shown}");
        assert_eq!(verdict.routes, 1, "{shown}");
        assert!(verdict.reason.is_some(), "{shown}");
        assert_eq!(
            verdict.faults.is_empty(),
            expected != DocumentState::Refused,
            "{shown}"
        );
        assert_eq!(bench.routes(), ["/a/**=one"], "{shown}");
        assert!(bench.documents.views()[0].alarm, "{shown}");
        assert!(
            bench
                .documents
                .first_error()
                .expect("an error")
                .contains("a.yaml")
        );

        let restored = bench.text(0, good);
        assert!(restored.was_alarmed && !restored.changed, "{shown}");
        assert_eq!(restored.state, DocumentState::Applied, "{shown}");
        assert_eq!(bench.documents.first_error(), None, "{shown}");
        assert!(!bench.documents.views()[0].alarm, "{shown}");
    }
}

#[test]
fn every_fault_of_a_refused_document_is_reported() {
    let mut bench = Bench::new(&["a.yaml"]);
    let verdict = bench.text(
        0,
        "routes:\n  a: { path: /a, service: s, filters: [ { no_such: {} } ] }\n  b: { path: /b, service: s, balance: no_such }\n",
    );
    assert_eq!(verdict.faults.len(), 2, "{:?}", verdict.faults);
    assert!(!bench.documents.is_any_good());
}

#[test]
fn an_explicit_empty_mapping_empties_its_own_document_only() {
    let mut bench = Bench::new(&["a.yaml", "b.yaml"]);
    bench.text(0, "routes: { /a/**: one }");
    bench.text(1, "routes: { /b/**: two }");
    assert_eq!(bench.routes(), ["/a/**=one", "/b/**=two"]);
    assert!(bench.text(0, "routes: {}").changed);
    assert_eq!(bench.routes(), ["/b/**=two"]);
    assert!(!bench.documents.views()[0].alarm);
}

#[test]
fn of_two_routes_with_one_id_the_earlier_documents_stays() {
    let mut bench = Bench::new(&["a.yaml", "b.yaml"]);
    // The order of arrival does not matter, that of gateway.yaml does.
    bench.text(1, "routes: { /x/**: two, /b/**: two }");
    assert_eq!(bench.routes(), ["/x/**=two", "/b/**=two"]);
    bench.text(0, "routes: { /x/**: one }");
    assert_eq!(bench.routes(), ["/x/**=one", "/b/**=two"]);
    let views = bench.documents.views();
    assert!(views[0].faults.is_empty());
    assert_eq!(views[1].faults.len(), 1);
    let fault = views[1].faults[0].to_string();
    assert!(fault.starts_with("b.yaml:1:11: "), "{fault}");
    assert!(
        bench
            .documents
            .first_error()
            .expect("a fault")
            .contains("a.yaml")
    );
    // When the first one goes, the other takes its place.
    bench.text(0, "routes: {}");
    assert_eq!(bench.routes(), ["/x/**=two", "/b/**=two"]);
    assert_eq!(bench.documents.first_error(), None);
}

#[test]
fn only_routes_that_changed_are_compiled_again() {
    let mut bench = Bench::new(&["a.yaml"]);
    bench.text(0, "routes: { /a/**: one, /b/**: two }");
    assert_eq!(bench.compiled.get(), 2);
    bench.text(0, "# moved\nroutes: { /b/**: two, /a/**: three }");
    assert_eq!(bench.compiled.get(), 3);
    bench.take(0, SourceState::Missing);
    bench.text(0, "# moved\nroutes: { /b/**: two, /a/**: three }");
    assert_eq!(bench.compiled.get(), 3);
}

#[test]
fn the_md5_is_that_of_the_applied_texts_in_order() {
    let mut bench = Bench::new(&["a.yaml", "b.yaml"]);
    bench.text(0, "routes: {}");
    // md5sum of the text itself, as Nacos shows it.
    assert_eq!(
        bench.documents.merge(1).md5,
        "e937f085bc074677596a81e4597c3316"
    );
    bench.text(1, "routes: { /b/**: two }");
    let both = bench.documents.merge(2).md5;
    bench.text(1, "nonsense");
    assert_eq!(
        bench.documents.merge(3).md5,
        both,
        "a refused text is not applied"
    );
    assert_eq!(bench.documents.views()[1].revision, Some(2));
}

#[test]
fn a_silent_sources_document_is_the_snapshots_until_it_speaks() {
    let good = "routes: { /a/**: one }";
    let mut bench = Bench::with_saved(&[("a.yaml", Some(good)), ("b.yaml", None)]);
    assert!(bench.documents.can_restore());
    assert!(bench.routes().is_empty());
    let verdicts = bench.restore();
    assert_eq!(verdicts.len(), 1, "b.yaml has no text");
    assert!(verdicts[0].restored && verdicts[0].changed);
    assert_eq!(bench.routes(), ["/a/**=one"]);
    let view = &bench.documents.views()[0];
    assert_eq!(view.state, DocumentState::Waiting);
    assert!(view.from_snapshot && !view.alarm);
    assert!(bench.restore().is_empty(), "once");

    let verdict = bench.text(0, good);
    assert!(verdict.confirmed && !verdict.changed);
    assert!(!bench.documents.views()[0].from_snapshot);
    let verdict = bench.text(0, "routes: { /b/**: two }");
    assert!(verdict.changed && !verdict.confirmed);
    assert_eq!(bench.routes(), ["/b/**=two"]);
}

#[test]
fn the_last_good_text_outlives_the_process_when_the_newest_is_bad() {
    let good = "routes: { /a/**: one }";
    let states = [
        (SourceState::Missing, DocumentState::Missing),
        (SourceState::Text("# blank".into()), DocumentState::Blank),
        (
            SourceState::Text("routes: { /a/**: [] }".into()),
            DocumentState::Refused,
        ),
        (
            SourceState::Unreadable("no".to_owned()),
            DocumentState::Unreadable,
        ),
    ];
    for (state, expected) in states {
        let mut bench = Bench::with_saved(&[("a.yaml", Some(good))]);
        let verdict = bench.take(0, state);
        assert!(verdict.restored && verdict.changed, "{expected:?}");
        assert_eq!(verdict.state, expected);
        assert_eq!(bench.routes(), ["/a/**=one"]);
        let view = &bench.documents.views()[0];
        assert!(view.alarm && view.from_snapshot);
    }
    // An empty document is one that says so, and a good text beats the snapshot's.
    for (text, routes) in [
        ("routes: {}", vec![]),
        ("routes: { /b/**: b }", vec!["/b/**=b"]),
    ] {
        let mut bench = Bench::with_saved(&[("a.yaml", Some(good))]);
        assert!(!bench.text(0, text).restored);
        assert_eq!(bench.routes(), routes);
        bench.take(0, SourceState::Missing);
        assert_eq!(bench.routes(), routes, "the snapshot's text is forgotten");
    }
}

#[test]
fn a_saved_text_that_is_not_good_any_more_is_no_document() {
    for saved in ["routes: { /a/**: { servce: one } }", "", "routes: ["] {
        let mut bench = Bench::with_saved(&[("a.yaml", Some(saved))]);
        let verdicts = bench.restore();
        assert!(!verdicts[0].restored && !verdicts[0].changed, "{saved}");
        assert_eq!(bench.documents.views()[0].state, DocumentState::Waiting);
        assert!(!bench.documents.is_any_good());
    }
}

/// A document in Spring's form, of routes by id and service; a service `broken` stands for a route that cannot run.
fn spring(routes: &[(&str, &str)]) -> String {
    let mut text = String::from("spring.cloud.gateway.routes:\n");
    for (id, service) in routes {
        let filter = if *service == "broken" { "Nobody=1" } else { "" };
        text.push_str(&format!(
            "- {{ id: {id}, uri: 'lb://{service}', predicates: [ Path=/{id} ], filters: [ {filter} ] }}\n"
        ));
    }
    text
}

/// The older texts of the first document, with the routes that come from them.
fn older(bench: &Bench) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
    let saved = bench.documents.texts()[0].clone().expect("a good text");
    let older = saved.older.iter();
    older
        .map(|older| (older.text.clone(), older.routes.to_vec()))
        .collect()
}

#[test]
fn a_route_that_a_text_breaks_keeps_its_last_good_version_over_a_restart() {
    let versions = [
        spring(&[("a", "one"), ("b", "one"), ("c", "one")]),
        spring(&[("a", "broken"), ("b", "two"), ("c", "one")]),
        spring(&[("a", "broken"), ("b", "broken"), ("c", "three")]),
    ];
    let mut bench = Bench::new(&["a.yaml"]);
    for text in &versions {
        assert!(bench.text(0, text).changed);
    }
    let served = ["a=one", "b=two", "c=three"];
    assert_eq!(bench.routes(), served);
    let kept = vec![
        (versions[0].as_str().into(), vec!["a".into()]),
        (versions[1].as_str().into(), vec!["b".into()]),
    ];
    assert_eq!(older(&bench), kept);
    let saved = bench.documents.texts()[0].clone();
    let restarted = || Bench::of([("a.yaml", saved.clone())].into_iter());

    // The source is silent.
    let mut bench = restarted();
    let verdicts = bench.restore();
    assert!(verdicts[0].restored && verdicts[0].changed);
    assert_eq!(bench.routes(), served);
    assert_eq!(older(&bench), kept);
    // It says the same at last.
    let verdict = bench.text(0, &versions[2]);
    assert!(verdict.confirmed && !verdict.changed);
    assert_eq!(verdict.state, DocumentState::Partial);

    // It says the same at once.
    let mut bench = restarted();
    let verdict = bench.text(0, &versions[2]);
    assert!(verdict.changed && !verdict.restored);
    assert_eq!(verdict.state, DocumentState::Partial);
    assert!(
        verdict.faults[0]
            .problem
            .contains("the last good version of the route stays"),
        "{:?}",
        verdict.faults
    );
    assert_eq!(bench.routes(), served);
    assert_eq!(older(&bench), kept);

    // It says something newer, which breaks another route and leaves one out.
    let newest = spring(&[("b", "broken"), ("c", "broken"), ("d", "four")]);
    let mut bench = restarted();
    bench.text(0, &newest);
    assert_eq!(bench.routes(), ["b=two", "c=three", "d=four"]);
    let kept = vec![
        (versions[1].as_str().into(), vec!["b".into()]),
        (versions[2].as_str().into(), vec!["c".into()]),
    ];
    assert_eq!(older(&bench), kept);

    // It says nothing that can be read: everything is as before.
    let mut bench = restarted();
    let verdict = bench.text(0, "spring: [");
    assert!(verdict.restored && verdict.state == DocumentState::Refused);
    assert_eq!(bench.routes(), served);
}

#[test]
fn of_many_older_texts_the_last_ones_are_kept() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut bench = Bench::new(&["a.yaml"]);
    for broken in 0..=names.len() {
        let version = format!("v{broken}");
        let mut routes: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (*name, if at < broken { "broken" } else { &*version }))
            .collect();
        routes.push(("g", "one"));
        bench.text(0, &spring(&routes));
    }
    assert_eq!(bench.routes().len(), 7);
    let ids: Vec<_> = older(&bench).into_iter().flat_map(|(_, ids)| ids).collect();
    assert_eq!(ids, ["c", "d", "e", "f"].map(Arc::from));
}
