//! Rich text: cut into the pieces that Notion takes, with lists of addresses that people can click. (Notion "rich text" and
//! "request limits", read 2026-11-23.)

use serde_json::{Value, json};

use super::values::SHOWN;
use crate::spelling::{beginning, cut_mark, units};

/// A piece of rich text holds so much. Counted in UTF-16 units, the strictest reading of "characters".
pub(super) const PIECE: usize = 2_000;
/// Pieces in a text.
pub(super) const MOST: usize = 100;
/// A request takes 500 KB; a text leaves room for others.
const MAX_BYTES: usize = 150_000;
pub(super) const MAX_URL: usize = 2_000;

/// Rich text of pieces that Notion takes; no letter is parted.
pub(super) fn pieces(text: &str) -> Value {
    if let Some(linked) = addresses(text) {
        return linked;
    }
    let mut pieces: Vec<String> = Vec::new();
    let mut room = 0;
    for letter in text.chars() {
        let takes = letter.len_utf16();
        match pieces.last_mut() {
            Some(piece) if takes <= room => piece.push(letter),
            _ => {
                pieces.push(letter.into());
                room = PIECE;
            }
        }
        room -= takes;
    }
    pieces.iter().map(|piece| json!({ "type": "text", "text": { "content": piece } })).collect()
}

/// A list of addresses and nothing else, a line each: without a link of its own, an address is mere text to whoever reads the
/// page. What customers write among other words is not made a link. `None`: another text, or too many for a page to show.
fn addresses(text: &str) -> Option<Value> {
    let lines: Vec<&str> = text.split('\n').collect();
    let is_address = |line: &&str| {
        let web = line.starts_with("https://") || line.starts_with("http://");
        web && !line.contains(char::is_whitespace) && units(line) <= MAX_URL
    };
    // A piece for each, and one for each end of line between them.
    if lines.len() * 2 > SHOWN || !lines.iter().all(is_address) {
        return None;
    }
    let mut pieces = Vec::new();
    for line in lines {
        if !pieces.is_empty() {
            pieces.push(json!({ "type": "text", "text": { "content": "\n" } }));
        }
        pieces.push(json!({ "type": "text", "text": { "content": line, "link": { "url": line } } }));
    }
    Some(Value::Array(pieces))
}

/// Text beyond what a property takes ends visibly.
pub(super) fn cut(text: String) -> String {
    let most = PIECE * MOST;
    if text.len() <= MAX_BYTES && (text.len() <= most || units(&text) <= most) {
        return text;
    }
    let mark = cut_mark(&text);
    // Each piece may end one unit early, before a letter of two.
    format!("{}{mark}", beginning(&text, most - MOST - units(&mark), MAX_BYTES - mark.len()))
}
