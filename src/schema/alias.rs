//! The names by which a customer is recognised.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::domain;

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
    /// A whole address at a mail provider, whose domain says nothing: a person gave it to a customer.
    Email,
    /// A plain name; the weakest.
    Name,
}

impl AliasKind {
    pub const ALL: [Self; 8] = [
        Self::Domain,
        Self::CompanyId,
        Self::GithubOrg,
        Self::SlackChannel,
        Self::SalesforceAccount,
        Self::SegmentGroup,
        Self::Email,
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
            Self::Email => "email",
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

impl Alias {
    /// `None` for what can recognise nobody: nothing at all, or what is no domain of anybody's (`localhost`, `co.uk`). Whether
    /// a domain is a mail provider's is for the configuration to say.
    pub fn new(kind: AliasKind, value: &str) -> Option<Self> {
        let trimmed = value.trim();
        let value = match kind {
            AliasKind::Domain => domain_of(&trimmed.to_lowercase()).filter(|domain| !domain::is_public(domain))?,
            AliasKind::SalesforceAccount => salesforce_id(trimmed).to_lowercase(),
            AliasKind::Email if !trimmed.contains('@') => return None,
            _ => trimmed.to_lowercase(),
        };
        (!value.is_empty()).then_some(Self { kind, value })
    }

    /// All that a text means which stands where a domain is looked for: the domain, and where that is a mail provider's,
    /// the whole address too.
    pub fn of_domain(text: &str) -> Vec<Self> {
        let Some(domain) = Self::new(AliasKind::Domain, text) else { return Vec::new() };
        let email = text.contains('@') && domain::is_mail_provider(&domain.value);
        let email = email.then(|| Self::new(AliasKind::Email, text)).flatten();
        std::iter::once(domain).chain(email).collect()
    }

    /// `domain:lumen.example.com`, as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        Self::new(AliasKind::parse(kind.trim())?, value)
    }
}

/// Salesforce writes an id in 15 characters where case counts, or in 18 where it does not: three more say which of the first
/// fifteen are capitals.
fn salesforce_id(id: &str) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    if id.len() != 15 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let capitals = |five: &[u8]| {
        five.iter().enumerate().fold(0, |bits, (at, byte)| bits | usize::from(byte.is_ascii_uppercase()) << at)
    };
    let check = id.as_bytes().chunks(5).map(|five| char::from(LETTERS[capitals(five)]));
    id.chars().chain(check).collect()
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
