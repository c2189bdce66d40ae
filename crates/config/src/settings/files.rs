//! Which files the settings name: those that are read, and those that the gateway writes.

use std::path::{Path, PathBuf};

use super::{NacosSettings, RouteSource, Settings, TlsSettings, UpstreamTlsSettings};

impl Settings {
    /// The files that the gateway reads, each with the setting that names it. A setting that names another one gets its
    /// line here, so that nothing is ever written over it.
    pub fn files_read(&self) -> Vec<(String, &Path)> {
        let mut files: Vec<(String, &Path)> = Vec::new();
        for source in &self.routes {
            if let RouteSource::File { path, .. } = source {
                files.push(("routes".to_owned(), path));
            }
        }
        if let Some(file) = &self.admin.token_file {
            files.push(("admin.token_file".to_owned(), file));
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            if let Some(tls) = &listener.tls {
                files.extend(tls_files(&format!("listeners[{index}].tls"), tls));
            }
        }
        for (section, tls) in self.all_upstream_tls() {
            files.extend(upstream_tls_files(&section, tls));
        }
        files.extend(nacos_files("nacos", &self.nacos));
        for (id, nacos) in &self.other_nacos {
            files.extend(nacos_files(&format!("other_nacos.{id}"), nacos));
        }
        files.extend(those_set("redis", &self.redis.files()));
        files
    }

    /// The files that the gateway writes, each with the setting that names it.
    pub fn files_written(&self) -> Vec<(&'static str, &Path)> {
        let files = [
            ("snapshot.path", self.snapshot.path.as_deref()),
            ("log.file", self.log.file.as_deref()),
            ("log.access_file", self.log.access_file.as_deref()),
        ];
        let written = files.into_iter();
        written
            .filter_map(|(setting, file)| Some((setting, file?)))
            .collect()
    }
}

fn nacos_files<'a>(section: &str, nacos: &'a NacosSettings) -> Vec<(String, &'a Path)> {
    let files = [
        ("password_file", &nacos.password_file),
        ("tls_ca_file", &nacos.tls_ca_file),
        ("tls_cert_file", &nacos.tls_cert_file),
        ("tls_key_file", &nacos.tls_key_file),
    ];
    those_set(section, &files)
}

/// The files of a section that are named, each with its setting.
fn those_set<'a>(section: &str, files: &[(&str, &'a Option<PathBuf>)]) -> Vec<(String, &'a Path)> {
    let set = files.iter();
    set.filter_map(|(key, file)| Some((format!("{section}.{key}"), file.as_deref()?)))
        .collect()
}

fn tls_files<'a>(section: &str, tls: &'a TlsSettings) -> Vec<(String, &'a Path)> {
    let mut files = Vec::new();
    for (index, pair) in tls.certificates.iter().enumerate() {
        files.push((format!("{section}.certificates[{index}].cert"), &*pair.cert));
        files.push((format!("{section}.certificates[{index}].key"), &*pair.key));
    }
    for file in &tls.client_ca {
        files.push((format!("{section}.client_ca"), file));
    }
    for file in &tls.client_crl {
        files.push((format!("{section}.client_crl"), file));
    }
    files
}

fn upstream_tls_files<'a>(section: &str, tls: &'a UpstreamTlsSettings) -> Vec<(String, &'a Path)> {
    let files = [
        ("ca_file", &tls.ca_file),
        ("cert_file", &tls.cert_file),
        ("key_file", &tls.key_file),
    ];
    those_set(section, &files)
}

#[cfg(test)]
mod tests {
    use crate::{Environment, load_settings};

    #[test]
    fn every_file_of_tls_is_one_that_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["up.pem", "x.crt", "x.key"] {
            std::fs::write(folder.path().join(name), "x").expect("written");
        }
        let file = folder.path().join("gateway.yaml");
        let text = "
listeners:
  - address: 127.0.0.1:0
    tls:
      certificates: [ { cert: a.crt, key: a.key }, { cert: b.crt, key: b.key } ]
      client_auth: required
      client_ca: [ ca.crt ]
      client_crl: [ ca.crl ]
upstream_tls: { ca_file: up.pem }
other_upstream_tls: { x: { cert_file: x.crt, key_file: x.key } }
";
        std::fs::write(&file, text).expect("written");
        let none = Environment::default();
        let loaded = load_settings(Some(&file), &none).expect("sound settings");
        let read = loaded.settings.files_read();
        let named: Vec<&str> = read.iter().map(|(setting, _)| &**setting).collect();
        assert_eq!(
            named,
            [
                "listeners[0].tls.certificates[0].cert",
                "listeners[0].tls.certificates[0].key",
                "listeners[0].tls.certificates[1].cert",
                "listeners[0].tls.certificates[1].key",
                "listeners[0].tls.client_ca",
                "listeners[0].tls.client_crl",
                "upstream_tls.ca_file",
                "other_upstream_tls.x.cert_file",
                "other_upstream_tls.x.key_file",
            ]
        );
    }
}
