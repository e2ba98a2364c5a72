//! Resident memory of the real binary: `loopd run` as its own process, against the sandbox over loopback HTTP; with
//! nothing to do, and after it has brought items through every room.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loopd::demo::{BASE, FEEDBACK, Names, vendors, write_config};
use sandbox::Vendor;

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::{Timer, folder, pause, resident_mb};
use crate::throughput::{LIFTED, lift};
use crate::town::REPO;
use crate::works::open_issue;

const LOOPD: &str = env!("CARGO_BIN_EXE_loopd");

/// Ends with the bench, however that ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(size: Size, figures: &mut Figures) {
    let (items, idle) = size.pick((10_000_u64, 30), (1_000, 5));
    let folder = folder();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (world, served) = runtime.block_on(vendors(7, &[REPO.to_owned()])).expect("loopback");
    lift(&world);
    let address = free_address();
    let four = [Vendor::GitHub, Vendor::Intercom, Vendor::Airtable, Vendor::Linear];
    let names = Names { repos: vec![REPO.to_owned()], ..Names::default() };
    let path = write_config(folder.path(), &served, address, &four, &names).expect("the bench's own folder");
    lift_config(&path);
    for connection in ["airtable", "linear"] {
        let done = Command::new(LOOPD)
            .arg("--config")
            .arg(&path)
            .args(["setup", connection, "--apply"])
            .stdout(Stdio::null())
            .status();
        // 3: done, but for views, which only people can make.
        assert!(matches!(done.expect("the binary runs").code(), Some(0 | 3)), "setup of {connection} failed");
    }
    let child = Command::new(LOOPD)
        .arg("--config")
        .arg(&path)
        .arg("run")
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let daemon = Daemon(child);
    let process = daemon.0.id();
    wait("it is ready", || is_ready(address));
    pause(Duration::from_secs(idle));
    let (now, most) = resident_mb(process);
    figures.add("memory", format!("idle: resident after {idle} s, four connections"), now, "MB", Aim::AtMost(40.0));
    figures.add("memory", "idle: most resident", most, "MB", Aim::None);
    for number in 1..=items {
        let body = format!("When I export table {number}, it stops. {}", "I expected all of it. ".repeat(20));
        open_issue(&world, number, &body, if number % 20 == 0 { &["bug", "p1"] } else { &["enhancement"] });
    }
    let timer = Timer::start();
    wait("every item is in Airtable", || world.airtable(|desk, _| desk.rows(BASE, FEEDBACK).len()) as u64 >= items);
    let seconds = timer.seconds();
    let (now, most) = resident_mb(process);
    figures.add(
        "memory",
        format!("loaded: resident when {items} items had passed (in {seconds:.0} s)"),
        now,
        "MB",
        Aim::None,
    );
    figures.add("memory", "loaded: most resident", most, "MB", Aim::None);
    pause(Duration::from_secs(idle));
    figures.add("memory", format!("idle again: resident {idle} s later"), resident_mb(process).0, "MB", Aim::None);
    drop(daemon);
    assert_eq!(world.airtable(|desk, _| desk.rows(BASE, FEEDBACK).len()) as u64, items, "an item is doubled");
    assert_eq!(
        Vendor::ALL.map(|vendor| world.books(vendor).throttled),
        [0; Vendor::ALL.len()],
        "a vendor said: too many"
    );
    runtime.block_on(served.shutdown());
}

/// The demo's configuration, without quotas, and with a poll of GitHub every ten seconds.
fn lift_config(path: &Path) {
    let text = std::fs::read_to_string(path).expect("just written");
    let lines = text.lines().filter(|line| !line.starts_with("quota = "));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\"*/5 * * * *\"", "\"*/10 * * * * *\"");
    std::fs::write(path, format!("{text}\n{LIFTED}")).expect("the bench's own folder");
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket")
}

fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: loopd\r\nconnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let timer = Timer::start();
    while !done() {
        assert!(timer.seconds() < 600.0, "waited ten minutes until {what}");
        pause(Duration::from_millis(250));
    }
}
