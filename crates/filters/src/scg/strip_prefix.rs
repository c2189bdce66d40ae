//! `StripPrefix`: removes the first segments of the path.

use pailou_config::{ScgArgs, Shortcut};

use crate::{Scope, Step, registry::Entry, strip_prefix};

pub(crate) const ENTRY: Entry = Entry::scg(
    "StripPrefix",
    "parts (1)",
    "Removes that many segments from the front of the path.",
    Shortcut::Fields(&["parts"]),
    compile,
);

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let parts = match args.get("parts") {
        Some(parts) => {
            let number: i64 = parts.integer(i64::from(i32::MIN)..=i64::from(i32::MAX))?;
            if number < 0 {
                parts.warn("fewer than none are removed: the path stays as it is");
            }
            usize::try_from(number).unwrap_or(0)
        }
        None => 1,
    };
    Some(vec![Step::Edit(strip_prefix::of(parts))])
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::scg::testing::{bound, edit, send};

    #[test]
    fn whole_segments_go() {
        for (args, path, left) in [
            ("1", "/k/foo/", "/foo/"),
            ("1", "/k", "/"),
            ("1", "/k/", "/"),
            ("1", "/k/a%2Fb", "/a%2Fb"),
            ("1", "/k/a;x=1/b", "/a;x=1/b"),
            ("1", "/k/foo?x=1", "/foo?x=1"),
            ("2", "/k/foo/", "/"),
            ("2", "/k/foo/bar", "/bar"),
            ("0", "/k/foo/bar/", "/k/foo/bar/"),
            ("~", "/k/foo/bar", "/foo/bar"),
            ("{ _genkey_7: '1' }", "/k/x", "/x"),
            ("{ PARTS: 1 }", "/k/x", "/x"),
            ("-1", "/k/x", "/k/x"),
        ] {
            let step = edit("StripPrefix", args, &[]).expect(args);
            let sent = send(&*step, &bound(&[]), path, HeaderMap::new());
            assert_eq!(sent.target, left, "{args} of {path}");
        }
        edit("StripPrefix", "one", &[]).expect_err("no number");
    }
}
