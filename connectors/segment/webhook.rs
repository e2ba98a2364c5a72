//! Whose a request is, and what is in it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chrono::{DateTime, Utc};
use http::header;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Segment;
use super::event::{Around, instant, take};
use crate::{Delivery, Refusal, Reply, Request, Webhook, signature};

/// The largest request, in bytes, and the most events in one ("HTTP API", Max request size; read 2026-11-23).
const LARGEST: usize = 500 * 1024;
const MOST: usize = 2500;

/// The paths of Segment's own SDKs: the long ones of the HTTP API, the short ones of browsers and telephones.
const PATHS: [(&str, Option<&str>); 15] = [
    ("/v1/track", Some("track")),
    ("/v1/t", Some("track")),
    ("/v1/identify", Some("identify")),
    ("/v1/i", Some("identify")),
    ("/v1/group", Some("group")),
    ("/v1/g", Some("group")),
    ("/v1/page", Some("page")),
    ("/v1/p", Some("page")),
    ("/v1/screen", Some("screen")),
    ("/v1/s", Some("screen")),
    ("/v1/alias", Some("alias")),
    ("/v1/a", Some("alias")),
    ("/v1/batch", None),
    ("/v1/b", None),
    ("/v1/import", None),
];

static PATH_NAMES: [&str; PATHS.len()] = {
    let mut names = [""; PATHS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = PATHS[at].0;
        at += 1;
    }
    names
};

/// A request's body: a batch, or one call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(default, borrow)]
    batch: Option<Vec<&'a RawValue>>,
    #[serde(default, deserialize_with = "instant")]
    sent_at: Option<DateTime<Utc>>,
    #[serde(default, borrow)]
    context: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    #[serde(default)]
    write_key: Option<String>,
}

impl Webhook for Segment {
    /// At the connection's own path: a sender that can be told a URL, with the write key or with the signature of Segment's
    /// webhook destination.
    fn open(&self, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        if !self.has_key(raw) {
            self.verify(raw)?;
        }
        self.read(None, raw, now)
    }

    fn fixed_paths(&self) -> &'static [&'static str] {
        &PATH_NAMES
    }

    fn is_ours(&self, _path: &str, raw: Request<'_>) -> bool {
        self.has_key(raw)
    }

    fn open_at(&self, path: &str, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        if !self.has_key(raw) {
            return Err(Refusal::Forged("the write key is another"));
        }
        let kind = PATHS.iter().find(|(known, _)| *known == path).and_then(|(_, kind)| *kind);
        self.read(kind, raw, now)
    }
}

impl Segment {
    /// As the user name of the Basic scheme, or as `writeKey` in the body.
    fn has_key(&self, raw: Request<'_>) -> bool {
        let basic = raw.headers.get(header::AUTHORIZATION).and_then(|value| basic(value.to_str().ok()?));
        // Some write an empty name, and the key in the body.
        let basic = basic.filter(|key| !key.trim().is_empty());
        let key = basic.or_else(|| serde_json::from_slice::<Named>(raw.body).ok()?.write_key);
        // Digests are compared: how long that takes says nothing of the keys.
        key.is_some_and(|key| {
            let given = Sha256::digest(key.trim());
            self.keys.iter().any(|known| Sha256::digest(known.expose_secret()) == given)
        })
    }

    /// Segment's webhook destination signs with HMAC-SHA1 ("Webhooks Destination", read 2026-11-23). Of a batch it signs the
    /// first event only, so that anybody could put others behind it: such a batch is refused.
    fn verify(&self, raw: Request<'_>) -> Result<(), Refusal> {
        let Some(claimed) = raw.headers.get("x-signature").and_then(|value| value.to_str().ok()) else {
            return Err(Refusal::Forged("neither the write key nor a signature"));
        };
        let secret = self.webhook_secret.as_ref().ok_or(Refusal::NotReady("webhook_secret is not set"))?;
        if raw.body.trim_ascii_start().starts_with(b"[") {
            return Err(Refusal::Forged("of a batch only the first event is signed: set its batch size to 1"));
        }
        if !signature::sha1_hex(secret.expose_secret().as_bytes(), raw.body, claimed) {
            return Err(Refusal::Forged("the signature is another"));
        }
        Ok(())
    }

    fn read(&self, kind: Option<&str>, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        if raw.body.len() > LARGEST {
            return Err(Refusal::Malformed("the request is larger than 500 KB".into()));
        }
        // serde's message may quote the body: its kind and place are enough.
        let broken = |error: serde_json::Error| {
            let (line, column) = (error.line(), error.column());
            Refusal::Malformed(format!("malformed JSON ({:?} at line {line} column {column})", error.classify()))
        };
        let text =
            std::str::from_utf8(raw.body).map_err(|_| Refusal::Malformed("malformed JSON (not UTF-8)".into()))?;
        let whole: &RawValue = serde_json::from_str(text).map_err(broken)?;
        let mut delivery = Delivery { id: String::new(), reply: Some(success()), ..Delivery::default() };
        if whole.get().starts_with('[') {
            let several: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
            self.read_batch(&several, Around::default(), now, &mut delivery)?;
            return Ok(delivery);
        }
        let body: Body<'_> = serde_json::from_str(text).map_err(broken)?;
        let around = Around { sent_at: body.sent_at, context: body.context };
        match (body.batch, kind) {
            (Some(batch), None) => self.read_batch(&batch, around, now, &mut delivery)?,
            // One call: what is wrong with it is wrong with the request.
            (_, kind) => take(whole, kind, around, &self.settings, now, &mut delivery)
                .map_err(|why| Refusal::Malformed(why.into()))?,
        }
        Ok(delivery)
    }

    fn read_batch(
        &self,
        batch: &[&RawValue],
        around: Around<'_>,
        now: DateTime<Utc>,
        delivery: &mut Delivery,
    ) -> Result<(), Refusal> {
        if batch.len() > MOST {
            return Err(Refusal::Malformed(format!("{} events in one batch: {MOST} are allowed", batch.len())));
        }
        let (mut left_out, mut first) = (0, None);
        for raw in batch {
            if let Err(why) = take(raw, None, around, &self.settings, now, delivery) {
                left_out += 1;
                first.get_or_insert(why);
            }
        }
        delivery.notice = first.map(|why| {
            let (size, plural) = (batch.len(), if left_out == 1 { "event was" } else { "events were" });
            format!("of a batch of {size}, {left_out} {plural} left out, the first because {why}")
        });
        Ok(())
    }
}

fn basic(value: &str) -> Option<String> {
    let (scheme, code) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let code = code.trim();
    let bytes = STANDARD.decode(code).or_else(|_| STANDARD_NO_PAD.decode(code)).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.split_once(':').map_or(text.clone(), |(user, _)| user.to_owned()))
}

fn success() -> Reply {
    Reply { content_type: "application/json", body: "{\"success\":true}".into(), names: None }
}
