//! Which file uses which, as far as its text tells: `use` lines and paths, resolved to the file
//! that a name is written in. What a file re-exports for others is no use of its own.

use super::source::{Source, is_name, item_end};
use std::collections::{BTreeMap, BTreeSet};

/// A module's path below the crate's root; the root's own is empty.
type Path = Vec<String>;

/// One use of a file by another.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Use {
    /// Modules, with `::`; the root is empty.
    pub(crate) from: String,
    pub(crate) to: String,
    /// The name that is used, as a path from the root.
    pub(crate) what: String,
    /// Where: file and line.
    pub(crate) place: String,
}

/// The modules of one crate.
pub(crate) struct Modules<'a> {
    files: BTreeMap<Path, &'a Source>,
    /// What names of a module's `use` lines mean: paths from the root.
    names: BTreeMap<Path, BTreeMap<String, Path>>,
}

/// A name in a `use` line.
struct Import {
    /// What it is called here; `*` for all.
    name: String,
    path: Path,
    /// Where the statement starts.
    at: usize,
    exported: bool,
}

impl<'a> Modules<'a> {
    /// The crate whose root is the folder `root`, with a slash at its end.
    pub(crate) fn new(sources: &'a [Source], root: &str) -> Self {
        let mut files = BTreeMap::new();
        for source in sources {
            let Some(path) = source.path.strip_prefix(root) else { continue };
            let mut module: Path =
                path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
                module.pop();
            }
            files.insert(module, source);
        }
        let mut modules = Self { files, names: BTreeMap::new() };
        for (module, source) in &modules.files {
            let names = modules
                .imports(module, source)
                .into_iter()
                .filter(|import| import.name != "*" && import.name != "_")
                .map(|import| (import.name, import.path));
            modules.names.insert(module.clone(), names.collect());
        }
        modules
    }

    /// The names of all modules, with `::`.
    pub(crate) fn paths(&self) -> impl Iterator<Item = String> {
        self.files.keys().map(|path| path.join("::"))
    }

    /// Every use of another file.
    pub(crate) fn uses(&self) -> BTreeSet<Use> {
        let mut uses = BTreeSet::new();
        for (module, source) in &self.files {
            for import in self.imports(module, source) {
                if !(import.exported && import.path.starts_with(module)) {
                    self.add(&mut uses, module, source, import.at, &import.path);
                }
            }
            for (at, path) in paths(&without_imports(&source.code)) {
                if let Some(path) = self.absolute(module, source, at, &path, true) {
                    self.add(&mut uses, module, source, at, &path);
                }
            }
        }
        uses
    }

    fn add(
        &self,
        uses: &mut BTreeSet<Use>,
        module: &Path,
        source: &Source,
        at: usize,
        path: &Path,
    ) {
        let (file, rest) = self.resolve(path, 0);
        // A module that is named alone is not used: what is taken from it later is.
        let Some(item) = rest.into_iter().next().filter(|_| file != *module) else { return };
        let (from, to, what) = (module.join("::"), file.join("::"), [file, vec![item]].concat());
        let what = what.join("::");
        // The first place is enough.
        if uses.iter().all(|one: &Use| one.from != from || one.what != what) {
            let place = format!("{}:{}", source.path, source.line(at));
            uses.insert(Use { from, to, what, place });
        }
    }

    /// The module that a path from the root leads to, through what others re-export, and the names
    /// in it.
    fn resolve(&self, path: &[String], depth: usize) -> (Path, Path) {
        let mut module = Path::new();
        for (i, name) in path.iter().enumerate() {
            let rest = path.get(i + 1..).unwrap_or_default();
            let inner = [module.clone(), vec![name.clone()]].concat();
            if self.files.contains_key(&inner) {
                module = inner;
                continue;
            }
            let alias = self.names.get(&module).and_then(|names| names.get(name));
            return match alias {
                Some(alias) if depth < 8 => self.resolve(&[alias, rest].concat(), depth + 1),
                _ => (module, path.get(i..).unwrap_or_default().to_vec()),
            };
        }
        (module, Path::new())
    }

    /// A path as written at `at`, from the root; `None` for other crates' and for local names.
    fn absolute(
        &self,
        module: &Path,
        source: &Source,
        at: usize,
        path: &[String],
        aliases: bool,
    ) -> Option<Path> {
        let mut here = module.clone();
        here.extend(inline_modules(&source.code, at));
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => here.clear(),
            "self" | "super" => {}
            first => {
                let child = [module.clone(), vec![first.to_owned()]].concat();
                if self.files.contains_key(&child) {
                    return Some([module.as_slice(), path].concat());
                }
                let alias = self.names.get(module).filter(|_| aliases)?.get(first)?;
                return Some([alias.as_slice(), path.get(1..)?].concat());
            }
        }
        while let Some((first @ ("crate" | "self" | "super"), behind)) =
            rest.split_first().map(|(first, behind)| (first.as_str(), behind))
        {
            if first == "super" {
                here.pop();
            }
            rest = behind;
        }
        Some([here.as_slice(), rest].concat())
    }

    fn imports(&self, module: &Path, source: &Source) -> Vec<Import> {
        let mut imports = Vec::new();
        for (at, tree, exported) in use_statements(&source.code) {
            for (name, path) in leaves(tree) {
                if let Some(path) = self.absolute(module, source, at, &path, false) {
                    imports.push(Import { name, path, at, exported });
                }
            }
        }
        imports
    }
}

/// Files that use each other in a circle: every group, with its uses.
pub(crate) fn circles(uses: &BTreeSet<Use>) -> Vec<Vec<&Use>> {
    let reach = reachable(uses);
    let mut groups: BTreeMap<BTreeSet<&str>, Vec<&Use>> = BTreeMap::new();
    let reaches = |from: &str, to: &str| reach.get(from).is_some_and(|all| all.contains(to));
    for one in uses.iter().filter(|one| reaches(&one.to, &one.from)) {
        let group = reach
            .keys()
            .copied()
            .filter(|other| reaches(&one.from, other) && reaches(other, &one.from))
            .collect();
        groups.entry(group).or_default().push(one);
    }
    groups.into_values().collect()
}

fn reachable(uses: &BTreeSet<Use>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut reach: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in uses {
        reach.entry(&one.from).or_default().insert(&one.to);
    }
    loop {
        let mut grown = reach.clone();
        for all in grown.values_mut() {
            let further: BTreeSet<&str> =
                all.iter().filter_map(|to| reach.get(to)).flatten().copied().collect();
            all.extend(further);
        }
        if grown == reach {
            return reach;
        }
        reach = grown;
    }
}

/// `use TREE;` with its place, the tree's text, and whether others may use the names.
fn use_statements(code: &str) -> Vec<(usize, &str, bool)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code.get(..at).unwrap_or_default();
        if before.ends_with(is_name) || before.ends_with("r#") {
            continue;
        }
        let tree = code.get(at + 4..).unwrap_or_default();
        let tree = tree.get(..item_end(tree)).unwrap_or_default().trim_end_matches(';');
        let line = before.rsplit('\n').next().unwrap_or_default().trim();
        found.push((at, tree, line.starts_with("pub")));
    }
    found
}

fn without_imports(code: &str) -> String {
    let mut rest = code.to_owned();
    for (at, tree, _) in use_statements(code) {
        let end = at + 4 + tree.len();
        let blank: String =
            code.get(at..end).unwrap_or_default().chars().map(blank_unless_line).collect();
        rest.replace_range(at..end, &blank);
    }
    rest
}

const fn blank_unless_line(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}

/// The names that a tree of a `use` line brings, with their paths as written.
fn leaves(tree: &str) -> Vec<(String, Path)> {
    let tree = tree.trim();
    let (path, inner) = match tree.split_once('{') {
        Some((path, inner)) => (path, Some(inner.trim_end().trim_end_matches('}'))),
        None => (tree, None),
    };
    let (path, alias) = match path.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias.trim().to_owned())),
        None => (path, None),
    };
    let path: Path = path
        .split("::")
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let Some(inner) = inner else {
        let Some(last) = path.last() else { return Vec::new() };
        if last == "self" {
            let path = path.get(..path.len() - 1).unwrap_or_default().to_vec();
            let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
            return vec![(name, path)];
        }
        return vec![(alias.unwrap_or_else(|| last.clone()), path)];
    };
    let mut all = Vec::new();
    for part in at_commas(inner) {
        for (name, rest) in leaves(part) {
            // `a::{self}` is `a`.
            let name =
                if name.is_empty() { path.last().cloned().unwrap_or_default() } else { name };
            all.push((name, [path.clone(), rest].concat()));
        }
    }
    all
}

/// Parts between commas that stand outside of braces.
fn at_commas(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}

/// Paths `a::b::c` with their places.
fn paths(code: &str) -> Vec<(usize, Path)> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(is_name) {
        rest = rest.get(start..).unwrap_or_default();
        let at = code.len() - rest.len();
        let (mut path, mut len) = (Path::new(), 0);
        loop {
            let word = rest.get(len..).unwrap_or_default();
            let end = word.find(|c| !is_name(c)).unwrap_or(word.len());
            if end == 0 {
                break;
            }
            path.push(word.get(..end).unwrap_or_default().to_owned());
            len += end;
            if !word.get(end..).unwrap_or_default().starts_with("::") {
                break;
            }
            len += 2;
        }
        if path.len() > 1 && !code.get(..at).unwrap_or_default().ends_with("::") {
            found.push((at, path));
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    found
}

/// The modules written inside the file that contain byte `at`.
fn inline_modules(code: &str, at: usize) -> Path {
    let mut inside = Path::new();
    for (start, _) in code.match_indices("mod ").filter(|(start, _)| *start < at) {
        let before = code.get(..start).unwrap_or_default();
        let item = code.get(start..).unwrap_or_default();
        let Some((name, _)) = item.get(4..).unwrap_or_default().split_once('{') else { continue };
        let name = name.trim();
        if before.ends_with(is_name) || name.is_empty() || !name.chars().all(is_name) {
            continue;
        }
        if start + item_end(item) > at {
            inside.push(name.to_owned());
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(&format!("core/src/{path}"), text))
            .collect();
        let modules = Modules::new(&sources, "core/src/");
        modules.uses().iter().map(|one| format!("{} > {}", one.from, one.what)).collect()
    }

    #[test]
    fn finds_uses_in_all_their_forms() {
        let found = uses(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\npub use b::Error;\n"),
            (
                "a.rs",
                "use crate::{Error, b::{self, x as y, z}};\nuse core::c;\n\
                 fn f() { b::g(c::h); crate::c::k(); }",
            ),
            ("b.rs", "use super::c::*;\nmod inline { use super::own; use crate::c::d; }"),
            ("c.rs", "// use crate::a::no;\nconst T: &str = \"crate::a::no\";"),
        ]);
        assert_eq!(
            found,
            [
                "a > b::Error",
                "a > b::g",
                "a > b::x",
                "a > b::z",
                "a > c::k",
                "b > c::*",
                "b > c::d"
            ]
        );
    }

    #[test]
    fn a_re_export_leads_to_where_the_name_is_written() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b;\nmod c;\npub use b::B;\nuse crate::a::c::C;\npub struct A;"),
            ("a/b.rs", "use super::A;"),
            ("a/c.rs", "use super::B;"),
        ];
        // The parent takes from `c`, re-exports `b` only.
        assert_eq!(uses(&files), ["a > a::c::C", "a::b > a::A", "a::c > a::b::B"]);
    }

    #[test]
    fn circles_are_found_once_each() {
        let one = |from: &str, to: &str| Use {
            from: from.to_owned(),
            to: to.to_owned(),
            what: format!("{to}::X"),
            place: String::new(),
        };
        let uses = [
            one("a", "b"),
            one("b", "c"),
            one("c", "a"),
            one("c", "d"),
            one("d", "e"),
            one("x", "a"),
        ];
        let uses = uses.into_iter().collect();
        let found = circles(&uses);
        let found: Vec<String> =
            found.concat().iter().map(|one| format!("{}{}", one.from, one.to)).collect();
        assert_eq!(found, ["ab", "bc", "ca"]);
        assert!(circles(&[one("a", "b"), one("c", "b")].into_iter().collect()).is_empty());
    }
}
