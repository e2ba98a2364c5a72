//! What is wrong with something that ops wrote, told with its place and its mend.
//!
//! The law: a problem names file, line, column and field, shows the line, and says what to write instead. It never
//! shows a secret: a problem about a credential carries no excerpt.

use std::fmt;

use thiserror::Error;

/// The most of a source line that is shown.
const EXCERPT: usize = 160;

/// One thing that is wrong, or worth telling, where it stands and how it is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    /// From 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The key, as it would be written: `fields."Category".both`.
    pub field: Option<String>,
    pub what: String,
    pub mend: Option<String>,
    /// Worth telling, but the configuration can be used.
    pub warning: bool,
    /// The line in question and how many characters of it are meant.
    pub excerpt: Option<Box<(String, usize)>>,
}

impl Problem {
    /// About a whole file, or about something that has no place in one.
    pub fn of_file(file: &str, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            field: None,
            what: what.into(),
            mend: None,
            warning: false,
            excerpt: None,
        }
    }

    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    #[must_use]
    pub fn warning(mut self) -> Self {
        self.warning = true;
        self
    }

    /// For what must not be printed.
    #[must_use]
    pub fn without_excerpt(mut self) -> Self {
        self.excerpt = None;
        self
    }

    /// As a compiler would tell it, over several lines.
    pub fn render(&self) -> String {
        let level = if self.warning { "warning" } else { "error" };
        let field = self.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
        let mut text = format!("{level}: {field}{}\n", self.what);
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        if self.line == 0 {
            text.push_str(&format!("{margin}--> {}\n", self.file));
        } else {
            text.push_str(&format!("{margin}--> {}:{}:{}\n", self.file, self.line, self.column));
        }
        if let Some((line, width)) = self.excerpt.as_deref() {
            let indent = usize::try_from(self.column.saturating_sub(1)).unwrap_or(0);
            // A tab moves the caret as it moves the text.
            let before: String = line.chars().take(indent).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let room = line.chars().count().saturating_sub(indent).max(1);
            let caret = "^".repeat((*width).clamp(1, room));
            text.push_str(&format!("{margin} |\n{number} | {line}\n{margin} | {before}{caret}\n"));
        }
        if let Some(mend) = &self.mend {
            text.push_str(&format!("{margin} = {mend}\n"));
        }
        text
    }
}

/// One line: for logs and for JSON.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(mend) = &self.mend {
            write!(f, " ({mend})")?;
        }
        Ok(())
    }
}

/// A record, or an entity, that a mapping cannot take. It becomes the cause of a dead letter, so it tells the place in
/// the mapping and the *type* of what it met, never the text itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {field}: {what}")]
pub struct MapError {
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub field: String,
    pub what: String,
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub column: u32,
    /// The key there, as it would be written.
    pub field: String,
}

impl Place {
    pub fn error(&self, what: impl Into<String>) -> MapError {
        MapError {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            field: self.field.clone(),
            what: what.into(),
        }
    }
}

/// A line of a source, cut for showing, with how much of it a span covers.
pub(crate) fn excerpt(text: &str, start: usize, end: usize) -> (u32, u32, (String, usize)) {
    let start = floor_boundary(text, start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line = text[..start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let end = floor_boundary(text, end.clamp(start, line_end));
    let width = text[start..end].chars().count();
    let shown: String =
        text[line_start..line_end].trim_end_matches('\r').chars().take(EXCERPT.max(column + 40)).collect();
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX), (shown, width))
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let scored = known.into_iter().map(|other| (distance(&lower, &other.to_lowercase()), other));
    scored.filter(|(distance, _)| *distance <= allowed).min().map(|(_, other)| other)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}
