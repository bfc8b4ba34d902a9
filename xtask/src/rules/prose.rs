//! Plain English: words that only seem to be.

use super::source::{files, is_name, read};

/// What is read: all that holds comments or prose of ours.
const ENDINGS: [&str; 10] = ["rs", "md", "c", "h", "hpp", "cpp", "py", "toml", "yml", "sh"];

/// Words that do not stand next to each other, and what to write. In two halves, as this file is
/// read, too.
const WORDS: [(&[&str], &str); 4] = [
    (&[concat!("O", "f")], "say of what it is in the middle of a sentence: 'bits of the value'"),
    (&[concat!("s", "o"), "many"], "give the number or its name: '`n` bits'"),
    (&[concat!("an", "ew")], "'again', or nothing"),
    (&[concat!("Di", "to")], "'likewise', or say it"),
];

pub(crate) fn check() -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for path in files(".", &ENDINGS)? {
        findings.extend(found(&path, &read(&path)?));
    }
    Ok(findings)
}

/// Words stand on one line or on two that follow each other; code between backticks is not read.
fn found(path: &str, text: &str) -> Vec<String> {
    let mut words: Vec<(usize, &str)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // Every other part is between backticks.
        for part in line.split('`').step_by(2) {
            let part = part.split(|c| !is_name(c) && c != '\'').filter(|word| !word.is_empty());
            words.extend(part.map(|word| (number + 1, word)));
        }
    }
    let mut findings = Vec::new();
    for (wrong, advice) in WORDS {
        for pair in words.windows(wrong.len()) {
            if pair.iter().map(|(_, word)| *word).eq(wrong.iter().copied())
                && let Some((line, _)) = pair.first()
            {
                findings.push(format!("{path}:{line}: '{}': {advice}", wrong.join(" ")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_across_lines_and_not_in_code() {
        let of = WORDS[0].0[0];
        let first = WORDS[1].0[0];
        let text =
            format!("/// {of} all.\n// The most {first}\n// many; {first}, many `{of}`\nOffice");
        let found = found("a.rs", &text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a.rs:1:"));
        assert!(found[1].starts_with("a.rs:2:") && found[2].starts_with("a.rs:3:"));
    }
}
