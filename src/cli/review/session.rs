//! One thing at a time, by keys: a letter and enter.

use std::collections::BTreeSet;

use super::super::admin::{self, AnswerReview, AskReview, Outcome};
use super::show::whole;
use crate::cli::Out;
use crate::review::queue::{Kind, Waiting};

/// Whom the session talks to.
pub(super) trait Talk {
    fn ask(&mut self, ask: AskReview) -> anyhow::Result<AnswerReview>;
    /// A line that the person types; `None`: they are gone.
    fn read(&mut self, prompt: &str) -> Option<String>;
    fn say(&mut self, text: &str);
    fn show(&mut self, waiting: &Waiting);
}

pub(super) struct Terminal<'a> {
    pub(super) out: &'a Out,
}

impl Talk for Terminal<'_> {
    fn ask(&mut self, ask: AskReview) -> anyhow::Result<AnswerReview> {
        super::ask(self.out, ask)
    }

    fn read(&mut self, prompt: &str) -> Option<String> {
        let typed = self.out.ask(prompt)?;
        // Ctrl-D.
        Some(typed)
    }

    fn say(&mut self, text: &str) {
        self.out.line(text);
    }

    fn show(&mut self, waiting: &Waiting) {
        self.out.line(whole(waiting, self.out));
    }
}

/// Things that are fetched at once.
const PAGE: usize = 20;

const HELP: &str = "\
  enter, a   accept what is suggested, all of it
  a FIELD…   accept these fields only
  c FIELD    correct a field: choose from its vocabulary, or type a value
  o, t       of a conflict: ours or theirs stands
  m          of a proposal: do it (merge, or verify a theme)
  p          of a proposal: do the split
  r          of a proposal: no, and never again
  s          skip: it comes again the next time
  u          undo what you said last
  q          quit";

/// What was said last, to be undone.
enum Last {
    Item(String),
    Proposal(u64),
}

enum Next {
    /// Something else.
    On,
    /// The same thing again.
    Stay,
    Quit,
}

/// What tells one thing from another.
fn key(waiting: &Waiting) -> String {
    match waiting.number {
        Some(number) => format!("{} {number}", waiting.kind.name()),
        None => format!("{} {}", waiting.kind.name(), waiting.item.short_id),
    }
}

/// Until nothing waits, or the person has enough.
pub(super) fn run(talk: &mut dyn Talk) -> anyhow::Result<()> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut last: Option<Last> = None;
    let mut done = 0_usize;
    if let AnswerReview::Counts(counts) = talk.ask(AskReview::Counts)? {
        let mut waits = vec![format!("{} items with suggestions", counts.items)];
        waits.push(format!("{} conflicts", counts.conflicts));
        waits.push(format!("{} proposals", counts.proposals));
        talk.say(&format!("Waiting: {}. `?` tells the keys.", waits.join(", ")));
        if counts.messages > 0 {
            talk.say(&format!("{} messages to customers wait as well: `loopd close`", counts.messages));
        }
    }
    loop {
        let page = AskReview::List { kind: None, limit: PAGE + seen.len() };
        let AnswerReview::Waiting(waiting) = talk.ask(page)? else {
            anyhow::bail!("another answer than was asked for")
        };
        let Some(one) = waiting.into_iter().find(|waiting| !seen.contains(&key(waiting))) else {
            talk.say(if done == 0 { "Nothing else waits." } else { "Nothing else waits. Thank you." });
            return Ok(());
        };
        talk.show(&one);
        loop {
            let Some(typed) = talk.read(prompt(&one)) else { return Ok(()) };
            match answer(talk, &one, &typed, &mut last)? {
                Next::On => {
                    seen.insert(key(&one));
                    done += 1;
                    break;
                }
                Next::Stay => {}
                Next::Quit => return Ok(()),
            }
        }
    }
}

fn prompt(waiting: &Waiting) -> &'static str {
    match waiting.kind {
        Kind::Suggestions => "[enter] accept · c correct · s skip · u undo · q quit · ? >",
        Kind::Conflict => "o ours · t theirs · s skip · q quit · ? >",
        Kind::Proposal => "m do it · r refuse · s skip · u undo · q quit · ? >",
    }
}

fn answer(talk: &mut dyn Talk, one: &Waiting, typed: &str, last: &mut Option<Last>) -> anyhow::Result<Next> {
    let mut words = typed.split_whitespace();
    let (letter, rest) = (words.next().unwrap_or_default(), words.map(str::to_owned).collect::<Vec<_>>());
    let by = admin::person();
    let item = one.item.id.map_or_else(|| one.item.short_id.clone(), |id| id.to_string());
    match (letter, one.kind, one.number) {
        ("q", ..) => Ok(Next::Quit),
        ("s", ..) => Ok(Next::On),
        ("?" | "h", ..) => {
            talk.say(HELP);
            Ok(Next::Stay)
        }
        ("u", ..) => {
            let order = match last.take() {
                Some(Last::Item(item)) => AskReview::Reopen { item, by },
                Some(Last::Proposal(number)) => AskReview::Undo { number, by },
                None => {
                    talk.say("  nothing was said yet");
                    return Ok(Next::Stay);
                }
            };
            done(talk, order)?;
            Ok(Next::Stay)
        }
        ("" | "a", Kind::Suggestions, _) => {
            let all = rest.is_empty();
            let accepted = done(talk, AskReview::Accept { item: item.clone(), fields: rest, by })?;
            if accepted {
                *last = Some(Last::Item(item));
            }
            Ok(if accepted && all { Next::On } else { Next::Stay })
        }
        ("c", Kind::Suggestions, _) => {
            if correct(talk, one, &item, rest)? {
                *last = Some(Last::Item(item));
            }
            // The rest of what is suggested may still be accepted.
            Ok(Next::Stay)
        }
        ("o" | "t", Kind::Conflict, Some(number)) => {
            let decided = done(talk, AskReview::Decide { number, ours: letter == "o", by })?;
            Ok(if decided { Next::On } else { Next::Stay })
        }
        ("m" | "p", Kind::Proposal, Some(number)) => {
            let merged = done(talk, AskReview::Merge { number, by })?;
            if merged {
                *last = Some(Last::Proposal(number));
            }
            Ok(if merged { Next::On } else { Next::Stay })
        }
        ("r", Kind::Proposal, Some(number)) => {
            let refused = done(talk, AskReview::Refuse { number, by })?;
            Ok(if refused { Next::On } else { Next::Stay })
        }
        (other, ..) => {
            let other = if other.is_empty() { "enter" } else { other };
            talk.say(&format!("  {other} means nothing here; ? tells the keys"));
            Ok(Next::Stay)
        }
    }
}

/// Asks for field and value, and says so.
fn correct(talk: &mut dyn Talk, one: &Waiting, item: &str, words: Vec<String>) -> anyhow::Result<bool> {
    let mut words = words.into_iter();
    let known: Vec<&str> = one.suggestions.iter().map(|said| said.field.as_str()).collect();
    let field = match words.next() {
        Some(field) => field,
        None => match talk.read(&format!("  which field? ({}) >", known.join(", "))) {
            Some(field) if !field.is_empty() => field,
            _ => return Ok(false),
        },
    };
    let value = words.collect::<Vec<_>>().join(" ");
    let value = if value.is_empty() {
        let choices = match talk.ask(AskReview::Choices { field: field.clone() })? {
            AnswerReview::Choices(choices) => choices,
            _ => Vec::new(),
        };
        for (number, choice) in choices.iter().enumerate() {
            talk.say(&format!("  {:>2}  {choice}", number + 1));
        }
        let prompt = if choices.is_empty() { "  value, or - for none >" } else { "  number or value, - for none >" };
        let Some(typed) = talk.read(prompt).filter(|typed| !typed.is_empty()) else { return Ok(false) };
        let chosen = typed.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
        chosen.cloned().unwrap_or(typed)
    } else {
        value
    };
    done(talk, AskReview::Correct { item: item.to_owned(), field, value, by: admin::person() })
}

/// Gives an order, and tells what became of it.
fn done(talk: &mut dyn Talk, order: AskReview) -> anyhow::Result<bool> {
    let AnswerReview::Outcome(Outcome { what, failed }) = talk.ask(order)? else {
        anyhow::bail!("another answer than was asked for")
    };
    match &failed {
        None => talk.say(&format!("  {what}")),
        Some(why) => talk.say(&format!("  not done: {why}")),
    }
    Ok(failed.is_none())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::review::queue::{Card, Counts, Suggested};

    struct Script {
        typed: Vec<&'static str>,
        asked: Vec<AskReview>,
        said: Vec<String>,
    }

    fn suggestions(id: &str) -> Waiting {
        Waiting {
            kind: Kind::Suggestions,
            score: 1.0,
            since: DateTime::UNIX_EPOCH,
            number: None,
            item: Card { short_id: id.into(), title: "A title".into(), text: "It crashes.".into(), ..Card::default() },
            suggestions: vec![Suggested {
                field: "category".into(),
                path: "tags.category".into(),
                value: json!("bug"),
                shown: "bug".into(),
                stands: true,
                confidence: 0.8,
                because: Some("\"crashes\"".into()),
                model: "offline-1".into(),
                prompt: None,
            }],
            conflict: None,
            proposal: None,
        }
    }

    impl Talk for Script {
        fn ask(&mut self, ask: AskReview) -> anyhow::Result<AnswerReview> {
            self.asked.push(ask.clone());
            Ok(match ask {
                AskReview::Counts => AnswerReview::Counts(Counts { items: 3, messages: 1, ..Counts::default() }),
                AskReview::List { .. } => {
                    AnswerReview::Waiting(vec![suggestions("FB-1"), suggestions("FB-2"), suggestions("FB-3")])
                }
                AskReview::Choices { .. } => AnswerReview::Choices(vec!["bug".into(), "praise".into()]),
                _ => AnswerReview::Outcome(Outcome { what: "done".into(), failed: None }),
            })
        }

        fn read(&mut self, _: &str) -> Option<String> {
            if self.typed.is_empty() { None } else { Some(self.typed.remove(0).to_owned()) }
        }

        fn say(&mut self, text: &str) {
            self.said.push(text.to_owned());
        }

        fn show(&mut self, waiting: &Waiting) {
            self.said.push(whole(waiting, &Out::new(None, false, false, 0)));
        }
    }

    fn play(typed: &[&'static str]) -> Script {
        let mut script = Script { typed: typed.to_vec(), asked: Vec::new(), said: Vec::new() };
        run(&mut script).expect("it ends");
        script
    }

    fn orders(script: &Script) -> Vec<String> {
        let looks =
            |ask: &&AskReview| !matches!(ask, AskReview::Counts | AskReview::List { .. } | AskReview::Choices { .. });
        script
            .asked
            .iter()
            .filter(looks)
            .map(|ask| match ask {
                AskReview::Accept { item, fields, .. } => format!("accept {item} {}", fields.join(" ")),
                AskReview::Correct { item, field, value, .. } => format!("correct {item} {field} {value}"),
                AskReview::Reopen { item, .. } => format!("reopen {item}"),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn one_after_the_other_until_nothing_waits() {
        let script = play(&["", "s", "a", "never read"]);
        assert_eq!(orders(&script), ["accept FB-1 ", "accept FB-3 "]);
        assert!(script.said.iter().any(|said| said.contains("Thank you")));
        assert!(script.said.iter().any(|said| said.contains("loopd close")), "messages are counted");
        assert_eq!(script.typed, ["never read"]);
    }

    #[test]
    fn a_field_is_corrected_by_its_number_or_a_word() {
        let script = play(&["c category", "2", "c", "severity", "low", "c product the console", "", "q"]);
        let expected = [
            "correct FB-1 category praise",
            "correct FB-1 severity low",
            "correct FB-1 product the console",
            "accept FB-1 ",
        ];
        assert_eq!(orders(&script), expected);
    }

    #[test]
    fn what_was_said_last_can_be_taken_back() {
        let script = play(&["u", "a category", "u", "u", "x", "?", "q"]);
        assert_eq!(orders(&script), ["accept FB-1 category", "reopen FB-1"]);
        assert!(script.said.iter().any(|said| said.contains("means nothing here")));
        assert!(script.said.iter().any(|said| said.contains("never again")), "the keys are told");
    }
}
