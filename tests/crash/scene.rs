//! Where it is played: the sandbox over loopback HTTP, a folder with a configuration and a ledger, and the program in a
//! process of its own, which can be killed.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use connectors::clock::SystemClock;
use connectors::{Clock, Kind};
use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Ports, Served, Vendor, World};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const REPO: &str = "lumen-example/widgets";
/// Its issues come by webhook alone: what is acknowledged and lost can come no other way.
pub(crate) const DIRECT: &str = "lumen-example/direct";
pub(crate) const BASE: &str = "appCrash000000001";
pub(crate) const SECRET: &str = "a secret between this test and its vendors";
/// In the pages that send feedback, and in the apps that send what is used.
pub(crate) const APP_KEY: &str = "pk_crash_1";
pub(crate) const WRITE_KEY: &str = "crash-write-key";
/// A customer whom everybody knows, with an account at Salesforce; and where its people speak.
pub(crate) const LUMEN: &str = "lumen.example.com";
pub(crate) const CHANNEL: &str = "C0GENERAL";
pub(crate) const FORM: &str = "lT4Z3j";

pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) world: Arc<World>,
    pub(crate) clock: SystemClock,
    pub(crate) address: SocketAddr,
    /// The number of the repository [`DIRECT`].
    pub(crate) direct: u64,
    runtime: Runtime,
    served: Option<Served>,
    still: (Sender<()>, Receiver<()>),
}

impl Scene {
    pub(crate) fn open(seed: u64) -> Self {
        let clock = SystemClock::new();
        let world_clock = SystemClock::new();
        let world = World::new(seed, Arc::new(move || world_clock.now()));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        world.airtable(|desk, cx| {
            desk.set_quota(100_000, 100_000, None);
            let scratch = json!([{"name": "Scratch", "fields": [{"name": "Name", "type": "singleLineText"}]}]);
            desk.create_base_with(cx, BASE, "loopd", &scratch);
        });
        world.linear(|desk, _| desk.set_quota(Some((1_000_000, 1_000_000_000))));
        furnish(&world);
        let served = runtime.block_on(sandbox::serve(world.clone(), &Ports::new())).expect("loopback");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let hook = |name: &str| format!("http://{address}/hooks/{name}");
        let direct = world.github(|desk, cx| {
            desk.create_repo(REPO, cx);
            desk.set_webhook(REPO, &hook("github"), SECRET, cx);
            desk.create_repo(DIRECT, cx)
        });
        world.intercom(|desk, _| desk.set_webhook(&hook("intercom"), SECRET));
        world.linear(|desk, cx| desk.set_webhook(cx, &hook("linear"), SECRET));
        world.notion(|desk, cx| desk.set_webhook(cx, &hook("notion"), SECRET));
        world.slack(|desk, _| desk.set_webhook(&hook("slack"), SECRET));
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("config.toml"), config(&served, address)).expect("it can be written");
        let scene = Self { folder, world, clock, address, direct, runtime, served: Some(served), still: channel() };
        for connection in ["airtable", "linear", "notion", "salesforce"] {
            let said = scene.loopd(&["setup", connection, "--apply"]);
            // Some of it is for hands (views): said, and no failure.
            assert!(matches!(said.status.code(), Some(0 | 3)), "setup {connection}: {}", text(&said));
        }
        scene
    }

    /// Lets real time pass: other processes need it.
    pub(crate) fn pause(&self, time: Duration) {
        let waited = self.still.1.recv_timeout(time);
        debug_assert_eq!(waited, Err(RecvTimeoutError::Timeout));
    }

    /// Asks again and again until it is so, or `most` has passed.
    pub(crate) fn wait(&self, most: Duration, mut so: impl FnMut() -> bool) -> bool {
        let end = self.clock.monotonic() + most;
        loop {
            if so() {
                return true;
            }
            if self.clock.monotonic() >= end {
                return false;
            }
            self.pause(Duration::from_millis(5));
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopd"));
        command.args(args).args(["--config", "config.toml"]).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().env("CRASH_HOOK", SECRET).env("CRASH_WRITE_KEY", WRITE_KEY).env("USER", "tester");
        command.env("CRASH_CLIENT", sandbox::salesforce::CLIENT_SECRET);
        for vendor in Vendor::ALL {
            command.env(variable(vendor), vendor.token());
        }
        command
    }

    /// Runs it to its end.
    pub(crate) fn loopd(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it runs")
    }

    /// The JSON of a command that ends well.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let said = self.loopd(args);
        let out = String::from_utf8_lossy(&said.stdout);
        serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", text(&said)))
    }

    /// Starts the daemon over the ledger as it is.
    pub(crate) fn start(&self, die_at: Option<&str>) -> Daemon {
        let mut args = vec!["run"];
        args.extend(die_at.iter().flat_map(|at| ["--die-at", at]));
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("it can be written");
        let child = self.command(&args).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        Daemon { child }
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    /// The end of what all daemons said.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Keeps the folder for a look, and says where it is.
    pub(crate) fn keep(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served.shutdown());
        }
    }
}

pub(crate) fn text(said: &Output) -> String {
    format!("{}\n{}\n{}", said.status, String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
}

fn variable(vendor: Vendor) -> String {
    format!("{}_TOKEN", vendor.name().to_uppercase())
}

/// The daemon's process. It dies with its test.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is ours")
    }

    pub(crate) fn kill(&mut self) -> ExitStatus {
        // It may have died by itself a moment ago.
        let _ = self.child.kill();
        self.child.wait().expect("it is ours")
    }

    /// Stops it as a service manager does.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).expect("it lives");
        self.child.wait().expect("it is ours")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the newer vendors' accounts hold, and limits that a test on loopback does not meet.
fn furnish(world: &World) {
    world.notion(|desk, _| desk.set_quota(1_000_000));
    world.slack(|desk, _| desk.set_lenience(10_000));
    world.granola(|desk, _| desk.set_quota(1_000_000));
    let questions = json!([
        {"ref": "nps", "type": "nps", "title": "How likely are you to recommend us?"},
        {"ref": "why", "type": "long_text", "title": "Why?"},
    ]);
    world.typeform(|desk, cx| {
        desk.set_quota(1_000_000);
        assert!(desk.add_form(FORM, "Customer survey", &questions, &["email"], cx), "a form");
    });
    world.salesforce(|desk, cx| {
        desk.run_as(Some(true));
        desk.set_limit(1_000_000_000);
        desk.create(cx, "Account", &json!({"Name": "Lumen Example", "Website": format!("https://{LUMEN}")}));
    });
}

/// All vendors of the loop, looked at every second and as fast as loopback takes it.
fn config(served: &Served, address: SocketAddr) -> String {
    let mut text = format!(
        r#"
[ledger]
path = "ledger"

[http]
listen     = "{address}"
public_url = "http://{address}"

[log]
format = "json"
filter = "warn"

[sync]
settle_seconds        = 0
counts_settle_seconds = 1
stale_read_seconds    = 1

[close]
send_without_approval = ["github", "intercom", "slack"]

[connection.app]
kind        = "app"
key         = "{APP_KEY}"
per_address = {{ calls = 100000, per_seconds = 10, burst = 1000 }}

[connection.segment]
kind      = "segment"
webhook   = true
write_key = {{ env = "CRASH_WRITE_KEY" }}

"#
    );
    for (name, vendor, more) in [
        ("github", Vendor::GitHub, format!("repos = [\"{REPO}\"]")),
        ("direct", Vendor::GitHub, format!("repos = [\"{DIRECT}\"]\npoll = false")),
        ("intercom", Vendor::Intercom, String::new()),
        ("airtable", Vendor::Airtable, format!("base = \"{BASE}\"")),
        ("linear", Vendor::Linear, "team = \"ENG\"".to_owned()),
        // Without these, minutes would pass until an edit is looked for that no webhook told of.
        (
            "notion",
            Vendor::Notion,
            format!(
                "page = \"{}\"\nmodified_every_seconds = 1\noverlap_seconds = 120\nabsent_seconds = 1",
                sandbox::notion::PAGE
            ),
        ),
        (
            "salesforce",
            Vendor::Salesforce,
            format!("client_id = \"{}\"\nclient_secret = {{ env = \"CRASH_CLIENT\" }}", sandbox::salesforce::CLIENT_ID),
        ),
        ("slack", Vendor::Slack, format!("channels = {{ {CHANNEL} = \"{LUMEN}\" }}")),
        ("granola", Vendor::Granola, "own_domains = [\"ours.example.com\"]".to_owned()),
        ("typeform", Vendor::Typeform, format!("forms = [\"{FORM}\"]")),
    ] {
        let (base, variable) = (served.base(vendor), variable(vendor));
        // GitHub meters by the hour, and a life is short. A window of a second would be waited out at each start.
        let quota = if vendor == Vendor::GitHub {
            "calls = 5000, per_seconds = 3600, burst = 800"
        } else {
            "calls = 10000, per_seconds = 10, burst = 500"
        };
        // The secret of these comes with the webhook that loopd makes there; Salesforce sends none.
        let secret = match vendor {
            Vendor::Salesforce => String::new(),
            Vendor::Airtable | Vendor::Granola | Vendor::Typeform => "webhook = true\n".to_owned(),
            _ => "webhook = true\nwebhook_secret = { env = \"CRASH_HOOK\" }\n".to_owned(),
        };
        let token = match vendor {
            Vendor::Salesforce => String::new(),
            _ => format!("token = {{ env = \"{variable}\" }}\n"),
        };
        let _ = writeln!(
            text,
            "[connection.{name}]\nkind = \"{}\"\nbase_url = \"{base}\"\n{token}{secret}schedule = \"*/1 * * * * *\"\n\
             quota = {{ {quota} }}\n{more}\n",
            vendor.name()
        );
    }
    text.push_str(&loopd::config::routes(&[Kind::Airtable, Kind::Linear, Kind::Notion, Kind::Salesforce]));
    text.push_str(NEEDS);
    text
}

/// Beside the routes that everybody begins with: whose need each issue is.
const NEEDS: &str = r#"
[[route]]
entity = "customer"
to     = "linear.customer"

[[route]]
entity = "feedback"
to     = "linear.need"
when   = '.links["linear.issue"] != null and .customer != null'
"#;
