//! Path patterns of CORS settings.

/// A pattern such as `/api/**`: `*` and `?` within a segment, `{name}` for one
/// segment, `**` or `{*name}` at the end for all the rest, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathGlob {
    segments: Vec<String>,
    /// Whether more segments may follow.
    is_open: bool,
}

impl PathGlob {
    /// Reads a pattern; nothing if it has what is not understood here.
    pub(super) fn parse(text: &str) -> Option<PathGlob> {
        let mut segments: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let is_rest = |segment: &str| segment == "**" || segment.starts_with("{*");
        let is_open = segments.pop_if(|last| is_rest(last)).is_some();
        let is_plain = |segment: &&str| {
            let is_variable = segment.starts_with('{') && segment.ends_with('}');
            !segment.contains("**")
                && (is_variable && !segment.contains(':') || !segment.contains(['{', '}']))
        };
        segments.iter().all(is_plain).then(|| PathGlob {
            segments: segments.into_iter().map(str::to_owned).collect(),
            is_open,
        })
    }

    /// Whether it takes a path, which begins with a slash. A slash at the end of
    /// the path does not matter.
    pub(super) fn matches(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut rest = path.split('/');
        for pattern in &self.segments {
            let Some(segment) = rest.next() else {
                return false;
            };
            // Without its parameters.
            let segment = segment.split(';').next().unwrap_or_default();
            let is_variable = pattern.starts_with('{');
            if (!is_variable || segment.is_empty()) && !glob(pattern.as_bytes(), segment.as_bytes())
            {
                return false;
            }
        }
        self.is_open || rest.all(str::is_empty)
    }
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
        ] {
            let parsed = PathGlob::parse(pattern).expect(pattern);
            assert_eq!(parsed.matches(path), takes, "{pattern} on {path}");
        }
        for pattern in ["api/**", "/**/a", "/a/**/b", "/{x:\\d+}", "/a{x}", "/**x"] {
            assert_eq!(PathGlob::parse(pattern), None, "{pattern}");
        }
    }
}
