//! Doing without. A server that does not know a field refuses the whole document before it does anything, so what we can
//! live without is left out and the rest is sent again, a mutation too.

use std::collections::BTreeSet;

/// Fields and arguments without which an answer still serves. Not what mappings write and people edit (`title`,
/// `priority`, …): missing from an answer, it would read as cleared. `history` has its own way out.
const OPTIONAL: [&str; 18] = [
    "viewer",
    "organization",
    "urlKey",
    "archivedAt",
    "trashed",
    "creator",
    "createdAt",
    "identifier",
    "url",
    "team",
    "isGroup",
    "subtitle",
    "metadata",
    "externalIds",
    "customerTiers",
    "displayName",
    "includeArchived",
    "orderBy",
];

/// The first optional name in a refusal, its suggestions ("Did you mean …?") apart.
pub(super) fn named(message: &str) -> Option<&'static str> {
    let said = message.split("Did you mean").next().unwrap_or_default();
    let words = said.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.into_iter().find_map(|word| OPTIONAL.into_iter().find(|known| *known == word))
}

/// The document without these, and without selections that are empty then. A selection is a line, as in
/// `operations.graphql`.
pub(super) fn without(document: &str, lacking: &BTreeSet<&str>) -> String {
    let mut kept: Vec<String> = Vec::new();
    // How many braces deep we are in what is left out.
    let mut out = 0;
    for line in document.lines() {
        let text = line.trim();
        let opens = text.ends_with('{');
        let name = text.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
        if out > 0 || lacking.contains(name) {
            out = if opens {
                out + 1
            } else if text == "}" {
                out - 1
            } else {
                out
            };
        } else if text == "}" && kept.last().is_some_and(|last| last.ends_with('{')) {
            kept.pop();
        } else {
            kept.push(lacking.iter().fold(line.to_owned(), |line, name| argument_gone(line, name)));
        }
    }
    kept.join("\n")
}

/// A line without `, name: value`.
fn argument_gone(line: String, name: &str) -> String {
    let Some((before, rest)) = line.split_once(&format!(", {name}: ")) else { return line };
    let end = rest.find([',', ')']).unwrap_or(rest.len());
    format!("{before}{}", &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_takes_its_braces_along() {
        let document = "query A {\n  viewer {\n    id\n    team {\n      id\n    }\n  }\n  teams(first: 1, orderBy: createdAt) {\n    nodes {\n      id\n    }\n  }\n  organization {\n    urlKey\n  }\n}";
        let lacking = BTreeSet::from(["viewer", "urlKey", "orderBy"]);
        assert_eq!(without(document, &lacking), "query A {\n  teams(first: 1) {\n    nodes {\n      id\n    }\n  }\n}");
        assert_eq!(without(document, &BTreeSet::new()), document);
    }

    #[test]
    fn refusals_name_the_field() {
        assert_eq!(named("Cannot query field \"viewer\" on type \"Query\". Did you mean \"team\"?"), Some("viewer"));
        assert_eq!(named("Unknown argument \"orderBy\" on field \"Query.issues\"."), Some("orderBy"));
        assert_eq!(named("Field 'title' doesn't exist on type 'Team'"), None);
    }
}
