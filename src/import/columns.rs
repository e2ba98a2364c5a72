//! What the columns of a plain file mean, by their headers.

use std::collections::BTreeMap;

use super::{ImportError, Kind};

/// A column's meaning, and the headers by which it is recognised, best first (in lower case, with `_` for what is no letter
/// or digit). Where several of a file's columns mean the same, the best stands.
type Column = (&'static str, &'static [&'static str]);

const CUSTOMERS: &[Column] = &[
    (
        "name",
        &[
            "name",
            "account_name",
            "accountname",
            "company_name",
            "company",
            "customer",
            "customer_name",
            "account",
            "organisation",
            "organization",
        ],
    ),
    ("domains", &["domains", "domain", "company_domain_name", "email_domain", "website", "web_site", "url"]),
    (
        "company_id",
        &["company_id", "id", "external_id", "account_id", "accountid", "customer_id", "record_id", "hs_object_id"],
    ),
    ("salesforce_account", &["salesforce_account", "salesforce_account_id", "salesforce_id", "account_id_18"]),
    ("segment_group", &["segment_group", "segment_group_id", "group_id"]),
    ("slack_channel", &["slack_channel", "slack_channel_id"]),
    ("github_org", &["github_org", "github", "github_organisation", "github_organization"]),
    (
        "arr",
        &["arr", "annual_recurring_revenue", "annual_revenue_converted", "annual_revenue", "annualrevenue", "revenue"],
    ),
    ("industry", &["industry", "sector"]),
    (
        "region",
        &["region", "geo", "country", "billing_country", "billingcountry", "billing_country_region", "country_region"],
    ),
    ("tier", &["tier", "plan", "segment"]),
    ("lifecycle", &["lifecycle", "lifecycle_stage", "stage", "account_status", "customer_status"]),
    (
        "owner",
        &[
            "owner",
            "account_owner",
            "account_owner_name",
            "owner_name",
            "owner_full_name",
            "company_owner",
            "csm",
            "account_manager",
        ],
    ),
    (
        "customer_since",
        &["customer_since", "since", "start_date", "signed_at", "created_date", "createddate", "create_date"],
    ),
    ("use_case", &["use_case", "usecase"]),
];

const FEEDBACK: &[Column] = &[
    (
        "text",
        &[
            "text",
            "feedback",
            "verbatim",
            "comment",
            "comments",
            "message",
            "body",
            "content",
            "response",
            "answer",
            "quote",
            "description",
            "notes",
            "note",
        ],
    ),
    ("title", &["title", "subject", "headline"]),
    (
        "author_email",
        &["author_email", "email", "e_mail", "user_email", "contact_email", "customer_email", "mail", "from"],
    ),
    (
        "author",
        &[
            "author",
            "author_name",
            "user",
            "user_name",
            "username",
            "contact",
            "contact_name",
            "submitted_by",
            "reporter",
        ],
    ),
    (
        "company",
        &[
            "company",
            "company_name",
            "account_name",
            "account",
            "customer",
            "customer_name",
            "organisation",
            "organization",
        ],
    ),
    ("company_id", &["company_id", "account_id", "accountid", "customer_id"]),
    ("domain", &["domain", "company_domain", "website"]),
    (
        "date",
        &[
            "date",
            "received_at",
            "created_at",
            "created_date",
            "createddate",
            "created",
            "submitted_at",
            "timestamp",
            "datetime",
            "time",
        ],
    ),
    ("source", &["source", "channel"]),
    ("url", &["url", "link", "permalink"]),
    ("category", &["category", "type"]),
    ("severity", &["severity", "priority"]),
    ("product", &["product", "area"]),
    ("language", &["language", "lang", "locale"]),
    ("id", &["id", "feedback_id", "external_id", "record_id", "response_id", "ticket_id"]),
];

impl Kind {
    fn columns(self) -> &'static [Column] {
        match self {
            Self::Customers => CUSTOMERS,
            Self::Feedback => FEEDBACK,
        }
    }

    /// What a row must have one of, or it says nothing.
    fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Customers => &["name", "domains", "company_id", "salesforce_account"],
            Self::Feedback => &["text", "title"],
        }
    }
}

/// A header without what differs from spreadsheet to spreadsheet.
pub(super) fn plain(header: &str) -> String {
    let plain: String =
        header.trim().to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    plain.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// The meaning of each header, and those that mean nothing. `said`: headers of which a person says what they mean.
pub(super) fn meanings(
    kind: Kind,
    headers: &[String],
    said: &BTreeMap<String, String>,
) -> Result<(Vec<Option<&'static str>>, Vec<String>), ImportError> {
    // Of each meaning: the best header that has it.
    let mut best: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    for (at, header) in headers.iter().enumerate() {
        let Some((meaning, rank)) = meaning(kind, header, said)? else { continue };
        match best.get(meaning) {
            Some((first, before)) if *before == rank => {
                return Err(ImportError::Header(format!(
                    "two columns mean {meaning}: `{}` and `{header}`\n  = rename one of them",
                    headers[*first]
                )));
            }
            Some((_, before)) if *before < rank => {}
            _ => drop(best.insert(meaning, (at, rank))),
        }
    }
    if !kind.needed().iter().any(|needed| best.contains_key(needed)) {
        return Err(ImportError::NoHeader { wants: kind.needed().join(", ") });
    }
    let of = |at: usize| best.iter().find(|(_, (column, _))| *column == at).map(|(meaning, _)| *meaning);
    let meanings: Vec<_> = (0..headers.len()).map(of).collect();
    let unknown = headers.iter().zip(&meanings).filter(|(header, meaning)| meaning.is_none() && !header.is_empty());
    Ok((meanings.clone(), unknown.map(|(header, _)| header.clone()).collect()))
}

/// What a header means, and how well: 0 is a person's word.
pub(super) fn meaning(
    kind: Kind,
    header: &str,
    said: &BTreeMap<String, String>,
) -> Result<Option<(&'static str, usize)>, ImportError> {
    if let Some((_, wanted)) = said.iter().find(|(theirs, _)| plain(theirs) == plain(header)) {
        return known(kind, header, wanted).map(|name| Some((name, 0)));
    }
    let plain = plain(header);
    let found = kind
        .columns()
        .iter()
        .find_map(|(name, headers)| headers.iter().position(|known| *known == plain).map(|rank| (*name, rank + 1)));
    Ok(found)
}

/// The meaning that a person gives a header.
pub(super) fn known(kind: Kind, header: &str, wanted: &str) -> Result<&'static str, ImportError> {
    let names: Vec<&'static str> = kind.columns().iter().map(|(name, _)| *name).collect();
    names.iter().find(|name| **name == wanted).copied().ok_or_else(|| {
        ImportError::Header(format!(
            "--map {header}={wanted}: there is no `{wanted}`\n  = there are {}",
            names.join(", ")
        ))
    })
}
