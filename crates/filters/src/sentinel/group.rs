//! API groups: paths that rules name together.

use serde::Deserialize;

use super::read::items;
use crate::JavaRegex;
use crate::scg::path_glob::PathGlob;

/// Groups within groups are no deeper.
const MAX_DEPTH: usize = 8;

/// A group and what its paths look like.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
enum Pattern {
    Exact(String),
    Ant(PathGlob),
    Regex(Box<JavaRegex>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    api_name: Option<String>,
    predicate_items: Vec<Item>,
}

/// A pattern, or a group of them of which any may take the path.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Item {
    pattern: Option<String>,
    match_strategy: i64,
    items: Vec<Item>,
}

/// Reads a list of groups. One that cannot be followed is left out and noted: with a part of its paths it would be another.
pub(super) fn read(text: &str, notes: &mut Vec<String>) -> Result<Vec<Group>, String> {
    let mut groups = Vec::new();
    for (item, number) in items(text)?.into_iter().zip(1..) {
        let group = serde_json::from_value::<Written>(item)
            .map_err(|error| error.to_string())
            .and_then(Written::compile);
        match group {
            Ok(group) => groups.push(group),
            Err(why) => notes.push(format!("API group {number} is not followed: {why}")),
        }
    }
    Ok(groups)
}

impl Written {
    fn compile(self) -> Result<Group, String> {
        let name = self.api_name.unwrap_or_default();
        if name.trim().is_empty() {
            return Err("it has no `apiName`".to_owned());
        }
        let mut patterns = Vec::new();
        for item in self.predicate_items {
            item.add_to(&mut patterns, 0)?;
        }
        Ok(Group { name, patterns })
    }
}

impl Item {
    fn add_to(self, patterns: &mut Vec<Pattern>, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("its groups are too deep".to_owned());
        }
        for item in self.items {
            item.add_to(patterns, depth + 1)?;
        }
        let Some(text) = self.pattern else {
            return Ok(());
        };
        let shown = text.escape_debug().to_string();
        patterns.push(match self.match_strategy {
            0 => Pattern::Exact(text),
            1 => PathGlob::parse(&text)
                .map(Pattern::Ant)
                .ok_or_else(|| format!("`{shown}` is no pattern that is understood here"))?,
            2 => {
                let regex =
                    JavaRegex::whole(&text).map_err(|error| format!("`{shown}`: {error}"))?;
                Pattern::Regex(Box::new(regex))
            }
            other => return Err(format!("`matchStrategy` {other} is none of 0 to 2")),
        });
        Ok(())
    }
}

impl Group {
    pub(super) fn takes(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Exact(text) => text == path,
            Pattern::Ant(glob) => glob.matches(path),
            Pattern::Regex(regex) => regex.is_match(path),
        })
    }
}
