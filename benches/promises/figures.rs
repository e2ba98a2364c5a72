//! What was measured, with the aim beside it.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// Said for the reader; nothing is promised.
    None,
}

struct Figure {
    bench: &'static str,
    name: String,
    value: f64,
    unit: &'static str,
    aim: Aim,
}

#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Keeps a figure, and prints it at once: the next bench may take minutes.
    pub(crate) fn add(
        &mut self,
        bench: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        aim: Aim,
    ) {
        let figure = Figure { bench, name: name.into(), value, unit, aim };
        println!("{}: {} {} {}", figure.bench, figure.name, figure.shown(), figure.unit);
        self.0.push(figure);
    }

    /// A Markdown table, as the README has it.
    pub(crate) fn print(&self) {
        let mut table = String::from("\n| bench | measured | value | aim | |\n|---|---|---:|---|---|\n");
        for figure in &self.0 {
            let (aim, met) = figure.aim();
            let unit = if figure.unit.is_empty() { String::new() } else { format!(" {}", figure.unit) };
            let _ =
                writeln!(table, "| {} | {} | {}{unit} | {aim} | {met} |", figure.bench, figure.name, figure.shown());
        }
        println!("{table}");
    }

    pub(crate) fn json(&self, quick: bool) -> Value {
        let figures: Vec<Value> = self
            .0
            .iter()
            .map(|figure| {
                let (aim, met) = figure.aim();
                json!({"bench": figure.bench, "name": figure.name, "value": figure.value, "unit": figure.unit, "aim": aim, "met": (!met.is_empty()).then_some(met == "met")})
            })
            .collect();
        json!({"quick": quick, "figures": figures})
    }
}

impl Figure {
    fn shown(&self) -> String {
        match self.value.abs() {
            value if value >= 1000.0 || value.fract() == 0.0 => format!("{:.0}", self.value),
            value if value >= 10.0 => format!("{:.1}", self.value),
            _ => format!("{:.3}", self.value),
        }
    }

    /// The aim in words, and whether it is met.
    fn aim(&self) -> (String, &'static str) {
        let met = |yes: bool| if yes { "met" } else { "missed" };
        match self.aim {
            Aim::AtLeast(least) => (format!("≥ {least}"), met(self.value >= least)),
            Aim::AtMost(most) => (format!("≤ {most}"), met(self.value <= most)),
            Aim::None => (String::new(), ""),
        }
    }
}
