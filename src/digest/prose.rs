//! The digest in loopd's own words: Markdown that needs no model, and the frame around a model's text.
//!
//! The law: under 500 words, whatever the week was. What is least needed goes first; what waits for a decision stays.

use chrono::{Datelike, NaiveDate};

use super::role::{Section, sections};
use super::week::{Change, Decide, Decision, Role, Said, Signal, ThemeLine, Week, Win};
use crate::report::coverage::Gap;

/// The words of a digest are fewer.
pub const WORDS: usize = 500;

/// A digest before it is one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sheet {
    pub title: String,
    pub intro: String,
    pub parts: Vec<Part>,
    pub quotes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part {
    pub title: &'static str,
    /// Before its points, or instead of them.
    pub lead: Option<String>,
    pub points: Vec<Point>,
    numbered: bool,
    /// Its points go last.
    needed: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub text: String,
    /// What can be left out.
    pub more: Option<String>,
}

impl From<String> for Point {
    fn from(text: String) -> Self {
        Self { text, more: None }
    }
}

/// The whole digest, in our words.
pub fn offline(week: &Week) -> String {
    let mut sheet = Sheet { title: title(week), intro: intro(week), parts: Vec::new(), quotes: quotes(week) };
    for section in sections(week.role) {
        // A quiet week needs no list of what did not happen.
        if week.items.now == 0 && matches!(section, Section::Themes | Section::Signals) {
            continue;
        }
        sheet.parts.push(part(week, section));
    }
    sheet.fit()
}

pub(super) fn title(week: &Week) -> String {
    format!("# Voice of Customer, week {} of {}: {}", week.number, week.year, for_whom(week.role))
}

fn for_whom(role: Role) -> &'static str {
    match role {
        Role::Leadership => "for leadership",
        Role::Pm => "for product managers",
        Role::Engineering => "for engineering",
        Role::Sales => "for sales",
    }
}

/// A part in a model's words.
pub(super) fn told(week: &Week, section: Section, text: String) -> Part {
    Part { title: section.title(week.role), lead: Some(text), ..Part::default() }
}

impl Sheet {
    pub(super) fn render(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.title, self.intro);
        for part in &self.parts {
            text.push_str(&format!("\n## {}\n\n", part.title));
            if let Some(lead) = &part.lead {
                text.push_str(lead);
                text.push('\n');
                if !part.points.is_empty() {
                    text.push('\n');
                }
            }
            for (at, point) in part.points.iter().enumerate() {
                let mark = if part.numbered { format!("{}.", at + 1) } else { "-".to_owned() };
                let more = point.more.as_ref().map(|more| format!(" {more}")).unwrap_or_default();
                text.push_str(&format!("{mark} {}{more}\n", point.text));
            }
        }
        if !self.quotes.is_empty() {
            text.push_str("\n## In their words\n");
            for quote in &self.quotes {
                text.push_str(&format!("\n{quote}\n"));
            }
        }
        text
    }

    /// Leaves out what is least needed until it is short enough.
    fn fit(mut self) -> String {
        loop {
            let text = self.render();
            if words(&text) < WORDS || !self.shorten() {
                return text;
            }
        }
    }

    fn shorten(&mut self) -> bool {
        if self.quotes.len() > 2 {
            return self.quotes.pop().is_some();
        }
        let longest = |part: &&mut Part| part.points.len() > 1 && !part.needed;
        if let Some(part) = self.parts.iter_mut().rev().find(longest) {
            return part.points.pop().is_some();
        }
        let mut points = self.parts.iter_mut().rev().flat_map(|part| part.points.iter_mut().rev());
        if let Some(point) = points.find(|point| point.more.is_some()) {
            point.more = None;
            return true;
        }
        if let Some(part) = self.parts.iter_mut().skip(1).rev().find(|part| !part.points.is_empty() && !part.needed) {
            return part.points.pop().is_some();
        }
        if self.quotes.pop().is_some() {
            return true;
        }
        self.parts.iter_mut().rev().find(|part| !part.points.is_empty()).is_some_and(|part| part.points.pop().is_some())
    }
}

pub(super) fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn pieces(count: usize) -> String {
    counted(count, "piece", "pieces")
}

fn customers(count: usize) -> String {
    counted(count, "customer", "customers")
}

/// "16 to 22 November 2026"
fn days(week: &Week) -> String {
    let (from, until) = (week.from, week.until);
    match (from.year() == until.year(), from.month() == until.month()) {
        (true, true) => format!("{} to {}", from.day(), long_day(until)),
        (true, false) => format!("{} to {}", short_day(from), long_day(until)),
        (false, _) => format!("{} to {}", long_day(from), long_day(until)),
    }
}

fn short_day(day: NaiveDate) -> String {
    day.format("%-d %B").to_string()
}

fn long_day(day: NaiveDate) -> String {
    day.format("%-d %B %Y").to_string()
}

fn intro(week: &Week) -> String {
    let mut text = days(week);
    let before = week.items.before;
    if week.items.now == 0 {
        let so_far = if week.running { " so far" } else { "" };
        let after = match before {
            0 => String::new(),
            before => format!(", after {} the week before", pieces(before)),
        };
        text.push_str(&format!(". Nobody was heard{so_far}{after}."));
        return text;
    }
    text.push_str(&format!(". {} of feedback", pieces(week.items.now)));
    match (week.customers.now, &week.arr_heard) {
        (0, _) => text.push_str(", from nobody whom loopd knows as a customer"),
        (count, Some(arr)) => text.push_str(&format!(" from {} with {arr} ARR", customers(count))),
        (count, None) => text.push_str(&format!(" from {}", customers(count))),
    }
    match (week.running, week.first) {
        (true, _) => text.push_str(" so far: the week has not ended."),
        (false, true) => text.push_str(". It is the first week that was heard, so there is nothing to compare with."),
        (false, false) => text.push_str(&format!(", {}.", against_before(week.items))),
    }
    let mut told = Vec::new();
    if week.defects > 0 {
        told.push(format!("{} of something that hurts", tell(week.defects)));
    }
    if week.praise > 0 {
        told.push(format!("{} of something that pleases", tell(week.praise)));
    }
    if week.unsorted > 0 {
        let belong = if week.unsorted == 1 { "belongs" } else { "belong" };
        told.push(format!("{} {belong} to no theme yet", week.unsorted));
    }
    if let Some(last) = told.pop() {
        let list = if told.is_empty() { last } else { format!("{} and {last}", told.join(", ")) };
        text.push_str(&format!(" {list}."));
    }
    text
}

fn tell(count: usize) -> String {
    if count == 1 { "1 tells".into() } else { format!("{count} tell") }
}

fn against_before(change: Change) -> String {
    match (change.before, change.change) {
        (0, _) => "where the week before had none".into(),
        (_, 0) => "as many as the week before".into(),
        (_, more @ 1..) => format!("{more} more than the week before"),
        (_, less) => format!("{} fewer than the week before", less.unsigned_abs()),
    }
}

pub(super) fn part(week: &Week, section: Section) -> Part {
    let mut part = Part { title: section.title(week.role), ..Part::default() };
    match section {
        Section::Decisions => {
            part.needed = true;
            part.points = week.decisions.iter().map(|decision| decision_line(decision).into()).collect();
            if part.points.is_empty() {
                part.lead = Some("Nothing waits for a decision.".into());
            }
        }
        Section::Themes => {
            (part.numbered, part.needed) = (true, true);
            part.points = week.themes.iter().map(|theme| theme_line(week, theme)).collect();
            let ranked = week.themes.iter().all(|theme| theme.arr.is_none());
            part.lead = match (week.themes.is_empty(), ranked) {
                (true, _) => Some("No theme was spoken of.".into()),
                (false, true) => Some("No revenue is known, so customers count.".into()),
                (false, false) => None,
            };
        }
        Section::Signals => {
            part.lead = Some(signals_lead(week));
            part.points = week.signals.iter().map(|signal| signal_line(signal).into()).collect();
        }
        Section::Gaps => {
            part.points = week.gaps.iter().map(|gap| gap_line(week, gap).into()).collect();
            if part.points.is_empty() {
                part.lead = Some(format!("No gap shows in the last {} days.", week.gap_days));
            }
        }
        Section::Wins => {
            part.points = week.wins.iter().map(|win| win_line(win).into()).collect();
            part.lead = match (week.wins.is_empty(), week.praise) {
                (true, 0) => Some("Nothing shipped, and nobody sent praise.".into()),
                (true, praise) => Some(format!("Nothing shipped; {} of praise came in.", pieces(praise))),
                (false, 0) => None,
                (false, praise) => Some(format!("{} of praise came in.", pieces(praise))),
            };
        }
    }
    part
}

/// ", 5 customers, 84k ARR", as far as it is known.
fn behind(decision: &Decision) -> String {
    match (decision.customers, &decision.arr) {
        (0, _) => String::new(),
        (count, Some(arr)) => format!(" from {} with {arr} ARR", customers(count)),
        (count, None) => format!(" from {}", customers(count)),
    }
}

fn decision_line(decision: &Decision) -> String {
    let id = decision.id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
    let count = decision.count;
    match (decision.what, &decision.name) {
        (Decide::Churn, Some(name)) => {
            let arr = decision.arr.as_ref().map(|arr| format!(", {arr} ARR")).unwrap_or_default();
            format!("**Who calls {}{arr}?** They speak of leaving{id}.", md(name))
        }
        (Decide::Churn, None) => format!("**Who finds out who speaks of leaving?** The customer is not known{id}."),
        (Decide::Critical, Some(name)) => {
            format!("**When is “{}” fixed?** Critical and open{id}{}.", md(name), behind(decision))
        }
        (Decide::Critical, None) => {
            format!("**What comes first of {} pieces that are critical?** All are open{}{id}.", count, behind(decision))
        }
        (Decide::Verify, name) => format!(
            "**Does “{}” hold?** The hypothesis{id} has {}{}.",
            md(name.as_deref().unwrap_or_default()),
            pieces(count),
            behind(decision)
        ),
        (Decide::Messages, _) => {
            format!("**{} to customers: send or drop?** See `loopd close`.", counted(count, "answer", "answers"))
        }
        (Decide::Proposals, _) => {
            format!(
                "**{} of merges and splits: yes or no?** See `loopd review`.",
                counted(count, "proposal", "proposals")
            )
        }
        (Decide::Conflicts, _) => {
            format!("**{}: whose word stands?** See `loopd review`.", counted(count, "contradiction", "contradictions"))
        }
        (Decide::Customers, _) => format!(
            "**{} that may be one: are they?** See `loopd customers review`.",
            counted(count, "pair of customers", "pairs of customers")
        ),
    }
}

fn theme_line(week: &Week, theme: &ThemeLine) -> Point {
    let mut text = format!("**{}** ({}): {}", md(&theme.name), theme.id, pieces(theme.items.now));
    match (theme.customers, &theme.arr) {
        (0, _) => {}
        (count, Some(arr)) => text.push_str(&format!(" from {} with {arr} ARR", customers(count))),
        (count, None) => text.push_str(&format!(" from {}", customers(count))),
    }
    if !week.running && !week.first {
        match (theme.items.before, theme.all_items == theme.items.now) {
            (0, true) => text.push_str(", new this week"),
            _ => text.push_str(&format!(", {}", against_before(theme.items))),
        }
    }
    text.push('.');
    if week.role == Role::Engineering && theme.defects > 0 {
        let critical = if theme.critical > 0 { format!(", {} critical", theme.critical) } else { String::new() };
        text.push_str(&format!(" Broken or painful: {}{critical}.", theme.defects));
    }
    let job = theme.job.as_ref().filter(|_| week.role == Role::Pm);
    let more = job.or(theme.statement.as_ref()).map(|text| format!("_{}._", md(text.trim_end_matches('.'))));
    Point { text, more }
}

fn signals_lead(week: &Week) -> String {
    let others = week.signals.iter().filter(|signal| !signal.is_churn()).count();
    match (week.churning, &week.churning_arr) {
        (0, _) if others > 0 => "Nobody speaks of leaving; these show other signs.".into(),
        (0, _) => "Nobody speaks of leaving.".into(),
        (1, Some(arr)) => format!("1 customer with {arr} ARR speaks of leaving."),
        (1, None) => "1 customer speaks of leaving.".into(),
        (count, Some(arr)) => format!("{} speak of leaving; they have {arr} ARR.", customers(count)),
        (count, None) => format!("{} speak of leaving.", customers(count)),
    }
}

fn signal_line(signal: &Signal) -> String {
    let mut about: Vec<String> = signal.arr.iter().map(|arr| format!("{arr} ARR")).collect();
    about.extend(signal.tier.iter().chain(&signal.segment).map(|name| md(name)));
    let who = match &signal.customer {
        Some(name) => format!("**{}**", md(name)),
        None => "**A customer**".into(),
    };
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    let kinds: Vec<String> = signal
        .kinds
        .iter()
        .map(|kind| match (kind.as_str(), &signal.competitor) {
            ("competitor", Some(name)) => format!("competitor {}", md(name)),
            (kind, _) => md(kind),
        })
        .collect();
    let quote = signal.quote.as_ref().map(|quote| format!(": “{quote}”")).unwrap_or_default();
    format!("{who}{about}: {} in {}{quote}", kinds.join(", "), signal.item)
}

fn gap_line(week: &Week, gap: &Gap) -> String {
    let what = match gap.of.as_str() {
        "product" => "Product",
        "source" => "Source",
        _ => "Segment",
    };
    let name = format!("**{what} {}**", md(&gap.name));
    if gap.items == 0 && gap.customers == 0 {
        return format!("{name}: nobody has spoken of it.");
    }
    let voice = match gap.items {
        0 => format!("nothing was said in {} days", week.gap_days),
        _ => format!("{}% of what was said in {} days", gap.share_of_items, week.gap_days),
    };
    match gap.share_of_arr {
        Some(arr) => format!("{name}: {arr}% of ARR, {}% of customers, {voice}.", gap.share_of_customers),
        None => format!("{name}: {}% of customers, {voice}.", gap.share_of_customers),
    }
}

fn win_line(win: &Win) -> String {
    let mut text = format!("**{}** shipped on {} ({})", md(&win.name), short_day(win.on), win.id);
    match (win.customers, &win.arr) {
        (0, _) => {}
        (count, Some(arr)) => text.push_str(&format!(", asked for by {} with {arr} ARR", customers(count))),
        (count, None) => text.push_str(&format!(", asked for by {}", customers(count))),
    }
    if !win.names.is_empty() {
        let names: Vec<String> = win.names.iter().map(|name| md(name)).collect();
        let more = if win.customers > names.len() { ", and more" } else { "" };
        text.push_str(&format!(": {}{more}", names.join(", ")));
    }
    text.push('.');
    text
}

pub(super) fn quotes(week: &Week) -> Vec<String> {
    week.quotes.iter().map(quote).collect()
}

fn quote(said: &Said) -> String {
    let mut who: Vec<String> = said.customer.iter().map(|name| md(name)).collect();
    who.extend(said.tier.iter().chain(&said.segment).map(|name| md(name)));
    if said.customer.is_none() {
        who.insert(0, "a customer".into());
    }
    format!("> {}\n>\n> {}, {}", said.text, who.join(", "), said.item)
}

/// What people called something, where Markdown would read more into it.
fn md(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '_' | '`' | '[' | ']' | '<' | '>' | '\\' | '#' | '|') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
