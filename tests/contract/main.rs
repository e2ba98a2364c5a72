//! Each connector against its stand-in: every port, every fault, every page; and every request against the vendor's own
//! specification, where that is at hand.
//!
//! The ratchet below keeps the set whole: no vendor without its tests, its stand-in, its mappings and its page.

mod airtable;
mod app;
mod bigquery;
mod ga4;
mod github;
mod granola;
mod intercom;
mod linear;
mod mistral;
mod notion;
mod oauth;
mod posthog;
mod pull;
#[path = "../support/recording.rs"]
mod recording;
mod salesforce;
mod segment;
mod slack;
mod spec;
#[path = "../support/mod.rs"]
mod support;
mod typeform;
mod usage;
#[path = "../support/vault.rs"]
mod vault;
mod vectors;

use std::path::{Path, PathBuf};

use connectors::Kind;
use sandbox::Vendor;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// What the vendors publish, beside the repository; absent on most machines.
fn shared(path: &str) -> PathBuf {
    repository().join("../shared").join(path)
}

#[test]
fn no_vendor_lacks_a_part() {
    let mut missing = Vec::new();
    let mains = std::fs::read_to_string(repository().join("tests/contract/main.rs")).expect("this file");
    let mappings: Vec<String> = std::fs::read_dir(repository().join("mappings"))
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    for kind in Kind::ALL {
        let name = kind.name();
        let mut need = |there: bool, what: String| {
            if !there {
                missing.push(what);
            }
        };
        need(mains.contains(&format!("\nmod {name};\n")), format!("tests/contract/{name}.rs, as a module of main.rs"));
        need(
            Vendor::ALL.iter().any(|vendor| vendor.name() == name) || kind.is_received_only(),
            format!("a stand-in: sandbox::Vendor named {name}"),
        );
        need(
            mappings.iter().any(|file| file.starts_with(&format!("{name}.")) && file.ends_with(".toml"))
                || kind.is_counted_only(),
            format!("mappings/{name}.COLLECTION.toml"),
        );
        need(repository().join(format!("docs/vendors/{name}.md")).exists(), format!("docs/vendors/{name}.md"));
        need(repository().join(format!("connectors/{name}/tests.rs")).exists(), format!("connectors/{name}/tests.rs"));
        need(Kind::parse(name) == Some(kind), format!("Kind::parse({name:?})"));
        need(
            kind.secrets().iter().all(|secret| !secret.about.is_empty()),
            format!("where a person gets each secret of {name}"),
        );
    }
    assert!(missing.is_empty(), "missing: {missing:#?}");
}
