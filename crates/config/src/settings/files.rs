//! Which files the settings name: those that are read, and those that the gateway writes.

use std::path::Path;

use super::{NacosSettings, RouteSource, Settings};

impl Settings {
    /// The files that the gateway reads, each with the setting that names it. A setting that names another one gets its
    /// line here, so that nothing is ever written over it.
    pub fn files_read(&self) -> Vec<(String, &Path)> {
        let mut files: Vec<(String, &Path)> = Vec::new();
        for source in &self.routes {
            if let RouteSource::File(file) = source {
                files.push(("routes".to_owned(), file));
            }
        }
        if let Some(file) = &self.admin.token_file {
            files.push(("admin.token_file".to_owned(), file));
        }
        files.extend(nacos_files("nacos", &self.nacos));
        for (id, nacos) in &self.other_nacos {
            files.extend(nacos_files(&format!("other_nacos.{id}"), nacos));
        }
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
    let set = files.into_iter();
    set.filter_map(|(key, file)| Some((format!("{section}.{key}"), file.as_deref()?)))
        .collect()
}
