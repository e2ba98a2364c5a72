//! A first configuration, for `loopd init`.
//!
//! The law: it loads as it is, once the secrets and the names that only the owner knows are put in.

use connectors::Kind;

/// A small, commented configuration for these vendors.
pub fn starter(kinds: &[Kind]) -> String {
    let mut text = String::from(
        "# loopd's configuration. Every other setting, with its default, is in config.example.toml.\n\
         # `loopd check` tells what is wrong here; secrets are named here, never written.\n\n\
         # The time zone of schedules.\n\
         timezone = \"UTC\"\n\n\
         [ledger]\n\
         path = \"/var/lib/loopd/ledger\"\n\n\
         # Where vendors reach loopd for webhooks. Empty: everything is polled.\n\
         # [http]\n\
         # public_url = \"https://loopd.example.com\"\n\n\
         # Your own domains: colleagues are no customers.\n\
         # [customers]\n\
         # own_domains = [\"ours.example\"]\n\n\
         # The words of your own products; a text that holds one of `words` is tagged with `value`.\n\
         # [vocabularies]\n\
         # product = [{ value = \"sdk\", words = [\"python client\"] }, \"console\"]\n",
    );
    for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
        text.push('\n');
        text.push_str(connection(kind));
    }
    text.push_str(&routes(kinds));
    text
}

/// The `[[route]]` tables that these vendors begin with, as TOML. There is no other copy: the demo and the tests run with these.
pub fn routes(kinds: &[Kind]) -> String {
    let wanted = Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)).map(routes_to);
    wanted.filter(|routes| !routes.is_empty()).map(|routes| format!("\n{routes}")).collect()
}

fn connection(kind: Kind) -> &'static str {
    match kind {
        Kind::Airtable => include_str!("../../mappings/starter/airtable.toml"),
        Kind::App => include_str!("../../mappings/starter/app.toml"),
        Kind::BigQuery => include_str!("../../mappings/starter/bigquery.toml"),
        Kind::Ga4 => include_str!("../../mappings/starter/ga4.toml"),
        Kind::GitHub => include_str!("../../mappings/starter/github.toml"),
        Kind::Granola => include_str!("../../mappings/starter/granola.toml"),
        Kind::Intercom => include_str!("../../mappings/starter/intercom.toml"),
        Kind::Linear => include_str!("../../mappings/starter/linear.toml"),
        Kind::Notion => include_str!("../../mappings/starter/notion.toml"),
        Kind::PostHog => include_str!("../../mappings/starter/posthog.toml"),
        Kind::Salesforce => include_str!("../../mappings/starter/salesforce.toml"),
        Kind::Segment => include_str!("../../mappings/starter/segment.toml"),
        Kind::Slack => include_str!("../../mappings/starter/slack.toml"),
        Kind::Typeform => include_str!("../../mappings/starter/typeform.toml"),
    }
}

/// Sources need no route: their mappings say what their records are.
fn routes_to(kind: Kind) -> &'static str {
    match kind {
        Kind::App
        | Kind::BigQuery
        | Kind::Ga4
        | Kind::GitHub
        | Kind::Granola
        | Kind::Intercom
        | Kind::PostHog
        | Kind::Segment
        | Kind::Slack
        | Kind::Typeform => "",
        Kind::Airtable => include_str!("../../mappings/starter/airtable.routes.toml"),
        Kind::Linear => include_str!("../../mappings/starter/linear.routes.toml"),
        Kind::Notion => include_str!("../../mappings/starter/notion.routes.toml"),
        Kind::Salesforce => include_str!("../../mappings/starter/salesforce.routes.toml"),
    }
}
