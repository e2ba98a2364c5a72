//! Which jq a mapping may use, and the metering put into it. The filters themselves are listed in [`super::filters`].
//!
//! The law: an allow-list. Nothing that can loop (`def`, `reduce`, `recurse`, `range`, `while`…), look outside (`env`,
//! `input`, `now`), change its input in place, or end the program is let in. What is let in gets counted: after every
//! step that can yield several values or make a large one stands a call that takes [`super::fuel::Fuel`].
//!
//! jq's own definitions (`map`, `select`, `any`…) are metered the same way, but may loop: theirs end.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

use super::filters;

/// The deepest that terms may nest: evaluation uses the stack in proportion.
const MAX_DEPTH: usize = 48;

/// Why an expression is refused. `at` is a slice of its text where the culprit has one.
#[derive(Debug)]
pub(super) struct Refusal<'s> {
    pub(super) at: Option<&'s str>,
    pub(super) what: String,
    pub(super) mend: String,
}

fn refuse<'s, T>(at: Option<&'s str>, what: impl Into<String>, mend: impl Into<String>) -> Result<T, Refusal<'s>> {
    Err(Refusal { at, what: what.into(), mend: mend.into() })
}

/// Rewrites one expression or definition.
#[derive(Clone, Copy)]
pub(super) struct Rewrite {
    /// jq's own definition: not held against the allow-list.
    pub(super) trusted: bool,
}

type Rewritten<'s> = Result<Term<&'s str>, Refusal<'s>>;

impl Rewrite {
    pub(super) fn term<'s>(self, term: Term<&'s str>, depth: usize) -> Rewritten<'s> {
        if depth > MAX_DEPTH {
            return refuse(None, "the expression is nested too deeply", "take it apart, or map fewer cases");
        }
        let depth = depth + 1;
        Ok(match term {
            Term::Id | Term::Num(_) | Term::Arr(None) => term,
            Term::Var(name) => {
                if matches!(name, "$ENV" | "$__loc__" | "$__prog_args") {
                    return refuse(
                        Some(name),
                        format!("{name} looks outside of the record"),
                        "give the value in the mapping itself",
                    );
                }
                term
            }
            Term::Recurse => {
                if !self.trusted {
                    return refuse(None, "`..` goes through everything", "name the path");
                }
                made(term)
            }
            Term::Str(format, parts) => {
                if let Some(name) = format {
                    self.name(name, 0)?;
                }
                let changing = parts.iter().any(|part| matches!(part, StrPart::Term(_)));
                let part = |part| {
                    Ok(match part {
                        StrPart::Term(term) => StrPart::Term(dive(self.term(term, depth)?)),
                        StrPart::Str(text) => StrPart::Str(text),
                        StrPart::Char(c) => StrPart::Char(c),
                    })
                };
                let text = Term::Str(format, parts.into_iter().map(part).collect::<Result<_, _>>()?);
                if changing { made(text) } else { text }
            }
            Term::Arr(Some(inner)) => made(Term::Arr(Some(self.boxed(*inner, depth)?))),
            Term::Obj(entries) => {
                let entry = |(key, value): (Term<&'s str>, Option<Term<&'s str>>)| {
                    Ok(match value {
                        // `{$name}` and `{name}` mean something by how they are written.
                        None if matches!(key, Term::Var(_) | Term::Str(None, _)) => {
                            (self.check_only(key, depth)?, None)
                        }
                        None => (key, None),
                        Some(value) => (self.term(key, depth)?, Some(self.term(value, depth)?)),
                    })
                };
                made(Term::Obj(entries.into_iter().map(entry).collect::<Result<_, _>>()?))
            }
            Term::Neg(inner) => Term::Neg(self.boxed(*inner, depth)?),
            Term::BinOp(left, op, right) => self.binary(*left, op, *right, depth)?,
            Term::Label(name, _) | Term::Break(name) => {
                return refuse(
                    Some(name),
                    "`label` and `break` are not for mappings",
                    "use first(…), limit(…) or any(…)",
                );
            }
            Term::Fold(name, values, pattern, args) => {
                if !self.trusted {
                    return refuse(
                        Some(name),
                        format!("`{name}` can build up without end"),
                        "use add, map, any, all, group_by, first or join",
                    );
                }
                let args = args.into_iter().map(|arg| self.term(arg, depth)).collect::<Result<_, _>>()?;
                Term::Fold(name, self.boxed(*values, depth)?, self.pattern(pattern, depth)?, args)
            }
            Term::TryCatch(inner, handler) => {
                let handler = handler.map(|handler| self.boxed(*handler, depth)).transpose()?;
                Term::TryCatch(self.boxed(*inner, depth)?, handler)
            }
            Term::IfThenElse(branches, otherwise) => {
                let branch = |(test, then)| Ok((self.term(test, depth)?, self.term(then, depth)?));
                let branches = branches.into_iter().map(branch).collect::<Result<_, _>>()?;
                Term::IfThenElse(branches, otherwise.map(|term| self.boxed(*term, depth)).transpose()?)
            }
            Term::Def(definitions, body) => {
                if !self.trusted {
                    let at = definitions.first().map(|definition| definition.name);
                    return refuse(at, "`def` can loop without end", "write the expression where it is used");
                }
                let definitions =
                    definitions.into_iter().map(|definition| self.definition(definition)).collect::<Result<_, _>>()?;
                Term::Def(definitions, self.boxed(*body, depth)?)
            }
            Term::Call(name, args) => {
                self.name(name, args.len())?;
                let args = args.into_iter().map(|arg| self.term(arg, depth)).collect::<Result<_, _>>()?;
                let price = if filters::is_deep(name) { "loopd_dive" } else { "loopd_walk" };
                // A closure's parameter, a constant or a price itself costs nothing.
                if self.trusted || matches!(name, "true" | "false" | "null" | "empty" | "not" | "select" | "values") {
                    Term::Call(name, args)
                } else {
                    pipe(Term::Call(price, Vec::new()), made(Term::Call(name, args)))
                }
            }
            Term::Path(base, Path(parts)) => self.path(*base, parts, depth)?,
        })
    }

    pub(super) fn definition<'s>(self, definition: Def<&'s str>) -> Result<Def<&'s str>, Refusal<'s>> {
        Ok(Def { name: definition.name, args: definition.args, body: self.term(definition.body, 0)? })
    }

    fn boxed<'s>(self, term: Term<&'s str>, depth: usize) -> Result<Box<Term<&'s str>>, Refusal<'s>> {
        self.term(term, depth).map(Box::new)
    }

    fn check_only<'s>(self, term: Term<&'s str>, depth: usize) -> Rewritten<'s> {
        self.term(term.clone(), depth)?;
        Ok(term)
    }

    fn name<'s>(self, name: &'s str, arity: usize) -> Result<(), Refusal<'s>> {
        if self.trusted {
            return Ok(());
        }
        let Some(arities) = filters::arities(name) else {
            let (what, mend) = filters::explain(name);
            return refuse(Some(name), what, mend);
        };
        if arities.contains(&arity) {
            return Ok(());
        }
        let takes: Vec<String> = arities.iter().map(usize::to_string).collect();
        let mend = if arities == [0] {
            format!("write `| {name}`")
        } else {
            format!("arguments are separated by `;`: {name}(a; b)")
        };
        refuse(Some(name), format!("`{name}` takes {} arguments, here are {arity}", takes.join(" or ")), mend)
    }

    fn binary<'s>(
        self,
        left: Term<&'s str>,
        op: BinaryOp<&'s str>,
        right: Term<&'s str>,
        depth: usize,
    ) -> Rewritten<'s> {
        if matches!(op, BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt)
            && !self.trusted
        {
            return refuse(
                None,
                "an expression gives a value, it cannot assign",
                "build the value: {name: …} or map(…); to compare, write `==`",
            );
        }
        // Two names are as cheap to compare as one, and most comparisons are with a constant.
        let dear = matches!(op, BinaryOp::Cmp(_)) && !constant(&left) && !constant(&right);
        let left = self.term(left, depth)?;
        let right = self.term(right, depth)?;
        Ok(match op {
            BinaryOp::Pipe(Some(pattern)) => {
                let pattern = self.pattern(pattern, depth)?;
                Term::BinOp(Box::new(left), BinaryOp::Pipe(Some(pattern)), Box::new(right))
            }
            BinaryOp::Math(Math::Mul) => Term::Call("loopd_times", vec![left, right]),
            BinaryOp::Math(Math::Sub) => Term::Call("loopd_minus", vec![left, right]),
            op @ (BinaryOp::Comma | BinaryOp::Math(_)) => made(Term::BinOp(Box::new(left), op, Box::new(right))),
            op if dear => Term::BinOp(Box::new(dive(left)), op, Box::new(dive(right))),
            op => Term::BinOp(Box::new(left), op, Box::new(right)),
        })
    }

    fn pattern<'s>(self, pattern: Pattern<&'s str>, depth: usize) -> Result<Pattern<&'s str>, Refusal<'s>> {
        if depth > MAX_DEPTH {
            return refuse(None, "the pattern is nested too deeply", "take it apart");
        }
        Ok(match pattern {
            Pattern::Var(name) => Pattern::Var(name),
            Pattern::Arr(items) => {
                Pattern::Arr(items.into_iter().map(|item| self.pattern(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            Pattern::Obj(entries) => {
                let entry = |(key, pattern)| Ok((self.term(key, depth + 1)?, self.pattern(pattern, depth + 1)?));
                Pattern::Obj(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
        })
    }

    /// A path is taken apart behind each `[]`, so that every element is counted.
    fn path<'s>(
        self,
        base: Term<&'s str>,
        parts: Vec<(Part<Term<&'s str>>, jaq_core::path::Opt)>,
        depth: usize,
    ) -> Rewritten<'s> {
        let mut whole = self.term(base, depth)?;
        let mut run = Vec::new();
        let mut split = false;
        for (part, optional) in parts {
            let fixed = match &part {
                Part::Index(index) => constant(index),
                Part::Range(from, to) => from.iter().chain(to).all(constant),
            };
            if split && !fixed && !self.trusted {
                return refuse(
                    None,
                    "an index that is computed stands behind `[]`",
                    "bind it first: `.id as $id | .list[] | .[$id]`",
                );
            }
            let slices = matches!(&part, Part::Range(from, to) if from.is_some() || to.is_some());
            let iterates = matches!(part, Part::Range(None, None));
            let part = match part {
                Part::Index(index) => Part::Index(self.term(index, depth)?),
                Part::Range(from, to) => {
                    let bound = |bound: Option<Term<&'s str>>| bound.map(|bound| self.term(bound, depth)).transpose();
                    Part::Range(bound(from)?, bound(to)?)
                }
            };
            run.push((part, optional));
            if (iterates || slices) && (fixed || self.trusted) {
                whole = after(whole, std::mem::take(&mut run), split);
                whole = if slices { pipe(whole, Term::Call("loopd_walk", Vec::new())) } else { made(whole) };
                split = true;
            }
        }
        if run.is_empty() { Ok(whole) } else { Ok(after(whole, run, split)) }
    }
}

type Parts<'s> = Vec<(Part<Term<&'s str>>, jaq_core::path::Opt)>;

fn after<'s>(whole: Term<&'s str>, parts: Parts<'s>, split: bool) -> Term<&'s str> {
    if split {
        pipe(whole, Term::Path(Box::new(Term::Id), Path(parts)))
    } else {
        Term::Path(Box::new(whole), Path(parts))
    }
}

fn constant(term: &Term<&str>) -> bool {
    match term {
        Term::Num(_) | Term::Var(_) => true,
        Term::Str(_, parts) => !parts.iter().any(|part| matches!(part, StrPart::Term(_))),
        Term::Neg(inner) => constant(inner),
        Term::Call(name, args) => args.is_empty() && matches!(*name, "true" | "false" | "null"),
        _ => false,
    }
}

fn pipe<'s>(left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right))
}

fn made(term: Term<&str>) -> Term<&str> {
    pipe(term, Term::Call("loopd_made", Vec::new()))
}

fn dive(term: Term<&str>) -> Term<&str> {
    pipe(term, Term::Call("loopd_dive", Vec::new()))
}
