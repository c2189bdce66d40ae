//! TLS to endpoints: whom the gateway believes, and who it is to them.

use std::{collections::BTreeMap, fs::File, io::Read as _, path::PathBuf};

use super::{
    kind::{FilePath, Flag, Maybe},
    schema::{Reader, Section, section},
    values::NAME,
};

section! {
    /// TLS to endpoints that register with the metadata `secure: "true"` or `protocol: https`, and to endpoints of routes with
    /// `protocol: https`. TLS 1.2 and 1.3. A renewed file is used within half a minute.
    UpstreamTlsSettings in "upstream_tls" {
        /// A PEM file with the authorities whose certificates endpoints may have. Left out, the system's authorities count.
        ca_file: Option<PathBuf> = None, Maybe(FilePath);
        /// The gateway's own certificate (PEM, with those that lead to its authority), for endpoints that ask for one.
        cert_file: Option<PathBuf> = None, Maybe(FilePath);
        /// Its private key (PEM, not encrypted).
        key_file: Option<PathBuf> = None, Maybe(FilePath);
        /// The name in the endpoints' certificates, also sent as SNI. Left out, it is the host name that an endpoint registered, or
        /// else its IP address.
        server_name: Option<String> = None, Maybe(NAME);
        /// Whether certificates are verified. With `false` any server at the address is believed, which is for tests only.
        verify: bool = true, Flag;
    }
}

/// What is said of [`UpstreamTlsSettings::read_others`].
const OTHERS: &[&str] = &[
    " Other TLS settings for endpoints, each by an id of lower-case letters, digits and `-` and with the same keys as",
    " `upstream_tls`: `other_upstream_tls: { internal: { ca_file: ./internal-ca.pem } }`. A route means one of these by",
    " `service: { name: orders, tls: internal }`. Nothing is taken over from `upstream_tls`.",
];

impl UpstreamTlsSettings {
    /// The named ones, by their ids.
    pub(super) fn read_others(top: &mut Section<'_, '_>) -> BTreeMap<String, UpstreamTlsSettings> {
        let mut others = BTreeMap::new();
        for (id, field) in top.sections("other_upstream_tls", OTHERS) {
            let is_id =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if id.text.is_empty() || id.text.len() > 64 || !id.text.bytes().all(is_id) {
                field.fault_expected(
                    "no id of TLS settings",
                    "at most 64 lower-case letters, digits and `-`",
                );
            } else {
                let section = top.one_of(format!("other_upstream_tls.{}", id.text), &field);
                others.insert(id.text.clone(), UpstreamTlsSettings::read_keys(section));
            }
        }
        others
    }

    /// Reports what does not fit together, and files that cannot be read. What they hold is looked at when they are loaded.
    pub(super) fn check(&self, section: &str, reader: &mut Reader<'_>) {
        let key = |key: &str| format!("{section}.{key}");
        let halves = [
            ("cert_file", &self.cert_file, "key_file", &self.key_file),
            ("key_file", &self.key_file, "cert_file", &self.cert_file),
        ];
        for (one, set, other, missing) in halves {
            if set.is_some() && missing.is_none() {
                reader.fault(&key(one), "half of a certificate", Some(&key(other)));
            }
        }
        for (name, file) in [
            ("ca_file", &self.ca_file),
            ("cert_file", &self.cert_file),
            ("key_file", &self.key_file),
        ] {
            let Some(path) = file else { continue };
            // A folder can be opened.
            if let Err(error) = File::open(path).and_then(|mut file| file.read(&mut [0])) {
                let problem = format!("{}: cannot be read: {error}", path.display());
                reader.fault(&key(name), problem, None);
            }
        }
        if !self.verify && self.ca_file.is_some() {
            reader.fault(
                &key("ca_file"),
                format!("set beside {}: false", key("verify")),
                Some("one of them"),
            );
        }
    }
}
