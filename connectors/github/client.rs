//! The calls: authorised, paced, judged; and the two questions that a 301 and a 404 raise.
//!
//! A 301 is a renamed repository (go on under its new name) or a transferred issue (gone from here); a 404 is a deleted
//! issue or a repository that the token may no longer see. Both are settled by asking for the repository itself, so
//! that a lost permission is never taken for a thousand deletions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::app::App;
use super::repos::Repos;
use super::settings::Settings;
use super::types::Repository;
use super::verdict::{Told, judge};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::http::{Answer, Auth, Call, Http};
use crate::quota::{Limit, Quota};
use crate::{Outside, SettingsError};

pub(crate) enum Credential {
    Token(SecretString),
    App(App),
}

/// How much a write disturbs, which decides its pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// At most one a second (GitHub docs, "Best practices", read 2026-11-23).
    Quiet,
    /// It notifies people: one in three seconds as Octokit does, and below the 500 an hour of the secondary limit.
    Loud,
}

pub(crate) struct Client {
    http: Http,
    credential: Credential,
    clock: Arc<dyn Clock>,
    writes: Quota,
    loud: [Quota; 2],
    pub(crate) repos: Repos,
    looks: Mutex<Looks>,
}

#[derive(Default)]
struct Looks {
    /// When each repository was last seen.
    seen: BTreeMap<String, Duration>,
    /// A 404 or 301 waits for a look at the repository, which the quota put off: it comes first next time.
    owed: BTreeSet<String>,
    /// Where such a look was sent on to.
    moved: BTreeMap<String, String>,
}

/// A repository that was seen this lately is still there.
const LATELY: Duration = Duration::from_secs(60);

/// What a request below a repository met.
pub(crate) enum Met {
    Here(Answer),
    Unchanged,
    /// Deleted or transferred, and the repository is there to say so.
    Gone,
}

impl Client {
    pub(crate) fn new(settings: &Settings, credential: Credential, outside: &Outside) -> Result<Self, SettingsError> {
        let quota = Arc::new(Quota::new(settings.limit(), outside.clock.clone()));
        let version = HeaderValue::from_str(&settings.api_version)
            .map_err(|_| SettingsError::key("api_version", "must be a date such as 2022-11-28"))?;
        let http = Http::new(&settings.base_url, Auth::None, quota, outside.transport.clone())
            .with_header(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
            .with_header(http::HeaderName::from_static("x-github-api-version"), version);
        let gate = |limit| Quota::spacing(limit, outside.clock.clone());
        Ok(Self {
            http,
            credential,
            clock: outside.clock.clone(),
            writes: gate(Limit::even(1, Duration::from_secs(1))),
            loud: [
                gate(Limit::even(1, Duration::from_secs(3))),
                gate(Limit::even(480, Duration::from_secs(3600)).with_burst(60)),
            ],
            repos: Repos::new(settings.repos.clone()),
            looks: Mutex::default(),
        })
    }

    pub(crate) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    pub(crate) fn writes(&self) -> &Quota {
        &self.writes
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }

    pub(crate) async fn read(&self, call: Call) -> Result<Told, Fault> {
        let token = self.token().await?;
        let answer = self.call(&token, call.clone()).await?;
        // An installation's token may be revoked before its hour is over; reading again with a fresh one harms nobody.
        let answer = match &self.credential {
            Credential::App(app) if answer.status.as_u16() == 401 => {
                app.forget(&token);
                let token = self.token().await?;
                self.call(&token, call).await?
            }
            Credential::App(_) | Credential::Token(_) => answer,
        };
        self.judge(answer, false)
    }

    async fn write(&self, call: Call, weight: Weight) -> Result<Told, Fault> {
        let token = self.token().await?;
        // What GitHub counts is the call below; these only space the writes.
        let pace = |quota: &Quota| {
            let taken = quota.take().map(|ticket| quota.answered(ticket));
            taken.map_err(|wait| Fault::Later { after: Some(wait), why: "our own pace for writes".into() })
        };
        if weight == Weight::Loud {
            self.loud.iter().try_for_each(pace)?;
        }
        pace(&self.writes)?;
        let answer = self.call(&token, call).await?;
        if let Credential::App(app) = &self.credential
            && answer.status.as_u16() == 401
        {
            app.forget(&token);
            return Err(Fault::later("GitHub let go of the installation's token early; the next try takes a new one"));
        }
        self.judge(answer, true)
    }

    /// A read below a repository. `make` is given `/repos/{owner}/{name}`.
    pub(crate) async fn read_in(&self, handle: &str, make: impl Fn(&str) -> Call + Send) -> Result<Met, Fault> {
        self.settle(handle).await?;
        let path = self.repos.path(handle);
        let told = match self.read(make(&format!("/repos/{path}"))).await? {
            Told::Moved(_) if self.new_name(handle, &path).await? => {
                self.read(make(&format!("/repos/{}", self.repos.path(handle)))).await?
            }
            told => told,
        };
        self.met(handle, told).await
    }

    /// A write below a repository; never repeated, so a rename is learnt and left to the next try.
    pub(crate) async fn write_in(
        &self,
        handle: &str,
        weight: Weight,
        make: impl Fn(&str) -> Call + Send,
    ) -> Result<Met, Fault> {
        self.settle(handle).await?;
        let path = self.repos.path(handle);
        let told = self.write(make(&format!("/repos/{path}")), weight).await?;
        if matches!(told, Told::Moved(_)) && self.new_name(handle, &path).await? {
            return Err(Fault::later(format!("{handle} is called {} now", self.repos.path(handle))));
        }
        self.met(handle, told).await
    }

    async fn met(&self, handle: &str, told: Told) -> Result<Met, Fault> {
        match told {
            Told::Here(answer) => Ok(Met::Here(answer)),
            Told::Unchanged => Ok(Met::Unchanged),
            Told::Moved(_) => Ok(Met::Gone),
            Told::Missing if self.look_lately(handle, LATELY).await? => Ok(Met::Gone),
            Told::Missing => Err(hidden(handle)),
        }
    }

    /// Makes a look that an earlier answer asked for and the quota did not grant.
    async fn settle(&self, handle: &str) -> Result<(), Fault> {
        if self.looks().owed.contains(handle) {
            self.look(handle).await?;
        }
        Ok(())
    }

    /// Whether the repository is there, by a look that is not older than `age`.
    pub(crate) async fn look_lately(&self, handle: &str, age: Duration) -> Result<bool, Fault> {
        let now = self.clock.monotonic();
        if self.looks().seen.get(handle).is_some_and(|at| now.saturating_sub(*at) < age) {
            return Ok(true);
        }
        match self.look(handle).await? {
            Some(repository) if repository.has_issues == Some(false) => {
                Err(Fault::locked(format!("repos: the issues of {handle} are switched off")))
            }
            seen => Ok(seen.is_some()),
        }
    }

    /// Whether another repository was there when it was last looked at.
    pub(crate) fn sees_another(&self, handle: &str) -> bool {
        self.looks().seen.keys().any(|other| other != handle)
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The repository behind a handle, whatever it is called now; `None`: not there, or not for us to see.
    pub(crate) async fn look(&self, handle: &str) -> Result<Option<Repository>, Fault> {
        self.looks().owed.insert(handle.to_owned());
        let seen = self.look_now(handle).await?;
        let mut looks = self.looks();
        looks.owed.remove(handle);
        if seen.as_ref().is_some_and(|repository| repository.has_issues != Some(false)) {
            looks.seen.insert(handle.to_owned(), self.clock.monotonic());
        } else {
            looks.seen.remove(handle);
        }
        Ok(seen)
    }

    async fn look_now(&self, handle: &str) -> Result<Option<Repository>, Fault> {
        let sent_on = self.looks().moved.get(handle).cloned();
        let mut seen = match sent_on {
            Some(target) => self.look_at(&target).await?.ok(),
            None => match self.look_at(&format!("/repos/{}", self.repos.path(handle))).await? {
                Ok(repository) => Some(repository),
                Err(Some(target)) => {
                    self.looks().moved.insert(handle.to_owned(), target.clone());
                    self.look_at(&target).await?.ok()
                }
                // Somebody's server may have the issues and not the repository itself.
                Err(None) => {
                    let issues = format!("/repos/{}/issues?state=all&per_page=1", self.repos.path(handle));
                    self.looks().moved.insert(handle.to_owned(), issues.clone());
                    self.look_at(&issues).await?.ok()
                }
            },
        };
        self.looks().moved.remove(handle);
        // Somebody may have taken the old name for a new repository. The one we know keeps its number.
        if let Some(known) = self.repos.id(handle)
            && seen.as_ref().and_then(|repository| repository.id) != Some(known)
            && let Ok(same) = self.look_at(&format!("/repositories/{known}")).await?
        {
            seen = Some(same);
        }
        if let Some(repository) = &seen {
            self.repos.learn(handle, repository);
        }
        Ok(seen)
    }

    /// What is at this path: a repository, or where else to look.
    async fn look_at(&self, path: &str) -> Result<Result<Repository, Option<String>>, Fault> {
        match self.read(Call::get(path)).await? {
            Told::Here(answer) => Ok(Ok(Repository::read(&answer.json::<Value>()?))),
            Told::Moved(place) => Ok(Err(place.and_then(|place| self.home(&place)))),
            Told::Missing | Told::Unchanged => Ok(Err(None)),
        }
    }

    async fn new_name(&self, handle: &str, path: &str) -> Result<bool, Fault> {
        self.look(handle).await?;
        Ok(self.repos.path(handle) != path)
    }

    /// A link of GitHub's as a target below our base URL, so that it stays valid when the base URL is set differently,
    /// and never carries the credential to another host.
    pub(crate) fn home(&self, link: &str) -> Option<String> {
        let link: http::Uri = link.parse().ok()?;
        let base: http::Uri = self.http.base().parse().ok()?;
        let path = link.path_and_query()?.as_str();
        let below =
            path.strip_prefix(base.path().trim_end_matches('/')).filter(|rest| rest.starts_with('/')).unwrap_or(path);
        below.starts_with('/').then(|| below.to_owned())
    }

    /// Stands for the token in a stored ETag: GitHub's ETags hold for one token only.
    pub(crate) async fn mark(&self) -> Result<String, Fault> {
        let digest = Sha256::digest(self.token().await?.expose_secret().as_bytes());
        Ok(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    async fn token(&self) -> Result<SecretString, Fault> {
        match &self.credential {
            Credential::Token(token) => Ok(token.clone()),
            Credential::App(app) => app.token(&self.http, &*self.clock).await,
        }
    }

    async fn call(&self, token: &SecretString, call: Call) -> Result<Answer, Fault> {
        self.http.clone().with_auth(Auth::Bearer(token.clone())).call(call).await
    }

    fn judge(&self, answer: Answer, write: bool) -> Result<Told, Fault> {
        let verdict = judge(answer, write, self.clock.now());
        if verdict.throttled {
            self.quota().note_throttled();
        }
        if let Some(wait) = verdict.close_for {
            self.quota().close_for(wait);
        }
        verdict.told
    }
}

pub(crate) fn hidden(handle: &str) -> Fault {
    Fault::locked(format!("repos: {handle} is not there, or the credential may not read it"))
}

/// The target of `rel="next"` in a `Link` header.
pub(crate) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, from)) = rest.split_once('<') {
        let (url, after) = from.split_once('>')?;
        let end = after.find(",<").or_else(|| after.find(", <")).unwrap_or(after.len());
        let is_next = after[..end].split(';').any(|part| {
            let part = part.trim().trim_end_matches(',');
            part.strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').split(' ').any(|rel| rel.eq_ignore_ascii_case("next")))
        });
        if is_next {
            return Some(url);
        }
        rest = &after[end..];
    }
    None
}

/// A label's name in a path.
pub(crate) fn delete(path: impl Into<String>) -> Call {
    Call::new(Method::DELETE, path)
}
