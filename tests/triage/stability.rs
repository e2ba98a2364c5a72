//! Twelve weeks: items come, new matters come up, words are edited, people move an item here and there. From week to week at
//! least 98 % of items keep their theme.

use std::collections::BTreeMap;
use std::time::Duration;

use loopd::schema::EntityId;
use loopd::triage::themes;

use crate::Room;
use crate::measured::v_measure;

/// Invented matters: what each is about, and ways to say it. Later ones come up later.
const MATTERS: [(&str, [&str; 6]); 12] = [
    (
        "csv export",
        [
            "times out",
            "never finishes",
            "is slow for large workspaces",
            "ends with an error",
            "stops half way",
            "fails at night",
        ],
    ),
    (
        "invoice tax number",
        [
            "is wrong",
            "is missing on the PDF",
            "cannot be changed",
            "shows our old company",
            "is cut off",
            "is not saved",
        ],
    ),
    (
        "single sign-on",
        [
            "ends in a redirect loop",
            "rejects new colleagues",
            "forgets the session",
            "fails with our provider",
            "asks twice",
            "fails on phones",
        ],
    ),
    (
        "dark mode",
        [
            "would help at night",
            "is missing in the editor",
            "should follow the system",
            "hurts less",
            "is what we ask for",
            "for charts, too",
        ],
    ),
    (
        "webhook retries",
        [
            "come out of order",
            "stop after one failure",
            "are sent twice",
            "have no signature",
            "should be configurable",
            "are too fast",
        ],
    ),
    (
        "search in archived projects",
        ["finds nothing", "is slow", "ignores filters", "leaves out comments", "fails for umlauts", "shows old names"],
    ),
    (
        "mobile notifications",
        ["arrive hours late", "cannot be muted", "open the wrong page", "come twice", "are empty", "wake everybody"],
    ),
    (
        "audit log download",
        [
            "lacks the user's name",
            "is limited to a week",
            "should be JSON",
            "fails for admins",
            "is not sorted",
            "times out",
        ],
    ),
    (
        "seat pricing",
        [
            "counts guests",
            "is hard to understand",
            "charges former colleagues",
            "should be yearly",
            "jumped without notice",
            "is too much",
        ],
    ),
    (
        "calendar sync",
        [
            "doubles every meeting",
            "shifts by an hour",
            "ignores cancelled events",
            "stopped on Monday",
            "mixes calendars",
            "misses rooms",
        ],
    ),
    (
        "image upload",
        [
            "rotates photos",
            "fails above ten megabytes",
            "loses transparency",
            "is stuck at 99 percent",
            "compresses too much",
            "rejects HEIC",
        ],
    ),
    (
        "keyboard shortcuts",
        [
            "clash with the browser",
            "should be configurable",
            "do not work on AZERTY",
            "are not listed",
            "changed again",
            "are ignored in lists",
        ],
    ),
];
const OPENERS: [&str; 7] = [
    "Hi, the",
    "Again: the",
    "For our team the",
    "Since the update the",
    "Please look at this, the",
    "Our admins say the",
    "Every week the",
];

/// A chance that is always the same.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// The theme of every item, as people see it.
fn themes_now(room: &Room, items: &[(EntityId, usize)]) -> BTreeMap<EntityId, Option<EntityId>> {
    let ledger = &room.house.ledger;
    let theme = |id| room.item(id).theme.map(|theme| themes::lives_in(ledger, theme).expect("memory"));
    items.iter().map(|(id, _)| (*id, theme(*id))).collect()
}

#[test]
fn themes_stand_still_while_items_come() {
    let (mut room, mut chance) = (Room::bare(), Chance(7));
    let mut items: Vec<(EntityId, usize)> = Vec::new();
    let mut before = BTreeMap::new();
    let (mut kept, mut had, mut worst) = (0_usize, 0_usize, 1.0_f64);
    for week in 0..12_usize {
        for _ in 0..40 {
            let matter = chance.below((4 + week).min(MATTERS.len()));
            let (what, ways) = MATTERS[matter];
            let text = format!("{} {what} {}", OPENERS[chance.below(OPENERS.len())], ways[chance.below(ways.len())]);
            let id = room.say(&items.len().to_string(), |feedback| {
                feedback.title = Some(text.clone());
                feedback.tags.category = Some("bug".into());
            });
            items.push((id, matter));
        }
        // Some are edited.
        for _ in 0..items.len() / 30 {
            let at = chance.below(items.len());
            room.say(&at.to_string(), |feedback| feedback.verbatim = Some(format!("Still so in week {week}, thanks.")));
        }
        room.work();
        if week % 3 == 2 {
            room.restart();
        }
        let now = themes_now(&room, &items);
        let stayed = before
            .iter()
            .filter(|(id, theme): &(&EntityId, &Option<EntityId>)| theme.is_some() && now[*id] == **theme)
            .count();
        let of = before.values().filter(|theme| theme.is_some()).count();
        #[expect(clippy::cast_precision_loss, reason = "a few hundred items")]
        let share = if of == 0 { 1.0 } else { stayed as f64 / of as f64 };
        worst = worst.min(share);
        (kept, had) = (kept + stayed, had + of);
        before = now;
        room.clock.advance(Duration::from_secs(7 * 86_400));
    }
    let labels: Vec<usize> = items.iter().map(|(_, matter)| *matter).collect();
    let v = v_measure(&items.iter().map(|(id, _)| (*id, before[id])).collect::<Vec<_>>(), &labels);
    let themed = before.values().filter(|theme| theme.is_some()).count();
    println!(
        "{} items, {} themes, {themed} items in one; kept from week to week: {kept} of {had}, in the worst week {:.1} %; V-measure {v:.3}",
        items.len(),
        room.themes().len(),
        worst * 100.0
    );
    assert!(worst >= 0.98, "at least 98 % keep their theme: {worst}");
    assert!(v > 0.6, "and the themes are those that were said: {v}");
}
