//! Customers speak, each where they usually do; and what was there before them: companies, accounts, channels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connectors::http::{Reqwest, Transport as _};
use http::{Request, StatusCode, header};
use sandbox::World;
use sandbox::github::NewIssue;
use sandbox::granola::NewCall;
use sandbox::intercom::NewCompany;
use sandbox::typeform::NewResponse;
use serde_json::{Map, Value, json};

use super::feed::{Company, Feed, Known, Talk, Thread};
use super::settings::Names;
use super::stage::{APP_KEY, FORM, OURS, WRITE_KEY};
use super::voices::{Account, Answer, Call, Chat, Post, Usage, Voice, domain};
use crate::schema::EntityId;

/// Something that was said, where, and by which company.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fed {
    pub connection: &'static str,
    pub collection: &'static str,
    pub outside: String,
    /// The company's domain, where the feed says more of it than that.
    pub company: Option<String>,
}

impl Fed {
    /// The id that loopd derives for it.
    pub(super) fn entity(&self) -> EntityId {
        EntityId::derive(self.connection, self.collection, &self.outside)
    }

    /// Whether loopd can answer there: a command is answered at once, and of a call or a form nobody waits for word.
    pub(super) fn is_answered(&self) -> bool {
        matches!(
            (self.connection, self.collection),
            ("github", "issue") | ("intercom", "conversation") | ("slack", "message")
        )
    }
}

/// What is said next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Saying<'f> {
    Thread(&'f Thread),
    Talk(&'f Talk),
    Voice(&'f Voice),
}

impl Saying<'_> {
    /// Whether it can only be said to a daemon that runs, or into fields that `setup` has made.
    pub(super) fn is_late(&self) -> bool {
        matches!(
            self,
            Self::Voice(Voice::Chat(Chat { emoji: None, .. }) | Voice::Post(_) | Voice::Account(_) | Voice::Usage(_))
        )
    }
}

/// The vendors' side of what is said.
pub(super) struct Speakers {
    world: Arc<World>,
    known: BTreeMap<String, Known>,
    /// Intercom's ids of companies, by the companies' own.
    companies: BTreeMap<String, String>,
    /// Salesforce's ids of accounts, by their domain.
    accounts: BTreeMap<String, String>,
    /// Slack's ids of channels, users and other workspaces, by what the feed calls them.
    channels: BTreeMap<String, String>,
    users: BTreeMap<String, String>,
    teams: BTreeMap<String, String>,
    way: Reqwest,
    /// Where the daemon listens, once it does.
    pub door: String,
    posts: usize,
}

impl Speakers {
    /// Companies, accounts and channels are there before the run.
    pub(super) fn open(world: &Arc<World>, feed: &Feed) -> anyhow::Result<Self> {
        let mut new = Self {
            world: world.clone(),
            known: feed.companies(),
            companies: BTreeMap::new(),
            accounts: BTreeMap::new(),
            channels: BTreeMap::new(),
            users: BTreeMap::new(),
            teams: BTreeMap::new(),
            way: Reqwest::new()?,
            door: String::new(),
            posts: 0,
        };
        for company in feed.talks.iter().filter_map(|talk| talk.company.as_ref()) {
            if !new.companies.contains_key(&company.company_id) {
                let id = world.intercom(|intercom, cx| intercom.add_company(&new_company(company), cx));
                new.companies.insert(company.company_id.clone(), id);
            }
        }
        for account in feed.accounts() {
            let Some(domain) = domain(&account.website) else { continue };
            let mut cells = json!({"Name": account.name, "Website": account.website, "Type": "Customer - Direct"});
            for (field, value) in [("Industry", json!(account.industry)), ("ARR__c", json!(account.arr))] {
                if !value.is_null() {
                    cells[field] = value;
                }
            }
            let id = world.salesforce(|salesforce, cx| salesforce.create(cx, "Account", &cells));
            new.accounts.insert(domain, id);
        }
        for voice in &feed.voices {
            if let Voice::Chat(chat) = voice {
                new.channel(chat);
            }
        }
        Ok(new)
    }

    /// What the configuration is told: whose a channel is, but where the company itself is in it.
    pub(super) fn names(&self, feed: &Feed) -> Names {
        let chats =
            feed.voices.iter().filter_map(|voice| if let Voice::Chat(chat) = voice { Some(chat) } else { None });
        let channels = chats
            .filter(|chat| !chat.connect)
            .filter_map(|chat| Some((self.channels.get(&chat.channel)?.clone(), chat.of.clone()?)))
            .collect();
        Names { repos: feed.repos(), channels, accounts: self.accounts.clone(), ..Names::default() }
    }

    /// Says one thing. What of it is feedback, and where: an account holds several, a use of a feature none.
    pub(super) async fn say(&mut self, saying: Saying<'_>) -> anyhow::Result<Vec<Fed>> {
        Ok(match saying {
            Saying::Thread(thread) => self.open_issue(thread).into_iter().collect(),
            Saying::Talk(talk) => self.open_talk(talk).into_iter().collect(),
            Saying::Voice(Voice::Chat(chat)) => vec![self.chat(chat)],
            Saying::Voice(Voice::Call(call)) => vec![self.call(call)],
            Saying::Voice(Voice::Answer(answer)) => self.answer(answer).into_iter().collect(),
            Saying::Voice(Voice::Post(post)) => vec![self.post(post).await?],
            Saying::Voice(Voice::Account(account)) => self.deals(account),
            Saying::Voice(Voice::Usage(usage)) => {
                self.track(usage).await?;
                Vec::new()
            }
        })
    }

    /// Somebody opens an issue. Whose they are follows from the organisation that bears their name.
    fn open_issue(&self, thread: &Thread) -> Option<Fed> {
        let labels: Vec<&str> = thread.labels.iter().map(String::as_str).collect();
        let new = NewIssue {
            title: &thread.title,
            body: thread.body.as_deref(),
            author: &thread.author,
            labels: &labels,
            created_at: thread.created,
            number: Some(thread.number),
            ..NewIssue::default()
        };
        let number = self.world.github(|github, cx| {
            let number = github.open_issue(&thread.repo, &new, cx)?;
            if !thread.open {
                github.close_issue(&thread.repo, number, &thread.author, cx);
            }
            Some(number)
        })?;
        let company = self.known.iter().find(|(_, known)| known.github_org.as_ref() == Some(&thread.author));
        Some(Fed {
            connection: "github",
            collection: "issue",
            outside: format!("{}#{number}", thread.repo),
            company: company.map(|(domain, _)| domain.clone()),
        })
    }

    /// Somebody writes in.
    fn open_talk(&self, talk: &Talk) -> Option<Fed> {
        let company = talk.company.as_ref().and_then(|company| self.companies.get(&company.company_id));
        let id = self.world.intercom(|intercom, cx| {
            let contact = intercom.add_contact(&talk.contact, &talk.email, company.map(String::as_str), cx);
            intercom.open_conversation(&contact, &talk.subject, &talk.body, talk.created, cx)
        })?;
        let website = talk.company.as_ref().and_then(|company| company.website.as_deref());
        Some(Fed {
            connection: "intercom",
            collection: "conversation",
            outside: id.to_string(),
            company: self.known_as(website.unwrap_or(&talk.email)),
        })
    }

    /// Somebody writes in Slack and somebody of ours marks it, or types it after the command.
    fn chat(&mut self, chat: &Chat) -> Fed {
        let (channel, author) = (self.channel(chat), self.user(chat));
        let (collection, outside) = self.world.slack(|slack, cx| {
            let Some(emoji) = &chat.emoji else {
                let trigger = slack.slash(&channel, &author, "/feedback", &chat.text, cx);
                return ("command", format!("{author}:{trigger}"));
            };
            let ts = match &chat.below {
                Some(above) => {
                    let root = slack.say(&channel, "U0ADMIN", above, cx);
                    slack.reply(&channel, &root, &author, &chat.text, cx)
                }
                None => slack.say(&channel, &author, &chat.text, cx),
            };
            slack.react(&channel, &ts, "U0ADMIN", emoji, cx);
            ("message", format!("{channel}:{ts}"))
        });
        Fed { connection: "slack", collection, outside, company: chat.of.as_deref().and_then(|of| self.known_as(of)) }
    }

    /// A call is held, and Granola sums it up.
    fn call(&self, call: &Call) -> Fed {
        let people: Vec<(&str, &str)> =
            call.people.iter().map(|person| (person.name.as_str(), person.email.as_str())).collect();
        let said: Vec<(&str, &str)> = call.said.iter().map(|(who, text)| (who.as_str(), text.as_str())).collect();
        let new = NewCall { title: &call.title, people: &people, said: &said, ..NewCall::default() };
        let note = self.world.granola(|granola, cx| granola.call(&new, &call.summary, cx));
        let guest = call.people.iter().skip(1).find_map(|person| self.known_as(&person.email));
        Fed { connection: "granola", collection: "note", outside: note, company: guest }
    }

    /// Somebody answers the survey.
    fn answer(&self, answer: &Answer) -> Option<Fed> {
        let mut answers = vec![("nps", json!(answer.score))];
        answers.extend(answer.why.as_ref().map(|why| ("why", json!(why))));
        let hidden = [("email", answer.email.as_str())];
        let new = NewResponse { answers: &answers, hidden: &hidden, ..NewResponse::default() };
        let token = self.world.typeform(|typeform, cx| typeform.respond(FORM, &new, cx))?;
        Some(Fed {
            connection: "typeform",
            collection: "response",
            outside: format!("{FORM}/{token}"),
            company: self.known_as(&answer.email),
        })
    }

    /// A page of ours sends what somebody said in it to the daemon.
    async fn post(&mut self, post: &Post) -> anyhow::Result<Fed> {
        self.posts += 1;
        let name = format!("demo-{}", self.posts);
        let request = Request::post(format!("{}/v1/feedback", self.door))
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-loopd-key", APP_KEY)
            .header("idempotency-key", &name);
        self.send(request, &Value::Object(post.post.clone())).await?;
        let said = |object: &str, key: &str| post.post.get(object).and_then(|of| of[key].as_str());
        let company = match said("account", "id") {
            Some(id) => self.known.iter().find(|(_, known)| known.id.as_deref() == Some(id)).map(|(of, _)| of.clone()),
            None => said("account", "domain").or_else(|| said("user", "email")).and_then(|of| self.known_as(of)),
        };
        Ok(Fed { connection: "app", collection: "feedback", outside: name, company })
    }

    /// An app tells what was used, as Segment's own senders do: who belongs to which account, then a batch.
    async fn track(&self, usage: &Usage) -> anyhow::Result<()> {
        let to =
            |path: &str| Request::post(format!("{}{path}", self.door)).header(header::CONTENT_TYPE, "application/json");
        let Usage { account, user, feature, times } = usage;
        let of = self.known.iter().find(|(_, known)| known.id.as_ref() == Some(account));
        let group = json!({
            "userId": user, "groupId": account, "messageId": format!("{account} {user} {feature}"), "writeKey": WRITE_KEY,
            "traits": {"website": of.map(|(domain, _)| format!("https://{domain}"))},
        });
        self.send(to("/v1/group"), &group).await?;
        let events: Vec<Value> = (0..*times)
            .map(|n| {
                json!({
                    "type": "track", "event": feature, "userId": user, "context": {"groupId": account},
                    "messageId": format!("{account} {user} {feature} {n}"),
                })
            })
            .collect();
        self.send(to("/v1/batch"), &json!({ "batch": events, "writeKey": WRITE_KEY })).await
    }

    async fn send(&self, request: http::request::Builder, body: &Value) -> anyhow::Result<()> {
        let request = request.body(Bytes::from(body.to_string()))?;
        let path = request.uri().path().to_owned();
        let answer = self.way.send(request, Duration::from_secs(10)).await;
        let answer = answer.map_err(|broken| anyhow::anyhow!("{path} cannot be reached: {broken}"))?;
        let taken = matches!(answer.status(), StatusCode::OK | StatusCode::ACCEPTED);
        anyhow::ensure!(taken, "{path} answered {}: {}", answer.status(), String::from_utf8_lossy(answer.body()));
        Ok(())
    }

    /// Sales writes into opportunities what customers told them.
    fn deals(&self, account: &Account) -> Vec<Fed> {
        let company = domain(&account.website);
        let Some(id) = company.as_ref().and_then(|domain| self.accounts.get(domain)) else { return Vec::new() };
        let mut said = Vec::new();
        for deal in &account.deals {
            let close = self.world.now().date_naive() + chrono::TimeDelta::days(60);
            let mut cells =
                json!({"Name": deal.name, "StageName": deal.stage, "AccountId": id, "CloseDate": close.to_string()});
            for (about, text) in deal.said() {
                let field = match about {
                    "blockers" => "Loopd_Blockers__c",
                    "wants" => "Loopd_Wants__c",
                    _ => "Loopd_Wins__c",
                };
                cells[field] = json!(text);
            }
            let row = self.world.salesforce(|salesforce, cx| salesforce.create(cx, "Opportunity", &cells));
            said.extend(deal.said().map(|(about, _)| Fed {
                connection: "salesforce",
                collection: "Opportunity",
                outside: format!("{row}#{about}"),
                company: company.clone(),
            }));
        }
        said
    }

    fn known_as(&self, address: &str) -> Option<String> {
        domain(address).filter(|domain| self.known.contains_key(domain))
    }

    /// The channel, made where it is missing. A customer's own workspace comes along where they share it.
    fn channel(&mut self, chat: &Chat) -> String {
        if let Some(id) = self.channels.get(&chat.channel) {
            return id.clone();
        }
        let id = self.world.slack(|slack, cx| slack.add_channel(&chat.channel, false, cx));
        if let Some(team) = self.team(chat) {
            self.world.slack(|slack, _| slack.share_channel(&id, &team));
        }
        self.channels.insert(chat.channel.clone(), id.clone());
        id
    }

    fn team(&mut self, chat: &Chat) -> Option<String> {
        let of = chat.of.as_ref().filter(|_| chat.connect)?;
        if !self.teams.contains_key(of) {
            let name = of.split('.').next().unwrap_or(of);
            let team = self.world.slack(|slack, cx| slack.add_team(name, name, of, cx));
            self.teams.insert(of.clone(), team);
        }
        self.teams.get(of).cloned()
    }

    /// A colleague, somebody of the company that shares the channel, or a guest.
    fn user(&mut self, chat: &Chat) -> String {
        let author = &chat.author;
        if let Some(id) = self.users.get(&author.email) {
            return id.clone();
        }
        let team = self.team(chat);
        let handle = author.email.split('@').next().unwrap_or_default();
        let id = self.world.slack(|slack, cx| match team {
            _ if domain(&author.email).as_deref() == Some(OURS) => {
                slack.add_user(handle, &author.name, &author.email, cx)
            }
            Some(team) => slack.add_stranger(&team, handle, &author.email, cx),
            None => slack.add_guest(handle, &author.email, cx),
        });
        self.users.insert(author.email.clone(), id.clone());
        id
    }
}

fn new_company(company: &Company) -> NewCompany<'_> {
    let mut attributes = Map::new();
    let texts = [("region", &company.region), ("lifecycle", &company.lifecycle), ("github_org", &company.github_org)];
    attributes.extend(texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))));
    if let Some(arr) = company.arr {
        attributes.insert("arr".into(), json!(arr));
    }
    NewCompany {
        name: &company.name,
        company_id: &company.company_id,
        website: company.website.as_deref(),
        industry: company.industry.as_deref(),
        monthly_spend: 0,
        plan: company.plan.as_deref(),
        custom_attributes: attributes,
    }
}
