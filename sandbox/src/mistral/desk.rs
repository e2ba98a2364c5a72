//! The owner's screens: keys, models, limits; which server it is and how well it behaves; and what it was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use serde_json::Value;

use super::models::Entry;
use super::{Mistral, text};

/// Which server stands there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personality {
    #[default]
    Mistral,
    Vllm,
    Ollama,
    LlamaCpp,
}

/// What goes wrong with the answers of a model, or of the server around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// Answers come late ([`Mistral::set_lateness`]).
    Slow,
    /// Quotes with one letter altered, another value than the right one and sure of it, numbers that nobody named.
    Lying,
    /// JSON that is cut off, in prose, of other types, with further keys; nothing; a list of chunks.
    Malformed,
    /// A guardrail's 403, or an apology instead of JSON.
    Refusing,
    /// 429.
    Limited,
    /// 503, or the connection is cut.
    Down,
    /// Does what the text says that it was only to judge, unless that text stands in a fence with a nonce, or the system text says
    /// that it is no instruction.
    Obeying,
    /// The same, unless both.
    Credulous,
}

/// What was sent for a model to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// `chat`, `embeddings`, `moderations` or `batch`.
    pub call: String,
    pub model: String,
    /// Under which host it was reached.
    pub host: String,
    /// The whole of it.
    pub body: Value,
    pub at: DateTime<Utc>,
}

impl Prompt {
    /// What a model reads of it, one text after another.
    pub fn text(&self) -> String {
        text::all(&self.body)
    }

    /// Whether it holds this text anywhere, in what a model reads or beside it.
    pub fn holds(&self, wanted: &str) -> bool {
        self.text().contains(wanted) || self.body.to_string().contains(wanted)
    }
}

/// The books of what was used.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// That were let in.
    pub calls: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Of the input.
    pub cached_tokens: u64,
    /// Questions by the name they were asked under; lines of batches, too.
    pub by_model: BTreeMap<String, u64>,
    /// Questions that were answered, lines of batches among them.
    pub answered: u64,
    /// Every one, in order.
    pub prompts: Vec<Prompt>,
}

impl Mistral {
    pub fn add_key(&mut self, key: &str) {
        self.keys.insert(key.to_owned());
    }

    /// From now on 401; a compatible server without any key asks for none.
    pub fn revoke_key(&mut self, key: &str) {
        self.keys.remove(key);
    }

    pub fn become_a(&mut self, personality: Personality) {
        self.personality = personality;
    }

    /// How often it does so, from 0 to 1; 0: never again.
    pub fn set_habit(&mut self, habit: Habit, rate: f64) {
        if rate > 0.0 {
            self.habits.insert(habit, rate);
        } else {
            self.habits.remove(&habit);
        }
    }

    pub fn behave(&mut self) {
        self.habits.clear();
    }

    pub fn set_lateness(&mut self, late: Duration) {
        self.late = late;
    }

    /// Requests a second and tokens a minute.
    pub fn set_quota(&mut self, requests: usize, tokens: u64) {
        self.quota.requests = requests;
        self.quota.tokens = tokens;
    }

    /// Whether a 429 says when to come back.
    pub fn tell_wait(&mut self, told: bool) {
        self.quota.tells = told;
    }

    /// Four, unless said.
    pub fn set_letters_per_token(&mut self, letters: u64) {
        self.letters_per_token = letters.max(1);
    }

    /// Models that cannot think refuse `reasoning_effort`. (Whether Mistral's do is not confirmed.)
    pub fn refuse_reasoning_effort(&mut self) {
        self.strict_reasoning = true;
    }

    /// A model of one's own, for chat, with this context.
    pub fn serve_model(&mut self, id: &str, context: u64) {
        self.models.push(Entry::own(id, context));
    }

    /// From now on the alias stands for another model.
    pub fn move_alias(&mut self, alias: &str, to: &str) {
        for model in &mut self.models {
            model.aliases.retain(|name| name != alias);
            if model.id == to {
                model.aliases.push(alias.to_owned());
            }
        }
    }

    /// A model that will be, or is, gone, and what takes its place.
    pub fn retire(&mut self, id: &str, at: DateTime<Utc>, replacement: &str) {
        for model in self.models.iter_mut().filter(|model| model.id == id) {
            model.retired = Some(at);
            model.replacement = Some(replacement.to_owned());
        }
    }

    /// How long a batch takes from now on; four seconds, unless said.
    pub fn set_batch_time(&mut self, time: TimeDelta) {
        self.batch_time = time;
    }

    /// Answers of batches are not there any more when they are asked for.
    pub fn lose_batches(&mut self, lost: bool) {
        self.loses_answers = lost;
    }

    pub fn keep_files_for(&mut self, time: TimeDelta) {
        self.files_kept = time;
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        self.books().clone()
    }

    /// The prompts so far that hold this text.
    pub fn prompts_with(&self, text: &str) -> Vec<Prompt> {
        self.books().prompts.iter().filter(|prompt| prompt.holds(text)).cloned().collect()
    }

    /// How many jobs there are, whatever became of them.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }
}
