//! Stand-in until the real one lands.
use std::ops::Range;
/// Sentences.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        if matches!(c, '.' | '!' | '?' | '\n') {
            let end = at + c.len_utf8();
            if !text[start..end].trim().is_empty() {
                let lead = text[start..end].len() - text[start..end].trim_start().len();
                out.push(start + lead..end);
            }
            start = end;
        }
    }
    if !text[start..].trim().is_empty() {
        let lead = text[start..].len() - text[start..].trim_start().len();
        out.push(start + lead..text.len());
    }
    out
}
