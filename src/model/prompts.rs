//! The prompt library: `prompts/TASK/VERSION.md`, shipped in the program; a file of the same name in the folder of `[model] prompts`
//! stands before it.
//!
//! A file is TOML front matter between two lines of `+++`, then a minijinja template with the blocks `system` and `user`. Law: a
//! prompt that is not whole is refused when the configuration is read, with its file and line; at work none can fail but for
//! its length.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, context};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::mapping::Problem;
use crate::schema::Task;

/// The prompts that loopd ships, by where they stand.
pub const SHIPPED: &[(&str, &str)] = &[
    ("classify/1.md", include_str!("../../prompts/classify/1.md")),
    ("digest/1.md", include_str!("../../prompts/digest/1.md")),
    ("duplicate/1.md", include_str!("../../prompts/duplicate/1.md")),
    ("extract/1.md", include_str!("../../prompts/extract/1.md")),
    ("jtbd/1.md", include_str!("../../prompts/jtbd/1.md")),
    ("risk/1.md", include_str!("../../prompts/risk/1.md")),
    ("theme/1.md", include_str!("../../prompts/theme/1.md")),
];

const FUEL: u64 = 5_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    task: String,
    version: String,
    #[serde(default)]
    temperature: f64,
    max_tokens: u32,
    schema: toml::Table,
}

/// One prompt.
#[derive(Debug)]
pub struct Prompt {
    pub task: Task,
    pub version: String,
    pub temperature: f64,
    /// The most that an answer may hold.
    pub max_tokens: u32,
    /// As written: vocabularies stand as `$name`.
    pub schema: Value,
    /// Where it came from: `prompts/classify/1.md`, or a path.
    pub file: String,
    pub text: String,
    environment: Environment<'static>,
}

/// A prompt with everything in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub system: String,
    pub user: String,
}

impl Prompt {
    /// # Errors
    /// What is wrong with the file, where, and the mend.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let wrong = |what: String, mend: &str| Problem::of_file(file, what).mend(mend);
        let body = text.trim_start_matches('\u{feff}').strip_prefix("+++\n").or_else(|| text.strip_prefix("+++\r\n"));
        let Some((front, template)) = body.and_then(|body| body.split_once("\n+++")) else {
            return Err(wrong("no front matter".into(), "begin with a line `+++`, TOML, and another line `+++`"));
        };
        // So that a place in the front matter is a place in the file.
        let front: Front = toml::from_str(&format!("\n{front}"))
            .map_err(|error| wrong(error.to_string().trim().to_owned(), "see docs/prompts.md"))?;
        let Some(task) = Task::parse(&front.task) else {
            let names = Task::ALL.map(Task::name).join(", ");
            return Err(wrong(format!("there is no task `{}`", front.task), &format!("there are {names}")));
        };
        let schema =
            serde_json::to_value(&front.schema).map_err(|error| wrong(error.to_string(), "mend the schema"))?;
        if schema["type"] != json!("object") {
            return Err(wrong("schema.type: an answer is an object".into(), "write type = \"object\""));
        }
        let lines = text.len() - template.len();
        let before = text[..lines].matches('\n').count();
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let told = |error: &minijinja::Error| {
            let line = error.line().map(|line| format!("line {}: ", line + before)).unwrap_or_default();
            let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            wrong(format!("{line}{}{detail}", error.kind()), "see docs/prompts.md for what a prompt sees")
        };
        environment.add_template_owned("prompt", template.to_owned()).map_err(|error| told(&error))?;
        let prompt = Self {
            task,
            version: front.version,
            temperature: front.temperature,
            max_tokens: front.max_tokens,
            schema,
            file: file.to_owned(),
            text: text.to_owned(),
            environment,
        };
        // Every name that a template uses must be one that it will be given.
        prompt.try_render(&sample(task), &sample_data(task), &sample_examples()).map_err(|error| told(&error))?;
        prompt.try_render(&sample(task), &sample_data(task), &json!([])).map_err(|error| told(&error))?;
        Ok(prompt)
    }

    /// `classify/1`
    pub fn name(&self) -> String {
        format!("{}/{}", self.task.name(), self.version)
    }

    /// # Errors
    /// Where a template meets what it cannot use.
    pub fn render(&self, context: &Value, data: &BTreeMap<&str, String>, examples: &Value) -> Result<Rendered, String> {
        self.try_render(context, data, examples).map_err(|error| {
            let line = error.line().map(|line| format!("line {line} of its template: ")).unwrap_or_default();
            format!("prompt {}: {line}{}", self.name(), error.kind())
        })
    }

    fn try_render(
        &self,
        context: &Value,
        data: &BTreeMap<&str, String>,
        examples: &Value,
    ) -> Result<Rendered, minijinja::Error> {
        let template = self.environment.get_template("prompt")?;
        let given = context! { context => context, data => data, examples => examples };
        let mut whole = template.render_captured_to(given, std::io::sink())?;
        let mut block = |name| whole.with_state_mut(|state| state.render_block(name));
        let system = block("system")?.trim().to_owned();
        let user = block("user")?.trim().to_owned();
        Ok(Rendered { system, user })
    }
}

/// All prompts at hand, by task and version.
#[derive(Debug, Default)]
pub struct Library(BTreeMap<(Task, String), Prompt>);

impl Library {
    /// The shipped ones, and over them the user's: `(path, text)`.
    ///
    /// # Errors
    /// Every prompt that is not whole.
    pub fn read(own: &[(String, String)]) -> (Self, Vec<Problem>) {
        let mut library = Self::default();
        let mut problems = Vec::new();
        let shipped = SHIPPED.iter().map(|(name, text)| (format!("prompts/{name}"), (*text).to_owned()));
        for (file, text) in shipped.chain(own.iter().cloned()) {
            match Prompt::parse(&file, &text) {
                Ok(prompt) => {
                    let place = format!("{}.md", prompt.name());
                    if !file.ends_with(&place) {
                        let what = format!("it calls itself {}", prompt.name());
                        problems.push(
                            Problem::of_file(&file, what)
                                .mend(format!("name the file {place}, or mend task and version")),
                        );
                        continue;
                    }
                    library.0.insert((prompt.task, prompt.version.clone()), prompt);
                }
                Err(problem) => problems.push(problem),
            }
        }
        (library, problems)
    }

    pub fn get(&self, task: Task, version: &str) -> Option<&Prompt> {
        self.0.get(&(task, version.to_owned()))
    }

    pub fn all(&self) -> impl Iterator<Item = &Prompt> {
        self.0.values()
    }

    pub fn versions(&self, task: Task) -> Vec<&str> {
        self.0.keys().filter(|(of, _)| *of == task).map(|(_, version)| version.as_str()).collect()
    }
}

/// What a prompt of this task is given besides the data: every name that there is.
fn sample(task: Task) -> Value {
    let text = "text";
    match task {
        Task::Extract => json!({}),
        Task::Classify => json!({ "source": text, "vocabularies": {} }),
        Task::Duplicate => json!({ "first_product": text, "second_product": text }),
        Task::Theme => json!({ "segment": text, "product": text, "count": 3 }),
        Task::Jtbd => json!({ "of": "theme", "theme": text, "product": text, "segment": text }),
        Task::Risk => json!({ "competitors": [text], "lifecycle": text }),
        Task::Digest => json!({ "role": "pm", "sections": ["decisions"], "words": 300 }),
    }
}

fn sample_data(task: Task) -> BTreeMap<&'static str, String> {
    let names: &[&str] = match task {
        Task::Extract => &["conversation"],
        Task::Classify | Task::Risk | Task::Jtbd => &["text"],
        Task::Duplicate => &["first", "second"],
        Task::Theme => &["items"],
        Task::Digest => &["week"],
    };
    names.iter().map(|name| (*name, "text".to_owned())).collect()
}

fn sample_examples() -> Value {
    json!([{ "text": "text", "said": "bug", "stands": "praise" }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_prompt_is_whole() {
        let (library, problems) = Library::read(&[]);
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(library.all().count(), SHIPPED.len());
    }

    #[test]
    fn a_prompt_that_is_not_whole_is_told_with_its_place() {
        let good = SHIPPED[0].1;
        let told = |change: &dyn Fn(&str) -> String| {
            Prompt::parse("mine/classify/2.md", &change(good)).expect_err("it is not whole").to_string()
        };
        assert!(told(&|text| text.replace("+++\n", "")).contains("no front matter"));
        assert!(
            told(&|text| text.replace("max_tokens", "most_tokens")).contains("most_tokens"),
            "{}",
            told(&|text| text.replace("max_tokens", "most_tokens"))
        );
        assert!(told(&|text| text.replace("task        = \"classify\"", "task = \"sort\"")).contains("no task `sort`"));
        let undefined = told(&|text| text.replace("{{ data.text }}", "{{ data.txt }}"));
        assert!(undefined.contains("line ") && undefined.contains("undefined"), "{undefined}");
        assert!(told(&|text| text.replace("{% endblock %}", "")).contains("line"));
    }

    #[test]
    fn ones_own_prompt_stands_before_the_shipped_one() {
        let own = SHIPPED[0].1.replace("You sort what", "You file what");
        let (library, problems) = Library::read(&[("mine/classify/1.md".into(), own)]);
        assert!(problems.is_empty());
        assert!(library.get(Task::Classify, "1").is_some_and(|prompt| prompt.text.contains("You file what")));
        let (_, problems) = Library::read(&[("mine/classify/2.md".into(), SHIPPED[0].1.into())]);
        assert!(problems[0].to_string().contains("it calls itself classify/1"), "{}", problems[0]);
    }
}
