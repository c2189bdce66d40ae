//! `RequestSize`: the longest body of a request.

use http::{StatusCode, header};
use pailou_config::{Node, ScgArgs, Shortcut, Value};

use super::{ERROR_MESSAGE, edit, refused};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "RequestSize",
    "maxSize (5000000B)",
    "Refuses a request whose body is longer, as 413: by its length, or while it streams.",
    Shortcut::Fields(&["maxSize"]),
    compile,
);

/// What Spring takes unless it is told.
const DEFAULT_BYTES: u64 = 5_000_000;

#[derive(Debug)]
struct RequestSize {
    most: u64,
}

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let most = match args.get("maxSize") {
        Some(size) => {
            let most = size.size()?;
            if is_shortcut(args.whole().node()) {
                size.warn(format!(
                    "{most} bytes count here; Spring does not see a size in this form, and takes 5,000,000"
                ));
            }
            most
        }
        None => DEFAULT_BYTES,
    };
    edit(RequestSize { most })
}

/// Whether the argument is given by its place, which Spring does not read here.
fn is_shortcut(args: &Node) -> bool {
    match &args.value {
        Value::Mapping(entries) => entries
            .iter()
            .any(|(key, _)| key.text.starts_with("_genkey_")),
        _ => true,
    }
}

impl Edit for RequestSize {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let length = head.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let Some(length) = length.filter(|length| *length > self.most) else {
            let most = head.effects.max_body_bytes;
            head.effects.max_body_bytes = Some(most.map_or(self.most, |most| most.min(self.most)));
            return Next::Continue;
        };
        let message = format!(
            "Request size is larger than permissible limit. Request size is {} where permissible limit is {}",
            readable(length),
            readable(self.most)
        );
        refused(StatusCode::PAYLOAD_TOO_LARGE, &ERROR_MESSAGE, message)
    }
}

/// A number of bytes as Spring's message has it: `11 B`, `1.0 kB`, `5.0 MB`.
fn readable(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut number = bytes as f64;
    let mut unit = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        if number < 1000.0 {
            break;
        }
        (number, unit) = (number / 1000.0, next);
    }
    format!("{number:.1} {unit}B")
}

#[cfg(test)]
mod tests {
    use super::readable;
    use crate::Next;
    use crate::registry::tests::{request_head, steps};
    use crate::scg::testing::{bound, edit, headers, send};

    #[test]
    fn a_longer_body_is_refused_by_its_length() {
        for (args, length, message) in [
            ("{ maxSize: 10B }", "10", None),
            (
                "{ maxSize: 10B }",
                "11",
                Some("11 B where permissible limit is 10 B"),
            ),
            (
                "{ max-size: 1KB }",
                "1025",
                Some("1.0 kB where permissible limit is 1.0 kB"),
            ),
            ("{ maxSize: 20 }", "21", Some("21 B where")),
            ("50MB", "5000001", None),
            ("~", "5000000", None),
            (
                "~",
                "5000001",
                Some("5.0 MB where permissible limit is 5.0 MB"),
            ),
        ] {
            let step = edit("RequestSize", args, &[]).expect(args);
            let sent = send(
                &*step,
                &bound(&[]),
                "/",
                headers(&[("content-length", length)]),
            );
            match (sent.next, message) {
                (Next::Continue, None) => {}
                (Next::Answer(answer), Some(message)) => {
                    assert_eq!(answer.status, 413);
                    let said = answer.headers["errormessage"].to_str().expect("ASCII");
                    assert!(said.contains(message), "{args}: {said}");
                }
                (next, _) => panic!("{args} {length}: {next:?}"),
            }
        }
    }

    #[test]
    fn a_body_without_a_length_is_counted() {
        let one = edit("RequestSize", "{ maxSize: 1KB }", &[]).expect("legal");
        let two = edit("RequestSize", "{ maxSize: 2KB }", &[]).expect("legal");
        let mut headers = headers(&[]);
        let mut head = request_head("/", &mut headers);
        let _ = one.request(&mut head);
        let _ = two.request(&mut head);
        assert_eq!(head.effects.max_body_bytes, Some(1024));
    }

    #[test]
    fn the_form_that_spring_does_not_read_is_announced() {
        for (args, is_announced) in [
            ("50MB", true),
            ("{ _genkey_0: 50MB }", true),
            ("{ maxSize: 50MB }", false),
        ] {
            let (_, warnings) = steps("RequestSize", args, &[]).expect(args);
            assert_eq!(
                warnings.contains("takes 5,000,000"),
                is_announced,
                "{args}: {warnings}"
            );
        }
        edit("RequestSize", "abc", &[]).expect_err("no size");
    }

    #[test]
    fn sizes_read_as_in_spring() {
        for (bytes, text) in [
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_500_000, "1.5 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(readable(bytes), text);
        }
    }
}
