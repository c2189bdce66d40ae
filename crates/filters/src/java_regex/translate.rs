//! From Java's syntax to that of the crates `regex` and `fancy-regex`.
//!
//! One pass over the text writes the other spelling. Flags are resolved on the way (Java's `(?i)` knows ASCII letters only, so
//! that `k` becomes `[kK]`), and names of groups become numbers.

use std::collections::BTreeMap;

use super::escape::{Escape, escape};
use super::tokens::{Token, Tokens, is_space};
use super::{JavaRegexError, class};

/// Deeper nesting is no expression that anyone wrote; the bound keeps the recursion on the stack.
const MAX_DEPTH: usize = 50;

/// Java's `.`, unless a flag says otherwise: no line end.
const DOT: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";

/// An expression in the new spelling.
pub(super) struct Translated {
    pub(super) text: String,
    /// The names of groups with their numbers.
    pub(super) names: Vec<(Box<str>, usize)>,
    /// How many groups capture.
    pub(super) groups: usize,
    /// Whether only `fancy-regex` understands it.
    pub(super) needs_backtracking: bool,
}

/// Translates an expression, which the crate still has to compile.
pub(super) fn translate(text: &str) -> Result<Translated, JavaRegexError> {
    let first = Translator::new(text, false).run()?;
    if first.needs_backtracking {
        // Once more: the two crates spell a word boundary in two ways.
        return Translator::new(text, true).run();
    }
    Ok(first)
}

/// The flags that are in force.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    /// `i`
    pub(super) ignores_case: bool,
    /// `u`: with `i`, beyond ASCII.
    pub(super) is_unicode_case: bool,
    /// `U`: classes beyond ASCII.
    pub(super) is_unicode_class: bool,
    /// `s`: `.` takes line ends.
    dot_all: bool,
    /// `m`: `^` and `$` at line ends.
    multi_line: bool,
    /// `d`: the only line end is `\n`.
    unix_lines: bool,
    /// `x`: white space and comments mean nothing.
    pub(super) comments: bool,
}

struct Translator<'t> {
    tokens: Tokens<'t>,
    flags: Flags,
    out: String,
    names: BTreeMap<String, usize>,
    groups: usize,
    depth: usize,
    for_backtracking: bool,
    needs_backtracking: bool,
}

pub(super) fn syntax<T>(problem: impl Into<String>) -> Result<T, JavaRegexError> {
    Err(JavaRegexError::Syntax(problem.into()))
}

pub(super) fn unsupported<T>(what: impl Into<String>) -> Result<T, JavaRegexError> {
    Err(JavaRegexError::Unsupported(what.into()))
}

impl<'t> Translator<'t> {
    fn new(text: &'t str, for_backtracking: bool) -> Translator<'t> {
        Translator {
            tokens: Tokens::new(text),
            flags: Flags::default(),
            out: String::with_capacity(text.len() + 16),
            names: BTreeMap::new(),
            groups: 0,
            depth: 0,
            for_backtracking,
            needs_backtracking: false,
        }
    }

    fn run(mut self) -> Result<Translated, JavaRegexError> {
        self.alternatives()?;
        if self.tokens.next().is_some() {
            return syntax("`)` closes no group");
        }
        let names = self.names.into_iter();
        Ok(Translated {
            text: self.out,
            names: names
                .map(|(name, number)| (name.into_boxed_str(), number))
                .collect(),
            groups: self.groups,
            needs_backtracking: self.needs_backtracking,
        })
    }

    /// Up to the end, or to the `)` that closes the group.
    fn alternatives(&mut self) -> Result<(), JavaRegexError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(JavaRegexError::TooLarge(format!(
                "is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        loop {
            match self.tokens.peek() {
                None | Some(Token::Bare(')')) => break,
                Some(Token::Bare('|')) => {
                    self.tokens.next();
                    self.out.push('|');
                }
                Some(Token::Bare('#')) if self.flags.comments => self.comment(),
                Some(Token::Bare(space)) if self.flags.comments && is_space(space) => {
                    self.tokens.next();
                }
                Some(_) => {
                    let start = self.out.len();
                    if self.atom()? {
                        self.skip_comments();
                        self.quantifier(start)?;
                    }
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn skip_comments(&mut self) {
        while self.flags.comments {
            match self.tokens.peek() {
                Some(Token::Bare('#')) => self.comment(),
                Some(Token::Bare(space)) if is_space(space) => {
                    self.tokens.next();
                }
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        self.tokens.raw_while(|character| character != '\n');
    }

    /// One thing that may be repeated; `false` if there was none, as after `(?i)`.
    fn atom(&mut self) -> Result<bool, JavaRegexError> {
        match self.tokens.next() {
            None => return Ok(false),
            Some(Token::Quoted(character)) => push_char(&mut self.out, character, self.flags),
            Some(Token::Bare(character)) => match character {
                '(' => return self.group(),
                '[' => class::write(&mut self.tokens, self.flags, &mut self.out)?,
                '\\' => return self.escape(),
                '.' => self.dot(),
                '^' => self.line_start(),
                '$' => self.line_end(),
                '*' | '+' | '?' => {
                    return syntax(format!(
                        "`{character}` follows nothing that it could repeat"
                    ));
                }
                '{' => {
                    return syntax(
                        "`{` begins no number of repetitions (a brace of its own is `\\{`)",
                    );
                }
                character => push_char(&mut self.out, character, self.flags),
            },
        }
        Ok(true)
    }

    fn dot(&mut self) {
        self.out.push_str(match self.flags {
            Flags { dot_all: true, .. } => "(?s:.)",
            Flags {
                unix_lines: true, ..
            } => r"[^\n]",
            _ => DOT,
        });
    }

    fn line_start(&mut self) {
        if !self.flags.multi_line {
            self.out.push_str(r"\A");
            return;
        }
        self.needs_backtracking = true;
        // Never at the end of the text, not even of an empty one.
        self.out.push_str(if self.flags.unix_lines {
            r"(?:(?!\z)(?:\A|(?<=\n)))"
        } else {
            r"(?:(?!\z)(?:\A|(?<=[\n\x{85}\x{2028}\x{2029}])|(?<=\r)(?!\n)))"
        });
    }

    fn line_end(&mut self) {
        if !self.flags.multi_line {
            self.out.push_str(r"\z");
            return;
        }
        self.needs_backtracking = true;
        self.out.push_str(if self.flags.unix_lines {
            r"(?:\z|(?=\n))"
        } else {
            r"(?:\z|(?=[\r\x{85}\x{2028}\x{2029}])|(?<!\r)(?=\n))"
        });
    }

    fn group(&mut self) -> Result<bool, JavaRegexError> {
        let flags = self.flags;
        if !self.tokens.takes('?') {
            self.groups += 1;
            self.out.push('(');
            self.body(flags)?;
            return Ok(true);
        }
        let (opening, is_fancy) = match self.tokens.next() {
            Some(Token::Bare(':')) => ("(?:", false),
            Some(Token::Bare('=')) => ("(?:(?=", true),
            Some(Token::Bare('!')) => ("(?:(?!", true),
            Some(Token::Bare('>')) => ("(?>", true),
            Some(Token::Bare('<')) => match self.tokens.peek() {
                Some(Token::Bare('=')) => ("(?:(?<=", true),
                Some(Token::Bare('!')) => ("(?:(?<!", true),
                _ => {
                    self.name()?;
                    self.out.push('(');
                    self.body(flags)?;
                    return Ok(true);
                }
            },
            Some(Token::Bare(flag)) => return self.inline_flags(flag),
            _ => return syntax("a group is not closed"),
        };
        if opening.starts_with("(?:(?<") {
            self.tokens.next();
        }
        self.needs_backtracking |= is_fancy;
        self.out.push_str(opening);
        self.body(flags)?;
        if opening.starts_with("(?:(") {
            self.out.push(')');
        }
        Ok(true)
    }

    /// What is in a group, up to its `)`; `flags` are those around it.
    fn body(&mut self, flags: Flags) -> Result<(), JavaRegexError> {
        self.alternatives()?;
        if !self.tokens.takes(')') {
            return syntax("a group is not closed");
        }
        self.flags = flags;
        self.out.push(')');
        Ok(())
    }

    /// The name of a group, `>` included.
    fn name(&mut self) -> Result<(), JavaRegexError> {
        let name = self
            .tokens
            .raw_while(|character| character.is_ascii_alphanumeric());
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !self.tokens.takes('>') {
            return syntax("the name of a group is letters and digits, a letter first, then `>`");
        }
        self.groups += 1;
        let known = self.names.insert(name, self.groups);
        if known.is_some() {
            return syntax("two groups have one name");
        }
        Ok(())
    }

    /// `(?i)` and `(?i:…)`, from the first flag on.
    fn inline_flags(&mut self, first: char) -> Result<bool, JavaRegexError> {
        let around = self.flags;
        let mut flag = first;
        let mut value = true;
        loop {
            let flags = &mut self.flags;
            match flag {
                'i' => flags.ignores_case = value,
                'u' => flags.is_unicode_case = value,
                'U' => {
                    flags.is_unicode_class = value;
                    flags.is_unicode_case = value;
                }
                's' => flags.dot_all = value,
                'm' => flags.multi_line = value,
                'd' => flags.unix_lines = value,
                'x' => flags.comments = value,
                '-' if value => value = false,
                ')' => return Ok(false),
                ':' => {
                    self.out.push_str("(?:");
                    self.body(around)?;
                    return Ok(true);
                }
                flag => return syntax(format!("`{}` is not a flag", flag.escape_debug())),
            }
            flag = match self.tokens.next() {
                Some(Token::Bare(next)) => next,
                _ => return syntax("a group is not closed"),
            };
        }
    }

    fn quantifier(&mut self, start: usize) -> Result<(), JavaRegexError> {
        let range = match self.tokens.peek() {
            Some(Token::Bare(sign @ ('*' | '+' | '?'))) => {
                self.tokens.next();
                sign.to_string()
            }
            Some(Token::Bare('{')) => {
                self.tokens.next();
                self.range()?
            }
            _ => return Ok(()),
        };
        self.out.push_str(&range);
        if self.tokens.takes('?') {
            self.out.push('?');
        } else if self.tokens.takes('+') {
            self.needs_backtracking = true;
            self.out.insert_str(start, "(?>");
            self.out.push(')');
        }
        if self.tokens.peek() == Some(Token::Bare('{')) {
            return unsupported("a second number of repetitions");
        }
        Ok(())
    }

    /// `2,3}` of `{2,3}`.
    fn range(&mut self) -> Result<String, JavaRegexError> {
        let number = |digits: String| -> Result<u32, JavaRegexError> {
            match digits.parse() {
                Ok(number) => Ok(number),
                Err(_) => {
                    syntax("`{` begins no number of repetitions (a brace of its own is `\\{`)")
                }
            }
        };
        let is_digit = |character: char| character.is_ascii_digit();
        let least = number(self.tokens.raw_while(is_digit))?;
        let range = match self.tokens.takes(',') {
            false => format!("{{{least}}}"),
            true => match self.tokens.raw_while(is_digit) {
                digits if digits.is_empty() => format!("{{{least},}}"),
                digits => {
                    let most = number(digits)?;
                    if most < least {
                        return syntax("a number of repetitions ends before it begins");
                    }
                    format!("{{{least},{most}}}")
                }
            },
        };
        if !self.tokens.takes('}') {
            return syntax("a number of repetitions is not closed");
        }
        Ok(range)
    }

    fn escape(&mut self) -> Result<bool, JavaRegexError> {
        match escape(&mut self.tokens, self.flags)? {
            Escape::Char(character) => push_char(&mut self.out, character, self.flags),
            Escape::Class(items) => {
                self.out.push('[');
                self.out.push_str(&items);
                self.out.push(']');
            }
            Escape::Other(letter) => self.special(letter)?,
        }
        Ok(true)
    }

    /// Escapes that are no characters.
    fn special(&mut self, letter: char) -> Result<(), JavaRegexError> {
        match letter {
            'A' => self.out.push_str(r"\A"),
            'z' | 'Z' => self.out.push_str(r"\z"),
            'R' => self
                .out
                .push_str(r"(?:\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])"),
            'b' | 'B' => self.word_boundary(letter)?,
            'k' => {
                if !self.tokens.takes('<') {
                    return syntax("`\\k` is not followed by `<name>`");
                }
                let name = self.tokens.raw_while(|character| character != '>');
                self.tokens.next();
                match self.names.get(&name) {
                    Some(number) => self.back_reference(*number)?,
                    None => {
                        return syntax(format!(
                            "no group before it is called `{}`",
                            name.escape_debug()
                        ));
                    }
                }
            }
            digit @ '1'..='9' => {
                let mut number = digit as usize - '0' as usize;
                while let Some(Token::Bare(next @ '0'..='9')) = self.tokens.peek() {
                    let longer = number * 10 + (next as usize - '0' as usize);
                    if longer > self.groups {
                        break;
                    }
                    number = longer;
                    self.tokens.next();
                }
                if number > self.groups {
                    return unsupported(format!("`\\{number}` without such a group before it"));
                }
                self.back_reference(number)?;
            }
            'G' => return unsupported("`\\G`, the end of the last match,"),
            'X' => return unsupported("`\\X`, a grapheme cluster,"),
            'N' => return unsupported("`\\N{…}`, a character by its name,"),
            letter => return syntax(format!("`\\{}` is no escape", letter.escape_debug())),
        }
        Ok(())
    }

    fn word_boundary(&mut self, letter: char) -> Result<(), JavaRegexError> {
        if letter == 'b' && self.tokens.peek() == Some(Token::Bare('{')) {
            return unsupported("`\\b{…}`, a boundary of graphemes,");
        }
        const WORD: &str = "[0-9A-Za-z_]";
        match (self.flags.is_unicode_class, self.for_backtracking) {
            (true, _) => {
                self.out.push('\\');
                self.out.push(letter);
            }
            (false, false) => {
                self.out.push_str("(?-u:\\");
                self.out.push(letter);
                self.out.push(')');
            }
            (false, true) => {
                let (first, second) = if letter == 'b' {
                    ("!", "=")
                } else {
                    ("=", "!")
                };
                self.out.push_str(&format!(
                    "(?:(?<={WORD})(?{first}{WORD})|(?<!{WORD})(?{second}{WORD}))"
                ));
            }
        }
        Ok(())
    }

    fn back_reference(&mut self, number: usize) -> Result<(), JavaRegexError> {
        if self.flags.ignores_case {
            return unsupported("a back-reference under `(?i)`");
        }
        self.needs_backtracking = true;
        self.out.push_str(&format!(r"(?:\{number})"));
        Ok(())
    }
}

/// Writes one character outside of classes.
fn push_char(out: &mut String, character: char, flags: Flags) {
    if !flags.ignores_case {
        class::push_escaped(out, character);
    } else if flags.is_unicode_case {
        out.push_str("(?i:");
        class::push_escaped(out, character);
        out.push(')');
    } else if character.is_ascii_alphabetic() {
        out.push('[');
        out.push(character.to_ascii_lowercase());
        out.push(character.to_ascii_uppercase());
        out.push(']');
    } else {
        class::push_escaped(out, character);
    }
}
