//! Configuration as ops write it: the defaults, what is found wrong, and when schedules fire.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

mod shipped;
mod times;

/// A machine that holds what a test gives it.
#[derive(Default)]
struct Desk {
    files: BTreeMap<PathBuf, String>,
    env: BTreeMap<String, String>,
    credentials: Option<PathBuf>,
}

impl World for Desk {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
    fn list(&self, folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
        let files: Vec<_> = self
            .files
            .keys()
            .filter(|path| path.parent() == Some(folder) && path.extension().is_some_and(|own| own == extension))
            .cloned()
            .collect();
        if files.is_empty() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(files) }
    }
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
    fn credentials(&self) -> Option<PathBuf> {
        self.credentials.clone()
    }
}

fn load_on(desk: &Desk, text: &str) -> Result<Config, Vec<Problem>> {
    load_text("config.toml", text, Path::new("/etc/loopd"), desk)
}

fn good(text: &str) -> Config {
    load_on(&Desk::default(), text)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(Problem::render).collect::<String>()))
}

fn wrong(text: &str) -> Vec<String> {
    match load_on(&Desk::default(), text) {
        Ok(_) => panic!("it loaded: {text}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn checked(desk: &Desk, text: &str) -> Vec<String> {
    let config = load_on(desk, text)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(Problem::render).collect::<String>()));
    check(&config, desk).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn has(found: &[String], part: &str) {
    assert!(found.iter().any(|told| told.contains(part)), "{part:?} is not in {found:#?}");
}

const LOOP: &str = "
[connection.github]
kind = \"github\"
repos = [\"example/app\"]
token = { env = \"T\" }
[connection.airtable]
kind = \"airtable\"
base = \"appXXXXXXXXXXXXXX\"
token = { env = \"T\" }
[connection.linear]
kind = \"linear\"
team = \"ENG\"
token = { env = \"T\" }
[[route]]
entity = \"feedback\"
to = \"airtable.Feedback\"
[[route]]
entity = \"feedback\"
to = \"linear.issue\"
when = '.tags.category == \"bug\" and (.tags.severity == \"high\" or .tags.severity == \"critical\")'
";

fn desk() -> Desk {
    Desk { env: [("T".to_owned(), "secret-value".to_owned())].into(), ..Desk::default() }
}

#[test]
fn a_users_values_lie_over_the_defaults_key_by_key() {
    let config = good(
        "timezone = \"Europe/Paris\"\n[ledger]\npath = \"data\"\naudit_days = 30\n[sync]\nsettle_seconds = 0\n[customers]\ntiers = [{ name = \"S\", from_arr = 0 }, { name = \"L\", from_arr = 1e5 }]\n[vocabularies]\nproduct = [\"console\", { value = \"sdk\", words = [\"python client\"] }]\n",
    );
    assert_eq!(config.ledger.path, Path::new("/etc/loopd/data"));
    assert_eq!((config.ledger.audit_days, config.ledger.raw_days), (Some(30), 30));
    assert_eq!(config.sync.settle_seconds, 0);
    assert_eq!(config.sync.sweep.zone, chrono_tz::Europe::Paris);
    assert_eq!(config.customers.tiers.iter().map(|tier| tier.name.as_str()).collect::<Vec<_>>(), ["L", "S"]);
    assert_eq!(config.vocabularies["product"][1].words, ["python client"]);
    assert_eq!(config.vocabularies["category"].len(), 8);
}

#[test]
fn everything_wrong_is_found_in_one_go_with_place_and_mend() {
    let found = wrong(
        "timezon = \"UTC\"\n[ledgr]\n[http]\nlisten = \"everywhere\"\nmax_body_bytes = 1\npublic_url = \"loopd\"\n[log]\nformat = \"xml\"\n[sync]\nsweep = \"0 3 * *\"\nsettle_seconds = -1\n[enrich]\nthreshold = 2\n\
         [vocabularies]\nprodukt = []\n[connection.hub]\nkind = \"gitbub\"\n[connection.air]\nkind = \"airtable\"\nbase = \"appX\"\ntoken = \"patSecretSecret\"\n[[route]]\nentity = \"feedbak\"\nto = \"air.Feedback\"\n[[route]]\nentity = \"feedback\"\nto = \"air\"\nwhen = 'def f: f; f'\n",
    );
    for part in [
        "config.toml:1:1: timezon: no such key (did you mean `timezone`?)",
        "ledgr: no such key (did you mean `ledger`?)",
        "http.listen: this is no address",
        "http.max_body_bytes: a whole number from 1024",
        "http.public_url: this is no URL",
        "log.format: there is no format `xml`",
        "sync.sweep: \"0 3 * *\" has 4 fields",
        "sync.settle_seconds: a whole number",
        "enrich.threshold: a confidence is from 0 to 1",
        "vocabularies.produkt: no tag has this name (did you mean `product`?)",
        "connection.hub.kind: there is no kind `gitbub` (did you mean \"github\"?)",
        "connection.air.token: a secret is named here, not written",
        "route[0].entity: there is no entity `feedbak`",
        "route[1].to: a connection and its collection are expected",
        "route[1].when: `def`",
    ] {
        has(&found, part);
    }
}

#[test]
fn a_secret_that_was_written_down_is_never_printed() {
    let text = "[connection.air]\nkind = \"airtable\"\nbase = \"appX\"\ntoken = \"patSecretSecret\"\n";
    let problems = load_on(&Desk::default(), text).map(|_| ()).expect_err("refused");
    assert!(problems.iter().all(|problem| !problem.render().contains("patSecret")), "{problems:?}");
}

#[test]
fn secrets_come_from_the_environment_a_file_or_systemd() {
    let text = "[connection.github]\nkind = \"github\"\nrepos = [\"example/app\"]\ntoken = { env = \"T\" }\nwebhook_secret = { credential = \"hook\" }\napp_private_key = { file = \"key.pem\" }\n";
    let mut desk = desk();
    desk.credentials = Some("/run/credentials/loopd".into());
    desk.files.insert("/run/credentials/loopd/hook".into(), "hush\n".into());
    desk.files.insert("/etc/loopd/key.pem".into(), "-----BEGIN\nx\n-----END\n".into());
    let config = load_on(&desk, text).expect("loads");
    let secrets = config.secrets("github", &desk).expect("all there");
    let shown: Vec<&str> = secrets.values().map(ExposeSecret::expose_secret).collect();
    assert_eq!(shown, ["-----BEGIN\nx\n-----END", "secret-value", "hush"]);
    let missing = config.secrets("github", &Desk::default()).expect_err("nothing there").to_string();
    assert!(missing.starts_with("config.toml:6:") && missing.contains("key.pem"), "{missing}");
    assert_eq!(config.connections["github"].settings, json!({"repos": ["example/app"]}));
}

#[test]
fn a_whole_loop_checks_clean() {
    let found = checked(&desk(), LOOP);
    assert!(found.is_empty(), "{found:#?}");
    let config = load_on(&desk(), LOOP).expect("loads");
    assert_eq!(config.mappings.from.len(), 2, "only of connections that there are");
    let route = &config.routes[1];
    assert_eq!(route.takes(&json!({"tags": {"category": "bug", "severity": "high"}})), Ok(true));
    assert_eq!(route.takes(&json!({"tags": {"category": "bug", "severity": "low"}})), Ok(false));
    assert_eq!(config.routes[0].takes(&json!({})), Ok(true));
}

#[test]
fn shipped_mappings_serve_every_connection_of_their_kind() {
    let config = good(&LOOP.replace("[connection.github]", "[connection.oss]"));
    assert!(config.mappings.from_for("oss", "issue").is_some());
    let two =
        format!("{LOOP}[connection.oss]\nkind = \"github\"\nrepos = [\"example/other\"]\ntoken = {{ env = \"T\" }}\n");
    let config = good(&two);
    assert!(config.mappings.from_for("github", "issue").is_some());
    assert!(config.mappings.from_for("oss", "issue").is_some());
    // A file that names the connection comes before one that names its kind.
    let mut desk = desk();
    desk.files.insert(
        "/etc/loopd/m/oss.toml".into(),
        "from = \"oss.issue\"\nentity = \"feedback\"\n[fields]\ntitle = '.t'\n".into(),
    );
    let config = load_on(&desk, &format!("{two}[mappings]\ndir = \"m\"\n")).expect("loads");
    assert!(config.mappings.from_for("oss", "issue").is_some_and(|from| from.file.ends_with("oss.toml")));
    assert!(config.mappings.from_for("github", "issue").is_some_and(|from| from.file.ends_with("github.issue.toml")));
}

#[test]
fn a_mapping_that_waits_for_a_route_is_in_use_where_one_leads_there() {
    let there = "[connection.crm]\nkind = \"salesforce\"\ntoken = { env = \"T\" }\nobjects = [\"Task\"]\n";
    let has_tasks = |text: &str| good(text).mappings.shape("crm").collections.iter().any(|it| it.name == "Task");
    assert!(!has_tasks(&format!("{LOOP}{there}")), "setup would make what nobody asked for");
    assert!(has_tasks(&format!("{LOOP}{there}[[route]]\nentity = \"feedback\"\nto = \"crm.Task\"\n")));
}

#[test]
fn names_that_lead_nowhere_are_found_on_loading() {
    has(
        &wrong(&LOOP.replace("\"airtable.Feedback\"", "\"airtabel.Feedback\"")),
        "there is no connection `airtabel` (did you mean `airtable`?)",
    );
    has(
        &wrong(&LOOP.replace("\"airtable.Feedback\"", "\"airtable.Feedbak\"")),
        "no mapping says how feedback looks in airtable.Feedbak (did you mean \"airtable.Feedback\"?)",
    );
    has(
        &wrong(&format!("{LOOP}[close]\nsend_without_approval = [\"gitub\"]\n")),
        "there is no connection `gitub` (did you mean `github`?)",
    );
}

#[test]
fn own_mappings_replace_shipped_ones_by_name_and_their_mistakes_are_told() {
    let mut desk = desk();
    let own = "into = \"airtable.Feedback\"\nentity = \"feedback\"\nkey = \"Loopd ID\"\n[fields.\"Said\"]\nfrom = \".verbatim\"\n";
    desk.files.insert("/etc/loopd/mine/airtable.feedback.toml".into(), own.into());
    let text = format!("{LOOP}[mappings]\ndir = \"mine\"\n");
    let config = load_on(&desk, &text).expect("loads");
    let mapping = config.mappings.into_for("airtable", "Feedback", EntityKind::Feedback).expect("mapped");
    assert_eq!(mapping.fields.keys().collect::<Vec<_>>(), ["Said"]);
    desk.files.insert("/etc/loopd/mine/more.toml".into(), own.replace("airtable.", "notion."));
    let found: Vec<String> = load_on(&desk, &text).expect("loads").warnings.iter().map(ToString::to_string).collect();
    has(&found, "the mapping is not used: there is no connection `notion`");
    desk.files.insert("/etc/loopd/mine/more.toml".into(), own.replace(".verbatim", ".verbatin"));
    let found: Vec<String> =
        load_on(&desk, &text).map(|_| ()).expect_err("refused").iter().map(ToString::to_string).collect();
    has(&found, "/etc/loopd/mine/more.toml:5:8: fields.Said.from: feedback has no `.verbatin`");
    desk.files.insert(
        "/etc/loopd/mine/more.toml".into(),
        format!("{own}[[example]]\nname = \"words\"\ngiven = {{ verbatim = \"a\" }}\nexpect = {{ Said = \"b\" }}\n")
            .replace("Feedback\"", "Other\""),
    );
    let found: Vec<String> =
        load_on(&desk, &text).map(|_| ()).expect_err("refused").iter().map(ToString::to_string).collect();
    has(&found, "words: Said is \"a\", expected is \"b\"");
}

#[test]
fn check_finds_missing_secrets_settings_and_streams() {
    has(&checked(&Desk::default(), LOOP), "connection.github.token: the environment has no T");
    has(
        &checked(&desk(), &LOOP.replace("team = \"ENG\"\ntoken = { env = \"T\" }", "team = \"ENG\"")),
        "connection.linear.token: Linear needs an API key, an OAuth token, or a client_id to sign in with (`loopd auth`)",
    );
    let found = checked(&desk(), &LOOP.replace("repos =", "webhook = true\nrepos ="));
    has(&found, "connection.github.webhook_secret: is missing, and webhooks cannot be verified");
    has(&found, "`http.public_url` is empty");
    has(&checked(&desk(), &LOOP.replace("repos = [\"example/app\"]", "reposs = [\"example/app\"]")), "config.toml:");
    has(
        &checked(&desk(), &LOOP.replace("repos =", "schedule = { isues = \"* * * * *\" }\nrepos =")),
        "there is no stream `isues`",
    );
}

#[test]
fn check_finds_routes_that_never_match_and_circles() {
    let when = |when: &str| {
        LOOP.replace(
            "'.tags.category == \"bug\" and (.tags.severity == \"high\" or .tags.severity == \"critical\")'",
            &format!("'{when}'"),
        )
    };
    has(&checked(&desk(), &when("false")), "this never holds");
    has(
        &checked(&desk(), &when(".tags.category == \"bgu\"")),
        "no feedback has the category \"bgu\", so this never holds (did you mean \"bug\"?)",
    );
    has(&checked(&desk(), &when(".status == \"done\"")), "no feedback has the status \"done\"");
    has(&checked(&desk(), &when(".tag.category == \"bug\"")), "feedback has no `.tag.category`");
    assert!(checked(&desk(), &when(".tags.product == \"anything\"")).is_empty(), "an empty vocabulary knows nothing");
    let mut desk = desk();
    desk.files.insert(
        "/etc/loopd/m/round.toml".into(),
        "from = \"airtable.Feedback\"\nentity = \"feedback\"\n[fields]\nverbatim = '.Verbatim'\n".into(),
    );
    has(&checked(&desk, &format!("{LOOP}[mappings]\ndir = \"m\"\n")), "they would come round in a circle");
}

#[test]
fn check_finds_collections_and_types_that_do_not_fit() {
    let mut desk = desk();
    let text = format!("{LOOP}[mappings]\ndir = \"m\"\n");
    let file = PathBuf::from("/etc/loopd/m/x.toml");
    let field = "entity = \"feedback\"\n[fields]\ntitle = '.t'\n";
    desk.files.insert(file.clone(), format!("from = \"github.isue\"\n{field}"));
    has(&checked(&desk, &text), "github has no collection `isue` (did you mean \"github.issue\"?)");
    desk.files.insert(
        file.clone(),
        "into = \"github.comment\"\nentity = \"feedback\"\n[fields.body]\nfrom = \".title\"\n".into(),
    );
    has(&checked(&desk, &text), "github.comment is only read");
    let labels = |field: &str| format!("into = \"github.issue\"\nentity = \"theme\"\n{field}\n");
    desk.files.insert(file.clone(), labels("[fields.lables]\nfrom = \".name\""));
    has(&checked(&desk, &text), "there is no field `lables` (did you mean `labels`?)");
    desk.files.insert(file.clone(), labels("[fields.title]\nfrom = \".name\""));
    has(&checked(&desk, &text), "`title` cannot be written");
    desk.files.insert(file, labels("[fields.labels]\nfrom = \".name\""));
    has(&checked(&desk, &text), "`labels` is of type tags, the mapping gives text");
}

#[test]
fn a_stream_has_its_own_schedule_or_all_have_one() {
    let one = good(&LOOP.replace("repos =", "schedule = \"*/5 * * * *\"\nrepos ="));
    let many =
        good(&LOOP.replace("repos =", "timezone = \"Asia/Tokyo\"\nschedule = { issues = \"0 6 * * *\" }\nrepos ="));
    let default = Schedule::parse("0 * * * *", "UTC").expect("a schedule");
    assert_eq!(one.connections["github"].schedule("issues", &default).cron, "*/5 * * * *");
    let issues = many.connections["github"].schedule("issues", &default);
    assert_eq!((issues.cron.as_str(), issues.zone), ("0 6 * * *", chrono_tz::Asia::Tokyo));
    assert_eq!(many.connections["github"].schedule("comments", &default), default);
}

#[test]
fn the_ledger_is_found_in_a_broken_configuration() {
    let found = |text: &str| {
        let mut desk = desk();
        desk.files.insert("/etc/loopd/broken.toml".into(), text.into());
        crate::config::ledger_path(Path::new("/etc/loopd/broken.toml"), &desk)
    };
    let at = |path: &str| Some(PathBuf::from(path));
    assert_eq!(found("[ledger] # ours\npath = \"here\" # too\n[http\nlisten = 1"), at("/etc/loopd/here"));
    assert_eq!(found("ledger.path = '/var/there'\n]]"), at("/var/there"));
    assert_eq!(found("ledger = { path = '/var/there', size = 3 }\nfrob = 1\n"), at("/var/there"));
    let default = found("[ledger]\npath = 17\n[other]\npath = 'no'").expect("the default");
    assert_eq!(default, found("").expect("the default"));
    assert!(default.ends_with("ledger"), "{}", default.display());
    assert_eq!(crate::config::ledger_path(Path::new("/nowhere.toml"), &desk()), None);
}

/// What `loopd check` says of a file beside these others.
fn examined(text: &str, files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    let desk = Desk { files: files.chain([("config.toml".into(), text.to_owned())]).collect(), ..Desk::default() };
    examine(Path::new("config.toml"), &desk).1.iter().map(ToString::to_string).collect()
}

#[test]
fn one_mistake_hides_no_other_and_causes_none() {
    let found = examined(
        r#"
zimezone = "UTC"
[connection.github]
kind  = "github"
repoz = ["acme/app"]
token = { env = "NOT_SET" }
[connection.airtable]
kind = "airtabel"
[connection.linear]
kind = "linear"
team = "ENG"
token = { env = "NOT_SET_EITHER" }
[[route]]
entity = "feedback"
to     = "airtable.Feedback"
[[route]]
entity = "feedback"
to     = "linear.issue"
when   = 'false'
"#,
        &[],
    );
    for part in
        ["zimezone", "did you mean `repos`?", "NOT_SET", "did you mean \"airtable\"?", "NOT_SET_EITHER", "never holds"]
    {
        has(&found, part);
    }
    assert!(!found.iter().any(|problem| problem.contains("no connection `airtable`")), "{found:#?}");
}

#[test]
fn a_broken_mapping_is_not_told_as_a_missing_one() {
    let text = "[mappings]\ndir = \"mine\"\n[connection.linear]\nkind = \"linear\"\nteam = \"ENG\"\ntoken = { env = \"T\" }\n[[route]]\nentity = \"feedback\"\nto = \"linear.issue\"\n";
    let broken = "into = \"linear.issue\"\nentity = \"feedback\"\n[fields.title]\nfrom = \".summary |\"\n";
    let found = examined(text, &[("mine/linear.issue.toml", broken)]);
    has(&found, "mine/linear.issue.toml:4");
    assert!(!found.iter().any(|problem| problem.contains("no mapping says")), "{found:#?}");
}

#[test]
fn numbers_need_no_mapping_and_no_route() {
    let mut desk = Desk::default();
    desk.env.insert("TOKEN".into(), "phx_1".into());
    let text = "[connection.posthog]\nkind = \"posthog\"\nproject = 1\ntoken = { env = \"TOKEN\" }\n";
    assert_eq!(checked(&desk, text), Vec::<String>::new());
}

#[test]
fn conditions_that_contradict_themselves_or_name_nothing_are_errors() {
    let route = |when: &str| {
        let text = format!(
            "[connection.linear]\nkind = \"linear\"\nteam = \"ENG\"\ntoken = {{ env = \"T\" }}\n[[route]]\nentity = \"feedback\"\nto = \"linear.issue\"\nwhen = '{when}'\n"
        );
        examined(&text, &[])
    };
    has(&route(r#".tags.severity == "high" and .tags.severity == "low""#), "at once, so this never holds");
    assert!(!route(r#".tags.severity == "high" or .tags.severity == "low""#).iter().any(|told| told.contains("never")));
    has(&route(r#".tgas.category == "bug""#), "has no `.tgas.category`");
}

#[test]
fn the_rules_of_recognition_are_read_and_held_against_each_other() {
    let rules = good(
        "[customers]\nmatch = [\"domain\", \"company_id\"]\nfree_mail = [\"mail.example.com\"]\ncompanies = [\"gmx.de\"]\nown_domains = [\"ours.example.com\"]\n",
    )
    .customers
    .rules;
    let alias = |text: &str| crate::schema::Alias::parse(text).expect("an alias");
    let names =
        ["name:lumen", "company_id:7", "github_org:lumen", "domain:b.example.com", "domain:a.example.com"].map(alias);
    let order: Vec<String> = rules.order(&names).iter().map(ToString::to_string).collect();
    assert_eq!(
        order,
        ["domain:b.example.com", "domain:a.example.com", "company_id:7", "name:lumen"],
        "kinds in order, others not at all"
    );
    assert!(rules.is_certain(&names[1]) && !rules.is_certain(&names[0]));
    for (domain, named) in [
        ("gmail.com", false),
        ("mail.example.com", false),
        ("gmx.de", true),
        ("ours.example.com", false),
        ("mail.ours.example.com", false),
        ("yours.example.com", true),
    ] {
        assert_eq!(rules.admits(&alias(&format!("domain:{domain}"))), named, "{domain}");
    }
    let told = |text: &str| wrong(&format!("[customers]\n{text}\n")).join(" ");
    assert!(told("match = [\"domain\", \"fax\"]").contains("there are domain, company_id"));
    assert!(told("match = [\"domain\"]\ndoubtful = [\"domain\"]").contains("certain and doubtful at once"));
    assert!(told("own_domains = [\"co.uk\"]").contains("no domain that could be somebody's"));
}
