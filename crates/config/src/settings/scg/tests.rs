use super::*;
use crate::{Environment, Settings, load_settings};

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, text).expect("written");
    let environment = Environment::from_iter(environment.iter().copied());
    match load_settings(Some(&file), &environment) {
        Ok(loaded) => Ok(loaded.settings),
        Err(faults) => Err(faults
            .iter()
            .map(|fault| format!("{}: {}", fault.path, fault.problem))
            .collect()),
    }
}

#[test]
fn every_key_is_read() {
    let text = "
scg:
  compat: 5
  profiles: [ dev, eu ]
  placeholders: [ ORDERS, server.port, GONE ]
  beans: { ipKeyResolver: client_address, keyOfUser: { header: X-User } }
  filters:
    AuthFilter: ignore
    Sign: preserve_host
    CheckToken: { forward_auth: { service: auth, path: /check } }
  schemes: { grayLb: lb }
";
    let environment = [
        ("ORDERS", "orders-2"),
        ("SERVER_PORT", "8080"),
        ("GONE", " "),
    ];
    let scg = load(text, &environment).expect("sound settings").scg;
    assert_eq!(scg.compat, Compat::V5);
    assert_eq!(scg.profiles, ["dev", "eu"]);
    let values = scg.placeholders.iter().map(|name| name.value.as_deref());
    assert_eq!(
        values.collect::<Vec<_>>(),
        [Some("orders-2"), Some("8080"), None]
    );
    assert!(!format!("{:?}", scg.placeholders).contains("orders-2"));
    assert_eq!(scg.beans.len(), 2);
    assert_eq!(scg.filters["AuthFilter"], ScgFilter::Ignore);
    let ScgFilter::Part(part) = &scg.filters["CheckToken"] else {
        panic!("a filter of ours")
    };
    assert_eq!(part.name, "forward_auth");
    assert_eq!(scg.schemes["grayLb"], "lb");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, expected) in [
        ("scg: { compat: 3 }", "scg.compat: `3`"),
        ("scg: { schemes: { a: ftp } }", "scg.schemes.a: `ftp`"),
        (
            "scg: { filters: { A: { b: 1, c: 2 } } }",
            "scg.filters.A: 2 names in one mapping",
        ),
        (
            "scg: { placeholders: [ a b ] }",
            "scg.placeholders[0]: `a b`",
        ),
        ("scg: { profile: [ a ] }", "scg.profile: unknown key"),
    ] {
        let faults = load(text, &[]).expect_err("refused");
        assert_eq!(faults, [expected], "{text}");
    }
}

#[test]
fn the_environment_sets_them_too() {
    let environment = [
        ("PAILOU_SCG_COMPAT", "5"),
        ("PAILOU_SCG_FILTERS", "AuthFilter=ignore"),
        ("PAILOU_SCG_BEANS", "ipKeyResolver=client_address"),
    ];
    let scg = load("{}", &environment).expect("sound settings").scg;
    assert_eq!(
        (scg.compat, scg.filters.len(), scg.beans.len()),
        (Compat::V5, 1, 1)
    );
}
