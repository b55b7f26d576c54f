//! From text to tokens.
//!
//! Tokens know where they begin; lines and columns are counted when an error needs them.

use crate::literal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    End,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParenthesis,
    Number,
    Pipe,
    RawString,
    RightDelimiter,
    RightParenthesis,
    Space,
    String,
    Text,
    Variable,
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Dot,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

const KEYWORDS: [(&str, Keyword); 11] = [
    ("block", Keyword::Block),
    ("break", Keyword::Break),
    ("continue", Keyword::Continue),
    ("define", Keyword::Define),
    ("else", Keyword::Else),
    ("end", Keyword::End),
    ("if", Keyword::If),
    ("nil", Keyword::Nil),
    ("range", Keyword::Range),
    ("template", Keyword::Template),
    ("with", Keyword::With),
];

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) text: String,
}

impl std::fmt::Display for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Characters of a token that a message shows.
        const SHOWN: usize = 10;
        let text = self.text.as_bytes();
        match self.kind {
            Kind::End => formatter.write_str("EOF"),
            Kind::Error => formatter.write_str(&self.text),
            Kind::Keyword(_) => write!(formatter, "<{}>", self.text),
            _ if text.len() > SHOWN => {
                let end = self.text.char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| at);
                write!(formatter, "{}...", literal::quoted(&text[..end]))
            }
            _ => formatter.write_str(&literal::quoted(text)),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_space(character: char) -> bool {
    SPACES.contains(&character)
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// `- ` after a left delimiter.
fn trims_left(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(SPACES)
}

/// ` -` before a right delimiter.
fn trims_right(text: &str) -> bool {
    text.starts_with(SPACES) && text[1..].starts_with('-')
}

pub(crate) struct Lexer<'t> {
    input: &'t str,
    at: usize,
    start: usize,
    parentheses: i32,
    inside: bool,
}

/// A message about the text from the start of the current token on.
type Found = Result<Kind, String>;

impl<'t> Lexer<'t> {
    pub(crate) fn new(input: &'t str) -> Self {
        Self { input, at: 0, start: 0, parentheses: 0, inside: false }
    }

    pub(crate) fn next_token(&mut self) -> Token {
        match if self.inside { self.inside() } else { self.text() } {
            Ok(token) => token,
            Err(text) => {
                let at = self.start;
                // Nothing comes after an error.
                (self.input, self.at, self.start, self.inside) = ("", 0, 0, false);
                Token { kind: Kind::Error, at, text }
            }
        }
    }

    fn token(&mut self, kind: Kind) -> Token {
        let token = Token { kind, at: self.start, text: self.input[self.start..self.at].into() };
        self.start = self.at;
        token
    }

    fn rest(&self) -> &'t str {
        &self.input[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn accept(&mut self, allowed: &str) -> bool {
        let found = self.peek().is_some_and(|next| allowed.contains(next));
        self.at += usize::from(found);
        found
    }

    fn accept_all(&mut self, allowed: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(allowed).len();
    }

    fn text(&mut self) -> Result<Token, String> {
        loop {
            let Some(length) = self.rest().find(LEFT) else {
                self.at = self.input.len();
                let kind = if self.at > self.start { Kind::Text } else { Kind::End };
                return Ok(self.token(kind));
            };
            if length > 0 {
                let delimiter = self.at + length;
                let mut text = &self.input[self.start..delimiter];
                if trims_left(&self.input[delimiter + LEFT.len()..]) {
                    text = text.trim_end_matches(SPACES);
                }
                self.at = self.start + text.len();
                let token = self.token(Kind::Text);
                (self.at, self.start) = (delimiter, delimiter);
                if !token.text.is_empty() {
                    return Ok(token);
                }
            }
            if let Some(token) = self.left_delimiter()? {
                return Ok(token);
            }
        }
    }

    /// A left delimiter; `None` after a comment.
    fn left_delimiter(&mut self) -> Result<Option<Token>, String> {
        self.at += LEFT.len();
        let marker = if trims_left(self.rest()) { 2 } else { 0 };
        if self.rest()[marker..].starts_with("/*") {
            self.at += marker;
            self.start = self.at;
            self.comment()?;
            return Ok(None);
        }
        let token = self.token(Kind::LeftDelimiter);
        self.inside = true;
        self.at += marker;
        self.start = self.at;
        self.parentheses = 0;
        Ok(Some(token))
    }

    fn comment(&mut self) -> Result<(), String> {
        let length = self.rest()[2..].find("*/").ok_or("unclosed comment")?;
        self.at += 2 + length + 2;
        let trim = self.right_delimiter_here().ok_or("comment ends before closing delimiter")?;
        self.skip_right_delimiter(trim);
        Ok(())
    }

    /// Whether here is a right delimiter, and whether it trims.
    fn right_delimiter_here(&self) -> Option<bool> {
        let rest = self.rest();
        if trims_right(rest) && rest[2..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn skip_right_delimiter(&mut self, trim: bool) {
        self.at += RIGHT.len() + if trim { 2 } else { 0 };
        if trim {
            self.accept_all(is_space);
        }
        self.start = self.at;
    }

    fn inside(&mut self) -> Result<Token, String> {
        if let Some(trim) = self.right_delimiter_here() {
            if self.parentheses > 0 {
                return Err("unclosed left paren".into());
            }
            let at = self.at + if trim { 2 } else { 0 };
            self.skip_right_delimiter(trim);
            self.inside = false;
            return Ok(Token { kind: Kind::RightDelimiter, at, text: RIGHT.into() });
        }
        let kind = self.scan()?;
        Ok(self.token(kind))
    }

    fn scan(&mut self) -> Found {
        let next = self.next().ok_or("unclosed action")?;
        match next {
            '=' => Ok(Kind::Assign),
            ':' if self.next() == Some('=') => Ok(Kind::Declare),
            ':' => Err("expected :=".into()),
            '|' => Ok(Kind::Pipe),
            '"' => self.string(),
            '`' => self.raw_string(),
            '$' => self.word(Kind::Variable),
            '\'' => self.char_constant(),
            '.' if !self.rest().starts_with(|c: char| c.is_ascii_digit())
                && !self.rest().is_empty() =>
            {
                self.word(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at -= 1;
                self.number()
            }
            '(' => {
                self.parentheses += 1;
                Ok(Kind::LeftParenthesis)
            }
            ')' => {
                self.parentheses -= 1;
                let right = self.parentheses >= 0;
                right.then_some(Kind::RightParenthesis).ok_or("unexpected right paren".into())
            }
            _ if is_space(next) => Ok(self.space()),
            _ if is_word(next) => self.identifier(),
            '!'..='~' => Ok(Kind::Char),
            _ => Err(format!("unrecognized character in action: {}", named(next))),
        }
    }

    /// Spaces. The last one may belong to a delimiter that trims.
    fn space(&mut self) -> Kind {
        self.accept_all(is_space);
        let last = self.at - 1;
        let rest = &self.input[last..];
        if last > self.start && trims_right(rest) && rest[2..].starts_with(RIGHT) {
            self.at = last;
        }
        Kind::Space
    }

    fn identifier(&mut self) -> Found {
        self.accept_all(is_word);
        self.check_terminator()?;
        let word = &self.input[self.start..self.at];
        let keyword = KEYWORDS.iter().find(|(name, _)| *name == word);
        Ok(match keyword {
            Some((_, keyword)) => Kind::Keyword(*keyword),
            None if word == "true" || word == "false" => Kind::Bool,
            None => Kind::Identifier,
        })
    }

    /// A field or variable, of which the first character is read.
    fn word(&mut self, kind: Kind) -> Found {
        if self.at_terminator() {
            return Ok(if kind == Kind::Field { Kind::Keyword(Keyword::Dot) } else { kind });
        }
        self.accept_all(is_word);
        self.check_terminator()?;
        Ok(kind)
    }

    fn at_terminator(&self) -> bool {
        let next = self.peek();
        next.is_none_or(|next| is_space(next) || ".,|:)(".contains(next))
            || self.rest().starts_with(RIGHT)
    }

    fn check_terminator(&self) -> Result<(), String> {
        match self.peek() {
            Some(next) if !self.at_terminator() => Err(format!("bad character {}", named(next))),
            _ => Ok(()),
        }
    }

    fn char_constant(&mut self) -> Found {
        self.until_quote('\'', "unterminated character constant")?;
        Ok(Kind::CharConstant)
    }

    fn string(&mut self) -> Found {
        self.until_quote('"', "unterminated quoted string")?;
        Ok(Kind::String)
    }

    fn until_quote(&mut self, quote: char, message: &str) -> Result<(), String> {
        while let Some(next) = self.next() {
            match next {
                '\\' if matches!(self.next(), None | Some('\n')) => break,
                '\n' => break,
                _ if next == quote => return Ok(()),
                _ => {}
            }
        }
        Err(message.into())
    }

    fn raw_string(&mut self) -> Found {
        let length = self.rest().find('`').ok_or("unterminated raw quoted string")?;
        self.at += length + 1;
        Ok(Kind::RawString)
    }

    fn number(&mut self) -> Found {
        let bad = |lexer: &Self| {
            let text = &lexer.input[lexer.start..lexer.at];
            Err(format!("bad number syntax: {}", literal::quoted(text.as_bytes())))
        };
        if !self.scan_number() {
            return bad(self);
        }
        if !self.rest().starts_with(['+', '-']) {
            return Ok(Kind::Number);
        }
        let whole = self.scan_number() && self.input[..self.at].ends_with('i');
        if whole { Ok(Kind::Complex) } else { bad(self) }
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_all(|next| digits.contains(next));
        if self.accept(".") {
            self.accept_all(|next| digits.contains(next));
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_all(|next| next.is_ascii_digit() || next == '_');
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.next();
            return false;
        }
        true
    }
}

/// A character as messages name it: `U+0021 '!'`.
fn named(character: char) -> String {
    let code = format!("U+{:04X}", u32::from(character));
    match literal::is_printable(character) {
        true => format!("{code} '{character}'"),
        false => code,
    }
}
