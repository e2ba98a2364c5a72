//! What has to be known before anything can be written: the team, its labels, whether there are customers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Linear;
use super::client::{Failure, Sort};
use super::operations::{Attach, CustomersProbe, Labels, attach, customers_probe, labels};
use super::types::{CUSTOMER, NEED, array, nodes, text};
use crate::{Fault, Identity, Shape};

/// Labels a page.
const PAGE: i64 = 250;

/// What `attach` found. The engine stores it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Binding {
    /// The setting that the team was found by.
    pub(super) team: String,
    pub(super) team_id: String,
    /// As it is now.
    pub(super) team_key: String,
    /// Whose token it is.
    pub(super) me: String,
    /// Ids of the labels that the team's issues may carry, by name.
    pub(super) labels: BTreeMap<String, String>,
    /// Whether customers and needs are to be had; `None`: nobody asked for them.
    pub(super) customers: Option<bool>,
    /// Ids of the customer tiers, by name.
    pub(super) tiers: BTreeMap<String, String>,
    pub(super) notes: Vec<String>,
}

impl Binding {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let exact = self.labels.get(name);
        let folded = || {
            self.labels
                .iter()
                .find(|(known, _)| known.trim().to_lowercase() == name.trim().to_lowercase())
                .map(|(_, id)| id)
        };
        exact.or_else(folded).map(String::as_str)
    }
}

/// An attach so far.
#[derive(Clone, Default)]
pub(super) struct Found {
    first: Option<Value>,
    labels: BTreeMap<String, String>,
    after: Option<String>,
    has_labels: bool,
    /// The server does not understand the labels' filter: all are listed, and ours picked out here.
    all_labels: bool,
}

impl Linear {
    pub(super) async fn identity(&self) -> Result<Identity, Fault> {
        let known = self.binding();
        let data = self.look(&known).await?;
        let team = self.team_of(&data, &known).ok_or_else(|| self.team_gone())?;
        let organization = data.get("organization").cloned().unwrap_or_default();
        let get = |from: &Value, key: &str| text(from, key).unwrap_or_default();
        let viewer = data.get("viewer").map(|viewer| get(viewer, "name")).unwrap_or_default();
        Ok(Identity {
            account: get(&organization, "id"),
            name: format!(
                "{} as {viewer}, team {} ({})",
                get(&organization, "name"),
                get(team, "name"),
                get(team, "key")
            ),
            scopes: Vec::new(),
            notes: known.notes.clone(),
        })
    }

    pub(super) async fn find_all(&self, shape: &Shape, known: Option<&Value>) -> Result<Value, Fault> {
        let known = known.and_then(|known| Binding::deserialize(known).ok()).unwrap_or_default();
        if self.binding().team_id.is_empty() && !known.team_id.is_empty() {
            // What was bound before the restart serves until Linear has answered.
            self.bind(known.clone());
        }
        let mut found = self.attaching.get(&*self.clock).unwrap_or_default();
        let outcome = self.find_rest(shape, &known, &mut found).await;
        match outcome {
            Ok(binding) => {
                self.attaching.forget();
                let stored = serde_json::to_value(&binding)
                    .map_err(|error| Fault::rejected(format!("the binding cannot be stored: {error}")))?;
                self.bind(binding);
                Ok(stored)
            }
            Err(fault) => {
                self.attaching.put(&*self.clock, found);
                Err(fault)
            }
        }
    }

    async fn find_rest(&self, shape: &Shape, known: &Binding, found: &mut Found) -> Result<Binding, Fault> {
        let data = match &found.first {
            Some(data) => data.clone(),
            None => self.look(known).await?,
        };
        found.first = Some(data.clone());
        let Some(team) = self.team_of(&data, known) else {
            found.first = None;
            return Err(self.team_gone());
        };
        let mut binding = Binding {
            team: self.settings.team.clone(),
            team_id: text(team, "id").unwrap_or_default(),
            team_key: text(team, "key").unwrap_or_default(),
            me: data.get("viewer").and_then(|viewer| text(viewer, "id")).unwrap_or_default(),
            ..Binding::default()
        };
        while !found.has_labels {
            match self.labels(&binding.team_id, found).await {
                Ok(()) => {}
                Err(failure) if !is_refusal(&failure) => return Err(failure.fault),
                Err(_) if !found.all_labels => (found.all_labels, found.after) = (true, None),
                Err(_) => {
                    binding.notes.push("labels cannot be listed, so none are written".into());
                    found.has_labels = true;
                }
            }
        }
        binding.labels.clone_from(&found.labels);
        if shape.collections.iter().any(|collection| [CUSTOMER, NEED].contains(&collection.name.as_str())) {
            self.probe_customers(&mut binding).await?;
        }
        Ok(binding)
    }

    /// Who we are, and the team: by the id it was bound to, else by key, else (a key in other letters, a server
    /// without this filter) among the first fifty.
    async fn look(&self, known: &Binding) -> Result<Value, Fault> {
        let team = self.settings.team.clone();
        let mut filters = Vec::new();
        if known.team == team && !known.team_id.is_empty() {
            filters.push(attach::TeamFilter { id: Some(by_id(&known.team_id)), key: None });
        }
        filters.push(if self.settings.team_is_id() {
            attach::TeamFilter { id: Some(by_id(&team)), key: None }
        } else {
            attach::TeamFilter { id: None, key: Some(attach::StringComparator { eq: Some(team) }) }
        });
        for filter in filters {
            match self.client.query::<Attach>(attach::Variables { team: filter }).await {
                Ok(data) if self.team_of(&data, known).is_some() => return Ok(data),
                Ok(_) => {}
                Err(failure) if is_refusal(&failure) => {}
                Err(failure) => return Err(failure.fault),
            }
        }
        let all = attach::TeamFilter { id: None, key: None };
        match self.client.query::<Attach>(attach::Variables { team: all }).await {
            Err(failure) if failure.sort == Sort::Missing => Err(self.team_gone()),
            answer => Ok(answer?),
        }
    }

    /// The team, whatever else a server lists that does not filter: the one that was bound, else the one that is set.
    fn team_of<'a>(&self, data: &'a Value, known: &Binding) -> Option<&'a Value> {
        let is = |team: &&Value, key: &str, wanted: &str| {
            text(team, key).is_some_and(|found| found.eq_ignore_ascii_case(wanted))
        };
        let alive = |team: &&Value| team.get("archivedAt").is_none_or(Value::is_null) && text(team, "id").is_some();
        let find = |fits: &dyn Fn(&&Value) -> bool| nodes(data, "teams").0.iter().filter(alive).find(fits);
        let wanted = &self.settings.team;
        let bound = known.team == *wanted && !known.team_id.is_empty();
        let as_bound = bound.then(|| find(&|team| is(team, "id", &known.team_id))).flatten();
        as_bound.or_else(|| find(&|team| is(team, "id", wanted) || is(team, "key", wanted)))
    }

    /// One page of the labels of the team and of the workspace.
    async fn labels(&self, team: &str, found: &mut Found) -> Result<(), Failure> {
        let id = labels::IDComparator { eq: Some(team.to_owned()), in_: None };
        let of = |team| labels::IssueLabelFilter { or: None, team: Some(team) };
        let ours = vec![
            of(labels::NullableTeamFilter { id: Some(id), null: None }),
            of(labels::NullableTeamFilter { id: None, null: Some(true) }),
        ];
        let filter = labels::IssueLabelFilter { or: Some(ours).filter(|_| !found.all_labels), team: None };
        let data =
            self.client.query::<Labels>(labels::Variables { filter, first: PAGE, after: found.after.clone() }).await?;
        let (nodes, next) = nodes(&data, "issueLabels");
        for label in nodes {
            let owner = label.get("team").and_then(|team| text(team, "id"));
            let group = label.get("isGroup").and_then(Value::as_bool).unwrap_or(false);
            let foreign = owner.as_deref().is_some_and(|owner| owner != team);
            let (Some(name), Some(id), false, false) = (text(label, "name"), text(label, "id"), group, foreign) else {
                continue;
            };
            // A team's own label goes before one of the workspace with the same name.
            if owner.is_some() {
                found.labels.insert(name, id);
            } else {
                found.labels.entry(name).or_insert(id);
            }
        }
        found.has_labels = next.is_none() || next == found.after;
        found.after = next;
        Ok(())
    }

    async fn probe_customers(&self, binding: &mut Binding) -> Result<(), Fault> {
        match self.client.query::<CustomersProbe>(customers_probe::Variables {}).await {
            Ok(data) => {
                binding.customers = Some(true);
                for tier in nodes(&data, "customerTiers").0.iter().chain(array(&data, "customerTiers")) {
                    let Some(id) = text(tier, "id") else { continue };
                    for name in [text(tier, "name"), text(tier, "displayName")].into_iter().flatten() {
                        binding.tiers.insert(name, id.clone());
                    }
                }
                Ok(())
            }
            Err(Failure { fault: fault @ (Fault::Later { .. } | Fault::Unknown { .. }), .. }) => Err(fault),
            Err(failure) => {
                binding.customers = Some(false);
                binding.notes.push(format!(
                    "customers and their needs are left out: the plan has none, or the token lacks customer:read and customer:write ({})",
                    failure.message
                ));
                Ok(())
            }
        }
    }
}

fn by_id(id: &str) -> attach::IDComparator {
    attach::IDComparator { eq: Some(id.to_owned()), in_: None }
}

/// The question is refused, not the asker.
fn is_refusal(failure: &Failure) -> bool {
    failure.sort == Sort::Query || matches!(failure.fault, Fault::Rejected { .. })
}
