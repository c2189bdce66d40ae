//! `pailou check`: every fault in one run, without a server.

use tempfile::TempDir;

use crate::support::gateway::run;

fn check(files: &[(&str, &str)]) -> (bool, String) {
    let folder = TempDir::new().expect("a folder");
    let mut args = vec!["check"];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a written file");
        args.push(name);
    }
    let (status, out, err) = run(&args, folder.path());
    (status.success(), format!("{out}{err}"))
}

#[test]
fn good_files_pass() {
    let (success, said) = check(&[
        (
            "gateway.yaml",
            "listeners: [{ address: 127.0.0.1:0 }]\nroutes: [{ data_id: pailou-routes.yaml }]\n",
        ),
        ("routes.yaml", "routes: { /api/users/**: user-service }\n"),
    ]);
    assert!(success, "{said}");
    assert!(
        said.contains("gateway.yaml") && said.contains("routes.yaml"),
        "it says what it read: {said}"
    );
}

/// It was found when the first route was compiled, and told as a fault of the route document.
#[test]
fn a_default_that_no_route_can_have_is_a_fault_of_the_settings() {
    let gateway = "routes: [{ data_id: a.yaml }]\ndefaults: { balance: least_requests }\n";
    let (success, said) = check(&[("gateway.yaml", gateway)]);
    assert!(!success, "{said}");
    assert!(said.contains("gateway.yaml:2:"), "{said}");
    assert!(said.contains("did you mean `least_request`?"), "{said}");
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("gateway.yaml"), gateway).expect("a file");
    let (status, _, err) = run(&["run", "--config", "gateway.yaml"], folder.path());
    assert!(!status.success());
    assert!(err.contains("gateway.yaml:2:"), "{err}");
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let (success, said) = check(&[
        ("gateway.yaml", "routes: [{ file: ./routes.yaml }]\n"),
        ("routes.yaml", "routes: { /api/users/**: user-service }\n"),
    ]);
    assert!(success, "{said}");
}

#[test]
fn every_fault_of_every_file_is_told_with_line_column_field_and_cure() {
    let (success, said) = check(&[
        (
            "gateway.yaml",
            "limits:\n  header_timeout: fast\nadmn: {}\n",
        ),
        (
            "routes.yaml",
            "routes:\n  /a/**:\n    servce: a\n  /b/**:\n    service: b\n    balance: least_requests\n    timeout: 5\n  \
             c:\n    path: relative\n    service: c\n    filters: [ { strip_prefx: 1 } ]\n",
        ),
    ]);
    assert!(!success, "{said}");
    for piece in [
        "gateway.yaml:2:",
        "header_timeout",
        "gateway.yaml:3:1",
        "admin",
        "routes.yaml:3:5",
        "service",
        "routes.yaml:6:",
        "least_request",
        "routes.yaml:7:",
        "timeout",
        "strip_prefix",
    ] {
        assert!(said.contains(piece), "{piece:?} is not in:\n{said}");
    }
}

#[test]
fn broken_yaml_is_told_with_its_place_and_without_its_neighbours() {
    let (success, said) = check(&[(
        "gateway.yaml",
        "nacos:\n  password: hunter2\n  servers: [a, b\nlimits: {}\n",
    )]);
    assert!(!success);
    assert!(said.contains("gateway.yaml:"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_missing_file_is_named() {
    let folder = TempDir::new().expect("a folder");
    let (status, out, err) = run(&["check", "nowhere.yaml"], folder.path());
    assert!(!status.success());
    assert!(format!("{out}{err}").contains("nowhere.yaml"));
}

#[test]
fn a_route_that_can_never_match_is_warned_about() {
    let (success, said) = check(&[(
        "routes.yaml",
        "routes:\n  a: { path: /x/**, service: a, order: -1 }\n  b: { path: /x/y, service: b }\n",
    )]);
    assert!(success, "a warning is no fault: {said}");
    assert!(said.contains("warning") && said.contains('b'), "{said}");
}

#[test]
fn a_wait_without_a_queue_is_warned_about() {
    let (success, said) = check(&[(
        "routes.yaml",
        "routes:\n  /a/**:\n    service: { name: a, endpoint_limit: { requests: 2, wait: 1s } }\n    \
         filters: [ { concurrency_limit: { requests: 2, wait: 1s } } ]\n  /b/**:\n    \
         service: { name: b, endpoint_limit: { requests: 2, queue: 0, wait: 1s } }\n",
    )]);
    assert!(success, "a warning is no fault: {said}");
    for place in [
        "routes.yaml:3:62: warning: routes[\"/a/**\"].service.endpoint_limit.wait: has no effect",
        "routes.yaml:4:58: warning: routes[\"/a/**\"].filters[0].concurrency_limit.wait: has no effect",
        "0 faults, 2 warnings",
    ] {
        assert!(said.contains(place), "{place}\n{said}");
    }
}

#[test]
fn routes_that_are_tried_on_every_request_are_listed() {
    let route = |id: &str, predicate: &str| {
        format!("        - {{ id: {id}, uri: lb://s, predicates: [ '{predicate}' ] }}\n")
    };
    let routes = [
        route("plain", "Path=/api/**"),
        route("suffix", "Path=/**/health"),
        route("tenant", "Path=/{tenant}/x"),
        route("hosted", "Host=**.example.org"),
    ];
    let text = format!(
        "spring:\n  cloud:\n    gateway:\n      routes:\n{}",
        routes.concat()
    );
    let (success, said) = check(&[("routes.yaml", &text)]);
    assert!(success, "{said}");
    assert!(said.contains("2 routes (suffix, tenant)"), "{said}");
    let (_, said) = check(&[("routes.yaml", "routes: { /api/users/**: user-service }\n")]);
    assert!(!said.contains("tried on every request"), "{said}");
}

/// What `run` starts with, `check` refused, since it took it for a route document, and the other way round.
#[test]
fn a_file_is_taken_for_what_it_is_and_that_is_said() {
    for (name, text, success, expected) in [
        (
            "gateway.yaml",
            "listeners: [{ address: 127.0.0.1:0 }]\n",
            true,
            "gateway.yaml: settings",
        ),
        (
            "gateway.yaml",
            "workers: 2\n",
            true,
            "gateway.yaml: settings",
        ),
        (
            "gateway.yaml",
            "# nothing yet\n",
            true,
            "gateway.yaml: settings",
        ),
        ("edge.yaml", "", true, "edge.yaml: settings"),
        (
            "routes.yaml",
            "routes: { /a/**: a }\n",
            true,
            "routes.yaml: route document, 1 route",
        ),
        (
            "routes.yaml",
            "routes: { /a/**: { servce: a } }\n",
            false,
            "routes.yaml: route document, refused",
        ),
        (
            "gateway.yaml",
            "wrkers: 2\n",
            false,
            "gateway.yaml: settings, refused",
        ),
        (
            "routes.yaml",
            "routes:\n  - id: a\n    uri: lb://a\n",
            false,
            "Spring Cloud Gateway",
        ),
        (
            "routes.yaml",
            "- path: /a/**\n  service: a\n",
            false,
            "routes.yaml: route document, refused",
        ),
    ] {
        let (passed, said) = check(&[(name, text)]);
        assert_eq!(passed, success, "{name}: {text}: {said}");
        assert!(said.contains(expected), "{name}: {text}: {said}");
    }
    // What the settings name is a route document, whatever it holds.
    let (passed, said) = check(&[
        ("gateway.yaml", "routes: [{ file: empty.yaml }]\n"),
        ("empty.yaml", ""),
    ]);
    assert!(!passed, "{said}");
    assert!(
        said.contains("empty.yaml: route document, refused"),
        "{said}"
    );
}

#[test]
fn a_nacos_that_only_the_settings_know_is_taken_for_granted_without_them() {
    let routes = (
        "routes.yaml",
        "routes:\n  /a/**: { service: { name: a, nacos: east } }\n  /b/**: { service: { name: b, nacos: east } }\n",
    );
    let (passed, said) = check(&[routes]);
    assert!(passed, "{said}");
    assert_eq!(said.matches("the Nacos `east`").count(), 1, "{said}");
    assert!(
        said.contains("routes.yaml:2:") && said.contains("warning"),
        "{said}"
    );
    let (passed, said) = check(&[("gateway.yaml", "workers: 1\n"), routes]);
    assert!(!passed, "the settings have none: {said}");
}

/// A document of many mistakes filled the terminal, and the log with it.
#[test]
fn no_more_faults_are_printed_than_a_person_reads() {
    let routes: String = (0..5_000)
        .map(|n| format!("  /r{n}/**: {{ servce: a }}\n"))
        .collect();
    let (passed, said) = check(&[("routes.yaml", &format!("routes:\n{routes}"))]);
    assert!(!passed);
    assert!(
        said.lines().count() <= 105,
        "{} lines",
        said.lines().count()
    );
    assert!(said.contains("more faults are not listed"), "{said}");
    // Those that only compiling finds, as well.
    let routes: String = (0..5_000)
        .map(|n| format!("  r{n}: {{ path: /r{n}/**, service: a, balance: nonsense }}\n"))
        .collect();
    let (passed, said) = check(&[("routes.yaml", &format!("routes:\n{routes}"))]);
    assert!(!passed);
    assert!(
        said.lines().count() <= 105,
        "{} lines",
        said.lines().count()
    );
    assert!(said.contains("4900 more faults are not listed"), "{said}");
}

/// The same for a program: `--json` printed all of them.
#[test]
fn json_is_bounded_as_the_text_is() {
    let said = |name: &str, text: &str| -> serde_json::Value {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join(name), text).expect("a written file");
        let (_, out, _) = run(&["check", "--json", name], folder.path());
        serde_json::from_str(&out).expect("JSON on standard output")
    };
    let listed = |list: &serde_json::Value| list["faults"].as_array().expect("faults").len();
    // Those of reading, and those of compiling.
    for part in ["servce: a", "service: a, balance: nonsense"] {
        let routes: String = (0..1_000)
            .map(|n| format!("  r{n}: {{ path: /r{n}/**, {part} }}\n"))
            .collect();
        let said = said("routes.yaml", &format!("routes:\n{routes}"));
        assert_eq!(listed(&said), 100, "{part}");
        let more = said["more_faults"].as_u64().expect("a count");
        assert!(more >= 900, "{part}: {more}");
    }
    // In Spring's form each route has a verdict, and the faults of them all are bounded.
    let routes: String = (0..500)
        .map(|n| {
            format!(
                "        - {{ id: r{n}, uri: 'lb://a', predicates: [Path=/r{n}], filters: [Nonsense] }}\n"
            )
        })
        .collect();
    let text = format!("spring:\n  cloud:\n    gateway:\n      routes:\n{routes}");
    let said = said("scg.yaml", &text);
    let verdicts = said["routes"].as_array().expect("verdicts");
    assert_eq!(verdicts.len(), 500);
    let faults: usize = verdicts.iter().map(listed).sum();
    let more: u64 = verdicts
        .iter()
        .filter_map(|one| one["more_faults"].as_u64())
        .sum();
    assert_eq!((faults, more), (100, 400));
    assert_eq!(listed(&said), 100);
}

#[test]
fn json_output_is_json() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(
        folder.path().join("routes.yaml"),
        "routes: { /a/**: { servce: a } }\n",
    )
    .expect("a written file");
    let (status, out, _) = run(&["check", "--json", "routes.yaml"], folder.path());
    assert!(!status.success());
    let said: serde_json::Value = serde_json::from_str(&out).expect("JSON on standard output");
    assert_eq!(said["ok"], false, "{out}");
    let faults = said["faults"].as_array();
    assert!(faults.is_some_and(|all| !all.is_empty()), "{out}");
}

/// What a company that runs Spring Cloud Gateway asks first: which of our routes run, which run in another way, and which do not.
#[test]
fn each_route_in_springs_form_has_a_verdict() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a written file");
    };
    write(
        "scg.yaml",
        "spring:\n  cloud:\n    gateway:\n      routes:\n        - id: plain\n          uri: lb://users\n          predicates: [Path=/api/**]\n          \
         filters: [StripPrefix=1]\n        - id: odd\n          uri: lb://users\n          predicates: [Path=/odd/**]\n          \
         filters: ['AddRequestHeader=X-A, a, b']\n        - id: unknown\n          uri: lb://users\n          predicates: [Path=/x/**]\n          \
         filters: [AuthFilter]\n",
    );
    let (status, out, _) = run(&["check", "scg.yaml"], folder.path());
    assert!(!status.success(), "a route is refused: {out}");
    for line in [
        "scg.yaml: route document, in Spring Cloud Gateway's form, 3 routes: 1 accepted, 1 differs, 1 refused\n",
        "  accepted  plain\n",
        "  differs   odd\n",
        "  refused   unknown\n",
        "`AuthFilter` is not a filter of this gateway",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    let (_, out, _) = run(&["check", "--json", "scg.yaml"], folder.path());
    let said: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(said["routes"][1]["verdict"], "differs", "{out}");
    assert_eq!(
        said["routes"][2]["faults"].as_array().map(Vec::len),
        Some(1),
        "{out}"
    );

    // The cure that the message names: a table of the settings.
    write("gateway.yaml", "scg: { filters: { AuthFilter: ignore } }\n");
    let (status, out, _) = run(&["check", "gateway.yaml", "scg.yaml"], folder.path());
    assert!(status.success(), "{out}");
    let (status, ..) = run(
        &["check", "--strict", "gateway.yaml", "scg.yaml"],
        folder.path(),
    );
    assert!(!status.success(), "one differs");
}
