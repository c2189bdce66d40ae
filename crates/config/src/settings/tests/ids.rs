//! Settings that stand several times, by an id.

use super::*;

#[test]
fn more_nacos_clusters_have_ids_and_the_same_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), "from-file\n").expect("a file");
    let text = "\
nacos: { servers: [ a ], group: MAIN }
other_nacos:
  east: { servers: [ b, c:81 ], namespace: dev, group: G, username: u, password_file: secret }
  dc-west: { servers: [ d ], username: w, password: hunter2 }
routes:
  - { data_id: a.yaml }
  - { data_id: a.yaml, nacos: east }
  - { data_id: a.yaml, nacos: dc-west, group: T }
";
    let variables = [
        ("NACOS_NAMESPACE", "main-only"),
        ("PAILOU_OTHER_NACOS_DC_WEST_SERVERS", "e:82"),
        ("PAILOU_OTHER_NACOS_DC_WEST_GRPC_PORT", "83"),
    ];
    let environment = Environment::from_iter(variables);
    let loaded = load(Some(("gateway.yaml", text)), folder.path(), &environment);
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(loaded.warnings, []);
    let settings = &loaded.settings;
    let ids: Vec<_> = settings.all_nacos().map(|(id, _)| id).collect();
    assert_eq!(ids, ["default", "dc-west", "east"]);
    let east = settings.nacos_named("east").expect("east");
    assert_eq!(east.servers[1].to_string(), "c:81");
    let password = east.credentials().map(|(_, password)| password.expose());
    assert_eq!(password, Some("from-file"));
    let west = &settings.other_nacos["dc-west"];
    assert_eq!(west.servers[0].to_string(), "e:82");
    assert_eq!(
        (west.grpc_port, west.group.as_str()),
        (Some(83), "DEFAULT_GROUP")
    );
    assert_eq!(settings.nacos.namespace, "main-only");
    assert_eq!(west.namespace, "", "the usual names mean the main one");
    let source = |nacos: &str, group: &str, namespace: &str| RouteSource::Config {
        nacos: nacos.to_owned(),
        data_id: "a.yaml".to_owned(),
        group: group.to_owned(),
        namespace: namespace.to_owned(),
        form: None,
    };
    let expected = [
        source("default", "MAIN", "main-only"),
        source("east", "G", "dev"),
        source("dc-west", "T", ""),
    ];
    assert_eq!(settings.routes, expected);

    let rendered = loaded.render();
    for secret in ["hunter2", "from-file"] {
        assert!(!rendered.contains(secret), "{rendered}");
    }
    let lines = "other_nacos:\n  east:\n    servers: [\"b:8848\", \"c:81\"]  # gateway.yaml:3\n";
    assert!(rendered.contains(lines), "{rendered}");
    let read = load(
        Some(("gateway.yaml", &rendered)),
        folder.path(),
        &Environment::default(),
    );
    let read = valid(read);
    assert_eq!(read.routes, settings.routes, "{rendered}");
    assert_eq!(read.other_nacos["east"], *east);
    assert_eq!(read.other_nacos["dc-west"].grpc_port, Some(83));
}

#[test]
fn a_nacos_cluster_that_makes_no_sense_is_refused_with_its_id() {
    let cases = [
        (
            "other_nacos: { east: { namespace: dev } }",
            "other_nacos.east.servers: not set; expected the servers of this Nacos",
        ),
        (
            "other_nacos: { default: { servers: [ a ] } }",
            "other_nacos.default: the id of the Nacos that `nacos` describes",
        ),
        (
            "other_nacos: { static: { servers: [ a ] } }",
            "other_nacos.static: the id of endpoints that routes give by URL",
        ),
        (
            "other_nacos: { East_1: { servers: [ a ] } }",
            "other_nacos.East_1: no id of a Nacos",
        ),
        (
            "other_nacos: { east: [] }",
            "other_nacos.east: a list; expected a mapping",
        ),
        (
            "other_nacos: { east: { servers: [ a ], serverz: b } }",
            "other_nacos.east.serverz: unknown key",
        ),
        (
            "other_nacos: { east: { servers: [ a ], password: x } }",
            "other_nacos.east.password: a password without a user; expected other_nacos.east.username",
        ),
        (
            "other_nacos: { east: { servers: [ 'a:65000' ] } }",
            "other_nacos.east.servers: a:65000: no port is 1000 above this one; expected other_nacos.east.grpc_port to be set",
        ),
        (
            "routes: [ { data_id: a.yaml, nacos: east } ]",
            "routes: no Nacos has the id `east`; expected one of default",
        ),
        (
            "routes: [ { file: a.yaml, nacos: east } ]",
            "routes[0].nacos: a file has neither group nor namespace",
        ),
    ];
    for (text, expected) in cases {
        let faults = faults(file(text));
        let is_said = |fault: &String| fault.contains(expected);
        assert!(faults.iter().any(is_said), "{text}: {faults:#?}");
    }
}

#[test]
fn ways_of_tls_to_endpoints_have_ids_and_the_same_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["ca.pem", "own.pem", "own.key", "internal.pem"] {
        std::fs::write(folder.path().join(name), "PEM").expect("a file");
    }
    let text = "\
upstream_tls: { ca_file: ca.pem, cert_file: own.pem, key_file: own.key }
other_upstream_tls:
  internal: { server_name: orders.internal }
  lab: { verify: false }
";
    let variables = [("PAILOU_OTHER_UPSTREAM_TLS_INTERNAL_CA_FILE", "internal.pem")];
    let environment = Environment::from_iter(variables);
    let loaded = load(Some(("gateway.yaml", text)), folder.path(), &environment);
    let settings = valid(loaded);
    let own = &settings.upstream_tls;
    assert_eq!(own.ca_file, Some(folder.path().join("ca.pem")));
    let all: Vec<_> = settings
        .all_upstream_tls()
        .map(|(section, _)| section)
        .collect();
    let expected = [
        "upstream_tls",
        "other_upstream_tls.internal",
        "other_upstream_tls.lab",
    ];
    assert_eq!(all, expected);
    let internal = &settings.other_upstream_tls["internal"];
    assert_eq!(internal.ca_file, Some(folder.path().join("internal.pem")));
    assert_eq!(internal.cert_file, None, "nothing is taken over");
    assert!(internal.verify && !settings.other_upstream_tls["lab"].verify);
    for (text, expected) in [
        (
            "upstream_tls: { cert_file: a.pem }",
            "upstream_tls.cert_file: half of a certificate; expected upstream_tls.key_file",
        ),
        (
            "other_upstream_tls: { a: { key_file: a.key } }",
            "other_upstream_tls.a.key_file: half of a certificate; expected other_upstream_tls.a.cert_file",
        ),
        (
            "upstream_tls: { ca_file: a.pem, verify: false }",
            "upstream_tls.ca_file: set beside upstream_tls.verify: false; expected one of them",
        ),
        (
            "upstream_tls: { ca_file: missing.pem }",
            "missing.pem: cannot be read",
        ),
        (
            "other_upstream_tls: { A_b: {} }",
            "other_upstream_tls.A_b: no id of TLS settings",
        ),
        (
            "upstream_tls: { profiles: {} }",
            "upstream_tls.profiles: unknown key",
        ),
    ] {
        let faults = faults(file(text));
        assert!(
            faults.iter().any(|it| it.contains(expected)),
            "{text}: {faults:#?}"
        );
    }
}
