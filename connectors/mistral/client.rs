//! The calls: through the quota and the budgets, and what the headers say of both.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;

use super::budget::Budget;
use super::said::Said;
use super::settings::Settings;
use crate::clock::Clock;
use crate::http::{Answer, Auth, Call, Http};
use crate::quota::Quota;
use crate::{Fault, Meter, Outside};

/// The longest pause after a 429 that names no time.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    http: Http,
    clock: Arc<dyn Clock>,
    budgets: Mutex<Budgets>,
    /// 429s without a good answer between them.
    throttled: AtomicU32,
}

struct Budgets {
    requests: Budget,
    tokens: Budget,
}

impl Client {
    pub(crate) fn new(settings: &Settings, key: Option<SecretString>, outside: &Outside) -> Self {
        let quota = Arc::new(Quota::new(settings.limit(), outside.clock.clone()));
        let auth = key.map_or(Auth::None, Auth::Bearer);
        let http = Http::new(&settings.base_url, auth, quota, outside.transport.clone());
        Self {
            http: http.with_timeout(Duration::from_secs(settings.timeout_seconds)),
            clock: outside.clock.clone(),
            budgets: Mutex::new(Budgets {
                requests: Budget::new(None),
                tokens: Budget::new(settings.tokens_per_minute),
            }),
            throttled: AtomicU32::new(0),
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn meter(&self) -> Meter {
        self.http.quota().meter()
    }

    pub(crate) fn wait(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let budgets = &mut *self.budgets();
        let waits = [self.http.quota().wait(), budgets.requests.wait(1, now), budgets.tokens.wait(1, now)];
        waits.into_iter().flatten().max()
    }

    /// One attempt. `cost`: the tokens that it will use, by estimate; none: it costs none. `private`: what must not be told again,
    /// should an error quote it. The inner error is what the server said in place of an answer.
    pub(crate) async fn call(&self, call: Call, cost: u64, private: &[&str]) -> Result<Result<Answer, Said>, Fault> {
        let now = self.clock.monotonic();
        {
            let budgets = &mut *self.budgets();
            let wait = budgets.requests.wait(1, now).max((cost > 0).then(|| budgets.tokens.wait(cost, now)).flatten());
            if let Some(wait) = wait {
                return Err(Fault::Later { after: Some(wait), why: "our own quota, of what a minute takes".into() });
            }
            budgets.requests.spend(1, now);
            budgets.tokens.spend(cost, now);
        }
        let sent = self.http.call(call).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(fault) => {
                if matches!(fault, Fault::Later { .. }) {
                    // It did not go out.
                    self.budgets().tokens.correct(now, cost, 0);
                    self.budgets().requests.correct(now, 1, 0);
                }
                return Err(fault);
            }
        };
        if answer.status.is_success() && cost > 0 {
            let billed = super::chat::usage(&serde_json::from_slice(&answer.body).unwrap_or_default());
            if billed.input + billed.output > 0 {
                self.budgets().tokens.correct(now, cost, billed.input + billed.output);
            }
        }
        // After what is known of the bill, so that only what is beyond it passes for others' spending.
        self.heed(&answer);
        if answer.status.is_success() {
            self.throttled.store(0, Ordering::Relaxed);
            return Ok(Ok(answer));
        }
        let mut said = Said::read(&answer, private);
        if said.status == 429 {
            self.http.quota().note_throttled();
            let times = self.throttled.fetch_add(1, Ordering::Relaxed);
            let pause = said.after.unwrap_or_else(|| Duration::from_secs(1 << times.min(6)).min(LONGEST));
            said.after = Some(pause);
            self.http.quota().close_for(pause);
        }
        Ok(Err(said))
    }

    /// Names seen in answers (2026-05); the documents name only the first two without their ending.
    fn heed(&self, answer: &Answer) {
        let number = |names: [&str; 2]| names.iter().find_map(|name| u64::try_from(answer.number(name)?).ok());
        let now = self.clock.monotonic();
        let budgets = &mut *self.budgets();
        budgets.requests.told(
            number(["x-ratelimit-limit-req-minute", "x-ratelimit-limit-requests-minute"]),
            number(["x-ratelimit-remaining-req-minute", "x-ratelimit-remaining-requests-minute"]),
            now,
        );
        budgets.tokens.told(
            number(["x-ratelimit-limit-tokens-minute", "x-ratelimitbysize-limit-minute"]),
            number(["x-ratelimit-remaining-tokens-minute", "x-ratelimitbysize-remaining-minute"]),
            now,
        );
    }

    fn budgets(&self) -> MutexGuard<'_, Budgets> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
