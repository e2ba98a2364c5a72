//! Readable text of an HTML fragment.
//!
//! The law: it ends soon whatever comes. Layout takes time by the depth of the tags (40,000 nested ones take minutes), so
//! what is nested as no message is gets its tags stripped instead. Text that is not HTML passes unchanged: code in a
//! plain-text message may hold `<` and `&`.

use super::value::cut;

/// Deeper than any mail client nests.
const MAX_DEPTH: usize = 100;
const MAX_TABLES: usize = 6;
const MAX_TAGS: usize = 10_000;

/// Tags by which HTML is recognised.
const TAGS: &[&str] = &[
    "a",
    "b",
    "blockquote",
    "body",
    "br",
    "code",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "html",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "span",
    "strong",
    "table",
    "td",
    "tr",
    "u",
    "ul",
];
/// Tags that hold nothing or that the next one closes.
const OPEN_ENDED: &[&str] = &["br", "hr", "img", "input", "li", "link", "meta", "p", "td", "th", "tr", "wbr"];

pub(super) fn to_text(html: &str) -> String {
    let seen = survey(html);
    if !seen.is_html {
        return html.trim().to_owned();
    }
    if seen.depth > MAX_DEPTH || seen.tables > MAX_TABLES || seen.tags > MAX_TAGS {
        return strip(html);
    }
    // Wide enough never to break a line of its own.
    let plain = html2text::config::plain_no_decorate().no_table_borders().link_footnotes(false);
    let Ok(text) = plain.string_from_read(html.as_bytes(), 100_000) else { return strip(html) };
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    cut(lines.join("\n").trim()).into_owned()
}

#[derive(Default)]
struct Survey {
    is_html: bool,
    tags: usize,
    /// The most tags, and tables, that stand open at once.
    depth: usize,
    tables: usize,
}

fn survey(html: &str) -> Survey {
    let mut seen = Survey::default();
    let (mut depth, mut tables) = (0_usize, 0_usize);
    for piece in html.split('<').skip(1) {
        let (closes, name) = piece.strip_prefix('/').map_or((false, piece), |name| (true, name));
        let name: String =
            name.chars().take_while(char::is_ascii_alphanumeric).take(12).collect::<String>().to_ascii_lowercase();
        if name.is_empty() {
            continue;
        }
        seen.tags += 1;
        seen.is_html |= TAGS.contains(&name.as_str()) && piece.contains('>');
        if closes {
            depth = depth.saturating_sub(1);
            tables = tables.saturating_sub(usize::from(name == "table"));
        } else if !OPEN_ENDED.contains(&name.as_str()) {
            depth += 1;
            tables += usize::from(name == "table");
        }
        seen.depth = seen.depth.max(depth);
        seen.tables = seen.tables.max(tables);
    }
    seen
}

fn strip(html: &str) -> String {
    let mut text = String::new();
    for (at, piece) in html.split('<').enumerate() {
        let words = if at == 0 { piece } else { piece.split_once('>').map_or("", |(_, words)| words) };
        if at > 0 && !text.ends_with([' ', '\n']) {
            text.push(' ');
        }
        text.push_str(words);
    }
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&nbsp;", " ")
        .replace("&amp;", "&");
    text.trim().to_owned()
}
