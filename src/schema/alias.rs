//! The names by which a customer is recognised.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AliasKind {
    /// The domain of an email address or website.
    Domain,
    /// The id under which our own systems know the company (Intercom's `company_id`, a CRM id).
    CompanyId,
    /// A GitHub organisation.
    GithubOrg,
    /// A Slack channel that is one customer's: its id.
    SlackChannel,
    /// The id of a Salesforce account.
    SalesforceAccount,
    /// The group id of a Segment `group` call: an account of the usage analytics.
    SegmentGroup,
    /// A plain name; the weakest.
    Name,
}

impl AliasKind {
    pub const ALL: [Self; 7] = [
        Self::Domain,
        Self::CompanyId,
        Self::GithubOrg,
        Self::SlackChannel,
        Self::SalesforceAccount,
        Self::SegmentGroup,
        Self::Name,
    ];

    /// As it stands in mappings, in the configuration and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::CompanyId => "company_id",
            Self::GithubOrg => "github_org",
            Self::SlackChannel => "slack_channel",
            Self::SalesforceAccount => "salesforce_account",
            Self::SegmentGroup => "segment_group",
            Self::Name => "name",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One name, normalised: trimmed and in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Alias {
    pub kind: AliasKind,
    pub value: String,
}

/// Mail providers whose domain names nobody's company.
const FREE_MAIL: &[&str] = &[
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "hotmail.fr",
    "live.com",
    "msn.com",
    "yahoo.com",
    "yahoo.fr",
    "ymail.com",
    "icloud.com",
    "me.com",
    "mac.com",
    "aol.com",
    "proton.me",
    "protonmail.com",
    "pm.me",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "web.de",
    "t-online.de",
    "orange.fr",
    "wanadoo.fr",
    "free.fr",
    "laposte.net",
    "sfr.fr",
    "mail.ru",
    "yandex.ru",
    "yandex.com",
    "qq.com",
    "163.com",
    "126.com",
    "zoho.com",
    "fastmail.com",
    "hey.com",
    "tutanota.com",
    "users.noreply.github.com",
];

impl Alias {
    /// `None` for what recognises nobody: empty, or a free-mail domain.
    pub fn new(kind: AliasKind, value: &str) -> Option<Self> {
        let mut value = value.trim().to_lowercase();
        if kind == AliasKind::Domain {
            value = domain_of(&value)?;
            if FREE_MAIL.contains(&value.as_str()) {
                return None;
            }
        }
        (!value.is_empty()).then_some(Self { kind, value })
    }
}

/// The domain in an email address, a URL or a bare host name.
fn domain_of(text: &str) -> Option<String> {
    let host = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, domain)| domain);
    let host = host.split(':').next()?.trim_matches('.');
    let host = host.strip_prefix("www.").unwrap_or(host);
    let good = host.contains('.') && !host.contains(|c: char| c.is_whitespace() || c == '@');
    good.then(|| host.to_owned())
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.value)
    }
}
