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
fn aliases_are_normalised_and_free_mail_recognises_nobody() {
    let domain = |text| Alias::new(AliasKind::Domain, text).map(|alias| alias.value);
    assert_eq!(domain("Ada@Example.COM"), Some("example.com".into()));
    assert_eq!(domain("https://www.example.com/about"), Some("example.com".into()));
    assert_eq!(domain("someone@gmail.com"), None);
    assert_eq!(domain("localhost"), None);
    assert_eq!(domain("  "), None);
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
