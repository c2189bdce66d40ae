//! The text of an expression, character by character.

use std::iter::Peekable;
use std::str::Chars;

/// What the text consists of, `\Q…\E` resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A character that may have a meaning.
    Bare(char),
    /// A character that stands for itself.
    Quoted(char),
}

/// Reads tokens.
#[derive(Clone)]
pub(super) struct Tokens<'t> {
    chars: Peekable<Chars<'t>>,
    is_quoting: bool,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Tokens<'t> {
        Tokens {
            chars: text.chars().peekable(),
            is_quoting: false,
        }
    }

    /// The token after the next one.
    pub(super) fn second(&self) -> Option<Token> {
        let mut ahead = self.clone();
        ahead.next();
        ahead.next()
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.clone().next()
    }

    /// Takes the next token if it is this bare character.
    pub(super) fn takes(&mut self, character: char) -> bool {
        let is_next = self.peek() == Some(Token::Bare(character));
        if is_next {
            self.next();
        }
        is_next
    }

    /// The next character as it stands.
    pub(super) fn raw(&mut self) -> Option<char> {
        self.chars.next()
    }

    /// The characters as they stand, while `wanted` says so.
    pub(super) fn raw_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(character) = self.chars.next_if(|character| wanted(*character)) {
            taken.push(character);
        }
        taken
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let character = self.chars.next()?;
            let escaped = if character == '\\' {
                self.chars.peek()
            } else {
                None
            };
            match escaped {
                Some('E') if self.is_quoting => self.is_quoting = false,
                Some('Q') if !self.is_quoting => self.is_quoting = true,
                _ if self.is_quoting => return Some(Token::Quoted(character)),
                _ => return Some(Token::Bare(character)),
            }
            self.chars.next();
        }
    }
}

/// White space, as Java sees it under the flag `x`.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0B' | '\x0C' | '\r')
}
