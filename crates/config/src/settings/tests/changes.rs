//! What differs between two readings.

use super::*;

fn loaded(text: &str) -> LoadedSettings {
    let loaded = load(
        Some(("gateway.yaml", text)),
        Path::new("/etc"),
        &Environment::default(),
    );
    loaded.unwrap_or_else(|faults| panic!("{faults:?}"))
}

#[test]
fn each_setting_that_differs_is_named_and_nothing_else() {
    let account = |password: &str| format!("nacos: {{ username: n, password: {password} }}");
    for (before, after, expected) in [
        ("", "", ""),
        // Said or not said, it is the same.
        ("", "log: { level: info }", ""),
        ("# a\nlog: { level: info }", "log: { level: info }", ""),
        ("", "log: { level: debug }", "log.level"),
        (
            "workers: 2\nlog: { level: debug }",
            "listeners: [{ address: 127.0.0.1:1 }]\nlimits: { body_bytes: 1MiB }",
            "listeners, workers, limits.body_bytes, log.level",
        ),
        (&*account("one"), &*account("two"), "nacos.password"),
        (&*account("one"), &*account("one"), ""),
        ("", "admin: { token: 0123456789abcdef }", "admin.token"),
    ] {
        let changed = loaded(before).changes(&loaded(after)).join(", ");
        assert_eq!(changed, expected, "{before:?} to {after:?}");
    }
    let changed = loaded("").changes(&loaded("other_nacos: { east: { servers: [ e ] } }"));
    assert!(
        changed.contains(&"other_nacos.east.servers".to_owned()),
        "{changed:?}"
    );
}
