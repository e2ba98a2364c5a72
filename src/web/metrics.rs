//! `/metrics`, in Prometheus' text form. Written by hand: a dozen lines of format, and every number is read where it is
//! kept instead of being counted twice.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::Web;
use crate::ledger::{Counts, LedgerError};
use crate::report::{self, Status, status::State};

/// A scrape walks the queues; a client that asks faster than this gets the last answer.
const FRESH: TimeDelta = TimeDelta::seconds(2);

/// What is alive in the ledger is found by reading all of it, so that is done seldom, and beside the scrape.
const MEASURED: TimeDelta = TimeDelta::hours(12);

#[derive(Default)]
pub(super) struct Scraped {
    last: Mutex<Option<(DateTime<Utc>, String)>>,
    alive: Mutex<Alive>,
}

#[derive(Default)]
struct Alive {
    asked: Option<DateTime<Utc>>,
    amplification: Option<f64>,
}

/// Bytes on disk for each byte alive, as last measured.
fn amplification(web: &Arc<Web>, now: DateTime<Utc>) -> Option<f64> {
    let mut alive = web.scraped.alive.lock().unwrap_or_else(PoisonError::into_inner);
    if alive.asked.is_none_or(|asked| (now - asked).abs() > MEASURED) {
        alive.asked = Some(now);
        let web = web.clone();
        tokio::task::spawn_blocking(move || {
            let amplification = report::size(&web.house().ledger).ok().and_then(|size| size.amplification());
            web.scraped.alive.lock().unwrap_or_else(PoisonError::into_inner).amplification = amplification;
        });
    }
    alive.amplification
}

pub(super) fn text(web: &Arc<Web>) -> Result<String, LedgerError> {
    // Held while it is made, so that many scrapers cost as much as one.
    let mut last = web.scraped.last.lock().unwrap_or_else(PoisonError::into_inner);
    let house = web.house();
    let now = house.now();
    if let Some((at, text)) = &*last
        && (now - *at).abs() < FRESH
    {
        return Ok(text.clone());
    }
    let text = render(web, &report::status(&house, true)?, now);
    *last = Some((now, text.clone()));
    Ok(text)
}

/// One metric family at a time, as the format wants it.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP loopd_{name} {help}\n# TYPE loopd_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "loopd_{name}{labels} {value}");
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Never below zero: clocks jump.
fn age(now: DateTime<Utc>, since: DateTime<Utc>) -> i64 {
    (now - since).num_seconds().max(0)
}

fn render(web: &Arc<Web>, status: &Status, now: DateTime<Utc>) -> String {
    let mut page = Page(String::new());
    page.family("info", "gauge", "Which loopd this is.");
    page.sample("info", &[("version", &status.version)], 1);
    webhooks(web, &mut page);
    connections(status, now, &mut page);

    page.family("queue_items", "gauge", "Work that is queued, by lane.");
    for queue in &status.queues {
        page.sample("queue_items", &[("lane", &queue.name)], queue.items);
    }
    page.family("queue_oldest_seconds", "gauge", "How long the oldest work of a lane has been queued.");
    for queue in &status.queues {
        page.sample(
            "queue_oldest_seconds",
            &[("lane", &queue.name)],
            queue.oldest.map_or(0, |oldest| age(now, oldest)),
        );
    }
    page.family("stream_age_seconds", "gauge", "Since when a stream has not been read to its end.");
    for stream in &status.streams {
        if let Some(caught_up) = stream.caught_up {
            page.sample(
                "stream_age_seconds",
                &[("connection", &stream.connection), ("stream", &stream.name)],
                age(now, caught_up),
            );
        }
    }
    page.family("stream_records_total", "counter", "Records that a stream has brought.");
    for stream in &status.streams {
        page.sample(
            "stream_records_total",
            &[("connection", &stream.connection), ("stream", &stream.name)],
            stream.records,
        );
    }

    usage(status, &mut page);
    page.family("dead_letters", "gauge", "Records that could not pass.");
    page.sample("dead_letters", &[], status.dead);
    page.family("messages_waiting", "gauge", "Messages to customers that wait for approval.");
    page.sample("messages_waiting", &[], status.messages);
    page.family("questions_waiting", "gauge", "Conflicts that wait for a person.");
    page.sample("questions_waiting", &[], status.questions);
    page.family("ledger_bytes", "gauge", "The ledger's size on disk.");
    page.sample("ledger_bytes", &[], status.ledger_bytes);
    if let Some(amplification) = amplification(web, now) {
        page.family(
            "ledger_amplification",
            "gauge",
            "Bytes on disk for each byte alive, measured twice a day. `loopd ledger compact` brings it down.",
        );
        page.sample("ledger_amplification", &[], amplification);
    }
    page.family("disk_free_bytes", "gauge", "Room where the ledger is.");
    page.sample("disk_free_bytes", &[], (web.free)(&web.ledger_path));
    page.0
}

fn usage(status: &Status, page: &mut Page) {
    type Number = fn(&Counts) -> u64;
    let families: [(&str, &str, &str, Number); 5] = [
        ("usage_events_total", "counter", "Events that were counted.", |counts| counts.events),
        ("usage_duplicates_total", "counter", "Events that had been counted before.", |counts| counts.duplicates),
        ("usage_unplaced_total", "counter", "Events whose account was not known when they came.", |counts| {
            counts.unplaced
        }),
        ("usage_totals_total", "counter", "Numbers that a vendor had added up.", |counts| counts.totals),
        ("usage_people", "gauge", "People of whom something is remembered.", |counts| counts.people),
    ];
    for (name, kind, help, number) in families.into_iter().filter(|_| !status.usage.is_empty()) {
        page.family(name, kind, help);
        for (connection, counts) in &status.usage {
            page.sample(name, &[("connection", connection)], number(counts));
        }
    }
}

fn webhooks(web: &Web, page: &mut Page) {
    page.family("webhooks_received_total", "counter", "Webhooks that were put on disk and acknowledged.");
    for (connection, count) in &*web.counts.received.lock().unwrap_or_else(PoisonError::into_inner) {
        page.sample("webhooks_received_total", &[("connection", connection)], count);
    }
    page.family("webhooks_refused_total", "counter", "Webhooks that were refused, by reason.");
    for ((connection, reason), count) in &*web.counts.refused.lock().unwrap_or_else(PoisonError::into_inner) {
        page.sample("webhooks_refused_total", &[("connection", connection), ("reason", reason)], count);
    }
}

fn connections(status: &Status, now: DateTime<Utc>, page: &mut Page) {
    page.family("connection_up", "gauge", "1: the connection found what the mappings name, and is not locked.");
    for connection in &status.connections {
        let up = u8::from(connection.state == State::Attached);
        page.sample("connection_up", &[("connection", &connection.name), ("kind", &connection.kind)], up);
    }
    page.family("calls_total", "counter", "Calls to the vendor since the configuration was loaded.");
    for connection in &status.connections {
        page.sample("calls_total", &[("connection", &connection.name)], connection.calls);
    }
    page.family("throttled_total", "counter", "Calls that the vendor answered with: too many.");
    for connection in &status.connections {
        page.sample("throttled_total", &[("connection", &connection.name)], connection.throttled);
    }
    page.family("condition_seconds", "gauge", "Since when something is wrong, by connection and name.");
    let own = status
        .connections
        .iter()
        .flat_map(|open| open.conditions.iter().map(|condition| (open.name.as_str(), condition)));
    for (connection, condition) in own.chain(status.conditions.iter().map(|condition| ("", condition))) {
        let stops = if condition.stops { "true" } else { "false" };
        let labels = [("connection", connection), ("name", condition.name.as_str()), ("stops", stops)];
        page.sample("condition_seconds", &labels, age(now, condition.since));
    }
}
