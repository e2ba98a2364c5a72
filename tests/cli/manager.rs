//! What a service manager hears of the daemon: systemd's Type=notify-reload and its watchdog.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{GITHUB, PATIENCE, Place};

/// The watchdog that the daemon is run under.
const WATCHDOG: Duration = Duration::from_secs(60);

struct Manager(UnixDatagram);

impl Manager {
    /// What the next message says, line by line.
    #[track_caller]
    fn hears(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("it says something");
        String::from_utf8_lossy(&bytes[..length]).lines().map(str::to_owned).collect()
    }

    /// The next message but for pings.
    #[track_caller]
    fn hears_news(&self) -> Vec<String> {
        loop {
            let said = self.hears();
            if said != ["WATCHDOG=1"] {
                return said;
            }
        }
    }

    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "measures how often a real process pings")]
    fn hears_a_ping(&self) -> Instant {
        assert_eq!(self.hears(), ["WATCHDOG=1"]);
        Instant::now()
    }
}

#[test]
fn the_service_manager_hears_how_the_daemon_is() {
    let place = Place::with(GITHUB);
    let path = place.path().join("notify.sock");
    let manager = Manager(UnixDatagram::bind(&path).expect("a socket"));
    manager.0.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let path = path.to_str().expect("a path of letters");
    let micros = WATCHDOG.as_micros().to_string();
    let daemon = place.run_under(&[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", &micros)]);

    assert_eq!(manager.hears_news(), ["READY=1"]);
    // A manager wants a ping in half its time.
    let pings: Vec<Instant> = (0..4).map(|_| manager.hears_a_ping()).collect();
    assert!(pings.windows(2).all(|pair| pair[1] - pair[0] < WATCHDOG / 2), "{pings:?}");

    daemon.signal(Signal::HUP);
    let said = manager.hears_news();
    assert_eq!(said[0], "RELOADING=1");
    // Without the time, a manager takes the READY of the start for that of the reload.
    assert!(said.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{said:?}");
    assert_eq!(manager.hears_news(), ["READY=1"]);
    manager.hears_a_ping();

    // A configuration that does not check ends its reload as well.
    place.write("config.toml", "nonsense");
    daemon.signal(Signal::HUP);
    assert_eq!(manager.hears_news()[0], "RELOADING=1");
    assert_eq!(manager.hears_news(), ["READY=1"]);

    daemon.signal(Signal::TERM);
    assert_eq!(manager.hears_news(), ["STOPPING=1"]);
    assert!(daemon.ended().success());
}
