//! API groups: paths that rules name together.

use serde::Deserialize;

use super::read::items;
use crate::JavaRegex;
use crate::scg::path_glob::PathGlob;

/// A group and what its paths look like.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
enum Pattern {
    Exact(String),
    /// For `AntPathMatcher` a slash at the end matters, unless the pattern ends in `**`.
    Ant {
        glob: PathGlob,
        /// How the path has to end, if that matters.
        slash: Option<bool>,
    },
    Regex(Box<JavaRegex>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    api_name: Option<String>,
    predicate_items: Vec<Item>,
}

/// A pattern, or a group of them, which Sentinel reads and never asks.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Item {
    pattern: Option<String>,
    match_strategy: i64,
}

/// Reads a list of groups. One that cannot be followed is left out and noted: with a part of its paths it would be another. Also noted
/// is what takes no path.
pub(super) fn read(text: &str, notes: &mut Vec<String>) -> Result<Vec<Group>, String> {
    let mut groups = Vec::new();
    for (item, number) in items(text)?.into_iter().zip(1..) {
        let group = serde_json::from_value::<Written>(item)
            .map_err(|error| error.to_string())
            .and_then(|written| written.compile(notes));
        match group {
            Ok(group) => groups.push(group),
            Err(why) => notes.push(format!("API group {number} is not followed: {why}")),
        }
    }
    Ok(groups)
}

impl Written {
    fn compile(self, notes: &mut Vec<String>) -> Result<Group, String> {
        let name = self.api_name.unwrap_or_default();
        if name.trim().is_empty() {
            return Err("it has no `apiName`".to_owned());
        }
        let mut patterns = Vec::new();
        for item in self.predicate_items {
            match item.compile()? {
                Some(pattern) => patterns.push(pattern),
                None => notes.push(format!(
                    "a part of the API group `{}` takes no path, as in Sentinel: it is a group of its own, or a pattern without a wildcard \
                     with `matchStrategy` 1",
                    name.escape_debug()
                )),
            }
        }
        Ok(Group { name, patterns })
    }
}

impl Item {
    /// `None` if it takes no path.
    fn compile(self) -> Result<Option<Pattern>, String> {
        let Some(text) = self.pattern else {
            return Ok(None);
        };
        let shown = text.escape_debug().to_string();
        Ok(Some(match self.match_strategy {
            // `AntPathMatcher.isPattern`: any other text is never compared.
            1 if !text.contains(['*', '?', '{']) => return Ok(None),
            1 => Pattern::Ant {
                glob: PathGlob::parse(&text)
                    .ok_or_else(|| format!("`{shown}` is no pattern that is understood here"))?,
                slash: (!text.ends_with("**")).then(|| text.ends_with('/')),
            },
            2 => {
                let regex =
                    JavaRegex::whole(&text).map_err(|error| format!("`{shown}`: {error}"))?;
                Pattern::Regex(Box::new(regex))
            }
            // Whatever else is written means the path itself.
            _ => Pattern::Exact(text),
        }))
    }
}

impl Group {
    pub(super) fn takes(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Exact(text) => text == path,
            Pattern::Ant { glob, slash } => {
                slash.is_none_or(|slash| path.ends_with('/') == slash) && glob.matches(path)
            }
            Pattern::Regex(regex) => regex.is_match(path),
        })
    }
}
