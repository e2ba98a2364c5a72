//! Trial: the examples of every mapping, through the sandbox's vendors and back.
//!
//! `loopd check` runs examples through the mapping alone. Here what a mapping makes goes over HTTP to a stand-in and is
//! read back: a field that the vendor would refuse, cut or store otherwise shows before any real record meets it.

use std::collections::BTreeMap;
use std::path::Path;

use connectors::{Connector, Cursor, Fault, Next, Record, Shape, Sink, TagChange, Write, Written};
use sandbox::World;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::{Config, SHIPPED, World as Machine};
use crate::house::House;
use crate::mapping::{Compiled, Example, FromMapping, IntoMapping, Mapping, Wanted, compile, run_examples};
use crate::pause::{Pause, patiently};
use crate::schema::EntityId;

/// One example, or one real record of the sandbox, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    pub mapping: String,
    pub example: String,
    /// Empty: it holds.
    pub wrong: Vec<String>,
    /// Fields that went there and came back.
    pub fields: usize,
}

/// A repository and a form that the trial's sandbox has.
pub const REPO: &str = "example-org/trial";
const FORM: &str = crate::demo::FORM;

/// The texts of the mappings that a configuration uses.
pub fn files(config: &Config, machine: &dyn Machine) -> BTreeMap<String, String> {
    let names =
        config.mappings.from.iter().map(|from| &from.file).chain(config.mappings.into.iter().map(|into| &into.file));
    let mut files = BTreeMap::new();
    for name in names {
        let last = Path::new(name).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let shipped = SHIPPED
            .iter()
            .find(|(shipped, _)| *shipped == last && name.starts_with("mappings/"))
            .map(|(_, text)| (*text).to_owned());
        if let Some(text) = machine.read(Path::new(name)).ok().or(shipped) {
            files.insert(name.clone(), text);
        }
    }
    files
}

/// The texts of all mappings that loopd ships, those among them that wait for a route.
pub fn shipped() -> BTreeMap<String, String> {
    SHIPPED.iter().map(|(name, text)| (format!("mappings/{name}"), (*text).to_owned())).collect()
}

/// Runs every example. `vendors`: a house whose connections are the sandbox's, by kind.
pub async fn run(
    config: &Config,
    files: &BTreeMap<String, String>,
    vendors: &House,
    world: &World,
    pause: &dyn Pause,
) -> Vec<Tried> {
    let mut tried = Vec::new();
    let there = people(world);
    for (file, text) in files {
        let compiled = match compile(file, text) {
            Ok(compiled) => compiled,
            Err(problems) => {
                tried.push(Tried {
                    mapping: file.clone(),
                    example: "-".into(),
                    wrong: problems.iter().map(ToString::to_string).collect(),
                    fields: 0,
                });
                continue;
            }
        };
        let alone: Vec<String> = run_examples(&compiled).iter().map(ToString::to_string).collect();
        let own = |wrong| Tried { mapping: file.clone(), example: examples(&compiled), wrong, fields: 0 };
        if !alone.is_empty() {
            tried.push(own(alone));
            continue;
        }
        let named = match &compiled.mapping {
            Mapping::From(from) => &from.connection,
            Mapping::Into(into) => &into.connection,
        };
        let kind = config.connections.get(named).map_or(named.as_str(), |connection| connection.kind.name());
        // What is only sent to us, and what no stand-in gives when it is asked, is tried by its examples alone.
        let Some(open) = vendors.connections.get(kind) else {
            tried.push(own(Vec::new()));
            continue;
        };
        let connector = &*open.connector;
        match &compiled.mapping {
            Mapping::From(from) => {
                tried.push(reads(file, from, connector, pause).await.unwrap_or_else(|| own(Vec::new())));
            }
            Mapping::Into(into) => {
                let there = there.get(kind).map(String::as_str);
                tried.extend(writes(file, into, &compiled, config, connector, there, pause).await);
            }
        }
    }
    tried
}

fn examples(compiled: &Compiled) -> String {
    match compiled.examples.len() {
        0 => "it has no example".into(),
        1 => "its example, on its own".into(),
        some => format!("its {some} examples, on their own"),
    }
}

/// Somebody says something everywhere, so that there is a record to read. By kind, a record of what loopd never makes.
fn people(world: &World) -> BTreeMap<&'static str, String> {
    world.github(|github, cx| {
        let new = sandbox::github::NewIssue {
            title: "It stops",
            body: Some("It stops after a minute."),
            author: "ada-example",
            ..Default::default()
        };
        if let Some(number) = github.open_issue(REPO, &new, cx) {
            github.comment(REPO, number, "ben-example", "Here, too.", cx);
        }
    });
    world.intercom(|intercom, cx| {
        let new = sandbox::intercom::NewCompany {
            name: "Lumen Example",
            company_id: "lumen-1",
            website: Some("https://lumen.example.com"),
            ..Default::default()
        };
        let company = intercom.add_company(&new, cx);
        let contact = intercom.add_contact("Ada Example", "ada@lumen.example.com", Some(&company), cx);
        intercom.open_conversation(&contact, "Exports", "<p>Exports fail.</p>", None, cx);
    });
    world.slack(|slack, cx| {
        let channel = slack.add_channel("ext-lumen", false, cx);
        let user = slack.add_guest("ada", "ada@lumen.example.com", cx);
        let said = slack.say(&channel, &user, "Exports stop after a thousand rows.", cx);
        slack.react(&channel, &said, &user, "bug", cx);
    });
    world.granola(|granola, cx| {
        let call = sandbox::granola::NewCall {
            title: "Lumen weekly",
            people: &[("Bo Agent", "bo@ours.example.com"), ("Ada Example", "ada@lumen.example.com")],
            said: &[("me", "How is it going?"), ("them", "Exports take all night.")],
            ..Default::default()
        };
        granola.call(&call, "Exports are slow.", cx)
    });
    world.typeform(|typeform, cx| {
        let new = sandbox::typeform::NewResponse {
            answers: &[("nps", json!(3)), ("why", json!("Exports are slow."))],
            hidden: &[("email", "ada@lumen.example.com")],
            ..Default::default()
        };
        typeform.respond(FORM, &new, cx)
    });
    let account = world.salesforce(|salesforce, cx| {
        let text = json!({"type": "LongTextArea", "length": 32768, "visibleLines": 3, "label": "Wants"});
        salesforce.add_field(cx, "Opportunity", "Loopd_Wants__c", &text);
        let cells = json!({"Name": "Lumen Example", "Website": "https://lumen.example.com", "Type": "Customer - Direct"});
        let account = salesforce.create(cx, "Account", &cells);
        let deal = json!({"Name": "Lumen renewal", "StageName": "Prospecting", "AccountId": account, "CloseDate": "2027-01-31",
                          "Loopd_Wants__c": "Exports of more than a thousand rows."});
        salesforce.create(cx, "Opportunity", &deal);
        account
    });
    BTreeMap::from([("github", format!("{REPO}#1")), ("salesforce", account)])
}

/// The records that the vendor really gives, drawn by the mapping. `None`: asking gives none (a command that is only sent to us).
async fn reads(file: &str, from: &FromMapping, connector: &dyn Connector, pause: &dyn Pause) -> Option<Tried> {
    let mut tried = Tried {
        mapping: file.to_owned(),
        example: format!("a {} of the sandbox", from.collection),
        wrong: Vec::new(),
        fields: 0,
    };
    let records = match pull(from, connector, pause).await {
        Ok(records) => records,
        Err(fault) => {
            tried.wrong.push(format!("it cannot be read: {fault}"));
            return Some(tried);
        }
    };
    if records.is_empty() {
        return None;
    }
    for record in &records {
        match record.body.as_ref().map(|body| from.draw(body)) {
            Some(Ok(drawn)) => {
                tried.fields = tried.fields.max(drawn.fields.values().filter(|value| !value.is_null()).count());
            }
            Some(Err(error)) => tried.wrong.push(error.to_string()),
            None => {}
        }
    }
    if tried.wrong.is_empty() && tried.fields == 0 {
        tried.wrong.push("nothing of it is drawn".into());
    }
    Some(tried)
}

async fn pull(from: &FromMapping, connector: &dyn Connector, pause: &dyn Pause) -> Result<Vec<Record>, Fault> {
    let Some(source) = connector.source() else { return Ok(Vec::new()) };
    let shape = Shape::default();
    patiently(pause, || connector.attach(&shape, None, None)).await?;
    let mut records = Vec::new();
    for stream in source.streams() {
        let mut after: Option<Cursor> = None;
        loop {
            let page = patiently(pause, || source.pull(&stream.name, after.as_ref())).await?;
            records.extend(page.records.into_iter().filter(|record| record.key.collection == from.collection));
            match page.next {
                Next::More(next) => after = Some(next),
                Next::CaughtUp(_) => break,
            }
        }
    }
    Ok(records)
}

async fn writes(
    file: &str,
    into: &IntoMapping,
    compiled: &Compiled,
    config: &Config,
    connector: &dyn Connector,
    there: Option<&str>,
    pause: &dyn Pause,
) -> Vec<Tried> {
    let whole =
        |wrong: String| vec![Tried { mapping: file.to_owned(), example: "-".into(), wrong: vec![wrong], fields: 0 }];
    if connector.sink().is_none() {
        return whole("nothing can be written there".into());
    }
    let shape = config.mappings.shape(&into.connection);
    let prepared = async {
        if let Some(setup) = connector.setup() {
            for change in
                patiently(pause, || setup.plan(&shape)).await?.iter().filter(|change| change.by_hand.is_none())
            {
                patiently(pause, || setup.apply(change)).await?;
            }
        }
        patiently(pause, || connector.attach(&shape, None, None)).await
    };
    if let Err(fault) = prepared.await {
        return whole(format!("its tables and labels cannot be made: {fault}"));
    }
    if !connector.collections().iter().any(|spec| spec.name == into.collection) {
        // One that only this configuration's connection has.
        return vec![Tried { mapping: file.to_owned(), example: examples(compiled), wrong: Vec::new(), fields: 0 }];
    }
    let mut tried = Vec::new();
    for (at, example) in compiled.examples.iter().enumerate() {
        if example.expect.contains_key("error") {
            continue;
        }
        let mut one = Tried { mapping: file.to_owned(), example: example.name.clone(), wrong: Vec::new(), fields: 0 };
        match there_and_back(into, example, at, connector, there, pause).await {
            Ok((fields, wrong)) => (one.fields, one.wrong) = (fields, wrong),
            Err(why) => one.wrong.push(why),
        }
        tried.push(one);
    }
    tried
}

async fn there_and_back(
    into: &IntoMapping,
    example: &Example,
    at: usize,
    connector: &dyn Connector,
    there: Option<&str>,
    pause: &dyn Pause,
) -> Result<(usize, Vec<String>), String> {
    let sink = connector.sink().ok_or("nothing can be written there")?;
    let makes = |collection: &str| connector.collections().iter().any(|spec| spec.name == collection && spec.creatable);
    let wanted = into.desire(&example.given).map_err(|error| error.to_string())?;
    let mine = EntityId::derive("trial", &into.collection, &format!("{} {at}", example.name)).to_string();
    let mut write = Write { external_id: mine, target: None, fields: Map::new(), tags: BTreeMap::new() };
    for (name, wanted) in &wanted {
        let value = match wanted {
            Wanted::Value(value) => value.clone(),
            Wanted::Links { collection, ids } => {
                let mut linked = Vec::new();
                for id in ids {
                    match (collection.as_deref(), there) {
                        (Some(collection), Some(there)) if !makes(collection) => linked.push(there.to_owned()),
                        (collection, _) => linked.extend(bare(collection, *id, sink, pause).await?),
                    }
                }
                Value::from(linked)
            }
            Wanted::Tags(tags) => {
                write.tags.insert(name.clone(), TagChange { add: tags.iter().cloned().collect(), remove: Vec::new() });
                continue;
            }
        };
        let value = sink.canonical(&into.collection, name, value);
        if !value.is_null() {
            write.fields.insert(name.clone(), value);
        }
    }
    if !makes(&into.collection) {
        // It only changes what is there (labels of an issue, fields of an account).
        write.target = Some(there.ok_or("the sandbox has no record of this kind")?.to_owned());
        if write.fields.is_empty() && write.tags.values().all(|change| change.add.is_empty()) {
            return Ok((0, Vec::new()));
        }
    }
    let id = match stored(&into.collection, &write, sink, pause).await {
        Ok(id) => id,
        // What the example leaves empty, the vendor cannot do without: no such record is ever made there.
        Err(Fault::Rejected { field: Some(field), .. })
            if into.fields.contains_key(&field) && !write.fields.contains_key(&field) =>
        {
            return Ok((0, Vec::new()));
        }
        Err(fault) => return Err(fault.to_string()),
    };
    let there = patiently(pause, || sink.read(&into.collection, std::slice::from_ref(&id)))
        .await
        .map_err(|fault| fault.to_string())?;
    let body =
        there.into_iter().next().and_then(|record| record.body).ok_or("it was written and cannot be read back")?;
    let mut wrong = Vec::new();
    for (name, sent) in &write.fields {
        let back = sink.canonical(&into.collection, name, body.get(name).cloned().unwrap_or_default());
        if back != *sent {
            wrong.push(format!("{name} went there as {}, and came back as {}", brief(sent), brief(&back)));
        }
    }
    for (name, change) in &write.tags {
        let back: Vec<String> = body
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_lowercase)
            .collect();
        let lost: Vec<&String> = change.add.iter().filter(|tag| !back.contains(&tag.to_lowercase())).collect();
        if !lost.is_empty() {
            wrong.push(format!("{name}: {lost:?} did not stay"));
        }
    }
    Ok((write.fields.len() + write.tags.len(), wrong))
}

/// The record of another entity, as little as the vendor takes.
async fn bare(
    collection: Option<&str>,
    id: EntityId,
    sink: &dyn Sink,
    pause: &dyn Pause,
) -> Result<Option<String>, String> {
    let Some(collection) = collection else { return Ok(None) };
    let mut why = String::new();
    for fields in [json!({}), json!({ "title": "linked" }), json!({ "name": "linked" })] {
        let fields = fields.as_object().cloned().unwrap_or_default();
        let write = Write { external_id: id.to_string(), target: None, fields, tags: BTreeMap::new() };
        match stored(collection, &write, sink, pause).await {
            Ok(id) => return Ok(Some(id)),
            Err(refused) => why = refused.to_string(),
        }
    }
    Err(format!("the {collection} that it links to cannot be made: {why}"))
}

async fn stored(collection: &str, write: &Write, sink: &dyn Sink, pause: &dyn Pause) -> Result<String, Fault> {
    let one = || async {
        let verdict = sink.write(collection, std::slice::from_ref(write)).await.into_iter().next();
        verdict.unwrap_or_else(|| Err(Fault::unknown("no verdict")))
    };
    match patiently(pause, one).await? {
        Written::Stored(receipt) if receipt.skipped.is_empty() => Ok(receipt.id),
        Written::Stored(receipt) => {
            let skipped = receipt.skipped.iter().map(|(field, why)| format!("{field} is left out: {why}"));
            Err(Fault::rejected(skipped.collect::<Vec<_>>().join("; ")))
        }
        Written::Gone => Err(Fault::rejected("the record is gone")),
    }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 80 { format!("{}…", text.chars().take(79).collect::<String>()) } else { text }
}
