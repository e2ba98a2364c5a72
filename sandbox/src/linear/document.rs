//! A GraphQL document, parsed and checked against the schema before anything is run; and what it costs.

use std::collections::{BTreeMap, BTreeSet};

use graphql_parser::query::{
    Definition, Directive, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet, TypeCondition,
    Value as Literal, VariableDefinition,
};
use serde_json::{Map, Value, json};

use super::fault::{Answer, Fault};
use super::schema::{FieldDef, Ty, schema};
use super::values;

type Set = SelectionSet<'static, String>;

/// One operation of a document, ready to run.
pub(super) struct Operation {
    pub(super) mutation: bool,
    pub(super) selection: Set,
    variables: Vec<VariableDefinition<'static, String>>,
    fragments: BTreeMap<String, FragmentDefinition<'static, String>>,
}

/// A field to resolve: everything under one response key.
pub(super) struct Wanted<'d> {
    pub(super) key: &'d str,
    pub(super) field: &'d Field<'static, String>,
    /// The same key may be selected more than once; the selections below it are merged.
    pub(super) below: Vec<&'d Set>,
}

impl Operation {
    /// Parses and validates. `name` is `operationName`.
    pub(super) fn read(text: &str, name: Option<&str>) -> Answer<Self> {
        let parsed = graphql_parser::parse_query::<String>(text);
        let document = parsed.map_err(|error| Fault::syntax(format!("Syntax Error: {error}")))?.into_static();
        let mut operations = Vec::new();
        let mut fragments = BTreeMap::new();
        for definition in document.definitions {
            match definition {
                Definition::Operation(operation) => operations.push(operation),
                Definition::Fragment(fragment) => {
                    fragments.insert(fragment.name.clone(), fragment);
                }
            }
        }
        let count = operations.len();
        let chosen = operations.into_iter().find(|operation| match name {
            Some(name) => name_of(operation) == Some(name),
            None => count == 1,
        });
        let chosen = chosen.ok_or_else(|| Fault::validation("Must provide an operation that the document has."))?;
        let (mutation, selection, variables) = match chosen {
            OperationDefinition::SelectionSet(selection) => (false, selection, Vec::new()),
            OperationDefinition::Query(query) => (false, query.selection_set, query.variable_definitions),
            OperationDefinition::Mutation(mutation) => (true, mutation.selection_set, mutation.variable_definitions),
            OperationDefinition::Subscription(_) => {
                return Err(Fault::validation("Subscriptions are not supported here."));
            }
        };
        let operation = Self { mutation, selection, variables, fragments };
        operation.check()?;
        Ok(operation)
    }

    pub(super) fn root(&self) -> &'static str {
        if self.mutation { "Mutation" } else { "Query" }
    }

    /// The names of the root fields, in order, for the table of calls.
    pub(super) fn names(&self) -> Vec<String> {
        let everything = Map::new();
        self.collect(self.root(), &[&self.selection], &everything)
            .iter()
            .map(|wanted| wanted.field.name.clone())
            .collect()
    }

    /// The variables as their declared types have them.
    pub(super) fn variables(&self, given: &Map<String, Value>) -> Answer<Map<String, Value>> {
        let mut out = Map::new();
        for variable in &self.variables {
            let ty = Ty::of(&variable.var_type);
            let default = variable.default_value.as_ref().map(|value| values::literal(value, &Map::new()));
            match given.get(&variable.name).cloned().or(default) {
                Some(value) => {
                    let coerced = values::coerce(&ty, &value, "").map_err(|why| {
                        Fault::variable(format!("Variable \"${}\" got invalid value {value}; {why}", variable.name))
                    })?;
                    out.insert(variable.name.clone(), coerced);
                }
                None if ty.is_required() => {
                    let why = format!("Variable \"${}\" of required type \"{ty}\" was not provided.", variable.name);
                    return Err(Fault::variable(why));
                }
                None => {}
            }
        }
        Ok(out)
    }

    /// The fields to resolve on `object`, fragments flattened, `@skip` and `@include` obeyed, keys merged.
    pub(super) fn collect<'d>(
        &'d self,
        object: &str,
        sets: &[&'d Set],
        variables: &Map<String, Value>,
    ) -> Vec<Wanted<'d>> {
        let mut out = Vec::new();
        for set in sets {
            self.collect_into(object, set, variables, &mut out);
        }
        out
    }

    fn collect_into<'d>(
        &'d self,
        object: &str,
        set: &'d Set,
        variables: &Map<String, Value>,
        out: &mut Vec<Wanted<'d>>,
    ) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) if included(&field.directives, variables) => {
                    let key = field.alias.as_deref().unwrap_or(&field.name);
                    match out.iter_mut().find(|wanted| wanted.key == key) {
                        Some(wanted) => wanted.below.push(&field.selection_set),
                        None => out.push(Wanted { key, field, below: vec![&field.selection_set] }),
                    }
                }
                Selection::FragmentSpread(spread) if included(&spread.directives, variables) => {
                    if let Some(fragment) = self.fragments.get(&spread.fragment_name)
                        && applies(Some(&fragment.type_condition), object)
                    {
                        self.collect_into(object, &fragment.selection_set, variables, out);
                    }
                }
                Selection::InlineFragment(inline) if included(&inline.directives, variables) => {
                    if applies(inline.type_condition.as_ref(), object) {
                        self.collect_into(object, &inline.selection_set, variables, out);
                    }
                }
                Selection::Field(_) | Selection::FragmentSpread(_) | Selection::InlineFragment(_) => {}
            }
        }
    }

    /// Points (linear.app/developers/rate-limiting, read 2026-11-23): each property 0.1, each object 1, and a connection
    /// multiplies its rows by `first`, or 50. An object of which only the id is asked counts as a property here: by the
    /// letter, a page of 250 by Linear's own SDK would be refused, and it is not.
    pub(super) fn complexity(&self, variables: &Map<String, Value>) -> f64 {
        self.cost(self.root(), &[&self.selection], variables)
    }

    fn cost(&self, object: &str, sets: &[&Set], variables: &Map<String, Value>) -> f64 {
        self.collect(object, sets, variables).iter().map(|wanted| self.cost_of(object, wanted, 1.0, variables)).sum()
    }

    fn cost_of(&self, object: &str, wanted: &Wanted<'_>, times: f64, variables: &Map<String, Value>) -> f64 {
        let Some(def) = schema().field(object, &wanted.field.name) else { return 0.0 };
        let below = def.ty.name();
        if !schema().is_object(below) {
            return 0.1;
        }
        let fields = self.collect(below, &wanted.below, variables);
        if below.ends_with("Connection") {
            let page = ["first", "last"].iter().find_map(|name| {
                let (_, value) = wanted.field.arguments.iter().find(|(arg, _)| arg == name)?;
                values::literal(value, variables).as_f64()
            });
            let rows = page.unwrap_or(50.0);
            let inner = fields.iter().map(|field| {
                self.cost_of(below, field, if field.field.name == "pageInfo" { 1.0 } else { rows }, variables)
            });
            return 1.0 + inner.sum::<f64>();
        }
        let only_id = fields.iter().all(|field| matches!(field.field.name.as_str(), "id" | "__typename"));
        let inner: f64 = fields.iter().map(|field| self.cost_of(below, field, 1.0, variables)).sum();
        times * (if only_id { 0.1 } else { 1.0 + inner })
    }

    fn check(&self) -> Answer<()> {
        let mut used = BTreeSet::new();
        self.check_set(self.root(), &self.selection, &mut Vec::new(), &mut used)?;
        let declared: BTreeSet<&str> = self.variables.iter().map(|v| v.name.as_str()).collect();
        if let Some(name) = used.iter().find(|name| !declared.contains(name.as_str())) {
            return Err(Fault::validation(format!("Variable \"${name}\" is not defined.")));
        }
        match declared.iter().find(|name| !used.contains(**name)) {
            Some(name) => Err(Fault::validation(format!("Variable \"${name}\" is never used."))),
            None => Ok(()),
        }
    }

    fn check_set(&self, object: &str, set: &Set, open: &mut Vec<String>, used: &mut BTreeSet<String>) -> Answer<()> {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    uses(&field.directives, used);
                    self.check_field(object, field, open, used)?;
                }
                Selection::FragmentSpread(spread) => {
                    uses(&spread.directives, used);
                    let name = &spread.fragment_name;
                    let fragment = self
                        .fragments
                        .get(name)
                        .ok_or_else(|| Fault::validation(format!("Unknown fragment \"{name}\".")))?;
                    if open.contains(name) {
                        return Err(Fault::validation(format!("Cannot spread fragment \"{name}\" within itself.")));
                    }
                    let TypeCondition::On(on) = &fragment.type_condition;
                    check_type(on)?;
                    open.push(name.clone());
                    self.check_set(if on == "Node" { object } else { on }, &fragment.selection_set, open, used)?;
                    open.pop();
                }
                Selection::InlineFragment(inline) => {
                    uses(&inline.directives, used);
                    let on = inline.type_condition.as_ref().map(|TypeCondition::On(on)| on.as_str());
                    on.map_or(Ok(()), check_type)?;
                    self.check_set(on.filter(|on| *on != "Node").unwrap_or(object), &inline.selection_set, open, used)?;
                }
            }
        }
        Ok(())
    }

    fn check_field(
        &self,
        object: &str,
        field: &Field<'static, String>,
        open: &mut Vec<String>,
        used: &mut BTreeSet<String>,
    ) -> Answer<()> {
        let name = &field.name;
        if name == "__typename" {
            return Ok(());
        }
        let def = schema().field(object, name);
        let def =
            def.ok_or_else(|| Fault::validation(format!("Cannot query field \"{name}\" on type \"{object}\".")))?;
        for (arg, value) in &field.arguments {
            let Some(input) = def.args.get(arg) else {
                return Err(Fault::validation(format!("Unknown argument \"{arg}\" on field \"{object}.{name}\".")));
            };
            variables_in(value, used);
            // What holds a variable is checked when its value is known.
            let mut held = BTreeSet::new();
            variables_in(value, &mut held);
            if held.is_empty() {
                values::coerce(&input.ty, &values::literal(value, &Map::new()), arg).map_err(Fault::validation)?;
            }
        }
        if let Some((arg, input)) = def.args.iter().find(|(arg, input)| {
            input.ty.is_required() && input.default.is_none() && !field.arguments.iter().any(|(given, _)| given == *arg)
        }) {
            let why = format!(
                "Field \"{name}\" argument \"{arg}\" of type \"{}\" is required, but it was not provided.",
                input.ty
            );
            return Err(Fault::validation(why));
        }
        let below = def.ty.name();
        match (schema().is_object(below), field.selection_set.items.is_empty()) {
            (true, true) => {
                let why = format!("Field \"{name}\" of type \"{}\" must have a selection of subfields.", def.ty);
                Err(Fault::validation(why))
            }
            (false, false) => {
                let why =
                    format!("Field \"{name}\" must not have a selection since type \"{}\" has no subfields.", def.ty);
                Err(Fault::validation(why))
            }
            (true, false) => self.check_set(below, &field.selection_set, open, used),
            (false, true) => Ok(()),
        }
    }
}

/// The arguments of a field, with variables put in and defaults filled in.
pub(super) fn arguments(
    def: &FieldDef,
    field: &Field<'static, String>,
    variables: &Map<String, Value>,
) -> Answer<Map<String, Value>> {
    let given = field
        .arguments
        .iter()
        .filter(|(_, value)| !matches!(value, Literal::Variable(name) if !variables.contains_key(name)))
        .map(|(name, value)| (name.clone(), values::literal(value, variables)))
        .collect();
    values::arguments(&def.args, &given, &field.name, "").map_err(Fault::variable)
}

fn name_of<'d>(operation: &'d OperationDefinition<'static, String>) -> Option<&'d str> {
    match operation {
        OperationDefinition::SelectionSet(_) => None,
        OperationDefinition::Query(query) => query.name.as_deref(),
        OperationDefinition::Mutation(mutation) => mutation.name.as_deref(),
        OperationDefinition::Subscription(subscription) => subscription.name.as_deref(),
    }
}

fn check_type(name: &str) -> Answer<()> {
    if name == "Node" || schema().is_object(name) {
        Ok(())
    } else {
        Err(Fault::validation(format!("Unknown type \"{name}\".")))
    }
}

fn applies(condition: Option<&TypeCondition<'static, String>>, object: &str) -> bool {
    condition.is_none_or(|TypeCondition::On(on)| on == object || on == "Node")
}

fn included(directives: &[Directive<'static, String>], variables: &Map<String, Value>) -> bool {
    directives.iter().all(|directive| {
        let on = directive
            .arguments
            .iter()
            .find(|(name, _)| name == "if")
            .map(|(_, value)| values::literal(value, variables));
        match (directive.name.as_str(), on) {
            ("skip", Some(on)) => on != json!(true),
            // Without variables at hand (the table of calls) everything counts.
            ("include", Some(on)) => on != json!(false),
            _ => true,
        }
    })
}

fn uses(directives: &[Directive<'static, String>], used: &mut BTreeSet<String>) {
    for (_, value) in directives.iter().flat_map(|directive| &directive.arguments) {
        variables_in(value, used);
    }
}

fn variables_in(value: &Literal<'static, String>, used: &mut BTreeSet<String>) {
    match value {
        Literal::Variable(name) => {
            used.insert(name.clone());
        }
        Literal::List(items) => items.iter().for_each(|item| variables_in(item, used)),
        Literal::Object(fields) => fields.values().for_each(|item| variables_in(item, used)),
        Literal::Int(_)
        | Literal::Float(_)
        | Literal::String(_)
        | Literal::Boolean(_)
        | Literal::Null
        | Literal::Enum(_) => {}
    }
}
