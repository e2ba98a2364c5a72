//! Where sentences stand, as spans of the original, byte for byte.

/// The sentences of a text, each a span of it, without the space around.
pub fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.char_indices().find_map(|(at, c)| {
                let after = &rest[at + c.len_utf8()..];
                let ends =
                    matches!(c, '.' | '!' | '?' | '…') && (after.is_empty() || after.starts_with(char::is_whitespace));
                ends.then_some(at + c.len_utf8())
            });
            let (sentence, after) = rest.split_at(end.unwrap_or(rest.len()));
            if !sentence.trim().is_empty() {
                sentences.push(sentence.trim());
            }
            rest = after;
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_spans_of_their_text() {
        let text = "Hi team,\n\nThe export fails. Version 2.0 did not!  Why?\r\nNous partons…";
        assert_eq!(sentences(text), ["Hi team,", "The export fails.", "Version 2.0 did not!", "Why?", "Nous partons…"]);
        assert_eq!(sentences(" \n "), [""; 0]);
    }
}
