//! Credentials that change while we run: signing in, fetching and refreshing tokens, and where a grant is kept.
//!
//! A connector describes its vendor's authorization server ([`Server`]) and how it gets tokens ([`Way`]); a [`Session`]
//! does the rest. It is given to [`crate::http::Auth::Fresh`], and [`Session::grant`] tells what else came with the token
//! (Salesforce's `instance_url`).
//!
//! The laws:
//! - A refresh token that rotates is spent once: the new one is on disk ([`Vault::store`]) before the new access token is
//!   used, and only one refresh of a connection is under way, over all tasks and processes ([`Vault::lock`]).
//! - A token that the vendor refused is refreshed once. One that is refused straight after is a matter for people.
//! - What the vendor will not take again (`invalid_grant`) is asked for once, then told with the command that mends it,
//!   until somebody has signed in.
//! - A token that cannot be had is [`Fault::Later`] or [`Fault::Locked`] and never `Unknown`: the call that wanted it was
//!   not sent.
//!
//! RFC 6749 (code grant, client credentials, refresh), RFC 7636 (PKCE), RFC 7523 (JWT bearer).

mod assertion;
mod desk;
mod grant;
mod session;
mod sign_in;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::Fault;

pub use assertion::Assertion;
pub use grant::Grant;
pub use session::Session;
pub use sign_in::{Begun, SignInError, Standing};

/// Hands out the token of the moment.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// A token that should be good now; it is fetched or refreshed where that is due.
    async fn token(&self) -> Result<SecretString, Fault>;

    /// The vendor refused this token, so the call was certainly not done. True: the next [`Tokens::token`] is another
    /// one, or the fault of getting it; the call may be repeated. False: this token was only just got, so another one
    /// would fare no better.
    fn refused(&self, token: &SecretString) -> bool;
}

/// Where one connection's grant is kept between runs. Its content is this module's own JSON; nobody else reads it.
pub trait Vault: Send + Sync {
    /// # Errors
    /// Why it cannot be read, for people; `None`: nobody has signed in yet.
    fn load(&self) -> Result<Option<SecretString>, String>;

    /// On disk when it returns.
    ///
    /// # Errors
    /// Why it cannot be written, for people.
    fn store(&self, grant: &SecretString) -> Result<(), String>;

    /// Nothing of it is left when it returns.
    ///
    /// # Errors
    /// Why it cannot be removed, for people.
    fn forget(&self) -> Result<(), String> {
        Ok(())
    }

    /// Changes whenever another process has stored something; cheap.
    fn stamp(&self) -> u64 {
        0
    }

    /// Held while a refresh token is spent, against other processes with the same grant. `None`: one of them has it now.
    ///
    /// # Errors
    /// Why it cannot be had, for people.
    fn lock(&self) -> Result<Option<Box<dyn Send>>, String> {
        Ok(Some(Box::new(())))
    }

    /// What a person runs to sign in: `loopd auth NAME`.
    fn command(&self) -> String {
        "loopd auth".into()
    }
}

/// No vault: for connections whose credentials stay as they are.
pub struct NoVault;

impl Vault for NoVault {
    fn load(&self) -> Result<Option<SecretString>, String> {
        Ok(None)
    }

    fn store(&self, _grant: &SecretString) -> Result<(), String> {
        Err("this connection has no place to keep a grant".into())
    }
}

/// A vendor's authorization server, and who we are to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// The vendor's name for people: `Airtable`.
    pub vendor: &'static str,
    /// Where a person's browser goes. Empty where nobody signs in (assertions, client credentials).
    pub authorize_url: String,
    pub token_url: String,
    /// RFC 7009, where the vendor has it.
    pub revoke_url: Option<String>,
    pub client_id: String,
    pub client_secret: Option<SecretString>,
    pub style: Style,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Between two scopes: a space, but for Linear.
    pub separator: &'static str,
    /// Further parameters of the authorize URL (`prompt=consent`).
    pub params: Vec<(String, String)>,
}

/// How the client's secret is sent; without a secret, the client's id goes in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// HTTP Basic.
    Basic,
    /// `client_id` and `client_secret` in the form.
    Body,
}

impl Server {
    /// A server with secrets in the body, no scopes, and nothing further.
    pub fn new(vendor: &'static str, token_url: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            vendor,
            authorize_url: String::new(),
            token_url: token_url.into(),
            revoke_url: None,
            client_id: client_id.into(),
            client_secret: None,
            style: Style::Body,
            scopes: Vec::new(),
            separator: " ",
            params: Vec::new(),
        }
    }
}

/// How tokens are got.
pub enum Way {
    /// A person signs in (`loopd auth`), and the grant is kept in the vault and refreshed.
    Code,
    /// We sign an assertion for each token.
    Assertion(Assertion),
    /// The client's id and secret are enough.
    ClientCredentials,
}
