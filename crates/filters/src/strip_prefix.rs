//! Removes the first segments of the path.

use std::borrow::Cow;

use pailou_config::Field;

use crate::{Edit, Next, RequestHead, forwarded_prefix, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::edit(
    "strip_prefix",
    "1",
    "Removes that many segments from the front of the path, and says so in `X-Forwarded-Prefix`.",
    compile,
);

/// The most segments. No path prefix has more, so a larger number is a mistake.
const MAX_SEGMENTS: u64 = 64;

/// Whole segments, counted on the normalised path: `/api/users/7` without one
/// is `/users/7`. What is left always begins with `/`; when nothing is left it
/// is `/`. A slash at the end stays.
///
/// Cost: a search for the slashes and a header; no other allocation when the path
/// is borrowed.
#[derive(Debug)]
struct StripPrefix {
    segments: usize,
}

/// A step that removes so many segments.
pub(crate) fn of(segments: usize) -> Box<dyn Edit> {
    Box::new(StripPrefix { segments })
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let segments = field.integer(0..=MAX_SEGMENTS)?;
    Some(of(usize::try_from(segments).ok()?))
}

impl Edit for StripPrefix {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let path: &str = &head.path;
        let slashes = path
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'/')
            .map(|(at, _)| at);
        // The slash in front of the first segment that stays.
        let start = slashes.into_iter().nth(self.segments);
        forwarded_prefix::tell(
            head.headers,
            path.get(..start.unwrap_or(path.len())).unwrap_or_default(),
        );
        match (&mut head.path, start) {
            (_, Some(0)) => {}
            (path, None) => *path = Cow::Borrowed("/"),
            (Cow::Borrowed(path), Some(start)) => *path = &path[start..],
            (Cow::Owned(path), Some(start)) => drop(path.drain(..start)),
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::forwarded_prefix::PREFIX;
    use crate::registry::tests::{compiled, request_head};

    fn stripped(segments: usize, path: Cow<'_, str>) -> String {
        let edit = compiled("strip_prefix", &segments.to_string()).expect("legal");
        let mut headers = HeaderMap::new();
        let mut head = request_head(path, &mut headers);
        let _ = edit.request(&mut head);
        head.path.into_owned()
    }

    #[test]
    fn whole_segments_go_and_the_path_still_begins_with_a_slash() {
        for (segments, path, left) in [
            (0, "/api/users", "/api/users"),
            (1, "/api/users", "/users"),
            (1, "/api/users/", "/users/"),
            (1, "/api", "/"),
            (1, "/api/", "/"),
            (1, "/", "/"),
            (2, "/api/users/7", "/7"),
            (2, "/api/users", "/"),
            (2, "/api/users/", "/"),
            (3, "/api/users", "/"),
            (64, "/a/b/c", "/"),
            (1, "/api;v=1/users;x/7", "/users;x/7"),
            (1, "/%E4%BD%A0/a", "/a"),
        ] {
            assert_eq!(
                stripped(segments, path.into()),
                left,
                "{segments} of {path}"
            );
            assert_eq!(
                stripped(segments, path.to_owned().into()),
                left,
                "{segments} of {path}, owned"
            );
        }
    }

    #[test]
    fn what_was_stripped_is_told() {
        for (segments, path, before, told) in [
            (1, "/api/users", None, Some("/api")),
            (2, "/api/v1/users", None, Some("/api/v1")),
            (2, "/api", None, Some("/api")),
            (1, "/", None, None),
            (0, "/api", None, None),
            (1, "/api/users", Some("/outer"), Some("/outer,/api")),
        ] {
            let edit = compiled("strip_prefix", &segments.to_string()).expect("legal");
            let mut headers = HeaderMap::new();
            if let Some(before) = before {
                headers.insert(PREFIX, HeaderValue::from_static(before));
            }
            let _ = edit.request(&mut request_head(path, &mut headers));
            let found = headers
                .get(&PREFIX)
                .map(|value| value.to_str().expect("ASCII"));
            assert_eq!(found, told, "{segments} of {path}");
        }
    }

    #[test]
    fn the_number_of_segments_is_checked() {
        for args in ["-1", "65", "1.5", "one", "[1]", "{ parts: 1 }", "~"] {
            compiled("strip_prefix", args).expect_err(args);
        }
    }
}
