//! The documents say what is so: configurations in them check, commands in them exist, and files that they name are
//! there.
//!
//! A block marked `toml` in a document is a whole configuration. A command is what stands after `loopd` in code.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use loopd::cli::Cli;
use loopd::config::{World, check, load_text};

const DOCUMENTS: [&str; 6] =
    ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "systemd/README.md", "docs", "docs/vendors"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document: its path, and what it says.
fn documents() -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = Vec::new();
    for name in DOCUMENTS {
        let path = root().join(name);
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder of documents").flatten();
            files.extend(
                entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "md")),
            );
        } else {
            files.push(path);
        }
    }
    files.sort();
    let text = |path: &PathBuf| std::fs::read_to_string(path).expect("a document");
    files.iter().map(|path| (path.strip_prefix(root()).expect("below").display().to_string(), text(path))).collect()
}

/// The blocks of code of a document: (language, text).
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some((language.trim().to_owned(), String::new())),
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// What stands between backquotes in running text, and every line of the blocks of code.
fn code(text: &str) -> Vec<String> {
    let mut found: Vec<String> =
        blocks(text).iter().flat_map(|(_, block)| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut inside = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside && line.starts_with("    ") {
            found.push(line.trim().to_owned());
        } else if !inside {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// A machine on which every secret is set.
struct Furnished;

impl World for Furnished {
    fn read(&self, _: &Path) -> io::Result<String> {
        Ok("a secret".into())
    }

    fn list(&self, _: &Path, _: &str) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn env(&self, _: &str) -> Option<String> {
        Some("a secret".into())
    }

    fn credentials(&self) -> Option<PathBuf> {
        Some(PathBuf::from("credentials"))
    }
}

#[test]
fn every_configuration_in_a_document_checks() {
    let mut seen = 0;
    for (document, text) in documents() {
        for (_, block) in blocks(&text).iter().filter(|(language, _)| language == "toml") {
            seen += 1;
            let problems = match load_text(&document, block, Path::new(""), &Furnished) {
                Ok(config) => check(&config, &Furnished),
                Err(problems) => problems,
            };
            let errors: Vec<_> =
                problems.iter().filter(|problem| !problem.warning).map(|problem| &problem.what).collect();
            assert!(errors.is_empty(), "{document}: {errors:#?} in:\n{block}");
        }
    }
    assert!(seen >= 4, "a vendor's page shows its configuration; {seen} were found");
}

/// The words of a command line, as far as they are written out: `[--live]` is `--live`, and a comment ends them.
fn words(line: &str) -> Vec<&str> {
    let words = line
        .split_whitespace()
        .take_while(|word| !word.starts_with('#') && !matches!(*word, "|" | "||" | "&&" | ">" | "<"));
    words.map(|word| word.trim_matches(|c: char| "[](),;:.…\"'".contains(c))).filter(|word| !word.is_empty()).collect()
}

/// What is wrong with the command that begins after the program's name.
fn wrong(words: &[&str]) -> Option<String> {
    let top = Cli::command();
    let mut command = &top;
    let mut takes_value = false;
    for word in words {
        if std::mem::take(&mut takes_value) {
            continue;
        }
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split(['=', '[']).next().unwrap_or_default();
            let known = [command, &top]
                .into_iter()
                .flat_map(clap::Command::get_arguments)
                .find(|arg| arg.get_long() == Some(flag));
            let Some(arg) = known else {
                let built_in = matches!(flag, "help" | "version");
                if built_in { continue } else { return Some(format!("`{}` has no --{flag}", command.get_name())) }
            };
            takes_value = arg.get_action().takes_values()
                && !word.contains('=')
                && arg.get_num_args().is_none_or(|range| range.min_values() > 0);
        } else if let Some(next) = command.find_subcommand(word) {
            command = next;
        } else if command.get_name() == top.get_name() {
            return Some(format!("there is no command {word}"));
        }
    }
    None
}

#[test]
fn every_command_in_a_document_exists() {
    let mut seen = 0;
    for (document, text) in documents() {
        for line in code(&text) {
            let tokens = words(&line);
            for (at, token) in tokens.iter().enumerate() {
                let cargo = &tokens[..at];
                let ours = (at == 0 || matches!(tokens[at - 1], "sudo" | "loopd")) && *token == "loopd"
                    || *token == "--" && cargo.starts_with(&["cargo", "run"]) && !cargo.contains(&"--example");
                // `/usr/bin/loopd` and the like are files; `loopd` as the last word is the program or its user.
                if ours && at + 1 < tokens.len() {
                    seen += 1;
                    let why = wrong(&tokens[at + 1..]);
                    assert!(why.is_none(), "{document}: {} in: {line}", why.unwrap_or_default());
                    break;
                }
            }
        }
    }
    assert!(seen >= 20, "{seen} commands were found");
}

#[test]
fn every_command_is_in_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(readme.contains(&format!("`loopd {name}")), "README.md does not name `loopd {name}`");
    }
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let folders = [
        "src/",
        "connectors/",
        "sandbox/",
        "tests/",
        "benches/",
        "docs/",
        "mappings/",
        "systemd/",
        ".ci/",
        "examples/",
    ];
    for (document, text) in documents() {
        let folder = root().join(&document).parent().map(Path::to_path_buf).unwrap_or_default();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            let outside = path.contains("://") || path.is_empty();
            assert!(outside || folder.join(path).exists(), "{document} leads to {link}, which is not there");
        }
        for span in code(&text).iter().filter(|span| !span.contains(' ')) {
            // A pattern or a place to fill in names no file.
            let open = span.contains(['*', '<', '{', '…']) || span.contains("NAME");
            if folders.iter().any(|folder| span.starts_with(folder)) && !open {
                assert!(root().join(span).exists(), "{document} names {span}, which is not there");
            }
        }
    }
}

#[test]
fn the_changelog_knows_this_version() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).expect("CHANGELOG.md");
    assert!(changelog.contains(&format!("## [{}]", env!("CARGO_PKG_VERSION"))));
}
