//! `loopd auth`: a person signs in to a vendor for a connection, in their browser. What comes of it is kept beside the ledger,
//! where the daemon finds it by itself.
//!
//! The law: no browser is opened unasked, what comes back counts only with this sign-in's own `state`, and no token is
//! ever printed.

mod listen;

use std::io::{self, BufRead as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use connectors::Fault;
use connectors::oauth::{Begun, Grant, Session, SignInError, Standing};
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::{Value, json};

use super::{Exit, Out, Told, open};
use crate::config::Config;
use crate::house::{Connection, House};
use crate::ledger::{Ledger, MemoryStore, NoProbe};
use crate::pause::{Pause as _, RealPause, patiently};
use listen::Listener;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A connection by name, or the only one of a kind: airtable, linear, salesforce. Only with --status: all
    #[arg(value_name = "CONNECTION", required_unless_present = "status")]
    connection: Option<String>,
    /// Where to wait for the browser [default: `auth.port`]; http://localhost:PORT/callback must be registered with the vendor
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Open the browser on this machine
    #[arg(long)]
    open: bool,
    /// Wait for no browser: the address that it ends at is pasted here, from any machine
    #[arg(long, conflicts_with = "open")]
    no_listen: bool,
    /// The address that the browser comes back to, if another is registered; with --no-listen
    #[arg(long, value_name = "URL", requires = "no_listen")]
    redirect: Option<String>,
    /// Who is signed in, and until when
    #[arg(long, conflicts_with_all = ["port", "open", "no_listen", "forget"])]
    status: bool,
    /// Forget the sign-in, here and, where it can be told, at the vendor
    #[arg(long, conflicts_with_all = ["port", "open", "no_listen"])]
    forget: bool,
}

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let mut config = open::config(out)?;
    // What root makes there, the daemon's user may not read.
    open::only_its_owner(&config.ledger.path)?;
    let names = match &args.connection {
        Some(wanted) => vec![named(&config, wanted)?],
        None => config.connections.keys().cloned().collect(),
    };
    config.connections.retain(|name, _| names.contains(name));
    if args.connection.is_none() {
        open::leave_out_what_lacks_secrets(&mut config, &[]);
    }
    let port = args.port.unwrap_or(config.auth.port);
    // The ledger is none of ours: the daemon may hold it.
    let ledger = Ledger::over(Arc::new(MemoryStore::new()), Arc::new(NoProbe))?;
    let house = open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)?;
    if args.status {
        return Ok(status(&house, args.connection.is_some(), out));
    }
    let Some(connection) = names.first().and_then(|name| house.connections.get(name)) else {
        anyhow::bail!("the connection did not open")
    };
    let session = session(connection)?;
    if args.forget {
        return forget(&connection.name, session, out).await;
    }
    let grant = if args.no_listen {
        let back = args.redirect.unwrap_or_else(|| address(port));
        let begun = begin(session, &back)?;
        pasted(&connection.name, session, &begun, out).await?
    } else {
        let listener = Listener::bind(port).await.map_err(|error| taken(port, &error))?;
        let begun = begin(session, &address(listener.port()))?;
        browsed(&connection.name, session, &begun, listener, args.open, out).await?
    };
    introduce(connection, session, &grant, out).await
}

fn address(port: u16) -> String {
    format!("http://localhost:{port}/callback")
}

/// The connection of that name, or the only one of that kind.
fn named(config: &Config, wanted: &str) -> anyhow::Result<String> {
    if config.connections.contains_key(wanted) {
        return Ok(wanted.to_owned());
    }
    let of_kind = config.connections.values().filter(|connection| connection.kind.name() == wanted);
    let names: Vec<&str> = of_kind.map(|connection| connection.name.as_str()).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => {
            let known = config.connections.keys().cloned().collect::<Vec<_>>().join(", ");
            let text = format!(
                "error: there is no connection `{wanted}`, and none of that kind\n  = the configuration has {}",
                if known.is_empty() { "none" } else { &known }
            );
            Err(Told::usage(text).into())
        }
        several => {
            let text = format!("error: {wanted} is several connections\n  = name one: {}", several.join(", "));
            Err(Told::usage(text).into())
        }
    }
}

/// # Errors
/// [`Told`] with [`Exit::Usage`] where nobody signs in.
fn session(connection: &Connection) -> anyhow::Result<&Session> {
    connection.connector.sign_in().filter(|session| session.wants_person()).ok_or_else(|| {
        let text = format!(
            "error: nobody signs in for connection {0}: its credentials are in the configuration\n  = where its vendor offers a \
             sign-in, docs/vendors tells which setting takes the credential's place",
            connection.name
        );
        Told::usage(text).into()
    })
}

fn begin(session: &Session, back: &str) -> anyhow::Result<Begun> {
    let mut chance = [0; 64];
    getrandom(&mut chance, GetRandomFlags::empty()).context("the system gives no random numbers")?;
    session.begin(back, &chance).map_err(|error| Told::usage(format!("error: {error}")).into())
}

fn taken(port: u16, error: &io::Error) -> anyhow::Error {
    let text = format!(
        "error: nothing can listen on port {port} ({error})\n  = choose another that is registered with the vendor: --port PORT, or \
         do without: --no-listen"
    );
    Told::usage(text).into()
}

/// Waits until the browser comes back, or the person does not.
async fn browsed(
    name: &str,
    session: &Session,
    begun: &Begun,
    listener: Listener,
    browser: bool,
    out: &Out,
) -> anyhow::Result<Grant> {
    let vendor = session.vendor();
    out.note(format!("Sign in to {vendor} for {name}, in a browser on this machine:\n\n  {}\n", begun.url));
    out.note(format!("Waiting on {} … (Ctrl-C ends it)", address(listener.port())));
    if browser && let Err(error) = std::process::Command::new("xdg-open").arg(&begun.url).spawn() {
        out.note(format!("xdg-open does not start ({error}); open it yourself"));
    }
    let waiting = async {
        loop {
            let visit = listener.visit().await?;
            match finish(session, begun, visit.query()).await {
                Ok(grant) => {
                    visit.answer(200, &format!("Signed in to {vendor}. You can close this window.")).await;
                    return Ok(grant);
                }
                // Not ours: somebody else's request cannot end the sign-in.
                Err(error @ (SignInError::State | SignInError::NoCode)) => visit.answer(400, &error.to_string()).await,
                Err(error) => {
                    visit.answer(400, &error.to_string()).await;
                    return Err(refused(error));
                }
            }
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(ended) => ended,
        Err(_) => {
            let text = format!(
                "error: nobody signed in within {} minutes\n  = again: loopd auth {name}",
                PATIENCE.as_secs() / 60
            );
            Err(Told::new(Exit::Failed, text).into())
        }
    }
}

/// Reads what the browser ended at from the input.
async fn pasted(name: &str, session: &Session, begun: &Begun, out: &Out) -> anyhow::Result<Grant> {
    out.note(format!("Sign in to {} for {name}, in a browser on any machine:\n\n  {}\n", session.vendor(), begun.url));
    out.note("The page that it ends at may not load; its address is what counts. Paste it here:");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("nothing can be read from the input")?;
    if line.trim().is_empty() {
        return Err(Told::usage("error: nothing was pasted").into());
    }
    finish(session, begun, &line).await.map_err(refused)
}

/// The daemon may be renewing the earlier grant just now; that takes a moment.
async fn finish(session: &Session, begun: &Begun, answer: &str) -> Result<Grant, SignInError> {
    for _ in 0..60 {
        match session.finish(begun, answer).await {
            Err(SignInError::Busy) => RealPause.pause(Duration::from_secs(1)).await,
            ended => return ended,
        }
    }
    Err(SignInError::Busy)
}

fn refused(error: SignInError) -> anyhow::Error {
    let exit = match error {
        SignInError::NotNeeded | SignInError::Back(..) => Exit::Usage,
        _ => Exit::Failed,
    };
    let text = match error {
        SignInError::Fault(Fault::Later { why, .. } | Fault::Unknown { why } | Fault::Locked { why }) => why,
        error => error.to_string(),
    };
    Told::new(exit, format!("error: {text}")).into()
}

/// Who is signed in, and what they may do.
async fn introduce(connection: &Connection, session: &Session, grant: &Grant, out: &Out) -> anyhow::Result<Exit> {
    let name = &connection.name;
    let mut told = json!({ "connection": name, "vendor": session.vendor(), "scopes": grant.scopes });
    let exit = match patiently(&RealPause, || connection.connector.probe()).await {
        Ok(identity) => {
            out.line(format!("{name}: signed in to {} as {} ({})", session.vendor(), identity.name, identity.account));
            let scopes = if identity.scopes.is_empty() { &grant.scopes } else { &identity.scopes };
            if !scopes.is_empty() {
                out.line(format!("  it may: {}", scopes.join(", ")));
            }
            for note in &identity.notes {
                out.line(format!("  {note}"));
            }
            told["account"] = json!(identity.account);
            told["name"] = json!(identity.name);
            told["scopes"] = json!(scopes);
            told["notes"] = json!(identity.notes);
            Exit::Done
        }
        Err(fault) => {
            out.line(format!("{name}: signed in to {}, but the account cannot be looked at", session.vendor()));
            out.note(format!("{} {fault}", out.red("x")));
            told["fault"] = json!(fault.to_string());
            if matches!(fault, Fault::Locked { .. }) { Exit::NeedsPerson } else { Exit::Failed }
        }
    };
    out.line("A daemon that runs takes it up by itself, within a minute.");
    out.json(&json!({ "auth": told }));
    Ok(exit)
}

fn status(house: &House, one: bool, out: &Out) -> Exit {
    let mut exit = Exit::Done;
    let mut rows = Vec::new();
    let mut told = Vec::new();
    for connection in house.connections.values() {
        let name = &connection.name;
        let Some(session) = connection.connector.sign_in().filter(|session| session.wants_person()) else {
            if one {
                out.line(format!("{name}: nobody signs in; its credentials are in the configuration"));
            }
            told.push(json!({ "connection": name, "needs_sign_in": false }));
            continue;
        };
        let standing = session.standing();
        let good = matches!(&standing, Ok(Some(standing)) if standing.over.is_none());
        if !good {
            exit = Exit::NeedsPerson;
        }
        let (state, more) = words(&standing, name);
        told.push(json!({ "connection": name, "vendor": session.vendor(), "needs_sign_in": true, "signed_in": good,
                          "standing": standing.as_ref().ok(), "why": (!good).then_some(&state) }));
        rows.push(vec![name.clone(), if good { out.green(&state) } else { out.yellow(&state) }, more]);
    }
    if !rows.is_empty() {
        out.table(&["CONNECTION", "SIGN-IN", ""], rows);
    } else if !one {
        out.line("No connection has a sign-in: their credentials are in the configuration.");
    }
    out.json(&Value::Array(told));
    exit
}

fn words(standing: &Result<Option<Standing>, Fault>, name: &str) -> (String, String) {
    let day = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string());
    match standing {
        Err(Fault::Locked { why }) => (why.clone(), String::new()),
        Err(fault) => (fault.to_string(), String::new()),
        Ok(None) => ("nobody has signed in".into(), format!("loopd auth {name}")),
        Ok(Some(Standing { over: Some(why), .. })) => (format!("over: {why}"), format!("loopd auth {name}")),
        Ok(Some(standing)) => {
            let since = day(standing.signed_in).map_or_else(|| "signed in".into(), |day| format!("signed in {day}"));
            let token = match (day(standing.until), standing.renewable) {
                (Some(until), true) => format!("token until {until}, then renewed"),
                (Some(until), false) => format!("token until {until}, and nothing to renew it with"),
                (None, true) => "token until it is refused, then renewed".into(),
                (None, false) => "token until it is refused".into(),
            };
            let may =
                if standing.scopes.is_empty() { String::new() } else { format!("; {}", standing.scopes.join(", ")) };
            (since, format!("{token}{may}"))
        }
    }
}

async fn forget(name: &str, session: &Session, out: &Out) -> anyhow::Result<Exit> {
    let vendor = session.vendor();
    let (told, trouble) =
        session.forget().await.map_err(|why| anyhow::anyhow!("the sign-in cannot be forgotten: {why}"))?;
    out.line(format!(
        "{name}: the sign-in is forgotten here{}.",
        if told { format!(", and {vendor} was told") } else { String::new() }
    ));
    if !told {
        out.line(format!(
            "  {vendor} was not told: take the access back in {vendor}'s own settings, if it should end there, too."
        ));
    }
    if let Some(fault) = &trouble {
        out.note(format!("{} {vendor} could not be told: {fault}", out.red("x")));
    }
    out.json(&json!({ "auth": { "connection": name, "forgotten": true, "vendor_told": told } }));
    Ok(if trouble.is_some() { Exit::NeedsPerson } else { Exit::Done })
}
