//! The operations of `operations.graphql`, checked against `schema.graphql` when this is compiled.
//!
//! Variables are typed by the derive; answers are read by hand (`types.rs`), because the generated types would refuse a
//! whole page for one odd record.

use std::collections::BTreeSet;

use graphql_client::GraphQLQuery;
use serde_json::{Map, Value};

type DateTimeOrDuration = String;
type DateTime = String;
type JSONObject = Map<String, Value>;

macro_rules! operations {
    ($($name:ident),* $(,)?) => {$(
        #[derive(GraphQLQuery)]
        #[graphql(
            schema_path = "linear/schema.graphql",
            query_path = "linear/operations.graphql",
            variables_derives = "Clone, Debug, Default",
            skip_serializing_none
        )]
        pub(super) struct $name;
    )*};
}

operations!(
    Attach,
    Labels,
    CustomersProbe,
    Issues,
    IssuesWithHistory,
    IssueIds,
    IssueCreate,
    IssueUpdate,
    IssueUpdateWithHistory,
    IssueLabelCreate,
    Attachments,
    AttachmentCreate,
    AttachmentUpdate,
    Customers,
    CustomerUpsert,
    CustomerUpdate,
    CustomerNeeds,
    CustomerNeedCreate,
    CustomerNeedUpdate,
);

/// The one operation and the fragments it uses, out of the document that the derive embeds whole.
pub(super) fn document(all: &str, operation: &str) -> String {
    let definitions = definitions(all);
    let mut wanted = BTreeSet::from([operation.to_owned()]);
    let mut text = String::new();
    let mut done = BTreeSet::new();
    while let Some(name) = wanted.pop_first() {
        let Some(body) = definitions.iter().find(|(known, _)| *known == name).map(|(_, body)| *body) else { continue };
        if done.insert(name) {
            text.push_str(body.trim());
            text.push('\n');
            wanted.extend(body.split("...").skip(1).map(|rest| word(rest).to_owned()));
        }
    }
    text
}

/// Name and text of each query, mutation and fragment: from its keyword at a line's start to a `}` at a line's start.
fn definitions(all: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    let mut at = 0;
    for line in all.split_inclusive('\n') {
        if ["query ", "mutation ", "fragment "].iter().any(|keyword| line.starts_with(keyword)) {
            start = Some(at);
        }
        at += line.len();
        if line.starts_with('}')
            && let Some(start) = start.take()
        {
            let text = &all[start..at];
            let name = text.split_once(' ').map_or("", |(_, rest)| word(rest));
            found.push((name, text));
        }
    }
    found
}

fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}
