//! What the machine says of itself: time, processor time, memory, and how fast its disk confirms.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use connectors::Clock;
use connectors::clock::SystemClock;
use loopd::ledger::FreeSpace;

/// Time since it was started, by the machine's clock.
#[derive(Clone, Copy)]
pub(crate) struct Timer(SystemClock);

impl Timer {
    pub(crate) fn start() -> Self {
        Self(SystemClock::new())
    }
    pub(crate) fn elapsed(self) -> Duration {
        self.0.monotonic()
    }
    pub(crate) fn seconds(self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// Waits on the wall clock.
#[expect(clippy::disallowed_methods, reason = "a bench waits for the process that it measures")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Processor time of all threads that live now, in milliseconds.
pub(crate) fn cpu_ms() -> f64 {
    let mut nanos = 0.0;
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let line = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += line.split_whitespace().next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0);
    }
    nanos / 1e6
}

/// Resident memory of a process, now and at most, in MB.
pub(crate) fn resident_mb(process: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0 * 1.024
    };
    (line("VmRSS:"), line("VmHWM:"))
}

/// How often a second the disk under `folder` confirms a write of 4 KB, one after another.
pub(crate) fn fdatasyncs_a_second(folder: &Path, rounds: u32) -> f64 {
    let mut file = fs::File::create(folder.join("fdatasync")).expect("the bench's own folder");
    let timer = Timer::start();
    for round in 0..rounds {
        file.write_all(&[round.to_le_bytes()[0]; 4096]).expect("a disk with room");
        file.sync_data().expect("a disk that works");
    }
    f64::from(rounds) / timer.seconds()
}

/// As the daemon asks before each commit.
pub(crate) fn free_space() -> FreeSpace {
    loopd::cli::open::free_space()
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// A folder on the disk that builds go to, since the system's temporary folder may be memory.
pub(crate) fn folder() -> tempfile::TempDir {
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
    beside
        .and_then(|path| tempfile::tempdir_in(path).ok())
        .unwrap_or_else(|| tempfile::tempdir().expect("a temporary folder"))
}
