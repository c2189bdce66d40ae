//! What differs between two readings of the settings.

use super::{LoadedSettings, Secret, Settings, schema::Entry};

impl LoadedSettings {
    /// The paths of the settings that are different in `newer`, in the order of the settings. A secret is named, not shown.
    pub fn changes(&self, newer: &LoadedSettings) -> Vec<String> {
        let is_same = |entry: &Entry| {
            let other = newer.entries.iter();
            let mut other = other.filter(|other| other.path() == entry.path());
            other.next().is_some_and(|other| other.value == entry.value)
        };
        let mut changed: Vec<String> = self
            .entries
            .iter()
            .filter(|entry| !is_same(entry))
            .map(Entry::path)
            .collect();
        // A Nacos that is new has entries that nobody had before.
        let known = |entry: &&Entry| self.entries.iter().all(|old| old.path() != entry.path());
        changed.extend(newer.entries.iter().filter(known).map(Entry::path));
        // Secrets are masked where entries are compared.
        let (before, now) = (secrets(&self.settings), secrets(&newer.settings));
        for (path, secret) in before {
            let is_other = now
                .iter()
                .any(|(other, now)| *other == path && *now != secret);
            if is_other && !changed.contains(&path) {
                changed.push(path);
            }
        }
        changed
    }
}

fn secrets(settings: &Settings) -> Vec<(String, Option<&Secret>)> {
    let mut secrets = vec![
        ("admin.token".to_owned(), settings.admin.token.as_ref()),
        (
            "nacos.password".to_owned(),
            settings.nacos.password.as_ref(),
        ),
    ];
    for (id, nacos) in &settings.other_nacos {
        secrets.push((
            format!("other_nacos.{id}.password"),
            nacos.password.as_ref(),
        ));
    }
    secrets
}
