//! A quote is a span of what was said, byte for byte, or it is refused.

use std::ops::Range;

/// Where a quote stands in the original. White space and typographic quotation marks may differ (models tidy both); the words
/// and their marks may not. The span that comes back is the original's: what is stored is cut from there, never the model's own
/// spelling.
pub fn find(original: &str, quote: &str) -> Option<Range<usize>> {
    let quote = quote.trim().trim_matches(['"', '\u{201c}', '\u{201d}', '\u{ab}', '\u{bb}']).trim();
    if quote.is_empty() {
        return None;
    }
    if let Some(at) = original.find(quote) {
        return Some(at..at + quote.len());
    }
    let wanted: Vec<char> = flat(quote).map(|(_, c)| c).collect();
    let have: Vec<(usize, char)> = flat(original).collect();
    let starts =
        have.windows(wanted.len()).position(|window| window.iter().map(|(_, c)| *c).eq(wanted.iter().copied()))?;
    let start = have[starts].0;
    let (last, _) = have[starts + wanted.len() - 1];
    let end = last + original[last..].chars().next().map_or(0, char::len_utf8);
    Some(start..end)
}

/// The characters that count, with their places: a run of white space is one space, and typographic signs are plain.
fn flat(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut space = false;
    text.char_indices().filter_map(move |(at, c)| {
        if c.is_whitespace() {
            let first = !space;
            space = true;
            return first.then_some((at, ' '));
        }
        space = false;
        Some((at, plain(c)))
    })
}

fn plain(c: char) -> char {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{2bc}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2013}' | '\u{2014}' => '-',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_found_as_it_was_said() {
        let original = "Hi,\n\nthe  export\nfails for \u{201c}Lumen\u{201d} \u{2014} it\u{2019}s every night. Thanks!";
        let found = |quote: &str| find(original, quote).map(|at| &original[at]);
        assert_eq!(found("it\u{2019}s every night"), Some("it\u{2019}s every night"));
        assert_eq!(
            found("the export fails for \"Lumen\" - it's every night."),
            Some("the  export\nfails for \u{201c}Lumen\u{201d} \u{2014} it\u{2019}s every night.")
        );
        assert_eq!(found("\"every night\""), Some("every night"));
        for altered in ["the exports fail", "it is every night", "every nights", "", "  ", "\"\"", "Export fails"] {
            assert_eq!(found(altered), None, "{altered}");
        }
        assert_eq!(find("", "x"), None);
        assert_eq!(find("caf\u{e9} ferm\u{e9}", "ferm\u{e9}"), Some(6..12));
    }
}
