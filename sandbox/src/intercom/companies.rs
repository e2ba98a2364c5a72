//! `/companies…`: by id, by number of page, and by scroll.
//!
//! The law: lists leave out companies without users; page numbers end at 10,000 companies; one scroll at a time for the
//! whole app. (Vendor sheet and OpenAPI, read 2026-11-23.)

use chrono::TimeDelta;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::Intercom;
use super::errors::{Answer, missing, no_company, no_such_page, ok, refuse};
use super::model::{Company, Contact, Scroll};
use super::page::Numbered;
use super::route::Call;
use super::show::View;
use crate::world::Context;

const COMPANIES_PER_PAGE: usize = 15;
const COMPANIES_A_SCROLL: usize = 100;
/// Beyond, only the scroll reaches.
const MOST_BY_PAGE: usize = 10_000;
const SCROLL_LIVES: TimeDelta = TimeDelta::minutes(1);
const HEX: &str = "0123456789abcdef";

impl Intercom {
    pub(super) fn company_route(&mut self, rest: &[&str], call: &Call, cx: &mut Context<'_>) -> Answer {
        match (&call.method, rest) {
            (&Method::GET, []) => {
                let wanted = (call.get("company_id"), call.get("name"));
                if wanted != (None, None) {
                    let found = self.companies.values().find(|company| match &wanted {
                        (Some(id), _) => company.company_id == *id,
                        (None, name) => Some(&company.name) == name.as_ref(),
                    });
                    return ok(&self.show_company(found.ok_or_else(no_company)?));
                }
                self.answer_companies(self.companies_with_users(), COMPANIES_PER_PAGE, "/companies", call, cx)
            }
            (&Method::POST, ["list"]) => {
                self.answer_companies(self.companies_with_users(), COMPANIES_PER_PAGE, "/companies/list", call, cx)
            }
            (&Method::GET, ["scroll"]) => self.scroll(call, cx),
            (&Method::POST, []) => {
                let body = call.object()?;
                let key = body.get("company_id").and_then(Value::as_str).ok_or_else(|| missing("company_id"))?;
                let old = self.companies.values().find(|company| company.company_id == key).cloned();
                let company = read_company(old, key, &body, cx);
                let id = self.put_company(company, cx);
                ok(&self.companies.get(&id).map(|company| self.show_company(company)).unwrap_or_default())
            }
            (&Method::GET, [id]) => ok(&self.show_company(self.companies.get(*id).ok_or_else(no_company)?)),
            (&Method::PUT, [id]) => {
                let old = self.companies.get(*id).cloned().ok_or_else(no_company)?;
                let key = old.company_id.clone();
                let company = read_company(Some(old), &key, &call.object()?, cx);
                let id = self.put_company(company, cx);
                ok(&self.companies.get(&id).map(|company| self.show_company(company)).unwrap_or_default())
            }
            (&Method::GET, [id, "contacts"]) => {
                self.companies.get(*id).ok_or_else(no_company)?;
                let all: Vec<&Contact> =
                    self.contacts.values().filter(|contact| contact.companies.iter().any(|own| own == id)).collect();
                let total = all.len();
                let numbered = Numbered::read(|key| call.get(key), 50)?;
                let (items, pages) =
                    numbered.cut(all, |page| format!("{}/companies/{id}/contacts?page={page}", cx.base));
                let view = View { version: call.version, plain: false };
                let items: Vec<Value> = items.into_iter().map(|contact| self.show_contact(contact, view)).collect();
                ok(&json!({"type": "list", "data": items, "total_count": total, "pages": pages}))
            }
            _ => Err(no_such_page()),
        }
    }

    /// Lists leave out companies without users; the single reads do not.
    fn companies_with_users(&self) -> Vec<&Company> {
        self.companies.values().filter(|company| company.user_count > 0).collect()
    }

    pub(super) fn answer_companies(
        &self,
        all: Vec<&Company>,
        per_page: usize,
        path: &str,
        call: &Call,
        cx: &Context<'_>,
    ) -> Answer {
        let numbered = Numbered::read(|key| call.get(key), per_page)?;
        if numbered.page.saturating_mul(numbered.per_page) > MOST_BY_PAGE {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "page_limit_reached",
                "page limit reached, please use scroll API",
            ));
        }
        let total = all.len();
        let size = numbered.per_page;
        let (items, pages) = numbered.cut(all, |page| format!("{}{path}?per_page={size}&page={page}", cx.base));
        let items: Vec<Value> = items.into_iter().map(|company| self.show_company(company)).collect();
        ok(&json!({"type": "list", "data": items, "pages": pages, "total_count": total}))
    }

    /// One walk at a time for the whole app; it dies after a minute of silence, and at its end.
    fn scroll(&mut self, call: &Call, cx: &mut Context<'_>) -> Answer {
        let open = self.scroll.take().filter(|scroll| cx.now - scroll.last_used <= SCROLL_LIVES);
        let mut scroll = match (call.get("scroll_param"), open) {
            (None, Some(open)) => {
                self.scroll = Some(open);
                return Err(refuse(
                    StatusCode::BAD_REQUEST,
                    "scroll_exists",
                    "scroll already exists for this workspace",
                ));
            }
            (None, None) => Scroll {
                param: cx.rng.uuid(),
                last_used: cx.now,
                left: self.companies_with_users().iter().map(|company| company.id.clone()).collect(),
            },
            (Some(param), Some(open)) if param == open.param => open,
            (Some(_), open) => {
                self.scroll = open;
                return Err(refuse(StatusCode::NOT_FOUND, "not_found", "scroll parameter not found"));
            }
        };
        let rest = scroll.left.split_off(scroll.left.len().min(COMPANIES_A_SCROLL));
        let page = std::mem::replace(&mut scroll.left, rest);
        let items: Vec<Value> =
            page.iter().filter_map(|id| self.companies.get(id)).map(|company| self.show_company(company)).collect();
        let param = scroll.param.clone();
        if !page.is_empty() {
            scroll.last_used = cx.now;
            self.scroll = Some(scroll);
        }
        ok(&json!({"type": "list", "data": items, "pages": null, "total_count": null, "scroll_param": param}))
    }
}

fn read_company(old: Option<Company>, key: &str, body: &Map<String, Value>, cx: &mut Context<'_>) -> Company {
    let now = cx.now.timestamp();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let whole = |name: &str| body.get(name).and_then(|value| value.as_i64().or_else(|| Some(cut(value.as_f64()?))));
    let mut company = old.unwrap_or_else(|| new_company(cx.rng.text(HEX, 24), key, now));
    company.name = text("name").unwrap_or(company.name);
    company.website = text("website").or(company.website);
    company.industry = text("industry").or(company.industry);
    company.size = whole("size").or(company.size);
    company.monthly_spend = whole("monthly_spend").unwrap_or(company.monthly_spend);
    company.plan = text("plan").or(company.plan);
    company.remote_created_at = whole("remote_created_at").or(company.remote_created_at);
    if let Some(Value::Object(attributes)) = body.get("custom_attributes") {
        company.custom_attributes.extend(attributes.clone());
    }
    company.updated_at = now;
    company
}

pub(super) fn new_company(id: String, company_id: &str, now: i64) -> Company {
    Company {
        id,
        company_id: company_id.to_owned(),
        name: String::new(),
        website: None,
        industry: None,
        size: None,
        monthly_spend: 0,
        plan: None,
        user_count: 0,
        custom_attributes: Map::new(),
        remote_created_at: None,
        created_at: now,
        updated_at: now,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "decimals are cut, as Intercom cuts them; the cast saturates")]
fn cut(number: f64) -> i64 {
    number as i64
}
