//! A folder with a configuration, the program run in it, a daemon that ends with its test, and plain HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SECRET: &str = "a secret that only this test knows";

/// Nobody listens on port 1: the connection is refused, so its calls wait, and the rest works.
pub(crate) const GITHUB: &str = r#"
[ledger]
path = "ledger"

[http]
listen = "127.0.0.1:0"
public_url = "https://loopd.example.com"
max_body_bytes = 65536

[connection.github]
kind = "github"
base_url = "http://127.0.0.1:1"
repos = ["example/app"]
token = { env = "TEST_TOKEN" }
webhook = true
webhook_secret = { env = "TEST_SECRET" }
"#;

pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn with(config: &str) -> Self {
        let place = Self::empty();
        place.write("config.toml", config);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
        std::fs::write(&path, text).expect("it can be written");
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopd"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env_clear().env("TEST_TOKEN", "token").env("TEST_SECRET", SECRET).env("USER", "tester");
        command
    }

    /// Runs it to its end.
    pub(crate) fn loopd(&self, args: &[&str]) -> Said {
        Said::from(self.command(args).output().expect("it runs"))
    }

    /// For a daemon that ends by itself, and is ended where it does not.
    pub(crate) fn run_until_it_ends(&self, args: &[&str]) -> ExitStatus {
        let mut child = self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stderr = child.stderr.take().expect("piped");
        let (ended, waiting) = channel();
        std::thread::spawn(move || {
            // Its end closes the pipe.
            let _ = stderr.read_to_end(&mut Vec::new());
            let _ = ended.send(());
        });
        if waiting.recv_timeout(PATIENCE).is_err() {
            child.kill().expect("it lives");
            panic!("{args:?} did not end by itself");
        }
        child.wait().expect("it ends")
    }

    /// Starts the daemon, and returns when it is ready.
    pub(crate) fn run(&self) -> Daemon {
        self.run_under(&[])
    }

    /// The same with more in its environment.
    pub(crate) fn run_under(&self, environment: &[(&str, &str)]) -> Daemon {
        let mut command = self.command(&["run"]);
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stderr = child.stderr.take().expect("piped");
        let (lines, log) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut daemon = Daemon { child, log, seen: String::new(), address: String::new() };
        let ready = daemon.wait_for("loopd is ready");
        daemon.address = ready["address"].as_str().expect("it says where it listens").to_owned();
        daemon
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.out.contains(part) || self.err.contains(part), "{part:?} is not in:\n{}\n{}", self.out, self.err);
        self
    }

    /// The last line, which is JSON with `--json`.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let line = self.out.lines().next_back().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.err))
    }
}

pub(crate) struct Daemon {
    child: Child,
    log: Receiver<String>,
    seen: String,
    pub(crate) address: String,
}

impl Daemon {
    /// The log line that holds this message.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        loop {
            let line =
                self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {message:?} in the log:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if entry["message"].as_str().is_some_and(|said| said.contains(message)) {
                return entry;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }

    /// Stops it as a service manager does; returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().expect("it ends").code()
    }

    /// How it ended by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"), b"")
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        self.send(
            &format!(
                "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
            ),
            body,
        )
    }

    /// A request as it is on the wire.
    pub(crate) fn send(&self, head: &str, body: &[u8]) -> Response {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(head.as_bytes()).expect("it takes the head");
        // It may have answered, and closed, before it has all of the body.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        Response { status, head: head.to_owned(), body: body.to_owned() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already, when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body, which is JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}
