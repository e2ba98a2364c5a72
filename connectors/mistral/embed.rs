//! Embeddings: as many of the first inputs as one call takes, and half as many where that is still too much.
//!
//! Facts (issue threads up to 2026-05, read 2026-11-23): 512 inputs and 16,384 tokens a call, 8,192 tokens an input; more is refused
//! with 400 and the code 3210. There is no tokenizer here, so tokens are estimated, and the refusal has the last word.

use serde_json::{Value, json};

use super::said::Said;
use super::{Mistral, chat, judge};
use crate::Fault;
use crate::http::Call;
use crate::json::{array, text};
use crate::model::{Embedded, Tokens};

/// Shorter than this, an input is not what is too much.
const SHORTEST: usize = 64;

/// How many tokens a text has, at least as many as it has in truth: three letters each, and one for every letter beyond ASCII.
pub(super) fn tokens(text: &str) -> u64 {
    let beyond = text.chars().filter(|letter| !letter.is_ascii()).count();
    let plain = text.bytes().filter(u8::is_ascii).count();
    (plain.div_ceil(3) + beyond) as u64
}

/// The beginning of a text that has at most so many tokens.
fn beginning(text: &str, most: u64) -> &str {
    if tokens(text) <= most {
        return text;
    }
    let (mut thirds, most) = (0, most.saturating_mul(3));
    for (at, letter) in text.char_indices() {
        thirds += if letter.is_ascii() { 1 } else { 3 };
        if thirds > most {
            return &text[..at];
        }
    }
    text
}

impl Mistral {
    pub(super) async fn embed_some(&self, model: &str, inputs: &[String]) -> Result<Embedded, Fault> {
        let room = self.settings.embed;
        let mut most_of_one = room.input_tokens;
        let mut take = fitting(inputs, room.inputs, room.tokens, most_of_one);
        loop {
            let taken = &inputs[..take.min(inputs.len())];
            let texts: Vec<&str> = taken.iter().map(|text| beginning(text.trim(), most_of_one)).collect();
            let sent: Vec<&str> = texts.iter().copied().filter(|text| !text.is_empty()).collect();
            if sent.is_empty() {
                let vectors = vec![Vec::new(); taken.len()];
                return Ok(Embedded { vectors, model: model.to_owned(), tokens: Tokens::default() });
            }
            let said = match self.embed_once(model, &sent).await? {
                Ok((vectors, answered, tokens)) => {
                    let mut vectors = vectors.into_iter();
                    // An empty text was not sent.
                    let of =
                        |text: &&str| if text.is_empty() { Vec::new() } else { vectors.next().unwrap_or_default() };
                    return Ok(Embedded { vectors: texts.iter().map(of).collect(), model: answered, tokens });
                }
                Err(said) => said,
            };
            if !is_too_much(&said) {
                return Err(judge::of_model(&said, model, &self.cards()));
            }
            let longest = sent.iter().map(|text| text.len()).max().unwrap_or(0);
            if take > 1 {
                take /= 2;
            } else if longest > SHORTEST {
                most_of_one = tokens(sent[0]).min(most_of_one) / 2;
            } else {
                return Err(Fault::Rejected { why: said.why, field: Some("input".into()) });
            }
        }
    }

    async fn embed_once(
        &self,
        model: &str,
        sent: &[&str],
    ) -> Result<Result<(Vec<Vec<f32>>, String, Tokens), Said>, Fault> {
        let cost = sent.iter().map(|text| tokens(text)).sum();
        let call = Call::post("/v1/embeddings", json!({"model": model, "input": sent})).reads(true);
        let answer = match self.client.call(call, cost, sent).await? {
            Ok(answer) => answer,
            Err(said) => return Ok(Err(said)),
        };
        let told: Value = answer.json()?;
        let vectors = vectors(&told, sent.len())
            .ok_or_else(|| Fault::unknown(format!("the answer to {} texts is not one vector each", sent.len())))?;
        Ok(Ok((vectors, text(&told, "model").unwrap_or_else(|| model.to_owned()), chat::usage(&told))))
    }
}

/// How many of the first inputs one call takes; at least one.
fn fitting(inputs: &[String], most: usize, most_tokens: u64, most_of_one: u64) -> usize {
    let mut sum = 0;
    let fits = |text: &&String| {
        sum += tokens(text.trim()).min(most_of_one);
        sum <= most_tokens
    };
    inputs.iter().take(most).take_while(fits).count().max(1)
}

fn is_too_much(said: &Said) -> bool {
    matches!(said.status, 400 | 413 | 422)
        && (said.code == "3210"
            || said.status == 413
            || said.speaks_of(&[
                "too many tokens",
                "too many inputs",
                "context length",
                "exceed_context",
                "too large to process",
            ]))
}

/// By their `index`, which need not be the order they come in. All of one length, all numbers, one each; or it is no answer.
fn vectors(told: &Value, count: usize) -> Option<Vec<Vec<f32>>> {
    let mut placed: Vec<Option<Vec<f32>>> = vec![None; count];
    for (at, item) in array(told, "data").iter().enumerate() {
        let index = match item["index"].as_u64() {
            Some(index) => usize::try_from(index).ok()?,
            None => at,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "vectors are kept as f32: half the size, and no ranking changes"
        )]
        let vector: Vec<f32> = item["embedding"]
            .as_array()?
            .iter()
            .map(|number| number.as_f64().map(|number| number as f32))
            .collect::<Option<_>>()?;
        let place = placed.get_mut(index)?;
        if vector.is_empty() || !vector.iter().all(|number| number.is_finite()) || place.replace(vector).is_some() {
            return None;
        }
    }
    let vectors: Vec<Vec<f32>> = placed.into_iter().collect::<Option<_>>()?;
    let length = vectors.first().map_or(0, Vec::len);
    vectors.iter().all(|vector| vector.len() == length).then_some(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_estimated_high_and_texts_cut_between_letters() {
        assert_eq!((tokens(""), tokens("abcd"), tokens("éé"), tokens("aé")), (0, 2, 2, 2));
        assert_eq!(beginning("abcdefghij", 2), "abcdef");
        assert_eq!(beginning("ééé", 2), "éé");
        assert_eq!(beginning("short", 10), "short");
        let inputs: Vec<String> = ["a".repeat(30), "b".repeat(30), "c".repeat(30)].into();
        assert_eq!(fitting(&inputs, 512, 20, 8192), 2);
        assert_eq!(fitting(&inputs, 1, 20, 8192), 1);
        assert_eq!(fitting(&inputs, 512, 5, 8192), 1, "one, however long");
        assert_eq!(fitting(&inputs, 512, 20, 5), 3, "each is cut before");
    }

    #[test]
    fn vectors_go_by_their_index_or_are_none() {
        let item = |index: u64, embedding: Value| json!({"index": index, "embedding": embedding});
        let told = json!({"data": [item(1, json!([0.5, 1])), item(0, json!([0, 0.25]))]});
        assert_eq!(vectors(&told, 2), Some(vec![vec![0.0, 0.25], vec![0.5, 1.0]]));
        for (bad, count) in [
            (json!([item(0, json!([1.0]))]), 2),
            (json!([item(0, json!([1.0])), item(0, json!([1.0]))]), 2),
            (json!([item(0, json!([1.0])), item(2, json!([1.0]))]), 2),
            (json!([item(0, json!([1.0])), item(1, json!([1.0, 2.0]))]), 2),
            (json!([item(0, json!(["x"]))]), 1),
            (json!([item(0, json!("AAAA"))]), 1),
            (json!([item(0, json!([]))]), 1),
        ] {
            assert_eq!(vectors(&json!({"data": bad}), count), None, "{bad}");
        }
    }
}
