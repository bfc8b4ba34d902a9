//! Running commands: silent while all is well, everything they said when not.

use core::time::Duration;
use std::io::{self, PipeReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

/// How often a program with a time limit is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where the root workspace's artefacts go: absolute, because steps run in other folders too.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()).map_or_else(
        || root().join("target"),
        |dir| std::path::absolute(&dir).unwrap_or(dir.into()),
    )
}

/// A command with arguments, split at spaces, in the root folder.
pub(crate) fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir(root());
    command
}

/// Commands of cargo that resolve dependencies.
const RESOLVING: [&str; 8] = ["bench", "build", "check", "clippy", "doc", "package", "run", "test"];

/// This cargo, in the root folder. It writes no lock file: which versions are used is committed.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    let (name, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
    command.arg(name).current_dir(root());
    if RESOLVING.contains(&name) {
        command.arg("--locked");
    }
    command.args(rest.split_whitespace());
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        command.env("CARGO_TARGET_DIR", target_dir());
    }
    command
}

/// Runs to the end. Returns what was printed.
///
/// # Errors
/// What was printed and how it ended, unless it ended well.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let shown = show(command);
    let (mut child, printed) =
        start(command).map_err(|error| format!("{shown}\ncannot be started: {error}"))?;
    let output = read(printed);
    match child.wait() {
        Ok(status) if status.success() => Ok(output),
        Ok(status) => Err(format!("{output}\n{shown}\nended with {status}")),
        Err(error) => Err(format!("{output}\n{shown}\ncannot be waited for: {error}")),
    }
}

/// Whether the command exists and ends well.
pub(crate) fn works(command: &mut Command) -> bool {
    run(command).is_ok()
}

/// Starts a command whose two outputs go into one pipe, in the order in which they were written.
fn start(command: &mut Command) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let child = command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).spawn();
    // The command keeps its ends of the pipe; while they are open here, the reader never comes to
    // an end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok((child?, reader))
}

fn read(mut printed: PipeReader) -> String {
    let mut bytes = Vec::new();
    // What came before a read error is still worth showing.
    let _ = printed.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for the end, or kills at the limit (`None`).
pub(crate) fn wait_within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The command as one would type it: the program without its folder.
fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = core::iter::once(program).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("$ {}", line.join(" "))
}
