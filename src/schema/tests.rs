use serde_json::json;

use super::*;

#[test]
fn ids_follow_from_their_origin_and_look_like_uuid_v4() {
    let id = EntityId::derive("github", "issue", "acme/app#7");
    assert_eq!(id, EntityId::derive("github", "issue", "acme/app#7"));
    assert_ne!(id, EntityId::derive("github", "issu", "eacme/app#7"), "parts are framed, not glued");
    let text = id.to_string();
    assert_eq!(text.len(), 36);
    assert_eq!(&text[14..15], "4");
    assert!("89ab".contains(&text[19..20]));
    assert_eq!(text.parse::<EntityId>(), Ok(id));
    assert!(id.short(EntityKind::Feedback).starts_with("FB-"));
    assert_ne!(id.branch("linear.issue", 1), id.branch("linear.issue", 2));
}

#[test]
fn every_kind_survives_the_way_through_json() {
    for kind in EntityKind::ALL {
        let entity = Entity::empty(EntityId::derive("a", "b", "c"), kind);
        let back = Entity::from_value(entity.id, kind, entity.to_value()).expect("its own JSON");
        assert_eq!(back, entity);
    }
}

#[test]
fn a_value_of_another_type_is_refused_by_name() {
    let error = Entity::from_value(EntityId::derive("a", "b", "c"), EntityKind::Customer, json!({"arr": "lots"}));
    assert!(error.expect_err("a string is no number").to_string().contains("lots"));
}

#[test]
fn aliases_are_normalised_and_what_is_nobodys_domain_names_nobody() {
    let domain = |text| Alias::new(AliasKind::Domain, text).map(|alias| alias.value);
    assert_eq!(domain("Ada@Example.COM"), Some("example.com".into()));
    assert_eq!(domain("https://www.example.com/about"), Some("example.com".into()));
    for nobodys in ["localhost", "  ", "co.uk", "www.com.au", "github.io", "https://or.jp/"] {
        assert_eq!(domain(nobodys), None, "{nobodys}");
    }
    assert_eq!(domain("www.lumen.co.uk"), Some("lumen.co.uk".into()));
    assert_eq!(domain("co.example"), Some("co.example".into()), "only countries give out second levels");
    assert!(domain::is_mail_provider("gmail.com") && !domain::is_mail_provider("example.com"));
    let means = |text| Alias::of_domain(text).iter().map(Alias::to_string).collect::<Vec<_>>();
    assert_eq!(means("Ada@gmail.com"), ["domain:gmail.com", "email:ada@gmail.com"]);
    assert_eq!(means("ada@example.com"), ["domain:example.com"]);
    assert_eq!(Alias::parse("domain: Lumen.example.com"), Alias::new(AliasKind::Domain, "lumen.example.com"));
    assert_eq!(Alias::parse("nonsense:x"), None);
}

#[test]
fn both_forms_of_a_salesforce_id_are_one() {
    let account = |text| Alias::new(AliasKind::SalesforceAccount, text).map(|alias| alias.value);
    assert_eq!(account("001D000000IRFmaIAH"), account("001D000000IRFma"));
    assert_ne!(account("001D000000IRFma"), account("001D000000IRFmA"), "in 15 characters case counts");
}

#[test]
fn paths_read_and_set() {
    let path: Path = ".tags.category".parse().expect("a path");
    let mut value = json!({"tags": {"severity": "high"}});
    assert_eq!(path.get(&value), &Value::Null);
    path.set(&mut value, json!("bug"));
    assert_eq!(value, json!({"tags": {"severity": "high", "category": "bug"}}));
    for bad in ["", ".", ".a[0]", ".a | b", ".a..b", "1a"] {
        assert!(bad.parse::<Path>().is_err(), "{bad}");
    }
}
