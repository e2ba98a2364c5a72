//! A message, as one reads it who does not know who wrote it: which part is data, its paragraphs and sentences, and what in it poses
//! as an instruction.

use serde_json::Value;

/// All texts of a request, one after another.
pub(super) fn all(body: &Value) -> String {
    let mut texts = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        texts.push(content(&message["content"]));
    }
    match &body["input"] {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(inputs) => texts.extend(inputs.iter().filter_map(Value::as_str).map(str::to_owned)),
        _ => {}
    }
    texts.join("\n")
}

/// A message's text: itself, or the texts among its chunks.
pub(super) fn content(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(chunks) => chunks.iter().filter_map(|chunk| chunk["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// A part of a message that is set off from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block<'t> {
    pub(super) text: &'t str,
    /// What closes it cannot be guessed by who wrote the text: both delimiters hold a nonce.
    pub(super) sealed: bool,
}

/// The parts that are data, in their order: between two lines that share a nonce, else between tags, else between fences, else all.
pub(super) fn blocks(message: &str) -> Vec<Block<'_>> {
    let found =
        [between_nonces, between_tags, between_fences].iter().map(|find| find(message)).find(|found| !found.is_empty());
    found.unwrap_or_else(|| vec![Block { text: message.trim(), sealed: false }])
}

/// Lines with where they begin and end.
fn lines(message: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let mut at = 0;
    message.split_inclusive('\n').map(move |line| {
        let begin = at;
        at += line.len();
        (begin, at, line.trim())
    })
}

fn is_nonce(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    word.len() >= 6 && digits > 0 && (digits < word.len() || word.len() >= 8)
}

/// The nonces of a line that delimits: it begins with a mark, or with the nonce.
fn nonces(line: &str) -> Vec<&str> {
    let mut words = line.split(|c: char| !c.is_alphanumeric());
    if line.is_empty() || line.len() > 160 || !words.next().is_some_and(|first| first.is_empty() || is_nonce(first)) {
        return Vec::new();
    }
    line.split(|c: char| !c.is_alphanumeric()).filter(|word| is_nonce(word)).collect()
}

fn between_nonces(message: &str) -> Vec<Block<'_>> {
    let marks: Vec<(usize, usize, Vec<&str>)> = lines(message)
        .map(|(begin, end, line)| (begin, end, nonces(line)))
        .filter(|(_, _, words)| !words.is_empty())
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((_, end, words)) = marks.get(at) {
        let closing = marks
            .iter()
            .enumerate()
            .skip(at + 1)
            .find(|(_, (_, _, other))| words.iter().any(|word| other.contains(word)));
        let Some((place, (begin, _, _))) = closing else {
            at += 1;
            continue;
        };
        found.extend(message.get(*end..*begin).map(|text| Block { text: text.trim(), sealed: true }));
        at = place + 1;
    }
    found
}

fn between_tags(message: &str) -> Vec<Block<'_>> {
    const MARKUP: [&str; 8] = ["code", "span", "table", "strong", "html", "body", "script", "style"];
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = message.get(at..).and_then(|rest| rest.find('<')).map(|place| at + place) {
        at = open + 1;
        let rest = &message[at..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || "_-:".contains(*c)).collect();
        let Some(end) = rest.find('>').filter(|end| *end < 160) else { continue };
        if name.len() < 4 || MARKUP.contains(&name.to_lowercase().as_str()) {
            continue;
        }
        let begin = at + end + 1;
        let closing = format!("</{name}");
        let Some(close) = message[begin..].find(&closing).map(|place| begin + place) else { continue };
        let sealed = name.split(['-', '_', ':']).any(is_nonce);
        found.push(Block { text: message[begin..close].trim(), sealed });
        at = close + closing.len();
    }
    found
}

/// Only where little follows the last one: a text may hold code of its own.
fn between_fences(message: &str) -> Vec<Block<'_>> {
    for fence in ["\"\"\"", "```", "~~~"] {
        let marks: Vec<(usize, usize)> =
            lines(message).filter(|(_, _, line)| line.starts_with(fence)).map(|(begin, end, _)| (begin, end)).collect();
        let pairs = marks.chunks_exact(2).filter_map(|pair| message.get(pair.first()?.1..pair.get(1)?.0));
        let found: Vec<Block<'_>> = pairs.map(|text| Block { text: text.trim(), sealed: false }).collect();
        let after = marks.last().map_or(usize::MAX, |(_, end)| message.len() - end);
        if !found.is_empty() && after < 200 {
            return found;
        }
    }
    Vec::new()
}

/// What somebody said in one go: a line of a conversation, else what stands between empty lines.
pub(super) fn paragraphs(text: &str) -> Vec<&str> {
    let spoken = text.lines().filter(|line| speaker(line).is_some()).count();
    if spoken >= 2 {
        return text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    }
    text.split("\n\n").map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Who says it: `Ada Example: …`, `[00:12] Ada: …`.
pub(super) fn speaker(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => rest.trim_start(),
        None => line,
    };
    let (name, said) = line.split_once(':')?;
    let named =
        name.chars().next().is_some_and(char::is_alphabetic) && name.len() <= 40 && name.split(' ').count() <= 4;
    (named && said.starts_with(' ')).then(|| name.trim())
}

/// Sentences, byte for byte as they stand there.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        let said = match speaker(line) {
            Some(name) => {
                line.split_once(name).and_then(|(_, rest)| rest.split_once(':')).map_or(line, |(_, said)| said)
            }
            None => line,
        };
        let mut begin = 0;
        let mut letters = said.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let ends = matches!(letter, '.' | '!' | '?') && letters.peek().is_none_or(|(_, next)| next.is_whitespace());
            if ends {
                found.push(&said[begin..at + letter.len_utf8()]);
                begin = at + letter.len_utf8();
            }
        }
        found.push(&said[begin..]);
    }
    found.into_iter().map(str::trim).filter(|sentence| sentence.chars().count() > 2).collect()
}

/// What a text says to whoever judges it, in lower case, from where it begins.
pub(super) fn order(text: &str) -> Option<String> {
    const BEGINNINGS: [&str; 16] = [
        "ignore the above",
        "ignore all",
        "ignore any",
        "ignore previous",
        "ignore your",
        "ignore every",
        "ignore these",
        "disregard",
        "forget the above",
        "forget all",
        "forget your",
        "new instructions",
        "system:",
        "ignorez",
        "oubliez",
        "you must now",
    ];
    let lower = text.to_lowercase();
    let at = BEGINNINGS.iter().filter_map(|words| lower.find(words)).min()?;
    Some(lower[at..].chars().take(400).collect())
}

/// Whether a text says that the data is nothing to be obeyed.
pub(super) fn warns(system: &str) -> bool {
    let lower = system.to_lowercase();
    let words = [
        "not instruction",
        "not an instruction",
        "never instruction",
        "never an instruction",
        "no instruction",
        "not as instruction",
        "do not follow",
        "don't follow",
        "never follow",
        "do not obey",
        "never obey",
    ];
    words.iter().any(|words| lower.contains(words))
}
