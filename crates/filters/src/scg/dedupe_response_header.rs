//! `DedupeResponseHeader`: response headers have one value each.

use http::{HeaderName, HeaderValue};
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields, text};
use crate::{Edit, ResponseHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "DedupeResponseHeader",
    "name, strategy (RETAIN_FIRST)",
    "Leaves the first, the last or each different value (`RETAIN_FIRST`, `RETAIN_LAST`, `RETAIN_UNIQUE`) of response headers; `name` has one name or several, with blanks between.",
    Shortcut::Fields(&["name", "strategy"]),
    compile,
);

#[derive(Clone, Copy, Debug)]
enum Strategy {
    First,
    Last,
    Unique,
}

const STRATEGIES: &[(&str, Strategy)] = &[
    ("RETAIN_FIRST", Strategy::First),
    ("RETAIN_LAST", Strategy::Last),
    ("RETAIN_UNIQUE", Strategy::Unique),
];

/// Fields are compared as a whole: `1, 2` is one value.
#[derive(Debug)]
struct DedupeResponseHeader {
    names: Vec<HeaderName>,
    strategy: Strategy,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let arg = text(args, "name");
    let strategy = match args.get("strategy") {
        Some(strategy) => strategy.one_of(STRATEGIES),
        None => Some(Strategy::First),
    };
    let arg = arg?;
    let names = arg.text().split_ascii_whitespace();
    let names: Option<Vec<_>> = names.map(|name| fields::deduped(name, &arg)).collect();
    edit(DedupeResponseHeader {
        names: names?,
        strategy: strategy?,
    })
}

impl Edit for DedupeResponseHeader {
    fn response(&self, head: &mut ResponseHead<'_>) {
        for name in &self.names {
            let values: Vec<_> = head.headers.get_all(name).iter().cloned().collect();
            if values.len() < 2 {
                continue;
            }
            let mut kept: Vec<HeaderValue> = Vec::new();
            match self.strategy {
                Strategy::First => kept.extend(values.into_iter().next()),
                Strategy::Last => kept.extend(values.into_iter().next_back()),
                Strategy::Unique => {
                    for value in values {
                        if !kept.contains(&value) {
                            kept.push(value);
                        }
                    }
                }
            }
            head.headers.remove(name);
            for value in kept {
                head.headers.append(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{answered, bound, edit, headers, values};

    #[test]
    fn one_value_stays_or_each_different_one() {
        for (args, before, after) in [
            ("X-A", &["1", "2", "1"][..], &["1"][..]),
            ("'X-A, RETAIN_FIRST'", &["1", "2", "3"], &["1"]),
            ("'X-A, RETAIN_LAST'", &["1", "2", "3"], &["3"]),
            ("'X-A, RETAIN_UNIQUE'", &["1", "2", "1"], &["1", "2"]),
            ("'X-B X-A, retain-unique'", &["1", "1"], &["1"]),
            ("X-A", &["1, 2, 1"], &["1, 2, 1"]),
            ("X-B", &["1", "1"], &["1", "1"]),
        ] {
            let step = edit("DedupeResponseHeader", args, &[]).expect(args);
            let fields: Vec<_> = before.iter().map(|value| ("x-a", *value)).collect();
            let (_, found) = answered(&*step, &bound(&[]), 200, headers(&fields));
            assert_eq!(values(&found, "x-a"), after, "{args}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for args in ["'A, BOGUS'", "~", "'a;b'"] {
            edit("DedupeResponseHeader", args, &[]).expect_err(args);
        }
    }
}
