//! Doubt: two customers who may be one. A person looks at both sides and says; the answer is kept for ever.
//!
//! The law: what makes them look alike is not stored but looked at, so a doubt that has lost its reason is not shown.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Card, card, family, family_names, merge, names_of, survivor};
use crate::house::House;
use crate::ledger::{Doubt, DoubtState, LedgerError, Tx, digest};
use crate::schema::{Alias, AliasKind, Customer, Entity, EntityId};

/// Namesakes that are looked at, at most: where more go by one name, it says nothing.
const NAMESAKES: usize = 12;
/// Pairs that are looked at where only their number is asked for.
const LOOKED_AT: usize = 200;
/// What is shorter says nothing.
const SHORTEST: usize = 3;
/// What companies are called by law, and what says nothing about which one it is.
const LEGAL_FORMS: [&str; 36] = [
    "ab",
    "ag",
    "aps",
    "as",
    "asa",
    "bv",
    "co",
    "company",
    "corp",
    "corporation",
    "eurl",
    "gmbh",
    "group",
    "holding",
    "inc",
    "incorporated",
    "kg",
    "kk",
    "limited",
    "llc",
    "llp",
    "ltd",
    "ltda",
    "nv",
    "oy",
    "plc",
    "pte",
    "pty",
    "sa",
    "sarl",
    "sas",
    "se",
    "spa",
    "srl",
    "the",
    "ug",
];

/// What machines are called, and no companies.
const HOSTS: [&str; 18] = [
    "app", "corp", "de", "email", "eu", "fr", "hq", "info", "mail", "mx", "news", "smtp", "support", "team", "uk",
    "us", "web", "www",
];

/// Why two may be one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Both state a name that should be only one's.
    Shared { alias: Alias },
    /// Their names differ in signs, case or legal form only.
    Alike { core: String },
}

impl Evidence {
    pub fn text(&self) -> String {
        match self {
            Self::Shared { alias } => format!("both go by {alias}"),
            Self::Alike { core } => {
                format!("their names are alike (\u{201c}{core}\u{201d}), and they share nothing else")
            }
        }
    }
}

/// Two customers, as a person needs to see them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubtful {
    /// To answer by.
    pub number: u64,
    pub since: DateTime<Utc>,
    /// Would go on, if they are one: whose name is known, who has more items, who was there first.
    pub keep: Card,
    pub other: Card,
    pub evidence: Vec<Evidence>,
}

/// Notes that these two may be one, unless a person has said otherwise.
pub(crate) fn raise(house: &House, tx: &mut Tx<'_>, a: EntityId, b: EntityId) -> Result<(), LedgerError> {
    let (a, b) = (survivor(tx, a)?, survivor(tx, b)?);
    if a == b || tx.doubt(a, b)?.is_some_and(|doubt| doubt.state == DoubtState::Open) || are_two(tx, a, b)? {
        return Ok(());
    }
    tx.put_doubt(a, b, &Doubt { at: house.now(), state: DoubtState::Open })
}

/// A person has said of these, or of any that were merged into them, that they are two.
fn are_two(tx: &mut Tx<'_>, a: EntityId, b: EntityId) -> Result<bool, LedgerError> {
    let (ours, theirs) = (family(tx, a)?, family(tx, b)?);
    for a in &ours {
        for b in &theirs {
            if tx.doubt(a.id, b.id)?.is_some_and(|doubt| matches!(doubt.state, DoubtState::Two { .. })) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Keeps the index of alike names in step with a customer, and doubts it beside its namesakes.
pub(crate) fn alike(
    house: &House,
    tx: &mut Tx<'_>,
    before: Option<&Entity>,
    entity: &Entity,
) -> Result<(), LedgerError> {
    let (was, is) = (before.and_then(core_of), core_of(entity));
    if let Some(was) = was.filter(|was| Some(was) != is.as_ref()) {
        tx.drop_alike(&was, entity.id);
    }
    let Some(core) = is.filter(|is| before.and_then(core_of).as_ref() != Some(is)) else { return Ok(()) };
    tx.put_alike(&core, entity.id)?;
    let others = house.ledger.alike(&core, NAMESAKES + 1)?;
    if others.len() > NAMESAKES {
        return Ok(());
    }
    for other in others.into_iter().filter(|other| *other != entity.id) {
        let there = tx.entity(other)?;
        // The index is read as it stood; the customer as it is now.
        if there.as_ref().and_then(core_of).as_ref() == Some(&core) {
            raise(house, tx, other, entity.id)?;
        }
    }
    Ok(())
}

/// What is left of a customer's name when case, accents, signs and legal forms are taken away. Of one that goes by its
/// domain: the first part of that.
fn core_of(entity: &Entity) -> Option<String> {
    let customer = entity.as_customer()?;
    let name = customer.name.as_deref()?;
    let name = if Customer::is_nameless(customer) { telling_part(name)? } else { name };
    let plain: String = name.chars().flat_map(plain).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let mut telling: Vec<&str> = words.iter().copied().filter(|word| !LEGAL_FORMS.contains(word)).collect();
    if telling.is_empty() {
        telling = words;
    }
    let core = telling.concat();
    (core.chars().count() >= SHORTEST).then_some(core)
}

/// The part of a domain that may be a company's name.
fn telling_part(domain: &str) -> Option<&str> {
    domain.rsplit_once('.')?.0.split('.').find(|part| !HOSTS.contains(part))
}

/// A letter without its accent, in lower case; a space for a sign between words, nothing for one within.
fn plain(letter: char) -> Vec<char> {
    match letter {
        '.' | '\'' | '\u{2019}' => Vec::new(),
        'ä' | 'à' | 'á' | 'â' | 'ã' | 'å' | 'Ä' | 'À' | 'Á' | 'Â' | 'Ã' | 'Å' => vec!['a'],
        'é' | 'è' | 'ê' | 'ë' | 'É' | 'È' | 'Ê' | 'Ë' => vec!['e'],
        'í' | 'ì' | 'î' | 'ï' | 'Í' | 'Ì' | 'Î' | 'Ï' => vec!['i'],
        'ö' | 'ó' | 'ò' | 'ô' | 'õ' | 'ø' | 'Ö' | 'Ó' | 'Ò' | 'Ô' | 'Õ' | 'Ø' => vec!['o'],
        'ü' | 'ú' | 'ù' | 'û' | 'Ü' | 'Ú' | 'Ù' | 'Û' => vec!['u'],
        'ç' | 'Ç' => vec!['c'],
        'ñ' | 'Ñ' => vec!['n'],
        'ß' => vec!['s', 's'],
        letter if letter.is_alphanumeric() => letter.to_lowercase().collect(),
        _ => vec![' '],
    }
}

/// What speaks for these two being one. Empty: nothing does, any more.
fn evidence(house: &House, tx: &mut Tx<'_>, a: &Entity, b: &Entity) -> Result<Vec<Evidence>, LedgerError> {
    let (ours, theirs) = (family_names(house, tx, a.id)?, family_names(house, tx, b.id)?);
    let shared: BTreeSet<&Alias> = ours.intersection(&theirs).collect();
    let mut found: Vec<Evidence> = shared.iter().map(|alias| Evidence::Shared { alias: (*alias).clone() }).collect();
    let same_name = shared.iter().any(|alias| alias.kind == AliasKind::Name);
    if let (false, Some(core)) = (same_name, core_of(a).filter(|core| core_of(b).as_ref() == Some(core))) {
        found.push(Evidence::Alike { core });
    }
    Ok(found)
}

/// A pair's number: short enough to type, and the same whichever stands first.
fn number(a: EntityId, b: EntityId) -> Result<u64, LedgerError> {
    Ok(digest(&(a.min(b), a.max(b)))? % 1_000_000_000_000)
}

/// The pairs that wait for a person, oldest first.
///
/// # Errors
/// A ledger that cannot be read.
pub fn doubtful(house: &House) -> Result<Vec<Doubtful>, LedgerError> {
    let mut found = Vec::new();
    for (a, b, doubt) in house.ledger.doubts()? {
        if doubt.state == DoubtState::Open
            && let Some(doubtful) = look(house, a, b, doubt.at)?
        {
            found.push(doubtful);
        }
    }
    found.sort_by_key(|doubtful| (doubtful.since, doubtful.number));
    Ok(found)
}

/// How many wait. Where they are many, those that have lost their reason since are counted too: it is asked for often.
///
/// # Errors
/// A ledger that cannot be read.
pub fn doubts_open(house: &House) -> Result<usize, LedgerError> {
    let mut open = house.ledger.doubts()?;
    open.retain(|(.., doubt)| doubt.state == DoubtState::Open);
    if open.len() > LOOKED_AT {
        return Ok(open.len());
    }
    let mut waiting = 0;
    for (a, b, _) in open {
        waiting += usize::from(!reasons(house, a, b)?.is_empty());
    }
    Ok(waiting)
}

/// Why these two wait. Empty where they do not: one was merged or withdrawn, or nothing speaks for it any more.
fn reasons(house: &House, a: EntityId, b: EntityId) -> Result<Vec<Evidence>, LedgerError> {
    house.ledger.transact(|tx| {
        let (Some(first), Some(second)) = (tx.entity(a)?, tx.entity(b)?) else { return Ok(Vec::new()) };
        let lives =
            |entity: &Entity| entity.as_customer().is_some_and(|customer| !customer.is_merged() && !customer.withdrawn);
        if !lives(&first) || !lives(&second) || are_two(tx, a, b)? {
            return Ok(Vec::new());
        }
        evidence(house, tx, &first, &second)
    })
}

fn look(house: &House, a: EntityId, b: EntityId, since: DateTime<Utc>) -> Result<Option<Doubtful>, LedgerError> {
    let evidence = reasons(house, a, b)?;
    if evidence.is_empty() {
        return Ok(None);
    }
    let (Some(first), Some(second)) = (card(house, a)?, card(house, b)?) else { return Ok(None) };
    let weight = |card: &Card| (!card.nameless, card.items, std::cmp::Reverse(card.since), std::cmp::Reverse(card.id));
    let (keep, other) = if weight(&first) >= weight(&second) { (first, second) } else { (second, first) };
    Ok(Some(Doubtful { number: number(a, b)?, since, keep, other, evidence }))
}

/// A person's answer. `one`: they are, and the second of the pair is merged into the first. Inside: why it cannot be done.
///
/// # Errors
/// A ledger that cannot be read or written.
pub fn answer(house: &House, asked: u64, one: bool, by: &str) -> Result<Result<String, String>, LedgerError> {
    let Some(doubtful) = doubtful(house)?.into_iter().find(|doubtful| doubtful.number == asked) else {
        return Ok(Err("no such pair waits; `loopd customers review` lists them".into()));
    };
    let (keep, other) = (&doubtful.keep, &doubtful.other);
    if one {
        return Ok(merge(house, keep.id, other.id, by)?.map(|merged| merged.text));
    }
    say_two(house, keep.id, other.id, by)?;
    Ok(Ok(format!("{} and {} stay two", keep.called(), other.called())))
}

fn say_two(house: &House, a: EntityId, b: EntityId, by: &str) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| {
        two(house, tx, a, b, by)?;
        for (of, other) in [(a, b), (b, a)] {
            let other = tx.entity(other)?.map(|other| super::called(&other)).unwrap_or_default();
            let said = super::line(house, by, crate::ledger::What::Decided, format!("it is not {other}"));
            tx.log(of, &said)?;
        }
        Ok(())
    })?;
    house.ledger.durable()
}

/// A person said that these are two.
pub(super) fn two(house: &House, tx: &mut Tx<'_>, a: EntityId, b: EntityId, by: &str) -> Result<(), LedgerError> {
    let state = DoubtState::Two { by: by.to_owned(), at: house.now() };
    let since = tx.doubt(a, b)?.map_or(house.now(), |doubt| doubt.at);
    tx.put_doubt(a, b, &Doubt { at: since, state })
}

/// A person said that these are one.
pub(super) fn one(house: &House, tx: &mut Tx<'_>, a: EntityId, b: EntityId, by: &str) -> Result<(), LedgerError> {
    let state = DoubtState::One { by: by.to_owned(), at: house.now() };
    let since = tx.doubt(a, b)?.map_or(house.now(), |doubt| doubt.at);
    tx.put_doubt(a, b, &Doubt { at: since, state })
}

/// Whoever else states a name that `from` gives up, among those it was ever in doubt with.
pub(crate) fn heir(
    house: &House,
    tx: &mut Tx<'_>,
    from: EntityId,
    alias: &Alias,
) -> Result<Option<EntityId>, LedgerError> {
    let mut heirs = BTreeSet::new();
    for member in family(tx, from)? {
        for other in house.ledger.doubted_with(member.id)? {
            let Some(stating) = tx.entity(other)?.filter(|other| names_of(house, other).contains(alias)) else {
                continue;
            };
            heirs.insert(survivor(tx, stating.id)?);
        }
    }
    heirs.remove(&from);
    Ok(heirs.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Body, EntityKind};

    fn core(name: &str, domains: &[&str]) -> Option<String> {
        let mut entity = Entity::empty(EntityId::derive("a", "b", name), EntityKind::Customer);
        if let Body::Customer(customer) = &mut entity.body {
            customer.name = Some(name.to_owned());
            customer.domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
        }
        core_of(&entity)
    }

    #[test]
    fn names_come_down_to_what_tells_companies_apart() {
        for alike in ["Lumen", "LUMEN, Inc.", "Lümen GmbH", "The Lumen Group", "lumen s.a."] {
            assert_eq!(core(alike, &[]).as_deref(), Some("lumen"), "{alike}");
        }
        assert_eq!(
            core("lumen.example.com", &["lumen.example.com"]).as_deref(),
            Some("lumen"),
            "it goes by its domain"
        );
        assert_eq!(core("mail.lumen.example.com", &["mail.lumen.example.com"]).as_deref(), Some("lumen"));
        assert_eq!(core("mail.com", &["mail.com"]), None);
        assert_eq!(core("Lumen Energy", &[]).as_deref(), Some("lumenenergy"));
        assert_eq!(core("Holding AG", &[]).as_deref(), Some("holdingag"), "where nothing else is left");
        assert_eq!(core("AB", &[]), None, "too short to say anything");
        assert_eq!(core("東京電力", &[]).as_deref(), Some("東京電力"));
    }
}
