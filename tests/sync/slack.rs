//! Slack in the whole engine: what is captured becomes feedback once, what is taken back goes unless somebody has worked on it, and a
//! line of our own is as good as a webhook.

use loopd::ledger::What;
use loopd::schema::EntityId;
use sandbox::slack::Shown;
use sandbox::{Faults, Vendor};
use serde_json::json;

use crate::story::{always, cells, history, known, minutes, no_dead, rows_with, tell_in, the_message, type_in};
use crate::town::{SECRET, Town};

const GENERAL: &str = "C0GENERAL";
const CONNECTION: &str = r#"
[connection.slack]
kind = "slack"
token = { file = "slack.token" }
channels = { C0GENERAL = "lumen.example.com" }
"#;
const WEBHOOK: &str = "webhook = true\nwebhook_secret = { file = \"slack.secret\" }\n";
const LINE: &str = "app_token = { file = \"slack.app\" }\n";

fn town(way: &str) -> Town {
    let files =
        [("slack.token", Vendor::Slack.token()), ("slack.secret", SECRET), ("slack.app", sandbox::slack::APP_TOKEN)];
    let files = files.map(|(name, text)| (name.into(), text.to_owned())).into();
    let town = Town::furnished(7, &format!("{CONNECTION}{way}"), files);
    town.world.slack(|desk, _| match way {
        WEBHOOK => desk.set_webhook("https://loopd.example.com/hooks/slack", SECRET),
        _ => desk.set_socket_mode(),
    });
    town
}

fn say(town: &Town, text: &str) -> String {
    town.world.slack(|desk, cx| desk.say(GENERAL, "U0ADMIN", text, cx))
}

fn react(town: &Town, ts: &str, name: &str) {
    assert!(town.world.slack(|desk, cx| desk.react(GENERAL, ts, "U0ADMIN", name, cx)));
}

fn unreact(town: &Town, ts: &str, name: &str) {
    assert!(town.world.slack(|desk, cx| desk.unreact(GENERAL, ts, "U0ADMIN", name, cx)));
}

fn of_message(ts: &str) -> EntityId {
    EntityId::derive("slack", "message", &format!("{GENERAL}:{ts}"))
}

fn withdrawn(town: &Town, id: EntityId) -> Option<bool> {
    Some(known(town, id)?.as_feedback()?.withdrawn)
}

#[test]
fn what_nobody_has_worked_on_is_taken_back_with_its_reaction() {
    tell_in(
        || town(WEBHOOK),
        |town, mid| {
            let ts = say(town, "The export fails every Monday");
            let id = of_message(&ts);
            react(town, &ts, "bug");
            react(town, &ts, "tada");
            mid(town);
            minutes(town, 3);
            assert_eq!((cells(town, id)["Category"].clone(), withdrawn(town, id)), (json!("Bug"), Some(false)));
            // Two capture it, and one goes: it stays.
            town.world.slack(|desk, cx| desk.react(GENERAL, &ts, &desk.ids().1.clone(), "bulb", cx));
            react(town, &ts, "bulb");
            unreact(town, &ts, "bug");
            mid(town);
            minutes(town, 2);
            assert_eq!(withdrawn(town, id), Some(false));
            unreact(town, &ts, "bulb");
            mid(town);
            minutes(town, 2);
            assert_eq!(withdrawn(town, id), Some(true));
            let told = |town: &Town| {
                history(town, id).into_iter().filter(|line| line.field.as_deref() == Some("withdrawn")).count()
            };
            assert_eq!(told(town), 1);
            assert_eq!(rows_with(town, "Feedback", id).len(), 1, "what was said stays known");
            react(town, &ts, "mega");
            mid(town);
            minutes(town, 2);
            assert_eq!(withdrawn(town, id), Some(false), "and it may come back");
            no_dead(town);
        },
    );
}

#[test]
fn what_somebody_has_worked_on_stays() {
    for (field, value) in [("Severity", json!("High")), ("Status", json!("Validated"))] {
        tell_in(
            || town(WEBHOOK),
            |town, mid| {
                let ts = say(town, "The export fails every Monday");
                let id = of_message(&ts);
                react(town, &ts, "bulb");
                minutes(town, 3);
                type_in(town, "Feedback", id, field, &value);
                minutes(town, 2);
                unreact(town, &ts, "bulb");
                mid(town);
                minutes(town, 15);
                assert_eq!(withdrawn(town, id), Some(false), "{field}");
                let lines: Vec<_> =
                    history(town, id).into_iter().filter(|line| line.field.as_deref() == Some("withdrawn")).collect();
                let note = lines.first().and_then(|line| line.note.clone()).unwrap_or_default();
                assert!(
                    lines.len() == 1 && lines[0].what == What::Conflict && note.contains("it stays, because"),
                    "{lines:?}"
                );
                no_dead(town);
            },
        );
    }
}

#[test]
fn a_line_of_our_own_is_as_good_as_a_webhook() {
    for way in [WEBHOOK, LINE] {
        tell_in(
            || town(way),
            |town, mid| {
                let ts = say(town, "It would be nice to have a dark mode");
                let id = of_message(&ts);
                react(town, &ts, "bulb");
                mid(town);
                minutes(town, 2);
                let entity = known(town, id).expect("captured");
                let feedback = entity.as_feedback().expect("feedback");
                assert_eq!(feedback.verbatim.as_deref(), Some("It would be nice to have a dark mode"));
                assert_eq!(feedback.tags.category.as_deref(), Some("feature_request"));
                let customer = feedback.customer.and_then(|id| known(town, id)).expect("whose channel it is");
                assert_eq!(
                    customer.as_customer().map(|customer| customer.domains.clone()),
                    Some(vec!["lumen.example.com".to_owned()])
                );
                town.world.slack(|desk, cx| desk.edit(GENERAL, &ts, "Dark mode, please", cx));
                town.world.slack(|desk, _| desk.refresh_lines());
                mid(town);
                let trigger =
                    town.world.slack(|desk, cx| desk.slash(GENERAL, "U0ADMIN", "/feedback", "The search is slow", cx));
                town.run_for(std::time::Duration::from_millis(2500));
                if way == LINE {
                    // What it shows is what the command became.
                    let key = format!("U0ADMIN:{trigger}");
                    let short = EntityId::derive("slack", "command", &key).short(loopd::schema::EntityKind::Feedback);
                    let shown = town.world.slack(|desk, _| desk.shown(&trigger));
                    assert_eq!(shown, Some(Shown::Text(format!("Thank you: noted as {short}."))));
                }
                minutes(town, 2);
                assert_eq!(
                    known(town, id).and_then(|known| known.as_feedback()?.verbatim.clone()).as_deref(),
                    Some("Dark mode, please")
                );
                let command = EntityId::derive("slack", "command", &format!("U0ADMIN:{trigger}"));
                assert_eq!(rows_with(town, "Feedback", command).len(), 1);
                assert_eq!(rows_with(town, "Feedback", id).len(), 1);
                no_dead(town);
            },
        );
    }
}

#[test]
fn what_no_event_told_is_swept_up_once() {
    let mut deaf = Faults::NONE;
    deaf.webhook_drop = 1.0;
    tell_in(
        || {
            let town = town(WEBHOOK);
            town.world.set_faults(deaf);
            town
        },
        |town, mid| {
            let (one, other) = (say(town, "The export fails every Monday"), say(town, "Lunch?"));
            react(town, &one, "bug");
            town.clock.advance(std::time::Duration::from_secs(2 * 3600));
            mid(town);
            minutes(town, 25);
            assert_eq!(rows_with(town, "Feedback", of_message(&one)).len(), 1);
            assert_eq!(known(town, of_message(&other)), None);
            town.world.slack(|desk, cx| desk.delete_message(GENERAL, &one, cx));
            town.clock.advance(std::time::Duration::from_secs(2 * 3600));
            mid(town);
            minutes(town, 25);
            assert_eq!(withdrawn(town, of_message(&one)), Some(true));
            no_dead(town);
        },
    );
}

#[test]
fn whoever_asked_is_told_in_the_thread_and_once() {
    tell_in(
        || town(WEBHOOK),
        |town, mid| {
            let ts = say(town, "It would be nice to have a dark mode");
            let id = of_message(&ts);
            react(town, &ts, "bulb");
            minutes(town, 3);
            type_in(town, "Feedback", id, "Status", &json!("Shipped"));
            minutes(town, 3);
            let message = the_message(town);
            town.world.fail_next_operation(Vendor::Slack, "chat.postMessage", 1, sandbox::FailKind::CutAfter);
            assert_eq!(loopd::close::approve(&town.house, &message, "ops").expect("memory"), Ok(()));
            town.house.ledger.durable().expect("memory");
            mid(town);
            minutes(town, 5);
            let answers = |town: &Town| {
                let all = town.world.slack(|desk, _| desk.messages(GENERAL));
                all.into_iter()
                    .filter(|message| message["bot_id"].is_string() && message["thread_ts"] == ts.as_str())
                    .count()
            };
            assert_eq!(answers(town), 1);
            always(town, 1, "it is said once", |town| answers(town) == 1);
            // Other words, in the same place.
            assert_eq!(
                loopd::close::reword(&town.house, &message, "ops", "Dark mode is here").expect("memory"),
                Ok(())
            );
            town.house.ledger.durable().expect("memory");
            mid(town);
            minutes(town, 5);
            let all = town.world.slack(|desk, _| desk.messages(GENERAL));
            let said: Vec<_> = all.iter().filter(|message| message["bot_id"].is_string()).collect();
            assert_eq!((said.len(), &said[0]["text"]), (1, &json!("Dark mode is here")));
            no_dead(town);
        },
    );
}

#[test]
fn a_receipt_is_handed_in_only_for_what_is_on_disk() {
    let mut town = town(LINE);
    minutes(&mut town, 1);
    // A command comes once: nothing else would bring it.
    let trigger = town.world.slack(|desk, cx| desk.slash(GENERAL, "U0ADMIN", "/feedback", "The search is slow", cx));
    let listening = town.rooms.iter().position(|(room, _)| room.name() == "listen slack").expect("it listens");
    let shown = |town: &Town| town.world.slack(|desk, _| desk.shown(&trigger));
    for _ in 0..10 {
        if shown(&town).is_none() {
            town.step(listening);
        }
    }
    assert!(matches!(shown(&town), Some(Shown::Text(_))), "it has its receipt");
    // At this very moment the power goes.
    town.restart(Some(0));
    minutes(&mut town, 3);
    let id = EntityId::derive("slack", "command", &format!("U0ADMIN:{trigger}"));
    assert_eq!(rows_with(&town, "Feedback", id).len(), 1);
    no_dead(&town);
    town.assert_quiet();
}
