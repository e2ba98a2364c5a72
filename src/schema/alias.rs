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
    /// The id of a Slack channel that is one customer's.
    SlackChannel,
    /// A plain name; the weakest.
    Name,
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
        let kind = match self.kind {
            AliasKind::Domain => "domain",
            AliasKind::CompanyId => "company_id",
            AliasKind::GithubOrg => "github_org",
            AliasKind::SlackChannel => "slack_channel",
            AliasKind::Name => "name",
        };
        write!(f, "{kind}:{}", self.value)
    }
}
