//! The consumers and the digests of their keys.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

use pailou_config::{Field, Node, Report};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::identity::Identity;
use crate::sources::{Contents, Read};

type Digest = [u8; SHA256_OUTPUT_LEN];

const EXPECTED: &str = "the SHA-256 of a key, 64 hexadecimal digits";

/// Whose a key is, by its digest.
pub(crate) struct Consumers(HashMap<Digest, Arc<Identity>>);

impl Consumers {
    /// Reads names with the digests of their keys, one or a list of them: `{ partner-a: 5994…, partner-b: [ … ] }`.
    pub(super) fn of_field(field: &Field<'_>) -> Option<Consumers> {
        let mut keys = HashMap::new();
        let entries = field.entries()?;
        let mut is_good = true;
        for (name, field) in entries {
            let is_name =
                !name.text.is_empty() && name.text.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_name {
                field.fault_expected("not the name of a consumer", "visible ASCII characters");
            }
            let identity = Arc::new(Identity::named(name.text.as_str()));
            let digests = field.each(|item| {
                let digest = hex(&item.string()?);
                if digest.is_none() {
                    item.fault_expected("not a digest", EXPECTED);
                }
                digest
            });
            is_good &= is_name && digests.is_some();
            for digest in digests.into_iter().flatten() {
                match keys.entry(digest) {
                    hash_map::Entry::Occupied(_) => {
                        field.fault("the key is there twice");
                        is_good = false;
                    }
                    hash_map::Entry::Vacant(place) => drop(place.insert(Arc::clone(&identity))),
                }
            }
        }
        is_good.then_some(Consumers(keys))
    }

    /// The same as a text of YAML or JSON.
    pub(crate) fn read(text: &[u8]) -> Result<Read, String> {
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
        let report = Report::new("keys");
        let consumers = Node::parse_yaml(text, &report)
            .and_then(|node| Consumers::of_field(&Field::new(&node, "", &report)));
        match consumers {
            Some(consumers) if !report.has_errors() => Ok(Read {
                entries: consumers.0.len(),
                contents: Contents::Consumers(Arc::new(consumers)),
                notes: Vec::new(),
            }),
            _ => {
                let faults = report.into_faults();
                let fault = faults.first().map(ToString::to_string);
                Err(fault.unwrap_or_else(|| "no mapping of consumers".to_owned()))
            }
        }
    }

    /// Whose key it is.
    pub(super) fn of_key(&self, key: &[u8]) -> Option<Arc<Identity>> {
        self.0.get(digest(&SHA256, key).as_ref()).cloned()
    }
}

impl std::fmt::Debug for Consumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consumers({} keys)", self.0.len())
    }
}

fn hex(text: &str) -> Option<Digest> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    let mut bytes = Digest::default();
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        *byte = u8::try_from(16 * digit(0)? + digit(1)?).ok()?;
    }
    Some(bytes)
}
