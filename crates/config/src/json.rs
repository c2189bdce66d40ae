//! JSON text to [`Node`]s, with the position of every value.
//!
//! `serde_json` reads the strings. The rest is here, since `serde_json` knows no positions. A YAML parser reads JSON too, but ten times
//! slower. It reads texts that are nearly JSON.

use crate::{
    fault::Position,
    node::{Key, Node, Scalar, Value},
};

const MAX_DEPTH: usize = 64;

/// A JSON text that was read.
#[derive(Debug)]
pub(crate) struct Json {
    pub(crate) root: Node,
    /// Keys that stand a second time in their mapping, with the line of the first. The last one counts.
    pub(crate) duplicates: Vec<(Key, u32)>,
}

/// The tree of a JSON text; `None` if it is not JSON by RFC 8259, or nested more than 64 levels deep.
pub(crate) fn parse(text: &str) -> Option<Json> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        text,
        at: 0,
        line: 1,
        column: 1,
        counted: 0,
        duplicates: Vec::new(),
    };
    reader.skip_space();
    let root = reader.value(0)?;
    reader.skip_space();
    (reader.at == text.len()).then_some(Json {
        root,
        duplicates: reader.duplicates,
    })
}

struct Reader<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
    line: u32,
    /// The column of the byte at `counted`, which is in this line.
    column: u32,
    counted: usize,
    duplicates: Vec<(Key, u32)>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    self.column = 1;
                    self.counted = self.at + 1;
                }
                b' ' | b'\t' | b'\r' => {}
                _ => return,
            }
            self.at += 1;
        }
    }

    /// The position of the next byte. Characters are counted once: a document may be one line of megabytes.
    fn position(&mut self) -> Position {
        let passed = self.text.get(self.counted..self.at).unwrap_or_default();
        let passed = u32::try_from(passed.chars().count()).unwrap_or(u32::MAX);
        self.column = self.column.saturating_add(passed);
        self.counted = self.at;
        Position {
            line: self.line,
            column: self.column,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > MAX_DEPTH {
            return None;
        }
        let at = self.position();
        let value = match self.peek()? {
            b'{' => self.mapping(depth)?,
            b'[' => self.sequence(depth)?,
            b'"' => Value::Scalar(Scalar {
                text: self.string()?,
                quoted: true,
            }),
            _ => self.word()?,
        };
        Some(Node { value, at })
    }

    fn mapping(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut entries: Vec<(Key, Node)> = Vec::new();
        self.skip_space();
        if self.take(b'}').is_some() {
            return Some(Value::Mapping(entries));
        }
        loop {
            self.skip_space();
            let at = self.position();
            let text = self.string()?;
            self.skip_space();
            self.take(b':')?;
            self.skip_space();
            let node = self.value(depth + 1)?;
            entries.push((Key { text, at }, node));
            self.skip_space();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                self.keep_last(&mut entries);
                return Some(Value::Mapping(entries));
            }
        }
    }

    fn sequence(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']').is_some() {
            return Some(Value::Sequence(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(Value::Sequence(items));
            }
        }
    }

    /// Of entries with one key, leaves the last, and notes the others.
    fn keep_last(&mut self, entries: &mut Vec<(Key, Node)>) {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|a, b| entries[*a].0.text.cmp(&entries[*b].0.text));
        let mut dropped = vec![false; entries.len()];
        for pair in order.windows(2) {
            let (first, second) = (&entries[pair[0]].0, &entries[pair[1]].0);
            if first.text == second.text {
                dropped[pair[0]] = true;
                self.duplicates.push((second.clone(), first.at.line));
            }
        }
        let mut dropped = dropped.into_iter();
        entries.retain(|_| dropped.next() != Some(true));
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.take(b'"')?;
        let mut is_plain = true;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    is_plain = false;
                    self.at += 2;
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let token = self.text.get(start..self.at)?;
        if is_plain {
            return token.get(1..token.len() - 1).map(str::to_owned);
        }
        serde_json::from_str(token).ok()
    }

    /// `null`, a boolean or a number, whose text is kept.
    fn word(&mut self) -> Option<Value> {
        let start = self.at;
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        while self.peek().is_some_and(is_part) {
            self.at += 1;
        }
        let word = self.text.get(start..self.at)?;
        if word == "null" {
            return Some(Value::Null);
        }
        let is_legal =
            matches!(word, "true" | "false") || serde_json::from_str::<f64>(word).is_ok();
        is_legal.then(|| {
            Value::Scalar(Scalar {
                text: word.to_owned(),
                quoted: false,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let root = parse(text)?.root;
        Some(serde_json::to_string(&root).expect("plain data"))
    }

    #[test]
    fn what_json_says_is_read_with_the_text_of_its_scalars() {
        for (text, expected) in [
            ("[]", "[]"),
            (" {}\r\n", "{}"),
            (
                "{\"a\": 1.10, \"b\":-0.5e3,\t\"c\":true, \"d\":null}",
                r#"{"a":"1.10","b":"-0.5e3","c":"true","d":null}"#,
            ),
            (
                r#"["a\/b", "\ud83d\ude00", "\"\\", "é中"]"#,
                r#"["a/b","😀","\"\\","é中"]"#,
            ),
            ("\u{feff}[[1],{\"x\":[{}]}]", r#"[["1"],{"x":[{}]}]"#),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "[",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{a: 1}",
            "{'a': 1}",
            "[01]",
            "[+1]",
            "[nul]",
            "[\"a\nb\"]",
            "[\"\\x\"]",
            "[\"\\ud83d\"]",
            "[] []",
            "[] # no",
            "\"unclosed",
            "\"\\",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_value_has_its_position() {
        let json = parse("[\n  {\"é\": 7,\n   \"k\": [\"x\"]}\n]").expect("JSON");
        let Value::Sequence(items) = json.root.value else {
            panic!("a list")
        };
        let Value::Mapping(entries) = &items[0].value else {
            panic!("a mapping")
        };
        let at = |line, column| Position { line, column };
        assert_eq!(items[0].at, at(2, 3));
        assert_eq!((entries[0].0.at, entries[0].1.at), (at(2, 4), at(2, 9)));
        assert_eq!((entries[1].0.at, entries[1].1.at), (at(3, 4), at(3, 9)));
    }

    #[test]
    fn of_equal_keys_the_last_counts_and_the_others_are_noted() {
        let json = parse("{\"a\":1,\n\"b\":2,\n\"a\":3,\n\"a\":4}").expect("JSON");
        let text = serde_json::to_string(&json.root).expect("plain data");
        assert_eq!(text, r#"{"b":"2","a":"4"}"#);
        let lines: Vec<_> = json
            .duplicates
            .iter()
            .map(|(key, line)| (key.at.line, *line))
            .collect();
        assert_eq!(lines, [(3, 1), (4, 3)]);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(64)).is_some());
        assert!(parse(&nested(66)).is_none());
        assert!(parse(&"[".repeat(1_000_000)).is_none());
    }
}
