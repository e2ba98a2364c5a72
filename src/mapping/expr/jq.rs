//! A jq program: parsed, held against the allow-list, metered, compiled; and run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{Arena, File, Lexer, Loader, Parser, parse, span};
use jaq_core::{Compiler, Ctx, Vars, unwrap_valr};
use jaq_json::Val;
use serde_json::Value;

use super::allow::{Refusal, Rewrite};
use super::fuel::{Fuel, Metered, Run};
use super::native;
use super::value::from_val;

/// The longest expression, in bytes.
const MAX_TEXT: usize = 4096;
/// The parser recurses in proportion to the text, so it gets a stack that this text cannot exhaust.
const PARSER_STACK: usize = 64 * 1024 * 1024;
/// Rewritten expressions stand in the prelude under this name, for only there jaq takes a parsed term.
const MAIN: &str = "loopd_main";

pub(super) struct Program {
    filter: jaq_core::Filter<Metered>,
}

/// Where in the expression, what, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) at: Range<usize>,
    pub(crate) what: String,
    pub(crate) mend: String,
}

impl Refused {
    fn whole(text: &str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { at: 0..text.len(), what: what.into(), mend: mend.into() }
    }

    fn from_refusal(text: &str, refusal: Refusal<'_>) -> Self {
        let at = refusal.at.filter(|part| within(text, part)).map_or(0..text.len(), |part| span(text, part));
        Self { at, what: refusal.what, mend: refusal.mend }
    }
}

/// Is `part` a slice of `text`? (A name may come from jq's own definitions.)
fn within(text: &str, part: &str) -> bool {
    let (start, at) = (text.as_ptr() as usize, part.as_ptr() as usize);
    at >= start && at + part.len() <= start + text.len()
}

pub(super) fn compile(text: &str) -> Result<Program, Refused> {
    if text.len() > MAX_TEXT {
        let what = format!("the expression has {} bytes, {MAX_TEXT} are allowed", text.len());
        return Err(Refused::whole(text, what, "take it apart into several fields, or use `values`"));
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(PARSER_STACK);
        let thread = builder.spawn_scoped(scope, || compile_here(text));
        let Ok(thread) = thread else {
            return Err(Refused::whole(text, "no thread could be started to read it", "free memory and try again"));
        };
        thread.join().unwrap_or_else(|_| Err(Refused::whole(text, "it cannot be read", "simplify the expression")))
    })
}

fn compile_here(text: &str) -> Result<Program, Refused> {
    let tokens = Lexer::new(text).lex().map_err(|errors| {
        let at = errors.first().map_or(0..text.len(), |(_, rest)| pointed(text, rest));
        Refused {
            at,
            what: "this is not jq".into(),
            mend: "check quotes and brackets; a text within a jq expression stands in double quotes".into(),
        }
    })?;
    let parsed = Parser::new(&tokens).parse(Parser::term);
    let term = parsed.map_err(|errors| {
        let Some((expected, found)) = errors.into_iter().next() else {
            return Refused::whole(text, "this is not jq", "check the expression");
        };
        let at = found.map_or(text.len()..text.len(), |token| pointed(text, token.0));
        let met = if at.start >= text.len() { "the end".to_owned() } else { format!("`{}`", &text[at.clone()]) };
        let expected = if expected.as_str() == "nothing" { "the end" } else { expected.as_str() };
        Refused {
            at,
            what: format!("{expected} is expected here, not {met}"),
            mend: "check the expression with jq".into(),
        }
    })?;
    let term = Rewrite { trusted: false }.term(term, 0).map_err(|refusal| Refused::from_refusal(text, refusal))?;

    let mut prelude = definitions_for(&term);
    prelude.push(Def { name: MAIN, args: Vec::new(), body: term });
    let arena = Arena::default();
    let modules = Loader::new(prelude).load(&arena, File { code: MAIN, path: () });
    let modules = modules.map_err(|_| Refused::whole(text, "it cannot be compiled", "simplify the expression"))?;
    let compiled = Compiler::default().with_funs(native::funs()).compile(modules);
    let filter = compiled.map_err(|errors| {
        let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
        let Some((name, undefined)) = first else {
            return Refused::whole(text, "it cannot be compiled", "simplify the expression");
        };
        let at = if within(text, name) { span(text, name) } else { 0..text.len() };
        let mend = "bind it first: `… as $name | …`";
        Refused { at, what: format!("there is no {} `{name}`", undefined.as_str()), mend: mend.into() }
    })?;
    Ok(Program { filter })
}

/// A token's first character, or the end.
fn pointed(text: &str, part: &str) -> Range<usize> {
    if !within(text, part) {
        return text.len()..text.len();
    }
    let start = span(text, part).start;
    let width = text[start..].chars().next().map_or(0, char::len_utf8);
    let word = text[start..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - start);
    start..start + word.max(width)
}

type Definitions = Vec<Def<&'static str>>;

/// jq's definitions, metered, each with the names that it calls. Later ones stand before earlier ones of that name.
static DEFINITIONS: LazyLock<Vec<(Def<&'static str>, BTreeSet<String>)>> = LazyLock::new(|| {
    // These have a cost that their text does not show, and stand in Rust instead.
    let native = [("add", 0), ("join", 1), ("tonumber", 0)];
    let guards: Definitions = parse(native::GUARDS, |parser| parser.defs()).unwrap_or_default();
    let theirs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let theirs = theirs.filter(|definition| !native.contains(&(definition.name, definition.args.len())));
    let metered = guards.into_iter().chain(theirs).filter_map(|definition| {
        let calls = calls(&definition.body);
        Rewrite { trusted: true }.definition(definition).ok().map(|definition| (definition, calls))
    });
    metered.collect()
});

/// Only what a term needs, in order: compiling all of jq for every expression would cost a millisecond each.
fn definitions_for<'s>(term: &Term<&'s str>) -> Vec<Def<&'s str>> {
    let by_name: BTreeMap<&str, Vec<&BTreeSet<String>>> =
        DEFINITIONS.iter().fold(BTreeMap::new(), |mut map, (definition, calls)| {
            map.entry(definition.name).or_insert_with(Vec::new).push(calls);
            map
        });
    let mut wanted = BTreeSet::new();
    let mut open: Vec<String> = calls(term).into_iter().collect();
    while let Some(name) = open.pop() {
        if wanted.insert(name.clone()) {
            open.extend(by_name.get(name.as_str()).into_iter().flatten().flat_map(|calls| calls.iter().cloned()));
        }
    }
    let chosen = DEFINITIONS.iter().filter(|(definition, _)| wanted.contains(definition.name));
    chosen.map(|(definition, _)| definition.clone()).collect()
}

/// Every name that a term calls, found in its printed form: the syntax tree has too many kinds of node to be worth a
/// second walk, and a name too many does no harm.
fn calls(term: &Term<&str>) -> BTreeSet<String> {
    let text = format!("{term:?}");
    text.split('"').filter(|part| part.len() < 32).map(str::to_owned).collect()
}

impl Program {
    /// The one value that the program gives; `None` when it gives none.
    pub(super) fn run(&self, input: Val, source: &str) -> Result<Option<Value>, String> {
        let fuel = Fuel::new();
        let ctx = Ctx::<Metered>::new(Run { lut: &self.filter.lut, fuel: &fuel }, Vars::new([]));
        let mut outputs = self.filter.id.run((ctx, input)).map(unwrap_valr);
        let first = outputs.next();
        let second = first.as_ref().and_then(|first| first.is_ok().then(|| outputs.next())).flatten();
        if fuel.spent() {
            return Err(fuel.why().unwrap_or_default().to_owned());
        }
        match (first, second) {
            (None, _) => Ok(None),
            (Some(Err(error)), _) | (_, Some(Err(error))) => {
                Err(fuel.why().map_or_else(|| tell(&error, source), str::to_owned))
            }
            (Some(Ok(_)), Some(Ok(_))) => {
                Err("the expression gives several values; put it in [ … ] or use first(…)".into())
            }
            (Some(Ok(value)), None) => from_val(&value).map(Some).map_err(str::to_owned),
        }
    }
}

/// jaq's errors quote the values they met. Types are told instead; words only where they stand in the mapping itself.
fn tell(error: &jaq_json::Error, source: &str) -> String {
    let mut text = Bounded::default();
    let whole = write!(text, "{error}").is_ok();
    let text = text.0;
    if let Some(rest) = text.strip_prefix("cannot use ") {
        let wanted = if whole { rest.rsplit_once(" as ").map_or("that", |(_, wanted)| wanted) } else { "another type" };
        return format!("there is {} where {wanted} is expected", looks(rest));
    }
    if let Some(rest) = text.strip_prefix("cannot index ") {
        let with = if whole { rest.rsplit_once(" with ").map(|(_, with)| with) } else { None };
        let with = with.filter(|with| source.contains(with.trim_matches('"')));
        return format!("there is {} that cannot be asked for {}", looks(rest), with.unwrap_or("this"));
    }
    if let Some(rest) = text.strip_prefix("cannot calculate ") {
        return format!("cannot calculate with {} there", looks(rest));
    }
    if whole && !text.is_empty() && source.contains(text.trim_matches('"')) {
        return text.trim_matches('"').to_owned();
    }
    "the expression raised an error".to_owned()
}

/// The type of a value by how it begins in print.
fn looks(printed: &str) -> &'static str {
    match printed.chars().next() {
        Some('"') => "a text",
        Some('{') => "an object",
        Some('[') => "a list",
        Some('n') => "nothing",
        Some('t' | 'f') => "true or false",
        _ => "a number",
    }
}

/// Stops printing a large value early.
#[derive(Default)]
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > 512 {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
