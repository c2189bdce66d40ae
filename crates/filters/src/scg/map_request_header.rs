//! `MapRequestHeader`: a header's values under another name.

use http::HeaderName;
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields, text};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "MapRequestHeader",
    "fromHeader, toHeader",
    "Adds the values of one request header to another, which is there only if the first one is.",
    Shortcut::Fields(&["fromHeader", "toHeader"]),
    compile,
);

#[derive(Debug)]
struct MapRequestHeader {
    from: HeaderName,
    to: HeaderName,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let from = text(args, "fromHeader").and_then(|arg| fields::any_name(&arg));
    let to = text(args, "toHeader").and_then(|arg| fields::request_name(&arg));
    edit(MapRequestHeader {
        from: from?,
        to: to?,
    })
}

impl Edit for MapRequestHeader {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let values: Vec<_> = head.headers.get_all(&self.from).iter().cloned().collect();
        for value in values {
            head.headers.append(&self.to, value);
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{bound, edit, headers, send, values};

    #[test]
    fn the_values_are_there_twice() {
        let step = edit("MapRequestHeader", "'X-From, X-To'", &[]).expect("legal");
        let before = headers(&[("x-from", "f1"), ("x-from", "f2"), ("x-to", "t")]);
        let sent = send(&*step, &bound(&[]), "/", before);
        assert_eq!(values(&sent.headers, "x-to"), ["t", "f1", "f2"]);
        assert_eq!(values(&sent.headers, "x-from"), ["f1", "f2"]);
        let sent = send(&*step, &bound(&[]), "/", headers(&[]));
        assert!(sent.headers.is_empty());
    }
}
