use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertificateParams, date_time_ymd};

use super::super::testing::{Folder, authority, params};
use super::*;

/// What is said of the files, and whether they can be used.
fn judge(files: &CertificateFiles) -> (bool, Vec<String>) {
    let (cert, key) = match (read(&files.cert), read(&files.key)) {
        (Ok(cert), Ok(key)) => (cert, key),
        (cert, key) => {
            let flaws = cert.err().into_iter().chain(key.err());
            return (false, flaws.map(|flaw| flaw.to_string()).collect());
        }
    };
    let (certified, flaws) = certify(files, &cert, &key, SystemTime::now());
    let is_fatal = flaws.iter().any(|flaw| flaw.is_fatal);
    assert_eq!(certified.is_some(), !is_fatal, "{flaws:?}");
    let flaws = flaws.iter().map(Flaw::to_string).collect();
    (certified.is_some(), flaws)
}

fn years(from: i32, to: i32) -> CertificateParams {
    let mut params = params(&["shop.example"]);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

#[test]
fn sound_files_have_no_flaw() {
    let folder = Folder::new();
    let (leaf, key) = folder.sign(&params(&["shop.example", "*.shop.example"]));
    let chain = format!("{leaf}{}", folder.authority.pem());
    for (name, cert) in [("leaf", &leaf), ("chain", &chain)] {
        assert_eq!(
            judge(&folder.pair(name, cert, &key)),
            (true, vec![]),
            "{name}"
        );
    }
}

#[test]
fn what_keeps_files_from_being_used_is_named_with_its_cure() {
    let folder = Folder::new();
    let (cert, key) = folder.sign(&params(&["shop.example"]));
    let (_, other_key) = folder.sign(&params(&["shop.example"]));
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let damaged = cert.replace("MII", "@@@");
    let no_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases: [(&str, &str, &str, &str); 9] = [
        (
            "",
            &key,
            "x.crt has no certificate in it",
            "-----BEGIN CERTIFICATE-----",
        ),
        (
            &key,
            &key,
            "x.crt has a private key and no certificate in it",
            "PEM",
        ),
        (&damaged, &key, "x.crt is damaged", "PEM"),
        (
            no_x509,
            &key,
            "x.crt holds what is no X.509 certificate",
            "openssl x509",
        ),
        (
            &cert,
            "",
            "x.key has no private key in it",
            "-----BEGIN PRIVATE KEY-----",
        ),
        (
            &cert,
            &cert,
            "x.key has a certificate and no private key in it",
            "PEM",
        ),
        (&cert, encrypted, "x.key is encrypted", "openssl pkey"),
        (&cert, &other_key, "x.key is not the key of ", "made with"),
        (
            &cert,
            no_x509,
            "x.key has a certificate and no private key in it",
            "PEM",
        ),
    ];
    for (cert, key, problem, cure) in cases {
        let (usable, flaws) = judge(&folder.pair("x", cert, key));
        assert!(!usable, "{problem}");
        let said = flaws
            .iter()
            .any(|flaw| flaw.contains(problem) && flaw.contains(cure));
        assert!(said, "{problem}: {flaws:?}");
    }
    std::fs::write(folder.path("x.crt"), [0x30, 0x82, 1, 2]).expect("a file");
    let files = CertificateFiles {
        cert: folder.path("x.crt"),
        ..folder.pair("y", &cert, &key)
    };
    let (_, flaws) = judge(&files);
    assert!(flaws[0].contains("x.crt is DER and not PEM"), "{flaws:?}");
    let (is_usable, flaws) = judge(&CertificateFiles {
        cert: folder.path(""),
        ..files.clone()
    });
    assert!(!is_usable);
    assert!(flaws[0].contains("it is no regular file"), "{flaws:?}");
    let missing = CertificateFiles {
        cert: folder.path("missing.crt"),
        ..files
    };
    let (usable, flaws) = judge(&missing);
    assert!(!usable);
    assert!(
        flaws[0].contains("missing.crt cannot be read: No such file"),
        "{flaws:?}"
    );
}

#[test]
fn what_clients_may_not_accept_is_told_and_used() {
    let folder = Folder::new();
    let authority_pem = folder.authority.pem();
    let stranger = authority("stranger").pem();
    let (leaf, key) = folder.sign(&params(&["shop.example"]));
    let (old, old_key) = folder.sign(&years(2019, 2020));
    let (new, new_key) = folder.sign(&years(2190, 2191));
    let (nameless, nameless_key) = folder.sign(&params(&[]));
    let reversed = format!("{authority_pem}{leaf}");
    let foreign = format!("{leaf}{stranger}");
    let cases: [(&str, &str, &str); 4] = [
        (&old, &old_key, "expired "),
        (&new, &new_key, "is not valid yet, for another "),
        (&foreign, &key, "is out of order: behind "),
        (&nameless, &nameless_key, "has no subject alternative name"),
    ];
    for (cert, key, problem) in cases {
        let (usable, flaws) = judge(&folder.pair("x", cert, key));
        assert!(usable, "{problem}");
        assert_eq!(flaws.len(), 1, "{flaws:?}");
        assert!(flaws[0].contains(problem), "{problem}: {flaws:?}");
    }
    // The authority's certificate first: the key is that of the second.
    let (usable, flaws) = judge(&folder.pair("x", &reversed, &key));
    assert!(!usable);
    assert!(
        flaws.iter().any(|flaw| flaw.contains("is out of order")),
        "{flaws:?}"
    );
}

#[test]
fn a_key_that_everybody_can_read_is_told() {
    let folder = Folder::new();
    let files = folder.files("x", &params(&["shop.example"]));
    for (mode, told) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&files.key, permissions).expect("a mode");
        let (usable, flaws) = judge(&files);
        assert!(usable);
        let said = flaws.iter().any(|flaw| {
            flaw.contains("every user of this machine can read this key")
                && flaw.contains("chmod 600")
        });
        assert_eq!(said, told, "{mode:o}: {flaws:?}");
    }
}
