mod changes;
mod environment;
mod ids;
mod secrets;

use std::{path::PathBuf, time::Duration};

use super::*;
use crate::Form;
use crate::Limit;

fn file(text: &str) -> Result<LoadedSettings, Vec<Fault>> {
    load(
        Some(("gateway.yaml", text)),
        Path::new("/etc/pailou"),
        &Environment::default(),
    )
}

fn environment(variables: &[(&str, &str)]) -> Result<LoadedSettings, Vec<Fault>> {
    load(
        None,
        Path::new(""),
        &Environment::from_iter(variables.iter().copied()),
    )
}

fn valid(loaded: Result<LoadedSettings, Vec<Fault>>) -> Settings {
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(loaded.warnings, []);
    loaded.settings
}

fn faults(loaded: Result<LoadedSettings, Vec<Fault>>) -> Vec<String> {
    loaded
        .err()
        .unwrap_or_default()
        .iter()
        .map(Fault::to_string)
        .collect()
}

#[test]
fn nothing_written_gives_the_defaults() {
    let settings = valid(environment(&[]));
    assert_eq!(settings.listeners[0].address.to_string(), "0.0.0.0:8080");
    assert_eq!(
        settings.admin.address.map(|a| a.to_string()).as_deref(),
        Some("127.0.0.1:9901")
    );
    assert_eq!(
        settings.probes.address.map(|a| a.to_string()).as_deref(),
        Some("0.0.0.0:9902")
    );
    assert_eq!(settings.nacos.servers[0].to_string(), "127.0.0.1:8848");
    assert_eq!(settings.registration.group, "DEFAULT_GROUP");
    assert_eq!(settings.discovery.hold, Duration::from_secs(30));
    assert_eq!(settings.defaults.total_timeout, Limit::Off);
    assert_eq!(settings.defaults.balance.name, "round_robin");
    assert_eq!(settings.limits.body_bytes, 10 << 20);
    assert_eq!(settings.log.level.as_str(), "info");
    let source = RouteSource::Config {
        nacos: "default".to_owned(),
        data_id: "pailou-routes.yaml".to_owned(),
        group: "DEFAULT_GROUP".to_owned(),
        namespace: String::new(),
        form: None,
    };
    assert_eq!(settings.routes, [source]);
    assert_eq!(settings.snapshot.path, Some("pailou-snapshot".into()));
    for blank in [
        "",
        "# only comments\n",
        "admin:\nlimits: # all commented out\n",
    ] {
        let mut from_file = valid(file(blank));
        // What is relative starts at the folder of the file.
        let path = from_file.snapshot.path.replace("pailou-snapshot".into());
        assert_eq!(path, Some("/etc/pailou/pailou-snapshot".into()));
        assert_eq!(from_file, settings, "{blank:?}");
    }
}

#[test]
fn a_file_sets_what_it_names() {
    let settings = valid(file(
        "listeners: [ { address: '[::]:80' }, { address: 127.0.0.1:81 } ]\n\
         workers: 2\n\
         admin: { address: off }\n\
         nacos: { servers: [ http://a, b:8849 ], namespace: dev, group: G, username: u, password: p }\n\
         routes: [ { data_id: a.yaml, group: T, namespace: public }, { file: r.yaml }, { data_id: b.yaml } ]\n\
         discovery: { hold: 0s, hold_services: { user: 10s }, allow_addresses: 10.0.0.0/8, allow_loopback: true }\n\
         registration: { ip: 10.0.0.9, weight: 0.5, metadata: { zone: 1.10 } }\n\
         defaults: { total_timeout: 5m, balance: { ring: { key: host } } }\n\
         forwarded: { trusted_proxies: [ 10.0.0.1 ] }\n\
         snapshot: { path: off }\n",
    ));
    assert_eq!(settings.snapshot.path, None);
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!(settings.admin.address, None);
    assert_eq!(
        settings
            .nacos
            .credentials()
            .map(|(user, password)| (user, password.expose())),
        Some(("u", "p"))
    );
    assert_eq!(settings.registration.group, "G");
    assert_eq!(settings.registration.metadata["zone"], "1.10");
    assert_eq!(settings.discovery.allow_loopback, Loopback::Allow);
    assert_eq!(
        settings.discovery.hold_services["user"],
        Duration::from_secs(10)
    );
    assert_eq!(settings.defaults.balance.name, "ring");
    assert_eq!(
        settings.defaults.total_timeout,
        Limit::After(Duration::from_secs(300))
    );
    let config = |data_id: &str, group: &str, namespace: &str| RouteSource::Config {
        nacos: "default".to_owned(),
        data_id: data_id.to_owned(),
        group: group.to_owned(),
        namespace: namespace.to_owned(),
        form: None,
    };
    let expected = [
        config("a.yaml", "T", ""),
        RouteSource::File {
            path: PathBuf::from("/etc/pailou/r.yaml"),
            form: None,
        },
        config("b.yaml", "G", "dev"),
    ];
    assert_eq!(settings.routes, expected);
}

#[test]
fn an_access_log_has_a_format_or_a_template() {
    for (text, expected) in [
        ("auto", AccessLogFormat::Auto),
        ("json", AccessLogFormat::Json),
        ("combined", AccessLogFormat::Combined),
        (
            "'{method} \"{path}\" {status}'",
            AccessLogFormat::Template("{method} \"{path}\" {status}".to_owned()),
        ),
    ] {
        let settings = valid(file(&format!(
            "log: {{ access_format: {text}, access_fields: ecs }}"
        )));
        assert_eq!(settings.log.access_format, expected);
        assert_eq!(settings.log.access_fields, AccessLogFields::Ecs);
    }
    for (text, said) in [
        (
            "access_format: jsno",
            "`jsno`; expected `auto`, `json`, `combined`, or a template in quotes",
        ),
        ("access_format: {method}", "expected `auto`"),
        ("access_format: ''", "expected `auto`"),
        (
            "access_fields: elastic",
            "`elastic`; expected one of otel, ecs",
        ),
    ] {
        let faults = faults(file(&format!("log: {{ {text} }}")));
        assert!(
            faults.len() == 1 && faults[0].contains(said),
            "{text}: {faults:?}"
        );
    }
}

#[test]
fn every_fault_of_a_file_is_said_with_its_place() {
    let text = "\
listenrs: []
workers: many
admin: { address: localhost }
nacos:
  servers: [ ftp://nacos ]
  health_check_interval: 30s
  paswword: x
routes:
  - { data_id: cipher-a.yaml }
  - { data_id: a, file: b }
  - { group: a }
  - { file: b, group: c }
limits: { body_bytes: 10MB, header_count: '5' }
log: { level: inf, access: yes }
defaults: { retries: 11, timeout: 5 }
registration: { weight: .nan, port: 70000 }
";
    let expected = [
        "gateway.yaml:1:1: listenrs: unknown key; expected one of listeners, workers, admin, probes, nacos, other_nacos, routes, \
         scg, sentinel, redis, credentials, registration, discovery, snapshot, defaults, retry, ejection, upstream_tls, other_upstream_tls, limits, overload, forwarded, \
         errors, shutdown, log; did you mean `listeners`?",
        "gateway.yaml:2:10: workers: `many`; expected a whole number from 0 to 1024",
        "gateway.yaml:3:19: admin.address: `localhost`; expected an IP address and a port, such as 0.0.0.0:8080",
        "gateway.yaml:5:14: nacos.servers[0]: `ftp://nacos`; expected a host with an optional port (8848), such as \
         10.0.0.7:8848, with https:// in front for TLS",
        "gateway.yaml:6:26: nacos.health_check_interval: `30s`; expected a duration with its unit (500ms, 5s, 2m, 1h) from 1s \
         to 10s",
        "gateway.yaml:7:3: nacos.paswword: unknown key; expected one of servers, namespace, group, username, password, \
         password_file, grpc_port, grpc_tls, tls_ca_file, tls_cert_file, tls_key_file, tls_server_name, request_timeout, \
         health_check_interval, app_name; did you mean `password`?",
        "gateway.yaml:9:16: routes[0].data_id: encrypted configs cannot be read; expected a data id without the prefix `cipher-`",
        "gateway.yaml:10:25: routes[1].file: `file` beside `data_id`; expected one item for each",
        "gateway.yaml:11:5: routes[2]: no source; expected `data_id` or `file`",
        "gateway.yaml:12:23: routes[3].group: a file has neither group nor namespace, and is in no Nacos",
        "gateway.yaml:13:23: limits.body_bytes: `10MB`; expected a size (64KiB, 10MiB, 1GiB or a number of bytes) from 1B to \
         1024GiB",
        "gateway.yaml:13:43: limits.header_count: the text `5`; expected a whole number from 1 to 256",
        "gateway.yaml:14:15: log.level: `inf`; expected one of error, warn, info, debug, trace; did you mean `info`?",
        "gateway.yaml:14:28: log.access: `yes`; expected true or false",
        "gateway.yaml:15:22: defaults.retries: `11`; expected a whole number from 0 to 10",
        "gateway.yaml:15:35: defaults.timeout: `5`; expected a duration with its unit (500ms, 5s, 2m, 1h) from 1ms to 24h",
        "gateway.yaml:16:25: registration.weight: `.nan`; expected a number from 0 to 10000",
        "gateway.yaml:16:37: registration.port: `70000`; expected a whole number from 0 to 65535",
    ];
    assert_eq!(faults(file(text)), expected);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let cases = [
        (
            "admin: { address: 0.0.0.0:8080 }",
            "gateway.yaml:1:19: admin.address: 0.0.0.0:8080 is taken by listeners",
        ),
        (
            "probes: { address: 127.0.0.1:9901 }",
            "gateway.yaml:1:20: probes.address: 127.0.0.1:9901 is taken by admin.address",
        ),
        (
            "listeners: [{ address: 0.0.0.0:80 }, { address: 127.0.0.1:80 }]",
            "gateway.yaml:1:12: listeners: 127.0.0.1:80 is taken",
        ),
        ("listeners: []", "gateway.yaml:1:12: listeners: no listener"),
        (
            "routes: []",
            "gateway.yaml:1:9: routes: no source of routes",
        ),
        (
            "routes: [{ file: a }, { file: ./a }]",
            "gateway.yaml:1:9: routes: item 2 is the same source",
        ),
        (
            "nacos: { servers: [] }",
            "gateway.yaml:1:19: nacos.servers: no server",
        ),
        (
            "nacos: { servers: [a:65000] }",
            "gateway.yaml:1:19: nacos.servers: a:65000: no port is 1000 above",
        ),
        (
            "nacos: { username: u }",
            "gateway.yaml:1:20: nacos.username: a user without a password",
        ),
        (
            "admin: { token: 0123456789abcde }",
            "gateway.yaml:1:17: admin.token: too short for a token; expected at least 16 bytes",
        ),
        (
            "admin: { token: 0123456789abcdef, token_file: f }",
            "gateway.yaml:1:47: admin.token_file: set beside admin.token",
        ),
        (
            "nacos: { password: hunter2 }",
            "gateway.yaml:1:20: nacos.password: a password without a user",
        ),
        (
            "nacos: { username: u, password: hunter2, password_file: f }",
            "gateway.yaml:1:57: nacos.password_file: set beside",
        ),
        (
            "nacos: { password_file: no/such }",
            "gateway.yaml:1:25: nacos.password_file: /etc/pailou/no/such: cannot be read",
        ),
        (
            "nacos: { servers: [https://a], tls_ca_file: no/such }",
            "gateway.yaml:1:45: nacos.tls_ca_file: /etc/pailou/no/such: cannot be read",
        ),
        (
            "nacos: { grpc_tls: true, tls_key_file: /dev/null }",
            "gateway.yaml:1:40: nacos.tls_key_file: half of a certificate; expected nacos.tls_cert_file",
        ),
        (
            "nacos: { tls_server_name: nacos.internal }",
            "gateway.yaml:1:27: nacos.tls_server_name: nothing is spoken over TLS; expected https:// in nacos.servers or \
             nacos.grpc_tls: true",
        ),
        (
            "ejection: { backoff: 1m }",
            "gateway.yaml: ejection.max_backoff: less than ejection.backoff; expected as long or longer, or a shorter ejection.backoff",
        ),
        (
            "ejection: { outlier_backoff: 10m }",
            "gateway.yaml: ejection.outlier_max_backoff: less than ejection.outlier_backoff; expected as long or longer, or a \
             shorter ejection.outlier_backoff",
        ),
        (
            "ejection: { success_rate: 0.1 }",
            "gateway.yaml:1:27: ejection.success_rate: `0.1`; expected `off`, or a number from 0.5 to 10",
        ),
        (
            "limits: { header_bytes: 128KiB }",
            "gateway.yaml: limits.buffer_bytes: too little for limits.header_bytes: a head is held whole; expected 64KiB more \
             than limits.header_bytes, or a smaller head",
        ),
        (
            "shutdown: { drain_delay: 30s }",
            "gateway.yaml: shutdown.deadline: not more than shutdown.drain_delay",
        ),
    ];
    for (text, expected) in cases {
        let faults = faults(file(text));
        assert!(
            faults
                .first()
                .is_some_and(|fault| fault.starts_with(expected)),
            "{text}: {faults:#?}"
        );
        assert!(
            !faults.iter().any(|fault| fault.contains("hunter2")),
            "{faults:#?}"
        );
    }
    let many = format!(
        "registration: {{ metadata: {{ note: {} }} }}",
        "x".repeat(400)
    );
    assert!(
        faults(file(&many))[0]
            .starts_with("gateway.yaml:1:27: registration.metadata: 404 bytes in all")
    );
}

#[test]
fn port_zero_and_two_families_do_not_clash() {
    valid(file(
        "listeners: [{ address: 127.0.0.1:0 }, { address: 127.0.0.1:0 }]\nadmin: { address: 127.0.0.1:0 }",
    ));
    valid(file(
        "listeners: [{ address: 0.0.0.0:80 }, { address: '[::1]:80' }]",
    ));
}

#[test]
fn a_listener_speaks_tls_takes_proxy_headers_or_redirects() {
    let text = "\
listeners:
  - address: 0.0.0.0:443
    tls:
      certificates:
        - { cert: a.crt, key: /keys/a.key }
        - { cert: b.crt, key: b.key }
      min_version: 1.3
      client_auth: optional
      client_ca: ca.crt
    proxy_protocol: required
  - address: 0.0.0.0:444
    tls: { certificates: { cert: a.crt, key: a.key }, check_host: true }
    proxy_protocol: optional
    proxy_protocol_from: 192.0.2.7
  - { address: 0.0.0.0:80, redirect_to_https: 443 }
forwarded: { trusted_proxies: 10.0.0.0/8 }
";
    let settings = valid(file(text));
    let [first, second, third] = &settings.listeners[..] else {
        panic!("{:?}", settings.listeners)
    };
    let tls = first.tls.as_ref().expect("TLS");
    assert_eq!(tls.certificates.len(), 2);
    assert_eq!(tls.certificates[0].key, Path::new("/keys/a.key"));
    assert_eq!(tls.certificates[1].at.0.line, 6);
    assert_eq!(tls.min_version, TlsVersion::V1_3);
    assert_eq!(tls.client_auth, ClientAuth::Optional);
    assert_eq!(tls.client_ca.len(), 1);
    assert!(tls.check_host, "there are two certificates");
    assert_eq!(first.proxy_protocol, ProxyProtocol::Required);
    assert_eq!(first.proxy_protocol_from[0].to_string(), "10.0.0.0/8");
    let tls = second.tls.as_ref().expect("TLS");
    assert_eq!(
        (tls.min_version, tls.client_auth, tls.check_host),
        (TlsVersion::V1_2, ClientAuth::Off, true)
    );
    assert_eq!(second.proxy_protocol_from[0].to_string(), "192.0.2.7/32");
    assert_eq!(third.redirect_to_https, Some(443));
    assert_eq!(
        (&third.tls, third.proxy_protocol),
        (&None, ProxyProtocol::Off)
    );
}

#[test]
fn a_listener_that_contradicts_itself_is_refused() {
    let cases = [
        ("tls: {}", "listeners[0].tls: `certificates` is missing"),
        (
            "tls: { certificates: [] }",
            "listeners[0].tls.certificates: no certificate; expected at least one",
        ),
        (
            "tls: { certificates: { cert: a } }",
            "listeners[0].tls.certificates: `key` is missing",
        ),
        (
            "tls: { certificates: { cert: a, key: b }, min_version: 1.1 }",
            "listeners[0].tls.min_version: `1.1`; expected one of 1.2, 1.3",
        ),
        (
            "tls: { certificates: { cert: a, key: b }, client_auth: required }",
            "client_auth without the authorities to believe; expected `client_ca` with their PEM files",
        ),
        (
            "tls: { certificates: { cert: a, key: b }, client_auth: optional, client_ca: [] }",
            "listeners[0].tls.client_ca: no authority",
        ),
        (
            "tls: { certificates: { cert: a, key: b }, client_ca: c }",
            "clients are not asked for a certificate",
        ),
        (
            "tls: { certificates: { cert: a, key: b } }, redirect_to_https: 443",
            "listeners[0].redirect_to_https: a redirect to https where https is spoken",
        ),
        (
            "redirect_to_https: 0",
            "listeners[0].redirect_to_https: `0`",
        ),
        (
            "proxy_protocol: required",
            "nobody may send a PROXY header to 127.0.0.1:0; expected `proxy_protocol_from`",
        ),
        (
            "proxy_protocol_from: 10.0.0.0/8",
            "listeners[0].proxy_protocol_from: nobody sends a PROXY header here",
        ),
        (
            "proxy_protocol: v2",
            "expected one of off, optional, required",
        ),
    ];
    for (keys, expected) in cases {
        let found = faults(file(&format!(
            "listeners: [{{ address: '127.0.0.1:0', {keys} }}]"
        )));
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "{keys}: {found:?}"
        );
    }
}

#[test]
fn printed_settings_read_back_and_say_where_they_came_from() {
    let text = "\
listeners:
  - address: '[::1]:80'
    tls: { certificates: [{ cert: a b.crt, key: a.key }], min_version: 1.3, client_auth: required, client_ca: ca.crt }
    proxy_protocol: optional
    proxy_protocol_from: 10.0.0.0/8
nacos: { username: u, password: hunter2, namespace: dev }
routes: [ { data_id: a.yaml, group: T }, { file: r s.yaml } ]
registration: { metadata: { 'a b': '', zone: 1.10 } }
discovery: { allow_addresses: [10.0.0.0/8, '::1'], hold_services: { 'G@@x': 1500ms } }
defaults: { balance: { ring: { key: 'on', weights: [1.10, x: y] } }, total_timeout: 90s }
limits: { body_bytes: 1000 }
";
    let environment = Environment::from_iter([("NACOS_GROUP", "G"), ("PAILOU_LOG_FORMAT", "json")]);
    let loaded = load(
        Some(("/etc/pailou/gateway.yaml", text)),
        Path::new("/etc/pailou"),
        &environment,
    );
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults:#?}"));
    let rendered = loaded.render();
    assert!(!rendered.contains("hunter2"), "{rendered}");
    for line in [
        "listeners: [{ address: \"[::1]:80\", tls: { certificates: [{ cert: \"/etc/pailou/a b.crt\", key: /etc/pailou/a.key }], \
         min_version: \"1.3\", client_auth: required, client_ca: [/etc/pailou/ca.crt], check_host: false }, \
         proxy_protocol: optional, proxy_protocol_from: [10.0.0.0/8] }]  # gateway.yaml:2\n",
        "workers: 0  # default\n",
        "  group: G  # environment NACOS_GROUP\n",
        "  password: \"***\"  # gateway.yaml:6\n",
        "  # grpc_port:  # default\n",
        "  body_bytes: 1000B  # gateway.yaml:11\n",
        "  format: json  # environment PAILOU_LOG_FORMAT\n",
    ] {
        assert!(rendered.contains(line), "{line}{rendered}");
    }
    let mut expected = loaded.settings;
    expected.nacos.password = Some(Secret::new("***"));
    assert_eq!(valid(file(&rendered)), expected, "{rendered}");
}

#[test]
fn a_file_that_is_no_settings_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.yaml");
    let cases: [(&[u8], &str); 5] = [
        (b"workers: [", "not valid YAML: "),
        (b"- a\n", "a list; expected a mapping"),
        (b"\xff\xfe", "not a text in UTF-8"),
        (
            b"workers: 1\n---\nworkers: 2\n",
            "a second YAML document begins here",
        ),
        (
            &[b'#'; MAX_SETTINGS_BYTES + 1],
            "more than the 1048576 bytes that settings may have",
        ),
    ];
    for (content, expected) in cases {
        std::fs::write(&path, content).expect("a file");
        let faults = faults(load_settings(Some(&path), &Environment::default()));
        assert!(
            faults.len() == 1 && faults[0].contains(expected),
            "{faults:?}"
        );
    }
    // It never ends.
    let device = std::path::Path::new("/dev/zero");
    let endless = faults(load_settings(Some(device), &Environment::default()));
    assert!(
        endless.len() == 1 && endless[0].contains("more than the 1048576 bytes"),
        "{endless:?}"
    );
    let missing = faults(load_settings(
        Some(&folder.path().join("no")),
        &Environment::default(),
    ));
    assert!(
        missing[0].contains("no: cannot be read: No such file"),
        "{missing:?}"
    );
}

#[test]
fn a_source_may_say_the_form_of_its_document() {
    let text = "
routes:
  - { data_id: a.yaml, form: scg }
  - { file: b.yaml, form: native }
  - { data_id: c.yaml }
  - { data_id: d.yaml, form: scg }
  - { data_id: d.yaml, group: G, form: native }
";
    let settings = valid(file(text));
    let forms: Vec<_> = settings.routes.iter().map(RouteSource::form).collect();
    let (scg, native) = (Some(Form::Scg), Some(Form::Native));
    assert_eq!(forms, [scg, native, None, scg, native]);
    let path = settings.routes[1].name();
    for (name, form) in [
        ("a.yaml", scg),
        (path.as_str(), native),
        ("c.yaml", None),
        ("d.yaml", None),
        ("e.yaml", None),
    ] {
        assert_eq!(settings.reading(name).form, form, "{name}");
    }
    for (routes, expected) in [
        (
            "[ { data_id: a, form: spring } ]",
            "routes[0].form: `spring`",
        ),
        (
            "[ { data_id: a, form: scg }, { data_id: a } ]",
            "item 2 is the same source as an earlier one",
        ),
    ] {
        let faults = faults(file(&format!("routes: {routes}\n")));
        assert!(faults[0].contains(expected), "{faults:?}");
    }
}
