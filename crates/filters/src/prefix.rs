//! Puts a prefix in front of the path.

use std::borrow::Cow;

use pailou_config::Field;

use crate::{Edit, Next, RequestHead, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::edit(
    "prefix",
    "/v2",
    "Puts a path in front of the path.",
    compile,
);

/// `/v2` in front of `/users` is `/v2/users`; in front of `/` it is `/v2/`.
///
/// Cost: one allocation.
#[derive(Debug)]
struct Prefix {
    /// Without the slash at its end.
    path: String,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let text = field.string()?;
    let path = text.strip_suffix('/').unwrap_or(&text);
    if path.is_empty() {
        field.fault_expected("this prefix adds nothing", "a path such as `/v2`");
        return None;
    }
    if let Err(problem) = check(path) {
        field.fault_expected(problem, "a path such as `/v2`");
        return None;
    }
    Some(Box::new(Prefix {
        path: path.to_owned(),
    }))
}

/// Whether the prefix is in the normal form of forwarded paths. Any other prefix is
/// refused, and not changed without the author's knowledge.
fn check(path: &str) -> Result<(), &'static str> {
    let segments = path.strip_prefix('/').ok_or("a prefix begins with `/`")?;
    for segment in segments.split('/') {
        match segment {
            "" => return Err("a prefix has no doubled slash"),
            "." | ".." => return Err("a prefix has no dot segment"),
            _ => check_segment(segment)?,
        }
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), &'static str> {
    let mut rest = segment.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {}
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b'=' | b':' | b'@' => {}
            b'%' => match tail {
                [high, low, tail @ ..] if is_needed_escape(*high, *low) => rest = tail,
                _ => {
                    return Err(
                        "a prefix has escapes only where they are needed, in capitals, and never `%2F` or `%5C`",
                    );
                }
            },
            _ => return Err("a character that a path cannot have; escape it as `%XX`"),
        }
    }
    Ok(())
}

/// Two capital hex digits that stand for a byte which has to be escaped and
/// may be.
fn is_needed_escape(high: u8, low: u8) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
        return false;
    };
    let byte = high << 4 | low;
    let is_unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !byte.is_ascii_control() && !is_unreserved && byte != b'/' && byte != b'\\'
}

impl Edit for Prefix {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let mut path = String::with_capacity(self.path.len() + head.path.len());
        path.push_str(&self.path);
        path.push_str(&head.path);
        head.path = Cow::Owned(path);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::registry::tests::{compiled, request_head};

    #[test]
    fn the_prefix_joins_with_one_slash() {
        for (prefix, path, joined) in [
            ("/v2", "/users/7", "/v2/users/7"),
            ("/v2/", "/users/7", "/v2/users/7"),
            ("/v2", "/", "/v2/"),
            ("/a/b", "/c/", "/a/b/c/"),
            ("/%E4%BD%A0", "/x", "/%E4%BD%A0/x"),
        ] {
            let edit = compiled("prefix", prefix).expect("legal");
            let mut headers = HeaderMap::new();
            let mut head = request_head(path, &mut headers);
            let _ = edit.request(&mut head);
            assert_eq!(head.path, joined, "{prefix} before {path}");
        }
    }

    #[test]
    fn a_prefix_that_is_not_normal_is_refused() {
        for prefix in [
            "v2", "''", "/", "//", "/a//b", "//a", "/a/../b", "/.", "/a/./b", "/a?x", "'/a#b'",
            "/a;v=1", "'/a b'", "/a%2Fb", "/a%2fb", "/a%5C", "/%61", "/%", "/%4", "/%zz", "/%e4",
            "/%00", "/é", r"'/a\b'", "[/a]", "~",
        ] {
            compiled("prefix", prefix).expect_err(prefix);
        }
    }
}
