//! What loopd brings along is true: the example is the defaults, and what `loopd init` writes loads and checks.

use connectors::Kind;

use super::*;

#[test]
fn the_example_is_the_defaults_and_names_every_setting() {
    let (empty, example) = (good(""), good(EXAMPLE));
    let shown = |config: &Config| {
        format!(
            "{:?}",
            (
                &config.ledger,
                &config.http,
                &config.log,
                config.timezone,
                &config.vocabularies,
                &config.sync,
                &config.close,
                &config.customers,
                &config.enrich,
                (&config.usage, &config.model, &config.tasks, &config.triage, &config.review),
                &config.auth
            )
        )
    };
    assert_eq!(shown(&empty), shown(&example));
    assert_eq!(
        shown(&empty),
        shown(&good(
            "[ledger]\n[http]\n[sync]\n[close]\n[customers]\n[enrich]\n[vocabularies]\n[mappings]\n[log]\n[usage]\n[auth]\n[model]\n[tasks]\n[triage]\n[review]"
        ))
    );
    assert!(example.connections.is_empty() && example.routes.is_empty());
    // A key that the reader knows and the example lacks would have no default, and nothing would load.
    assert_eq!(empty.http.listen.to_string(), "127.0.0.1:8787");
    assert_eq!(empty.ledger.audit_days, None);
    assert_eq!(empty.vocabularies["severity"].len(), 4);
}

/// A machine on which every secret is set; a service account's is a key file.
struct Furnished;

impl World for Furnished {
    fn read(&self, path: &Path) -> io::Result<String> {
        let google = path.to_string_lossy().contains("google");
        Ok(if google || path.ends_with("github.pem") { key_file() } else { "a secret".into() })
    }
    fn list(&self, _: &Path, _: &str) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
    fn env(&self, name: &str) -> Option<String> {
        Some(if name.starts_with("GOOGLE") { key_file() } else { "a secret".into() })
    }
    fn credentials(&self) -> Option<PathBuf> {
        Some(PathBuf::from("/credentials"))
    }
}

fn key_file() -> String {
    let key = include_str!("../../../connectors/github/fixtures/app_key_for_tests_only.pem");
    json!({"client_email": "loopd@example.com", "private_key": key}).to_string()
}

fn examined_whole(text: &str) -> (Config, Vec<String>) {
    let config = load_text("config.toml", text, Path::new("/etc/loopd"), &Furnished)
        .unwrap_or_else(|problems| panic!("{text}\n{}", problems.iter().map(Problem::render).collect::<String>()));
    let found = check(&config, &Furnished).iter().map(ToString::to_string).collect();
    (config, found)
}

/// The connections and routes of the example, as if nobody had commented them out; other ways to sign in stay so.
fn commented() -> String {
    let start = EXAMPLE.find("# [connection.github]").expect("the connections");
    EXAMPLE[start..]
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line.trim_start_matches('#')))
        .filter(|line| !line.starts_with("---") && !line.starts_with("Routes:"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn the_commented_part_of_the_example_is_true_as_well() {
    let (config, found) =
        examined_whole(&format!("[http]\npublic_url = \"https://loopd.example.com\"\n{}", commented()));
    assert!(found.is_empty(), "{found:#?}");
    let kinds: std::collections::BTreeSet<Kind> =
        config.connections.values().map(|connection| connection.kind).collect();
    assert_eq!(kinds.len(), Kind::ALL.len(), "every vendor is shown: {kinds:?}");
    let shown = EXAMPLE.lines().filter(|line| line.starts_with("# [[route]]")).count();
    assert_eq!(config.routes.len(), shown);
}

#[test]
fn the_example_shows_every_key_that_a_vendors_page_tells_of() {
    let mut lacking = Vec::new();
    for kind in Kind::ALL {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/vendors/{}.md", kind.name()));
        let page = std::fs::read_to_string(page).expect("a page");
        let settings = page.split("## Settings").nth(1).expect("its settings").split("\n## ").next().expect("a text");
        // The first cell of each row: `a`, or `a`, `b`.
        let rows = settings.lines().filter(|line| line.starts_with("| `"));
        let keys: Vec<String> = rows
            .filter_map(|row| row.split('|').nth(1))
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .map(|key| key.split([' ', '=']).next().unwrap_or_default().to_owned())
            .collect();
        assert!(keys.len() >= 4, "{}: {keys:?}", kind.name());
        let at = EXAMPLE.find(&format!("# [connection.{}]", kind.name())).expect("it is shown");
        let block = EXAMPLE[at + 3..].split("# [connection.").next().expect("its block");
        let shown = |key: &str| {
            let keys = block.lines().filter_map(|line| line.trim_start_matches(['#', ' ']).split([' ', '=']).next());
            keys.into_iter().any(|shown| shown == key)
        };
        // Told once for all, above.
        let common = ["quota"];
        lacking.extend(
            keys.into_iter().filter(|key| !shown(key) && !common.contains(&key.as_str())).map(|key| (kind.name(), key)),
        );
    }
    assert!(lacking.is_empty(), "{lacking:?}");
}

#[test]
fn a_starter_loads_and_checks_for_any_choice_of_vendors() {
    let alone = Kind::ALL.into_iter().map(|kind| vec![kind]);
    let to: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !routes(&[*kind]).is_empty()).collect();
    let pairs = to.iter().flat_map(|one| to.iter().map(|other| vec![*one, *other]).filter(|two| two[0] < two[1]));
    for chosen in alone.chain(pairs).chain([Vec::new(), Kind::ALL.to_vec()]) {
        let text = starter(&chosen);
        let (config, found) = examined_whole(&text);
        assert!(found.is_empty(), "{text}\n{found:#?}");
        assert_eq!(config.connections.len(), chosen.len());
    }
}

#[test]
fn tasks_stand_beside_an_object_as_salesforces_page_says() {
    let page = include_str!("../../../docs/vendors/salesforce.md");
    let route = page.split("```toml").find(|block| block.contains("\"salesforce.Task\"")).expect("the page shows it");
    let route = route.split("[[route]]").nth(1).and_then(|route| route.split("```").next()).expect("a route");
    let text = format!(
        "[connection.salesforce]\nkind = \"salesforce\"\nbase_url = \"https://example.my.salesforce.com\"\n\
         client_id = \"x\"\nclient_secret = {{ env = \"T\" }}\nobjects = [\"Loopd_Feedback__c\", \"Task\"]\n\
         [[route]]{route}[[route]]\nentity = \"feedback\"\nto = \"salesforce.Loopd_Feedback__c\"\n"
    );
    assert_eq!(checked(&desk(), &text), Vec::<String>::new());
}
