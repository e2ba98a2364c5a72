//! The fewest calls by which one could have done what the demo does, knowing everything beforehand:
//!
//! - GitHub: a look at each repository, its first pages of issues (100 a page) and of comments. What was opened while the
//!   daemon ran came by webhook and costs nothing.
//! - Intercom: one to know the workspace, a page of companies, the pages of the first search (150 a page), one retrieval
//!   a conversation and one a contact.
//! - Slack: one to know the workspace, one for the list of channels, a page of history of each channel in which something
//!   had been said, one retrieval a message that an event told of (it names the message only), a permalink a message, a
//!   look at each author and at each company that shares a channel, the answers of each thread. A command comes whole.
//! - Granola: one for the webhook, a page of notes (30 a page), one retrieval a note; its events bring only ids.
//! - Typeform: the form, the webhook, a page of responses. What was answered later came by webhook.
//! - Airtable: three to bind the base and its webhook; creates and updates in tens, table by table, each row that had to
//!   change once people worked with it counted once; one look at what people changed, one read of each table that they
//!   changed something in.
//! - Linear: two to bind the team, one look at its issues, one create an issue and one an attachment, one update an
//!   issue whose fields people changed elsewhere.
//! - Notion: one to know who we are and one a database; one create a page, one retrieval a page that people edited (its
//!   events bring no values), one update a page whose item changed elsewhere, two for a theme that was made elsewhere.
//! - Salesforce: one to know its objects, a query of accounts and one of opportunities, records in two-batches: creates,
//!   and the accounts of those who spoke; then, once people worked with it, a look at what they changed, and the records and
//!   the accounts once more. The session is from setup.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::Vendor;

use super::feed::Feed;
use super::play::{Move, Place};
use super::speak::Fed;
use super::stage::{BASE, CHILDREN, CUSTOMERS, FEEDBACK, Stage, THEMES};
use super::voices::{Chat, Voice};

/// What was there before the daemon started; the rest came while it ran.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    pub threads: BTreeMap<String, usize>,
    pub talks: usize,
    /// Messages, by channel.
    pub chats: BTreeMap<String, usize>,
}

pub(super) fn least(
    stage: &Stage,
    feed: &Feed,
    fed: &[Fed],
    waiting: &Waiting,
    moves: &[Move],
) -> BTreeMap<&'static str, u64> {
    let all = [
        (Vendor::GitHub, github(feed, waiting)),
        (Vendor::Intercom, intercom(feed, waiting)),
        (Vendor::Slack, slack(feed, fed, waiting)),
        (Vendor::Granola, 1 + pages(said(fed, "granola"), 30) + said(fed, "granola") as u64),
        (Vendor::Typeform, 3),
        (Vendor::Airtable, airtable(stage, moves)),
        (Vendor::Linear, linear(stage, moves)),
        (Vendor::Notion, notion(stage, moves)),
        (Vendor::Salesforce, salesforce(stage, moves)),
    ];
    all.into_iter().map(|(vendor, calls)| (vendor.name(), calls)).collect()
}

fn github(feed: &Feed, waiting: &Waiting) -> u64 {
    feed.repos().iter().map(|repo| 2 + pages(waiting.threads.get(repo).copied().unwrap_or(0), 100)).sum()
}

fn intercom(feed: &Feed, waiting: &Waiting) -> u64 {
    let contacts: BTreeSet<&str> = feed.talks.iter().map(|talk| talk.email.as_str()).collect();
    2 + pages(waiting.talks, 150) + (feed.talks.len() + contacts.len()) as u64
}

fn slack(feed: &Feed, fed: &[Fed], waiting: &Waiting) -> u64 {
    let messages = fed.iter().filter(|one| (one.connection, one.collection) == ("slack", "message")).count();
    let early: usize = waiting.chats.values().sum();
    let chats: Vec<&Chat> = feed
        .voices
        .iter()
        .filter_map(|voice| if let Voice::Chat(chat) = voice { Some(chat) } else { None })
        .filter(|chat| chat.emoji.is_some())
        .collect();
    let authors: BTreeSet<&str> = chats.iter().map(|chat| chat.author.email.as_str()).collect();
    let teams: BTreeSet<&str> =
        chats.iter().filter(|chat| chat.connect).filter_map(|chat| chat.of.as_deref()).collect();
    let threads = chats.iter().filter(|chat| chat.below.is_some()).count();
    (2 + waiting.chats.len() + (messages - early) + messages + authors.len() + teams.len() + threads) as u64
}

fn airtable(stage: &Stage, moves: &[Move]) -> u64 {
    let count = |table: &str| stage.world.airtable(|airtable, _| airtable.rows(BASE, table).len());
    let made_by_hand = themes(moves);
    let deleted = moves.iter().filter(|done| matches!(done, Move::Deleted { .. })).count();
    let creates = batches(count(FEEDBACK) + deleted, 10)
        + batches(count(CUSTOMERS), 10)
        + batches(count(THEMES) - made_by_hand.min(count(THEMES)), 10);
    let updates = batches(shown_at(Place::Airtable, moves), 10) + batches(made_by_hand, 10);
    let looks = if moves.is_empty() { 0 } else { 2 + made_by_hand as u64 };
    3 + creates + updates + looks
}

fn linear(stage: &Stage, moves: &[Move]) -> u64 {
    let (issues, attachments) = stage.world.linear(|linear, _| (linear.issues().len(), linear.attachments().len()));
    let priorities = moves.iter().filter(|done| matches!(done, Move::Priority { .. })).count();
    3 + (issues + attachments + priorities) as u64
}

fn notion(stage: &Stage, moves: &[Move]) -> u64 {
    let count = |source: &str| stage.world.notion(|notion, _| notion.rows(source).len());
    let creates = count(FEEDBACK) + count(CUSTOMERS) + count(THEMES);
    let edited = moves.iter().filter(|done| matches!(done, Move::Word { at: Place::Notion, .. })).count();
    // The theme's page is among the creates; the item's page is linked to it.
    (4 + creates + edited + shown_at(Place::Notion, moves) + themes(moves)) as u64
}

fn salesforce(stage: &Stage, moves: &[Move]) -> u64 {
    let children = stage.world.salesforce(|salesforce, _| salesforce.rows(CHILDREN).len());
    let accounts = stage.accounts.len();
    let here = moves.iter().filter(|done| !matches!(done, Move::Deleted { .. } | Move::Theme { .. }));
    let touched = here
        .filter(|done| done.fed().company.as_ref().is_some_and(|domain| stage.accounts.contains_key(domain)))
        .count();
    let afterwards = if moves.is_empty() { 0 } else { 1 + 2 * batches(touched, 200) };
    3 + batches(children, 200) + batches(accounts, 200) + afterwards
}

/// Items that people changed elsewhere, which this place must show.
fn shown_at(place: Place, moves: &[Move]) -> usize {
    let elsewhere = |done: &&Move| match done {
        Move::Card { .. } | Move::Title { .. } | Move::Raised { .. } => true,
        Move::Word { at, .. } => *at != place,
        Move::Priority { .. } => place != Place::Airtable,
        Move::Theme { .. } | Move::Deleted { .. } => false,
    };
    moves.iter().filter(elsewhere).count()
}

fn themes(moves: &[Move]) -> usize {
    moves.iter().filter(|done| matches!(done, Move::Theme { .. })).count()
}

fn said(fed: &[Fed], connection: &str) -> usize {
    fed.iter().filter(|one| one.connection == connection).count()
}

/// At least one: that there is nothing must be asked, too.
fn pages(records: usize, page: usize) -> u64 {
    records.div_ceil(page).max(1) as u64
}

fn batches(records: usize, batch: usize) -> u64 {
    records.div_ceil(batch) as u64
}
