//! Short functions: what is longer than two screens is several things.

use super::source::{Source, is_name, item_end, sources};

/// Lines from `fn` to the closing bracket.
const LINES: usize = 80;

pub(crate) fn lengths() -> Result<Vec<String>, String> {
    Ok(sources(&["core/src", "host/src", "ffi/src"])?.iter().flat_map(too_long).collect())
}

/// Exceptions from the number of parameters: what goes together is a type.
pub(crate) fn parameters() -> Result<Vec<String>, String> {
    Ok(sources(&["core/src"])?.iter().flat_map(exceptions).collect())
}

fn too_long(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, _) in source.code.match_indices("fn ") {
        let before = source.code.get(..at).unwrap_or_default();
        let item = source.code.get(at..).unwrap_or_default();
        let name: String =
            item.get(3..).unwrap_or_default().chars().take_while(|&c| is_name(c)).collect();
        // Types of functions and macros' parameters have no name.
        if before.ends_with(is_name) || name.is_empty() {
            continue;
        }
        let lines = item.get(..item_end(item)).unwrap_or_default().lines().count();
        if lines > LINES {
            let line = source.line(at);
            findings.push(format!("{}:{line}: fn {name} has {lines} lines", source.path));
        }
    }
    findings
}

fn exceptions(source: &Source) -> Vec<String> {
    let found = source.code.match_indices("too_many_arguments");
    found
        .map(|(at, _)| format!("{}:{}: too_many_arguments", source.path, source.line(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_without_tests() {
        let function = |lines: usize| {
            format!("\n    pub fn f(a: [u8; 3]) {{\n{}    }}\n", "x();\n".repeat(lines - 2))
        };
        let source = |text: &str| Source::new("a.rs", text);
        assert_eq!(too_long(&source(&function(80))), [""; 0]);
        assert_eq!(too_long(&source(&function(81))), ["a.rs:2: fn f has 81 lines"]);
        let test = format!("#[cfg(test)]\nmod tests {{ {} }}", function(81));
        assert_eq!(too_long(&source(&test)), [""; 0]);
    }

    #[test]
    fn exceptions_are_found() {
        let text = "// too_many_arguments\n#[expect(\n    clippy::too_many_arguments)]\nfn f() {}";
        assert_eq!(exceptions(&Source::new("a.rs", text)), ["a.rs:3: too_many_arguments"]);
    }
}
