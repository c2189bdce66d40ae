//! Texts that filters of routes need and that no route document should hold.

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path, path::PathBuf};

use super::{
    environment::Environment,
    kind::{FilePath, Kind},
    schema::Reader,
    secret::Secret,
};
use crate::field::Field;

/// Where a secret of `secrets` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, which is read again when it changes.
    File(PathBuf),
    /// In an environment variable.
    Environment {
        /// The variable.
        variable: String,
        /// What it holds; there is none only while settings are read.
        text: Option<Secret>,
    },
}

/// The path of a file, or `{ file: … }`, or `{ environment: … }`.
pub(super) struct SecretPlace;

impl Kind for SecretPlace {
    type Value = SecretSource;

    fn describe(&self) -> String {
        "path of a file, or `{ file: PATH }`, or `{ environment: VARIABLE }`".to_owned()
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<SecretSource> {
        if field.is_scalar() {
            return FilePath.read(field, base).map(SecretSource::File);
        }
        let mut fields = field.mapping()?;
        let file = fields.optional("file");
        let variable = fields.optional("environment");
        fields.finish();
        match (file, variable) {
            (Some(file), None) => FilePath.read(&file, base).map(SecretSource::File),
            (None, Some(variable)) => Some(SecretSource::Environment {
                variable: variable.string()?,
                text: None,
            }),
            _ => {
                field.fault_expected("no place of a secret, or two", self.describe());
                None
            }
        }
    }

    fn write(&self, value: &SecretSource) -> Option<String> {
        Some(match value {
            SecretSource::File(path) => format!("{{ file: {} }}", FilePath.write(path)?),
            SecretSource::Environment { variable, .. } => {
                format!("{{ environment: {} }}", super::kind::yaml_text(variable))
            }
        })
    }
}

/// Takes what variables hold, and reports names that routes cannot say, variables that are not set and files that
/// cannot be read.
pub(super) fn complete(secrets: &mut BTreeMap<String, SecretSource>, reader: &mut Reader<'_>) {
    let environment: &Environment = reader.environment();
    for (name, source) in secrets {
        let is_legal =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_legal) {
            let problem = format!("`{}` is no name of a secret", name.escape_debug());
            let expected = "at most 64 letters, digits, `-`, `_` and `.`";
            reader.fault("secrets", problem, Some(expected));
        }
        let problem = match source {
            SecretSource::File(path) => {
                // A folder can be opened.
                let read = File::open(&*path).and_then(|mut file| file.read(&mut [0]));
                read.err()
                    .map(|error| format!("{name}: {}: cannot be read: {error}", path.display()))
            }
            SecretSource::Environment { variable, text } => {
                *text = environment.any(variable).map(Secret::new);
                let is_set = text.is_some();
                (!is_set).then(|| format!("{name}: the variable {variable} is not set"))
            }
        };
        if let Some(problem) = problem {
            reader.fault("secrets", problem, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_settings;

    fn load(text: &str) -> Result<BTreeMap<String, SecretSource>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("shop.key"), "x").expect("written");
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, text).expect("written");
        let environment = Environment::from_iter([("SHOP_KEY", "of the shop")]);
        match load_settings(Some(&file), &environment) {
            Ok(loaded) => {
                assert!(!loaded.render().contains("of the shop"), "it is printed");
                Ok(loaded.settings.secrets)
            }
            Err(faults) => {
                let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
                Err(faults.join("\n"))
            }
        }
    }

    #[test]
    fn a_secret_is_in_a_file_or_in_a_variable() {
        let text =
            "secrets: { a: ./shop.key, b: { file: shop.key }, c: { environment: SHOP_KEY } }";
        let secrets = load(text).expect("legal");
        for name in ["a", "b"] {
            let SecretSource::File(path) = &secrets[name] else {
                panic!("{secrets:?}");
            };
            assert!(path.is_absolute() && path.ends_with("shop.key"), "{path:?}");
        }
        let held = SecretSource::Environment {
            variable: "SHOP_KEY".to_owned(),
            text: Some(Secret::new("of the shop")),
        };
        assert_eq!(secrets["c"], held);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for (text, problem) in [
            ("secrets: { a: none.key }", "none.key: cannot be read"),
            ("secrets: { a: { environment: NONE } }", "NONE is not set"),
            ("secrets: { a: {} }", "no place of a secret"),
            (
                "secrets: { a: { file: shop.key, environment: SHOP_KEY } }",
                "or two",
            ),
            ("secrets: { a: { text: x } }", "unknown key"),
            ("secrets: { 'a b': shop.key }", "no name of a secret"),
        ] {
            let faults = load(text).expect_err(text);
            assert!(faults.contains(problem), "{text}: {faults}");
        }
    }
}
