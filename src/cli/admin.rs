//! Questions and orders about a ledger: answered by the daemon over its socket, or here where no daemon runs.
//!
//! The law: both ways run [`answer`]. A line of JSON goes in ([`Ask`]), a line of JSON comes out; an export streams its
//! lines after that. The socket stands beside the ledger and is its owner's alone (mode 600).
//!
//! Neither way makes a ledger where none is.
//!
//! A new question is a variant of [`Ask`], one of [`Answer`], and an arm of [`answer`].

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::open::Lacking;
use super::{Exit, Out, Told, open};
use crate::config::{Config, Machine};
use crate::house::House;
use crate::intake::Current;
use crate::ledger::{NoProbe, portable};
use crate::report::{Size, Status, Why};

mod customers;
mod desk;
mod review;
mod themes;
mod voice;

pub use customers::{AnswerCustomers, AskCustomers};
pub use desk::{Law, Letter, Message, Outcome};
pub use review::{AnswerReview, AskReview};
pub use themes::{AnswerThemes, AskThemes};
pub use voice::{AnswerVoice, AskVoice, Told as ToldJob};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    Status,
    Why {
        id: String,
        field: Option<String>,
    },
    Usage {
        wanted: crate::report::usage::Wanted,
    },
    Dead,
    Letter {
        number: u64,
    },
    /// Empty: all of them.
    Retry {
        numbers: Vec<u64>,
    },
    Messages {
        all: bool,
    },
    Approve {
        ids: Vec<String>,
        by: String,
    },
    Drop {
        ids: Vec<String>,
        by: String,
    },
    Reword {
        id: String,
        body: String,
        by: String,
    },
    /// Makes a record that was deleted at a destination anew.
    Restore {
        id: String,
        place: String,
        by: String,
    },
    Cost {
        since: Option<chrono::NaiveDate>,
        by: crate::report::cost::By,
    },
    /// Items to replay.
    Known {
        limit: usize,
    },
    /// What a command asked a model for, for the books.
    Spend {
        rows: Vec<(chrono::NaiveDate, String, String, crate::ledger::Spent)>,
    },
    Review(AskReview),
    Verify,
    Size,
    /// The rows follow the answer, as [`portable::export`] writes them.
    Export,
    /// Reads streams again: all of a connection, or one.
    SetBack {
        connection: String,
        stream: Option<String>,
    },
    Standing {
        connection: String,
        streams: Vec<String>,
    },
    Import {
        kind: crate::import::Kind,
        file: String,
        /// The first of the file's rows are among these.
        first: bool,
        rows: Vec<crate::import::Row>,
        bad: Vec<crate::import::Bad>,
    },
    /// What that would do.
    Rehearse {
        kind: crate::import::Kind,
        rows: Vec<crate::import::Row>,
        bad: Vec<crate::import::Bad>,
    },
    Customers(AskCustomers),
    Voice(AskVoice),
    Themes(AskThemes),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Status(Box<Status>),
    Why(Box<Why>),
    Usage(Box<crate::report::usage::Usage>),
    Letters(Vec<Letter>),
    Letter(Box<crate::ledger::Dead>),
    Messages(Vec<Message>),
    Review(Box<AnswerReview>),
    /// What became of each thing that was asked for.
    Outcomes(Vec<Outcome>),
    Laws(Vec<Law>),
    Cost(Box<crate::report::cost::Cost>),
    Known(Vec<crate::triage::backtest::Known>),
    Done,
    Size(Size),
    Export,
    SetBack {
        streams: Vec<String>,
        before: u64,
    },
    Standing(crate::backfill::Progress),
    Imported {
        news: usize,
    },
    Rehearsed(Box<crate::import::Report>),
    Customers(Box<AnswerCustomers>),
    Voice(Box<AnswerVoice>),
    Themes(Box<AnswerThemes>),
    /// It cannot be answered, and why.
    No(String),
}

impl Ask {
    /// It can be answered where not every connection opens: it changes nothing, or nothing that a connection has to do with.
    fn needs_no_connection(&self) -> bool {
        match self {
            Self::Status
            | Self::Why { .. }
            | Self::Usage { .. }
            | Self::Dead
            | Self::Letter { .. }
            | Self::Messages { .. }
            | Self::Cost { .. }
            | Self::Known { .. }
            | Self::Spend { .. }
            | Self::Verify
            | Self::Size
            | Self::Standing { .. }
            | Self::Export
            // The message waits in its queue; who sends it opens the connection.
            | Self::Approve { .. }
            | Self::Drop { .. }
            | Self::Reword { .. }
            // What follows from it is queued.
            | Self::Customers(_)
            | Self::Voice(_)
            | Self::Themes(_) => true,
            Self::SetBack { .. }
            | Self::Import { .. }
            | Self::Rehearse { .. }
            | Self::Retry { .. }
            // An item that ships by it is answered where it came from.
            | Self::Restore { .. } => false,
            Self::Review(ask) => ask.is_a_look(),
        }
    }
}

/// Answers one question. `daemon`: rooms are at work on this house.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn answer(house: &House, ask: Ask, daemon: bool) -> anyhow::Result<Answer> {
    Ok(match ask {
        Ask::Status => Answer::Status(Box::new(crate::report::status(house, daemon)?)),
        Ask::Usage { wanted } => {
            Answer::Usage(Box::new(crate::report::usage::usage(&house.ledger, &wanted, house.now())?))
        }
        Ask::Why { id, field } => desk::why(house, &id, field.as_deref())?,
        Ask::Dead => Answer::Letters(desk::letters(house)?),
        Ask::Letter { number } => desk::letter(house, number)?,
        Ask::Retry { numbers } => Answer::Outcomes(desk::retry(house, &numbers)?),
        Ask::Messages { all } => Answer::Messages(desk::messages(house, all)?),
        Ask::Approve { ids, by } => Answer::Outcomes(desk::decide_messages(house, &ids, &by, true)?),
        Ask::Drop { ids, by } => Answer::Outcomes(desk::decide_messages(house, &ids, &by, false)?),
        Ask::Reword { id, body, by } => Answer::Outcomes(vec![desk::reword(house, &id, &by, &body)?]),
        Ask::Restore { id, place, by } => desk::restore(house, &id, &place, &by)?,
        Ask::Cost { since, by } => Answer::Cost(Box::new(crate::report::cost::cost(house, since, by)?)),
        Ask::Known { limit } => Answer::Known(crate::triage::backtest::known(house, limit)?),
        Ask::Spend { rows } => {
            house.ledger.transact(|tx| {
                rows.iter().try_for_each(|(day, task, model, spent)| tx.spend(*day, task, model, *spent))
            })?;
            Answer::Done
        }
        Ask::Review(ask) => Answer::Review(Box::new(review::answer(house, ask)?)),
        Ask::Verify => Answer::Laws(desk::verify(house)?),
        Ask::Size => Answer::Size(crate::report::size(&house.ledger)?),
        Ask::Export => Answer::Export,
        Ask::SetBack { connection, stream } => desk::set_back(house, &connection, stream.as_deref())?,
        Ask::Standing { connection, streams } => {
            Answer::Standing(crate::backfill::progress(house, &connection, &streams)?)
        }
        Ask::Voice(ask) => match voice::answer(house, ask)? {
            AnswerVoice::No(why) => Answer::No(why),
            told => Answer::Voice(Box::new(told)),
        },
        Ask::Customers(ask) => Answer::Customers(Box::new(customers::answer(house, ask)?)),
        Ask::Themes(ask) => Answer::Themes(Box::new(themes::answer(house, ask)?)),
        Ask::Rehearse { kind, rows, bad } => {
            Answer::Rehearsed(Box::new(crate::import::rehearse(house, kind, &rows, &bad)?))
        }
        Ask::Import { kind, file, first, rows, bad } => {
            if first {
                crate::import::begin(house, &file)?;
            }
            Answer::Imported { news: crate::import::take_in(house, kind, &file, &rows, &bad)? }
        }
    })
}

/// Where the daemon that holds this ledger listens.
pub fn socket(config: &Config) -> PathBuf {
    socket_of(&config.ledger.path)
}

pub fn socket_of(ledger: &Path) -> PathBuf {
    let mut name = ledger.file_name().unwrap_or_default().to_owned();
    name.push(".admin.sock");
    ledger.with_file_name(name)
}

/// Whether a daemon that holds this ledger answers.
pub fn is_up(config: &Config) -> bool {
    UnixStream::connect(socket(config)).is_ok()
}

/// Who is at the keyboard, for the audit log.
pub fn person() -> String {
    match std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")) {
        Ok(user) if !user.is_empty() => format!("cli ({user})"),
        _ => "cli".to_owned(),
    }
}

/// Asks the daemon, or opens the ledger and answers here. A daemon is asked also where the configuration on disk has been
/// broken since it took one; that is said beside its answer.
///
/// # Errors
/// [`Told`]: the question cannot be answered, the configuration is wrong and no daemon runs, or the ledger is held by a
/// process that does not answer.
pub fn ask(out: &Out, ask: Ask) -> anyhow::Result<Answer> {
    let (socket, config) = reach(out);
    let answered = match daemon(socket.as_deref(), &ask)? {
        Some((answer, _)) => {
            say_if_broken(&config, out);
            answer
        }
        None => {
            let (house, lacking) = here(config?, &ask)?;
            let mut answered = answer(&house, ask, false)?;
            if let Answer::Status(status) = &mut answered {
                for Lacking { name, kind, webhook, problem } in lacking {
                    status.unopened(name, kind, webhook, &problem);
                }
            }
            answered
        }
    };
    refused(answered)
}

/// Where a daemon would listen, and the configuration on disk.
fn reach(out: &Out) -> (Option<PathBuf>, anyhow::Result<Config>) {
    match open::config(out) {
        Ok(config) => (Some(socket(&config)), Ok(config)),
        Err(error) => {
            let path = crate::config::ledger_path(&out.config_path(), &Machine);
            (path.as_deref().map(socket_of), Err(error))
        }
    }
}

fn daemon(socket: Option<&Path>, ask: &Ask) -> anyhow::Result<Option<(Answer, BufReader<UnixStream>)>> {
    socket.map_or(Ok(None), |socket| call(socket, ask))
}

fn say_if_broken(config: &anyhow::Result<Config>, out: &Out) {
    if config.is_err() {
        let what = "the configuration on disk is broken, and not the one in use: `loopd check` lists every mistake";
        out.note(format!("{} {what}", out.yellow("!")));
    }
}

/// Writes an export, from the daemon or from the ledger itself.
///
/// # Errors
/// As [`ask`], or when `to` cannot be written.
pub fn export(out: &Out, to: &mut dyn Write) -> anyhow::Result<u64> {
    let (socket, config) = reach(out);
    if let Some((answer, mut rest)) = daemon(socket.as_deref(), &Ask::Export)? {
        say_if_broken(&config, out);
        refused(answer)?;
        return copy_export(&mut rest, to);
    }
    let (house, _) = here(config?, &Ask::Export)?;
    Ok(portable::export(&**house.ledger.store(), to)? as u64)
}

/// The last line of an export says that it is whole.
fn copy_export(from: &mut dyn BufRead, to: &mut dyn Write) -> anyhow::Result<u64> {
    let mut lines = 0_u64;
    let mut line = String::new();
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            bail!("the daemon cut the export after {lines} lines: it is not whole");
        }
        to.write_all(line.as_bytes())?;
        if line.starts_with(portable::END) {
            // All but the head.
            return Ok(lines.saturating_sub(1));
        }
        lines += 1;
    }
}

fn refused(answer: Answer) -> anyhow::Result<Answer> {
    match answer {
        Answer::No(why) => Err(Told::new(Exit::Failed, format!("error: {why}")).into()),
        answer => Ok(answer),
    }
}

/// The house of this process, and what is not in it for want of a secret.
fn here(mut config: Config, ask: &Ask) -> anyhow::Result<(Arc<House>, Vec<Lacking>)> {
    let ledger = open::ledger_there(&config)?;
    let lacking =
        if ask.needs_no_connection() { open::leave_out_what_lacks_secrets(&mut config, &[]) } else { Vec::new() };
    if ask.needs_no_connection() && config.model_key(&Machine).is_err() {
        config.model.provider = crate::config::Provider::None;
    }
    Ok((open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)?, lacking))
}

/// One question to a daemon; `None`: none listens. What it streams after its answer can be read on.
fn call(socket: &Path, ask: &Ask) -> anyhow::Result<Option<(Answer, BufReader<UnixStream>)>> {
    use std::io::ErrorKind::{ConnectionRefused, InvalidInput, NotFound, PermissionDenied};
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        // InvalidInput: the path is too long for a socket, so no daemon made one.
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused | InvalidInput) => return Ok(None),
        Err(error) if error.kind() == PermissionDenied => {
            let text =
                format!("error: {} is another user's: run this as the daemon's user, or with sudo", socket.display());
            return Err(Told::new(Exit::Busy, text).into());
        }
        Err(error) => return Err(error).with_context(|| socket.display().to_string()),
    };
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    reader.read_line(&mut text).context("the daemon did not answer")?;
    if text.is_empty() {
        return Err(Told::new(Exit::Busy, "error: the daemon closed the conversation; is it stopping?").into());
    }
    let answer = serde_json::from_str(&text).context("the daemon is of another version: restart it")?;
    Ok(Some((answer, reader)))
}

/// Serves the socket until the task is dropped.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(path: &Path, current: Current) -> std::io::Result<JoinHandle<()>> {
    // The ledger's lock says that no other daemon lives: a socket that is there is a dead one's.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let current = current.clone();
            // The ledger's calls may wait for a disk.
            tokio::task::spawn_blocking(move || {
                if let Err(error) = stream.into_std().and_then(|stream| converse(&current, &stream)) {
                    tracing::debug!(%error, "a conversation on the admin socket was cut");
                }
            });
        }
    }))
}

/// The longest question.
const LONGEST: u64 = 8 * 1024 * 1024;

fn converse(current: &Current, stream: &UnixStream) -> std::io::Result<()> {
    use std::io::Read;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    let house = current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let answered = match serde_json::from_str::<Ask>(&line) {
        Ok(ask) => answer(&house, ask, true).unwrap_or_else(|error| Answer::No(format!("{error:#}"))),
        Err(_) => Answer::No("the daemon does not know this question: it is of another version".into()),
    };
    let mut out = std::io::BufWriter::new(stream);
    serde_json::to_writer(&mut out, &answered)?;
    out.write_all(b"\n")?;
    if matches!(answered, Answer::Export) {
        portable::export(&**house.ledger.store(), &mut out).map_err(std::io::Error::other)?;
    }
    out.flush()
}
