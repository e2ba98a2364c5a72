//! The words of a message: the template of `[close]`, filled in.

use minijinja::{Environment, context};

use crate::house::House;
use crate::schema::{Entity, EntityKind};

/// How much work a template may make: enough for any message, too little to hang.
const FUEL: u64 = 100_000;

/// The message for an item that has shipped.
pub fn render(house: &House, entity: &Entity) -> Result<String, String> {
    let Some(feedback) = entity.as_feedback() else { return Err("only feedback is closed".into()) };
    let customer = feedback.customer.and_then(|id| house.ledger.entity(id).ok().flatten());
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    let shown = context! {
        title => feedback.title.clone().unwrap_or_default(),
        author => feedback.author.name.clone().or_else(|| feedback.author.handle.clone()).unwrap_or_default(),
        customer => customer.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.name.clone()).unwrap_or_default(),
        product => feedback.tags.product.clone().unwrap_or_default(),
        short_id => entity.id.short(EntityKind::Feedback),
    };
    environment.render_str(&house.config.close.template, shown).map_err(|error| error.to_string())
}
