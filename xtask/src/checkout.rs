//! Whether a run leaves the checkout as it was.

use crate::shell::{command, run};
use crate::steps::Outcome;
use std::sync::OnceLock;

/// As it was when the run began; `None` without git.
static BEFORE: OnceLock<Option<String>> = OnceLock::new();

/// Looks at the checkout before the run.
pub(crate) fn remember() {
    BEFORE.get_or_init(state);
}

/// Holds the checkout against what it was.
pub(crate) fn unchanged() -> Result<Outcome, String> {
    match (BEFORE.get().and_then(Option::as_ref), state()) {
        (Some(before), Some(after)) => difference(before, &after),
        _ => Ok(Outcome::Skipped("this is no git checkout".to_owned())),
    }
}

/// Which files differ from the last commit, and how.
fn state() -> Option<String> {
    let files = run(&mut command("git status --porcelain --untracked-files=all")).ok()?;
    let changes = run(&mut command("git diff HEAD")).ok()?;
    Some(files + &changes)
}

fn difference(before: &str, after: &str) -> Result<Outcome, String> {
    if before == after {
        return Ok(Outcome::Passed(String::new()));
    }
    let only = |these: &str, those: &str| {
        let lines = these.lines().filter(|line| those.lines().all(|other| other != *line));
        lines.take(20).map(|line| format!("    {line}\n")).collect::<String>()
    };
    Err(format!(
        "the run changed the checkout. Before:\n{}after:\n{}",
        only(before, after),
        only(after, before)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_or_changed_file_is_told() {
        assert!(difference(" M a.rs\n+x\n", " M a.rs\n+x\n").is_ok());
        let told = difference("", "?? fuzz/Cargo.lock\n").err().unwrap();
        assert!(told.contains("?? fuzz/Cargo.lock"), "{told}");
        assert!(difference(" M a.rs\n+x\n", " M a.rs\n+y\n").is_err());
    }
}
