use pailou_config::{DocumentOutcome, Environment, Limit, LoadedSettings, Reading, load_settings};
use pailou_upstream::EjectionSettings;

use super::*;

fn settings() -> LoadedSettings {
    load_settings(None, &Environment::default()).expect("defaults are legal")
}

/// Compiles the only route of a document.
fn compiled(route: &str) -> Result<Arc<Route>, Vec<Fault>> {
    let text = format!("routes:\n  r:\n{route}");
    let DocumentOutcome::Routes(mut parsed) = Reading::default().parse("routes.yaml", &text) else {
        panic!("{text}");
    };
    let metrics = Metrics::new();
    let services = Services::new(EjectionSettings::default(), metrics.clone());
    let loaded = settings();
    let filters = pailou_filters::Shared::new(metrics.clone());
    let compiler = Compiler {
        namespace: "dev",
        ..Compiler::new(&services, &metrics, &filters, &loaded.settings)
    };
    Route::compile(Arc::new(parsed.routes.remove(0)), &compiler)
}

#[test]
fn all_faults_of_a_route_come_out_in_one_run() {
    let faults = compiled(
        "    path: /a/*
    host: a/b
    match:
      headrs: { a: b }
      methods: [get]
    strip_prefix: -1
    filters:
      - set_request_header: { name: host, value: x }
      - strip_suffix: 1
    balance: fastest
    service: s
",
    )
    .expect_err("nothing about it is right");
    let lines: Vec<u32> = faults
        .iter()
        .filter_map(|fault| fault.position)
        .map(|at| at.line)
        .collect();
    assert_eq!(lines, [3, 4, 6, 7, 8, 10, 11, 12], "{faults:#?}");
    assert!(faults.iter().all(|fault| &*fault.document == "routes.yaml"));
    assert_eq!(faults[2].nearest.as_deref(), Some("headers"));
}

#[test]
fn what_a_route_does_not_say_is_the_default() {
    let defaults = settings().settings.defaults;
    let route = compiled("    path: /a//b\n    service: s\n").expect("legal");
    let expected = Timeouts {
        response: defaults.timeout,
        connect: defaults.connect_timeout,
        read: defaults.read_timeout,
        tunnel_idle: defaults.tunnel_idle_timeout,
        total: None,
    };
    assert_eq!(
        (route.timeouts, route.retry.retries),
        (expected, defaults.retries)
    );
    assert_eq!(defaults.total_timeout, Limit::Off);
    assert_eq!(route.metrics.service().to_string(), "dev/DEFAULT_GROUP@@s");
    assert!(route.chain.steps().is_empty());
    assert_eq!(
        route.warnings.len(),
        1,
        "the path is not in its normal form"
    );

    let route = compiled(
        "    path: /a
    timeout: 1s
    connect_timeout: 20ms
    read_timeout: 3s
    tunnel_idle_timeout: 7s
    total_timeout: 4s
    retries: 0
    strip_prefix: 1
    prefix: /v2
    service: { name: s, namespace: public, group: g }
",
    )
    .expect("legal");
    let expected = Timeouts {
        response: Duration::from_secs(1),
        connect: Duration::from_millis(20),
        read: Duration::from_secs(3),
        tunnel_idle: Duration::from_secs(7),
        total: Some(Duration::from_secs(4)),
    };
    assert_eq!(
        (
            route.timeouts,
            route.retry.retries,
            route.chain.steps().len()
        ),
        (expected, 0, 2)
    );
    assert_eq!(route.metrics.service().to_string(), "g@@s");
    assert!(route.warnings.is_empty());
}

#[test]
fn a_service_may_be_of_another_nacos() {
    let text = "routes:
  r: { path: /a, service: { name: s, nacos: east } }
  g: { path: /a, service: { name: s, nacos: east, namespace: public, group: g } }
  d: { path: /a, service: { name: s, nacos: default } }
  n: { path: /a, service: s }
  b: { path: /a, service: { name: s, nacos: west }, balance: fastest }
";
    let DocumentOutcome::Routes(parsed) = Reading::default().parse("routes.yaml", text) else {
        panic!("{text}");
    };
    let mut settings = settings().settings;
    let east = pailou_config::NacosSettings {
        namespace: "dev".to_owned(),
        group: "G".to_owned(),
        ..settings.nacos.clone()
    };
    settings.other_nacos.insert("east".to_owned(), east);
    let metrics = Metrics::new();
    let services = Services::new(EjectionSettings::default(), metrics.clone());
    let filters = pailou_filters::Shared::new(metrics.clone());
    let compiler = Compiler::new(&services, &metrics, &filters, &settings);
    let compiled = parsed.routes.into_iter().map(|spec| {
        let id = spec.id.to_string();
        match Route::compile_among(Arc::new(spec), &compiler, &settings) {
            Ok(route) => (
                id,
                route
                    .target
                    .selection()
                    .expect("a service")
                    .service()
                    .id()
                    .to_string(),
            ),
            Err(faults) => {
                let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
                (id, faults.join("\n"))
            }
        }
    });
    let mut compiled: Vec<_> = compiled.collect();
    let (_, faults) = compiled.pop().expect("the last one");
    let expected = [
        ("r", "east:dev/G@@s"),
        ("g", "east:g@@s"),
        ("d", "DEFAULT_GROUP@@s"),
        ("n", "DEFAULT_GROUP@@s"),
    ];
    let expected = expected.map(|(id, service)| (id.to_owned(), service.to_owned()));
    assert_eq!(compiled, expected);
    assert!(faults.contains("fastest"), "{faults}");
    assert!(
        faults.contains("no Nacos has the id `west`; expected one of default, east"),
        "{faults}"
    );
}
