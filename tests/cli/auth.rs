//! `loopd auth`: a person's browser, played by hand, between the program and the sandbox over loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{Place, Said};

/// The sandbox as a process of its own; it ends with its test.
struct Sandbox {
    child: Child,
    said: Value,
}

impl Sandbox {
    fn start(place: &Place) -> Self {
        let mut child =
            place.command(&["sandbox", "--json", "--for", "120"]).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it is");
        Self { child, said: serde_json::from_str(&line).expect("JSON") }
    }

    fn base(&self, vendor: &str) -> &str {
        self.said["vendors"][vendor]["base_url"].as_str().expect("a URL")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder whose configuration signs in to Airtable and Linear.
fn place() -> (Place, Sandbox) {
    let place = Place::empty();
    let sandbox = Sandbox::start(&place);
    place.write("airtable.secret", "airtable-sandbox-secret\n");
    let (airtable, linear) = (sandbox.base("airtable"), sandbox.base("linear"));
    let config = format!(
        r#"
[ledger]
path = "ledger"
[http]
listen = "127.0.0.1:0"
[connection.airtable]
kind = "airtable"
base_url = "{airtable}"
base = "appSandbox0000001"
client_id = "airtable-sandbox-client"
client_secret = {{ file = "airtable.secret" }}
quota = {{ calls = 4, per_seconds = 1 }}
[connection.bugs]
kind = "linear"
base_url = "{linear}"
team = "ENG"
client_id = "linear-sandbox-client"
[connection.github]
kind = "github"
base_url = "http://127.0.0.1:1"
repos = ["example/app"]
token = {{ env = "TEST_TOKEN" }}
[[route]]
entity = "customer"
to = "airtable.Customers"
"#
    );
    place.write("config.toml", &config);
    (place, sandbox)
}

/// A GET as a browser sends it: status, `Location`, body. `localhost` is asked at 127.0.0.1.
fn get(url: &str) -> (u16, Option<String>, String) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}"));
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1")).expect("somebody listens");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).map(str::to_owned);
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), location, body.to_owned())
}

/// `loopd auth` under way.
struct Signing {
    child: Child,
    err: BufReader<std::process::ChildStderr>,
    url: String,
}

impl Signing {
    #[expect(clippy::zombie_processes, reason = "`end` waits for it; a test that fails before ends soon")]
    fn begin(place: &Place, args: &[&str]) -> Self {
        let mut command = place.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut err = BufReader::new(child.stderr.take().expect("piped"));
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(err.read_line(&mut line).expect("it is read") > 0, "no URL: {seen}");
            if line.trim().starts_with("http") {
                return Self { child, err, url: line.trim().to_owned() };
            }
            seen.push_str(&line);
        }
    }

    /// Where the vendor sends the browser, once the person has said yes.
    fn consented(&self) -> String {
        let (status, location, body) = get(&self.url);
        assert_eq!(status, 302, "{body}");
        location.expect("sent on")
    }

    fn end(mut self) -> Said {
        let mut said = Said { code: None, out: String::new(), err: String::new() };
        self.child.stdout.take().expect("piped").read_to_string(&mut said.out).expect("read");
        self.err.read_to_string(&mut said.err).expect("read");
        said.code = self.child.wait().expect("it ends").code();
        said
    }
}

#[test]
fn a_browser_signs_in_over_loopback() {
    let (place, _sandbox) = place();
    place.loopd(&["check"]).ends(0);
    place
        .loopd(&["check", "--live", "airtable"])
        .ends(3)
        .says("nobody has signed in to Airtable yet: loopd auth airtable");
    place.loopd(&["auth", "airtable", "--status"]).ends(3).says("nobody has signed in").says("loopd auth airtable");

    let signing = Signing::begin(&place, &["auth", "airtable", "--port", "0", "--json"]);
    let back = signing.consented();
    let port = back.split(['/', ':']).nth(4).expect("a port").to_owned();
    // What others send to the port does not end the sign-in.
    assert_eq!(get(&format!("http://localhost:{port}/favicon.ico")).0, 404);
    assert_eq!(get(&format!("http://localhost:{port}/callback?code=stolen&state=guessed")).0, 400);
    let (status, _, page) = get(&back);
    assert!(status == 200 && page.contains("Signed in to Airtable"), "{status} {page}");
    let said = signing.end().ends(0);
    let told = &said.json()["auth"];
    assert_eq!((&told["account"], &told["connection"]), (&"appSandbox0000001".into(), &"airtable".into()), "{told}");
    assert!(told["scopes"].as_array().is_some_and(|scopes| scopes.contains(&"data.records:write".into())), "{told}");

    let file = place.path().join("sign-ins/airtable.json");
    assert_eq!(std::fs::metadata(&file).expect("kept").mode() & 0o777, 0o600);
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("ours")).expect("JSON");
    let token = kept["access_token"].as_str().expect("a token");
    assert!(!said.out.contains(token) && !said.err.contains(token), "no token is printed");

    place.loopd(&["auth", "airtable", "--status"]).ends(0).says("then renewed").says("schema.bases:read");
    place.loopd(&["check", "--live", "airtable"]).says("airtable: reached");
    place.loopd(&["auth", "airtable", "--forget"]).ends(0).says("Airtable was not told");
    assert!(!file.exists());
    place.loopd(&["auth", "--status"]).ends(3).says("airtable").says("bugs");
}

#[test]
fn what_the_browser_ended_at_can_be_pasted() {
    let (place, _sandbox) = place();
    let mut signing = Signing::begin(&place, &["auth", "bugs", "--no-listen"]);
    let back = signing.consented();
    let mut input = signing.child.stdin.take().expect("piped");
    writeln!(input, "{back}").expect("pasted");
    signing.end().ends(0).says("bugs: signed in to Linear as").says("customer:write");
    place.loopd(&["auth", "linear", "--forget"]).ends(0).says("and Linear was told");

    let mut signing =
        Signing::begin(&place, &["auth", "linear", "--no-listen", "--redirect", "http://localhost:9/elsewhere"]);
    let back = signing.consented();
    assert!(back.starts_with("http://localhost:9/elsewhere?code="), "{back}");
    let mut input = signing.child.stdin.take().expect("piped");
    writeln!(input, "{}", back.replace("state=", "state=x")).expect("pasted");
    signing.end().ends(1).says("not the answer to this sign-in");
    place.loopd(&["auth", "bugs", "--no-listen"]).ends(2).says("nothing was pasted");
}

#[test]
fn what_cannot_be_signed_in_is_told_with_its_mend() {
    let (place, _sandbox) = place();
    place.loopd(&["auth", "github"]).ends(2).says("nobody signs in for connection github");
    place.loopd(&["auth", "github", "--status"]).ends(0).says("its credentials are in the configuration");
    place.loopd(&["auth", "notion"]).ends(2).says("there is no connection `notion`").says("airtable, bugs, github");
    place.loopd(&["auth"]).ends(2);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = busy.local_addr().expect("bound").port().to_string();
    place.loopd(&["auth", "airtable", "--port", &port]).ends(2).says("--no-listen");
}

#[test]
fn a_running_daemon_takes_a_sign_in_up_by_itself() {
    let (place, _sandbox) = place();
    let mut daemon = place.run();
    // Its first calls for a token may come before or after it says that it is ready.
    let told = (0..500).any(|_| place.loopd(&["status"]).out.contains("nobody has signed in to Airtable yet"));
    assert!(told, "{}", place.loopd(&["status"]).out);
    let signing = Signing::begin(&place, &["auth", "airtable", "--port", "0"]);
    assert_eq!(get(&signing.consented()).0, 200);
    signing.end().ends(0).says("takes it up by itself");
    daemon.wait_for("connection airtable is open again");
    assert_eq!(daemon.stop(), Some(0));
}
