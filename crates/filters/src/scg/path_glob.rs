//! Path patterns of CORS settings and of Sentinel's API groups.

/// A pattern such as `/api/**`: `*` and `?` within a segment, `{name}` for one
/// segment, `**` for any number of segments, none included, and `{*name}` for the
/// same at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathGlob(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// One segment that this takes.
    One(String),
    /// `**`.
    Any,
}

impl PathGlob {
    /// Reads a pattern; nothing if it has what is not understood here.
    pub(crate) fn parse(text: &str) -> Option<PathGlob> {
        let mut segments: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let rest = segments.pop_if(|last| last.starts_with("{*"));
        let is_plain = |segment: &str| {
            let is_variable = segment.starts_with('{') && segment.ends_with('}');
            !segment.contains("**")
                && (is_variable && !segment.contains([':', '*']) || !segment.contains(['{', '}']))
        };
        let read = |segment: &str| match segment {
            "**" => Some(Segment::Any),
            segment => is_plain(segment).then(|| Segment::One(segment.to_owned())),
        };
        let segments = segments.into_iter().map(read);
        let segments = segments.chain(rest.map(|_| Some(Segment::Any)));
        segments.collect::<Option<_>>().map(PathGlob)
    }

    /// Whether it takes a path, which begins with a slash. A slash at the end of
    /// the path does not matter.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let mut rest = path.strip_prefix('/').unwrap_or(path).split('/');
        let mut at = 0;
        // Where to go on after the last `**`, if what follows it does not fit.
        let mut again: Option<(usize, std::str::Split<'_, char>)> = None;
        loop {
            match self.0.get(at) {
                None if rest.clone().all(str::is_empty) => return true,
                Some(Segment::Any) => {
                    at += 1;
                    again = Some((at, rest.clone()));
                    continue;
                }
                Some(Segment::One(pattern)) => {
                    let mut behind = rest.clone();
                    if behind.next().is_some_and(|segment| takes(pattern, segment)) {
                        (at, rest) = (at + 1, behind);
                        continue;
                    }
                }
                None => {}
            }
            let Some((after, from)) = &mut again else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            (at, rest) = (*after, from.clone());
        }
    }
}

fn takes(pattern: &str, segment: &str) -> bool {
    // Without its parameters.
    let segment = segment.split(';').next().unwrap_or_default();
    let is_variable = pattern.starts_with('{');
    is_variable && !segment.is_empty() || glob(pattern.as_bytes(), segment.as_bytes())
}

/// `*` stands for any number of characters, `?` for one.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where to go on after the last star, if what follows it does not fit.
    let mut again: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                again = Some((at + 1, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((after, taken)) = again else {
                    return false;
                };
                again = Some((after, taken + 1));
                (at, from) = (after, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_paths() {
        for (pattern, path, takes) in [
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/api/**", "/api", true),
            ("/api/**", "/api/a/b/", true),
            ("/api/**", "/apis", false),
            ("/api/**", "/", false),
            ("/api/*", "/api/a", true),
            ("/api/*", "/api/a/", true),
            ("/api/*", "/api/a/b", false),
            ("/api/{id}/x", "/api/7/x", true),
            ("/api/{id}", "/api/", false),
            ("/api/{*rest}", "/api", true),
            ("/v?/*.html", "/v1/a.html", true),
            ("/v?/*.html", "/v1/a.htm", false),
            ("/a*b*c", "/aXbYbZc", true),
            ("/a*b*c", "/aXbYbZ", false),
            ("/a", "/a;v=1", true),
            ("/", "/", true),
            ("/**/a", "/a", true),
            ("/**/a", "/b/c/a/", true),
            ("/**/a", "/a/b", false),
            ("/api/**/open/*", "/api/open/x", true),
            ("/api/**/open/*", "/api/1/open/2/open/x", true),
            ("/api/**/open/*", "/api/1/open", false),
            ("/api/**/open/*", "/apis/open/x", false),
            ("/a/**/b/**", "/a/x/b/y/z", true),
            ("/a/**/b/**", "/a/x/y", false),
        ] {
            let parsed = PathGlob::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(path), takes, "{pattern} on {path}");
        }
        for pattern in ["api/**", "/{*x}/b", "/{x:\\d+}", "/a{x}", "/**x"] {
            assert_eq!(PathGlob::parse(pattern), None, "{pattern}");
        }
    }
}
