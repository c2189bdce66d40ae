//! The README's table of policies says what the registry says.

use pailou_upstream::balance::REGISTRY;

#[test]
fn every_policy_has_its_row() {
    let readme = include_str!("../README.md");
    let rows: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let expected: Vec<String> = REGISTRY
        .iter()
        .map(|entry| format!("| `{}` | {} |", entry.name, entry.summary))
        .collect();
    assert_eq!(
        rows, expected,
        "one row of README.md for each line of balance::REGISTRY, in its order"
    );
}

#[test]
fn every_policy_has_its_file() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/balance");
    for entry in REGISTRY {
        let file = folder.join(entry.name).with_extension("rs");
        assert!(file.is_file(), "{} is missing", file.display());
    }
}
