//! What shells and `man` know of the command, made from the same definition as its parser.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;
use crate::failure::Failure;

/// Print a script that completes commands and options in a shell.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP, override_usage = "streamherd completions <SHELL>")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

const COMPLETIONS_HELP: &str = "\
For this shell alone, in bash:
  source <(streamherd completions bash)
For every new one:
  streamherd completions bash > ~/.local/share/bash-completion/completions/streamherd
  streamherd completions zsh > DIR/_streamherd        (DIR: one of $fpath)
  streamherd completions fish > ~/.config/fish/completions/streamherd.fish";

/// Print the manual page, or write the pages of all commands into a folder.
#[derive(Debug, Args)]
#[command(after_help = MAN_HELP, override_usage = "streamherd man [--dir <DIR>]")]
pub(crate) struct ManArgs {
    /// Write streamherd.1 and a page for each command, as streamherd-worker.1, into this folder, which is made
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const MAN_HELP: &str = "\
To read it:           streamherd man | man -l -
To install the pages: streamherd man --dir ~/.local/share/man/man1, then: man streamherd-worker";

pub(crate) fn completions(options: &CompletionsArgs) -> Result<ExitCode, Failure> {
    // Into memory first: clap panics where its writer fails, and whoever reads may have gone.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "streamherd", &mut script);
    print(&script)
}

pub(crate) fn man(options: &ManArgs) -> Result<ExitCode, Failure> {
    let pages = pages(Cli::command()).map_err(Failure::failed)?;
    match &options.dir {
        Some(folder) => write(folder, &pages),
        None => print(pages.first().map_or(&[], |page| &page.text)),
    }
}

/// One page of the manual.
struct Page {
    file: String,
    text: Vec<u8>,
}

/// The command's own page, then those of its commands, but for what is hidden and `help`, which tells what the pages tell.
fn pages(mut command: Command) -> io::Result<Vec<Page>> {
    command = command.disable_help_subcommand(true);
    // Has the global options known to every command, and each called by its whole name, as `streamherd-worker`.
    command.build();
    let mut pages = Vec::new();
    let mut todo = vec![command];
    while let Some(command) = todo.pop() {
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        todo.extend(shown.cloned());
        let page = Man::new(command).source(concat!("streamherd ", env!("CARGO_PKG_VERSION")));
        let mut text = Vec::new();
        page.render(&mut text)?;
        let file = page.get_filename();
        pages.push(Page { file, text });
    }
    Ok(pages)
}

fn write(folder: &Path, pages: &[Page]) -> Result<ExitCode, Failure> {
    let failed = |path: &Path, e: io::Error| Failure::start(format!("cannot write {}: {e}", path.display()));
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    for page in pages {
        let path = folder.join(&page.file);
        std::fs::write(&path, &page.text).map_err(|e| failed(&path, e))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Nobody reading any more is no failure.
fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    match io::stdout().lock().write_all(text) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(e)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The commands below this one, each with its page's name.
    fn below(command: &Command, name: &str, all: &mut BTreeMap<String, Command>) {
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("{name}-{}", command.get_name());
            below(command, &name, all);
            all.insert(name, command.clone());
        }
        all.insert(name.to_owned(), command.clone());
    }

    #[test]
    fn every_command_has_a_page_with_all_of_its_options() {
        let mut commands = BTreeMap::new();
        below(&Cli::command(), "streamherd", &mut commands);
        let pages = pages(Cli::command()).unwrap();
        assert_eq!(pages.len(), commands.len());
        assert!(pages.len() > 15, "{}", pages.len());
        for page in pages {
            let name = page.file.strip_suffix(".1").unwrap();
            let command = commands.get(name).unwrap_or_else(|| panic!("no command {name}"));
            let text = String::from_utf8(page.text).unwrap().replace('\\', "");
            let options = command.get_arguments().filter(|arg| !arg.is_hide_set());
            for option in options.filter_map(clap::Arg::get_long).chain(["url", "service"]) {
                assert!(text.contains(&format!("--{option}")), "{name}: no --{option}");
            }
            for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
                let page = format!("{name}-{}(1)", below.get_name());
                assert!(text.contains(&page), "{name}: no {page}");
            }
        }
    }
}
