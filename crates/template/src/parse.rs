//! From tokens to trees.
//!
//! Messages and the places that they name are Go's, and so is the order in which things are
//! looked at: of several mistakes the same one is reported.

use crate::error::{Error, ErrorKind};
use crate::lex::{Keyword, Kind, Lexer, Token};
use crate::limits::{NESTING_LIMIT, SOURCE_LIMIT_BYTES};
use crate::tree::{
    Branch, Command, Invocation, Node, Operand, Pipeline, Templates, Term, is_blank,
};
use crate::{functions, literal};

type Parsed<T> = Result<T, Error>;

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    Else,
}

impl Stop {
    fn shown(self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

enum Item {
    Node(Node),
    Stop(Stop),
}

/// What a definition has for itself.
struct Scope {
    variables: Vec<String>,
    ranges: usize,
    /// Where the current action began.
    action: Option<usize>,
    /// Where the token that was read last began: the line of messages.
    latest: usize,
}

impl Scope {
    fn new(latest: usize) -> Self {
        Self { variables: vec!["$".into()], ranges: 0, action: None, latest }
    }
}

struct Parser<'t> {
    name: &'t str,
    text: &'t str,
    lexer: Lexer<'t>,
    /// Tokens that were put back, the next one last.
    pending: Vec<Token>,
    scope: Scope,
    nesting: usize,
    templates: Templates,
}

/// Reads a text: the template `name`, and those that it defines.
pub(crate) fn parse(name: &str, text: &str) -> Parsed<Templates> {
    let lexer = Lexer::new(text);
    let (scope, templates) = (Scope::new(0), Templates::new());
    let mut parser =
        Parser { name, text, lexer, pending: Vec::new(), scope, nesting: 0, templates };
    if text.len() > SOURCE_LIMIT_BYTES {
        return Err(parser.limit(format!("a template has at most {SOURCE_LIMIT_BYTES} bytes")));
    }
    let main = parser.main()?;
    parser.add(name.into(), main)?;
    Ok(parser.templates)
}

/// 1 + the number of line ends before a place.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

impl Parser<'_> {
    fn error(&self, message: impl std::fmt::Display) -> Error {
        let line = line_of(self.text, self.scope.latest);
        let text = format!("template: {}:{line}: {message}", self.name);
        Error { kind: ErrorKind::Syntax, text }
    }

    fn limit(&self, message: String) -> Error {
        Error { kind: ErrorKind::Limit, ..self.error(message) }
    }

    fn unexpected(&self, token: &Token, context: &str) -> Error {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {token} in {context}"));
        }
        let action = self.scope.action.map(|at| line_of(self.text, at));
        match action.filter(|&line| line != line_of(self.text, token.at)) {
            Some(line) => {
                let name = if token.text.ends_with(" action") { "" } else { " in action" };
                self.error(format!("{token}{name} started at {}:{line}", self.name))
            }
            None => self.error(token),
        }
    }

    fn next(&mut self) -> Token {
        self.pending.pop().unwrap_or_else(|| {
            let token = self.lexer.next_token();
            self.scope.latest = token.at;
            token
        })
    }

    fn peek(&mut self) -> Kind {
        let token = self.next();
        let kind = token.kind;
        self.pending.push(token);
        kind
    }

    fn next_word(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    /// Skips spaces; the kind of what follows and where it begins.
    fn peek_word(&mut self) -> (Kind, usize) {
        let token = self.next_word();
        let peeked = (token.kind, token.at);
        self.pending.push(token);
        peeked
    }

    fn expect(&mut self, kinds: &[Kind], context: &str) -> Parsed<Token> {
        let token = self.next_word();
        match kinds.contains(&token.kind) {
            true => Ok(token),
            false => Err(self.unexpected(&token, context)),
        }
    }

    /// Goes one level deeper, in the text and with it on the stack.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= NESTING_LIMIT {
            return Err(
                self.limit(format!("blocks and parentheses nest deeper than {NESTING_LIMIT}"))
            );
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn main(&mut self) -> Parsed<Vec<Node>> {
        let mut nodes = Vec::new();
        while self.peek() != Kind::End {
            if self.peek() == Kind::LeftDelimiter {
                let delimiter = self.next();
                let word = self.next_word();
                if word.kind == Kind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.pending.extend([word, delimiter]);
            }
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::Stop(stop) => return Err(self.error(format!("unexpected {}", stop.shown()))),
            }
        }
        Ok(nodes)
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let inner = Scope::new(self.scope.latest);
        let outer = std::mem::replace(&mut self.scope, inner);
        let name = self.expect(&[Kind::String, Kind::RawString], CONTEXT)?;
        let name = self.unquote(&name)?;
        self.expect(&[Kind::RightDelimiter], CONTEXT)?;
        let (body, stop) = self.nested(Self::list)?;
        if stop != Stop::End {
            return Err(self.error(format!("unexpected {} in {CONTEXT}", stop.shown())));
        }
        self.add(name, body)?;
        self.scope = outer;
        Ok(())
    }

    fn add(&mut self, name: String, body: Vec<Node>) -> Parsed<()> {
        let is_new = self.templates.get(&name).is_none_or(|old| is_blank(old));
        if is_new {
            self.templates.insert(name, body);
        } else if !is_blank(&body) {
            let name = literal::quoted(name.as_bytes());
            return Err(self.error(format!("template: multiple definition of template {name}")));
        }
        Ok(())
    }

    fn unquote(&self, token: &Token) -> Parsed<String> {
        let text = literal::unquote(&token.text).ok_or_else(|| self.error("invalid syntax"))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn list(&mut self) -> Parsed<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        while self.peek_word().0 != Kind::End {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::Stop(stop) => return Ok((nodes, stop)),
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text))),
            Kind::LeftDelimiter => {
                self.scope.action = Some(token.at);
                let item = self.action()?;
                self.scope.action = None;
                Ok(item)
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.next_word();
        let Kind::Keyword(keyword) = token.kind else {
            return self.command_action(token);
        };
        Ok(Item::Node(match keyword {
            Keyword::Block => self.block()?,
            Keyword::Break => self.loop_control("{{break}}", Node::Break)?,
            Keyword::Continue => self.loop_control("{{continue}}", Node::Continue)?,
            Keyword::Else => return self.otherwise(),
            Keyword::End => {
                self.expect(&[Kind::RightDelimiter], "end")?;
                return Ok(Item::Stop(Stop::End));
            }
            Keyword::If => Node::If(self.control("if", keyword)?),
            Keyword::Range => Node::Range(self.control("range", keyword)?),
            Keyword::With => Node::With(self.control("with", keyword)?),
            Keyword::Template => self.invocation()?,
            Keyword::Define | Keyword::Dot | Keyword::Nil => return self.command_action(token),
        }))
    }

    fn command_action(&mut self, token: Token) -> Parsed<Item> {
        self.pending.push(token);
        let pipeline = self.pipeline("command", Kind::RightDelimiter)?;
        Ok(Item::Node(Node::Action(pipeline)))
    }

    fn loop_control(&mut self, shown: &str, node: Node) -> Parsed<Node> {
        self.expect(&[Kind::RightDelimiter], shown)?;
        match self.scope.ranges {
            0 => Err(self.error(format!("{shown} outside {{{{range}}}}"))),
            _ => Ok(node),
        }
    }

    fn otherwise(&mut self) -> Parsed<Item> {
        let (kind, _) = self.peek_word();
        // `else if` and `else with` leave the second word for what the first belongs to.
        if !matches!(kind, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(&[Kind::RightDelimiter], "else")?;
        }
        Ok(Item::Stop(Stop::Else))
    }

    fn control(&mut self, context: &str, keyword: Keyword) -> Parsed<Branch> {
        self.nested(|parser| {
            let variables = parser.scope.variables.len();
            let branch = parser.branch(context, keyword)?;
            parser.scope.variables.truncate(variables);
            Ok(branch)
        })
    }

    fn branch(&mut self, context: &str, keyword: Keyword) -> Parsed<Branch> {
        let pipeline = self.pipeline(context, Kind::RightDelimiter)?;
        let is_range = usize::from(keyword == Keyword::Range);
        self.scope.ranges += is_range;
        let (body, stop) = self.list()?;
        self.scope.ranges -= is_range;
        if stop == Stop::End {
            return Ok(Branch { pipeline, body, otherwise: None });
        }
        // The `{{end}}` of what follows `else` is that of the whole.
        let chained = is_range == 0 && self.peek() == Kind::Keyword(keyword);
        let otherwise = if chained {
            self.next();
            let branch = self.control(context, keyword)?;
            vec![if keyword == Keyword::If { Node::If(branch) } else { Node::With(branch) }]
        } else {
            let (body, stop) = self.list()?;
            if stop != Stop::End {
                return Err(self.error(format!("expected end; found {}", stop.shown())));
            }
            body
        };
        Ok(Branch { pipeline, body, otherwise: Some(otherwise) })
    }

    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_word();
        let name = self.template_name(&token, CONTEXT)?;
        let pipeline = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        let inner = Scope::new(self.scope.latest);
        let outer = std::mem::replace(&mut self.scope, inner);
        let (body, stop) = self.nested(Self::list)?;
        if stop != Stop::End {
            self.scope = outer;
            return Err(self.error(format!("unexpected {} in {CONTEXT}", stop.shown())));
        }
        self.add(name.clone(), body)?;
        self.scope = outer;
        Ok(Node::Template(Invocation { at: token.at, name, pipeline: Some(pipeline) }))
    }

    fn invocation(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_word();
        let name = self.template_name(&token, CONTEXT)?;
        let next = self.next_word();
        let pipeline = if next.kind == Kind::RightDelimiter {
            None
        } else {
            self.pending.push(next);
            Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?)
        };
        Ok(Node::Template(Invocation { at: token.at, name, pipeline }))
    }

    fn template_name(&self, token: &Token, context: &str) -> Parsed<String> {
        match token.kind {
            Kind::String | Kind::RawString => self.unquote(token),
            _ => Err(self.unexpected(token, context)),
        }
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipeline> {
        let (_, at) = self.peek_word();
        let mut pipeline =
            Pipeline { at, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipeline, context)?;
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Keyword(Keyword::Dot | Keyword::Nil)
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParenthesis => {
                    self.pending.push(token);
                    let command = self.command()?;
                    pipeline.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        self.check_pipeline(&pipeline, context)?;
        Ok(pipeline)
    }

    fn declarations(&mut self, pipeline: &mut Pipeline, context: &str) -> Parsed<()> {
        while self.peek_word().0 == Kind::Variable {
            let variable = self.next();
            let after = self.next();
            let next = if after.kind == Kind::Space { self.next_word() } else { after.clone() };
            let separates = next.kind == Kind::Char && next.text == ",";
            if !separates && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                // It is an operand. A space after it counts: it separates operands.
                self.pending.push(next);
                if after.kind == Kind::Space {
                    self.pending.push(after);
                }
                self.pending.push(variable);
                return Ok(());
            }
            pipeline.variables.push(variable.text.clone());
            self.scope.variables.push(variable.text);
            if !separates {
                pipeline.assigns = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipeline.variables.len() >= 2 {
                return Err(self.error(format!("too many declarations in {context}")));
            }
            let (kind, _) = self.peek_word();
            if !matches!(kind, Kind::Variable | Kind::RightDelimiter | Kind::RightParenthesis) {
                return Err(self.error("range can only initialize variables"));
            }
        }
        Ok(())
    }

    fn check_pipeline(&self, pipeline: &Pipeline, context: &str) -> Parsed<()> {
        if pipeline.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (before, command) in pipeline.commands[1..].iter().enumerate() {
            let first = command.operands.first().map(|operand| &operand.term);
            let literal = [first].iter().any(|first| {
                matches!(
                    first,
                    Some(
                        Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text { .. }
                    )
                )
            });
            if literal {
                let stage = before + 2;
                return Err(self.error(format!("non executable command in pipeline stage {stage}")));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let (_, at) = self.peek_word();
        let mut operands = Vec::new();
        loop {
            self.peek_word();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelimiter | Kind::RightParenthesis => {
                    self.pending.push(token);
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(&token, "operand")),
            }
        }
        match operands.is_empty() {
            true => Err(self.error("empty command")),
            false => Ok(Command { at, operands }),
        }
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        if self.peek() != Kind::Field {
            return Ok(Some(operand));
        }
        let (_, at) = self.peek_word();
        let mut names = Vec::new();
        while self.peek() == Kind::Field {
            names.push(self.next().text[1..].to_string());
        }
        match &mut operand.term {
            Term::Field(first) | Term::Variable(first) => {
                first.append(&mut names);
                operand.at = at;
            }
            Term::Bool(_) | Term::Text { .. } | Term::Number(_) | Term::Nil | Term::Dot => {
                let shown = literal::quoted(operand.to_string().as_bytes());
                return Err(self.error(format!("unexpected . after term {shown}")));
            }
            _ => operand = Operand { at, term: Term::Chain(Box::new(operand), names) },
        }
        Ok(Some(operand))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_word();
        let at = token.at;
        let number = |number: Result<_, String>| number.map_err(|message| self.error(message));
        let term = match token.kind {
            Kind::Identifier if !functions::is_known(&token.text) => {
                let name = literal::quoted(token.text.as_bytes());
                return Err(self.error(format!("function {name} not defined")));
            }
            Kind::Identifier => Term::Identifier(token.text),
            Kind::Keyword(Keyword::Dot) => Term::Dot,
            Kind::Keyword(Keyword::Nil) => Term::Nil,
            Kind::Variable if !self.scope.variables.contains(&token.text) => {
                let name = literal::quoted(token.text.as_bytes());
                return Err(self.error(format!("undefined variable {name}")));
            }
            Kind::Variable => Term::Variable(vec![token.text]),
            Kind::Field => Term::Field(vec![token.text[1..].to_string()]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharConstant => Term::Number(number(literal::character(&token.text))?),
            Kind::Complex | Kind::Number => Term::Number(number(literal::number(&token.text))?),
            Kind::LeftParenthesis => {
                let inner = |parser: &mut Self| {
                    parser.pipeline("parenthesized pipeline", Kind::RightParenthesis)
                };
                Term::Pipeline(self.nested(inner)?)
            }
            Kind::String | Kind::RawString => match literal::unquote(&token.text) {
                Some(value) => Term::Text { quoted: token.text, value },
                None => return Err(self.error("invalid syntax")),
            },
            _ => {
                self.pending.push(token);
                return Ok(None);
            }
        };
        Ok(Some(Operand { at, term }))
    }
}
