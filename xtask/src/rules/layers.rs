//! The layers of core, as the table in `core/src/lib.rs` orders them: each uses those below it, and
//! no files of one layer use each other in a circle.

use super::modules::{Modules, Use, circles};
use super::source::{Source, read, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Where core's table stands.
const MAP: &str = "core/src/lib.rs";

pub(crate) fn core() -> Result<Vec<String>, String> {
    let sources = sources(&["core/src"])?;
    Ok(check(&sources, "core/src/", &read(MAP)?))
}

/// The command's modules have no order, only no circles: folders count as one.
pub(crate) fn host() -> Result<Vec<String>, String> {
    let sources = sources(&["host/src"])?;
    let top = |path: &str| path.split("::").next().unwrap_or_default().to_owned();
    let uses = Modules::new(&sources, "host/src/")
        .uses()
        .into_iter()
        .map(|one| Use { from: top(&one.from), to: top(&one.to), ..one })
        .filter(|one| !["", "main"].contains(&one.from.as_str()) && one.from != one.to)
        .collect();
    Ok(shown_circles(&uses))
}

fn check(sources: &[Source], root: &str, map: &str) -> Vec<String> {
    let modules = Modules::new(sources, root);
    let layers = layers(map);
    let mut findings = Vec::new();
    // The most exact name counts: a file of a folder may have a layer of its own.
    let layer = |path: &str| {
        let mut names: Vec<&str> = path.split("::").collect();
        while !names.is_empty() {
            if let Some(&layer) = layers.get(&names.join("::")) {
                return Some(layer);
            }
            names.pop();
        }
        None
    };
    let paths: BTreeSet<String> = modules.paths().filter(|path| !path.is_empty()).collect();
    for path in paths.iter().filter(|path| layer(path).is_none()) {
        // A folder without a layer is said once.
        if path.rsplit_once("::").is_none_or(|(parent, _)| !paths.contains(parent)) {
            findings.push(format!("{MAP}: the table of layers has no '{path}'"));
        }
    }
    for name in layers.keys().filter(|name| !paths.contains(*name)) {
        findings.push(format!("{MAP}: the table of layers names '{name}', which is not there"));
    }
    let uses: BTreeSet<Use> =
        modules.uses().into_iter().filter(|one| !one.from.is_empty()).collect();
    for one in &uses {
        // Rows are counted from the top.
        if let (Some(from), Some(to)) = (layer(&one.from), layer(&one.to))
            && to < from
        {
            findings.push(format!("{}: {} uses {}, a layer above", one.place, one.from, one.what));
        }
    }
    findings.extend(shown_circles(&uses));
    findings
}

fn shown_circles(uses: &BTreeSet<Use>) -> Vec<String> {
    let shown = |group: Vec<&Use>| {
        let files: BTreeSet<&str> = group.iter().map(|one| one.from.as_str()).collect();
        let mut pairs: BTreeMap<_, Vec<&Use>> = BTreeMap::new();
        for one in group {
            pairs.entry((&one.from, &one.to)).or_default().push(one);
        }
        let uses: Vec<String> = pairs
            .into_values()
            .filter_map(|uses| {
                let (one, more) = uses.split_first()?;
                let more = match more.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                Some(format!("\n    {}: {} uses {}{more}", one.place, one.from, one.what))
            })
            .collect();
        let files: Vec<&str> = files.into_iter().collect();
        format!("a circle: {}{}", files.join(", "), uses.concat())
    };
    circles(uses).into_iter().map(shown).collect()
}

/// The rows of the table, the top one first: names between backticks, as links where they are
/// public.
fn layers(map: &str) -> BTreeMap<String, usize> {
    let rows = map.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows = rows.filter(|row| row.starts_with(['[', '`']));
    let mut layers = BTreeMap::new();
    for (number, row) in rows.enumerate() {
        let cell = row.split(" | ").next().unwrap_or_default();
        for name in cell.split(',') {
            let name = name.trim().trim_matches(['[', '`', ']']);
            layers.insert(name.to_owned(), number);
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "//! | layer | what |\n//! |---|---|\n//! | [`top`] | a |\n\
                         //! | [`left`], `right` | b |\n//! | [`top::floor`] | c |\n";

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(&format!("src/{path}"), text)).collect();
        check(&sources, "src/", TABLE)
    }

    #[test]
    fn order_is_held() {
        let good = [
            ("lib.rs", "pub use top::X;"),
            ("top/mod.rs", "use crate::left::A;\nuse floor::F;"),
            ("top/floor.rs", ""),
            ("left.rs", "use crate::right::B;\nuse crate::top::floor::F;"),
            ("right.rs", ""),
        ];
        assert_eq!(findings(&good), [""; 0]);

        let mut upwards = good;
        upwards[4].1 = "fn f() {\n    crate::top::g();\n}";
        assert_eq!(findings(&upwards)[0], "src/right.rs:2: right uses top::g, a layer above");

        let mut circle = good;
        circle[4].1 = "use crate::left::A;";
        let found = findings(&circle);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a circle: left, right\n"), "{found:?}");
    }

    #[test]
    fn the_table_is_complete() {
        let found = findings(&[("top/mod.rs", ""), ("left.rs", ""), ("other.rs", "")]);
        assert_eq!(
            found,
            [
                "core/src/lib.rs: the table of layers has no 'other'",
                "core/src/lib.rs: the table of layers names 'right', which is not there",
                "core/src/lib.rs: the table of layers names 'top::floor', which is not there",
            ]
        );
    }
}
