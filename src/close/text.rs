//! The words of a message: the template of `[close]`, filled in.

use serde_json::json;

use crate::house::House;
use crate::mapping::{Place, Template};
use crate::schema::{Entity, EntityKind};

/// The message for an item that has shipped. It may show `title`, `author`, `customer`, `product` and `short_id`, with
/// the filters of mapping templates.
pub fn render(house: &House, entity: &Entity) -> Result<String, String> {
    let Some(feedback) = entity.as_feedback() else { return Err("only feedback is closed".into()) };
    let customer = feedback.customer.and_then(|id| house.ledger.entity(id).ok().flatten());
    let place = Place { file: "config.toml".into(), line: 1, column: 1, field: "close.template".into() };
    let template = Template::compile(&house.config.close.template, place).map_err(|broken| broken.what)?;
    let shown = json!({
        "title": feedback.title.clone().unwrap_or_default(),
        "author": feedback.author.name.clone().or_else(|| feedback.author.handle.clone()).unwrap_or_default(),
        "customer": customer.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.name.clone()).unwrap_or_default(),
        "product": feedback.tags.product.clone().unwrap_or_default(),
        "short_id": entity.id.short(EntityKind::Feedback),
    });
    template.render(&shown).map_err(|error| error.what)
}
