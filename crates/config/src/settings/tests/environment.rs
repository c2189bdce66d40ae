//! Settings that come from environment variables.

use super::*;

/// Variables, and the warnings that they cause.
type Case = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

#[test]
fn the_environment_wins_in_its_order() {
    let text = "nacos: { servers: [file], group: file }\nlog: { level: warn }\nregistration: { port: 1 }\n";
    let variables = [
        ("PAILOU_NACOS_SERVERS", "own-a, own-b:81 ,"),
        ("NACOS_SERVER_ADDR", "other"),
        ("NACOS_GROUP", "other"),
        ("NACOS_NAMESPACE", "  "),
        ("LOG_LEVEL", "WARNING"),
        ("NACOS_HEARTBEAT_INTERVAL", "7"),
        ("NACOS_SERVICE_NAME", "edge"),
        ("NACOS_SERVICE_IP", "10.1.2.3"),
        ("NACOS_SERVICE_PORT", "8443"),
        ("PAILOU_LISTENERS", "127.0.0.1:1,127.0.0.1:2"),
        ("PAILOU_ROUTES", "a.yaml,file:b.yaml"),
        ("PAILOU_REGISTRATION_METADATA", "zone=a,env=b=c"),
        ("PAILOU_DISCOVERY_HOLD_SERVICES", "user=10s"),
        ("PAILOU_DEFAULTS_BALANCE", "random"),
        ("PAILOU_LOG_ACCESS", "false"),
        ("PAILOU_ADMIN_ADDRESS", "off"),
        (
            "PAILOU_FORWARDED_TRUSTED_PROXIES",
            "10.0.0.0/8,192.168.0.0/16",
        ),
        ("PAILOU_SERVICE_HOST", "10.0.0.1"),
    ];
    let settings = valid(load(
        Some(("gateway.yaml", text)),
        Path::new("/etc"),
        &Environment::from_iter(variables.iter().copied()),
    ));
    assert_eq!(
        settings
            .nacos
            .servers
            .iter()
            .map(|s| s.to_string())
            .collect::<Vec<_>>(),
        ["own-a:8848", "own-b:81"]
    );
    assert_eq!(settings.nacos.group, "other");
    assert_eq!(settings.nacos.namespace, "");
    assert_eq!(settings.nacos.health_check_interval, Duration::from_secs(7));
    assert_eq!(settings.log.level, LogLevel::Warn);
    assert!(!settings.log.access);
    assert_eq!(settings.registration.service, "edge");
    assert_eq!(
        settings.registration.ip.map(|ip| ip.to_string()).as_deref(),
        Some("10.1.2.3")
    );
    assert_eq!(settings.registration.port, 8443);
    assert_eq!(settings.registration.metadata["env"], "b=c");
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!(
        settings.routes[1],
        RouteSource::File {
            path: PathBuf::from("/etc/b.yaml"),
            form: None
        }
    );
    assert_eq!(
        settings.discovery.hold_services["user"],
        Duration::from_secs(10)
    );
    assert_eq!(settings.defaults.balance.name, "random");
    assert_eq!(settings.admin.address, None);
    assert_eq!(settings.forwarded.trusted_proxies.len(), 2);
}

#[test]
fn every_setting_has_a_variable_that_sets_it() {
    for section in settings_reference() {
        for key in section.keys.iter().filter(|key| !key.path.contains("[]")) {
            // A text that no setting takes but those that take any: so each variable is seen to be read.
            let text = "\u{7f} \u{7f}";
            let loaded = environment(&[(key.variables[0].as_str(), text)]);
            let takes_any = [
                "nacos.password",
                "nacos.username",
                "nacos.password_file",
                "redis.password",
                "credentials.folder",
                "scg.beans",
                "credentials.folder",
                "registration.metadata",
                "defaults.balance",
                "snapshot.path",
                "log.file",
                "log.access_file",
            ];
            let is_read = match &loaded {
                Err(faults) => faults
                    .iter()
                    .any(|fault| fault.path.starts_with(&key.variables[0])),
                Ok(loaded) => loaded.warnings.is_empty() && takes_any.contains(&key.path.as_str()),
            };
            assert!(
                is_read,
                "{}: {:?}",
                key.path,
                loaded.map(|loaded| loaded.warnings)
            );
        }
    }
}

#[test]
fn a_fault_of_the_environment_names_its_variable() {
    let cases = [
        (
            "PAILOU_WORKERS",
            "many",
            "environment: PAILOU_WORKERS: `many`; expected a whole number from 0 to 1024",
        ),
        (
            "LOG_LEVEL",
            "Inf",
            "environment: LOG_LEVEL: `inf`; expected one of error, warn, info, debug, trace; did you mean `info`?",
        ),
        (
            "NACOS_HEARTBEAT_INTERVAL",
            "60",
            "environment: NACOS_HEARTBEAT_INTERVAL: `60s`; expected a duration",
        ),
        (
            "NACOS_SERVER_ADDR",
            "a,ftp://b",
            "environment: NACOS_SERVER_ADDR[1]: `ftp://b`; expected a host with an optional port",
        ),
        (
            "NACOS_SERVER_ADDR",
            "u:hunter2@b",
            "environment: NACOS_SERVER_ADDR[0]: credentials do not belong into the address",
        ),
        (
            "NACOS_SERVER_ADDR",
            ",",
            "environment: NACOS_SERVER_ADDR: no server; expected at least one",
        ),
        (
            "PAILOU_LISTENERS",
            "8080",
            "environment: PAILOU_LISTENERS[0].address: `8080`; expected an IP address and a port",
        ),
        (
            "NACOS_PASSWORD",
            "hunter2",
            "environment: NACOS_PASSWORD: a password without a user; expected nacos.username",
        ),
    ];
    for (variable, value, expected) in cases {
        let faults = faults(environment(&[(variable, value)]));
        assert!(
            faults
                .first()
                .is_some_and(|fault| fault.starts_with(expected)),
            "{variable}: {faults:#?}"
        );
        assert!(
            !faults.iter().any(|fault| fault.contains("hunter2")),
            "{faults:#?}"
        );
    }
}

#[test]
fn variables_without_effect_are_warned_of() {
    let cases: [Case; 4] = [
        (
            &[("PAILOU_NACOS_SERVRES", "x")],
            &[
                "environment: warning: PAILOU_NACOS_SERVRES: no setting has this variable; did you mean `PAILOU_NACOS_SERVERS`?",
            ],
        ),
        (
            &[("PAILOU_TELEPORT", "x")],
            &["environment: warning: PAILOU_TELEPORT: no setting has this variable"],
        ),
        (
            &[
                ("NACOS_SERVICE_HOST", "10.0.0.1"),
                ("NACOS_SERVICE_PORT", "8848"),
            ],
            &[
                "environment: warning: NACOS_SERVICE_PORT: ignored: NACOS_SERVICE_HOST is set too, so Kubernetes set both for a \
               Service named nacos",
            ],
        ),
        (
            &[
                ("PAILOU_CONFIG", "x"),
                ("PAILOU_PORT_8080_TCP_ADDR", "x"),
                ("PAILOU_WORKERS", ""),
            ],
            &[],
        ),
    ];
    for (variables, expected) in cases {
        let loaded = environment(variables).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(
            loaded
                .warnings
                .iter()
                .map(Fault::to_string)
                .collect::<Vec<_>>(),
            expected
        );
        assert_eq!(loaded.settings.registration.port, 0);
    }
}
