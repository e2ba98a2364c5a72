//! Exit codes. They are a promise to scripts: a number never changes its meaning.

use std::fmt;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Done,
    /// It was tried and did not succeed.
    Failed,
    /// The command line or the configuration must be mended first.
    Usage,
    /// It worked, and something waits for a person: a check found what stops a connection, a destination needs a step
    /// by hand.
    NeedsPerson,
    /// Another process holds the ledger and does not answer.
    Busy,
}

/// For the end of `--help`.
pub const EXIT_CODES: &str = "Exit codes:
  0  all went well
  1  it was tried and did not succeed
  2  the command line or the configuration must be mended first
  3  it worked, and something waits for a person
  4  another process holds the ledger and does not answer";

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NeedsPerson => 3,
            Self::Busy => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error whose text is complete and whose exit code is known. Any other error ends as [`Exit::Failed`].
#[derive(Clone, Debug)]
pub struct Told {
    pub exit: Exit,
    pub text: String,
}

impl Told {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// A mistake on the command line or in the configuration.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

impl std::error::Error for Told {}
