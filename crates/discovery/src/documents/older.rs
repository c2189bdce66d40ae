//! The older texts that routes of a document still come from: a route that the newest text breaks keeps its last good
//! version, also over a restart.

use std::collections::HashSet;
use std::sync::Arc;

use pailou_config::{DocumentOutcome, Reading};

use super::{Compile, Compiled, Good, routes};
use crate::snapshot::{MOST_OLDER_TEXTS, OlderText, SavedText};

/// The texts that the `kept` routes of a new text are from: the one before, and those that this one had kept routes of.
pub(super) fn of_kept(kept: &[Arc<str>], before: &Good) -> Vec<OlderText> {
    let mut left: HashSet<&Arc<str>> = kept.iter().collect();
    let mut texts = Vec::new();
    for older in &*before.older {
        let routes = older.routes.iter().filter(|id| left.remove(id));
        let routes: Arc<[_]> = routes.cloned().collect();
        if !routes.is_empty() {
            let text = Arc::clone(&older.text);
            texts.push(OlderText { text, routes });
        }
    }
    // Of what was kept before and is in none of these the text was let go.
    for id in &before.kept {
        left.remove(id);
    }
    let routes = kept.iter().filter(|id| left.contains(id));
    let routes: Arc<[_]> = routes.cloned().collect();
    if !routes.is_empty() {
        let text = Arc::clone(&before.text);
        texts.push(OlderText { text, routes });
    }
    let surplus = texts.len().saturating_sub(MOST_OLDER_TEXTS);
    texts.drain(..surplus);
    texts
}

/// The routes of the older texts, as if they had been served before the newest one. One that cannot run any more is not
/// there.
pub(super) fn restore(
    saved: &SavedText,
    name: &Arc<str>,
    reading: &Reading,
    compile: Compile<'_>,
) -> Option<Good> {
    let mut all = Compiled::default();
    for older in &*saved.older {
        let DocumentOutcome::Routes(mut parsed) = reading.parse(name, &older.text) else {
            continue;
        };
        let wanted: HashSet<&str> = older.routes.iter().map(|id| &**id).collect();
        parsed.routes.retain(|spec| wanted.contains(&*spec.id));
        parsed.refused.clear();
        let compiled = routes::compile(&mut parsed, &[], compile);
        all.routes.extend(compiled.routes);
    }
    if all.routes.is_empty() {
        return None;
    }
    let mut good = Good::new(&saved.text, all, Vec::new(), None);
    good.older = Arc::clone(&saved.older);
    Some(good)
}
