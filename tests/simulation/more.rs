//! What people do in Notion and Salesforce, where an item lives in up to four places.

use connectors::Clock as _;
use sandbox::faults::Rng;
use serde_json::{Map, Value, json};

use crate::people::{People, Typed};
use crate::town::Town;

const CHILD: &str = "Loopd_Feedback__c";
/// A column of Notion's, and what people call it for a while.
const COLUMN: [&str; 3] = ["Links", "Where else", "Elsewhere"];

impl People {
    pub(super) fn act_in_more_places(&mut self, town: &Town, rng: &mut Rng) {
        match rng.below(20) {
            0..=6 => self.edit_page(town, rng),
            7 => self.owner(town, rng),
            8 => self.theme_page(town),
            9 => self.trash_page(town, rng),
            10..=12 => self.account(town, rng),
            13..=16 => self.edit_child(town, rng),
            17 => town.world.salesforce(|desk, _| desk.expire_sessions()),
            18 => self.column(town, rng),
            _ => self.field(town, rng),
        }
    }

    fn page(town: &Town, rng: &mut Rng, source: &str) -> Option<(String, Map<String, Value>)> {
        Self::one(rng, town.world.notion(|desk, _| desk.rows(source)))
    }

    fn edit_page(&mut self, town: &Town, rng: &mut Rng) {
        let Some((record, row)) = Self::page(town, rng, "Feedback") else { return };
        let (field, value) = match rng.below(5) {
            0 | 1 => ("Status", Self::one(rng, ["New", "Reviewing", "Validated", "Building"]).map(Value::from)),
            2 => ("Severity", Self::one(rng, ["Critical", "High", "Medium", "Low"]).map(Value::from)),
            3 => ("Category", Self::one(rng, ["Bug", "Request", "Praise"]).map(Value::from)),
            _ => {
                let theme = Self::page(town, rng, "Themes").map(|(id, _)| json!([id]));
                ("Theme", theme)
            }
        };
        let Some(value) = value else { return };
        if row.get(field) == Some(&value) {
            return;
        }
        town.world.notion(|desk, cx| desk.edit_row(cx, &record, &json!({ field: value })));
        self.typed.push(Typed { at: town.clock.now(), vendor: "notion", table: "Feedback", record, field, value });
    }

    fn owner(&mut self, town: &Town, rng: &mut Rng) {
        let Some((record, _)) = Self::page(town, rng, "Customers") else { return };
        let value = json!(format!("Carol {}", self.say("owner")));
        town.world.notion(|desk, cx| desk.edit_row(cx, &record, &json!({ "Owner": value })));
        self.typed.push(Typed {
            at: town.clock.now(),
            vendor: "notion",
            table: "Customers",
            record,
            field: "Owner",
            value,
        });
    }

    fn theme_page(&mut self, town: &Town) {
        let value = json!(format!("Thought of in Notion {}", self.say("page")));
        let record = town.world.notion(|desk, cx| desk.add_row(cx, "Themes", &json!({ "Name": value })));
        self.typed.push(Typed {
            at: town.clock.now(),
            vendor: "notion",
            table: "Themes",
            record,
            field: "Name",
            value,
        });
    }

    fn trash_page(&mut self, town: &Town, rng: &mut Rng) {
        let Some((page, row)) = Self::page(town, rng, "Feedback").filter(|_| rng.chance(0.5)) else { return };
        let Some(id) = row.get("Loopd ID").and_then(Value::as_str) else { return };
        // As in Airtable: what is deleted before its writer knows that it was made is made once more.
        if town.house.ledger.linked("notion", "Feedback", &page).expect("memory").is_none() {
            return;
        }
        town.world.notion(|desk, cx| desk.trash_row(cx, &page, true));
        self.trashed_pages.insert(id.to_owned());
    }

    /// Sales make an account, often of a company that support knows already, or change one.
    fn account(&mut self, town: &Town, rng: &mut Rng) {
        let accounts = town.world.salesforce(|desk, _| desk.rows("Account"));
        if rng.chance(0.5)
            && let Some(id) = Self::one(rng, accounts).and_then(|row| row["Id"].as_str().map(str::to_owned))
        {
            let industry = Self::one(rng, ["Energy", "Banking", "Education"]).unwrap_or("Energy");
            town.world.salesforce(|desk, cx| desk.edit(cx, "Account", &id, &json!({ "Industry": industry })));
            return;
        }
        let n = self.say("account");
        let new = json!({ "Name": format!("Company {n} Example"), "Website": format!("https://c{n}.example.com") });
        town.world.salesforce(|desk, cx| desk.create(cx, "Account", &new));
    }

    fn edit_child(&mut self, town: &Town, rng: &mut Rng) {
        let rows = town.world.salesforce(|desk, _| desk.rows(CHILD));
        let Some(row) = Self::one(rng, rows) else { return };
        let Some(record) = row["Id"].as_str().map(str::to_owned) else { return };
        let (field, value) = match rng.below(3) {
            0 => ("Status__c", Self::one(rng, ["New", "Reviewing", "Validated", "Building"])),
            1 => ("Severity__c", Self::one(rng, ["Critical", "High", "Medium", "Low"])),
            _ => ("Category__c", Self::one(rng, ["Bug", "Request", "Praise"])),
        };
        let value = json!(value);
        if row[field] == value {
            return;
        }
        town.world.salesforce(|desk, cx| desk.edit(cx, CHILD, &record, &json!({ field: value })));
        self.typed.push(Typed { at: town.clock.now(), vendor: "salesforce", table: CHILD, record, field, value });
    }

    /// Somebody renames a column in Notion: what is bound by its id goes on.
    fn column(&mut self, town: &Town, rng: &mut Rng) {
        let columns = town.world.notion(|desk, _| desk.columns("Feedback"));
        let Some(now) = COLUMN.into_iter().find(|name| columns.contains_key(*name)) else { return };
        let Some(next) = Self::one(rng, COLUMN) else { return };
        if next != now {
            town.world.notion(|desk, cx| desk.change_columns(cx, "Feedback", &json!({ now: { "name": next } })));
        }
    }

    /// An administrator hides a field from loopd, or shows it again.
    fn field(&mut self, town: &Town, _rng: &mut Rng) {
        self.hidden = !self.hidden;
        town.world.salesforce(|desk, cx| {
            if self.hidden {
                desk.hide_field(CHILD, "Summary__c");
            } else {
                desk.show_field(cx, CHILD, "Summary__c");
            }
        });
    }

    /// What is hidden in the end is shown, and what was renamed gets its name back.
    pub(super) fn tidy(&mut self, town: &Town) {
        if self.four {
            let columns = town.world.notion(|desk, _| desk.columns("Feedback"));
            if let Some(now) = COLUMN.into_iter().skip(1).find(|name| columns.contains_key(*name)) {
                town.world
                    .notion(|desk, cx| desk.change_columns(cx, "Feedback", &json!({ now: { "name": COLUMN[0] } })));
            }
        }
        if std::mem::take(&mut self.hidden) {
            town.world.salesforce(|desk, cx| desk.show_field(cx, CHILD, "Summary__c"));
        }
    }
}
