//! Text templates (minijinja) for what people read: an issue's description, an answer.
//!
//! The law: a template ends, and makes at most [`MAX_OUTPUT`] bytes. It has `if` and `for`, no `set`, `macro` or `include`,
//! and only the filters listed here: none can make a text much longer than it was.

use std::fmt;
use std::io;

use minijinja::{Environment, UndefinedBehavior, filters};
use serde_json::Value;

use super::expr::{MAX_OUTPUT, truncate};
use super::problem::{MapError, Place};

const FUEL: u64 = 200_000;
/// The longest template, in bytes.
const MAX_TEXT: usize = 64 * 1024;
const FILTERS: &[&str] =
    &["truncate", "quote", "money", "day", "default", "first", "join", "length", "lower", "upper", "title", "trim"];
const TAGS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor"];

pub struct Template {
    environment: Environment<'static>,
    text: String,
    place: Place,
}

/// Where in the text, what, and what to write instead.
pub(crate) struct Broken {
    pub(crate) at: std::ops::Range<usize>,
    pub(crate) what: String,
    pub(crate) mend: String,
}

impl Template {
    pub(crate) fn compile(text: &str, place: Place) -> Result<Self, Broken> {
        if text.len() > MAX_TEXT {
            return Err(Broken {
                at: 0..0,
                what: format!("the template has more than {MAX_TEXT} bytes"),
                mend: "shorten it".into(),
            });
        }
        for (at, rest) in text.match_indices("{%").map(|(at, _)| (at, &text[at + 2..])) {
            let word = rest.trim_start_matches(['-', '+']).trim_start();
            let word: String = word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !TAGS.contains(&word.as_str()) {
                let what = format!("`{word}` is not for these templates");
                return Err(Broken { at: at..at + 2, what, mend: "there are if, elif, else and for".into() });
            }
        }
        // Recursive loops could go on with fuel left for a very deep stack.
        if let Some(at) = text.find("recursive") {
            return Err(Broken {
                at: at..at + 9,
                what: "`recursive` loops are not for these templates".into(),
                mend: "use a plain for".into(),
            });
        }
        if let Some((at, name)) = unknown_filter(text) {
            let near = super::problem::nearest(&name, FILTERS.iter().copied());
            let mend = near
                .map_or_else(|| format!("there are {}", FILTERS.join(", ")), |near| format!("did you mean `{near}`?"));
            return Err(Broken {
                at: at..at + name.len(),
                what: format!("there is no filter `{name}` for templates"),
                mend,
            });
        }
        let mut environment = Environment::empty();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(|out, state, value| {
            // What is empty prints nothing, as an empty cell does.
            if value.is_none() { Ok(()) } else { minijinja::escape_formatter(out, state, value) }
        });
        environment.add_filter("truncate", |text: String, most: usize| truncate(&text, most));
        environment.add_filter("quote", |text: String| quote(&text));
        environment.add_filter("money", money);
        environment.add_filter("day", |text: String| text.chars().take(10).collect::<String>());
        environment.add_filter("default", filters::default);
        environment.add_filter("first", filters::first);
        environment.add_filter("join", filters::join);
        environment.add_filter("length", filters::length);
        environment.add_filter("lower", filters::lower);
        environment.add_filter("upper", filters::upper);
        environment.add_filter("title", filters::title);
        environment.add_filter("trim", filters::trim);
        environment.add_test("defined", minijinja::tests::is_defined);
        environment.add_test("none", minijinja::tests::is_none);
        environment.add_template_owned("text", text.to_owned()).map_err(|error| {
            let before: usize =
                text.split_inclusive('\n').take(error.line().unwrap_or(1).saturating_sub(1)).map(str::len).sum();
            let line = text[before..].lines().next().unwrap_or_default();
            let at = before..before + line.len();
            Broken { at, what: tell(&error), mend: "see `Templates` in docs/mappings.md".into() }
        })?;
        Ok(Self { environment, text: text.to_owned(), place })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// # Errors
    /// When it meets a type that it cannot use, or would make too long a text.
    pub fn render(&self, view: &Value) -> Result<String, MapError> {
        let template = self.environment.get_template("text").map_err(|error| self.place.error(tell(&error)))?;
        let mut out = Bounded(Vec::new());
        let rendered = template.render_captured_to(minijinja::Value::from_serialize(view), &mut out);
        rendered.map_err(|error| {
            let line = error.line().map(|line| format!("line {line} of the template: ")).unwrap_or_default();
            self.place.error(format!("{line}{}", tell(&error)))
        })?;
        let text = String::from_utf8(out.0).map_err(|_| self.place.error("the template made no text"))?;
        Ok(text.trim().to_owned())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({} bytes)", self.text.len())
    }
}

/// The kind of error, and its detail where that is about the template and not about the data.
fn tell(error: &minijinja::Error) -> String {
    use minijinja::ErrorKind;
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does too much work".into(),
        (ErrorKind::WriteFailure, _) => "it makes more than 1 MiB of text".into(),
        (
            kind @ (ErrorKind::SyntaxError
            | ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction),
            Some(detail),
        ) => {
            format!("{kind}: {detail}")
        }
        (kind, _) => kind.to_string(),
    }
}

/// The engine looks filters up only when it comes to them, and a branch that is rarely taken would fail late.
fn unknown_filter(text: &str) -> Option<(usize, String)> {
    let mut inside = false;
    let mut quoted = None;
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        match (quoted, bytes[at]) {
            (Some(mark), byte) if byte == mark && bytes[at - 1] != b'\\' => quoted = None,
            (Some(_), _) => {}
            (None, b'{') if matches!(bytes.get(at + 1), Some(b'{' | b'%')) => inside = true,
            (None, b'}') if at > 0 && matches!(bytes[at - 1], b'}' | b'%') => inside = false,
            (None, mark @ (b'"' | b'\'')) if inside => quoted = Some(mark),
            (None, b'|') if inside => {
                let rest = text[at + 1..].trim_start();
                let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if !FILTERS.contains(&name.as_str()) {
                    return Some((text.len() - rest.len(), name));
                }
            }
            _ => {}
        }
    }
    None
}

struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As a quotation in Markdown.
fn quote(text: &str) -> String {
    let lines: Vec<String> = text.trim().lines().map(|line| format!("> {line}").trim_end().to_owned()).collect();
    lines.join("\n")
}

/// `1250000` as `1,250,000`; what is no number passes.
#[expect(clippy::needless_pass_by_value, reason = "a filter's signature")]
fn money(value: minijinja::Value) -> String {
    let Ok(number) = f64::try_from(value.clone()) else { return value.to_string() };
    let whole = format!("{:.0}", number.abs());
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0.0 && whole != "0" { format!("-{grouped}") } else { grouped }
}
