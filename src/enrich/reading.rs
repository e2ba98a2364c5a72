//! Reads a text once: bounds it, leaves out what is not its author's prose, and cuts it into folded words.
//!
//! Law: the work is bounded by [`HEAD`] + [`TAIL`] whatever comes in, and the same text always reads the same. A word keeps
//! its place in the original, so that a judgement can show the words it rests on.

use std::ops::Range;

use super::Text;
use super::markdown::{Label, Page, label};

/// Characters of the body that are read from its beginning, and from its end when it is longer than both together.
pub const HEAD: usize = 6_000;
pub const TAIL: usize = 2_000;
const TITLE: usize = 500;
/// Letters of a word that count; what is longer is a token, a path or a hash.
const WORD: usize = 24;
/// Words that a title's label may have.
const LABEL: usize = 3;

#[derive(Clone, Debug)]
pub struct Word {
    /// Its letters in [`Reading::letters`], padded by one space on each side.
    padded: Range<usize>,
    /// Its place in [`Reading::shown`].
    place: Range<usize>,
    /// No bigram may reach over a sentence or line end before it.
    pub begins: bool,
}

/// What is read of a text.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    shown: String,
    letters: Vec<char>,
    words: Vec<Word>,
    /// Words that are the title's.
    pub title_words: usize,
    /// Its words up to a closing bracket or colon, where it opens with such a label: `[BUG CLIENT]:`, `feat:`.
    pub label_words: usize,
    pub question: bool,
    pub exclaims: bool,
    /// The title asks, by its mark or by its first word.
    pub title_asks: bool,
    pub code: bool,
    /// It shows a stack trace or a program's error.
    pub trace: bool,
    /// A form of a bug, a request, a question was filled in.
    pub forms: [bool; 3],
    /// What the title's label or the form says it is.
    pub label: Option<Label>,
    /// Alphabetic characters, and those of them that are Latin.
    alphabetic: u32,
    latin: u32,
}

impl Reading {
    pub fn of(text: &Text) -> Self {
        let mut reading = Self::default();
        let title = prefix(&text.title, TITLE);
        reading.read(title);
        reading.title_words = reading.words.len();
        let asks = [
            "how", "what", "why", "where", "which", "when", "who", "is", "are", "can", "could", "does", "do", "should",
            "comment", "pourquoi", "quel", "quelle", "ou", "est",
        ];
        let opens = reading.words.first().map(|word| reading.folded(word).iter().collect::<String>());
        reading.title_asks = reading.question || opens.is_some_and(|word| asks.contains(&word.as_str()));
        let head = prefix(&text.body, HEAD);
        let rest = &text.body[head.len()..];
        let tail = suffix(rest, TAIL);
        let mut page = Page::default();
        // A word must not grow together over the cut; without one the two parts are one text anyway.
        for line in head.lines().chain(tail.lines()) {
            for piece in page.prose(line) {
                reading.read(piece);
            }
        }
        // Where there is no title, a text may open with what would be its label.
        let opening = if title.trim().is_empty() { head.lines().next().unwrap_or_default() } else { title };
        reading.label_words = label_words(opening).min(reading.words.len());
        let labelled = reading.words[..reading.label_words]
            .iter()
            .find_map(|word| label(&reading.folded(word).iter().collect::<String>()));
        reading.label = labelled.or(page.label);
        (reading.code, reading.trace, reading.forms) = (page.code, page.trace, page.forms);
        reading
    }

    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// Folded letters between two spaces.
    pub fn padded(&self, word: &Word) -> &[char] {
        &self.letters[word.padded.clone()]
    }

    /// Folded letters.
    pub fn folded(&self, word: &Word) -> &[char] {
        &self.letters[word.padded.start + 1..word.padded.end - 1]
    }

    /// The words as they stood, from the first to the last of the range.
    pub fn shown(&self, words: Range<usize>) -> &str {
        match (self.words.get(words.start), words.end.checked_sub(1).and_then(|last| self.words.get(last))) {
            (Some(first), Some(last)) if first.place.start <= last.place.end => {
                &self.shown[first.place.start..last.place.end]
            }
            _ => "",
        }
    }

    /// All that was read, without code, links and comments.
    pub fn prose(&self) -> &str {
        &self.shown
    }

    /// The share of its letters that are Latin; 0 where there are none.
    pub fn latin(&self) -> f64 {
        if self.alphabetic == 0 { 0.0 } else { f64::from(self.latin) / f64::from(self.alphabetic) }
    }

    /// Adds a line.
    fn read(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        let base = self.shown.len();
        self.shown.push_str(line);
        self.shown.push('\n');
        let mut begins = true;
        let mut word: Option<(usize, usize, bool)> = None; // place, letters, ideographs
        let mut link = false;
        for (at, c) in line.char_indices().chain([(line.len(), '\n')]) {
            if link {
                link = !c.is_whitespace();
                continue;
            }
            if c.is_alphanumeric() {
                let ideograph = is_ideograph(c);
                if let Some((place, start, _)) = word.take_if(|(_, _, before)| *before != ideograph) {
                    // `Codestral支持`: a name within a script that sets no spaces.
                    self.close(start, place..base + at, begins);
                    begins = false;
                }
                let (_, start, _) = *word.get_or_insert_with(|| {
                    self.letters.push(' ');
                    (base + at, self.letters.len() - 1, ideograph)
                });
                if self.letters.len() - start <= WORD {
                    fold(c, &mut self.letters);
                }
                if c.is_alphabetic() {
                    self.alphabetic += 1;
                    self.latin += u32::from(is_latin(c));
                }
                continue;
            }
            if let Some((place, start, _)) = word.take() {
                if line[at..].starts_with("://") {
                    self.letters.truncate(start);
                    link = true;
                    continue;
                }
                self.close(start, place..base + at, begins);
                begins = false;
            }
            match c {
                '?' | '？' => (self.question, begins) = (true, true),
                '!' | '！' => (self.exclaims, begins) = (true, true),
                '.' | ';' | ':' | '。' => begins = true,
                _ => {}
            }
        }
    }

    fn close(&mut self, start: usize, place: Range<usize>, begins: bool) {
        self.letters.truncate(start + 1 + WORD);
        self.letters.push(' ');
        self.words.push(Word { padded: start..self.letters.len(), place, begins });
    }
}

fn label_words(title: &str) -> usize {
    let title = title.trim_start();
    let label = match title.strip_prefix('[') {
        Some(inside) => inside.split([']', ':']).next(),
        None => title.split_once(':').map(|(label, _)| label),
    };
    let count =
        label.map_or(0, |label| label.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).count());
    if count <= LABEL { count } else { 0 }
}

fn prefix(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}

fn suffix(text: &str, chars: usize) -> &str {
    let Some(last) = chars.checked_sub(1) else { return "" };
    text.char_indices().rev().nth(last).map_or(text, |(start, _)| &text[start..])
}

fn is_latin(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '\u{aa}' | '\u{ba}' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Lower case, no accents, every digit the same: `Été 2024` and `ete 2025` are one. Customers write French both ways.
fn fold(c: char, into: &mut Vec<char>) {
    match c {
        'a'..='z' => into.push(c),
        'A'..='Z' => into.push(c.to_ascii_lowercase()),
        '0'..='9' => into.push('0'),
        _ => {
            for low in c.to_lowercase() {
                match low {
                    'à'..='å' => into.push('a'),
                    'ç' => into.push('c'),
                    'è'..='ë' => into.push('e'),
                    'ì'..='ï' => into.push('i'),
                    'ñ' => into.push('n'),
                    'ò'..='ö' | 'ø' => into.push('o'),
                    'ù'..='ü' => into.push('u'),
                    'ý' | 'ÿ' => into.push('y'),
                    'œ' => into.extend(['o', 'e']),
                    'æ' => into.extend(['a', 'e']),
                    'ß' => into.extend(['s', 's']),
                    '\u{300}'..='\u{36f}' => {}
                    _ if low.is_numeric() => into.push('0'),
                    _ => into.push(low),
                }
            }
        }
    }
}

/// A phrase folded in the same way, for tables of words to look for.
pub fn fold_phrase(phrase: &str) -> Vec<Vec<char>> {
    let folded = |word: &str| {
        let mut letters = Vec::new();
        word.chars().for_each(|c| fold(c, &mut letters));
        letters.truncate(WORD);
        letters
    };
    phrase.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(folded).collect()
}
