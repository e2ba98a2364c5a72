//! What a town's accounts hold before loopd comes: the tables, fields and labels that the mappings name, made by
//! loopd's own setup, as ops would.
#![expect(unreachable_pub, reason = "each test binary includes this file as a module")]

use std::sync::Arc;
use std::time::Duration;

use connectors::{Change, Fault};
use loopd::house::House;
use sandbox::World;
use serde_json::json;

use crate::support::TestClock;
use crate::town::{BASE, SECRET};

/// An empty base, as somebody makes it by hand, and Linear's webhook, as an admin sets it.
pub fn accounts(world: &Arc<World>) {
    world.airtable(|desk, cx| {
        let tables = json!([{"name": "Scratch", "fields": [{"name": "Name", "type": "singleLineText"}]}]);
        desk.create_base_with(cx, BASE, "loopd", &tables);
    });
    world.linear(|desk, cx| {
        desk.set_webhook(cx, "https://loopd.example.com/hooks/linear", SECRET);
    });
    world.salesforce(|desk, _| desk.run_as(Some(true)));
    world.notion(|desk, cx| desk.set_webhook(cx, "https://loopd.example.com/hooks/notion", SECRET));
}

/// Runs `loopd setup` to its end; time passes as its quotas demand. Returns what was changed.
pub async fn setup(house: &House, clock: &TestClock, connection: &str) -> Vec<Change> {
    let open = &house.connections[connection];
    let Some(setup) = open.connector.setup() else { return Vec::new() };
    let shape = house.config.mappings.shape(connection);
    let mut done = Vec::new();
    for _ in 0..1_000 {
        let plan = match setup.plan(&shape).await {
            Ok(plan) => plan,
            Err(fault) => {
                wait(clock, &fault);
                continue;
            }
        };
        let Some(change) = plan.into_iter().find(|change| change.by_hand.is_none()) else { return done };
        while let Err(fault) = setup.apply(&change).await {
            wait(clock, &fault);
        }
        done.push(change);
    }
    panic!("setup of {connection} does not come to an end: {done:#?}");
}

fn wait(clock: &TestClock, fault: &Fault) {
    match fault {
        Fault::Later { after, .. } => clock.advance(after.unwrap_or(Duration::from_secs(1))),
        fault => panic!("setup failed: {fault}"),
    }
}
