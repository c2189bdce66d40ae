//! `pailou import`: what it prints is a native document that serves the same.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::gateway::run;

/// The documents and the questions that a real Spring Cloud Gateway was given.
fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scg-oracle")
}

/// The first requests of a document's cases, as arguments of `pailou explain`.
fn questions(name: &str) -> Vec<Vec<String>> {
    let file = corpus().join(format!("cases/{name}.json"));
    let text = std::fs::read_to_string(file).expect("a file of cases");
    let cases: Value = serde_json::from_str(&text).expect("JSON");
    let cases = cases["cases"].as_array().cloned().unwrap_or_default();
    let question = |case: &Value| {
        let (method, path) = case["r"].as_str()?.split_once(' ')?;
        let is_plain = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        let host = case["host"].as_str().unwrap_or("a.test");
        let mut args = vec![
            method.to_owned(),
            path.to_owned(),
            "-H".into(),
            format!("host: {host}"),
        ];
        for header in case["h"].as_array().into_iter().flatten() {
            let header = format!("{}: {}", header[0].as_str()?, header[1].as_str()?);
            args.extend(["-H".into(), header]);
        }
        is_plain.then_some(args)
    };
    cases.iter().filter_map(question).take(3).collect()
}

/// What would become of a request, but for where the route stands and what it is made of.
fn explained(folder: &Path, document: &str, question: &[String]) -> Option<Value> {
    let mut args = vec!["explain"];
    args.extend(question.iter().map(String::as_str));
    args.extend(["--routes", document, "--json"]);
    let (_, out, err) = run(&args, folder);
    let explanation: Value = serde_json::from_str(&out).ok()?;
    let upstream = &explanation["upstream"];
    assert!(!err.contains("panicked"), "{err}");
    Some(serde_json::json!([
        explanation["route"],
        explanation["answer"],
        explanation["service"],
        upstream["method"],
        upstream["target"],
        explanation["forwarded"]["route"],
    ]))
}

#[test]
fn what_is_imported_serves_the_same() {
    let folder = TempDir::new().expect("a folder");
    let mut names: Vec<String> = std::fs::read_dir(corpus().join("documents"))
        .expect("the corpus")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".yml").map(str::to_owned))
        // Which of them a weight draws is chance; and a native id begins with no slash unless it is the path.
        .filter(|name| !name.starts_with("weight"))
        .collect();
    names.sort();
    assert!(names.len() > 100, "{names:?}");
    let mut compared = 0;
    for name in names {
        let source = corpus().join(format!("documents/{name}.yml"));
        let source = source.to_str().expect("UTF-8");
        let (_, native, _) = run(&["import", source], folder.path());
        assert!(native.contains("routes:"), "{name}: {native}");
        std::fs::write(folder.path().join("native.yaml"), &native).expect("written");
        let (status, out, _) = run(&["check", "native.yaml"], folder.path());
        assert!(status.success(), "{name}\n{native}\n{out}");
        for question in questions(&name) {
            let before = explained(folder.path(), source, &question);
            let after = explained(folder.path(), "native.yaml", &question);
            assert_eq!(before, after, "{name}: {question:?}\n{native}");
            compared += usize::from(before.is_some());
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn what_cannot_be_imported_is_named() {
    let folder = TempDir::new().expect("a folder");
    let text = "spring.cloud.gateway.routes:\n- { id: a, uri: 'lb://a', predicates: ['Path=/a/**'], filters: ['AuthFilter'] }\n\
                - { id: b, uri: 'lb://b', predicates: ['Path=/b/**'], filters: ['StripPrefix=1', 'AddResponseHeader=X-A, b'] }\n";
    std::fs::write(folder.path().join("scg.yaml"), text).expect("written");
    let (status, out, err) = run(&["import", "scg.yaml"], folder.path());
    assert!(!status.success());
    assert!(err.contains("`AuthFilter` is not a filter"), "{err}");
    assert!(out.contains("# not imported: scg.yaml:2:"), "{out}");
    assert!(out.contains("  b:\n    path: \"/b/**\"\n"), "{out}");
    let (status, _, err) = run(&["import", "none.yaml"], folder.path());
    assert!(
        !status.success() && err.contains("none.yaml cannot be read"),
        "{err}"
    );
}
