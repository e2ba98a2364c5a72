//! What a server says of its models.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::json::{array, text};
use crate::model::ModelCard;

/// `{data: [card]}`; a bare array is understood, too. What has no id is none.
pub(crate) fn read(told: &Value) -> Vec<ModelCard> {
    let cards = told.as_array().map_or_else(|| array(told, "data"), Vec::as_slice);
    cards.iter().filter_map(card).collect()
}

fn card(told: &Value) -> Option<ModelCard> {
    let can = &told["capabilities"];
    Some(ModelCard {
        id: text(told, "id")?,
        aliases: array(told, "aliases").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        // vLLM calls it `max_model_len`.
        context: ["max_context_length", "max_model_len"].iter().find_map(|key| told[*key].as_u64()),
        deprecated: told["deprecation"].as_str().and_then(instant),
        replacement: text(told, "deprecation_replacement_model").filter(|name| !name.is_empty()),
        chat: can["completion_chat"].as_bool().unwrap_or(true),
        reasoning: can["reasoning"].as_bool(),
        temperature: told["default_model_temperature"].as_f64(),
    })
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    let with_zone = DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc()).ok();
    with_zone.or_else(|| text.parse::<chrono::NaiveDateTime>().ok().map(|moment| moment.and_utc()))
}
