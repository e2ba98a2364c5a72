//! What of an issue's Markdown its author wrote: templates, checklists, tables, traces and code are not prose.
//!
//! Law: a template's heading is a sign and no text. `Steps to reproduce` says that a bug form was filled in, and nothing more, so
//! that the same request reads alike with and without a form.

use super::reading::fold_phrase;

/// Lines of a code block that are read: those that name an error, and no more than these.
const CODE_LINES: usize = 3;
/// Words of a line that may be a heading.
const HEADING: usize = 12;

/// What a form or a label declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Bug,
    Request,
    Question,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heading {
    Bug,
    Request,
    Question,
    /// What follows are versions and machines.
    Machine,
    /// What follows says which kind of issue this is.
    Kind,
    Plain,
}

/// How the headings of forms begin, folded. The longer one of two goes first.
const HEADINGS: &[(Heading, &str)] = &[
    (
        Heading::Kind,
        "issue type | type of issue | do you want to request a feature or report a bug | issue kind | kind of issue | type",
    ),
    (
        Heading::Bug,
        "describe the bug | describe the issue | describe the problem | describe the current behavio | bug description | \
         description of the bug | bug report | steps to reproduce | step to reproduce | to reproduce | how to reproduce | how can we reproduce | \
         reproduction | reproducible example | minimal reproducible | minimal example | reproduce | expected behavio | expected result | \
         expected output | actual behavio | actual result | actual output | current behavio | what is the current behavio | \
         what is the expected behavio | the current behavio | the expected behavio | observed behavio | what happened | \
         what did you expect | what you expected | what actually happened | what went wrong | what is the problem | error message | relevant log output | \
         log output | logs | stack trace | stacktrace | traceback | standalone code to reproduce | describe the expected behavio | link to code example | \
         crash report | regression | affected version | workaround | root cause | suggested fix | etapes pour reproduire | comportement attendu | \
         comportement actuel | comportement observe | description du probleme | description du bug | decrire le bug | decrivez le bug | \
         comment reproduire | message d erreur",
    ),
    (
        Heading::Request,
        "is your feature | is this feature | is your request | describe the solution | describe the feature | describe alternatives | describe any alternatives | \
         alternatives | alternatives considered | feature description | feature request | feature | the feature motivation and pitch | motivation | \
         proposed solution | proposed feature | proposed change | proposal | suggested solution | preferred solution | solution you would like | \
         desired behavio | use case | use cases | user story | what would you like | why is this needed | will this change | who will benefit | any other info | \
         please describe the feature | additional benefits | rationale | are you willing to contribute | are you interested in contributing | acceptance criteria | \
         la solution souhaitee | decrivez la solution | solution souhaitee | alternatives envisagees | votre demande | cas d usage | besoin",
    ),
    (
        Heading::Question,
        "question | questions | your question | my question | ask your question | ask a question | what have you tried | what i have tried | what have i tried | \
         what are you trying to | what i am trying | help | votre question | ma question",
    ),
    (
        Heading::Machine,
        "environment | your environment | my environment | system info | system information | system | versions | version | platform | \
         operating system | os | desktop | smartphone | browser | configuration | package version | python version | node version | \
         which version | what version | what operating system | software versions | versions of | installed versions | setup | machine specs | how did you obtain | \
         installed extensions | extensions | hardware | device | output of | dependencies | context and environment | your system | gpu | \
         cuda | bazel version | gcc | mobile device | custom code | source | have you reproduced | tf version | environnement | navigateur | \
         systeme d exploitation",
    ),
    (
        Heading::Plain,
        "description | detailed description | summary | additional context | additional information | screenshots | screenshot | \
         checklist | issue submission checklist | is there an existing issue | prerequisites | preflight | code of conduct | \
         anything else | further information | other info | contexte | informations complementaires | capture d ecran",
    ),
];

/// The headings, cut into words once.
static TABLE: std::sync::LazyLock<Vec<(Heading, Vec<Vec<char>>)>> = std::sync::LazyLock::new(|| {
    let mut table: Vec<(Heading, Vec<Vec<char>>)> = HEADINGS
        .iter()
        .flat_map(|(kind, phrases)| phrases.split('|').map(|phrase| (*kind, fold_phrase(phrase))))
        .collect();
    table.sort_by_key(|(_, words)| std::cmp::Reverse(words.len()));
    table
});

/// A reader of lines; what it has seen by the way are signs.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    fenced: bool,
    kept: usize,
    comment: bool,
    details: bool,
    machine: bool,
    kind: bool,
    pub code: bool,
    pub trace: bool,
    /// A form of a bug, a request, a question was filled in.
    pub forms: [bool; 3],
    pub label: Option<Label>,
}

impl Page {
    /// The prose of a line, in pieces.
    pub(super) fn prose<'a>(&mut self, line: &'a str) -> Vec<&'a str> {
        let trimmed = line.trim();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            (self.fenced, self.kept, self.code) = (!self.fenced, 0, true);
            return Vec::new();
        }
        if self.fenced {
            let error = names_error(trimmed);
            self.trace |= error;
            self.kept += usize::from(error);
            return if error && self.kept <= CODE_LINES { vec![line] } else { Vec::new() };
        }
        // Issue templates speak in comments; that is not their author's voice.
        let (mut pieces, mut rest) = (Vec::new(), line);
        while !rest.is_empty() {
            let mark = if self.comment { "-->" } else { "<!--" };
            let (part, after) = rest.split_once(mark).map_or((rest, None), |(part, after)| (part, Some(after)));
            if !self.comment {
                pieces.extend(self.plain(part));
            }
            let Some(after) = after else { break };
            self.comment = !self.comment;
            rest = after;
        }
        pieces
    }

    /// What is left of a piece outside code and comments.
    fn plain<'a>(&mut self, piece: &'a str) -> Option<&'a str> {
        let trimmed = piece.trim();
        if trimmed.is_empty() {
            return None;
        }
        let lower = trimmed.get(..9).unwrap_or(trimmed).to_ascii_lowercase();
        if lower.starts_with("<details") {
            self.details = true;
        }
        if self.details {
            self.details = !trimmed.contains("</details>");
            return None;
        }
        let table = trimmed.starts_with('|') && trimmed.len() > 1;
        let ticked =
            ["- [x]", "- [X]", "- [ ]", "* [x]", "* [X]", "* [ ]"].iter().any(|tick| trimmed.starts_with(tick));
        if table || ticked || trimmed.starts_with("![") {
            return None;
        }
        if is_trace(trimmed) {
            self.trace = true;
            return if names_error(trimmed) { Some(piece) } else { None };
        }
        let (heading, rest) = heading(trimmed);
        if let Some((heading, marked)) = heading {
            // `type` alone in a sentence is no heading; with a mark or a colon it is.
            if marked || !rest.trim().is_empty() || trimmed.ends_with(':') {
                return self.enter(heading, rest);
            }
        } else if trimmed.starts_with('#') {
            self.machine = false;
        }
        if self.kind {
            self.kind = false;
            if let Some(label) = declared(trimmed) {
                self.label = self.label.or(Some(label));
                return None;
            }
        }
        (!self.machine).then_some(piece)
    }

    fn enter<'a>(&mut self, heading: Heading, rest: &'a str) -> Option<&'a str> {
        (self.machine, self.kind) = (heading == Heading::Machine, heading == Heading::Kind);
        match heading {
            Heading::Bug => self.forms[0] = true,
            Heading::Request => self.forms[1] = true,
            Heading::Question => self.forms[2] = true,
            Heading::Kind if !rest.trim().is_empty() => {
                self.kind = false;
                self.label = self.label.or_else(|| declared(rest));
                return None;
            }
            // One line of its own, `OS: Linux`; what follows may be prose again.
            Heading::Machine if !rest.trim().is_empty() => {
                self.machine = false;
                return None;
            }
            Heading::Machine | Heading::Kind | Heading::Plain => {}
        }
        (!rest.trim().is_empty()).then_some(rest)
    }
}

/// The known heading that a line is or opens with (and whether it is marked as one), and what follows it on the same line.
fn heading(line: &str) -> (Option<(Heading, bool)>, &str) {
    let bare = line.trim_start_matches(['-', '*', '+', '>', ' ']);
    let hashed = line.starts_with('#');
    let bold = ["**", "__"].into_iter().find_map(|mark| {
        let inside = line.trim_start_matches(['-', '+', '>', ' ', '#']).strip_prefix(mark)?;
        inside.split_once(mark)
    });
    let (head, rest, marked) = match (hashed, bold) {
        (_, Some((head, rest))) => (head, rest.trim_start_matches([':', ' ']), true),
        (true, None) => (line.trim_start_matches(['#', ' ']), "", true),
        (false, None) => match bare.split_once(':') {
            Some((head, rest)) if !rest.starts_with("//") => (head, rest, false),
            _ => (bare, "", false),
        },
    };
    let words = fold_phrase(head);
    if words.is_empty() || words.len() > HEADING {
        return (None, line);
    }
    // Where nothing marks it as a heading, all of it must be one.
    let fits = |name: &Vec<Vec<char>>| {
        let (last, before) = name.split_last().expect("no phrase is empty");
        words.len() >= name.len()
            && words[..before.len()] == *before
            && words[before.len()].starts_with(last)
            && (marked || (words.len() <= name.len() + 1 && words[before.len()].len() <= last.len() + 2))
            && (name.len() > 1 || words.len() <= 3)
    };
    (TABLE.iter().find(|(_, name)| fits(name)).map(|(kind, _)| (*kind, marked)), rest)
}

/// `Bug`, `Feature Request`, `Support`: what a form's field says.
fn declared(text: &str) -> Option<Label> {
    let words = fold_phrase(text);
    words.iter().take(6).find_map(|word| label(&word.iter().collect::<String>()))
}

/// What the word of a label says. Reporters choose it, often wrongly, so it is one sign among others.
pub(super) fn label(word: &str) -> Option<Label> {
    match word {
        "bug" | "bugs" | "fix" | "bogue" | "erreur" | "urgent" | "regression" | "crash" | "defect" | "perf"
        | "performance" => Some(Label::Bug),
        "feature" | "features" | "feat" | "fr" | "request" | "enhancement" | "enh" | "proposal" | "rfc" | "demande"
        | "suggestion" | "wishlist" | "idea" | "amelioration" => Some(Label::Request),
        "question" | "questions" | "usage" | "help" | "aide" | "support" | "howto" | "qust" | "discussion" => {
            Some(Label::Question)
        }
        _ => None,
    }
}

fn names_error(line: &str) -> bool {
    ["rror", "xception", "panic", "raceback", "ailed", "ssertion", "egfault", "FATAL"]
        .iter()
        .any(|mark| line.contains(mark))
}

/// A line that a program wrote: a frame of a stack, a hexadecimal dump, a log with hardly a word in it.
fn is_trace(line: &str) -> bool {
    let frame = line.starts_with("at ") && (line.contains('(') || line.contains(':'))
        || line.starts_with("File \"")
        || line.starts_with("Traceback (")
        || line.starts_with("goroutine ")
        || (line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_digit()) && line.contains("0x"));
    let (letters, all) = line
        .chars()
        .fold((0_u32, 0_u32), |(letters, all), c| (letters + u32::from(c.is_alphabetic() || c == ' '), all + 1));
    frame || (all >= 24 && letters * 2 < all)
}
