//! Passwords and tokens, and the files that they come from.

use super::*;

#[test]
fn a_password_comes_from_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = [
        ("hunter2", Some("hunter2")),
        ("hunter2\n", Some("hunter2")),
        ("a b \r\n", Some("a b ")),
        ("", None),
        ("\n", None),
    ];
    for (content, expected) in cases {
        std::fs::write(folder.path().join("secret"), content).expect("a file");
        let path = folder.path().join("gateway.yaml");
        std::fs::write(&path, "nacos: { username: u, password_file: secret }\n").expect("a file");
        let loaded = load_settings(Some(&path), &Environment::default());
        let password = loaded
            .as_ref()
            .ok()
            .and_then(|l| l.settings.nacos.credentials())
            .map(|(_, password)| password.expose());
        assert_eq!(password, expected, "{content:?}");
        assert!(!format!("{:?}", loaded.map(|loaded| loaded.settings)).contains("hunter2"));
    }
    let long = "x".repeat(5_000);
    std::fs::write(folder.path().join("secret"), long).expect("a file");
    let faults = load_settings(
        Some(&folder.path().join("gateway.yaml")),
        &Environment::default(),
    )
    .err()
    .expect("a fault");
    assert!(
        faults[0]
            .problem
            .ends_with("longer than 4096 bytes, so no secret"),
        "{faults:?}"
    );
}

#[test]
fn a_token_comes_from_its_file_and_is_not_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "0123456789abcdef\n").expect("a file");
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, "admin: { token_file: token }\n").expect("a file");
    let loaded = load_settings(Some(&path), &Environment::default())
        .unwrap_or_else(|faults| panic!("{faults:?}"));
    let token = loaded.settings.admin.token.as_ref().map(Secret::expose);
    assert_eq!(token, Some("0123456789abcdef"));
    assert!(!loaded.render().contains("0123456789abcdef"));
    let short = Environment::from_iter([("PAILOU_ADMIN_TOKEN", "short")]);
    let faults = load_settings(None, &short).err().expect("a fault");
    assert!(
        faults[0]
            .to_string()
            .starts_with("environment: PAILOU_ADMIN_TOKEN: too short"),
        "{faults:?}"
    );
}

#[test]
fn a_password_of_the_environment_replaces_the_file_and_the_other_way_round() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("secret"), "from-file").expect("a file");
    let load = |text: &str, variable: (&str, &str)| {
        let loaded = load(
            Some(("gateway.yaml", text)),
            folder.path(),
            &Environment::from_iter([variable]),
        );
        let loaded = loaded.unwrap_or_else(|faults| panic!("{faults:?}"));
        (
            loaded
                .settings
                .nacos
                .password
                .as_ref()
                .map(|p| p.expose().to_owned()),
            loaded.render(),
        )
    };
    let (password, rendered) = load(
        "nacos: { username: u, password_file: secret }",
        ("NACOS_PASSWORD", "from-env"),
    );
    assert_eq!(password.as_deref(), Some("from-env"));
    assert!(
        rendered.contains(
            "  password: \"***\"  # environment NACOS_PASSWORD\n  # password_file:  # default\n"
        ),
        "{rendered}"
    );
    let (password, rendered) = load(
        "nacos: { username: u, password: plain }",
        ("PAILOU_NACOS_PASSWORD_FILE", "secret"),
    );
    assert_eq!(password.as_deref(), Some("from-file"));
    assert!(
        rendered.contains("  # password:  # default\n"),
        "{rendered}"
    );
}

#[test]
fn a_secret_among_the_arguments_of_a_filter_is_not_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.yaml");
    let text = "scg: { filters: { A: { jwt: { issuer: me, keys: { secret: hunter2 } } } } }\n";
    std::fs::write(&path, text).expect("a file");
    let loaded = load_settings(Some(&path), &Environment::default()).expect("legal settings");
    let printed = loaded.render();
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("secret: \"***\""), "{printed}");
}
