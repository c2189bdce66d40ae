//! `SetStatus`: another status for the response.

use http::{HeaderName, HeaderValue, StatusCode};
use pailou_config::{ScgArgs, Shortcut};

use super::{edit, fields, status, text};
use crate::{Edit, ResponseHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "SetStatus",
    "status",
    "Gives the response this status, a number or a name.",
    Shortcut::Fields(&["status"]),
    compile,
);

/// As in Spring, an error of the gateway itself keeps its status.
///
/// The argument `originalStatusHeaderName`, a global property in Spring, names a
/// header for the status that the service gave.
#[derive(Debug)]
struct SetStatus {
    status: StatusCode,
    original: Option<HeaderName>,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let status = text(args, "status").and_then(|arg| status::read(&arg));
    let original = match args.get("originalStatusHeaderName") {
        Some(name) => Some(Some(fields::response_name(&name)?)),
        None => Some(None),
    };
    edit(SetStatus {
        status: status?,
        original: original?,
    })
}

impl Edit for SetStatus {
    fn response(&self, head: &mut ResponseHead<'_>) {
        if let Some(name) = &self.original {
            let original = format!("[{}]", head.status.as_u16());
            if let Ok(original) = HeaderValue::try_from(original) {
                head.headers.insert(name, original);
            }
        }
        head.status = self.status;
    }
}

#[cfg(test)]
mod tests {
    use crate::scg::testing::{answered, bound, edit, headers};

    #[test]
    fn the_status_is_set() {
        for (args, expected) in [
            ("401", 401),
            ("BAD_REQUEST", 400),
            ("599", 599),
            ("{ status: not_found }", 404),
        ] {
            let step = edit("SetStatus", args, &[]).expect(args);
            let (status, after) = answered(&*step, &bound(&[]), 200, headers(&[]));
            assert_eq!(status, expected, "{args}");
            assert!(after.is_empty());
        }
        let args = "{ status: 401, original-status-header-name: X-Orig }";
        let step = edit("SetStatus", args, &[]).expect(args);
        let (_, after) = answered(&*step, &bound(&[]), 503, headers(&[]));
        assert_eq!(after["x-orig"], "[503]");
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for args in ["~", "BOGUS", "99", "100", "1000"] {
            edit("SetStatus", args, &[]).expect_err(args);
        }
    }
}
