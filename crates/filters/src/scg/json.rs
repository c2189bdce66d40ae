//! JSON texts without some of their attributes; what stays keeps its order and
//! its spelling.

use serde::de::IgnoredAny;

/// How deep attributes are looked for; services answer with a dozen levels.
const MAX_DEPTH: usize = 128;

/// The text without the attributes of these names: those of the outermost object,
/// or of every one if `deep`. `None` if it is no JSON, or if that is too deep.
pub(super) fn without(text: &[u8], names: &[String], deep: bool) -> Option<Vec<u8>> {
    // From here on the text is known to be well formed.
    serde_json::from_slice::<IgnoredAny>(text).ok()?;
    let mut cut = Cut {
        text,
        at: 0,
        names,
        deep,
        depth: 0,
        out: Vec::with_capacity(text.len()),
    };
    cut.value(true)?;
    Some(cut.out)
}

struct Cut<'a> {
    text: &'a [u8],
    at: usize,
    names: &'a [String],
    deep: bool,
    /// How many objects and lists are open.
    depth: usize,
    out: Vec<u8>,
}

impl Cut<'_> {
    /// Copies a value; attributes are looked for in it if it `may_lose` some.
    fn value(&mut self, may_lose: bool) -> Option<()> {
        self.blanks();
        match self.text.get(self.at)? {
            b'{' if may_lose => self.within(Cut::object),
            b'[' if may_lose && self.deep => self.within(Cut::array),
            _ => {
                let start = self.at;
                self.skip()?;
                self.out.extend_from_slice(self.text.get(start..self.at)?);
                Some(())
            }
        }
    }

    fn within(&mut self, copy: fn(&mut Self) -> Option<()>) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        copy(self)?;
        self.depth -= 1;
        Some(())
    }

    fn object(&mut self) -> Option<()> {
        self.take(b'{')?;
        let mut is_first = true;
        loop {
            self.blanks();
            if self.text.get(self.at)? == &b'}' {
                return self.take(b'}');
            }
            let start = self.at;
            self.string()?;
            let raw = self.text.get(start..self.at)?;
            let name: String = serde_json::from_slice(raw).ok()?;
            self.blanks();
            self.at += 1; // the colon
            self.blanks();
            if self.names.contains(&name) {
                self.skip()?;
            } else {
                if !std::mem::take(&mut is_first) {
                    self.out.push(b',');
                }
                self.out.extend_from_slice(raw);
                self.out.push(b':');
                self.value(self.deep)?;
            }
            self.comma();
        }
    }

    fn array(&mut self) -> Option<()> {
        self.take(b'[')?;
        let mut is_first = true;
        loop {
            self.blanks();
            if self.text.get(self.at)? == &b']' {
                return self.take(b']');
            }
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            self.value(true)?;
            self.comma();
        }
    }

    /// Copies a bracket.
    fn take(&mut self, bracket: u8) -> Option<()> {
        self.at += 1;
        self.out.push(bracket);
        Some(())
    }

    fn comma(&mut self) {
        self.blanks();
        if self.text.get(self.at) == Some(&b',') {
            self.at += 1;
        }
    }

    fn blanks(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
    }

    /// Passes over a value.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.text.get(self.at)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => self.word(),
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn word(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_word = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        self.at += rest.iter().take_while(is_word).count().max(1);
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.text.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, deep: bool) -> Option<String> {
        let names = ["secret".to_owned(), "ключ".to_owned()];
        let cut = without(text.as_bytes(), &names, deep)?;
        Some(String::from_utf8(cut).expect("UTF-8"))
    }

    const TEXT: &str =
        r#"{"id":1,"secret":"s","nested":{"secret":"t","keep":[{"secret":1,"k":2}]},"list":[1,2]}"#;

    #[test]
    fn attributes_go_at_the_top_or_everywhere() {
        for (text, deep, expected) in [
            (
                TEXT,
                false,
                r#"{"id":1,"nested":{"secret":"t","keep":[{"secret":1,"k":2}]},"list":[1,2]}"#,
            ),
            (
                TEXT,
                true,
                r#"{"id":1,"nested":{"keep":[{"k":2}]},"list":[1,2]}"#,
            ),
            (r#"[{"secret":1}]"#, false, r#"[{"secret":1}]"#),
            (r#"[{"secret":1}, {"a" : 1}]"#, true, r#"[{},{"a":1}]"#),
            (
                r#" { "secret" : {"x":[1]} , "b" : 1.10 } "#,
                false,
                r#"{"b":1.10}"#,
            ),
            (r#"{"a":1,"secret":2}"#, false, r#"{"a":1}"#),
            (r#"{"secret":"\"}{","a":"\\"}"#, false, r#"{"a":"\\"}"#),
            (r#"{"secr\u0065t":1,"a":-1e+9}"#, false, r#"{"a":-1e+9}"#),
            (r#"{"ключ":true,"b":null}"#, false, r#"{"b":null}"#),
            (
                r#"{"b":12345678901234567890123}"#,
                true,
                r#"{"b":12345678901234567890123}"#,
            ),
            (r#"{}"#, true, "{}"),
            ("7", true, "7"),
            (r#""secret""#, true, r#""secret""#),
        ] {
            assert_eq!(cut(text, deep).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_not_cut() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for text in [
            "not json",
            "",
            "{\"a\":}",
            "{\"a\":1} x",
            "{\"a\":1",
            "\u{1f}\u{8b}",
            &deep,
        ] {
            assert_eq!(cut(text, true), None, "{:.20}", text);
        }
    }
}
