//! What Linear's own schema says of our operations, of our part of it, and of each request: the document and the types of
//! its variables.

use std::sync::OnceLock;

use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::JsonMap;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use serde_json::Value;

use crate::{repository, shared};

/// Linear's whole schema, where it is at hand.
#[expect(clippy::print_stderr, reason = "a check that did not run must be seen")]
pub(super) fn vendor() -> Option<&'static Valid<Schema>> {
    static SCHEMA: OnceLock<Option<Valid<Schema>>> = OnceLock::new();
    let read = || {
        let file = shared("specs/linear/schema.graphql");
        let Ok(text) = std::fs::read_to_string(&file) else {
            eprintln!("{} is not here: GraphQL is not checked against it", file.display());
            return None;
        };
        Some(Schema::parse_and_validate(text, "schema.graphql").unwrap_or_else(|wrong| panic!("{}", wrong.errors)))
    };
    SCHEMA.get_or_init(read).as_ref()
}

/// What is wrong with a request by Linear's schema.
pub(super) fn check(schema: &Valid<Schema>, body: &[u8]) -> Result<(), String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let query = body["query"].as_str().unwrap_or_default();
    let document = ExecutableDocument::parse_and_validate(schema, query, "request.graphql")
        .map_err(|wrong| wrong.errors.to_string())?;
    let operation = document
        .operations
        .get(body["operationName"].as_str())
        .map_err(|_| "no such operation in the document".to_owned())?;
    let variables: JsonMap = serde_json::from_value(body["variables"].clone()).map_err(|error| error.to_string())?;
    coerce_variable_values(schema, operation, &variables).map_err(|wrong| format!("{wrong:?}"))?;
    Ok(())
}

#[test]
fn our_operations_are_valid_by_linears_schema() {
    let Some(vendor) = vendor() else { return };
    let text = std::fs::read_to_string(repository().join("connectors/linear/operations.graphql")).expect("it is here");
    if let Err(wrong) = ExecutableDocument::parse_and_validate(vendor, text, "operations.graphql") {
        panic!("{}", wrong.errors);
    }
}

#[test]
fn our_schema_is_a_part_of_linears() {
    let Some(vendor) = vendor() else { return };
    let text = std::fs::read_to_string(repository().join("connectors/linear/schema.graphql")).expect("it is here");
    let ours = Schema::parse_and_validate(text, "ours.graphql").unwrap_or_else(|wrong| panic!("{}", wrong.errors));
    let mut wrong = Vec::new();
    for (name, kind) in ours.types.iter().filter(|(_, kind)| !kind.is_built_in()) {
        let Some(theirs) = vendor.types.get(name) else {
            wrong.push(format!("there is no {name}"));
            continue;
        };
        let mut differs = |what: String, ours: String, theirs: Option<String>| {
            if theirs.as_ref() != Some(&ours) {
                wrong.push(format!("{what}: {ours} here, {theirs:?} there"));
            }
        };
        match (kind, theirs) {
            (ExtendedType::Object(ours), ExtendedType::Object(theirs)) => {
                for (field, spec) in &ours.fields {
                    let there = theirs.fields.get(field);
                    differs(format!("{name}.{field}"), spec.ty.to_string(), there.map(|there| there.ty.to_string()));
                    for argument in &spec.arguments {
                        let there = there
                            .and_then(|there| there.argument_by_name(&argument.name))
                            .map(|there| there.ty.to_string());
                        differs(format!("{name}.{field}({})", argument.name), argument.ty.to_string(), there);
                    }
                }
            }
            (ExtendedType::InputObject(ours), ExtendedType::InputObject(theirs)) => {
                for (field, spec) in &ours.fields {
                    differs(
                        format!("{name}.{field}"),
                        spec.ty.to_string(),
                        theirs.fields.get(field).map(|there| there.ty.to_string()),
                    );
                }
            }
            (ExtendedType::Enum(ours), ExtendedType::Enum(theirs)) => {
                for value in ours.values.keys().filter(|value| !theirs.values.contains_key(*value)) {
                    differs(format!("{name}.{value}"), "a value".into(), None);
                }
            }
            (ExtendedType::Scalar(_), ExtendedType::Scalar(_)) => {}
            _ => wrong.push(format!("{name} is of another kind there")),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
