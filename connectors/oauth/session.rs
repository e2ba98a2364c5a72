//! One connection's tokens: which is good now, and who gets the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use secrecy::SecretString;

use super::desk::{Desk, Refused};
use super::grant::{Grant, Kept, Told};
use super::{Assertion, Server, Tokens, Vault, Way};
use crate::{Clock, Fault, Outside};

/// So many refusals within a minute are answered with a new token: a session may end whenever its owner, or an administrator,
/// ends it. More have another cause, and an endpoint that answers 401 whatever the token would spend refresh tokens as fast as
/// the line allows.
const RENEWALS: usize = 3;
const MINUTE: Duration = Duration::from_secs(60);
/// While another process refreshes the same grant.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// A vendor's clock that differs by less explains no refusal.
const DRIFT: i64 = 30;

/// How one connection gets its tokens. Shared by all that calls.
pub struct Session {
    pub(super) server: Server,
    pub(super) way: Way,
    pub(super) desk: Desk,
    pub(super) vault: Arc<dyn Vault>,
    pub(super) clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held by the one who gets a token.
    getting: futures::lock::Mutex<Unstored>,
}

#[derive(Default)]
pub(super) struct State {
    current: Option<Grant>,
    /// The vendor refused it.
    refused: bool,
    /// When refusals were last answered with a new token, in the clock's monotonic time.
    renewed: Vec<Duration>,
    /// The vault's stamp when it was last read.
    pub(super) seen: Option<u64>,
    /// How often a token was fetched, and how the last time ended, for those who waited for it.
    rounds: u64,
    ended: Option<Fault>,
    /// The vendor's clock minus ours, in seconds, once it refused an assertion for its times.
    drift: i64,
}

/// A new grant that the vault has not taken yet, with what the vault is to hold. It is not used before.
type Unstored = Option<(Kept, Grant)>;

impl Session {
    /// # Errors
    /// For people: one of the server's URLs is none.
    pub fn new(server: Server, way: Way, outside: &Outside) -> Result<Self, String> {
        Ok(Self {
            desk: Desk::new(&server, outside.transport.clone(), outside.clock.clone())?,
            server,
            way,
            vault: outside.vault.clone(),
            clock: outside.clock.clone(),
            state: Mutex::default(),
            getting: futures::lock::Mutex::new(None),
        })
    }

    /// The token of the moment, with all that came with it. Cheap while it is good.
    ///
    /// # Errors
    /// [`Fault::Later`] or [`Fault::Locked`]: no token is to be had.
    pub async fn grant(&self) -> Result<Grant, Fault> {
        let round = {
            let state = self.lock();
            if let Some(grant) = self.good(&state) {
                return Ok(grant);
            }
            state.rounds
        };
        let mut unstored = self.getting.lock().await;
        {
            let state = self.lock();
            if let Some(grant) = self.good(&state) {
                return Ok(grant);
            }
            // Somebody tried while we waited: that was our try, too.
            if state.rounds != round
                && let Some(fault) = &state.ended
            {
                return Err(fault.clone());
            }
        }
        let got = match &self.way {
            Way::Code => self.renew(&mut unstored).await,
            Way::Assertion(assertion) => self.assert(assertion).await,
            Way::ClientCredentials => self.minted(self.desk.client_credentials().await),
        };
        let mut state = self.lock();
        state.rounds += 1;
        state.ended = got.as_ref().err().cloned();
        got
    }

    fn good(&self, state: &State) -> Option<Grant> {
        if matches!(self.way, Way::Code) && state.seen != Some(self.vault.stamp()) {
            return None;
        }
        state.current.as_ref().filter(|grant| !state.refused && !grant.is_due(self.clock.now())).cloned()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is the token. `stamp`: the vault's, not younger than what was read there.
    pub(super) fn take(&self, grant: &Grant, stamp: u64) {
        let mut state = self.lock();
        state.seen = Some(stamp);
        state.current = Some(grant.clone());
        state.refused = false;
    }

    /// What the vault holds, if it is for this server and client.
    ///
    /// # Errors
    /// Locked: unreadable, or for somebody else.
    pub(super) fn kept(&self) -> Result<Option<Kept>, Fault> {
        let command = self.vault.command();
        let text = self.vault.load().map_err(|why| Fault::locked(format!("the sign-in cannot be read: {why}")))?;
        let Some(text) = text else { return Ok(None) };
        let kept = Kept::read(&text)
            .map_err(|why| Fault::locked(format!("what is kept of the sign-in {why}; sign in again: {command}")))?;
        if !kept.is_for(&self.server) {
            return Err(Fault::locked(format!(
                "the sign-in that is kept is for another client_id or server; sign in again: {command}"
            )));
        }
        Ok(Some(kept))
    }

    async fn renew(&self, unstored: &mut Unstored) -> Result<Grant, Fault> {
        if let Some((kept, grant)) = unstored.as_ref() {
            self.store(kept, "the new token")?;
            let grant = grant.clone();
            *unstored = None;
            self.take(&grant, self.vault.stamp());
            return Ok(grant);
        }
        let vendor = self.server.vendor;
        let command = self.vault.command();
        if let Some(grant) = self.adopt()? {
            return Ok(grant);
        }
        let held = self.vault.lock().map_err(|why| Fault::later(format!("the sign-in cannot be locked: {why}")))?;
        let Some(_held) = held else {
            return Err(Fault::Later {
                after: Some(ELSEWHERE),
                why: format!("another process is renewing the sign-in at {vendor}"),
            });
        };
        // Another process may have been faster.
        if let Some(grant) = self.adopt()? {
            return Ok(grant);
        }
        let Some(mut kept) = self.kept()? else {
            return Err(Fault::locked(format!("nobody has signed in to {vendor} yet: {command}")));
        };
        if let Some(why) = &kept.dead {
            return Err(Fault::locked(format!("{why}; sign in again: {command}")));
        }
        let before = kept.grant();
        let Some(refresh) = &before.refresh else {
            return Err(Fault::locked(format!(
                "the sign-in at {vendor} is over, and {vendor} gave nothing to renew it with; sign in again: {command}"
            )));
        };
        // On disk before the token is spent: a disk that takes nothing must not cost the sign-in, and a crash in between
        // can be told from a vendor that changed its mind.
        let interrupted = std::mem::replace(&mut kept.asked, true);
        self.store(&kept, "that a token is being renewed")?;
        let asked = self.clock.now();
        match self.desk.refresh(refresh).await {
            Ok(told) => {
                let grant = told.granted(asked).after(&before);
                let kept = kept.renewed(&grant, asked);
                if let Err(fault) = self.store(&kept, "the new token") {
                    *unstored = Some((kept, grant));
                    return Err(fault);
                }
                self.take(&grant, self.vault.stamp());
                tracing::info!(vendor, "the sign-in at {vendor} is renewed");
                Ok(grant)
            }
            Err(Refused::Grant { why, .. }) => {
                let why = if interrupted {
                    format!(
                        "{vendor} does not take the refresh token again ({why}): loopd was stopped, or the line was cut, \
                         between asking for a new one and keeping it"
                    )
                } else {
                    format!(
                        "{vendor} does not renew the sign-in ({why}): it was revoked, it ran out, or another program used it"
                    )
                };
                kept.dead = Some(why.clone());
                // If this cannot be stored, the vendor is asked once more at the next try, and that is all.
                let _ = self.store(&kept, "that the sign-in is over");
                Err(Fault::locked(format!("{why}; sign in again: {command}")))
            }
            Err(Refused::Other { fault, answered }) => {
                if answered && !interrupted {
                    kept.asked = false;
                    let _ = self.store(&kept, "that nothing was renewed");
                }
                Err(fault)
            }
        }
    }

    /// What the vault holds, where it is another token than ours, or ours is still good.
    fn adopt(&self) -> Result<Option<Grant>, Fault> {
        // Before it is read: what is stored in between is seen at the next look.
        let stamp = self.vault.stamp();
        let kept = self.kept();
        self.lock().seen = Some(stamp);
        let Ok(Some(kept)) = kept else {
            self.lock().current = None;
            return kept.map(|_| None);
        };
        let grant = kept.grant();
        let news = !self.lock().current.as_ref().is_some_and(|current| current.is(&grant.token));
        if news {
            self.take(&grant, stamp);
        }
        let state = self.lock();
        Ok(state.current.as_ref().filter(|grant| !state.refused && !grant.is_due(self.clock.now())).cloned())
    }

    /// Stores, and knows our own mark when it is seen again.
    pub(super) fn store(&self, kept: &Kept, what: &str) -> Result<(), Fault> {
        let text = kept.write().map_err(|why| Fault::later(format!("{what} cannot be written down: {why}")))?;
        self.vault.store(&text).map_err(|why| {
            Fault::later(format!("{what} cannot be kept, so no token of {} is used: {why}", self.server.vendor))
        })?;
        let stamp = self.vault.stamp();
        self.lock().seen = Some(stamp);
        Ok(())
    }

    async fn assert(&self, assertion: &Assertion) -> Result<Grant, Fault> {
        let told = self.signed(assertion).await?;
        match told {
            Err(Refused::Grant { drift: Some(drift), .. }) if self.learn(drift) => {
                let told = self.signed(assertion).await?;
                self.minted(told)
            }
            told => self.minted(told),
        }
    }

    async fn signed(&self, assertion: &Assertion) -> Result<Result<Told, Refused>, Fault> {
        let there = self.clock.now() + TimeDelta::seconds(self.lock().drift);
        let jwt =
            assertion.sign(there).map_err(|why| Fault::locked(format!("the private key does not sign: {why}")))?;
        Ok(self.desk.assert(&jwt).await)
    }

    /// Whether the vendor's clock is far enough from what we took it for to be why it refused an assertion.
    fn learn(&self, drift: i64) -> bool {
        let mut state = self.lock();
        let news = (drift - state.drift).abs() > DRIFT;
        if news {
            state.drift = drift;
        }
        news
    }

    fn minted(&self, told: Result<Told, Refused>) -> Result<Grant, Fault> {
        match told {
            Ok(told) => {
                let grant = told.granted(self.clock.now());
                self.take(&grant, self.vault.stamp());
                Ok(grant)
            }
            Err(Refused::Grant { why, .. }) => {
                Err(Fault::locked(format!("{} gives no token: {why}", self.server.vendor)))
            }
            Err(Refused::Other { fault, .. }) => Err(fault),
        }
    }
}

#[async_trait]
impl Tokens for Session {
    async fn token(&self) -> Result<SecretString, Fault> {
        Ok(self.grant().await?.token)
    }

    fn refused(&self, token: &SecretString) -> bool {
        let mut state = self.lock();
        if !state.current.as_ref().is_some_and(|current| current.is(token)) {
            // It has been replaced already.
            return true;
        }
        if state.refused {
            return true;
        }
        let now = self.clock.monotonic();
        state.renewed.retain(|at| now.saturating_sub(*at) < MINUTE);
        if state.renewed.len() >= RENEWALS {
            return false;
        }
        state.renewed.push(now);
        state.refused = true;
        true
    }
}
