//! What a command says: a table or a sentence for people, JSON for machines.
//!
//! The law: results go to stdout, remarks and progress to stderr. With `--json`, stdout holds JSON and nothing else.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use comfy_table::{Cell, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

/// Where a command writes, and what it was told on the command line for all commands.
#[derive(Clone, Debug)]
pub struct Out {
    config: Option<PathBuf>,
    json: bool,
    color: bool,
    verbose: u8,
}

impl Out {
    /// `color`: the person did not forbid it; it is used on a terminal only.
    pub fn new(config: Option<PathBuf>, json: bool, color: bool, verbose: u8) -> Self {
        Self { config, json, color: color && io::stdout().is_terminal(), verbose }
    }

    /// The configuration's path: as given, else `./config.toml`, else `/etc/loopd/config.toml`.
    pub fn config_path(&self) -> PathBuf {
        let (here, system) = (Path::new("config.toml"), Path::new("/etc/loopd/config.toml"));
        match &self.config {
            Some(path) => path.clone(),
            None if !here.exists() && system.exists() => system.to_owned(),
            None => here.to_owned(),
        }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// How often `-v` was given.
    pub fn verbose(&self) -> u8 {
        self.verbose
    }

    /// One JSON object on one line; only with `--json`.
    pub fn json<T: Serialize>(&self, value: &T) {
        if self.json {
            let text = serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
            write_stdout(&text);
        }
    }

    /// A line for people: nothing with `--json`.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            write_stdout(text.as_ref());
        }
    }

    /// A remark, on stderr, so that it never mixes with a result.
    pub fn note(&self, text: impl AsRef<str>) {
        // Nobody reads it any more: nothing to be done about it.
        let _ = writeln!(io::stderr(), "{}", text.as_ref());
    }

    /// A table for people: nothing with `--json`.
    pub fn table<S: AsRef<str>>(&self, head: &[&str], rows: impl IntoIterator<Item = Vec<S>>) {
        if self.json {
            return;
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        match width() {
            Some(width) => table.set_width(width),
            // Into a file or a pipe: lines as long as they are.
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(head.iter().map(|name| Cell::new(self.faint(name))));
        for row in rows {
            table.add_row(row.iter().map(|cell| Cell::new(cell.as_ref())));
        }
        write_stdout(&table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n"));
    }

    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// For what is wrong.
    pub fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }

    /// For what waits for somebody.
    pub fn yellow(&self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For what is well.
    pub fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Progress of something whose length is known (`None`: not known), on stderr, and only on a terminal.
    pub fn progress(&self, total: Option<u64>, what: &str) -> ProgressBar {
        let (bar, style) = match total {
            Some(total) => (ProgressBar::new(total), "{msg} {wide_bar} {pos}/{len} {eta}"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg} {pos}"),
        };
        if self.json || !io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar
    }

    /// Asks a question on the terminal; `None` where nobody can answer.
    pub fn ask(&self, question: &str) -> Option<String> {
        if self.json || !io::stdin().is_terminal() {
            return None;
        }
        let _ = write!(io::stderr(), "{question} ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).ok()?;
        Some(answer.trim().to_owned())
    }
}

/// A reader that went away (`loopd status | head -1`) is no error: nobody is left to be told.
fn write_stdout(text: &str) {
    if writeln!(io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// The terminal's width.
fn width() -> Option<u16> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// A text as it is, whether `--json` was given or not.
pub(super) fn write_whole(text: &[u8]) {
    if io::stdout().lock().write_all(text).is_err() {
        std::process::exit(0);
    }
}

/// How long ago, in the largest unit that says enough: `3 min`, `2 h`, `5 d`.
pub fn ago(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Bytes, for people.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A JSON value as a person would write it: no quotes around a plain text, nothing for nothing.
pub fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace('\n', " "),
        other => other.to_string(),
    };
    if text.chars().count() > 120 { format!("{}…", text.chars().take(119).collect::<String>()) } else { text }
}
