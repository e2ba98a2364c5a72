//! Of the language model: its key, its settings, and whether the prompts in use are there.

use std::sync::Arc;

use connectors::Outside;
use secrecy::SecretString;

use super::account::{Nowhere, Standing};
use crate::config::{Config, Problem, Provider, World};

pub(super) fn check(config: &Config, world: &dyn World) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (task, settings) in &config.tasks {
        if config.prompts.get(*task, &settings.prompt).is_none() {
            let field = format!("tasks.{}.prompt", task.name());
            let what = format!("there is no prompt {}/{}", task.name(), settings.prompt);
            let mend = format!("there are versions {}", config.prompts.versions(*task).join(", "));
            problems.push(Problem::of_file("", what).field(&field).mend(mend));
        }
    }
    if config.model.provider == Provider::None {
        return problems;
    }
    if let Err(problem) = config.model_key(world) {
        problems.push(problem);
    }
    if config.model.provider == Provider::Mistral && config.model.key.is_none() {
        let mend = "write key = { env = \"MISTRAL_API_KEY\" }; it is made in the console of the workspace";
        problems.push(Problem::of_file("", "is missing").field("model.key").mend(mend));
    }
    let outside = Outside {
        transport: Arc::new(Nowhere),
        clock: Arc::new(Standing),
        vault: Arc::new(connectors::oauth::NoVault),
    };
    let urls = [&config.model.base_url].into_iter().chain(config.model.regions.values());
    for url in urls {
        let mut settings = config.model.settings.clone();
        settings.insert("base_url".into(), url.as_str().into());
        let made_up = Some(SecretString::from("not-a-secret"));
        if let Err(error) = connectors::model::open(&settings, made_up, &outside) {
            let field = error.key.as_deref().map_or_else(|| "model".to_owned(), |key| format!("model.{key}"));
            problems.push(Problem::of_file("", error.why.clone()).field(&field));
        }
    }
    problems
}
