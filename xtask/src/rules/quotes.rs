//! Code in Markdown is quoted from files that are compiled and run: a block behind
//! `<!-- quote: PATH#NAME -->` is what stands in PATH between `// [NAME]` and `// [/NAME]`.

use super::source::{files, read};

const MARK: &str = "<!-- quote: ";

pub(crate) fn check() -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for path in files(".", &["md"])? {
        findings.extend(differences(&path, &read(&path)?, read));
    }
    Ok(findings)
}

fn differences(
    path: &str,
    text: &str,
    read: impl Fn(&str) -> Result<String, String>,
) -> Vec<String> {
    let mut findings = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(source) = line.trim().strip_prefix(MARK) else { continue };
        let place = format!("{path}:{}", number + 1);
        let fence = lines.next().map(|(_, line)| line).unwrap_or_default();
        if !fence.trim_start().starts_with("```") {
            findings.push(format!("{place}: no block follows"));
            continue;
        }
        let indent = fence.len() - fence.trim_start().len();
        let block: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line.get(indent..).unwrap_or_default())
            .take_while(|line| !line.starts_with("```"))
            .collect();
        let quoted = source
            .strip_suffix(" -->")
            .and_then(|source| source.split_once('#'))
            .ok_or_else(|| "not PATH#NAME".to_owned())
            .and_then(|(file, name)| {
                region(&read(file)?, name).ok_or(format!("{file} has no [{name}] … [/{name}]"))
            });
        match quoted {
            Err(why) => findings.push(format!("{place}: {why}")),
            Ok(quoted) if quoted == block => {}
            Ok(quoted) => {
                findings.push(format!("{place}: not what the file says:\n{}", quoted.join("\n")));
            }
        }
    }
    findings
}

/// The lines of a region, without the indentation that all have and without the marks of others.
fn region(text: &str, name: &str) -> Option<Vec<String>> {
    let mark = |line: &str| {
        let line = line.trim().trim_start_matches(['/', '*', '#', ' ']).trim_end_matches("*/");
        let name = line.trim().strip_prefix('[')?.strip_suffix(']')?;
        name.chars().all(|c| c.is_alphanumeric() || "-_/".contains(c)).then(|| name.to_owned())
    };
    let is_mark = |line: &str| {
        let comment = ["//", "#", "/*"].iter().any(|start| line.trim_start().starts_with(start));
        if comment { mark(line) } else { None }
    };
    let end = format!("/{name}");
    let mut inside = text.lines().skip_while(|line| is_mark(line).as_deref() != Some(name)).skip(1);
    let mut lines = Vec::new();
    loop {
        let line = inside.next()?;
        match is_mark(line) {
            Some(other) if other == end => break,
            Some(_) => {}
            None => lines.push(line),
        }
    }
    let indent = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or_default();
    Some(lines.iter().map(|line| line.get(indent..).unwrap_or_default().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "fn main() {\n    // [all]\n    a();\n    // [part]\n    if b {\n\n        \
                        c();\n    }\n    // [/part]\n    // [/all]\n}\n";

    fn check(text: &str) -> Vec<String> {
        differences("README.md", text, |path| match path {
            "a.rs" => Ok(FILE.to_owned()),
            other => Err(format!("no {other}")),
        })
    }

    #[test]
    fn a_block_is_what_the_file_says() {
        let good = "text\n<!-- quote: a.rs#part -->\n```rust\nif b {\n\n    c();\n}\n```\n";
        assert_eq!(check(good), [""; 0]);
        let all = "<!-- quote: a.rs#all -->\n```rust\na();\nif b {\n\n    c();\n}\n```\n";
        assert_eq!(check(all), [""; 0]);
        assert!(check(&good.replace("c()", "d()"))[0].starts_with("README.md:2: not what"));
        assert!(check(&good.replace("```rust\n", ""))[0].contains("no block"));
        assert!(check(&good.replace("#part", "#other"))[0].contains("has no [other]"));
        assert!(check(&good.replace("a.rs", "b.rs"))[0].contains("no b.rs"));
        assert!(check(&good.replace("#part", ""))[0].contains("not PATH#NAME"));
    }
}
