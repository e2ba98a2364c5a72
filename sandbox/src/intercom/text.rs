//! HTML as Intercom keeps it, and the plain text that it makes of it.
//!
//! What the sheet leaves open, and what is assumed here: a body without markup becomes one paragraph, and HTML comments
//! do not survive. (A client that hides its marker in a comment would lose it.)

/// A body as it is kept.
pub(super) fn html(body: &str) -> String {
    let body = without_comments(body);
    let body = body.trim();
    if body.is_empty() || body.starts_with('<') {
        return body.to_owned();
    }
    let escaped = body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // An author who wrote some markup inside a sentence meant it.
    let inner = if body.contains("</") || body.contains("/>") { body.to_owned() } else { escaped };
    format!("<p>{}</p>", inner.replace('\n', "<br>"))
}

/// `display_as=plaintext`, and webhooks since 2.15.
pub(super) fn plain(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some((before, tag_on)) = rest.split_once('<') {
        out.push_str(before);
        let (tag, after) = tag_on.split_once('>').unwrap_or((tag_on, ""));
        let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        let closes_block = tag.starts_with('/')
            && matches!(name.as_str(), "p" | "div" | "li" | "h1" | "h2" | "h3" | "pre" | "ul" | "ol");
        if (closes_block || name == "br") && !out.ends_with('\n') {
            out.push('\n');
        }
        rest = after;
    }
    out.push_str(rest);
    let text = out
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&nbsp;", " ");
    text.replace("&amp;", "&").trim().to_owned()
}

fn without_comments(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once("<!--") {
        out.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, rest)| rest);
    }
    out + rest
}
