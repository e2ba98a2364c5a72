//! Which messages are captured, as far as this process knows: only below these is an answer worth a look, and only of these is it worth
//! knowing that they went.
//!
//! The law: what an event captured is in the stream's position a second later ([`Known::unsaved`]), and what the position holds is known
//! again after a restart. Else a reaction that is removed, or a message that is deleted, while we are down would be nobody's news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::position::Seen;

/// So many are remembered; others are found by the sweep.
const MOST: usize = 10_000;

#[derive(Default)]
pub(super) struct Known(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    captured: BTreeSet<String>,
    unsaved: BTreeMap<String, News>,
    /// The stream was asked to save it.
    asked: bool,
}

/// What the stream's position does not hold yet of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// An event tells of a capture; nobody has looked.
    Told,
    /// It is captured, and its record was handed in.
    Saw(Seen),
    /// It is captured no more.
    Lost,
}

impl Known {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.kept().captured.contains(id)
    }

    /// A message as a look has found it: captured, or not (any more).
    pub(super) fn note(&self, id: &str, captured: bool) {
        let mut kept = self.kept();
        if !captured {
            kept.captured.remove(id);
        } else if kept.captured.len() < MOST {
            kept.captured.insert(id.to_owned());
        }
    }

    /// An event tells of a capturing reaction that came or went. `true`: the stream is to be asked to save it.
    pub(super) fn hear(&self, id: &str, came: bool) -> bool {
        let mut kept = self.kept();
        let known = kept.captured.contains(id);
        if came && !known && kept.unsaved.len() < MOST {
            kept.unsaved.entry(id.to_owned()).or_insert(News::Told);
        }
        came != known && !std::mem::replace(&mut kept.asked, true)
    }

    /// The record of a message is handed in by itself: captured, and as what; or not any more, if it `was`.
    pub(super) fn handed_in(&self, id: &str, seen: Option<Seen>, was: bool) {
        let mut kept = self.kept();
        let news = match seen {
            Some(seen) if kept.unsaved.len() < MOST => News::Saw(seen),
            None if was || kept.unsaved.contains_key(id) => News::Lost,
            _ => return,
        };
        kept.unsaved.insert(id.to_owned(), news);
    }

    /// Takes what is to be saved. `true`: somebody asked for just that.
    pub(super) fn unsaved(&self) -> (BTreeMap<String, News>, bool) {
        let mut kept = self.kept();
        (std::mem::take(&mut kept.unsaved), std::mem::take(&mut kept.asked))
    }

    /// It was not saved after all. What has been heard since is newer.
    pub(super) fn give_back(&self, unsaved: BTreeMap<String, News>) {
        let mut kept = self.kept();
        for (id, news) in unsaved {
            kept.unsaved.entry(id).or_insert(news);
        }
    }

    /// After a restart.
    pub(super) fn restore<'s>(&self, ids: impl Iterator<Item = &'s String>) {
        self.kept().captured.extend(ids.take(MOST).cloned());
    }
}
