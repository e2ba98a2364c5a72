//! Linear's schema, as far as it is modelled (`schema.graphql` beside this file): which fields, arguments and inputs
//! exist and what types they have. Validation and execution ask here and nowhere else.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use graphql_parser::schema::{Definition, Document, InputValue, Type, TypeDefinition};
use serde_json::Value;

use super::values;

pub(super) struct Schema {
    types: BTreeMap<String, TypeDef>,
}

pub(super) enum TypeDef {
    Object(BTreeMap<String, FieldDef>),
    Input(BTreeMap<String, InputDef>),
    Enum(Vec<String>),
    Scalar,
}

pub(super) struct FieldDef {
    pub(super) args: BTreeMap<String, InputDef>,
    pub(super) ty: Ty,
}

pub(super) struct InputDef {
    pub(super) ty: Ty,
    pub(super) default: Option<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ty {
    Named(String),
    List(Box<Ty>),
    NonNull(Box<Ty>),
}

impl Ty {
    /// The name within lists and non-nulls.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::NonNull(inner) => inner.name(),
        }
    }

    pub(super) fn is_required(&self) -> bool {
        matches!(self, Self::NonNull(_))
    }

    pub(super) fn of(ty: &Type<'_, String>) -> Self {
        match ty {
            Type::NamedType(name) => Self::Named(name.clone()),
            Type::ListType(inner) => Self::List(Box::new(Self::of(inner))),
            Type::NonNullType(inner) => Self::NonNull(Box::new(Self::of(inner))),
        }
    }
}

impl std::fmt::Display for Ty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::NonNull(inner) => write!(f, "{inner}!"),
        }
    }
}

/// Read once; the file is compiled in and known to parse.
pub(super) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let parsed = graphql_parser::parse_schema::<String>(include_str!("schema.graphql"));
        match parsed {
            Ok(document) => Schema::of(&document.into_static()),
            Err(error) => panic!("the compiled-in Linear schema does not parse: {error}"),
        }
    })
}

impl Schema {
    fn of(document: &Document<'static, String>) -> Self {
        let mut types = BTreeMap::new();
        for name in ["ID", "String", "Int", "Float", "Boolean"] {
            types.insert(name.to_owned(), TypeDef::Scalar);
        }
        for definition in &document.definitions {
            let Definition::TypeDefinition(definition) = definition else { continue };
            match definition {
                TypeDefinition::Object(object) => {
                    let fields = object
                        .fields
                        .iter()
                        .map(|f| (f.name.clone(), FieldDef { args: inputs(&f.arguments), ty: Ty::of(&f.field_type) }));
                    types.insert(object.name.clone(), TypeDef::Object(fields.collect()));
                }
                TypeDefinition::InputObject(input) => {
                    types.insert(input.name.clone(), TypeDef::Input(inputs(&input.fields)));
                }
                TypeDefinition::Enum(choice) => {
                    let values = choice.values.iter().map(|v| v.name.clone()).collect();
                    types.insert(choice.name.clone(), TypeDef::Enum(values));
                }
                TypeDefinition::Scalar(scalar) => {
                    types.insert(scalar.name.clone(), TypeDef::Scalar);
                }
                // Nothing modelled has a union's type, so it needs no fields: it is selected, and null.
                TypeDefinition::Union(union) => {
                    types.insert(union.name.clone(), TypeDef::Object(BTreeMap::new()));
                }
                TypeDefinition::Interface(_) => {}
            }
        }
        Self { types }
    }

    pub(super) fn get(&self, name: &str) -> Option<&TypeDef> {
        self.types.get(name)
    }

    pub(super) fn field(&self, object: &str, field: &str) -> Option<&FieldDef> {
        match self.types.get(object)? {
            TypeDef::Object(fields) => fields.get(field),
            TypeDef::Input(_) | TypeDef::Enum(_) | TypeDef::Scalar => None,
        }
    }

    pub(super) fn inputs(&self, name: &str) -> Option<&BTreeMap<String, InputDef>> {
        match self.types.get(name)? {
            TypeDef::Input(fields) => Some(fields),
            TypeDef::Object(_) | TypeDef::Enum(_) | TypeDef::Scalar => None,
        }
    }

    pub(super) fn is_object(&self, name: &str) -> bool {
        matches!(self.types.get(name), Some(TypeDef::Object(_)))
    }
}

fn inputs(list: &[InputValue<'static, String>]) -> BTreeMap<String, InputDef> {
    list.iter()
        .map(|input| {
            let default = input.default_value.as_ref().map(|value| values::literal(value, &serde_json::Map::new()));
            (input.name.clone(), InputDef { ty: Ty::of(&input.value_type), default })
        })
        .collect()
}
