//! What lies near to what: the vectors of all items, in memory, and the middles of themes.
//!
//! Laws:
//! - The ledger's `vectors` are what is true; this is loaded from them on first use, and brought in step item by item by the
//!   triage room ([`settle`]), which is the only one that changes them.
//! - A theme's middle is the mean of its members, added up in whole numbers: who joins and leaves again leaves no trace, and
//!   the order in which they came does not matter.
//! - Only points of one space are compared; an item is in one space at a time, that of its newest vector.
//! - Equal nearness is decided by id: the same ledger gives the same answer.
//!
//! The search is exact. A first pass compares whole numbers ([`Packed`]), which takes some 15 ms for 100,000 items of 1,024
//! dimensions on one core, without any index that would have to be kept; the best few are compared again as they were given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::config::Mode;
use crate::enrich::embed;
use crate::house::House;
use crate::ledger::{LedgerError, Packed, Tx};
use crate::schema::{Body, EntityId, Feedback, Task, Theme};

/// The best of the first pass that are compared again, for each one that is wanted.
const AGAIN: usize = 4;
/// What 1.0 is in the sums of themes.
const ONE: f32 = 16_777_216.0;

/// The house's index; empty until somebody asks.
#[derive(Default)]
pub struct Near(Mutex<Option<Index>>);

/// All that is known of where texts lie.
#[derive(Default)]
pub struct Index {
    spaces: BTreeMap<String, Space>,
    /// The space in which an item is.
    home: BTreeMap<EntityId, String>,
    /// The theme that an item names.
    theme_of: BTreeMap<EntityId, EntityId>,
    /// The theme in whose sum an item's vector is.
    counted: BTreeMap<EntityId, EntityId>,
    themes: BTreeMap<EntityId, Known>,
}

/// What the index knows of a theme.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    merged_into: Option<EntityId>,
    withdrawn: bool,
    /// What people wrote of a theme that is theirs: it has a place before it has members.
    words: Option<crate::enrich::Text>,
}

#[derive(Default)]
struct Space {
    dims: usize,
    ids: Vec<EntityId>,
    /// A row of `dims` for each id.
    rows: Vec<i8>,
    /// What one of a row's whole numbers is worth once the row has length one.
    worth: Vec<f32>,
    place: BTreeMap<EntityId, usize>,
    sums: BTreeMap<EntityId, Sum>,
    /// Where a theme without members lies.
    seeds: BTreeMap<EntityId, Vec<f32>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    members: usize,
    sum: Vec<i64>,
}

impl Near {
    /// Looks at the index. Not to be called from within itself.
    pub fn with<T>(
        &self,
        house: &House,
        look: impl FnOnce(&mut Index) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match held.as_mut() {
            Some(index) => index,
            None => held.insert(Index::load(house)?),
        };
        look(index)
    }
}

/// Stores where an item's text lies. In every other space it is no more.
///
/// # Errors
/// The ledger's.
pub fn put(house: &House, tx: &mut Tx<'_>, id: EntityId, space: &str, vector: &[f32]) -> Result<(), LedgerError> {
    let others = house.near.with(house, |index| {
        index.spaces.entry(space.to_owned()).or_default();
        Ok(index.spaces.keys().filter(|other| *other != space).cloned().collect::<Vec<_>>())
    })?;
    for other in others {
        if tx.vector(&other, id)?.is_some() {
            tx.drop_vector(&other, id);
        }
    }
    let packed = Packed::of(vector);
    if tx.vector(space, id)?.as_ref() != Some(&packed) {
        tx.put_vector(space, id, &packed);
    }
    Ok(())
}

/// Brings the index in step with what the ledger says of an item or a theme.
///
/// # Errors
/// The ledger's.
pub fn settle(house: &House, id: EntityId) -> Result<(), LedgerError> {
    house.near.with(house, |index| index.refresh(house, id))
}

/// Whether items join themes, or are compared, at all.
pub fn is_on(house: &House, task: Task) -> bool {
    house.config.task(task).mode != Mode::Off
}

/// The theme that an item counts in: what was withdrawn counts in none.
fn theme_of(feedback: &Feedback) -> Option<EntityId> {
    feedback.theme.filter(|_| !feedback.withdrawn)
}

impl Index {
    fn load(house: &House) -> Result<Self, LedgerError> {
        let mut index = Self::default();
        index.spaces.entry(embed::NAME.to_owned()).or_default();
        house.ledger.each_vector_anywhere(|space, id, packed| {
            index.home.insert(id, space.clone());
            index.spaces.entry(space).or_default().set(id, &packed);
            Ok(())
        })?;
        let mut items = Vec::new();
        house.ledger.each_entity(|entity| {
            match &entity.body {
                Body::Theme(theme) => drop(index.themes.insert(entity.id, Known::of(theme))),
                Body::Feedback(feedback) => items.extend(theme_of(feedback).map(|theme| (entity.id, theme))),
                Body::Customer(_) => {}
            }
            Ok(())
        })?;
        for (id, theme) in items {
            index.count(id, Some(theme));
        }
        let names: Vec<String> = index.spaces.keys().cloned().collect();
        for name in names {
            if let Some(space) = index.spaces.get_mut(&name) {
                house.ledger.each_centroid(&name, |theme, packed| {
                    space.seeds.insert(theme, unit(packed.unpack()));
                    Ok(())
                })?;
            }
        }
        for (id, known) in &index.themes {
            if let (Some(words), Some(space)) = (&known.words, index.spaces.get_mut(embed::NAME)) {
                space.seeds.insert(*id, embed::embed(words));
            }
        }
        Ok(index)
    }

    fn refresh(&mut self, house: &House, id: EntityId) -> Result<(), LedgerError> {
        let Some(entity) = house.ledger.entity(id)? else { return Ok(()) };
        match &entity.body {
            Body::Feedback(feedback) => {
                let mut found = None;
                for name in self.spaces.keys() {
                    if let Some(packed) = house.ledger.vector(name, id)? {
                        found = Some((name.clone(), packed));
                    }
                }
                self.move_to(id, found);
                self.count(id, theme_of(feedback));
            }
            Body::Theme(theme) => {
                let known = Known::of(theme);
                if self.themes.get(&id) != Some(&known)
                    && let Some(space) = self.spaces.get_mut(embed::NAME)
                {
                    match &known.words {
                        Some(words) => drop(space.seeds.insert(id, embed::embed(words))),
                        None => drop(space.seeds.remove(&id)),
                    }
                }
                self.themes.insert(id, known);
            }
            Body::Customer(_) => {}
        }
        Ok(())
    }

    /// The item's vector is this one now; its theme is counted anew with it.
    fn move_to(&mut self, id: EntityId, found: Option<(String, Packed)>) {
        if let (Some(home), Some((name, packed))) = (self.home.get(&id), &found)
            && home == name
            && self.spaces.get(name).is_some_and(|space| space.holds(id, packed))
        {
            return;
        }
        self.add_up(id, None);
        if let Some(home) = self.home.remove(&id)
            && let Some(space) = self.spaces.get_mut(&home)
        {
            space.remove(id);
        }
        if let Some((name, packed)) = found {
            self.spaces.entry(name.clone()).or_default().set(id, &packed);
            self.home.insert(id, name);
        }
        self.add_up(id, self.theme_of.get(&id).copied());
    }

    /// The item names this theme now.
    fn count(&mut self, id: EntityId, theme: Option<EntityId>) {
        match theme {
            Some(theme) => drop(self.theme_of.insert(id, theme)),
            None => drop(self.theme_of.remove(&id)),
        }
        self.add_up(id, theme);
    }

    /// The item's vector is in the sum of this theme, and in no other.
    fn add_up(&mut self, id: EntityId, theme: Option<EntityId>) {
        let Some(space) = self.home.get(&id).and_then(|home| self.spaces.get_mut(home)) else { return };
        let theme = theme.filter(|_| space.place.contains_key(&id));
        let before = match theme {
            Some(theme) => self.counted.insert(id, theme),
            None => self.counted.remove(&id),
        };
        if before != theme {
            space.count(id, before, theme);
        }
    }

    /// Where an item lies: its space, and its vector of length one.
    pub fn of(&self, id: EntityId) -> Option<(&str, Vec<f32>)> {
        let home = self.home.get(&id)?;
        Some((home, self.spaces.get(home)?.vector(id)?))
    }

    /// The theme that the index counts an item in, after merges.
    pub fn theme_of(&self, id: EntityId) -> Option<EntityId> {
        self.theme_of.get(&id).map(|theme| self.lives_in(*theme))
    }

    /// The items of a theme, and of those that were merged into it, by id.
    pub fn members(&self, theme: EntityId) -> BTreeSet<EntityId> {
        self.theme_of.iter().filter(|(_, of)| self.lives_in(**of) == theme).map(|(id, _)| *id).collect()
    }

    /// How many items that lie anywhere a theme has, with those of the themes that live on in it, and the space that most of them
    /// lie in. Costs as much as there are themes, however many items they have.
    pub fn size(&self, theme: EntityId) -> Option<(&str, usize)> {
        let ours = |space: &Space| {
            let sums = space.sums.iter().filter(|(of, _)| self.lives_in(**of) == theme);
            sums.map(|(_, sum)| sum.members).sum::<usize>()
        };
        let by_space: Vec<(&str, usize)> =
            self.spaces.iter().map(|(name, space)| (name.as_str(), ours(space))).collect();
        let all = by_space.iter().map(|(_, members)| members).sum();
        let (space, _) =
            by_space.into_iter().filter(|(_, members)| *members > 0).max_by_key(|(_, members)| *members)?;
        Some((space, all))
    }

    /// The theme in which this one lives on: itself, mostly.
    pub fn lives_in(&self, theme: EntityId) -> EntityId {
        let mut at = theme;
        for _ in 0..64 {
            match self.themes.get(&at).and_then(|known| known.merged_into) {
                Some(into) => at = into,
                None => return at,
            }
        }
        theme
    }

    /// The items that lie nearest, nearest first, with their cosine; not the one that is asked about. `takes` says who counts.
    ///
    /// # Errors
    /// What `takes` fails with.
    pub fn nearest(
        &self,
        space: &str,
        (query, own): (&[f32], EntityId),
        count: usize,
        mut takes: impl FnMut(EntityId) -> Result<bool, LedgerError>,
    ) -> Result<Vec<(EntityId, f32)>, LedgerError> {
        let Some(space) = self.spaces.get(space).filter(|space| space.dims == query.len()) else {
            return Ok(Vec::new());
        };
        let mut wanted = count.saturating_mul(AGAIN).saturating_add(1);
        // Those who do not count may stand in front of those who do: then more are looked at.
        loop {
            let best = space.first_pass(query, wanted);
            let seen_all = best.len() < wanted;
            let mut exact: Vec<(EntityId, f32)> = best
                .into_iter()
                .filter_map(|(at, _)| space.ids.get(at).map(|id| (*id, at)))
                .filter(|(id, _)| *id != own)
                .map(|(id, at)| (id, space.cosine(at, query)))
                .collect();
            exact.sort_by(nearer);
            let mut found = Vec::new();
            for (id, cosine) in exact {
                if found.len() == count {
                    break;
                }
                if takes(id)? {
                    found.push((id, cosine));
                }
            }
            if found.len() == count || seen_all || wanted >= MOST {
                return Ok(found);
            }
            wanted *= 8;
        }
    }

    /// Themes by how near their members lie on average, nearest first. So a theme that is broad already takes in less: on
    /// 2,514 support questions half as many of those who meet there are strangers, for as many that stay without a theme.
    pub fn themes_near(&self, space: &str, query: &[f32]) -> Vec<(EntityId, f32)> {
        let mut found: Vec<(EntityId, f32)> =
            self.middles(space).into_iter().map(|(id, middle, _)| (id, dot(&middle, query))).collect();
        found.sort_by(nearer);
        found
    }

    /// How near an item lies to the other items of a theme, on average; `None`: there are none.
    pub fn near_others(&self, space: &str, (query, own): (&[f32], EntityId), theme: EntityId) -> Option<f32> {
        let (_, middle, members) = self.middles(space).into_iter().find(|(id, ..)| *id == theme)?;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand items")]
        let parts = members as f32;
        let near = dot(&middle, query);
        match self.theme_of(own) == Some(theme) {
            true if members < 2 => None,
            true => Some((near * parts - 1.0) / (parts - 1.0)),
            false => Some(near),
        }
    }

    /// The middle of every theme that lives, and how many items it is the mean of.
    pub fn middles(&self, space: &str) -> Vec<(EntityId, Vec<f32>, usize)> {
        let Some(space) = self.spaces.get(space) else { return Vec::new() };
        let mut sums: BTreeMap<EntityId, Sum> = BTreeMap::new();
        for (theme, sum) in &space.sums {
            let lives = self.lives_in(*theme);
            let whole = sums.entry(lives).or_default();
            whole.members += sum.members;
            whole.sum.resize(space.dims, 0);
            whole.sum.iter_mut().zip(&sum.sum).for_each(|(whole, part)| *whole += part);
        }
        let is_there =
            |id: &EntityId| self.themes.get(id).is_none_or(|known| !known.withdrawn && known.merged_into.is_none());
        // What people wrote of their theme counts as one item.
        for (theme, seed) in space.seeds.iter().filter(|(id, seed)| is_there(id) && seed.len() == space.dims) {
            let whole = sums.entry(*theme).or_default();
            whole.sum.resize(space.dims, 0);
            whole.sum.iter_mut().zip(seed).for_each(|(whole, part)| *whole += whole_number(*part));
        }
        let there = sums.into_iter().filter(|(id, sum)| is_there(id) && sum.sum.iter().any(|value| *value != 0));
        #[expect(clippy::cast_precision_loss, reason = "the direction matters, not the last digit")]
        let middle = |id: &EntityId, sum: &Sum| -> Vec<f32> {
            let parts = sum.members + usize::from(space.seeds.contains_key(id));
            let share = 1.0 / (parts.max(1) as f32 * ONE);
            sum.sum.iter().map(|value| *value as f32 * share).collect()
        };
        there.map(|(id, sum)| (id, middle(&id, &sum), sum.members)).collect()
    }
}

/// The most that are looked at for those who count.
const MOST: usize = 100_000;

impl Known {
    fn of(theme: &Theme) -> Self {
        let words = theme.origin.is_some().then(|| crate::enrich::Text {
            title: theme.name.clone().unwrap_or_default(),
            body: [&theme.statement, &theme.description].into_iter().flatten().cloned().collect::<Vec<_>>().join("\n"),
            origin: String::new(),
        });
        Self { merged_into: theme.merged_into, withdrawn: theme.withdrawn, words }
    }
}

impl Space {
    fn set(&mut self, id: EntityId, packed: &Packed) {
        if self.dims == 0 {
            self.dims = packed.values.len();
        }
        let worth = worth_of(packed);
        if packed.values.len() != self.dims || worth == 0.0 {
            return; // Of another model of the same name, or of a text that says nothing: it is near to nobody.
        }
        match self.place.get(&id) {
            Some(at) => {
                self.rows[at * self.dims..(at + 1) * self.dims].copy_from_slice(&packed.values);
                self.worth[*at] = worth;
            }
            None => {
                self.place.insert(id, self.ids.len());
                self.ids.push(id);
                self.rows.extend(&packed.values);
                self.worth.push(worth);
            }
        }
    }

    fn holds(&self, id: EntityId, packed: &Packed) -> bool {
        self.place.get(&id).is_some_and(|at| self.row(*at) == packed.values)
    }

    fn remove(&mut self, id: EntityId) {
        let Some(at) = self.place.remove(&id) else { return };
        let last = self.ids.len() - 1;
        if at != last {
            self.rows.copy_within(last * self.dims..(last + 1) * self.dims, at * self.dims);
            self.ids[at] = self.ids[last];
            self.worth[at] = self.worth[last];
            self.place.insert(self.ids[at], at);
        }
        self.ids.pop();
        self.worth.pop();
        self.rows.truncate(last * self.dims);
    }

    fn row(&self, at: usize) -> &[i8] {
        &self.rows[at * self.dims..(at + 1) * self.dims]
    }

    fn vector(&self, id: EntityId) -> Option<Vec<f32>> {
        let at = *self.place.get(&id)?;
        Some(self.row(at).iter().map(|value| f32::from(*value) * self.worth[at]).collect())
    }

    fn count(&mut self, id: EntityId, before: Option<EntityId>, after: Option<EntityId>) {
        let Some(vector) = self.vector(id) else { return };
        for (theme, sign) in [(before, -1), (after, 1)] {
            let Some(theme) = theme else { continue };
            let sum = self.sums.entry(theme).or_default();
            sum.sum.resize(vector.len(), 0);
            sum.sum.iter_mut().zip(&vector).for_each(|(sum, value)| *sum += sign * whole_number(*value));
            sum.members = if sign > 0 { sum.members + 1 } else { sum.members.saturating_sub(1) };
            if sum.members == 0 {
                self.sums.remove(&theme);
            }
        }
    }

    /// Rows by the nearness of their whole numbers, the best `count` of them, in no meaningful order.
    fn first_pass(&self, query: &[f32], count: usize) -> Vec<(usize, f32)> {
        let query = Packed::of(query).values;
        let mut best: Vec<(usize, f32)> = Vec::with_capacity(count.saturating_mul(2).min(self.ids.len() + 1));
        let mut least = f32::MIN;
        let better =
            |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then_with(|| self.ids[a.0].cmp(&self.ids[b.0]));
        for (at, row) in self.rows.chunks_exact(self.dims.max(1)).enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a first look")]
            let near = whole_dot(row, &query) as f32 * self.worth[at];
            if near < least {
                continue;
            }
            best.push((at, near));
            if best.len() >= count.saturating_mul(2) {
                best.select_nth_unstable_by(count - 1, better);
                best.truncate(count);
                least = best.iter().map(|(_, near)| *near).fold(f32::MAX, f32::min);
            }
        }
        if best.len() > count {
            best.select_nth_unstable_by(count - 1, better);
            best.truncate(count);
        }
        best
    }

    fn cosine(&self, at: usize, query: &[f32]) -> f32 {
        let sum: f32 = self.row(at).iter().zip(query).map(|(value, other)| f32::from(*value) * other).sum();
        sum * self.worth[at]
    }
}

fn nearer(a: &(EntityId, f32), b: &(EntityId, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0))
}

/// In lanes, which the compiler makes into vector instructions: products of two such bytes fit 16 bits.
fn whole_dot(a: &[i8], b: &[i8]) -> i32 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0_i32; LANES / 2];
    for (a, b) in a.iter().zip(b) {
        let mut products = [0_i16; LANES];
        for lane in 0..LANES {
            products[lane] = i16::from(a[lane]).wrapping_mul(i16::from(b[lane]));
        }
        for lane in 0..LANES / 2 {
            sums[lane] += i32::from(products[lane]) + i32::from(products[lane + LANES / 2]);
        }
    }
    let rest: i32 = a_rest.iter().zip(b_rest).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
    sums.iter().sum::<i32>() + rest
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Of length one, or nothing at all.
pub(super) fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = dot(&vector, &vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// One whole number's worth in a row of length one; 0: the row has no length.
#[expect(clippy::cast_precision_loss, reason = "at most 127² × dimensions")]
fn worth_of(packed: &Packed) -> f32 {
    let square: i64 = packed.values.iter().map(|value| i64::from(*value) * i64::from(*value)).sum();
    if square == 0 { 0.0 } else { 1.0 / (square as f32).sqrt() }
}

#[expect(clippy::cast_possible_truncation, reason = "a part of a vector of length one")]
fn whole_number(value: f32) -> i64 {
    (value * ONE).round() as i64
}
