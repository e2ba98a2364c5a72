//! The demo's configuration: loopd's defaults, but that what takes minutes takes seconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use connectors::Kind;
use sandbox::{Served, Vendor};

use super::stage::{APP_KEY, BASE, FORM, OURS, TEAM, WRITE_KEY};
use crate::config;

pub(super) const WEBHOOK_SECRET: &str = "demo-webhook-secret";

/// The vendors that are in the demo: where things are said, and where they go.
pub const STAGED: [Vendor; 9] = [
    Vendor::GitHub,
    Vendor::Intercom,
    Vendor::Slack,
    Vendor::Granola,
    Vendor::Typeform,
    Vendor::Airtable,
    Vendor::Linear,
    Vendor::Notion,
    Vendor::Salesforce,
];

/// What only the owner of the accounts knows.
#[derive(Clone, Debug)]
pub struct Names {
    pub repos: Vec<String>,
    /// Airtable's, and Typeform's.
    pub base: String,
    pub form: String,
    /// Slack's ids of channels, and the domain of the customer whose each is.
    pub channels: BTreeMap<String, String>,
    /// Salesforce's ids of accounts, by their domain.
    pub accounts: BTreeMap<String, String>,
}

impl Default for Names {
    fn default() -> Self {
        let (base, form) = (BASE.to_owned(), FORM.to_owned());
        Self { repos: Vec::new(), base, form, channels: BTreeMap::new(), accounts: BTreeMap::new() }
    }
}

/// Writes the configuration and its secrets, for these vendors. In-app feedback and usage come along where all are there.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_config(
    folder: &Path,
    served: &Served,
    address: SocketAddr,
    vendors: &[Vendor],
    names: &Names,
) -> anyhow::Result<PathBuf> {
    let secrets = folder.join("secrets");
    std::fs::create_dir_all(&secrets)?;
    for vendor in Vendor::ALL {
        std::fs::write(secrets.join(vendor.name()), vendor.token())?;
    }
    std::fs::write(secrets.join("webhook"), WEBHOOK_SECRET)?;
    std::fs::write(secrets.join("salesforce-client"), sandbox::salesforce::CLIENT_SECRET)?;
    std::fs::write(secrets.join("segment"), WRITE_KEY)?;
    let path = folder.join("config.toml");
    std::fs::write(&path, text(served, address, vendors, names))?;
    Ok(path)
}

fn text(served: &Served, address: SocketAddr, vendors: &[Vendor], names: &Names) -> String {
    let mut text = format!(
        r#"# Written by loopd. The vendors here are the sandbox's.
[ledger]
path = "ledger"

[http]
listen     = "{address}"
public_url = "http://{address}"

[log]
filter = "warn"

[sync]
settle_seconds        = 1
counts_settle_seconds = 3
stale_read_seconds    = 5

[triage]
settle_seconds = 1
extract_from   = 100
theme_from     = 2
theme_join     = 0.25

[customers]
own_domains = ["{OURS}"]

[vocabularies]
product = [
  {{ value = "API", words = ["api", "endpoint", "request"] }}, {{ value = "SDK", words = ["sdk", "client", "python", "typescript"] }},
  {{ value = "Console", words = ["console", "dashboard", "workspace"] }}, {{ value = "OCR", words = ["ocr", "tables"] }},
]

"#
    );
    for vendor in vendors {
        let (name, base) = (vendor.name(), served.base(*vendor));
        let _ = writeln!(
            text,
            "[connection.{name}]\nkind = \"{name}\"\nbase_url = \"{base}\"\n{}\n",
            connection(*vendor, names).trim_end()
        );
    }
    if STAGED.iter().all(|staged| vendors.contains(staged)) {
        let _ = writeln!(
            text,
            "[connection.app]\nkind = \"app\"\nkey = \"{APP_KEY}\"\nservers = [\"127.0.0.1\"]\n\n\
             [connection.segment]\nkind = \"segment\"\nwrite_key = {{ file = \"secrets/segment\" }}\n"
        );
    }
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| vendors.iter().any(|vendor| vendor.name() == kind.name())).collect();
    text.push_str(&config::routes(&kinds));
    text
}

/// What stands in a vendor's connection besides its kind and its address.
fn connection(vendor: Vendor, names: &Names) -> String {
    let name = vendor.name();
    let token = format!("token = {{ file = \"secrets/{name}\" }}");
    let heard = "webhook = true\nwebhook_secret = { file = \"secrets/webhook\" }";
    match vendor {
        // Some meter by the hour: a demo that lasts a minute may use much of the hour's calls at once.
        Vendor::GitHub => format!(
            r#"{token}
{heard}
schedule = "*/5 * * * * *"
repos = {:?}
quota = {{ calls = 5000, per_seconds = 3600, burst = 800 }}"#,
            names.repos
        ),
        Vendor::Intercom => format!(
            r#"{token}
{heard}
schedule = {{ conversations = "*/10 * * * * *", companies = "*/20 * * * * *" }}
arr_attribute = "arr""#
        ),
        Vendor::Slack => {
            let channels: Vec<String> =
                names.channels.iter().map(|(id, domain)| format!("{id} = \"{domain}\"")).collect();
            format!(
                r#"{token}
{heard}
schedule = "*/20 * * * * *"
channels = {{ {} }}"#,
                channels.join(", ")
            )
        }
        // Who is of our domain is told from who is not; the secret of its webhooks comes when loopd makes them.
        Vendor::Granola => format!(
            r#"{token}
webhook = true
schedule = "*/20 * * * * *"
own_domains = ["{OURS}"]"#
        ),
        // Half of what it takes, for the reason that Airtable has less, too.
        Vendor::Typeform => format!(
            r#"{token}
{heard}
schedule = "*/20 * * * * *"
forms = ["{}"]
quota = {{ calls = 1, per_seconds = 1 }}"#,
            names.form
        ),
        // Airtable's secret comes with the webhook that loopd makes there. A tenth below the limit: here both sides share
        // one machine, which may be busy with something else.
        Vendor::Airtable => format!(
            r#"{token}
webhook = true
schedule = {{ payloads = "*/10 * * * * *", modified = "0 * * * * *" }}
base = "{}"
typecast = true
quota = {{ calls = 9, per_seconds = 2 }}"#,
            names.base
        ),
        Vendor::Linear => format!(
            r#"{token}
{heard}
schedule = "*/20 * * * * *"
team = "{TEAM}"
quota = {{ calls = 2400, per_seconds = 3600, burst = 1500 }}"#
        ),
        Vendor::Notion => format!(
            r#"{token}
{heard}
page = "{}"
# Notion makes one page a call and takes 180 calls a minute, so that a hundred pages alone need half a minute and their changes
# another. The demo's workspace is on the Business plan, which takes 600: 100 at once, and 480 a minute after them.
quota = {{ calls = 480, per_seconds = 60, burst = 100 }}"#,
            sandbox::notion::PAGE
        ),
        // Salesforce tells nobody of what people change: it is asked.
        Vendor::Salesforce => format!(
            r#"client_id = "{}"
client_secret = {{ file = "secrets/salesforce-client" }}
schedule = {{ Account = "*/10 * * * * *", Opportunity = "*/10 * * * * *", Loopd_Feedback__c = "*/5 * * * * *" }}
quota = {{ calls = 600, per_seconds = 60, burst = 100 }}"#,
            sandbox::salesforce::CLIENT_ID
        ),
        Vendor::PostHog => format!("{token}\nproject = 4711"),
        _ => token,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config::Machine;
    use crate::demo::vendors;

    #[tokio::test]
    async fn what_is_written_is_a_good_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = Names {
            repos: vec!["example-org/app".into()],
            channels: [("C0123456789".to_owned(), "lumen.example.com".to_owned())].into(),
            ..Names::default()
        };
        let (_, served) = vendors(1, &names.repos).await.expect("loopback");
        for (staged, connections) in [(&STAGED[..], 11), (&STAGED[..2], 2)] {
            let address = (Ipv4Addr::LOCALHOST, 1).into();
            let path = write_config(folder.path(), &served, address, staged, &names).expect("it is written");
            let config = config::load(&path, &Machine).unwrap_or_else(|problems| panic!("{problems:#?}"));
            assert_eq!(config.connections.len(), connections);
        }
        served.shutdown().await;
    }
}
