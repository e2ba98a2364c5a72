//! Slack's own markup, both ways: what people wrote as they read it, and the little Markdown of our messages as Slack shows it.
//!
//! Facts (docs.slack.dev, "Formatting message text", read 2026-11-23): only `&`, `<` and `>` are escaped; `<@U…>`, `<#C…|name>`,
//! `<!here>` and `<https://…|label>` are links; bold is one asterisk.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{array, text};

/// Everybody whom a text mentions.
pub(super) fn mentioned(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for rest in text.split("<@").skip(1) {
        let id: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        if super::is_id(&id) && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// A text as a person reads it. `names` of those who are mentioned, by id.
pub(super) fn plain(text: &str, names: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let Some(end) = rest[at..].find('>') else { break };
        out.push_str(&rest[..at]);
        let inner = &rest[at + 1..at + end];
        let (target, label) = inner.split_once('|').map_or((inner, None), |(target, label)| (target, Some(label)));
        match target.split_at_checked(1) {
            Some(("@", id)) if super::is_id(id) => {
                out.push('@');
                out.push_str(label.or_else(|| names.get(id).map(String::as_str)).unwrap_or(id));
            }
            Some(("#", id)) if super::is_id(id) => {
                out.push('#');
                out.push_str(label.filter(|label| !label.is_empty()).unwrap_or(id));
            }
            Some(("!", what)) if what.starts_with(|c: char| c.is_ascii_lowercase()) => {
                // `<!date^1392734382^{date}|February 18th>`, `<!subteam^S1|@team>`, `<!here>`
                let word = what.split('^').next().unwrap_or_default();
                match label {
                    Some(label) => out.push_str(label),
                    None => {
                        out.push('@');
                        out.push_str(word);
                    }
                }
            }
            // A command's text comes as it was typed: what is no link is somebody's angle brackets.
            _ if !["://", "mailto:", "tel:"].iter().any(|mark| target.contains(mark)) => {
                out.push_str(&rest[at..=at + end]);
            }
            _ => {
                let address = target.strip_prefix("mailto:").or_else(|| target.strip_prefix("tel:")).unwrap_or(target);
                match label {
                    Some(label) if label != address && !address.ends_with(label) => {
                        out.push_str(label);
                        out.push_str(" (");
                        out.push_str(address);
                        out.push(')');
                    }
                    _ => out.push_str(address),
                }
            }
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What a message says: its text, or that of what hangs on it. A forwarded mail and a shared message are such.
pub(super) fn words(message: &Value) -> String {
    let own = text(message, "text").filter(|text| !text.trim().is_empty());
    let hanging = array(message, "attachments").iter().filter_map(|attachment| {
        ["text", "fallback", "title"]
            .into_iter()
            .find_map(|field| text(attachment, field).filter(|text| !text.is_empty()))
    });
    let files = array(message, "files").iter().filter_map(|file| text(file, "title").or_else(|| text(file, "name")));
    own.unwrap_or_else(|| hanging.chain(files).collect::<Vec<_>>().join("\n"))
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Markdown as `mrkdwn`: `**bold**` and `[links](https://…)`. All else stays as it was written.
pub(super) fn mrkdwn(markdown: &str) -> String {
    let markdown = markdown.replace("\r\n", "\n");
    let mut out = String::with_capacity(markdown.len());
    let mut rest = markdown.trim();
    while let Some(at) = rest.find(['[', '*']) {
        out.push_str(&escape(&rest[..at]));
        rest = &rest[at..];
        match if rest.starts_with('[') { link(rest) } else { bold(rest) } {
            Some((text, after)) => {
                out.push_str(&text);
                rest = after;
            }
            None => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out.push_str(&escape(rest));
    out
}

fn link(text: &str) -> Option<(String, &str)> {
    let (label, after) = text.strip_prefix('[')?.split_once("](")?;
    let (url, after) = after.split_once(')')?;
    let safe = url.starts_with("https://") || url.starts_with("http://");
    let plain = !url.contains(|c: char| c.is_whitespace() || "<>|".contains(c)) && !label.contains(['[', '\n', '|']);
    (safe && plain).then(|| (format!("<{}|{}>", url.replace('&', "&amp;"), escape(label)), after))
}

fn bold(text: &str) -> Option<(String, &str)> {
    let (inner, after) = text.strip_prefix("**")?.split_once("**")?;
    (!inner.is_empty() && !inner.contains('\n')).then(|| (format!("*{}*", escape(inner)), after))
}

/// A text in pieces of at most so many characters, cut where a paragraph, a line or a word ends; never within an entity or a link.
pub(super) fn pieces(text: &str, most: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.chars().count() > most {
        let end = rest.char_indices().nth(most).map_or(rest.len(), |(at, _)| at);
        let window = &rest[..end];
        let cut = ["\n\n", "\n", " "]
            .into_iter()
            .find_map(|mark| window.rfind(mark).filter(|at| *at > end / 2))
            .unwrap_or_else(|| whole(window));
        pieces.push(rest[..cut].trim_end().to_owned());
        rest = rest[cut..].trim_start();
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest.to_owned());
    }
    pieces
}

/// Where a text that holds no space may be cut: before an entity or a link that it would cut through.
fn whole(window: &str) -> usize {
    let entity = window.rfind('&').filter(|at| !window[*at..].contains(';') && window.len() - at < 6);
    let link = window.rfind('<').filter(|at| !window[*at..].contains('>'));
    entity.into_iter().chain(link).min().filter(|at| *at > 0).unwrap_or(window.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_read_as_people_see_it() {
        let names = BTreeMap::from([("U1ADA".to_owned(), "Ada Example".to_owned())]);
        for (markup, text) in [
            ("a &lt; b &amp;&amp; c", "a < b && c"),
            ("&amp;lt;", "&lt;"),
            ("<@U1ADA> and <@U2BO>", "@Ada Example and @U2BO"),
            ("<@U2BO|bo> in <#C1GEN|general> and <#C2X>", "@bo in #general and #C2X"),
            ("<!here> <!subteam^S1|@oncall>", "@here @oncall"),
            ("see <https://a.example/x?a=1&amp;b=2|the page>", "see the page (https://a.example/x?a=1&b=2)"),
            ("<https://a.example> <mailto:ada@a.example|ada@a.example>", "https://a.example ada@a.example"),
            ("a < b, unclosed", "a < b, unclosed"),
            ("Vec<String> <@nobody> <!DOCTYPE>", "Vec<String> <@nobody> <!DOCTYPE>"),
        ] {
            assert_eq!(plain(markup, &names), text);
        }
        assert_eq!(mentioned("<@U1ADA> <@U1ADA|ada> <@nobody>"), ["U1ADA"]);
    }

    #[test]
    fn our_markdown_becomes_theirs() {
        for (markdown, text) in [
            ("It **shipped** <now> & here", "It *shipped* &lt;now&gt; &amp; here"),
            ("[notes](https://a.example/?a=1&b=2)", "<https://a.example/?a=1&amp;b=2|notes>"),
            ("[x](javascript:1) 2 * 3 ** 4", "[x](javascript:1) 2 * 3 ** 4"),
            ("<@U1>", "&lt;@U1&gt;"),
        ] {
            assert_eq!(mrkdwn(markdown), text);
        }
    }

    #[test]
    fn long_texts_are_cut_between_words_and_lose_nothing() {
        let text = "word ".repeat(30);
        let cut = pieces(text.trim(), 40);
        assert!(cut.len() > 3 && cut.iter().all(|piece| piece.chars().count() <= 40), "{cut:?}");
        assert_eq!(cut.join(" "), text.trim());
        assert_eq!(pieces("é".repeat(10).as_str(), 4), ["éééé", "éééé", "éé"]);
        assert_eq!(pieces("aaaaaa&amp;bbb", 8), ["aaaaaa", "&amp;bbb"]);
        assert_eq!(pieces("", 8), [""]);
    }
}
