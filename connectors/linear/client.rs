//! One endpoint, and what its answers mean. Errors come with HTTP 200 as well as 400; "too many" is a 400 whose error
//! code says RATELIMITED. (Linear "rate limiting" and "GraphQL", read 2026-11-23.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use graphql_client::GraphQLQuery;
use serde_json::{Value, json};

use super::operations::document;
use super::prune;
use super::types::{array, text};
use crate::http::{Answer, Call, Http};
use crate::quota::Quota;
use crate::{Clock, Fault};

pub(super) struct Client {
    http: Http,
    /// The same with the token in its other form, where its beginning does not tell which is right.
    other: Option<Http>,
    /// The other form is the one.
    use_other: AtomicBool,
    /// By operation, what its answers do without.
    lacking: Mutex<BTreeMap<String, BTreeSet<&'static str>>>,
    clock: Arc<dyn Clock>,
}

/// What went wrong, besides what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Other,
    /// "Entity not found": the record, or something that it refers to.
    Missing,
    /// An own id that is there already.
    Exists,
    /// The server does not know a field that we ask for; nothing was done.
    Query,
    /// The token is not accepted; nothing was done.
    Token,
    /// The plan or the scope leaves this part of Linear out.
    Feature,
}

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) sort: Sort,
    pub(super) message: String,
    /// What it says that the server does not know, of what we can do without.
    lacks: BTreeSet<&'static str>,
    /// An issue's history is what could not be answered.
    at_history: bool,
    pub(super) fault: Fault,
}

impl Failure {
    /// Whether asking without history may do.
    pub(super) fn spares_history(&self) -> bool {
        self.at_history || matches!(self.sort, Sort::Query | Sort::Feature)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        failure.fault
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { sort: Sort::Other, message: String::new(), lacks: BTreeSet::new(), at_history: false, fault }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Read,
    Write,
}

impl Client {
    pub(super) fn new(http: Http, other: Option<Http>, clock: Arc<dyn Clock>) -> Self {
        Self { http, other, use_other: AtomicBool::new(false), lacking: Mutex::default(), clock }
    }

    pub(super) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    /// A query's data.
    pub(super) async fn query<Q: GraphQLQuery>(&self, variables: Q::Variables) -> Result<Value, Failure> {
        let body = body::<Q>(variables, &[])?;
        self.send(body, Verb::Read).await
    }

    /// A mutation's payload. `clear`: keys of `input` to send as null, which the typed variables leave out.
    pub(super) async fn mutate<Q: GraphQLQuery>(
        &self,
        field: &str,
        variables: Q::Variables,
        clear: &[&str],
    ) -> Result<Value, Failure> {
        let body = body::<Q>(variables, clear)?;
        let mut data = self.send(body, Verb::Write).await?;
        let payload = data.get_mut(field).map(Value::take).unwrap_or_default();
        if payload.get("success").and_then(Value::as_bool).unwrap_or(!payload.is_null()) {
            return Ok(payload);
        }
        Err(Fault::unknown(format!("Linear says that {field} had no success, and not why")).into())
    }

    /// Sent again where a refusal, before anything was done, tells how it would do.
    async fn send(&self, mut body: Value, verb: Verb) -> Result<Value, Failure> {
        let operation = text(&body, "operationName").unwrap_or_default();
        let whole = text(&body, "query").unwrap_or_default();
        let mut flipped = false;
        loop {
            body["query"] = Value::String(prune::without(&whole, &self.lacks(&operation)));
            let failure = match self.once(body.clone(), verb).await {
                Err(failure) => failure,
                data => return data,
            };
            let again = match failure.sort {
                // Once, and back if that form is refused as well.
                Sort::Token if self.other.is_some() => {
                    self.use_other.fetch_xor(true, Ordering::Relaxed);
                    !std::mem::replace(&mut flipped, true)
                }
                Sort::Query => self.learn(operation.clone(), &failure.lacks),
                _ => false,
            };
            if !again {
                return Err(failure);
            }
        }
    }

    fn lacks(&self, operation: &str) -> BTreeSet<&'static str> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).get(operation).cloned().unwrap_or_default()
    }

    /// Whether anything of this is new.
    fn learn(&self, operation: String, lacks: &BTreeSet<&'static str>) -> bool {
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lacking.entry(operation).or_default();
        let before = known.len();
        known.extend(lacks);
        known.len() > before
    }

    async fn once(&self, body: Value, verb: Verb) -> Result<Value, Failure> {
        let other = self.other.as_ref().filter(|_| self.use_other.load(Ordering::Relaxed));
        let answer = other.unwrap_or(&self.http).call(Call::post("", body).reads(verb == Verb::Read)).await?;
        let parsed: Option<Value> = serde_json::from_slice(&answer.body).ok();
        self.obey(&answer);
        let errors = parsed.as_ref().map(|body| array(body, "errors")).unwrap_or_default();
        let mut data = parsed.as_ref().and_then(|body| body.get("data")).cloned().unwrap_or_default();
        if answer.status.is_success() {
            // What a mutation did is done, whatever went wrong while its answer was put together.
            let done = verb == Verb::Write
                && data
                    .as_object()
                    .is_some_and(|data| data.values().any(|payload| payload.get("success") == Some(&json!(true))));
            if (errors.is_empty() || done) && data.is_object() {
                return Ok(data.take());
            }
            if errors.is_empty() {
                let why =
                    format!("HTTP {} answered {} bytes that are not GraphQL's JSON", answer.status, answer.body.len());
                return Err(unsure(verb, why).into());
            }
        }
        Err(self.refused(&answer, errors, verb))
    }

    fn refused(&self, answer: &Answer, errors: &[Value], verb: Verb) -> Failure {
        let status = answer.status.as_u16();
        let trouble: Vec<Trouble> = errors.iter().map(Trouble::read).collect();
        let has = |sign: &str| trouble.iter().any(|one| one.code.contains(sign));
        let said = |sign: &str| trouble.iter().any(|one| one.words.contains(sign));
        let message = trouble.first().map(|one| one.message.clone()).unwrap_or_default();
        let why = if message.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {message}") };
        let lacks: BTreeSet<_> = trouble.iter().filter_map(|one| prune::named(&one.message)).collect();
        let at_history = errors.iter().flat_map(|error| array(error, "path")).any(|step| step == "history");
        let with = |sort, fault| Failure { sort, message: message.clone(), lacks: lacks.clone(), at_history, fault };
        if status == 429 || has("ratelimited") {
            self.quota().note_throttled();
            let after = self.until_reset(answer).or_else(|| answer.retry_after());
            self.quota().close_for(after.unwrap_or(Duration::from_secs(1)));
            return Fault::Later { after, why }.into();
        }
        if status == 401 || has("authentication") {
            // It is not always said by the status.
            if let Some(again) = answer.token_refused() {
                return again.into();
            }
            return with(Sort::Token, Fault::locked(format!("the token is not accepted ({why})")));
        }
        if has("featurenotaccessible") {
            return with(Sort::Feature, Fault::rejected(why));
        }
        if has("usagelimit") {
            return with(Sort::Other, Fault::locked(format!("the plan's limit is reached ({why})")));
        }
        if has("forbidden") || (status == 403 && trouble.is_empty()) {
            return with(Sort::Other, Fault::locked(format!("no access ({why})")));
        }
        if has("validationfailed")
            || has("parsefailed")
            || has("undefinedfield")
            // A value that an input refuses is the record's trouble, not the document's.
            || (!said("got invalid value") && UNKNOWN.iter().any(|sign| said(sign)))
        {
            return with(Sort::Query, Fault::locked(format!("the server does not know what we ask for ({why})")));
        }
        if has("internal") || has("locktimeout") || has("network") || has("bootstrap") || status >= 500 || status == 408
        {
            return with(Sort::Other, unsure(verb, why));
        }
        if said("already exists") || said("conflict on insert") {
            return with(Sort::Exists, Fault::rejected(why));
        }
        if said("not found") || said("could not find") || has("notfound") {
            return with(Sort::Missing, Fault::rejected(why));
        }
        if trouble.is_empty() && matches!(status, 300..=399 | 404 | 405) {
            return with(Sort::Other, Fault::locked(format!("there is no GraphQL at base_url ({why})")));
        }
        let field = trouble.iter().find_map(|one| one.field.clone());
        with(Sort::Other, Fault::Rejected { why, field })
    }

    /// Closes the gate when the vendor says that nothing is left.
    fn obey(&self, answer: &Answer) {
        if let Some(wait) = self.resets(answer, true).into_iter().max() {
            self.quota().close_for(wait);
        }
    }

    /// The smallest relevant wait: of the limits that are used up, or of all.
    fn until_reset(&self, answer: &Answer) -> Option<Duration> {
        self.resets(answer, true).into_iter().min().or_else(|| self.resets(answer, false).into_iter().min())
    }

    fn resets(&self, answer: &Answer, used_up: bool) -> Vec<Duration> {
        let now = self.clock.now().timestamp_millis();
        ["requests", "complexity", "endpoint-requests"]
            .iter()
            .filter(|limit| {
                !used_up || answer.number(&format!("x-ratelimit-{limit}-remaining")).is_some_and(|left| left <= 0)
            })
            .filter_map(|limit| answer.number(&format!("x-ratelimit-{limit}-reset")))
            // Milliseconds; what can only be seconds is taken as such.
            .map(|reset| if reset < 100_000_000_000 { reset.saturating_mul(1000) } else { reset })
            .filter_map(|reset| u64::try_from(reset - now).ok().filter(|wait| *wait > 0))
            .map(|wait| Duration::from_millis(wait.min(2 * 3_600_000)))
            .collect()
    }
}

fn body<Q: GraphQLQuery>(variables: Q::Variables, clear: &[&str]) -> Result<Value, Failure> {
    let built = Q::build_query(variables);
    let mut variables =
        serde_json::to_value(&built.variables).map_err(|error| Fault::rejected(format!("cannot be JSON: {error}")))?;
    if variables.is_null() {
        variables = json!({});
    }
    if let Some(input) = variables.get_mut("input").and_then(Value::as_object_mut) {
        input.extend(clear.iter().map(|key| ((*key).to_owned(), Value::Null)));
    }
    let query = document(built.query, built.operation_name);
    Ok(json!({ "query": query, "variables": variables, "operationName": built.operation_name }))
}

fn unsure(verb: Verb, why: String) -> Fault {
    match verb {
        Verb::Write => Fault::Unknown { why },
        Verb::Read => Fault::Later { after: None, why },
    }
}

/// One of `errors[]`.
struct Trouble {
    /// Code and type, letters only.
    code: String,
    /// All that it says, in lower case.
    words: String,
    message: String,
    field: Option<String>,
}

impl Trouble {
    fn read(error: &Value) -> Self {
        let extensions = error.get("extensions").cloned().unwrap_or_default();
        let get = |from: &Value, key| text(from, key).unwrap_or_default();
        let letters =
            |text: String| text.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
        let technical = get(error, "message");
        let presentable = get(&extensions, "userPresentableMessage");
        let words = format!("{technical} {presentable}").to_ascii_lowercase();
        let code = format!("{} {}", letters(get(&extensions, "code")), letters(get(&extensions, "type")));
        let message = if presentable.is_empty() || presentable == technical {
            technical
        } else {
            format!("{technical}: {presentable}")
        };
        let property = array(&extensions, "validationErrors").iter().find_map(|one| text(one, "property"));
        let field = property.or_else(|| {
            INPUTS
                .iter()
                .find(|(input, _)| words.contains(&input.to_ascii_lowercase()))
                .map(|(input, _)| (*input).to_owned())
        });
        let field = field.map(|input| {
            INPUTS.iter().find(|(known, _)| *known == input).map_or(input.clone(), |(_, field)| (*field).to_owned())
        });
        Self { code, words, message: message.chars().take(300).collect(), field }
    }
}

/// How servers say that they do not know what a document asks for.
const UNKNOWN: [&str; 8] = [
    "cannot query field",
    "unknown argument",
    "unknown type",
    "unknown field",
    "undefined field",
    "doesn't exist on type",
    "does not exist on type",
    "is not defined by type",
];

/// Inputs by which Linear's messages name our fields; the longer first.
const INPUTS: [(&str, &str); 12] = [
    ("addedLabelIds", "labels"),
    ("removedLabelIds", "labels"),
    ("labelIds", "labels"),
    ("customerId", "customer"),
    ("description", "description"),
    ("issueId", "issue"),
    ("priority", "priority"),
    ("subtitle", "subtitle"),
    ("title", "title"),
    ("domains", "domains"),
    ("revenue", "revenue"),
    ("tierName", "tier"),
];
