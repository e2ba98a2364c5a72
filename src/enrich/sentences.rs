//! Where the sentences of a text are, as byte ranges, so that one can be quoted byte for byte.
//!
//! Law: the ranges are in order, apart, not empty, on character boundaries, and begin and end with something to read; together
//! they hold all of the text but spaces and the marks of lists.

use std::ops::Range;

/// After these a full stop ends no sentence. Folded to small letters, without their last stop.
const SHORT: &[&str] = &[
    "e.g", "i.e", "mr", "mrs", "ms", "dr", "prof", "vs", "approx", "no", "fig", "st", "inc", "ltd", "jr", "sr", "al",
    "cf", "dept", "est", "min", "max", "vol", "p", "pp", "p.ex", "ex", "m", "mm", "mme", "mlle", "me", "env", "art",
    "tél", "tel", "réf", "ref", "z.b", "bzw", "ca", "nr", "usw", "hr", "fr",
];

/// The sentences of a text.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for piece in pieces(text) {
        let mut start = piece.start;
        let mut at = piece.start;
        while at < piece.end {
            let end = match text[at..piece.end].chars().next() {
                Some(c) if is_end(c) => stop(text, start, at, piece.end),
                Some(c) => {
                    at += c.len_utf8();
                    continue;
                }
                None => break,
            };
            let (next, ends) = end;
            if ends {
                push(text, start..next, &mut found);
                start = next;
            }
            at = next;
        }
        push(text, start..piece.end, &mut found);
    }
    found
}

fn is_end(c: char) -> bool {
    matches!(
        c,
        '.' | '!' | '?' | '\u{2026}' | '\u{3002}' | '\u{ff01}' | '\u{ff1f}' | '\u{ff0e}' | '\u{61f}' | '\u{964}'
    )
}

/// Marks that belong to the sentence before them.
fn is_closing(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | ')'
            | ']'
            | '}'
            | '\u{201d}'
            | '\u{2019}'
            | '\u{bb}'
            | '\u{300d}'
            | '\u{300f}'
            | '\u{ff09}'
            | '*'
            | '_'
            | '`'
    )
}

/// Where the run of marks that begins at `at` is over, and whether a sentence is.
fn stop(text: &str, start: usize, at: usize, end: usize) -> (usize, bool) {
    let run = |from: usize, of: fn(char) -> bool| {
        text[from..end].char_indices().find(|(_, c)| !of(*c)).map_or(end, |(more, _)| from + more)
    };
    let marks = run(at, is_end);
    let mut next = run(marks, is_closing);
    let mark = &text[at..marks];
    let after = text[next..end].chars().next();
    // « Vraiment ? » : a space stands before the closing mark.
    if after.is_some_and(|c| matches!(c, ' ' | '\u{a0}' | '\u{202f}')) {
        let space = after.map_or(0, char::len_utf8);
        if text[next + space..end].starts_with('\u{bb}') {
            next += space + '\u{bb}'.len_utf8();
        }
    }
    let after = text[next..end].chars().next();
    // Where no spaces are set, a mark is enough.
    if mark.chars().any(|c| matches!(c, '\u{3002}' | '\u{ff01}' | '\u{ff1f}' | '\u{ff0e}')) {
        return (next, true);
    }
    let Some(after) = after else { return (next, true) };
    if !after.is_whitespace() {
        // 3.1, example.com, file.rs
        return (next, false);
    }
    let ahead = text[next..end].trim_start().chars().next();
    let goes_on = ahead.is_some_and(char::is_lowercase);
    if mark == "." {
        let word = text[start..at].rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | '\u{ab}')).next();
        let word = word.unwrap_or_default().to_lowercase();
        let initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
        // `No.` is short before a number only.
        let short = SHORT.contains(&word.as_str()) && (word != "no" || ahead.is_some_and(char::is_numeric));
        return (next, !(short || initial && !text[start..at].trim().is_empty() && word != "i"));
    }
    // A pause: « well … maybe ».
    let pause = mark.starts_with("..") || mark.starts_with('\u{2026}');
    (next, !(pause && goes_on))
}

/// The parts between which no sentence reaches: paragraphs, items of lists, lines that begin anew.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    let mut joined = false;
    for line in text.split_inclusive('\n') {
        let (from, to) = (at, at + line.len());
        at = to;
        let body = line.trim_start();
        if body.is_empty() {
            joined = false;
            continue;
        }
        let mark = list_mark(body);
        let begin = from + (line.len() - body.len()) + mark;
        // A line that goes on in small letters is the one before, wrapped.
        let goes_on = mark == 0 && body.chars().next().is_some_and(char::is_lowercase);
        match pieces.last_mut().filter(|_| joined && goes_on) {
            Some(last) => last.end = to,
            None => pieces.push(begin..to),
        }
        joined = true;
    }
    pieces
}

/// Bytes of what marks an item of a list, or a quoted line, at the beginning of a line.
fn list_mark(line: &str) -> usize {
    let after = line.trim_start_matches(['>', ' ']);
    let quoted = line.len() - after.len();
    let bullet = ["- ", "* ", "+ ", "\u{2022} ", "\u{2013} ", "\u{2014} ", "\u{b7} "]
        .iter()
        .find(|mark| after.starts_with(**mark));
    if let Some(bullet) = bullet {
        return quoted + bullet.len();
    }
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &after[digits..];
    if (1..=3).contains(&digits) && (rest.starts_with(". ") || rest.starts_with(") ")) {
        return quoted + digits + 2;
    }
    quoted
}

fn push(text: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    let here = &text[range.clone()];
    let start = range.start + (here.len() - here.trim_start().len());
    let end = range.start + here.trim_end().len();
    if start < end && text[start..end].chars().any(char::is_alphanumeric) {
        found.push(start..end);
    } else if start < end
        && let Some(last) = found.last_mut().filter(|last| text[last.end..start].chars().all(char::is_whitespace))
    {
        // A lone mark belongs to what it follows.
        last.end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::sentences;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        assert_eq!(split("It fails. Why? No idea!"), ["It fails.", "Why?", "No idea!"]);
        assert_eq!(split("Use v3.1, e.g. on example.com. Thanks."), ["Use v3.1, e.g. on example.com.", "Thanks."]);
        assert_eq!(
            split("Dr. Pine and J. Oak agree. So do I. Really."),
            ["Dr. Pine and J. Oak agree.", "So do I.", "Really."]
        );
        assert_eq!(split("No. We won't. See No. 5 for that."), ["No.", "We won't.", "See No. 5 for that."]);
        assert_eq!(split("well... maybe later. it crashes"), ["well... maybe later.", "it crashes"]);
    }

    #[test]
    fn quotes_and_french_marks_stay_with_their_sentence() {
        assert_eq!(split("He said \"it broke.\" Then he left."), ["He said \"it broke.\"", "Then he left."]);
        assert_eq!(
            split("Elle a dit : « C'est cassé ! » Puis plus rien. M. Dupré attend."),
            ["Elle a dit : « C'est cassé ! »", "Puis plus rien.", "M. Dupré attend."]
        );
    }

    #[test]
    fn lists_paragraphs_and_wrapped_lines() {
        let text = "We need:\n- dark mode\n- exports. Daily.\n1. first\n> quoted\n\nA line that is\nwrapped. End";
        assert_eq!(
            split(text),
            ["We need:", "dark mode", "exports.", "Daily.", "first", "quoted", "A line that is\nwrapped.", "End"]
        );
    }

    #[test]
    fn scripts_without_spaces() {
        assert_eq!(split("它崩溃了。请修复！谢谢"), ["它崩溃了。", "请修复！", "谢谢"]);
    }

    #[test]
    fn ranges_are_in_order_apart_and_whole() {
        for text in [
            "",
            "...",
            "\n\n",
            "?!? a",
            "😀. 😀! ok",
            "- \n* \n1. ",
            "a\u{2026} b\u{2026} C",
            "x .",
            "\u{feff}Hi. \u{a0}",
        ] {
            let mut last = 0;
            for range in sentences(text) {
                assert!(range.start >= last && range.start < range.end, "{text:?}");
                assert!(!text[range.clone()].trim().is_empty());
                last = range.end;
            }
        }
    }
}
