//! What the demo's other sources hold: a line says in `source` where it was said.
//!
//! | source | becomes |
//! |---|---|
//! | `slack` | a message that somebody marks with an emoji, also below another one; or what is typed after `/feedback` |
//! | `granola` | a call, with its notes |
//! | `typeform` | a response to the survey |
//! | `app` | a post to the daemon's `/v1/feedback` |
//! | `salesforce` | an account, with what sales wrote into its opportunities |
//! | `segment` | so many uses of a feature by one person of an account |

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub name: String,
    pub email: String,
}

/// A Slack message, or a command where it has no `emoji`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    pub channel: String,
    /// The domain of the customer whose channel it is. None: a channel of ours.
    #[serde(default)]
    pub of: Option<String>,
    /// Whether that company is in it with its own workspace (Slack Connect): then nobody has to say whose it is.
    #[serde(default)]
    pub connect: bool,
    pub author: Person,
    /// The reaction that captures it.
    #[serde(default)]
    pub emoji: Option<String>,
    /// What it answers, in a thread.
    #[serde(default)]
    pub below: Option<String>,
    pub text: String,
}

/// A Granola call. The first of the people is ours and owns the note.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub title: String,
    pub people: Vec<Person>,
    /// `me` or `them`, and what was said.
    pub said: Vec<(String, String)>,
    pub summary: String,
}

/// A Typeform response: an NPS score and why.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub email: String,
    pub score: u8,
    #[serde(default)]
    pub why: Option<String>,
}

/// The body of a post to `/v1/feedback`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    pub post: Map<String, Value>,
}

/// A Salesforce account, and its opportunities.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub name: String,
    pub website: String,
    #[serde(default)]
    pub industry: Option<String>,
    #[serde(default)]
    pub arr: Option<f64>,
    #[serde(default)]
    pub deals: Vec<Deal>,
}

/// What sales wrote into an opportunity: each of the three is a thing said.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deal {
    pub name: String,
    pub stage: String,
    #[serde(default)]
    pub blockers: Option<String>,
    #[serde(default)]
    pub wants: Option<String>,
    #[serde(default)]
    pub wins: Option<String>,
}

impl Deal {
    /// What was written, by the name that loopd gives it.
    pub fn said(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("blockers", &self.blockers), ("wants", &self.wants), ("wins", &self.wins)]
            .into_iter()
            .filter_map(|(about, text)| Some((about, text.as_deref()?)))
    }
}

/// Somebody uses a feature.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// The id by which our own systems know the company.
    pub account: String,
    pub user: String,
    pub feature: String,
    pub times: u64,
}

/// A line of one of these sources.
#[derive(Clone, Debug, PartialEq)]
pub enum Voice {
    Chat(Chat),
    Call(Call),
    Answer(Answer),
    Post(Post),
    Account(Account),
    Usage(Usage),
}

type Wrong = (String, &'static str);

/// `None`: another source.
pub(super) fn read(source: &str, mut line: Map<String, Value>) -> Option<Result<Voice, Wrong>> {
    line.remove("source");
    let line = Value::Object(line);
    Some(match source {
        "slack" => of(
            line,
            Voice::Chat,
            "a Slack message needs channel, author {name, email} and text; of, connect, emoji and below may be there",
        ),
        "granola" => of(
            line,
            Voice::Call,
            "a call needs title, people [{name, email}], said [[\"me\" or \"them\", text]] and summary",
        )
        .and_then(call),
        "typeform" => {
            of(line, Voice::Answer, "a response needs email and score, 0 to 10; why may be there").and_then(answer)
        }
        "app" => of(line, Voice::Post, "a post needs post, the body of POST /v1/feedback"),
        "salesforce" => of(
            line,
            Voice::Account,
            "an account needs name and website; industry, arr and deals [{name, stage, blockers, wants, wins}] may be there",
        ),
        "segment" => of(line, Voice::Usage, "usage needs account, user, feature and times"),
        _ => return None,
    })
}

fn of<T: serde::de::DeserializeOwned>(line: Value, made: fn(T) -> Voice, mend: &'static str) -> Result<Voice, Wrong> {
    T::deserialize(line).map(made).map_err(|error| (error.to_string(), mend))
}

fn call(voice: Voice) -> Result<Voice, Wrong> {
    match &voice {
        Voice::Call(call) if call.people.is_empty() => {
            Err(("people: nobody was there".into(), "the first of the people is ours and owns the note"))
        }
        _ => Ok(voice),
    }
}

fn answer(voice: Voice) -> Result<Voice, Wrong> {
    match &voice {
        Voice::Answer(answer) if answer.score > 10 => {
            Err((format!("score: {} is none", answer.score), "write a number from 0 to 10"))
        }
        _ => Ok(voice),
    }
}

/// What follows the `@`, or the host of an address without `www.`.
pub(super) fn domain(address: &str) -> Option<String> {
    let host = address.rsplit_once('@').map_or(address, |(_, host)| host);
    let host = host.split("://").last()?.split(['/', '?', '#']).next()?.trim().to_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    host.contains('.').then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_what_follows_the_at_or_the_host() {
        for (address, wanted) in [
            ("ada@Lumen.example.com", Some("lumen.example.com")),
            ("https://www.lumen.example.com/about?x=1", Some("lumen.example.com")),
            ("lumen.example.com", Some("lumen.example.com")),
            ("lumen", None),
            ("", None),
        ] {
            assert_eq!(domain(address).as_deref(), wanted, "{address}");
        }
    }

    #[test]
    fn a_deal_says_what_was_written_into_it() {
        let deal = Deal { name: "d".into(), stage: "s".into(), blockers: None, wants: Some("w".into()), wins: None };
        assert_eq!(deal.said().collect::<Vec<_>>(), [("wants", "w")]);
    }
}
