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
    Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)).map(routes_to).collect()
}

fn connection(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => {
            "[connection.github]\n\
             kind  = \"github\"\n\
             repos = [\"example/app\"]             # yours\n\
             token = { env = \"GITHUB_TOKEN\" }\n\
             # start          = \"2026-01-01\"     # how far back the first look goes; without it, everything\n\
             # webhook        = true             # seconds instead of minutes; needs http.public_url\n\
             # webhook_secret = { env = \"GITHUB_WEBHOOK_SECRET\" }\n"
        }
        Kind::Intercom => {
            "[connection.intercom]\n\
             kind  = \"intercom\"\n\
             token = { env = \"INTERCOM_TOKEN\" }\n\
             # base_url       = \"https://api.eu.intercom.io\"   # for a workspace in the EU; AU: api.au\n\
             # arr_attribute  = \"arr\"            # the company attribute that holds the ARR\n\
             # webhook        = true\n\
             # webhook_secret = { env = \"INTERCOM_CLIENT_SECRET\" }\n"
        }
        Kind::Airtable => {
            "[connection.airtable]\n\
             kind  = \"airtable\"\n\
             base  = \"appXXXXXXXXXXXXXX\"         # the first part of the base's address; `loopd setup airtable` makes the tables\n\
             token = { env = \"AIRTABLE_TOKEN\" }\n"
        }
        Kind::Linear => {
            "[connection.linear]\n\
             kind  = \"linear\"\n\
             team  = \"ENG\"                       # the team's key\n\
             token = { env = \"LINEAR_API_KEY\" }\n"
        }
    }
}

/// Sources need no route: their mappings say what their records are.
fn routes_to(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub | Kind::Intercom => "",
        Kind::Airtable => {
            "\n# All feedback goes to Airtable, with its customers and themes.\n\
             [[route]]\n\
             entity = \"customer\"\n\
             to     = \"airtable.Customers\"\n\n\
             [[route]]\n\
             entity = \"theme\"\n\
             to     = \"airtable.Themes\"\n\n\
             [[route]]\n\
             entity = \"feedback\"\n\
             to     = \"airtable.Feedback\"\n"
        }
        Kind::Linear => {
            "\n# Bugs that hurt become issues, with their source attached.\n\
             [[route]]\n\
             entity = \"feedback\"\n\
             to     = \"linear.issue\"\n\
             when   = '.tags.category == \"bug\" and (.tags.severity == \"high\" or .tags.severity == \"critical\")'\n\n\
             [[route]]\n\
             entity = \"feedback\"\n\
             to     = \"linear.attachment\"\n\
             when   = '.links[\"linear.issue\"] != null and .origin.url != null'\n\n\
             # Whose need it is, where Linear's plan has customers.\n\
             # [[route]]\n\
             # entity = \"customer\"\n\
             # to     = \"linear.customer\"\n\n\
             # [[route]]\n\
             # entity = \"feedback\"\n\
             # to     = \"linear.need\"\n\
             # when   = '.links[\"linear.issue\"] != null and .customer != null'\n"
        }
    }
}
