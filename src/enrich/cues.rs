//! The explicit signs that a text gives: phrases of English and French, and marks such as a closing question.
//!
//! The phrases say what to look for; what they are worth is learned with the rest. Law: at each word the longest phrase
//! counts and consumes its words, so that `no problem` is not read as a `problem`. The order of `NAMES` is part of the
//! format of the weights: a change of the table needs a new training.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use super::markdown::Label;
use super::reading::{Reading, fold_phrase};

/// A phrase's word may end in `*`: any ending.
const PHRASES: &[(&str, &str)] = &[
    (
        "failure",
        "error* | exception* | traceback | crash* | fail* | broken | breaks | broke | bug* | glitch* | does not work | \
         doesn't work | does not load | doesn't load | not working | won't work | won't | stopped working | stops working | \
         no longer works | no longer | not functioning | wrong | incorrect | invalid | freez* | hangs | timeout* | time out | \
         segfault | panic* | 000 error | erreur* | plant* | ne fonctionne pas | ne fonctionne plus | ne marche pas | \
         ne marche plus | marche plus | fonctionne plus | en panne | buge* | bogue* | echoue* | defaillan* | \
         out of memory | oom | refuses | cannot be loaded | regression",
    ),
    (
        "request",
        "please add | please support | please allow | please make | feature request* | \
         would be nice | would be great | would be good | would be useful | would be awesome | would be helpful | \
         would love | i wish | wish | could you add | can you add | add support | support for | adding | ability to | \
         option to | add * option | add | allow | expose | should support | should have | need* an option | missing feature | \
         suggestion* | proposal | enhancement | il faudrait | serait bien | serait top | serait super | serait sympa | \
         serait genial | serait utile | ce serait | ajout* | rajout* | j'aimerais | on aimerait | nous aimerions | \
         il manque | manque | dommage que | possibilite de | pouvoir | pourriez vous ajouter | pouvez vous ajouter | souhait*",
    ),
    (
        "question",
        "how do | how to | how can | how should | is there a way | is there any way | is it possible | what is the | what are | \
         which | does anyone | any idea | anyone know | can i | do i need | should i | where can | where do | comment faire | \
         comment puis je | comment on | comment | est il possible | est ce que | y a t il | quel est | quelle est | quels sont | \
         ou puis je | clarif* | what is | what does | why | pourquoi | question*",
    ),
    (
        "help",
        "any help | any tips | any tip | any advice | any hint* | any suggestion* | any pointers | any guidance | help me | need help | could help | can help | \
         can you help | hope you | hope somebody | could anyone | could somebody | could someone | can anyone | can someone | has anyone | anybody know* | \
         someone explain | want to ask | like to ask | like to know | want to know | wondering | don't understand | do not understand | unable to understand | \
         not sure whether | not sure if | not sure how | confused | am i missing | am i doing | doing wrong | do wrong | have i missed | is this expected | is that expected | \
         is this normal | is that normal | is it normal | how can i fix | how to fix | how to solve | how do i fix | how can i solve | what should i | \
         what can i | am trying to | i'm trying to | i followed | i tried | appreciate | appreciated | in advance | i am new to | i'm new to | beginner | \
         stupid question | sorry if | hi all | hello everyone | great work | merci d'avance | d'avance | quelqu'un | une idee | besoin d'aide | votre aide | \
         que faire | que dois je | comprends pas | est ce normal",
    ),
    (
        "praise",
        "great | love | loving | excellent* | awesome | amazing | perfect | thank you | thanks | merci | super | genial* | parfait* | \
         j'adore | adore | tres bien | bravo | impress* | fantastic | wonderful | works well | works great | tres bon* | \
         top | formidable | magnifique | felicitations | well done | good job | nice app | best | very good | kudos | delight* | \
         ravi* | satisfait*",
    ),
    (
        "churn",
        "cancel my subscription | cancel our subscription | cancel my plan | cancel* subscription | cancel* my account | \
         cancel* our account | cancel* our contract | will cancel | cancelling | canceling | cancelled | unsubscribe* | \
         switching to | switched to | switch to another | moving to | moved to | moving away | migrating to | migrating away | \
         uninstall* | alternatives | look* for an alternative | evaluating | other vendors | competitor* | rivals | \
         close my account | closing my account | delete my account | terminate * account | not renew* | won't renew | \
         stop paying | going back to | went back to | resili* | desinstall* | desabonn* | passer chez | \
         passe chez | passons chez | changer de fournisseur | changer d'outil | la concurrence | concurrent* | quitter | \
         je quitte | nous quittons | nous partons | cloturer | fermer mon compte | supprimer mon compte | ne renouvel* | \
         arreter mon abonnement | annuler * abonnement | retour* chez | remboursement | refund",
    ),
    (
        "pain",
        "annoying | annoys | frustrat* | confusing | slow | slowly | painful | pain | cumbersome | clunky | too many | too much | \
         too expensive | too long | too slow | too hard | too low | rate limit* | quota* | usage limit* | tedious | hard to use | \
         difficult* | not intuitive | unintuitive | hate | mess | messy | throttl* | expensive | nuisance | a chore | \
         penible* | lent | lente | lenteur* | trop cher | trop long* | trop de | trop lent* | complique* | agacant* | fastidieux | \
         laborieux | pas pratique | pas intuiti* | usine a gaz | difficile* | prise de tete | galere*",
    ),
    (
        "outage",
        "outage* | is down | are down | went down | been down | down for | production is | production down | in production | \
         en production | all users | all our users | all our customers | entire team | whole team | whole company | \
         nobody can | no one can | service unavailable | en panne | hors service | hors ligne | indisponible* | \
         tous nos utilisateurs | tous nos clients | tous les utilisateurs | toute l'equipe | toute notre equipe | \
         plus personne | personne ne peut | incident majeur | every request fails | a l'arret",
    ),
    (
        "loss",
        "data loss | lost all | lost my | lost our | lost data | losing data | lose data | wiped | deleted all | deleted my | \
         deleted our | erased | corrupt* | disappeared | gone forever | charged twice | double charged | billed twice | \
         charged us | overcharged | leak* | vulnerab* | security | stolen | perte de donnees | perdu* | efface* | \
         disparu* | corrompu* | facture deux fois | factures deux fois | debite deux fois | fuite | faille | vole*",
    ),
    (
        "blocked",
        "block* | unusable | cannot | can not | can't | unable to | urgent* | asap | critical | impossible | bloque* | \
         inutilisable* | every request | every time | always fails | always returns | stuck | not able to | at all | \
         du tout | ne peut plus | ne peux plus | peut pas | peux pas | je n'arrive | n'arrive | keeps failing | every",
    ),
    (
        "workaround",
        "workaround* | work around | instead | as a fallback | manually | by hand | downgrad* | fixes it | solved by | \
         contourn* | a la main | manuellement | en attendant | solution de repli | reinstall* | reboot*",
    ),
    (
        "cosmetic",
        "typo* | docs | documentation | readme | cosmetic* | colour* | color* | alignment | misaligned | faute de frappe | \
         faute d'orthographe | wording | minor | mineur* | cosmetique* | link | spelling | tooltip* | icon* | dark mode | \
         mode sombre | theme | translation* | traduction*",
    ),
    (
        "sometimes",
        "sometimes | occasionally | randomly | intermittent* | from time to time | once in a while | often | parfois | \
         de temps en temps | quelquefois | aleatoire* | some of | after a while | souvent",
    ),
    (
        "many",
        "many users | several users | other users | others report | everyone | multiple customers | many customers | \
         several customers | plusieurs clients | plusieurs utilisateurs | beaucoup de clients | beaucoup d'utilisateurs | \
         tout le monde | my team | our team | notre equipe | our customers | nos clients",
    ),
    (
        "no_problem",
        "no problem* | no issue* | never crash* | no bug* | without any problem* | without problem* | without issue* | \
         no complaint* | nothing wrong | aucun probleme* | pas de probleme* | sans probleme* | aucun bug | aucun souci | \
         sans souci | rien a redire | jamais plante* | no error*",
    ),
    (
        "since",
        "since the update | since update | since the last update | since last update | after updating | after the update | \
         after update | since upgrading | after upgrading | latest update | last update | new update | depuis la mise a jour | \
         depuis la derniere mise a jour | derniere mise a jour | depuis la maj | nouvelle version | since * upgrade | depuis",
    ),
    (
        "but",
        "but | however | although | unfortunately | except | mais | cependant | toutefois | malheureusement | sauf | dommage",
    ),
    (
        "money",
        "paid | paying | subscription | invoice* | billing | plan | price* | abonnement* | facture* | payant* | prix | tarif*",
    ),
];

/// Names of the products that the trained product labels are about. They speak for a product only, never for a category.
const NAMES: &[(&str, &str)] = &[
    ("names vibe", "vibe | mistral vibe | vibe cli | mistral code"),
    ("names le chat", "le chat | lechat | chat mistral ai | mistral chat app"),
    ("names codestral", "codestral* | mamba codestral | fim | fill in the middle"),
    ("names devstral", "devstral*"),
    ("names pixtral", "pixtral*"),
    ("names voxtral", "voxtral* | transcri* | speech to text | stt | dictation"),
    ("names magistral", "magistral*"),
    ("names ocr", "ocr | mistral ocr"),
    ("names embed", "mistral embed | embed | embedding* | mistralaiembeddings | codestral embed"),
    ("names large", "mistral large | mistral large latest | mistral large 0000 | large latest"),
    ("names medium", "mistral medium | mistral medium latest | medium latest | medium 0"),
    ("names small", "mistral small | mistral small latest | small latest | mistral small 0"),
    (
        "names open weights",
        "mixtral* | mistral 0b | 0b | 0x0b | 0x00b | nemo | ministral* | mathstral* | mistral inference | mistral common | tekken",
    ),
    (
        "names sdk",
        "sdk* | client python | client js | client ts | mistralai mistralai | mistralclient | python client | python package | npm | \
      from mistralai | import mistral* | typescript | pydantic | zod | bug client",
    ),
    ("names api", "api | mistral api | mistralai api | endpoint* | api key* | provider*"),
    ("names platform", "la plateforme | console | platform | workspace | fine tuning job* | billing"),
    ("names docs", "docs | documentation | cookbook | notebook* | readme"),
    ("names a rival", "claude* | anthropic | chatgpt | gpt* | openai | gemini* | copilot | codex | cursor"),
];

const MARKS: &[&str] = &[
    "question mark",
    "exclamation",
    "code block",
    "short",
    "long",
    "labelled bug",
    "labelled request",
    "labelled question",
    "bug form",
    "request form",
    "question form",
    "trace",
    "title asks",
];

/// Cues of phrases: first those of the body, then the same of the title, where they say more.
const SPOKEN: usize = 2 * PHRASES.len();
/// How many cues there are: phrases, marks, and names in the body and in the title.
pub const COUNT: usize = SPOKEN + MARKS.len() + 2 * NAMES.len();

/// Whether a cue is a product's name.
pub const fn is_name(cue: usize) -> bool {
    cue >= SPOKEN + MARKS.len()
}

pub fn name(cue: usize) -> &'static str {
    let rest = cue.saturating_sub(SPOKEN);
    if cue < SPOKEN {
        PHRASES[cue % PHRASES.len()].0
    } else if rest < MARKS.len() {
        MARKS[rest]
    } else {
        NAMES[(rest - MARKS.len()) % NAMES.len()].0
    }
}

/// The whole table as text, so that weights can tell whether they were trained for it.
pub fn table() -> String {
    let phrases = PHRASES.iter().chain(NAMES).map(|(name, phrases)| format!("{name}: {phrases}\n"));
    phrases.chain([MARKS.join(", ")]).collect()
}

/// A cue that was found, the words that first show it (none for a mark), and how often it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub cue: usize,
    pub words: Range<usize>,
    pub count: u16,
}

#[derive(Debug)]
enum Piece {
    Whole(Vec<char>),
    Stem(Vec<char>),
    Any,
}

impl Piece {
    fn fits(&self, word: &[char]) -> bool {
        match self {
            Self::Whole(letters) => letters == word,
            Self::Stem(letters) => word.starts_with(letters),
            Self::Any => true,
        }
    }
}

/// Phrases by the first three letters of their first word, the longest first.
type Table = HashMap<[char; 3], Vec<(Vec<Piece>, usize)>>;

static SPEECH: LazyLock<Table> = LazyLock::new(|| compile(PHRASES));
static NAMING: LazyLock<Table> = LazyLock::new(|| compile(NAMES));

fn compile(rows: &[(&str, &str)]) -> Table {
    let mut table = Table::new();
    for (cue, (_, phrases)) in rows.iter().enumerate() {
        for phrase in phrases.split('|') {
            let pieces: Vec<Piece> = phrase.split_whitespace().flat_map(pieces).collect();
            if let Some(Piece::Whole(first) | Piece::Stem(first)) = pieces.first() {
                table.entry(key(first)).or_default().push((pieces, cue));
            }
        }
    }
    for row in table.values_mut() {
        row.sort_by_key(|(pieces, cue)| (std::cmp::Reverse(pieces.len()), *cue));
    }
    table
}

fn pieces(word: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = fold_phrase(word).into_iter().map(Piece::Whole).collect();
    match (word.ends_with('*'), pieces.pop()) {
        (true, Some(Piece::Whole(letters))) => pieces.push(Piece::Stem(letters)),
        (true, None) => pieces.push(Piece::Any),
        (_, last) => pieces.extend(last),
    }
    pieces
}

fn key(word: &[char]) -> [char; 3] {
    let letter = |at: usize| word.get(at).copied().unwrap_or(' ');
    [letter(0), letter(1), letter(2)]
}

/// The cues of a text, each once, at its first place.
pub fn find(reading: &Reading) -> Vec<Found> {
    let mut found = vec![None; COUNT];
    // A title's label is a mark, not speech.
    scan(reading, reading.label_words, &SPEECH, (0, PHRASES.len()), &mut found);
    scan(reading, 0, &NAMING, (SPOKEN + MARKS.len(), NAMES.len()), &mut found);
    let words = reading.words().len();
    let [bug, request, question] = reading.forms;
    let marks = [
        reading.question,
        reading.exclaims,
        reading.code,
        words <= 5,
        words > 60,
        reading.label == Some(Label::Bug),
        reading.label == Some(Label::Request),
        reading.label == Some(Label::Question),
        bug,
        request,
        question,
        reading.trace,
        reading.title_asks,
    ];
    for (mark, _) in marks.iter().enumerate().filter(|(_, holds)| **holds) {
        let cue = SPOKEN + mark;
        found[cue] = Some(Found { cue, words: 0..0, count: 1 });
    }
    found.into_iter().flatten().collect()
}

/// Notes the phrases of a table: cue `first + row` in the body, `first + rows + row` in the title.
fn scan(reading: &Reading, start: usize, table: &Table, (first, rows): (usize, usize), found: &mut [Option<Found>]) {
    let words = reading.words();
    let mut at = start;
    while let Some(word) = words.get(at) {
        let fits = |(pieces, _): &&(Vec<Piece>, usize)| {
            let here = words.get(at..at + pieces.len());
            here.is_some_and(|here| pieces.iter().zip(here).all(|(piece, word)| piece.fits(reading.folded(word))))
        };
        match table.get(&key(reading.folded(word))).and_then(|row| row.iter().find(fits)) {
            Some((pieces, row)) => {
                let cue = first + row + if at < reading.title_words { rows } else { 0 };
                let words = at..at + pieces.len();
                found[cue].get_or_insert(Found { cue, words, count: 0 }).count += 1;
                at += pieces.len();
            }
            None => at += 1,
        }
    }
}
