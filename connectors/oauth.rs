//! Credentials that change while we run: who hands out the token of the moment, and where a grant is kept.
//!
//! The law: a new refresh token is on disk before it is used, and only one refresh of a connection is under way.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::Fault;

/// Hands out the token of the moment.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// A token that should be good now; it is fetched or refreshed where that is due.
    async fn token(&self) -> Result<SecretString, Fault>;

    /// The vendor refused this token: the next [`Tokens::token`] is another one, or the fault of getting it.
    fn refused(&self, token: &SecretString);
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
