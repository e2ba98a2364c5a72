//! SOQL, read into a tree: fields and relationships, conditions, order, limit. What is left out (grouping, child queries)
//! is refused as any unknown word is. ("SOQL and SOSL Reference", read 2026-11-23.)

use chrono::{DateTime, NaiveDate, Utc};

use super::refusal::{Answer, Refusal, refuse};
use super::values::read_time;

pub(super) type Path = Vec<String>;

#[derive(Debug, PartialEq)]
pub(super) struct Query {
    pub(super) select: Vec<Select>,
    pub(super) from: String,
    pub(super) filter: Option<Filter>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
    /// `ALL ROWS`: the recycle bin, too.
    pub(super) all_rows: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Select {
    Path(Path),
    /// `COUNT()`
    Count,
    /// `FIELDS(ALL)`, by its word.
    Fields(String),
}

#[derive(Debug, PartialEq)]
pub(super) struct Order {
    pub(super) path: Path,
    pub(super) descending: bool,
    pub(super) nulls_last: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare { path: Path, op: Op, with: Literal },
    In { path: Path, not: bool, among: Vec<Literal> },
    InQuery { path: Path, not: bool, query: Box<Query> },
    Includes { path: Path, not: bool, among: Vec<Literal> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Is,
    IsNot,
    Less,
    AtMost,
    More,
    AtLeast,
    Like,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
    Day(NaiveDate),
    Time(DateTime<Utc>),
    /// `TODAY`, `LAST_N_DAYS:30`
    Relative(String, i64),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(usize, Token)>,
    at: usize,
}

/// # Errors
/// `MALFORMED_QUERY`, with the place.
pub(super) fn parse(text: &str) -> Answer<Query> {
    let mut parser = Parser { text, tokens: lex(text)?, at: 0 };
    let query = parser.query()?;
    if parser.at < parser.tokens.len() {
        return Err(parser.unexpected());
    }
    Ok(query)
}

pub(super) fn malformed(text: &str, at: usize, why: &str) -> Refusal {
    let column = text.get(..at).map_or(at, |before| before.chars().count()) + 1;
    refuse(
        400,
        "MALFORMED_QUERY",
        format!("\n{text}\n{}^\nERROR at Row:1:Column:{column}\n{why}", " ".repeat(column - 1)),
    )
}

fn lex(text: &str) -> Answer<Vec<(usize, Token)>> {
    let mut tokens = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let begin = at;
        let two = text.get(at..at + 2).unwrap_or_default();
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if byte == b'\'' {
            let (word, end) = quoted(text, at)?;
            tokens.push((begin, Token::Text(word)));
            at = end;
            continue;
        }
        let sign = ["!=", "<>", "<=", ">="].into_iter().find(|sign| *sign == two);
        let sign = sign.or_else(|| ["(", ")", ",", "=", "<", ">"].into_iter().find(|sign| sign.as_bytes() == [byte]));
        if let Some(sign) = sign {
            at += sign.len();
            tokens.push((begin, Token::Sign(sign)));
            continue;
        }
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:+-".contains(&byte);
        while bytes.get(at).is_some_and(|byte| part(*byte)) {
            at += 1;
        }
        if at == begin {
            let odd = text[begin..].chars().next().unwrap_or_default();
            return Err(malformed(text, begin, &format!("line 1:{begin} no viable alternative at character '{odd}'")));
        }
        tokens.push((begin, Token::Word(text[begin..at].to_owned())));
    }
    Ok(tokens)
}

/// The text of a string that begins at `at`, and where it ends.
fn quoted(text: &str, at: usize) -> Answer<(String, usize)> {
    let mut out = String::new();
    let mut letters = text[at + 1..].char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '\'' => return Ok((out, at + 1 + place + 1)),
            '\\' => match letters.next().map(|(_, letter)| letter) {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some(plain @ ('\'' | '"' | '\\')) => out.push(plain),
                // For LIKE to read.
                Some(wild @ ('%' | '_')) => {
                    out.push('\\');
                    out.push(wild);
                }
                _ => return Err(malformed(text, at + place, "invalid string escape")),
            },
            letter => out.push(letter),
        }
    }
    Err(malformed(text, at, "unexpected end of query: the string has no end"))
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn unexpected(&self) -> Refusal {
        let Some((at, token)) = self.tokens.get(self.at) else {
            return malformed(self.text, self.text.len(), "unexpected token: '<EOF>'");
        };
        let shown = match token {
            Token::Word(word) | Token::Text(word) => word.clone(),
            Token::Sign(sign) => (*sign).to_owned(),
        };
        malformed(self.text, *at, &format!("unexpected token: '{shown}'"))
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(is);
        is
    }

    fn need(&mut self, sign: &str) -> Answer<()> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn is_next(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word))
    }

    fn word(&mut self, word: &str) -> bool {
        let is = self.is_next(word);
        self.at += usize::from(is);
        is
    }

    fn need_word(&mut self, word: &str) -> Answer<()> {
        if self.word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn name(&mut self) -> Answer<String> {
        match self.peek() {
            Some(Token::Word(name)) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn path(&mut self) -> Answer<Path> {
        Ok(self.name()?.split('.').map(str::to_owned).collect())
    }

    fn number(&mut self) -> Answer<usize> {
        match self.peek() {
            Some(Token::Word(word)) => match word.parse() {
                Ok(number) => {
                    self.at += 1;
                    Ok(number)
                }
                Err(_) => Err(self.unexpected()),
            },
            _ => Err(self.unexpected()),
        }
    }

    fn query(&mut self) -> Answer<Query> {
        self.need_word("SELECT")?;
        let mut select = vec![self.select()?];
        while self.sign(",") {
            select.push(self.select()?);
        }
        self.need_word("FROM")?;
        let from = self.name()?;
        let mut query =
            Query { select, from, filter: None, order: Vec::new(), limit: None, offset: 0, all_rows: false };
        if self.word("WHERE") {
            query.filter = Some(self.filter()?);
        }
        if self.word("ORDER") {
            self.need_word("BY")?;
            query.order.push(self.order()?);
            while self.sign(",") {
                query.order.push(self.order()?);
            }
        }
        if self.word("LIMIT") {
            query.limit = Some(self.number()?);
        }
        if self.word("OFFSET") {
            query.offset = self.number()?;
        }
        if self.word("ALL") {
            self.need_word("ROWS")?;
            query.all_rows = true;
        }
        Ok(query)
    }

    fn select(&mut self) -> Answer<Select> {
        let path = self.path()?;
        if !self.sign("(") {
            return Ok(Select::Path(path));
        }
        let select = match path.first().map(|name| name.to_ascii_uppercase()).as_deref() {
            Some("COUNT") => Select::Count,
            Some("FIELDS") => Select::Fields(self.name()?.to_ascii_uppercase()),
            _ => {
                self.at -= 1;
                return Err(self.unexpected());
            }
        };
        self.need(")")?;
        Ok(select)
    }

    fn order(&mut self) -> Answer<Order> {
        let path = self.path()?;
        let descending = self.word("DESC");
        if !descending {
            self.word("ASC");
        }
        let mut nulls_last = descending;
        if self.word("NULLS") {
            nulls_last = self.word("LAST");
            if !nulls_last {
                self.need_word("FIRST")?;
            }
        }
        Ok(Order { path, descending, nulls_last })
    }

    /// AND and OR side by side need parentheses.
    fn filter(&mut self) -> Answer<Filter> {
        let first = self.term()?;
        for (word, other) in [("AND", "OR"), ("OR", "AND")] {
            if !self.is_next(word) {
                continue;
            }
            let mut all = vec![first];
            while self.word(word) {
                all.push(self.term()?);
            }
            if self.is_next(other) {
                return Err(self.unexpected());
            }
            return Ok(if word == "AND" { Filter::And(all) } else { Filter::Or(all) });
        }
        Ok(first)
    }

    fn term(&mut self) -> Answer<Filter> {
        if self.word("NOT") {
            return Ok(Filter::Not(Box::new(self.term()?)));
        }
        if self.sign("(") {
            let inner = self.filter()?;
            self.need(")")?;
            return Ok(inner);
        }
        let path = self.path()?;
        let not = self.word("NOT");
        if self.word("IN") {
            if matches!(self.tokens.get(self.at + 1), Some((_, Token::Word(word))) if word.eq_ignore_ascii_case("SELECT"))
            {
                self.need("(")?;
                let query = Box::new(self.query()?);
                self.need(")")?;
                return Ok(Filter::InQuery { path, not, query });
            }
            return Ok(Filter::In { path, not, among: self.list()? });
        }
        if not {
            return Err(self.unexpected());
        }
        if self.word("INCLUDES") {
            return Ok(Filter::Includes { path, not: false, among: self.list()? });
        }
        if self.word("EXCLUDES") {
            return Ok(Filter::Includes { path, not: true, among: self.list()? });
        }
        let op = match self.peek() {
            Some(Token::Sign("=")) => Op::Is,
            Some(Token::Sign("!=" | "<>")) => Op::IsNot,
            Some(Token::Sign("<")) => Op::Less,
            Some(Token::Sign("<=")) => Op::AtMost,
            Some(Token::Sign(">")) => Op::More,
            Some(Token::Sign(">=")) => Op::AtLeast,
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("LIKE") => Op::Like,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(Filter::Compare { path, op, with: self.literal()? })
    }

    fn list(&mut self) -> Answer<Vec<Literal>> {
        self.need("(")?;
        let mut all = vec![self.literal()?];
        while self.sign(",") {
            all.push(self.literal()?);
        }
        self.need(")")?;
        Ok(all)
    }

    fn literal(&mut self) -> Answer<Literal> {
        let literal = match self.peek() {
            Some(Token::Text(text)) => Some(Literal::Text(text.clone())),
            Some(Token::Word(word)) => read_word(word),
            _ => None,
        };
        let literal = literal.ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(literal)
    }
}

fn read_word(word: &str) -> Option<Literal> {
    let upper = word.to_ascii_uppercase();
    match upper.as_str() {
        "NULL" => return Some(Literal::Null),
        "TRUE" => return Some(Literal::Boolean(true)),
        "FALSE" => return Some(Literal::Boolean(false)),
        _ => {}
    }
    if let Some(time) = read_time(word).filter(|_| word.contains('T')) {
        return Some(Literal::Time(time));
    }
    if let Ok(day) = word.parse::<NaiveDate>() {
        return Some(Literal::Day(day));
    }
    if let Ok(number) = word.parse::<f64>() {
        return number.is_finite().then_some(Literal::Number(number));
    }
    let (name, count) = upper.split_once(':').map_or((upper.as_str(), None), |(name, count)| (name, Some(count)));
    let plain = [
        "TODAY",
        "YESTERDAY",
        "TOMORROW",
        "THIS_WEEK",
        "LAST_WEEK",
        "THIS_MONTH",
        "LAST_MONTH",
        "THIS_YEAR",
        "LAST_YEAR",
    ];
    match count {
        None if plain.contains(&name) => Some(Literal::Relative(name.to_owned(), 0)),
        Some(count) if ["LAST_N_DAYS", "NEXT_N_DAYS", "N_DAYS_AGO"].contains(&name) => {
            let count = count.parse().ok().filter(|count| (0..=99_999).contains(count))?;
            Some(Literal::Relative(name.to_owned(), count))
        }
        _ => None,
    }
}
