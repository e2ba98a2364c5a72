//! Filters in Rust: the ones that mappings need beyond jq's, and the ones of jq's that must count what they cost.
//!
//! Names that begin with `loopd_` are not for ops: `allow.rs` puts calls of them into compiled expressions.

use std::borrow::Cow;

use chrono::DateTime;
use jaq_core::box_iter::box_once;
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Cv, Exn, RunPtr, ValXs};
use jaq_json::{Error, Num, Val};

use super::fuel::{Fuel, Metered};
use super::html;

type Filter = (&'static str, Box<[jaq_core::Bind]>, RunPtr<Metered>);

/// Every native filter: jaq's, under another name where one of ours stands before it, and ours.
pub(super) fn funs() -> impl Iterator<Item = Fun<Metered>> {
    const GUARDED: [(&str, &str); 5] = [
        ("matches", "loopd_matches"),
        ("split_matches", "loopd_split_matches"),
        ("split_", "loopd_split"),
        ("contains", "loopd_contains"),
        ("indices", "loopd_indices"),
    ];
    let theirs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let theirs = theirs.map(|(name, args, fun)| {
        let renamed = GUARDED.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new);
        (renamed, args, fun)
    });
    theirs.chain(ours().into_iter().map(run::<Metered>))
}

/// Definitions that put a price before jaq's filters. They come before jaq's own definitions, which use them.
pub(super) const GUARDS: &str = "
def matches($re; $flags): loopd_price_regex($re) | loopd_matches($re; $flags);
def split_matches($re; $flags): loopd_price_regex($re) | loopd_split_matches($re; $flags);
def split_($re; $flags): loopd_price_regex($re) | loopd_split($re; $flags);
def contains($other): loopd_price_product($other) | loopd_contains($other);
def indices($other): loopd_price_product($other) | loopd_indices($other);
";

fn ours() -> Vec<Filter> {
    vec![
        ("loopd_made", v(0), |cv| {
            let paid = fuel(&cv).made(&cv.1);
            bome(paid.map(|()| cv.1))
        }),
        ("loopd_walk", v(0), |cv| {
            let paid = fuel(&cv).walk(&cv.1);
            bome(paid.map(|_| cv.1))
        }),
        ("loopd_dive", v(0), |cv| {
            let paid = fuel(&cv).dive(&cv.1);
            bome(paid.map(|_| cv.1))
        }),
        ("loopd_price_product", v(1), |cv| with_argument(cv, price_product)),
        ("loopd_price_regex", v(1), |cv| with_argument(cv, price_regex)),
        ("loopd_times", v(2), times),
        ("loopd_minus", v(2), minus),
        ("add", v(0), |cv| {
            let sum = add(&cv.1, fuel(&cv));
            bome(sum)
        }),
        ("join", v(1), |cv| with_argument(cv, join)),
        ("tonumber", v(0), |cv| {
            let number = tonumber(&cv.1, fuel(&cv));
            bome(number)
        }),
        ("html_to_text", v(0), |cv| on_text(&cv, |text| Ok(Val::utf8_str(html::to_text(text))))),
        ("domain", v(0), |cv| on_text(&cv, |text| Ok(domain(text).map_or(Val::Null, Val::utf8_str)))),
        ("from_epoch", v(0), |cv| {
            let time = from_epoch(&cv.1, fuel(&cv));
            bome(time)
        }),
        ("date", v(0), |cv| on_text(&cv, |text| Ok(Val::utf8_str(text.chars().take(10).collect::<String>())))),
        ("truncate", v(1), |cv| {
            with_argument(cv, |text, most, fuel| {
                let Val::Num(most) = most else { return Err(fuel.blame("truncate(n) takes a number")) };
                let most = most.as_isize().and_then(|most| usize::try_from(most).ok()).unwrap_or(0);
                match text {
                    Val::Null => Ok(Val::Null),
                    Val::TStr(bytes) => Ok(Val::utf8_str(truncate(&String::from_utf8_lossy(&bytes), most))),
                    _ => Err(fuel.blame("truncate takes a text")),
                }
            })
        }),
    ]
}

fn fuel<'a>(cv: &Cv<'a, Metered>) -> &'a Fuel {
    cv.0.data().fuel
}

fn with_argument<'a>(mut cv: Cv<'a, Metered>, f: impl Fn(Val, &Val, &Fuel) -> Result<Val, Error>) -> ValXs<'a, Val> {
    let argument = cv.0.pop_var();
    let fuel = fuel(&cv);
    bome(f(cv.1, &argument, fuel))
}

/// `null` stays `null`; anything else but a text is refused.
fn on_text<'a>(cv: &Cv<'a, Metered>, f: impl Fn(&str) -> Result<Val, &'static str>) -> ValXs<'a, Val> {
    let fuel = fuel(cv);
    let result = match &cv.1 {
        Val::Null => Ok(Val::Null),
        Val::TStr(bytes) => f(&String::from_utf8_lossy(bytes)).map_err(|why| fuel.blame(why)),
        _ => Err(fuel.blame("a text is expected by html_to_text, domain and date")),
    };
    box_once(result.map_err(Exn::from))
}

fn price_product(value: Val, other: &Val, fuel: &Fuel) -> Result<Val, Error> {
    let price = fuel.dive(&value)?.saturating_mul(fuel.dive(other)?);
    fuel.pay(price)?;
    Ok(value)
}

/// jaq's regular expressions take time by the product of text and pattern, where counted repetitions multiply.
fn price_regex(text: Val, pattern: &Val, fuel: &Fuel) -> Result<Val, Error> {
    let (Val::TStr(text_bytes), Val::TStr(pattern)) = (&text, pattern) else {
        return Err(fuel.blame("a text is expected by test, match, capture, scan, split, sub and gsub"));
    };
    let pattern = String::from_utf8_lossy(pattern);
    let mut states = pattern.len() as u64 + 1;
    for counted in pattern.split('{').skip(1) {
        let counts = counted.split('}').next().unwrap_or_default();
        let most = counts.split(',').filter_map(|count| count.trim().parse::<u64>().ok()).max();
        states = states.saturating_mul(most.unwrap_or(1).max(1));
    }
    if states > 20_000 {
        return Err(fuel.blame("the regular expression repeats too often"));
    }
    fuel.pay(states + states.saturating_mul(text_bytes.len() as u64) / 16)?;
    Ok(text)
}

/// jq's `*`, without the repetition of texts.
fn times<'a>(mut cv: Cv<'a, Metered>) -> ValXs<'a, Val> {
    let right = cv.0.pop_var();
    let left = cv.0.pop_var();
    let fuel = fuel(&cv);
    let result = match (&left, &right) {
        (Val::TStr(_) | Val::BStr(_), _) | (_, Val::TStr(_) | Val::BStr(_)) => {
            Err(fuel.blame("a text cannot be multiplied"))
        }
        _ => fuel.dive(&left).and_then(|_| fuel.dive(&right)).and_then(|_| left * right),
    };
    bome(result.and_then(|value| fuel.made(&value).map(|()| value)))
}

/// jq's `-`; between lists it compares each with each.
fn minus<'a>(mut cv: Cv<'a, Metered>) -> ValXs<'a, Val> {
    let right = cv.0.pop_var();
    let left = cv.0.pop_var();
    let fuel = fuel(&cv);
    let price = match (&left, &right) {
        (Val::Arr(_), Val::Arr(_)) => fuel.dive(&left).and_then(|l| Ok(l.saturating_mul(fuel.dive(&right)?))),
        _ => Ok(1),
    };
    bome(price.and_then(|price| fuel.pay(price)).and_then(|()| left - right))
}

fn add(values: &Val, fuel: &Fuel) -> Result<Val, Error> {
    let items: Vec<Val> = match values {
        Val::Arr(items) => items.iter().cloned().collect(),
        Val::Obj(map) => map.values().cloned().collect(),
        _ => return Err(fuel.blame("add takes a list")),
    };
    if !items.is_empty() && items.iter().all(|item| matches!(item, Val::TStr(_))) {
        return join_texts(&items, "", fuel);
    }
    let mut sum = Val::Null;
    for item in items {
        fuel.walk(&item)?;
        fuel.made(&item)?;
        sum = (sum + item)?;
    }
    Ok(sum)
}

fn join(values: Val, separator: &Val, fuel: &Fuel) -> Result<Val, Error> {
    let (Val::Arr(items), Val::TStr(separator)) = (values, separator) else {
        return Err(fuel.blame("join takes a list and a text to put between"));
    };
    join_texts(&items, &String::from_utf8_lossy(separator), fuel)
}

fn join_texts(items: &[Val], separator: &str, fuel: &Fuel) -> Result<Val, Error> {
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push_str(separator);
        }
        match item {
            Val::TStr(part) => text.push_str(&String::from_utf8_lossy(part)),
            Val::Num(_) | Val::Bool(_) => text.push_str(&item.to_string()),
            Val::Null => {}
            _ => return Err(fuel.blame("join takes a list of texts and numbers")),
        }
        fuel.pay(1)?;
        if text.len() > super::value::MAX_OUTPUT {
            return Err(fuel.blame(super::fuel::TOO_BIG));
        }
    }
    Ok(Val::utf8_str(text))
}

fn tonumber(value: &Val, fuel: &Fuel) -> Result<Val, Error> {
    match value {
        Val::Num(_) => Ok(value.clone()),
        Val::TStr(bytes) if bytes.len() <= 64 => {
            let text = String::from_utf8_lossy(bytes);
            let text = text.trim();
            if let Ok(int) = text.parse::<isize>() {
                return Ok(Val::Num(Num::Int(int)));
            }
            let float = text.parse::<f64>().ok().filter(|float| float.is_finite());
            float.map(|float| Val::Num(Num::Float(float))).ok_or_else(|| fuel.blame("this text is not a number"))
        }
        _ => Err(fuel.blame("only a text or a number can become a number")),
    }
}

/// The domain of an email address or a URL.
fn domain(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let host = text.rsplit_once("://").map_or(text.as_str(), |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, domain)| domain);
    let host = host.split(':').next()?.trim_matches('.');
    let host = host.strip_prefix("www.").unwrap_or(host);
    let good = host.contains('.') && !host.contains(|c: char| c.is_whitespace());
    good.then(|| host.to_owned())
}

/// Seconds or milliseconds since 1970 as RFC 3339 in UTC. What is beyond the year 5138 in seconds is milliseconds.
fn from_epoch(value: &Val, fuel: &Fuel) -> Result<Val, Error> {
    const SECONDS_END: i64 = 100_000_000_000;
    let number = match value {
        Val::Null => return Ok(Val::Null),
        Val::Num(Num::Int(int)) => Some(*int as f64),
        Val::Num(Num::Float(float)) => Some(*float),
        Val::Num(Num::Dec(text)) => text.parse().ok(),
        Val::TStr(bytes) if bytes.len() <= 32 => String::from_utf8_lossy(bytes).trim().parse().ok(),
        _ => None,
    };
    let bad = || fuel.blame("from_epoch takes seconds or milliseconds since 1970");
    let number = number.filter(|number: &f64| number.is_finite() && number.abs() < 1e15).ok_or_else(bad)?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
    let millis = if number.abs() < SECONDS_END as f64 { (number * 1000.0).round() as i64 } else { number as i64 };
    let time = DateTime::from_timestamp_millis(millis).ok_or_else(bad)?;
    Ok(Val::utf8_str(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)))
}

/// At most `most` characters, ended by `…` where something was cut; at a word's end if one is near.
pub(crate) fn truncate(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(1) else { return String::new() };
    let head: Cow<'_, str> = text.chars().take(room).collect::<String>().into();
    let word = head.rfind(char::is_whitespace).filter(|at| *at * 10 >= head.len() * 8);
    format!("{}…", head[..word.unwrap_or(head.len())].trim_end())
}
