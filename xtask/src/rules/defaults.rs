//! Fail closed: a value that is not there is an error. Where core or the C ABI take a default all
//! the same, `defaults.txt` has the line and the reason why no secret can be meant.

use super::source::{Source, read, sources};
use std::collections::BTreeMap;
use std::fs;

/// The allowed places.
const LIST: &str = "xtask/defaults.txt";

/// What replaces a missing value.
const DEFAULTS: [&str; 7] = [
    ".unwrap_or_default(",
    ".unwrap_or(",
    ".unwrap_or_else(",
    ".map_or(",
    ".map_or_else(",
    ".map_or_default(",
    ".into_iter().flatten()",
];

/// What does nothing when a place is missing, behind `if let Some(`.
const SKIPS: [&str; 2] = [".get(", ".get_mut("];
/// What goes on without a value, behind `let Some(…) = … else {`.
const LEAVES: [&str; 6] = ["return;", "return }", "break;", "break }", "continue;", "continue }"];

const HEAD: &str = "\
Defaults for missing values in core and the C ABI: file, line of code, reason. Only public data may
have one; a share, mask, label, key or length that is missing is an error. `cargo xtask rules` fails
on a place that is not here, on one that is gone, and on one without a reason; `cargo xtask rules
--accept` writes the places and keeps the reasons.
";

/// What stands for a reason until somebody gives one.
const NO_REASON: &str = "?";

/// A file and a line of code; how often it is there.
type Places = BTreeMap<(String, String), usize>;
type Reasons = BTreeMap<(String, String), (usize, String)>;

pub(crate) fn check() -> Result<Vec<String>, String> {
    Ok(compare(&places(&sources(&["core/src", "ffi/src"])?), &parse(&read(LIST)?)))
}

/// Writes the list, with the reasons that it has.
pub(crate) fn accept() -> Result<(), String> {
    let places = places(&sources(&["core/src", "ffi/src"])?);
    let list = super::source::root_path(LIST);
    let old = if list.exists() { parse(&read(LIST)?) } else { Reasons::new() };
    fs::write(list, write(&places, &old)).map_err(|error| format!("{LIST}: {error}"))
}

fn compare(places: &Places, reasons: &Reasons) -> Vec<String> {
    let mut findings = Vec::new();
    for (place @ (file, line), count) in places {
        match reasons.get(place) {
            Some((_, reason)) if reason.is_empty() || reason == NO_REASON => {
                findings.push(format!("{file}: no reason in {LIST} for: {line}"));
            }
            Some((listed, _)) if listed == count => {}
            Some((listed, _)) => {
                findings.push(format!("{file}: {count} times, {listed} in {LIST}: {line}"));
            }
            None => findings.push(format!("{file}: a default that {LIST} does not allow: {line}")),
        }
    }
    let gone = reasons.keys().filter(|place| !places.contains_key(*place));
    findings.extend(gone.map(|(file, line)| format!("{file}: gone, but still in {LIST}: {line}")));
    findings
}

fn places(sources: &[Source]) -> Places {
    let mut places = Places::new();
    for source in sources {
        for at in found(&source.code) {
            let line = statement(source, at);
            *places.entry((source.path.clone(), line)).or_default() += 1;
        }
    }
    places
}

/// Where a default is taken. A line with several counts once.
fn found(code: &str) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    for (at, line) in lines(code) {
        let skips = line.contains("if let Some(") && SKIPS.iter().any(|skip| line.contains(skip));
        if skips || leaves(code, at, line) || DEFAULTS.iter().any(|name| line.contains(name)) {
            found.push(at);
        }
    }
    found
}

/// Whether a `let … else` begins to leave on this line. Behind a closing bracket, `else` is an
/// `if`'s.
fn leaves(code: &str, at: usize, line: &str) -> bool {
    let Some(start) = line.find("else {").map(|start| at + start) else { return false };
    let (before, behind) = code.split_at(start);
    let behind = behind.trim_start_matches("else {").trim_start();
    !before.trim_end().ends_with('}') && LEAVES.iter().any(|leave| behind.starts_with(leave))
}

fn lines(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len() + 1;
        Some((start, line))
    })
}

/// The line of code at `at` with those before it that it goes on from, without the white space
/// between.
fn statement(source: &Source, at: usize) -> String {
    let number = source.line(at);
    let lines: Vec<&str> = source.code.lines().take(number).collect();
    let text: Vec<&str> = source.text.lines().take(number).collect();
    let mut first = number - 1;
    let goes_on = |line: &&str| [".", "else {"].iter().any(|s| line.trim_start().starts_with(s));
    while first > 0 && lines.get(first).is_some_and(goes_on) {
        first -= 1;
    }
    let parts =
        lines.get(first..).unwrap_or_default().iter().zip(text.get(first..).unwrap_or_default());
    // Literals belong to the line, comments do not.
    let shown = parts.map(|(code, text)| text.get(..code.trim_end().len()).unwrap_or(text).trim());
    shown.collect::<Vec<_>>().join(" ").replace(" .", ".")
}

fn parse(list: &str) -> Reasons {
    let mut reasons = Reasons::new();
    let mut file = "";
    let mut place = None;
    for line in list.lines() {
        let indent = line.len() - line.trim_start().len();
        match (indent, line.trim()) {
            (_, "") => {}
            (0, name) => file = name.trim_end_matches(':'),
            (1..4, code) => {
                let (count, code) = match code.split_once("x ") {
                    Some((count, rest)) if count.parse::<usize>().is_ok() => {
                        (count.parse().unwrap_or(1), rest)
                    }
                    _ => (1, code),
                };
                let key = (file.to_owned(), code.to_owned());
                reasons.insert(key.clone(), (count, String::new()));
                place = Some(key);
            }
            (_, words) => {
                if let Some((_, reason)) = place.as_ref().and_then(|key| reasons.get_mut(key)) {
                    if !reason.is_empty() {
                        reason.push(' ');
                    }
                    *reason += words;
                }
            }
        }
    }
    reasons
}

fn write(places: &Places, reasons: &Reasons) -> String {
    let mut text = HEAD.lines().map(|line| format!("# {line}\n")).collect::<String>();
    let mut last = "";
    for (place @ (file, line), count) in places {
        if file != last {
            text += &format!("\n{file}:\n");
            last = file;
        }
        let times = if *count > 1 { format!("{count}x ") } else { String::new() };
        let reason = reasons.get(place).map(|(_, reason)| reason.as_str());
        let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or(NO_REASON);
        text += &format!("  {times}{line}\n      {reason}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "fn f() {\n    let a = x.get(1).copied().unwrap_or(b' '); // a space\n    \
        let b = y\n        .first()\n        .map_or(0, |b| b + 1);\n    \
        if let Some(c) = z.get_mut(3) {\n    } else { return };\n    \
        let Some(d) = z.first() else { return };\n    \
        let Some(e) = z.last()\n    else {\n        continue;\n    };\n    \
        let Some(f) = z.last() else { return Err(()) };\n    // .unwrap_or(0)\n}\n\
        #[cfg(test)]\nmod tests {\n    fn g() { x.unwrap_or_default(); }\n}\n";

    fn sample(code: &str) -> Places {
        places(&[Source::new("core/src/a.rs", code)])
    }

    #[test]
    fn defaults_are_found_as_they_are_written() {
        let lines: Vec<String> = sample(CODE).into_keys().map(|(_, line)| line).collect();
        assert_eq!(
            lines,
            [
                "if let Some(c) = z.get_mut(3) {",
                "let Some(d) = z.first() else { return };",
                "let Some(e) = z.last() else {",
                "let a = x.get(1).copied().unwrap_or(b' ');",
                "let b = y.first().map_or(0, |b| b + 1);",
            ]
        );
    }

    #[test]
    fn a_list_holds_and_fails() {
        let places = sample(CODE);
        let list = write(&places, &Reasons::new());
        assert!(compare(&places, &parse(&list)).iter().all(|f| f.contains("no reason")));
        let list = list.replace("      ?", "      public\n      and known");
        assert_eq!(compare(&places, &parse(&list)), [""; 0]);
        // Reasons stay, on one line.
        let again = parse(&write(&places, &parse(&list)));
        assert!(again.values().all(|(count, reason)| *count == 1 && reason == "public and known"));

        let more = sample(&CODE.replace("// .unwrap_or(0)", "w.unwrap_or(0);"));
        let found = compare(&more, &parse(&list));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("does not allow: w.unwrap_or(0);"));

        let fewer = sample(&CODE.replace("copied().unwrap_or(b' ')", "ok_or(E)?"));
        let found = compare(&fewer, &parse(&list));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("gone"));
        let twice = sample(&format!("{CODE}{CODE}"));
        assert!(compare(&twice, &parse(&list)).iter().all(|f| f.contains("2 times, 1 in")));
        assert_eq!(compare(&twice, &parse(&write(&twice, &parse(&list)))), [""; 0]);
    }
}
