//! Text to expression, by recursive descent. Weakest first: comparison, `&`, `+ -`, `* /`, unary minus.

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Number(f64),
    Text(String),
    Field(String),
    Call(String, Vec<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    Negate(Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Concat,
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Expr {
    pub(super) fn fields(&self, out: &mut Vec<String>) {
        match self {
            Self::Field(name) => out.push(name.clone()),
            Self::Call(_, args) => args.iter().for_each(|arg| arg.fields(out)),
            Self::Binary(_, left, right) => {
                left.fields(out);
                right.fields(out);
            }
            Self::Negate(inner) => inner.fields(out),
            Self::Number(_) | Self::Text(_) => {}
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Field(String),
    Word(String),
    Sign(&'static str),
}

/// Deeper than any formula a person writes; keeps the recursion off the end of the stack.
const DEPTH: usize = 200;

pub(super) fn parse(text: &str) -> Result<Expr, String> {
    let mut parser = Parser { tokens: tokenize(text)?, at: 0, depth: 0 };
    let expr = parser.compare()?;
    match parser.tokens.get(parser.at) {
        None => Ok(expr),
        Some(_) => Err("unexpected text after the formula".to_owned()),
    }
}

const SIGNS: [&str; 14] = ["!=", "<=", ">=", "=", "<", ">", "&", "+", "-", "*", "/", "(", ")", ","];

fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
        } else if first == '"' || first == '\'' {
            let (value, after) = quoted(&rest[1..], first)?;
            out.push(Token::Text(value));
            rest = after;
        } else if first == '{' {
            let (name, after) = braced(&rest[1..])?;
            out.push(Token::Field(name));
            rest = after;
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            out.push(Token::Number(rest[..end].parse().map_err(|_| "a number is malformed".to_owned())?));
            rest = &rest[end..];
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            out.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            out.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            return Err(format!("unexpected character {first:?}"));
        }
    }
    Ok(out)
}

/// A backslash takes the next character as it is, apart from the usual `\n`, `\r` and `\t`.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            c if c == quote => return Ok((value, &text[at + c.len_utf8()..])),
            c => value.push(c),
        }
    }
    Err("a text is not closed".to_owned())
}

/// A field name in braces; a closing brace within it is written `\}`.
fn braced(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, other)) => value.push(other),
                None => break,
            },
            '}' => return Ok((value, &text[at + 1..])),
            c => value.push(c),
        }
    }
    Err("a field name is not closed".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(s)) if *s == sign);
        if found {
            self.at += 1;
        }
        found
    }

    fn chain(&mut self, ops: &[(&str, Op)], inner: fn(&mut Self) -> Result<Expr, String>) -> Result<Expr, String> {
        let mut left = inner(self)?;
        while let Some((_, op)) = ops.iter().find(|(sign, _)| self.sign(sign)) {
            left = Expr::Binary(*op, Box::new(left), Box::new(inner(self)?));
        }
        Ok(left)
    }

    fn compare(&mut self) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("the formula is nested too deeply".to_owned());
        }
        let ops = [
            ("=", Op::Equal),
            ("!=", Op::NotEqual),
            ("<=", Op::LessOrEqual),
            (">=", Op::GreaterOrEqual),
            ("<", Op::Less),
            (">", Op::Greater),
        ];
        let expr = self.chain(&ops, Self::concat);
        self.depth -= 1;
        expr
    }

    fn concat(&mut self) -> Result<Expr, String> {
        self.chain(&[("&", Op::Concat)], Self::sum)
    }

    fn sum(&mut self) -> Result<Expr, String> {
        self.chain(&[("+", Op::Add), ("-", Op::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Expr, String> {
        self.chain(&[("*", Op::Multiply), ("/", Op::Divide)], Self::unary)
    }

    fn unary(&mut self) -> Result<Expr, String> {
        let mut negative = false;
        while self.sign("-") {
            negative = !negative;
        }
        let inner = self.primary()?;
        Ok(if negative { Expr::Negate(Box::new(inner)) } else { inner })
    }

    fn primary(&mut self) -> Result<Expr, String> {
        match self.next() {
            Some(Token::Number(number)) => Ok(Expr::Number(number)),
            Some(Token::Text(text)) => Ok(Expr::Text(text)),
            Some(Token::Field(name)) => Ok(Expr::Field(name)),
            Some(Token::Sign("(")) => {
                let inner = self.compare()?;
                if self.sign(")") { Ok(inner) } else { Err("a parenthesis is not closed".to_owned()) }
            }
            Some(Token::Word(word)) => self.word(word),
            Some(Token::Sign(sign)) => Err(format!("unexpected {sign:?}")),
            None => Err("the formula ends too early".to_owned()),
        }
    }

    /// A call, or a field whose name needs no braces.
    fn word(&mut self, word: String) -> Result<Expr, String> {
        if !self.sign("(") {
            return Ok(Expr::Field(word));
        }
        let mut args = Vec::new();
        if !self.sign(")") {
            loop {
                args.push(self.compare()?);
                if self.sign(")") {
                    break;
                }
                if !self.sign(",") {
                    return Err("a call is not closed".to_owned());
                }
            }
        }
        Ok(Expr::Call(word.to_uppercase(), args))
    }
}
