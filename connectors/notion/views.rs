//! Prepared views for those who never heard of loopd: leadership, product, engineering, sales. Made where Notion has its views
//! API, else told step by step. (Notion "create a view", read 2026-11-23.)

use serde_json::{Map, Value, json};

use super::Notion;
use super::binding::find_property;
use super::client::Verb;
use super::types::{DataSource, Property, array, text};
use super::values::{self, Sort};
use crate::http::Call;
use crate::{Change, CollectionShape, Fault, FieldKind, FieldShape};

/// A view for a role, by the fields that it needs.
struct Role {
    name: &'static str,
    /// `board` or `table`.
    kind: &'static str,
    /// The field that rows are grouped by.
    group: Option<&'static str>,
    /// The field whose largest values come first.
    sort: Option<&'static str>,
    /// Only rows with this value.
    only: Option<(&'static str, &'static str)>,
    /// It needs these fields.
    needs: &'static [&'static str],
}

const ROLES: [Role; 5] = [
    Role {
        name: "Leadership: by revenue",
        kind: "table",
        group: None,
        sort: Some("ARR"),
        only: None,
        needs: &["ARR", "Feedback Count"],
    },
    Role {
        name: "Product: by status",
        kind: "board",
        group: Some("Status"),
        sort: None,
        only: None,
        needs: &["Status"],
    },
    Role {
        name: "Product: by theme",
        kind: "table",
        group: Some("Theme"),
        sort: Some("ARR"),
        only: None,
        needs: &["Theme"],
    },
    Role {
        name: "Engineering: by severity",
        kind: "board",
        group: Some("Severity"),
        sort: None,
        only: Some(("Category", "Bug")),
        needs: &["Severity", "Category"],
    },
    Role {
        name: "Sales: by customer",
        kind: "table",
        group: Some("Customer"),
        sort: Some("ARR"),
        only: None,
        needs: &["Customer"],
    },
];

/// The views that a collection can have and lacks. `there`: the names of those that it has; `None` where Notion has no
/// endpoint for views.
pub(super) fn wanted(collection: &CollectionShape, there: Option<&[String]>) -> Vec<Change> {
    let field = |name: &str| collection.fields.iter().find(|field| field.name == name);
    let fits = |role: &&Role| role.needs.iter().all(|need| field(need).is_some_and(can_group_or_sort));
    let lacks = |role: &&Role| there.is_none_or(|there| !there.iter().any(|name| name == role.name));
    let change = |role: &Role| Change {
        what: format!("view \"{}\" in {}", role.name, collection.name),
        by_hand: there.is_none().then(|| by_hand(role, &collection.name)),
        detail: json!({ "do": "create_view", "collection": collection.name, "view": role.name }),
    };
    ROLES.iter().filter(fits).filter(lacks).map(change).collect()
}

fn can_group_or_sort(field: &FieldShape) -> bool {
    !matches!(field.kind, FieldKind::LongText)
}

fn by_hand(role: &Role, collection: &str) -> String {
    let mut steps = vec![format!(
        "open {collection}, click + beside its views, choose {}, and name it \"{}\"",
        if role.kind == "board" { "Board" } else { "Table" },
        role.name
    )];
    steps.extend(role.group.map(|group| format!("under Group choose {group}")));
    steps.extend(role.sort.map(|sort| format!("under Sort choose {sort}, descending")));
    steps.extend(role.only.map(|(field, value)| format!("under Filter choose {field} is {value}")));
    steps.join("; ")
}

impl Notion {
    /// The names of a data source's views; `None`: there is no endpoint for views, or it is not for us.
    pub(super) async fn view_names(&self, there: &DataSource) -> Result<Option<Vec<String>>, Fault> {
        let of = match &there.database {
            Some(database) => format!("database_id={database}"),
            None => format!("data_source_id={}", there.id),
        };
        let path = format!("/v1/views?{of}&page_size=100");
        let listed = match self.lookup.get(&self.client, &*self.clock, &path).await {
            Ok(Some(listed)) => listed,
            Ok(None) | Err(Fault::Rejected { .. }) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let mut names = Vec::new();
        for view in array(&listed, "results") {
            if let Some(name) = text(view, "name") {
                names.push(name);
                continue;
            }
            // The list may hold ids only.
            let Some(id) = text(view, "id") else { continue };
            let whole = self.lookup.get(&self.client, &*self.clock, &format!("/v1/views/{id}")).await?;
            names.extend(whole.as_ref().and_then(|view| text(view, "name")));
        }
        Ok(Some(names))
    }

    pub(super) async fn make_view(&self, detail: &Value, there: &DataSource) -> Result<(), Fault> {
        let name = text(detail, "view").unwrap_or_default();
        let role = ROLES.iter().find(|role| role.name == name);
        let role = role.ok_or_else(|| Fault::rejected(format!("loopd has no view {name}")))?;
        if self.view_names(there).await?.is_some_and(|names| names.contains(&name)) {
            return Ok(());
        }
        let steps = || by_hand(role, &there.name);
        let Some(body) = body(role, there) else {
            return Err(Fault::rejected(format!(
                "properties for it are missing in {}. By hand: {}",
                there.name,
                steps()
            )));
        };
        match self.client.send(Call::post("/v1/views", body), Verb::Write).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_unknown_endpoint() || matches!(failure.fault, Fault::Rejected { .. }) => {
                Err(Fault::rejected(format!("Notion makes no view here ({}). By hand: {}", failure.message, steps())))
            }
            Err(failure) => Err(failure.fault),
        }
    }
}

fn body(role: &Role, there: &DataSource) -> Option<Value> {
    let property = |name: &str| find_property(name, &there.properties, None);
    let mut configuration = Map::new();
    configuration.insert("type".into(), json!(role.kind));
    if let Some(group) = role.group {
        configuration.insert("group_by".into(), group_by(property(group)?)?);
    }
    let mut body = json!({
        "data_source_id": there.id, "name": role.name, "type": role.kind, "configuration": configuration,
    });
    if let Some(database) = &there.database {
        body["database_id"] = json!(database);
    }
    if let Some(sort) = role.sort.and_then(property) {
        body["sorts"] = json!([{ "property": sort.id, "direction": "descending" }]);
    }
    if let Some((field, value)) = role.only {
        let field = property(field)?;
        body["filter"] = json!({ "property": field.id, field.kind.as_str(): { "equals": value } });
    }
    Some(body)
}

fn group_by(property: &Property) -> Option<Value> {
    let manual = json!({ "type": "manual" });
    match values::sort(&property.kind) {
        Sort::Status => {
            Some(json!({ "type": "status", "property_id": property.id, "group_by": "option", "sort": manual }))
        }
        Sort::Select | Sort::Selects | Sort::Relation => {
            Some(json!({ "type": property.kind, "property_id": property.id, "sort": manual }))
        }
        Sort::Title | Sort::Text => Some(json!({
            "type": if property.kind == "title" { "title" } else { "text" },
            "property_id": property.id, "group_by": "exact", "sort": manual,
        })),
        _ => None,
    }
}
