//! What Typeform keeps: forms, their responses, and a webhook by tag at each form.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug)]
pub struct Form {
    pub id: String,
    pub title: String,
    pub workspace: String,
    /// As they were sent: `id`, `ref`, `type`, `title`, `properties`.
    pub fields: Vec<Value>,
    pub hidden: Vec<String>,
    /// What else was sent when it was made: settings, logic, screens.
    pub rest: Map<String, Value>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// In the order in which they arrived.
    pub responses: Vec<Response>,
    pub hooks: Vec<Hook>,
}

#[derive(Clone, Debug)]
pub struct Response {
    /// Unique in its form; the API calls it `token` and `response_id`.
    pub token: String,
    pub landed_at: DateTime<Utc>,
    pub staged_at: Option<DateTime<Utc>>,
    pub submitted_at: Option<DateTime<Utc>>,
    /// From when on the API shows it.
    pub shown_at: DateTime<Utc>,
    pub hidden: Map<String, Value>,
    /// As the API gives them.
    pub answers: Vec<Value>,
    pub score: i64,
}

#[derive(Clone, Debug)]
pub struct Hook {
    pub id: String,
    pub tag: String,
    pub url: String,
    pub enabled: bool,
    pub verify_ssl: bool,
    pub secret: Option<String>,
    pub completed: bool,
    pub partial: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Attempts that failed since the last that did not, and when the first of them was.
    pub failed: u32,
    pub failing_since: Option<DateTime<Utc>>,
}

pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Response {
    pub(super) fn kind(&self) -> &'static str {
        match (self.submitted_at, self.staged_at) {
            (Some(_), _) => "completed",
            (None, Some(_)) => "partial",
            (None, None) => "started",
        }
    }

    /// The moment by which `since` and `until` go.
    pub(super) fn settled(&self) -> DateTime<Utc> {
        self.submitted_at.or(self.staged_at).unwrap_or(self.landed_at)
    }

    /// As the list of responses gives it.
    pub(super) fn show(&self) -> Value {
        let mut item = json!({
            "landing_id": self.token, "token": self.token, "response_id": self.token, "response_type": self.kind(),
            "landed_at": stamp(self.landed_at),
            "metadata": {"user_agent": "Mozilla/5.0", "platform": "other", "referer": "https://form.typeform.com/", "network_id": "0a1b2c3d4e", "browser": "default"},
            "hidden": self.hidden, "calculated": {"score": self.score},
            "variables": [{"key": "score", "type": "number", "number": self.score}],
            "tags": [],
        });
        if let Value::Object(fields) = &mut item {
            for (name, at) in [("staged_at", self.staged_at), ("submitted_at", self.submitted_at)] {
                if let Some(at) = at {
                    fields.insert(name.into(), stamp(at).into());
                }
            }
            // Who answered nothing has `null` there, and forms without hidden fields have none.
            let answers = if self.answers.is_empty() { Value::Null } else { self.answers.clone().into() };
            fields.insert("answers".into(), answers);
            if self.hidden.is_empty() {
                fields.remove("hidden");
            }
        }
        item
    }
}

impl Form {
    pub(super) fn links(&self, base: &str, responses: &str) -> Value {
        json!({
            "display": format!("https://form.typeform.com/to/{}", self.id),
            "responses": format!("{responses}/forms/{}/responses", self.id),
            "self": format!("{base}/forms/{}", self.id),
        })
    }

    /// As `GET /forms/{id}` gives it.
    pub(super) fn show(&self, base: &str, responses: &str) -> Value {
        let mut form = self.rest.clone();
        form.extend([
            ("id".to_owned(), self.id.as_str().into()),
            ("type".to_owned(), "quiz".into()),
            ("title".to_owned(), self.title.as_str().into()),
            ("workspace".to_owned(), json!({"href": format!("{base}/workspaces/{}", self.workspace)})),
            ("theme".to_owned(), json!({"href": format!("{base}/themes/qHWOQ7")})),
            (
                "settings".to_owned(),
                self.rest.get("settings").cloned().unwrap_or_else(|| json!({"language": "en", "is_public": true})),
            ),
            ("hidden".to_owned(), self.hidden.clone().into()),
            ("fields".to_owned(), self.fields.clone().into()),
            ("created_at".to_owned(), stamp(self.created_at).into()),
            ("last_updated_at".to_owned(), stamp(self.updated_at).into()),
            ("_links".to_owned(), self.links(base, responses)),
        ]);
        Value::Object(form)
    }

    /// As it stands in a list.
    pub(super) fn row(&self, base: &str, responses: &str) -> Value {
        json!({
            "id": self.id, "type": "quiz", "title": self.title,
            "created_at": stamp(self.created_at), "last_updated_at": stamp(self.updated_at),
            "settings": {"is_public": true, "is_trial": false},
            "self": {"href": format!("{base}/forms/{}", self.id)},
            "theme": {"href": format!("{base}/themes/qHWOQ7")},
            "_links": self.links(base, responses),
        })
    }

    /// A question, wherever it is nested, by reference or id.
    pub(super) fn question(&self, name: &str) -> Option<&Value> {
        find(&self.fields, name)
    }

    /// What the form asks, flat, as webhooks tell it.
    pub(super) fn definition(&self) -> Value {
        let mut flat = Vec::new();
        flatten(&self.fields, &mut flat);
        json!({"id": self.id, "title": self.title, "fields": flat, "endings": []})
    }
}

fn inner(field: &Value) -> &[Value] {
    field["properties"]["fields"].as_array().map_or(&[], Vec::as_slice)
}

fn find<'f>(fields: &'f [Value], name: &str) -> Option<&'f Value> {
    fields.iter().find_map(|field| {
        let named = ["ref", "id"].iter().any(|key| field[key].as_str() == Some(name));
        if named { Some(field) } else { find(inner(field), name) }
    })
}

fn flatten(fields: &[Value], into: &mut Vec<Value>) {
    for field in fields {
        let mut shown = Map::new();
        for key in ["id", "ref", "type", "title", "properties"] {
            shown.insert(key.into(), field[key].clone());
        }
        if let Some(Value::Object(properties)) = shown.get_mut("properties") {
            properties.remove("fields");
        }
        into.push(Value::Object(shown));
        flatten(inner(field), into);
    }
}

impl Hook {
    /// The secret is never told.
    pub(super) fn show(&self, form: &str) -> Value {
        json!({
            "id": self.id, "form_id": form, "tag": self.tag, "url": self.url, "enabled": self.enabled,
            "verify_ssl": self.verify_ssl,
            "event_types": {"form_response": self.completed, "form_response_partial": self.partial},
            "created_at": stamp(self.created_at), "updated_at": stamp(self.updated_at),
        })
    }
}
