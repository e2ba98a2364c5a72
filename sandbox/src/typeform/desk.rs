//! What people do there: they answer forms, edit them, delete answers; and a look at what is there.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::Typeform;
use super::model::{Form, Hook, Response};
use crate::world::Context;

const HEX: &str = "0123456789abcdef";

/// What somebody answers: by a question's reference, the value as one would type it.
#[derive(Clone, Debug, Default)]
pub struct NewResponse<'a> {
    pub answers: &'a [(&'a str, Value)],
    pub hidden: &'a [(&'a str, &'a str)],
    /// Begun, and not sent off.
    pub partial: bool,
    /// When it was sent off; now, unless said.
    pub at: Option<DateTime<Utc>>,
}

impl Typeform {
    /// A form with an id of one's own choice; `fields` as the API takes them. False where they are none.
    pub fn add_form(&mut self, id: &str, title: &str, fields: &Value, hidden: &[&str], cx: &mut Context<'_>) -> bool {
        let Value::Object(body) = json!({"title": title, "fields": fields, "hidden": hidden}) else { return false };
        let form = self.read_form(id.to_owned(), &body, cx);
        form.map(|form| self.forms.insert(id.to_owned(), form)).is_ok()
    }

    /// Somebody answers; the response's token, or `None` where there is no such form or question.
    pub fn respond(&mut self, form: &str, new: &NewResponse<'_>, cx: &mut Context<'_>) -> Option<String> {
        let token = cx.rng.text(HEX, 32);
        let of = self.forms.get(form)?;
        let answers =
            new.answers.iter().map(|(name, value)| answer(of.question(name)?, value)).collect::<Option<_>>()?;
        let at = new.at.unwrap_or(cx.now);
        let response = Response {
            token: token.clone(),
            landed_at: at - TimeDelta::seconds(60),
            staged_at: new.partial.then_some(at),
            submitted_at: (!new.partial).then_some(at),
            shown_at: cx.now + self.lag,
            hidden: new.hidden.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
            answers,
            score: 0,
        };
        self.forms.get_mut(form)?.responses.push(response);
        self.fire(form, &token, cx);
        Some(token)
    }

    /// Who had begun sends it off, with these further answers.
    pub fn complete(&mut self, form: &str, token: &str, answers: &[(&str, Value)], cx: &mut Context<'_>) -> Option<()> {
        let of = self.forms.get(form)?;
        let more = answers.iter().map(|(name, value)| answer(of.question(name)?, value)).collect::<Option<Vec<_>>>()?;
        let responses = &mut self.forms.get_mut(form)?.responses;
        let at = responses.iter().position(|response| response.token == token && response.submitted_at.is_none())?;
        let mut response = responses.remove(at);
        response.answers.extend(more);
        response.submitted_at = Some(cx.now);
        responses.push(response);
        self.fire(form, token, cx);
        Some(())
    }

    pub fn delete_response(&mut self, form: &str, token: &str) {
        if let Some(form) = self.forms.get_mut(form) {
            form.responses.retain(|response| response.token != token);
        }
    }

    /// Somebody rewords a question.
    pub fn retitle(&mut self, form: &str, question: &str, title: &str, cx: &mut Context<'_>) {
        if let Some(form) = self.forms.get_mut(form) {
            form.updated_at = cx.now;
            for field in form.fields.iter_mut().filter(|field| field["ref"].as_str() == Some(question)) {
                field["title"] = title.into();
            }
        }
    }

    /// Somebody adds a question at the end.
    pub fn add_question(&mut self, form: &str, field: Value, cx: &mut Context<'_>) {
        if let Some(form) = self.forms.get_mut(form) {
            form.updated_at = cx.now;
            form.fields.push(field);
        }
    }

    /// How long what is answered from now on is missing from the API. (Webhooks come at once.)
    pub fn set_lag(&mut self, lag: TimeDelta) {
        self.lag = lag;
    }

    /// Where the account's responses are kept; calls at another base find none.
    pub fn keep_responses_at(&mut self, base: &str) {
        self.responses_at = Some(base.to_owned());
    }

    /// Another quota, in calls a second.
    pub fn set_quota(&mut self, calls: usize) {
        self.most = calls;
    }

    /// The plan has no webhooks: 403.
    pub fn forbid_webhooks(&mut self) {
        self.no_webhooks = true;
    }

    pub fn switch_off(&mut self, form: &str, tag: &str) {
        let hooks = self.forms.get_mut(form).map(|form| form.hooks.iter_mut());
        for hook in hooks.into_iter().flatten().filter(|hook| hook.tag == tag) {
            hook.enabled = false;
        }
    }

    pub fn add_token(&mut self, token: &str) {
        self.tokens.insert(token.to_owned());
    }

    /// From now on 401.
    pub fn revoke_token(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    pub fn form(&self, id: &str) -> Option<&Form> {
        self.forms.get(id)
    }

    pub fn webhook(&self, form: &str, tag: &str) -> Option<&Hook> {
        self.forms.get(form)?.hooks.iter().find(|hook| hook.tag == tag)
    }
}

/// An answer as the API gives it: its value under the name of its type.
fn answer(field: &Value, value: &Value) -> Option<Value> {
    let kind = field["type"].as_str()?;
    let (name, shown) = match kind {
        "short_text" | "long_text" => ("text", value.clone()),
        "email" => ("email", value.clone()),
        "website" => ("url", value.clone()),
        "file_upload" => ("file_url", value.clone()),
        "phone_number" => ("phone_number", value.clone()),
        "date" => ("date", value.clone()),
        "nps" | "opinion_scale" | "rating" | "number" => ("number", value.clone()),
        "yes_no" | "legal" => ("boolean", value.clone()),
        _ if value.is_array() => ("choices", json!({"labels": value})),
        "multiple_choice" | "dropdown" | "picture_choice" if value.is_string() => ("choice", json!({"label": value})),
        "multiple_choice" | "dropdown" | "picture_choice" => ("choice", value.clone()),
        other => (other, value.clone()),
    };
    Some(json!({"field": {"id": field["id"], "ref": field["ref"], "type": kind}, "type": name, name: shown}))
}
