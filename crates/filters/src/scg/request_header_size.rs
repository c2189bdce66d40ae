//! `RequestHeaderSize`: the longest header of a request.

use http::{HeaderMap, HeaderName, StatusCode};
use pailou_config::{ScgArgs, Shortcut};

use super::{ERROR_MESSAGE, edit, fields, refused};
use crate::{Edit, Next, RequestHead, Scope, Step, header, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RequestHeaderSize",
    "maxSize (16000B)",
    "Refuses a request of which one header, its name and all its values, is longer, as 431.",
    Shortcut::Fields(&["maxSize"]),
    compile,
);

/// What Spring takes unless it is told.
const DEFAULT_BYTES: u64 = 16_000;

#[derive(Debug)]
struct RequestHeaderSize {
    most: u64,
    /// The header that the answer says it in.
    error: HeaderName,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let most = match args.get("maxSize") {
        Some(size) => size.size(),
        None => Some(DEFAULT_BYTES),
    };
    let error = match args.get("errorHeaderName") {
        Some(name) => fields::response_name(&name),
        None => Some(ERROR_MESSAGE),
    };
    edit(RequestHeaderSize {
        most: most?,
        error: error?,
    })
}

impl RequestHeaderSize {
    /// The length of a header that is too long.
    fn excess(&self, headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
        if header::is_told_by_the_gateway(name) {
            return None;
        }
        let values = headers.get_all(name).iter().map(|value| value.len());
        let length = (name.as_str().len() + values.sum::<usize>()) as u64;
        (length > self.most).then_some(length)
    }
}

impl Edit for RequestHeaderSize {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let mut message = String::new();
        for name in head.headers.keys() {
            let Some(length) = self.excess(head.headers, name) else {
                continue;
            };
            if message.is_empty() {
                let most = self.most;
                message =
                    format!("Request Header/s size is larger than permissible limit ({most}B).");
            }
            let name = spelled(name);
            message.push_str(&format!(
                " Request Header/s size for '{name}' is {length}B."
            ));
        }
        if message.is_empty() {
            return Next::Continue;
        }
        refused(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            &self.error,
            message,
        )
    }
}

/// A name with capitals, as most clients write it.
fn spelled(name: &HeaderName) -> String {
    let mut starts = true;
    let spell = |c: char| {
        let spelled = if starts { c.to_ascii_uppercase() } else { c };
        starts = c == '-';
        spelled
    };
    name.as_str().chars().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use crate::Next;
    use crate::scg::testing::{bound, edit, headers, send};

    const MESSAGE: &str = "Request Header/s size is larger than permissible limit (50B). Request Header/s size for 'X-L' is 63B.";

    #[test]
    fn a_longer_header_is_refused() {
        let half = "y".repeat(30);
        let (short, long) = ("y".repeat(47), "y".repeat(60));
        for (args, values, name, is_refused) in [
            ("50B", &[long.as_str()][..], "errormessage", true),
            ("50B", &[&short], "", false),
            ("50B", &[&half, &half], "errormessage", true),
            (
                "{ maxSize: 50, errorHeaderName: X-Err }",
                &[&long],
                "x-err",
                true,
            ),
            ("'50B, X-Err'", &[&long], "errormessage", true),
            ("~", &[&long], "", false),
        ] {
            let step = edit("RequestHeaderSize", args, &[]).expect(args);
            let fields: Vec<_> = values.iter().map(|value| ("x-l", *value)).collect();
            let mut fields = headers(&fields);
            // What the gateway has added is not the client's.
            fields.insert("x-forwarded-for", long.parse().expect("a value"));
            match send(&*step, &bound(&[]), "/", fields).next {
                Next::Refuse(refusal) => panic!("{args}: {refusal:?}"),
                Next::Continue => assert!(!is_refused, "{args}"),
                Next::Answer(answer) => {
                    assert!(is_refused, "{args}");
                    assert_eq!(answer.status, 431);
                    assert_eq!(answer.headers[name], MESSAGE, "{args}");
                }
            }
        }
    }
}
