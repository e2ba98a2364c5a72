//! In-app: what people say inside our own product, sent to us by its pages and servers. There is no vendor here: the
//! interface is ours, and `openapi.json` in this folder is its description.
//!
//! | what | where |
//! |---|---|
//! | something is said | `POST /v1/feedback` |
//! | the link, the thumbs and the form for pages | `GET /v1/widget.js` |
//! | the description of all this | `GET /v1/openapi.json` |
//!
//! A key is public: it stands in the page's source. It opens one thing, adding; it is bound to origins and to rates, and
//! can be replaced while the old one still works. Nothing that comes is believed to be from whom it says.
//!
//! A record's body is what was sent, checked, without its key: `kind`, `text`, `rating`, `task`, `feature`, `query`,
//! `reason`, `error`, `at`, `url`, `page_title`, `app_version`, `locale`, `user`, `account`, `metadata`; and `product`, where the
//! connection says which one it is. Its id is the idempotency key, so that a repeat is the same record.

mod said;
mod settings;
mod table;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::said::Said;
use self::settings::Settings;
use crate::public::{Asset, Bounds, Origins};
use crate::{
    CollectionSpec, Connector, Delivery, Fault, Fields, Identity, Key, Outside, Public, Record, Refusal, Reply,
    Request, SecretSpec, Secrets, SettingsError, Shape, Webhook,
};

const COLLECTION: &str = "feedback";
const PATHS: &[&str] = &["/v1/feedback"];
const ASSETS: &[Asset] = &[
    Asset { path: "/v1/widget.js", content_type: "text/javascript; charset=utf-8", body: include_str!("widget.js") },
    Asset { path: "/v1/openapi.json", content_type: "application/json", body: include_str!("openapi.json") },
];
const KEY_HEADER: &str = "x-loopd-key";
const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// What is answered; the short id is the engine's to put in.
const ACCEPTED: &str = r#"{"id":"{id}","status":"accepted"}"#;

/// None: a key that stands in a page is no secret.
pub const SECRETS: &[SecretSpec] = &[];

pub struct App {
    settings: Settings,
}

/// Opens a connection; there is nobody to call.
///
/// # Errors
/// Settings of another shape, or no key.
pub fn open(settings: &Value, _secrets: &Secrets, _outside: &Outside) -> Result<App, SettingsError> {
    Ok(App { settings: Settings::parse(settings)? })
}

#[async_trait]
impl Connector for App {
    fn collections(&self) -> Vec<CollectionSpec> {
        vec![CollectionSpec { name: COLLECTION.into(), fields: Fields::Open, writable: false, creatable: false }]
    }

    /// Of no meaning: nobody is called.
    async fn probe(&self) -> Result<Identity, Fault> {
        let origins = self.settings.origins();
        let mut notes = Vec::new();
        if origins.is_any() {
            notes.push("origins holds \"*\": any page on the web may send with this key".to_owned());
        } else if origins.is_empty() {
            notes.push("origins is empty: no browser may send, only servers and native apps".to_owned());
        }
        Ok(Identity {
            account: self.settings.keys()[0].clone(),
            name: self.settings.product.clone().unwrap_or_else(|| "an app of ours".into()),
            scopes: vec!["add feedback".into()],
            notes,
        })
    }

    async fn attach(&self, _: &Shape, _: Option<&str>, _: Option<&Value>) -> Result<Value, Fault> {
        Ok(Value::Null)
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
}

impl Webhook for App {
    fn open(&self, raw: Request<'_>, now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let header = |name: &str| raw.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        if !is_text(header("content-type").unwrap_or_default()) {
            return Err(Refusal::ContentType);
        }
        let key = self.key(raw).ok_or(Refusal::Forged("no key"))?;
        if !self.settings.keys().contains(&key) {
            return Err(Refusal::Forged("the key is not one of this connection"));
        }
        let mut said = Said::read(&json(raw.body)?, now)?;
        let id = match idempotency(header(IDEMPOTENCY_HEADER), said.idempotency_key.take())? {
            Some(key) => key,
            None => unnamed(raw.body, said.body.get("at"), now),
        };
        let url = said.body.get("url").and_then(Value::as_str).map(|url| self.settings.shown(url).to_owned());
        if let Some(url) = &url {
            said.body.insert("url".into(), url.clone().into());
        }
        if let Some(product) = &self.settings.product {
            said.body.insert("product".into(), product.clone().into());
        }
        let key = Key::new(COLLECTION, id.clone());
        Ok(Delivery {
            id,
            records: vec![Record {
                key: key.clone(),
                version: None,
                body: Some(Value::Object(said.body)),
                url: url.filter(|url| self.settings.origins().admits_page(url)),
                edits: Vec::new(),
            }],
            reply: Some(Reply { content_type: "application/json", body: ACCEPTED.into(), names: Some(key) }),
            ..Delivery::default()
        })
    }

    fn public(&self) -> Option<&dyn Public> {
        Some(self)
    }
}

impl Public for App {
    fn paths(&self) -> &'static [&'static str] {
        PATHS
    }

    fn assets(&self) -> &'static [Asset] {
        ASSETS
    }

    fn headers(&self) -> &'static str {
        "content-type, idempotency-key, x-loopd-key"
    }

    /// In the header, or in the body: a beacon can set no header.
    fn key(&self, raw: Request<'_>) -> Option<String> {
        #[derive(Deserialize)]
        struct Keyed {
            key: Option<String>,
        }
        if let Some(key) = raw.headers.get(KEY_HEADER) {
            return key.to_str().ok().map(|key| key.trim().to_owned());
        }
        let keyed: Keyed = match serde_json::from_slice(raw.body) {
            Ok(keyed) => keyed,
            Err(_) => serde_json::from_slice(&paired(raw.body)?).ok()?,
        };
        keyed.key
    }

    fn keys(&self) -> &[String] {
        self.settings.keys()
    }

    fn origins(&self) -> &Origins {
        self.settings.origins()
    }

    fn takes_servers(&self) -> bool {
        !self.settings.require_origin
    }

    fn bounds(&self) -> &Bounds {
        self.settings.bounds()
    }
}

/// JSON, or what a beacon calls it: `text/plain` for a string, nothing for a Blob without a type.
fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.is_empty() || kind == "application/json" || kind == "text/plain" || kind.ends_with("+json")
}

fn json(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).or_else(|error| {
        let again = paired(body).and_then(|body| serde_json::from_slice(&body).ok());
        again.ok_or_else(|| Refusal::Malformed(format!("not JSON at line {} column {}", error.line(), error.column())))
    })
}

/// JavaScript cuts a text in the middle of an emoji and sends the half as `\ud83d`, which is no character. A text must not
/// be lost by that: halves become U+FFFD. `None`: there are none, so something else is wrong.
fn paired(body: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| {
        let digits = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut mended, mut at, mut halves) = (Vec::with_capacity(body.len()), 0, 0);
    while at < body.len() {
        let length = match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                halves += 1;
                mended.extend(b"\\ufffd");
                at += 6;
                continue;
            }
            // An escaped backslash does not begin an escape.
            (None, _) if body[at] == b'\\' => 2,
            _ => 1,
        };
        mended.extend(&body[at..body.len().min(at + length)]);
        at += length;
    }
    (halves > 0).then_some(mended)
}

/// The one name of this piece, from the header or the body. The draft for the header
/// (draft-ietf-httpapi-idempotency-key-header, read 2026-11-23) puts it between quotes; most clients do not.
fn idempotency(header: Option<&str>, body: Option<String>) -> Result<Option<String>, Refusal> {
    let unquoted = header.map(|text| text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text));
    let header = unquoted.filter(|text| !text.is_empty()).map(str::to_owned);
    if let (Some(header), Some(body)) = (&header, &body)
        && header != body
    {
        return Err(Refusal::Invalid {
            field: "idempotency_key".into(),
            why: "differs from the Idempotency-Key header".into(),
            mend: "send one of them, or the same in both".into(),
        });
    }
    let Some(key) = header.or(body) else { return Ok(None) };
    if key.len() > 200 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::Invalid {
            field: "idempotency_key".into(),
            why: "is not 1 to 200 letters, digits and signs without spaces".into(),
            mend: "use a UUID".into(),
        });
    }
    Ok(Some(key))
}

/// Without a key of its own, a piece that says when it was said is known by its bytes, and one that does not is new each
/// time.
fn unnamed(body: &[u8], at: Option<&Value>, now: DateTime<Utc>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(body);
    if at.is_none() {
        hasher.update(now.timestamp_nanos_opt().unwrap_or_default().to_be_bytes());
    }
    let digest = hasher.finalize();
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("n-{hex}")
}
