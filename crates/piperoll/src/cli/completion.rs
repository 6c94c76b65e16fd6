//! `piperoll completion` and `piperoll man`: what a shell and a reader of manuals want of the program.

use super::complete::VARIABLE;
use super::{Cli, Done, Failure, Outcome, say};
use anyhow::{Context as _, anyhow};
use clap::{CommandFactory as _, ValueEnum};
use clap_complete::env::Shells;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Shells that can be served.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// What stands before and behind the script.
    fn around(self) -> (&'static str, &'static str) {
        match self {
            Self::Bash => ("", BASH_WHOLE_WORDS),
            Self::Zsh => (ZSH_BEGIN, ""),
            Self::Fish => ("", ""),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// zsh has no completion before its start-up file begins it.
const ZSH_BEGIN: &str = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n";

/// bash cuts words at `:`, `=` and `@`, and puts what is offered in the place of the last piece: this gives the program
/// whole words, and takes from its offers what stands there already.
const BASH_WHOLE_WORDS: &str = r#"
_piperoll() {
    local rest=${COMP_LINE:0:COMP_POINT} index i piece
    local -a whole=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
            whole+=("")
        fi
        rest=${rest#"${rest%%[![:space:]]*}"}
        piece=${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && piece=$rest
        whole[${#whole[@]} - 1]+=$piece
        rest=${rest#"$piece"}
    done
    index=$((${#whole[@]} - 1))
    local COMP_CWORD=$index
    local -a COMP_WORDS=("${whole[@]}")
    local current=${whole[index]}
    _clap_complete_piperoll "$1" "$current" "$3"
    COMPREPLY=("${COMPREPLY[@]#"${current%"$2"}"}")
}
complete -o nospace -o bashdefault -o nosort -F _piperoll piperoll 2>/dev/null ||
    complete -o nospace -o bashdefault -F _piperoll piperoll
"#;

/// Print the script that has a shell complete commands, flags, fields and values
///
/// For one session, or in the shell's start-up file:
///   bash   source <(piperoll completion bash)
///   zsh    source <(piperoll completion zsh)
///   fish   piperoll completion fish | source
///
/// Actors, stages, repositories and the like come from the daemon (--endpoint, or its variable);
/// one that does not answer within 0.4 s is not waited for.
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Outcome {
    let shell = args.shell.name();
    let shells = Shells::builtins();
    let script = shells.completer(shell).ok_or_else(|| anyhow!("{shell} is not served"))?;
    let mut text = Vec::new();
    script.write_registration(VARIABLE, "piperoll", "piperoll", &called(), &mut text)?;
    let (before, after) = args.shell.around();
    io::stdout().write_all(&[before.as_bytes(), &text, after.as_bytes()].concat())?;
    Ok(Done::Yes)
}

/// How the script calls this program: by its name, unless it was called by a path.
fn called() -> String {
    let name = std::env::args().next().unwrap_or_default();
    let path = std::env::current_exe().ok().filter(|_| name.contains('/'));
    path.and_then(|path| path.into_os_string().into_string().ok()).unwrap_or_else(|| "piperoll".to_owned())
}

/// Write manual pages, one for the program and one for each command
///
/// piperoll man ~/.local/share/man/man1
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ManArgs {
    /// The folder; it is made where it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes the pages.
pub(crate) fn man(args: &ManArgs) -> Outcome {
    let shown = args.directory.display();
    let not_written = |error: io::Error| {
        Failure::Running(anyhow!(error).context(format!("cannot write manual pages into {shown}")))
    };
    std::fs::create_dir_all(&args.directory).map_err(not_written)?;
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(not_written)?;
    let pages = std::fs::read_dir(&args.directory).context("the folder was just written to")?;
    let is_page = |name: &str| name.starts_with("piperoll") && name.ends_with(".1");
    let pages = pages.flatten().filter(|page| page.file_name().to_str().is_some_and(is_page)).count();
    say(&format!("{pages} manual pages in {shown}"));
    Ok(Done::Yes)
}
