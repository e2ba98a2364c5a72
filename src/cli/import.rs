//! `loopd import customers|feedback FILE`: from a spreadsheet, an export, or a JSON object a line.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;

use super::admin::{self, Answer, Ask};
use super::{Exit, Out, Told, open};
use crate::config::Config;
use crate::house::House;
use crate::import::{self, Bad, Came, Format, Kind, Options, Order, Report, Row, Sheet};
use crate::ledger::{Ledger, MemoryStore, NoProbe, stands};
use crate::mapping::Problem;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Customers. A Salesforce export is taken as it comes; else the columns: name, domains, company_id, arr, industry, region, tier,
    /// lifecycle, owner, customer_since, use_case, salesforce_account, segment_group, slack_channel, github_org
    Customers(Of),
    /// Feedback. The columns: text, title, author, author_email, company, company_id, domain, date, source, url, category, severity,
    /// product, language, id
    Feedback(Of),
}

#[derive(Debug, clap::Args)]
struct Of {
    file: PathBuf,
    /// A mapping of your own (from = "csv.customers" or "csv.feedback"); or a header of the file and which column it is:
    /// --map "Annual value=arr"
    #[arg(long, value_name = "FILE|HEADER=NAME")]
    map: Vec<String>,
    /// Else it is recognised
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The header of the column that tells one row from another
    #[arg(long, value_name = "HEADER")]
    id: Option<String>,
    /// The order of day and month in dates such as 6/7/2024; else the file's other dates tell
    #[arg(long, value_enum)]
    dates: Option<Order>,
    /// Only tell what would happen
    #[arg(long)]
    dry_run: bool,
}

/// Rows that are read before they are taken in; and what one question to a daemon carries.
const PIECE: usize = 500;
/// Bad lines that are shown.
const SHOWN: usize = 20;

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let (kind, of) = match args.what {
        What::Customers(of) => (Kind::Customers, of),
        What::Feedback(of) => (Kind::Feedback, of),
    };
    let name = of.file.display().to_string();
    let dry_run = of.dry_run;
    let path = of.file.clone();
    let opened = File::open(&path).with_context(|| name.clone())?;
    anyhow::ensure!(opened.metadata()?.is_file(), "{name} is no file");
    drop(opened);
    let options = options(kind, of)?;
    let open_file = || File::open(&path).map(|file| Box::new(file) as Box<dyn Read>);
    let wrong = |error: import::ImportError| Told::usage(format!("error: {name}: {error}"));
    let looking = out.progress(None, "looking through");
    let sheet = Sheet::survey(&open_file, options).map_err(wrong)?;
    looking.finish_and_clear();
    for header in &sheet.unknown {
        let mark = out.yellow("!");
        out.note(format!("{mark} column `{header}` is left out (--map \"{header}=NAME\" says what it means)"));
    }
    for note in &sheet.notes {
        out.note(format!("{} {note}", out.yellow("!")));
    }
    let config = open::config(out)?;
    let mut taker = taker(config, dry_run, kind, &name, out)?;
    let bar = out.progress(Some(sheet.records), kind.collection());
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for read in sheet.rows(&open_file).map_err(wrong)? {
        bar.inc(1);
        match read.map_err(wrong)? {
            Came::Row(row) => rows.push(row),
            Came::Bad(line) => bad.push(line),
            Came::Nothing { repeated: true } => taker.report.repeated += 1,
            Came::Nothing { repeated: false } => taker.report.left_out += 1,
        }
        if rows.len() + bad.len() >= PIECE {
            taker.take(&rows, &bad).await?;
            rows.clear();
            bad.clear();
        }
    }
    taker.take(&rows, &bad).await?;
    bar.finish_and_clear();
    tell(&taker.report, &name, kind, dry_run, matches!(taker.by, By::Daemon) && !dry_run, out);
    Ok(if taker.report.refused == 0 { Exit::Done } else { Exit::NeedsPerson })
}

fn options(kind: Kind, of: Of) -> anyhow::Result<Options> {
    let mut options = Options { kind, format: of.format, id: of.id, dates: of.dates, ..Options::default() };
    let json = of.file.extension().is_some_and(|name| name == "ndjson" || name == "jsonl");
    if options.format.is_none() && json {
        options.format = Some(Format::Ndjson);
    }
    for said in of.map {
        let is_file = Path::new(&said).is_file();
        match said.rsplit_once('=') {
            Some((theirs, ours)) if !is_file => {
                options.columns.insert(theirs.trim().to_owned(), ours.trim().to_owned());
            }
            _ if options.map.is_some() => return Err(Told::usage("error: one mapping at a time").into()),
            _ => {
                let text = std::fs::read_to_string(&said).map_err(|error| {
                    Told::usage(format!(
                        "error: --map {said}: {error}\n  = write HEADER=NAME, or the path of a mapping"
                    ))
                })?;
                let map = import::own_mapping(&said, &text, kind).map_err(|problems| {
                    Told::usage(problems.iter().map(Problem::render).collect::<Vec<_>>().join("\n"))
                })?;
                options.map = Some(map);
            }
        }
    }
    if options.map.is_some() && !options.columns.is_empty() {
        return Err(Told::usage("error: with a mapping of your own, it alone says what columns mean").into());
    }
    Ok(options)
}

/// Who takes the rows in.
enum By {
    Daemon,
    Here(Arc<House>),
}

struct Taker<'a> {
    by: By,
    kind: Kind,
    file: String,
    dry_run: bool,
    /// Nothing was taken in yet.
    first: bool,
    report: Report,
    out: &'a Out,
}

fn taker<'a>(config: Config, dry_run: bool, kind: Kind, file: &str, out: &'a Out) -> anyhow::Result<Taker<'a>> {
    let by = if admin::is_up(&config) {
        By::Daemon
    } else {
        let ledger = match dry_run {
            false => open::ledger(&config, Arc::new(NoProbe))?,
            true if stands(&config.ledger.path) => open::ledger_there(&config)?.overlay()?,
            true => Ledger::over(Arc::new(MemoryStore::new()), Arc::new(NoProbe))?,
        };
        By::Here(open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)?)
    };
    Ok(Taker { by, kind, file: file.to_owned(), dry_run, first: true, report: Report::default(), out })
}

impl Taker<'_> {
    async fn take(&mut self, rows: &[Row], bad: &[Bad]) -> anyhow::Result<()> {
        let (kind, file) = (self.kind, self.file.clone());
        let first = std::mem::take(&mut self.first);
        match (&self.by, self.dry_run) {
            (By::Here(house), false) => {
                if first {
                    import::begin(house, &file)?;
                }
                import::run(house, kind, &file, rows, bad, &mut self.report).await?;
            }
            (By::Here(house), true) => self.report.add(import::rehearse(house, kind, rows, bad)?),
            (By::Daemon, true) => {
                let (rows, bad) = (rows.to_vec(), bad.to_vec());
                match admin::ask(self.out, Ask::Rehearse { kind, rows, bad })? {
                    Answer::Rehearsed(report) => self.report.add(*report),
                    other => anyhow::bail!("the daemon answered something else: {other:?}"),
                }
            }
            (By::Daemon, false) => {
                let (rows, bad) = (rows.to_vec(), bad.to_vec());
                let count = rows.len() as u64;
                self.report.rows += count + bad.len() as u64;
                bad.iter().for_each(|bad| self.report.refuse(bad.clone()));
                match admin::ask(self.out, Ask::Import { kind, file, first, rows, bad })? {
                    Answer::Imported { news } => {
                        self.report.changed += news as u64;
                        self.report.unchanged += count.saturating_sub(news as u64);
                    }
                    other => anyhow::bail!("the daemon answered something else: {other:?}"),
                }
            }
        }
        Ok(())
    }
}

fn tell(report: &Report, name: &str, kind: Kind, dry_run: bool, daemon: bool, out: &Out) {
    out.json(report);
    let count = |what: &str, count: u64| vec![what.to_owned(), count.to_string()];
    let mut rows = vec![count("rows", report.rows)];
    if daemon {
        rows.extend([count("handed to the daemon", report.changed), count("known already", report.unchanged)]);
    } else {
        rows.push(count(if kind == Kind::Customers { "new customers" } else { "new" }, report.new));
        if kind == Kind::Customers {
            rows.push(count("found to be a known customer", report.matched));
        }
        rows.extend([count("changed", report.changed), count("unchanged", report.unchanged)]);
    }
    for (what, number) in [("the same row again", report.repeated), ("left out by the mapping", report.left_out)] {
        if number > 0 {
            rows.push(count(what, number));
        }
    }
    rows.push(count("refused", report.refused));
    out.table(&[name, ""], rows);
    for bad in report.bad.iter().take(SHOWN) {
        out.note(format!("{} {name}:{}: {}", out.red("x"), bad.line, bad.why));
    }
    if report.refused > SHOWN as u64 {
        out.note(format!("  and {} more", report.refused - SHOWN as u64));
    }
    if dry_run {
        out.line("\nNothing was changed.");
    } else if report.refused > 0 {
        out.line("\nMend these lines and import the file again: what is in already is left as it is. `loopd dead` keeps them.");
    }
}
