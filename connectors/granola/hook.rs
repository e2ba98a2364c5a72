//! Our webhook endpoint: made once, kept switched on, made again when it is gone.
//!
//! Its secret is told only when it is made, so it is kept in the binding. An endpoint that leads to our own URL but is not the
//! one we know (its secret went with a lost answer or a lost ledger) is deleted; nobody else's is touched. Where none can be
//! made (the plan, the key), notes are polled, and `status` says so. (Implementers' notes of Granola's API, read 2026-11-23.)

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Granola;
use super::client::Told;
use super::types::is_id;
use crate::fault::Fault;
use crate::http::Call;
use crate::json::{array, text};

const PATH: &str = "/v1/webhook-endpoints";
const EVENTS: [&str; 3] = ["note.generated", "note.edited", "note.access_granted"];

/// What is kept across restarts, as [`crate::Connector::attach`] returns it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Bound {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<Endpoint>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Endpoint {
    id: String,
    url: String,
    pub(super) secret: String,
    folders: Vec<String>,
}

/// Why there is no endpoint after all, in words for ops.
type Trouble = String;

impl Granola {
    /// Sees to the endpoint. Only a quota that says when, and a key that is dead, stop the connection.
    pub(super) async fn keep_endpoint(&self, url: &str, bound: &mut Bound) -> Result<(), Fault> {
        let kept = self.ensure(url, bound.endpoint.as_ref()).await;
        let trouble = match kept {
            Ok(Ok(endpoint)) => {
                bound.endpoint = Some(endpoint);
                None
            }
            Ok(Err(trouble)) => Some(trouble),
            Err(fault @ (Fault::Later { after: Some(_), .. } | Fault::Locked { .. })) => return Err(fault),
            Err(fault) => Some(fault.to_string()),
        };
        let told = trouble.map(|why| {
            tracing::warn!(%why, "Granola's webhook endpoint cannot be seen to");
            format!("Granola sends no webhooks ({why}); notes are polled")
        });
        *self.hindrance.lock().unwrap_or_else(PoisonError::into_inner) = told;
        Ok(())
    }

    async fn ensure(&self, url: &str, known: Option<&Endpoint>) -> Result<Result<Endpoint, Trouble>, Fault> {
        let listed = match self.listed().await? {
            Ok(listed) => listed,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let there = known
            .and_then(|known| Some((known, listed.iter().find(|one| text(one, "id").as_ref() == Some(&known.id))?)));
        if let Some((known, there)) = there {
            return self.mend(url, known, there).await;
        }
        for orphan in &listed {
            let id = text(orphan, "id").filter(|id| is_id(id, "whe_"));
            if let (Some(id), Some(true)) = (id, orphan["url"].as_str().map(|there| there == url)) {
                let call = Call::new(Method::DELETE, format!("{PATH}/{id}"));
                // Gone is as good as deleted.
                if let Err(fault) = self.client.answered(call, true).await?.1 {
                    return Ok(Err(format!("an endpoint whose secret is lost cannot be deleted: {fault}")));
                }
                self.listed.forget();
            }
        }
        self.create(url).await
    }

    /// `None` in it: there are no webhooks here.
    async fn listed(&self) -> Result<Result<Vec<Value>, Trouble>, Fault> {
        if let Some(listed) = self.listed.get(self.client.clock()) {
            return Ok(Ok(listed));
        }
        let (status, told) = self.client.answered(Call::get(PATH), false).await?;
        let listed = match (status, told) {
            (_, Ok(Told::Here(answer))) => array(&answer.json::<Value>()?, "webhook_endpoints").to_vec(),
            (_, Ok(_)) => return Ok(Err("the plan has none: they come with Business and Enterprise".into())),
            (402 | 403, Err(fault)) => return Ok(Err(fault.to_string())),
            (_, Err(fault)) => return Err(fault),
        };
        self.listed.put(self.client.clock(), listed.clone());
        Ok(Ok(listed))
    }

    /// The endpoint that we know, as it should be.
    async fn mend(&self, url: &str, known: &Endpoint, there: &Value) -> Result<Result<Endpoint, Trouble>, Fault> {
        let moved = known.url != url;
        let refoldered = known.folders != self.settings.folders;
        let off = there["enabled"].as_bool() == Some(false);
        let kept = Endpoint { url: url.to_owned(), folders: self.settings.folders.clone(), ..known.clone() };
        if !moved && !refoldered && !off {
            return Ok(Ok(kept));
        }
        let mut change = json!({ "enabled": true });
        if moved {
            change["url"] = json!(url);
        }
        if refoldered {
            change["folder_ids"] = json!(self.settings.folders);
        }
        let (_, told) = self.client.answered(Call::patch(format!("{PATH}/{}", known.id), change), true).await?;
        self.listed.forget();
        match told {
            Ok(Told::Here(_)) => Ok(Ok(kept)),
            Ok(_) => self.create(url).await,
            Err(fault @ Fault::Later { .. }) => Err(fault),
            Err(fault) => Ok(Err(format!("its endpoint cannot be mended: {fault}"))),
        }
    }

    /// Tries the scopes that the settings name, or else what a key may have, from the widest on.
    async fn create(&self, url: &str) -> Result<Result<Endpoint, Trouble>, Fault> {
        const TRIALS: [&[&str]; 4] = [&["personal", "public"], &["workspace"], &["public"], &["personal"]];
        let named: Vec<&str> = self.settings.webhook_scopes.iter().map(String::as_str).collect();
        let begin = self.trial.load(Ordering::Relaxed).min(TRIALS.len() - 1);
        let trials = if named.is_empty() { TRIALS[begin..].to_vec() } else { vec![&named[..]] };
        let mut refusal = String::new();
        for (at, scopes) in trials.into_iter().enumerate() {
            let mut body = json!({ "url": url, "scopes": scopes, "events": EVENTS });
            if !self.settings.folders.is_empty() {
                body["folder_ids"] = json!(self.settings.folders);
            }
            let (status, told) = match self.client.answered(Call::post(PATH, body), true).await {
                Ok(answered) => answered,
                Err(fault) => {
                    self.doubt.store(matches!(fault, Fault::Unknown { .. }), Ordering::Relaxed);
                    return Err(fault);
                }
            };
            self.listed.forget();
            match (status, told) {
                (_, Ok(Told::Here(answer))) => {
                    let made: Value = answer.json()?;
                    self.doubt.store(false, Ordering::Relaxed);
                    self.trial.store(0, Ordering::Relaxed);
                    let (id, secret) =
                        (text(&made, "id").filter(|id| is_id(id, "whe_")), text(&made, "signing_secret"));
                    let (Some(id), Some(secret)) = (id, secret) else {
                        return Ok(Err("it made an endpoint and told neither its id nor its secret".into()));
                    };
                    let folders = self.settings.folders.clone();
                    return Ok(Ok(Endpoint { id, url: url.to_owned(), secret, folders }));
                }
                (_, Ok(_)) => return Ok(Err("the plan has none: they come with Business and Enterprise".into())),
                // Of these scopes, this key may not have all; the next attempt goes on from here.
                (400 | 402 | 403 | 422, Err(fault)) => {
                    if named.is_empty() {
                        self.trial.store(begin + at + 1, Ordering::Relaxed);
                    }
                    refusal = fault.to_string();
                }
                (_, Err(fault)) => {
                    self.doubt.store(matches!(fault, Fault::Unknown { .. }), Ordering::Relaxed);
                    return Err(fault);
                }
            }
        }
        self.trial.store(0, Ordering::Relaxed);
        Ok(Err(refusal))
    }
}
