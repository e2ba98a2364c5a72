//! Signs that a customer may leave, speaks of a competitor, of renewal, or asks for somebody higher up: by rule, in English and French.
//!
//! Law: a sign is a byte range of the text, so that it can be shown; what is negated is none (`we have no plans to cancel`); talk of
//! renewal alone is no wish to leave. A weight says how plain the sign is, not how likely the loss.

use std::ops::Range;

use super::reading::fold_phrase;
use super::vocabulary::Term;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignalKind {
    Churn,
    Competitor,
    Escalation,
    Renewal,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    pub kind: SignalKind,
    /// Bytes of the text.
    pub at: Range<usize>,
    /// 0 to 1.
    pub weight: f64,
    /// Which competitor, by the term's value.
    pub name: Option<String>,
}

/// A phrase's words, folded: `cancel*` is any ending, `~` up to three words of any kind, `a/b` one or the other.
const PHRASES: &[(SignalKind, f64, &str)] = &[
    (
        SignalKind::Churn,
        1.0,
        "cancel*/terminat*/end ~ subscription*/contract*/plan/account/licence*/license*/membership/agreement/seats/service | \
         cancelled/canceled today | cancelling/canceling today | not renew* | won t renew | wont renew | will not extend | won t extend | never renew* | not be renewing | \
         not going to renew | not extend* ~ contract/agreement/subscription | close/closing/closed/delete/deleting/deleted ~ account/workspace | \
         mov*/switch*/migrat*/gone/going/go/goes ~ to/over ~ competitor*/rival*/alternative*/another/different/elsewhere | \
         go*/business/seats/money elsewhere | mov*/migrat* away | switch* away | leaving you/your/the | leave you/your/the ~ platform/service/product | \
         going back to our/my ~ old/former/previous | went back to our/my | exit clause | formal notice | stop*/stopped paying/using | unsubscrib* | uninstall* | \
         we are/re out | i am/m out | we are/re leaving | we will/ll leave | decided to leave/move/switch/cancel | plan*/want*/going/intend* to leave/cancel/switch/quit | \
         resili* | annul* ~ abonnement/contrat | renouvel* pas | renouvell* pas | prolong* pas | ferm*/clotur*/supprim* ~ compte | \
         chang* de fournisseur/prestataire/banque/outil/solution | pass* chez/a ~ concurrent*/concurrence/autre | part*/parti/partie ~ chez/a ~ concurrence/concurrent* | \
         nous partons/partirons | je pars/partirai | nous quittons/quitterons | je quitte/quitterai | quitter ~ service/plateforme | desabonn* | desinstall* | mettre fin ~ contrat/abonnement",
    ),
    (
        SignalKind::Churn,
        0.6,
        "look*/search*/ask* ~ for/at ~ alternative*/replacement/provider/providers/vendor/vendors/offers | evaluat*/test*/trial*/compar* ~ alternative*/vendor*/competitor*/rival*/offers/provider*/tools | \
         consider* ~ leaving/switching/cancelling/canceling/alternative*/moving/options | thinking about/of leaving/cancelling/canceling/switching/moving | short list | \
         looking around | looking elsewhere | not worth ~ money/price | no longer worth | hard to justify | downgrad* ~ plan/subscription/licence* | fewer/reduce ~ seats/licences/licenses | \
         drop your/the/our seats/licences/licenses | no reason to ~ paying/stay/keep/continue | let ~ trial/contract/subscription ~ run/expire | demo ~ competitor*/rival* | paused the rollout | \
         etudi*/compar*/cherch*/evalu* ~ autre*/alternative*/concurrent* | envisag* ~ quitter/changer/partir/resilier | reduire ~ licences | trop cher ~ rester | ne vaut ~ prix",
    ),
    (
        SignalKind::Escalation,
        1.0,
        "escalat* | legal action | lawyer* | lawsuit | our legal | breach of | sla breach* | formal complaint | speak/talk ~ to/with ~ manager/supervisor/director | \
         your ceo/cto/management | compensation | mise en demeure | avocat* | plainte formelle | porter plainte | parler ~ responsable/directeur/directrice | votre direction | dommages et interets | dedommag*",
    ),
    (
        SignalKind::Escalation,
        0.6,
        "unacceptable | still no/without answer/reply/response/solution | nobody/no ~ answers/answered/responds/responded/replied | third time | fourth time | i have said this | \
         how many times | board ~ decided/asks/wants | my boss ~ wants/asks | last warning | inacceptable* | inadmissible* | toujours pas ~ reponse/solution | sans reponse | derniere relance | troisieme fois | reclamation*",
    ),
    (
        SignalKind::Renewal,
        0.6,
        "renewal* | renew* | contract/subscription/licence/license/trial/agreement ~ end*/expire*/runs/due/up | end of ~ contract/subscription/trial/term/agreement | next term | extend ~ contract/agreement/subscription | \
         renouvel* | renouvell* | echeance* | contrat ~ termine/expire/fin | fin ~ contrat/abonnement/periode | reconduction | reconduire",
    ),
    (
        SignalKind::Competitor,
        0.4,
        "competitor* | rival* | other/another vendor/vendors/provider/providers/supplier/suppliers | concurrent* | la concurrence | autre*/nouveau fournisseur*/prestataire*",
    ),
];

/// Words that turn what follows into its opposite, up to [`REACH`] words before a sign in the same sentence.
const NEGATIONS: &[&str] = &[
    "not", "no", "never", "don", "doesn", "didn", "won", "wouldn", "isn", "aren", "nobody", "without", "instead",
    "rather", "dont", "wont", "pas", "jamais", "aucun", "aucune", "sans", "ni",
];
const REACH: usize = 5;
/// Words that say that nothing is decided, and what is left of a weight then.
const CONDITIONS: &[&str] =
    &["if", "unless", "otherwise", "may", "might", "could", "si", "sinon", "pourrait", "pourrions", "peut"];
const CONDITIONAL: f64 = 0.7;
/// Words by which a competitor's name is more than a mention.
const WEIGHING: &[&str] = &[
    "better",
    "cheaper",
    "faster",
    "switch",
    "switched",
    "switching",
    "moved",
    "moving",
    "compare",
    "compared",
    "comparing",
    "evaluating",
    "instead",
    "alternative",
    "demo",
    "trial",
    "mieux",
    "passer",
    "passe",
    "passons",
    "compare",
    "comparons",
    "moins",
];

struct Word {
    folded: String,
    at: Range<usize>,
    /// The sentence it is in.
    sentence: usize,
}

/// The signs of a text, by their place. `competitors` are the terms of a vocabulary.
pub fn signals(text: &str, competitors: &[Term]) -> Vec<Signal> {
    let words = words(text);
    let mut found: Vec<Signal> = Vec::new();
    for at in 0..words.len() {
        for (kind, weight, phrases) in compiled() {
            let end = phrases.iter().filter_map(|phrase| matches(&words, at, phrase)).max();
            let Some(end) = end else { continue };
            if *kind != SignalKind::Renewal && *kind != SignalKind::Competitor && negated(&words, at) {
                continue;
            }
            let range = words[at].at.start..words[end - 1].at.end;
            let weight =
                if *kind == SignalKind::Churn && conditional(&words, at) { weight * CONDITIONAL } else { *weight };
            add(&mut found, Signal { kind: *kind, at: range, weight, name: None });
        }
        if let Some((end, name)) = named(text, &words, at, competitors) {
            let said = words
                .iter()
                .any(|word| word.sentence == words[at].sentence && WEIGHING.contains(&word.folded.as_str()));
            let range = words[at].at.start..words[end - 1].at.end;
            add(
                &mut found,
                Signal {
                    kind: SignalKind::Competitor,
                    at: range,
                    weight: if said { 1.0 } else { 0.5 },
                    name: Some(name),
                },
            );
        }
    }
    // `We will not renew` is a wish to leave and no talk of renewal besides.
    let churn: Vec<Range<usize>> =
        found.iter().filter(|signal| signal.kind == SignalKind::Churn).map(|signal| signal.at.clone()).collect();
    let within = |at: &Range<usize>| churn.iter().any(|churn| churn.start < at.end && at.start < churn.end);
    found.retain(|signal| signal.kind != SignalKind::Renewal || !within(&signal.at));
    found.sort_by_key(|signal| (signal.at.start, signal.kind, signal.at.end));
    found
}

/// One sign of a kind at a place: the longer range, and the greater weight.
fn add(found: &mut Vec<Signal>, signal: Signal) {
    let meets = |other: &&mut Signal| {
        other.kind == signal.kind
            && other.at.start < signal.at.end
            && signal.at.start < other.at.end
            && (other.name == signal.name || other.name.is_none() || signal.name.is_none())
    };
    match found.iter_mut().find(meets) {
        Some(other) => {
            other.at = other.at.start.min(signal.at.start)..other.at.end.max(signal.at.end);
            other.weight = other.weight.max(signal.weight);
            other.name = other.name.take().or(signal.name);
        }
        None => found.push(signal),
    }
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let (mut start, mut sentence) = (None, 0);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if c.is_alphanumeric() {
            start.get_or_insert(at);
            continue;
        }
        if let Some(start) = start.take() {
            let folded = fold_phrase(&text[start..at]).into_iter().next().unwrap_or_default().into_iter().collect();
            words.push(Word { folded, at: start..at, sentence });
        }
        // A comma parts what is said of one thing from the next, too, but a negation reaches over it: `no, we don't`.
        let stops = matches!(c, '!' | '?' | ';' | '\n' | '\u{3002}')
            || (c == '.' && !text[at + 1..].starts_with(|c: char| c.is_alphanumeric()));
        sentence += usize::from(stops);
    }
    words
}

enum Piece {
    /// One of these; a stem where the flag is set.
    One(Vec<(String, bool)>),
    Gap,
}

/// Words that a gap may hold.
const GAP: usize = 3;

type Row = (SignalKind, f64, Vec<Vec<Piece>>);

fn compiled() -> &'static [Row] {
    static ROWS: std::sync::LazyLock<Vec<Row>> = std::sync::LazyLock::new(|| {
        let piece = |word: &str| match word {
            "~" => Piece::Gap,
            _ => Piece::One(
                word.split('/').map(|one| (one.trim_end_matches('*').to_owned(), one.ends_with('*'))).collect(),
            ),
        };
        let phrase = |phrase: &str| phrase.split_whitespace().map(piece).collect();
        PHRASES
            .iter()
            .map(|(kind, weight, phrases)| (*kind, *weight, phrases.split('|').map(phrase).collect()))
            .collect()
    });
    &ROWS
}

/// Where the phrase ends that begins at a word; the shortest that fits, within one sentence.
fn matches(words: &[Word], at: usize, phrase: &[Piece]) -> Option<usize> {
    let Some((piece, rest)) = phrase.split_first() else { return Some(at) };
    match piece {
        Piece::Gap => (0..=GAP).find_map(|gap| matches(words, at + gap, rest)),
        Piece::One(options) => {
            let word = words.get(at)?;
            let fits = options
                .iter()
                .any(|(one, stem)| if *stem { word.folded.starts_with(one) } else { word.folded == *one });
            if !fits {
                return None;
            }
            let end = matches(words, at + 1, rest)?;
            (words[end - 1].sentence == word.sentence).then_some(end)
        }
    }
}

fn before(words: &[Word], at: usize) -> impl Iterator<Item = &Word> {
    let sentence = words[at].sentence;
    words[..at].iter().rev().take(REACH).take_while(move |word| word.sentence == sentence)
}

fn negated(words: &[Word], at: usize) -> bool {
    // The phrases that begin with their own `not` are plain.
    let own = NEGATIONS.contains(&words[at].folded.as_str());
    let mut heads = before(words, at).filter(|word| NEGATIONS.contains(&word.folded.as_str()));
    // `If you do not fix it, we will cancel`: what is negated is the mending.
    let turns = before(words, at).take_while(|word| !NEGATIONS.contains(&word.folded.as_str())).any(|word| {
        matches!(
            word.folded.as_str(),
            "so" | "we" | "i" | "then" | "and" | "nous" | "je" | "alors" | "donc" | "therefore"
        )
    });
    // French `ne … pas` may stand around the verb itself.
    let around = words
        .get(at + 1)
        .is_some_and(|word| word.sentence == words[at].sentence && matches!(word.folded.as_str(), "pas" | "jamais"))
        && before(words, at).next().is_some_and(|word| matches!(word.folded.as_str(), "ne" | "n"))
        && !words[at].folded.starts_with("renouvel")
        && !words[at].folded.starts_with("prolong");
    around || (!own && heads.next().is_some() && !turns)
}

fn conditional(words: &[Word], at: usize) -> bool {
    words[..at]
        .iter()
        .rev()
        .take_while(|word| word.sentence == words[at].sentence)
        .any(|word| CONDITIONS.contains(&word.folded.as_str()))
}

/// A competitor's name that begins at a word: whole words, the longest.
fn named(text: &str, words: &[Word], at: usize, competitors: &[Term]) -> Option<(usize, String)> {
    let mut best: Option<(usize, String)> = None;
    for term in competitors {
        for name in std::iter::once(&term.value).chain(&term.words) {
            let folded = fold_phrase(name);
            let here = words.get(at..at + folded.len()).unwrap_or_default();
            let fits = !folded.is_empty()
                && here.len() == folded.len()
                && here.iter().zip(&folded).all(|(word, letters)| word.folded.chars().eq(letters.iter().copied()))
                && here.last().is_some_and(|last| last.sentence == words[at].sentence)
                // A name that is an ordinary word in small letters is meant as one: `linear growth`.
                && (!name.starts_with(char::is_uppercase) || folded.len() > 1 || text[words[at].at.clone()].starts_with(char::is_uppercase));
            if fits && best.as_ref().is_none_or(|(end, _)| at + folded.len() > *end) {
                best = Some((at + folded.len(), term.value.clone()));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{SignalKind, signals};
    use crate::enrich::vocabulary::Term;

    fn kinds(text: &str) -> Vec<SignalKind> {
        let rivals = [Term { value: "Zephyr Desk".into(), words: vec!["Zephyr".into()] }];
        signals(text, &rivals).into_iter().map(|signal| signal.kind).collect()
    }

    #[test]
    fn leaving_is_heard_in_both_languages() {
        for text in [
            "We will not renew our contract.",
            "I want to cancel my subscription.",
            "We are cancelling the contract at the end of May.",
            "We won't be renewing, so please close our account.",
            "We decided to switch to another vendor.",
            "I'm going back to my old editor.",
            "If you do not fix this, we will cancel the subscription.",
            "We are evaluating other vendors.",
            "Nous ne renouvellerons pas notre contrat.",
            "Je souhaite résilier mon abonnement.",
            "Nous étudions d'autres prestataires.",
            "Nous passons chez un concurrent.",
        ] {
            assert!(kinds(text).contains(&SignalKind::Churn), "{text}: {:?}", signals(text, &[]));
        }
    }

    #[test]
    fn what_is_negated_or_about_something_else_is_no_wish_to_leave() {
        for text in [
            "We do not plan to leave.",
            "We have no plans to cancel our subscription.",
            "We would never switch to another vendor.",
            "Renewal is next month, we love it.",
            "The cancel button does not work.",
            "Please leave a comment.",
            "I switch to dark mode every evening.",
            "We moved to production last week.",
            "Nous ne quittons pas le service.",
            "Nous n'avons pas l'intention de résilier.",
            "",
        ] {
            assert!(!kinds(text).contains(&SignalKind::Churn), "{text}: {:?}", signals(text, &[]));
        }
        assert_eq!(kinds("Renewal is next month, we love it."), [SignalKind::Renewal]);
        assert_eq!(kinds("Le contrat arrive à échéance en mars."), [SignalKind::Renewal]);
    }

    #[test]
    fn a_competitor_is_named_with_its_range() {
        let rivals = [Term { value: "Zephyr Desk".into(), words: vec!["Zephyr".into()] }];
        let text = "Zephyr is cheaper, and zephyr winds are warm.";
        let found = signals(text, &rivals);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(&text[found[0].at.clone()], "Zephyr");
        assert_eq!((found[0].name.as_deref(), found[0].weight), (Some("Zephyr Desk"), 1.0));
        assert_eq!(kinds("Zephyrs are winds."), []);
    }

    #[test]
    fn escalation_is_heard_and_ranges_fit_the_text() {
        let text = "Désolé — c'est inacceptable. Je veux parler à votre responsable !";
        let found = signals(text, &[]);
        assert!(found.iter().all(|signal| signal.kind == SignalKind::Escalation), "{found:?}");
        assert_eq!(&text[found[0].at.clone()], "inacceptable");
        assert!(text[found[1].at.clone()].starts_with("parler"));
        for text in ["é\u{301}", "\u{feff}cancel", "我们要取消订阅", "cancel cancel cancel"] {
            for signal in signals(text, &[]) {
                assert!(text.get(signal.at).is_some());
            }
        }
    }
}
