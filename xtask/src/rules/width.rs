//! 100 columns, in Rust and in Markdown.

use super::source::{files, read};

const COLUMNS: usize = 100;

pub(crate) fn rust() -> Result<Vec<String>, String> {
    check("rs", |_| false)
}

pub(crate) fn markdown() -> Result<Vec<String>, String> {
    check("md", exempt)
}

fn check(ending: &str, exempt: fn(&str) -> bool) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for path in files(".", &[ending])? {
        findings.extend(too_wide(&path, &read(&path)?, exempt));
    }
    Ok(findings)
}

fn too_wide(path: &str, text: &str, exempt: fn(&str) -> bool) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| line.chars().count() > COLUMNS && !exempt(line))
        .map(|(i, line)| format!("{path}:{}: {} columns", i + 1, line.chars().count()))
        .collect()
}

/// Rows of tables cannot be cut, nor can the addresses of links.
fn exempt(line: &str) -> bool {
    line.trim_start().starts_with('|') || without_addresses(line).chars().count() <= COLUMNS
}

fn without_addresses(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("](") {
        kept += before;
        let end = behind.find(')').map_or(behind.len(), |end| end + 1);
        rest = behind.get(end..).unwrap_or_default();
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted() {
        let wide = "ä".repeat(101);
        let text = format!("{}\n{wide}\n", "ä".repeat(100));
        assert_eq!(too_wide("a.rs", &text, |_| false), ["a.rs:2: 101 columns"]);
        assert_eq!(too_wide("a.md", &wide, exempt).len(), 1);
        assert!(exempt(&format!("| {wide}")));
        let link = format!("[text]({wide}) and");
        assert!(exempt(&link));
        assert!(!exempt(&format!("{link} {}", "b".repeat(95))));
    }
}
