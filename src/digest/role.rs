//! What each role sees of a week, and in which order. The numbers are the same for all; engineers see no customer's name.

use super::week::{Decide, Decision, Role, Said, ThemeLine, Week};

/// A part of the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Decisions,
    Themes,
    Signals,
    Gaps,
    Wins,
}

impl Section {
    pub fn name(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::Themes => "themes",
            Self::Signals => "signals",
            Self::Gaps => "gaps",
            Self::Wins => "wins",
        }
    }

    pub fn title(self, role: Role) -> &'static str {
        match (self, role) {
            (Self::Decisions, _) => "Decisions",
            (Self::Themes, Role::Engineering) => "What breaks",
            (Self::Themes, _) => "Top themes",
            (Self::Signals, Role::Sales) => "Accounts to call",
            (Self::Signals, _) => "New churn signals",
            (Self::Gaps, _) => "Who is not heard",
            (Self::Wins, Role::Sales) => "Good news to bring",
            (Self::Wins, _) => "Wins",
        }
    }
}

/// What waits for a decision always comes first.
pub fn sections(role: Role) -> [Section; 5] {
    use Section::{Decisions, Gaps, Signals, Themes, Wins};
    match role {
        Role::Leadership => [Decisions, Signals, Themes, Gaps, Wins],
        Role::Pm => [Decisions, Themes, Gaps, Signals, Wins],
        Role::Engineering => [Decisions, Themes, Wins, Gaps, Signals],
        Role::Sales => [Decisions, Signals, Wins, Themes, Gaps],
    }
}

/// Which decisions a role is asked for, in its order, and how many of each.
fn asked(role: Role) -> &'static [(Decide, usize)] {
    match role {
        Role::Leadership => &[(Decide::Churn, 3), (Decide::Critical, 1), (Decide::Verify, 2), (Decide::Messages, 1)],
        Role::Pm => &[
            (Decide::Verify, 3),
            (Decide::Critical, 1),
            (Decide::Proposals, 1),
            (Decide::Churn, 2),
            (Decide::Messages, 1),
            (Decide::Conflicts, 1),
            (Decide::Customers, 1),
        ],
        Role::Engineering => &[(Decide::Critical, 1), (Decide::Proposals, 1)],
        Role::Sales => &[(Decide::Churn, 3), (Decide::Messages, 1), (Decide::Customers, 1)],
    }
}

/// How much of each a role reads.
struct Most {
    signals: usize,
    gaps: usize,
    gaps_of: &'static [&'static str],
    wins: usize,
    quotes: usize,
    /// Whose words come first; a kind may come twice.
    kinds: &'static [&'static str],
}

impl Most {
    fn of(role: Role) -> Self {
        match role {
            Role::Leadership => Self {
                signals: 3,
                gaps: 3,
                gaps_of: &["segment"],
                wins: 3,
                quotes: 2,
                kinds: &["churn", "defect", "request", "praise"],
            },
            Role::Pm => Self {
                signals: 2,
                gaps: 4,
                gaps_of: &["segment", "product", "source"],
                wins: 2,
                quotes: 3,
                kinds: &["request", "defect", "praise", "churn"],
            },
            Role::Engineering => Self {
                signals: 2,
                gaps: 3,
                gaps_of: &["product"],
                wins: 3,
                quotes: 3,
                kinds: &["defect", "defect", "request", "churn"],
            },
            Role::Sales => Self {
                signals: 5,
                gaps: 2,
                gaps_of: &["segment"],
                wins: 3,
                quotes: 2,
                kinds: &["churn", "praise", "request", "defect"],
            },
        }
    }
}

/// The week as a role sees it.
#[must_use]
pub fn seen_by(mut week: Week, role: Role) -> Week {
    week.role = role;
    let mut decisions: Vec<Decision> = Vec::new();
    for (what, most) in asked(role) {
        decisions.extend(week.decisions.iter().filter(|decision| decision.what == *what).take(*most).cloned());
    }
    week.decisions = decisions;
    if role == Role::Engineering && week.themes.iter().any(|theme| theme.defects > 0) {
        week.themes.retain(|theme| theme.defects > 0);
        // What is critical first; else by revenue, as they stand.
        week.themes.sort_by_key(|theme| theme.critical == 0);
    }
    week.themes.truncate(3);
    let most = Most::of(role);
    if role != Role::Sales {
        week.signals.retain(super::week::Signal::is_churn);
    }
    week.signals.truncate(most.signals);
    week.gaps.retain(|gap| most.gaps_of.contains(&gap.of.as_str()));
    week.gaps.truncate(most.gaps);
    week.wins.truncate(most.wins);
    week.quotes = chosen(&week, most.quotes, most.kinds);
    if role == Role::Engineering {
        nameless(&mut week);
    }
    week
}

/// One of each kind in turn, each customer once; of a kind, what belongs to a theme of the digest first.
fn chosen(week: &Week, most: usize, kinds: &[&str]) -> Vec<Said> {
    let is_shown = |said: &Said| {
        let about = |theme: &ThemeLine| said.theme.as_ref() == Some(&theme.name);
        week.themes.iter().any(about)
    };
    let mut chosen: Vec<Said> = Vec::new();
    // What stands beside a churn signal already is not said twice.
    let said_already = |said: &Said| {
        week.signals.iter().any(|signal| signal.quote.as_ref().is_some_and(|quote| said.text.contains(quote)))
    };
    for round in 0..most {
        for kind in kinds {
            if chosen.len() >= most {
                break;
            }
            let fits = |said: &&Said| {
                let heard = |other: &Said| {
                    other.text == said.text || (other.customer.is_some() && other.customer == said.customer)
                };
                said.kind == *kind && !chosen.iter().any(heard) && !said_already(said)
            };
            let mut candidates: Vec<&Said> = week.quotes.iter().filter(fits).collect();
            candidates.sort_by_key(|said| !is_shown(said));
            // The kinds that matter least come only where the others have nothing.
            if round == 0 || candidates.iter().any(|said| is_shown(said)) || round + 1 == most {
                chosen.extend(candidates.first().map(|said| (*said).clone()));
            }
        }
    }
    chosen
}

fn nameless(week: &mut Week) {
    for signal in &mut week.signals {
        signal.customer = None;
    }
    for said in &mut week.quotes {
        said.customer = None;
    }
    for win in &mut week.wins {
        win.names.clear();
    }
}
