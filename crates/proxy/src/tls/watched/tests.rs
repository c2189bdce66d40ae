use std::time::Duration;

use pailou_config::{Place, TlsVersion};
use rcgen::{CertificateRevocationListParams, CertifiedIssuer, KeyIdMethod, KeyPair, SerialNumber};

use super::super::testing::{Folder, authority, params};
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn settings(certificates: Vec<CertificateFiles>) -> TlsSettings {
    TlsSettings {
        certificates,
        min_version: TlsVersion::V1_2,
        client_auth: ClientAuth::Off,
        client_ca: Vec::new(),
        client_crl: Vec::new(),
        check_host: false,
        at: Place(Position { line: 3, column: 5 }),
    }
}

fn load(settings: &TlsSettings) -> Loaded {
    let tickets = terms::tickets();
    Watched::load(
        settings,
        "listeners[0].tls",
        "g.yaml",
        tickets,
        SystemTime::now(),
    )
}

fn sound(settings: &TlsSettings) -> Watched {
    let loaded = load(settings);
    assert!(loaded.faults.is_empty(), "{:?}", loaded.faults);
    loaded.watched.expect("sound files")
}

/// What the first certificate in use is for.
fn names(watched: &Watched) -> Vec<String> {
    watched.view()[0].names.clone()
}

fn counts(metrics: &Metrics) -> (u64, u64) {
    let text = metrics.render();
    let count = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.expect("a series").parse().expect("a number")
    };
    (
        count("pailou_certificate_reloads_total"),
        count("pailou_certificate_refusals_total"),
    )
}

#[test]
fn a_renewed_certificate_is_used_and_a_bad_one_leaves_the_old_in_use() {
    let folder = Folder::new();
    let files = folder.files("shop", &params(&["one.example"]));
    let watched = sound(&settings(vec![files.clone()]));
    let (metrics, now) = (Metrics::new(), SystemTime::now());
    let look = |at_once| watched.look(&metrics, at_once, now);
    let before = watched.terms();

    look(false);
    assert!(
        Arc::ptr_eq(&before, &watched.terms()),
        "nothing has changed"
    );

    // The certificate comes before its key; one look falls between the two.
    let (cert, key) = folder.sign(&params(&["two.example"]));
    folder.write("shop.crt", &cert);
    look(false);
    assert_eq!(names(&watched), ["one.example"]);
    folder.write("shop.key", &key);
    look(false);
    assert_eq!(names(&watched), ["two.example"]);
    assert!(!Arc::ptr_eq(&before, &watched.terms()));
    assert_eq!(counts(&metrics), (1, 0));
    assert_eq!(watched.view()[0].refused, None);

    // What stays wrong is told once.
    folder.write("shop.crt", "nonsense");
    for _ in 0..5 {
        look(false);
    }
    assert_eq!(names(&watched), ["two.example"]);
    assert_eq!(counts(&metrics), (1, 1));
    let refused = watched.view()[0].refused.clone().expect("a reason");
    assert!(
        refused.contains("shop.crt has no certificate in it"),
        "{refused}"
    );
    // Who asks is told again.
    look(true);
    assert_eq!(counts(&metrics), (1, 2));

    std::fs::remove_file(&files.key).expect("removed");
    look(true);
    let refused = watched.view()[0].refused.clone().expect("a reason");
    assert!(refused.contains("shop.key cannot be read"), "{refused}");

    folder.pair("shop", &cert, &key);
    look(false);
    assert_eq!(watched.view()[0].refused, None);
    assert_eq!(names(&watched), ["two.example"]);
}

#[test]
fn an_expired_certificate_does_not_take_the_place_of_a_good_one() {
    let folder = Folder::new();
    let (metrics, now) = (Metrics::new(), SystemTime::now());
    let mut good = params(&["one.example"]);
    good.not_after = (now + 10 * DAY).into();
    let watched = sound(&settings(vec![folder.files("shop", &good)]));
    let mut old = params(&["old.example"]);
    old.not_after = (now - 3 * DAY).into();
    folder.files("shop", &old);
    watched.look(&metrics, true, now);
    assert_eq!(names(&watched), ["one.example"]);
    let refused = watched.view()[0].refused.clone().expect("a reason");
    assert!(refused.contains("expired 3 days ago"), "{refused}");
    // When both have expired, the newest file is used.
    old.not_after = (now - 2 * DAY).into();
    folder.files("shop", &old);
    watched.look(&metrics, true, now + 20 * DAY);
    assert_eq!(names(&watched), ["old.example"]);
}

#[test]
fn one_bad_certificate_keeps_no_other_from_being_renewed() {
    let folder = Folder::new();
    let one = folder.files("one", &params(&["one.example"]));
    let two = folder.files("two", &params(&["two.example"]));
    let watched = sound(&settings(vec![one, two]));
    folder.write("one.crt", "nonsense");
    folder.files("two", &params(&["two.example", "three.example"]));
    watched.look(&Metrics::new(), false, SystemTime::now());
    let terms = watched.terms();
    let found = |host| terms.choice.find(Some(host)).names.list();
    assert_eq!(found("three.example"), ["three.example", "two.example"]);
    assert_eq!(found("one.example"), ["one.example"]);
}

#[test]
fn authorities_are_renewed_and_end_the_sessions_of_the_old_ones() {
    let folder = Folder::new();
    let files = folder.files("shop", &params(&["one.example"]));
    let clients = folder.write("clients.crt", &authority("one").pem());
    let settings = TlsSettings {
        client_auth: ClientAuth::Required,
        client_ca: vec![clients],
        ..settings(vec![files])
    };
    let watched = sound(&settings);
    let metrics = Metrics::new();
    let look = || watched.look(&metrics, true, SystemTime::now());
    let before = watched.terms();
    look();
    assert!(Arc::ptr_eq(&before, &watched.terms()));
    folder.write("clients.crt", "nonsense");
    look();
    assert!(Arc::ptr_eq(&before, &watched.terms()));
    assert_eq!(counts(&metrics), (0, 1));
    folder.write("clients.crt", &authority("two").pem());
    look();
    let after = watched.terms();
    assert!(!Arc::ptr_eq(
        &before.config.ticketer,
        &after.config.ticketer
    ));
    assert_eq!(counts(&metrics), (1, 1));
}

#[test]
fn a_list_that_does_not_speak_for_an_authority_is_overdue_or_none_is_told() {
    let folder = Folder::new();
    let (one, two) = (authority("one"), authority("two"));
    let files = folder.files("shop", &params(&["one.example"]));
    let settings = TlsSettings {
        client_auth: ClientAuth::Required,
        client_ca: vec![folder.write("clients.crt", &(one.pem() + &two.pem()))],
        client_crl: vec![folder.write("clients.crl", &list(&two, true))],
        ..settings(vec![files])
    };
    let told = |text: &str| {
        folder.write("clients.crl", text);
        let loaded = load(&settings);
        let faults: Vec<_> = loaded.faults.iter().map(ToString::to_string).collect();
        (loaded.watched.is_some(), faults.join("\n"))
    };
    let (is_sound, faults) = told(&list(&two, true));
    let expected = "has CN=one, for which no list speaks, so that its clients are refused; expected its revocation list among";
    assert!(is_sound && faults.contains(expected), "{faults}");
    assert!(!faults.contains("overdue"), "{faults}");

    let (is_sound, faults) = told(&(list(&one, true) + &list(&two, false)));
    let expected = "is overdue: the next list was due 2 days ago";
    assert!(is_sound && faults.contains(expected), "{faults}");
    assert!(!faults.contains("no list speaks"), "{faults}");

    for (text, expected) in [
        (&*one.pem(), "clients.crl has no revocation list in it"),
        (
            "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
            "clients.crl holds what is no revocation list",
        ),
        ("-----BEGIN X509 CRL-----\nAAAA\n", "clients.crl is damaged"),
    ] {
        let (is_sound, faults) = told(text);
        assert!(!is_sound && faults.contains(expected), "{faults}");
    }
}

/// An authority's list, which is to be replaced tomorrow or was due two days ago.
fn list(authority: &CertifiedIssuer<'static, KeyPair>, is_current: bool) -> String {
    let now = SystemTime::now();
    let next_update = match is_current {
        true => now + DAY,
        false => now - 2 * DAY,
    };
    let list = CertificateRevocationListParams {
        this_update: (now - 3 * DAY).into(),
        next_update: next_update.into(),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(authority).expect("a list");
    list.pem().expect("PEM")
}

#[test]
fn every_flaw_is_a_fault_at_the_place_of_its_certificate() {
    let folder = Folder::new();
    let good = folder.files("good", &params(&["one.example"]));
    let double = folder.files("double", &params(&["one.example", "*.example"]));
    let bad = folder.pair("bad", "nonsense", "nonsense");
    let leaf = folder.write("leaf.crt", &folder.sign(&params(&["x.example"])).0);
    let settings = TlsSettings {
        client_auth: ClientAuth::Optional,
        client_ca: vec![leaf, folder.path("missing.crt")],
        client_crl: vec![folder.path("missing.crl")],
        ..settings(vec![good, double, bad])
    };
    let loaded = load(&settings);
    assert!(loaded.watched.is_none());
    let faults: Vec<_> = loaded.faults.iter().map(ToString::to_string).collect();
    let expected = [
        (
            "g.yaml:7:9: warning: listeners[0].tls.certificates[1]: ",
            "double.crt is for one.example as ",
        ),
        (
            "g.yaml:7:9: listeners[0].tls.certificates[2]: ",
            "bad.crt has no certificate",
        ),
        (
            "g.yaml:7:9: listeners[0].tls.certificates[2]: ",
            "bad.key has no private key",
        ),
        (
            "g.yaml:3:5: listeners[0].tls.client_ca: ",
            "missing.crt cannot be read",
        ),
        (
            "g.yaml:3:5: listeners[0].tls.client_crl: ",
            "missing.crl cannot be read",
        ),
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, (place, problem)) in faults.iter().zip(expected) {
        assert!(fault.contains(place) && fault.contains(problem), "{fault}");
    }
}
