//! What the log says and how: for people on a terminal, JSON otherwise, always on stderr.
//!
//! The law: no line holds a body, a secret, or a customer's words. Ids and counts are enough to find the rest.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Overrides `log.filter` of the configuration.
const VARIABLE: &str = "LOOPD_LOG";

#[derive(Debug, Error)]
pub enum TelemetryError {
    #[error("{place}: {filter:?} is no log filter: {why} (write `info`, or `info,loopd::sync=debug`)")]
    Filter { place: &'static str, filter: String, why: String },
    #[error("the log is set up already")]
    Twice,
}

/// Starts the log. `verbose` counts `-v`: once for debug of our own, twice for everything.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(config: &LogConfig, verbose: u8) -> Result<(), TelemetryError> {
    let (place, text) = match (verbose, std::env::var(VARIABLE)) {
        (0, Ok(text)) if !text.is_empty() => (VARIABLE, text),
        (0, _) => ("log.filter", config.filter.clone()),
        (1, _) => ("-v", "info,loopd=debug,connectors=debug".to_owned()),
        _ => ("-vv", "debug,loopd=trace,connectors=trace,sled=info".to_owned()),
    };
    let filter = EnvFilter::try_new(&text).map_err(|error| TelemetryError::Filter {
        place,
        filter: text,
        why: error.to_string(),
    })?;
    let terminal = std::io::stderr().is_terminal();
    let human = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if human {
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        log.with_ansi(color).with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    started.map_err(|_| TelemetryError::Twice)
}
