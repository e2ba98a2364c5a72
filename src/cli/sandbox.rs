//! `loopd sandbox`: stand-ins for the vendors on loopback ports, for any client: loopd itself, an SDK, curl.

use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use connectors::Clock;
use connectors::clock::SystemClock;
use sandbox::granola::NewCall;
use sandbox::typeform::NewResponse;
use sandbox::{Faults, Ports, Served, Vendor, World, serve};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::{Exit, Out, Told};
use crate::demo;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Decides ids, and which call meets which fault
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What goes wrong and how often: `fail_before=0.05,fail_after=0.05,slow=0.1:2000,webhook_drop=0.1`
    #[arg(long, default_value = "", value_name = "SPEC")]
    faults: Faults,
    /// Where a vendor listens, `airtable=9103,linear=9104`; the others on any free port
    #[arg(long, value_name = "VENDOR=PORT", value_delimiter = ',', value_parser = ports)]
    ports: Vec<(Vendor, u16)>,
    /// Also write a configuration into this folder with which loopd works on it, and its secrets
    #[arg(long, value_name = "FOLDER")]
    init: Option<PathBuf>,
    /// End by itself after so many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// What is there from the start, besides what each stand-in brings along.
const REPO: &str = "example/app";
const BASE: &str = "appSandbox0000001";
const FORM: &str = "sBxF0rm";

fn ports(text: &str) -> Result<(Vendor, u16), String> {
    let (name, port) = text.split_once('=').ok_or("write VENDOR=PORT: airtable=9103")?;
    let vendor = Vendor::ALL.into_iter().find(|vendor| vendor.name() == name.trim());
    let vendor = vendor.ok_or_else(|| format!("there are {}", Vendor::ALL.map(Vendor::name).join(", ")))?;
    Ok((vendor, port.trim().parse().map_err(|_| format!("{port} is no port"))?))
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let clock = SystemClock::new();
    let world = World::new(args.seed, Arc::new(move || clock.now()));
    world.github(|desk, cx| desk.create_repo(REPO, cx));
    world.airtable(|desk, cx| desk.create_base(cx, BASE, "Sandbox"));
    survey(&world);
    calls(&world);
    world.set_faults(args.faults);
    let mut ended = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ports = args.ports.into_iter().collect::<Ports>();
    let served = serve(world.clone(), &ports).await.context("the ports cannot be listened on")?;
    let config = args.init.map(|folder| connect(&world, &served, &folder)).transpose()?;
    show(&served, args.seed, config.as_deref(), out);
    let wait = async {
        match args.seconds {
            Some(seconds) => drop(timeout(Duration::from_secs(seconds), pending::<()>()).await),
            None => pending().await,
        }
    };
    tokio::select! {
        () = wait => {}
        _ = ended.0.recv() => {}
        _ = ended.1.recv() => {}
    }
    served.shutdown().await;
    Ok(Exit::Done)
}

/// Where the daemon of `--init` listens, as everywhere.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);

/// Writes a configuration for it. BigQuery and GA4 are left out: they want a key of one's own.
fn connect(world: &World, served: &Served, folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.join("config.toml").exists() {
        let text = format!("error: {} holds a config.toml already\n  = name another folder", folder.display());
        return Err(Told::usage(text).into());
    }
    let names =
        demo::Names { repos: vec![REPO.into()], base: BASE.into(), form: FORM.into(), ..demo::Names::default() };
    let vendors: Vec<Vendor> = demo::STAGED.into_iter().chain([Vendor::PostHog]).collect();
    demo::call_back(world, LISTEN, &names);
    demo::write_config(folder, served, LISTEN, &vendors, &names)
}

/// A form that more people have answered than one page holds.
fn survey(world: &World) {
    let questions = json!([
        {"ref": "nps", "type": "nps", "title": "How likely are you to recommend us?"},
        {"ref": "why", "type": "long_text", "title": "Why?"},
    ]);
    let now = world.now();
    world.typeform(|desk, cx| {
        desk.add_form(FORM, "Sandbox survey", &questions, &["company", "email"], cx);
        for at in 0..1100_u32 {
            let answers = [("nps", json!(at % 11)), ("why", json!(format!("Reason {at}.")))];
            let new = NewResponse {
                answers: &answers,
                hidden: &[("company", "Lumen Example"), ("email", "ada@lumen.example.com")],
                at: Some(now - TimeDelta::minutes(i64::from(1100 - at))),
                ..NewResponse::default()
            };
            desk.respond(FORM, &new, cx);
        }
    });
}

/// A few calls with a customer.
fn calls(world: &World) {
    let people = [("Bo Agent", "bo@ours.example.com"), ("Ada Example", "ada@lumen.example.com")];
    let said = [("me", "How is it going?"), ("them", "Exports take all night."), ("me", "We are looking into it.")];
    for title in ["Lumen weekly", "Lumen onboarding"] {
        let call = NewCall { title, people: &people, said: &said, ..NewCall::default() };
        world.granola(|desk, cx| desk.call(&call, "Exports are slow.", cx));
    }
}

fn show(served: &Served, seed: u64, config: Option<&Path>, out: &Out) {
    let vendors =
        Vendor::ALL.map(|vendor| (vendor.name(), json!({"base_url": served.base(vendor), "token": vendor.token()})));
    let vendors: serde_json::Map<String, serde_json::Value> =
        vendors.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    out.json(&json!({ "seed": seed, "vendors": vendors, "repo": REPO, "base": BASE, "team": "ENG", "form": FORM,
                       "page": sandbox::notion::PAGE, "project": 4711, "property": 123_456_789, "config": config }));
    let rows = Vendor::ALL
        .map(|vendor| vec![vendor.name().to_owned(), served.base(vendor).to_owned(), vendor.token().to_owned()]);
    out.table(&["VENDOR", "BASE URL", "TOKEN"], rows);
    out.line(format!(
        "\nThere are the repository {REPO}, the Airtable base {BASE}, the Linear team ENG, the form {FORM} and the Notion page \
         {}. Salesforce's app is client_id {} with client_secret {}. Ctrl-C ends it.",
        sandbox::notion::PAGE,
        sandbox::salesforce::CLIENT_ID,
        sandbox::salesforce::CLIENT_SECRET,
    ));
    if let Some(config) = config {
        out.line(format!("loopd works on it with: loopd --config {} check --live", config.display()));
    }
}
