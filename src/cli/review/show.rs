//! What waits, as a person looks at it: words that made the verdict stand out, and two sides stand side by side.

use crate::cli::Out;
use crate::cli::out::plain;
use crate::review::queue::{Card, Shown, Waiting};

/// What a proposal proposes, in a line.
pub(super) fn proposed(waiting: &Waiting, proposal: &Shown) -> String {
    let of = |card: &Card| format!("{} {}", card.short_id, card.title);
    let other = proposal.other.as_ref().map(of).unwrap_or_default();
    match proposal.what.as_str() {
        "duplicate" => format!("is it one with {other}? {:.2}", proposal.confidence),
        "merge_themes" => format!("merge it into {other}? {:.2}", proposal.confidence),
        "split_theme" => format!("split {} items off? {:.2}", proposal.items.len(), proposal.confidence),
        "verify_theme" => format!("does it hold? {}", proposal.because),
        other => format!("{other} of {}", waiting.item.short_id),
    }
}

/// All of it.
pub(super) fn whole(waiting: &Waiting, out: &Out) -> String {
    let item = &waiting.item;
    let mut lines = vec![String::new(), out.bold(&format!("{}  {}", item.short_id, item.title))];
    lines.extend(about(item));
    if !item.text.is_empty() {
        let reasons = waiting.suggestions.iter().filter_map(|said| said.because.as_deref());
        let words: Vec<&str> = reasons.flat_map(words).collect();
        lines.push(String::new());
        lines.extend(wrap(&item.text, WIDTH).iter().map(|line| format!("  {}", marked(line, &words, out))));
    }
    lines.push(String::new());
    for said in &waiting.suggestions {
        let because = said.because.as_deref().map(|because| format!("  because of {because}")).unwrap_or_default();
        let draft = if said.stands { "" } else { "  (not set yet)" };
        let line = format!("  {:<10} {:<18} {:.2}{draft}", said.field, said.shown, said.confidence);
        lines.push(format!("{line}{}", out.faint(&because)));
    }
    if let Some(conflict) = &waiting.conflict {
        let place = format!("{}.{} {}", conflict.connection, conflict.collection, conflict.field);
        lines.push(format!("  {place}: both sides changed it"));
        lines.push(format!("  ours    {}", plain(&conflict.ours)));
        lines.push(format!("  theirs  {}", plain(&conflict.theirs)));
    }
    if let Some(proposal) = &waiting.proposal {
        lines.push(format!("  {}", proposed(waiting, proposal)));
        if !proposal.because.is_empty() && proposal.what != "verify_theme" {
            lines.push(out.faint(&format!("  because of {}", proposal.because)));
        }
        match &proposal.other {
            Some(other) => lines.extend(side_by_side(item, other)),
            None => lines.extend(proposal.items.iter().map(|card| format!("  - {}  {}", card.short_id, card.title))),
        }
    }
    lines.join("\n")
}

const WIDTH: usize = 100;
const COLUMN: usize = 48;
/// Lines of each side.
const LINES: usize = 12;

fn about(card: &Card) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(customer) = &card.customer {
        parts.push(customer.clone());
    }
    if let Some(arr) = card.arr {
        parts.push(format!("ARR {arr:.0}"));
    }
    if !card.segment.is_empty() {
        parts.push(card.segment.clone());
    }
    if card.risk > 0.0 {
        parts.push(format!("risk {:.2}", card.risk));
    }
    let line = (!parts.is_empty()).then(|| format!("  {}", parts.join(" · ")));
    line.into_iter().chain(card.url.as_ref().map(|url| format!("  {url}"))).collect()
}

/// The words of a reason: what stands between quotes, or between commas where nothing is quoted.
fn words(because: &str) -> Vec<&str> {
    let quoted: Vec<&str> = because.split(['"', '“', '”', '`']).skip(1).step_by(2).collect();
    let found = if quoted.is_empty() { because.split(',').map(str::trim).collect() } else { quoted };
    found.into_iter().filter(|word| word.chars().count() > 2).collect()
}

/// A line with these words bold, whatever their case.
fn marked(line: &str, words: &[&str], out: &Out) -> String {
    let lower = line.to_lowercase();
    // Where lower case is longer than upper, places do not match: it is shown plain.
    if lower.len() != line.len() {
        return line.to_owned();
    }
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for word in words {
        let word = word.to_lowercase();
        let found = lower.match_indices(&word).map(|(at, _)| (at, at + word.len()));
        spans.extend(found.filter(|(from, to)| line.is_char_boundary(*from) && line.is_char_boundary(*to)));
    }
    spans.sort_unstable();
    let (mut text, mut at) = (String::new(), 0);
    for (from, to) in spans {
        if from >= at {
            text.push_str(&line[at..from]);
            text.push_str(&out.bold(&line[from..to]));
            at = to;
        }
    }
    text.push_str(&line[at..]);
    text
}

/// Lines of at most so many letters, broken between words where it can be.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

fn side_by_side(left: &Card, right: &Card) -> Vec<String> {
    let column = |card: &Card| {
        let mut lines = vec![format!("{}  {}", card.short_id, card.title)];
        lines.extend(about(card).into_iter().map(|line| line.trim().to_owned()));
        let tags = [&card.category, &card.severity, &card.product].into_iter().flatten().cloned().collect::<Vec<_>>();
        lines.push(tags.join(" · "));
        lines.push(String::new());
        lines.push(card.text.clone());
        let mut lines: Vec<String> = lines.iter().flat_map(|line| wrap(line, COLUMN)).collect();
        if lines.len() > LINES {
            lines.truncate(LINES - 1);
            lines.push("…".to_owned());
        }
        // A word longer than a column (an address) is cut: the item's own page has it.
        lines.into_iter().map(|line| line.chars().take(COLUMN).collect::<String>()).collect::<Vec<_>>()
    };
    let (left, right) = (column(left), column(right));
    let at = |lines: &[String], n: usize| lines.get(n).cloned().unwrap_or_default();
    let rows = (0..left.len().max(right.len())).map(|n| {
        let (left, right) = (at(&left, n), at(&right, n));
        let pad = " ".repeat(COLUMN.saturating_sub(left.chars().count()));
        format!("  {left}{pad} │ {right}").trim_end().to_owned()
    });
    std::iter::once(String::new()).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_in_the_text() {
        assert_eq!(words("\"crashes\", \"after the update\""), ["crashes", "after the update"]);
        assert_eq!(words("crashes, it"), ["crashes"]);
        let out = Out::new(None, false, false, 0);
        assert_eq!(marked("It crashes İ", &["crash"], &out), "It crashes İ", "never out of place");
    }

    #[test]
    fn two_sides_stand_beside_each_other() {
        let card = |id: &str, text: &str| Card { short_id: id.into(), text: text.into(), ..Card::default() };
        let lines = side_by_side(&card("FB-1", &"word ".repeat(200)), &card("FB-2", "short"));
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines[1].contains("FB-1") && lines[1].contains("│ FB-2"), "{lines:#?}");
        assert!(lines.iter().all(|line| line.chars().count() <= 2 * COLUMN + 6));
    }
}
