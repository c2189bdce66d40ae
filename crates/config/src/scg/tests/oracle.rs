//! The documents that a real Spring Cloud Gateway was given: every one is read, and routes that it could not bind are refused.

use std::{fs, path::Path};

use super::*;

/// Documents whose route `t` no gateway can bind, or which name what is never opened, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("bad-emptyfilter", "without a name"),
    ("bad-enabled", "expected true or false"),
    ("bad-hasspel", "expressions are not evaluated"),
    ("bad-lbempty", "no name of a service"),
    ("bad-noeq", "expected NAME=VALUES"),
    ("bad-nouri", "`uri` is missing"),
    ("bad-order", "expected a whole number"),
    ("bad-spelbean", "has no scg.beans.nobean"),
    ("bad-spelmath", "expressions are not evaluated"),
    ("bad-uri", "no scheme"),
    ("bad-urinohost", "neither a host name"),
    ("bad-urispace", "neither a host name"),
    ("cloudfoundry", "expected NAME=VALUES"),
    ("no-predicates-key", "no predicate"),
    ("uris", "an unknown scheme"),
];

#[test]
fn every_document_of_the_oracle_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scg-oracle/documents");
    let mut scg = settings(
        "{ beans: { ipKeyResolver: client_address, apiKeyResolver: { header: X-Api-Key } }, placeholders: [ MY_NAME, ORACLE_SET, BPORT, RID, PFX, a, b ] }",
    );
    scg.placeholders[1].value = Some("fromarg".to_owned());
    let mut count = 0;
    for file in fs::read_dir(folder).expect("the oracle's documents") {
        let path = file.expect("a file").path();
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name")
            .to_owned();
        let text = fs::read_to_string(&path).expect("a text");
        let document = read_with(&text, &scg);
        let refused = refused(&document);
        match REFUSED.iter().find(|(known, _)| *known == name) {
            Some((_, reason)) => {
                assert_eq!(refused.len(), 1, "{name}: {refused:?}");
                assert!(
                    refused[0].2.iter().any(|fault| fault.contains(reason)),
                    "{name}: {refused:?}"
                );
            }
            None => assert!(refused.is_empty(), "{name}: {refused:?}"),
        }
        count += 1;
    }
    assert_eq!(count, 138);
}
