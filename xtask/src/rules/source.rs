//! Files as the rules read them: Rust without comments, literals and tests, line for line.

use crate::shell::root;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours: what tools make.
const FOREIGN: [&str; 5] = ["target", "build", "corpus", "artifacts", "__pycache__"];

/// A Rust file.
pub(crate) struct Source {
    /// Relative to the root, with slashes.
    pub(crate) path: String,
    /// As it is written.
    pub(crate) text: String,
    /// The same lines with spaces instead of comments, of what literals contain and of tests.
    pub(crate) code: String,
    /// `mod NAME;` under `#[cfg(test)]`: these files are tests.
    pub(crate) test_modules: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, test_modules) = without_tests(without_comments(text));
        Self { path: path.to_owned(), text: text.to_owned(), code, test_modules }
    }

    /// The number of the line, from 1, that byte `at` of `code` is in.
    pub(crate) fn line(&self, at: usize) -> usize {
        1 + self.code.bytes().take(at).filter(|&byte| byte == b'\n').count()
    }
}

/// Rust files below folders of the root, without those that are tests as a whole.
pub(crate) fn sources(folders: &[&str]) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for folder in folders {
        for path in files(folder, &["rs"])? {
            sources.push(Source::new(&path, &read(&path)?));
        }
    }
    let tests: Vec<String> = sources
        .iter()
        .flat_map(|source| source.test_modules.iter().map(|name| child(&source.path, name)))
        .collect();
    let is_test = |path: &str| {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        tests.iter().any(|test| {
            stem.strip_prefix(test.as_str()).is_some_and(|rest| ["", "/"].contains(&rest))
                || stem.starts_with(&format!("{test}/"))
        })
    };
    sources.retain(|source| !is_test(&source.path));
    Ok(sources)
}

/// The path, without its ending, of `mod name;` in the file `path`.
pub(crate) fn child(path: &str, name: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    let folder = ["mod", "lib", "main"]
        .iter()
        .find_map(|root| stem.strip_suffix(root)?.strip_suffix('/'))
        .unwrap_or(stem);
    format!("{folder}/{name}")
}

/// Where a file of the repository is.
pub(crate) fn root_path(path: &str) -> PathBuf {
    root().join(path)
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root_path(path)).map_err(|error| format!("{path}: {error}"))
}

/// Files with these endings in a folder and below, sorted: paths relative to the root.
pub(crate) fn files(folder: &str, endings: &[&str]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let fail = |error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(root().join(&folder)).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let path = folder.join(&name);
            if entry.file_type().map_err(fail)?.is_dir() {
                let name = name.to_string_lossy();
                if !name.starts_with('.') && !FOREIGN.contains(&&*name) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| path.extension().is_some_and(|e| e == *ending)) {
                found.push(slashes(&path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path as all systems' reports show it.
fn slashes(path: &Path) -> String {
    let parts = path.components().map(|part| part.as_os_str().to_string_lossy());
    parts.filter(|part| part != ".").collect::<Vec<_>>().join("/")
}

/// Whether a character may stand in a name.
pub(crate) const fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The text without comments and without what literals contain: spaces stand there instead.
fn without_comments(text: &str) -> String {
    let mut chars = Chars { text, at: 0, code: String::with_capacity(text.len()) };
    let mut previous = ' ';
    while let Some(c) = chars.peek(0) {
        match (c, chars.peek(1)) {
            ('/', Some('/')) => chars.blank_until(|rest| rest.starts_with('\n')),
            ('/', Some('*')) => chars.blank_block(),
            ('"', _) => chars.string(0),
            ('r', Some('"' | '#')) if !is_name(previous) || previous == 'b' => chars.raw_string(),
            ('\'', _) => chars.quote(),
            _ => chars.keep(),
        }
        previous = c;
    }
    chars.code
}

/// The text that is read and what is left of it.
struct Chars<'a> {
    text: &'a str,
    at: usize,
    code: String,
}

impl Chars<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest().chars().nth(ahead)
    }

    fn keep(&mut self) {
        if let Some(c) = self.peek(0) {
            self.at += c.len_utf8();
            self.code.push(c);
        }
    }

    fn blank(&mut self) {
        if let Some(c) = self.peek(0) {
            self.at += c.len_utf8();
            // As many bytes, so that places in text and code are the same.
            self.code.push_str(if c == '\n' { "\n" } else { &"    "[..c.len_utf8()] });
        }
    }

    fn blank_until(&mut self, end: impl Fn(&str) -> bool) {
        while !self.rest().is_empty() && !end(self.rest()) {
            self.blank();
        }
    }

    /// Block comments nest.
    fn blank_block(&mut self) {
        let mut depth = 0;
        loop {
            let step = match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => 1,
                (Some('*'), Some('/')) => -1,
                (None, _) => return,
                _ => 0,
            };
            depth += step;
            self.blank();
            if step != 0 {
                self.blank();
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// From the opening quote to the closing one, which `hashes` follow in a raw string.
    fn string(&mut self, hashes: usize) {
        let raw = hashes > 0;
        let end = format!("\"{}", "#".repeat(hashes));
        self.keep();
        while !self.rest().is_empty() && !self.rest().starts_with(&end) {
            if !raw && self.peek(0) == Some('\\') {
                self.blank();
            }
            self.blank();
        }
        self.keep();
    }

    /// `r"…"`, `r#"…"#`, or a raw name `r#type`.
    fn raw_string(&mut self) {
        self.keep();
        let hashes = self.rest().chars().take_while(|&c| c == '#').count();
        (0..hashes).for_each(|_| self.keep());
        if self.peek(0) != Some('"') {
            return;
        }
        if hashes > 0 {
            return self.string(hashes);
        }
        self.keep();
        self.blank_until(|rest| rest.starts_with('"'));
        self.keep();
    }

    /// A character's literal, or the quote of a lifetime.
    fn quote(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        self.keep();
        if escaped {
            self.blank();
            self.blank();
            self.blank_until(|rest| rest.starts_with('\''));
            self.keep();
        } else if self.peek(1) == Some('\'') {
            self.blank();
            self.keep();
        }
    }
}

/// Blanks items under `#[cfg(test)]`; names the modules among them whose text is elsewhere.
fn without_tests(code: String) -> (String, Vec<String>) {
    let mut kept = code;
    let mut modules = Vec::new();
    let mut from = 0;
    while let Some(start) = kept.get(from..).and_then(|rest| rest.find("#[cfg(test)]")) {
        let start = from + start;
        let item = kept.get(start..).unwrap_or_default();
        let end = start + item_end(item);
        let item = kept.get(start..end).unwrap_or_default();
        if let Some(name) =
            item.strip_suffix(';').and_then(|item| item.rsplit_once("mod ")).map(|(_, name)| name)
        {
            modules.push(name.trim().to_owned());
        }
        let blank: String = item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        from = start + blank.len();
        kept.replace_range(start..end, &blank);
    }
    (kept, modules)
}

/// Where the item ends that starts a text of code: behind its `;`, or behind the bracket that
/// closes its body.
pub(crate) fn item_end(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        let text = "a // use x;\nb /* { /* } */ */ c \"{\\\"\" 'x' '\\'' 'life r\"}\" r#\"\"}\"# d";
        let code = Source::new("", text).code;
        assert!(!code.contains(['{', '}', 'x']), "{code}");
        let words: Vec<&str> =
            code.split_whitespace().filter(|w| w.len() == 1 && w.starts_with(is_name)).collect();
        assert_eq!(words, ["a", "b", "c", "d"]);
        assert!(code.contains("'life"));
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn tests_are_blank_and_their_files_known() {
        let text = "fn a() {}\n#[cfg(test)]\n#[path = \"p.rs\"]\nmod tests;\n#[cfg(test)]\n\
                    mod own {\n fn b() { [1; 2]; }\n}\nfn c() {}\n";
        let source = Source::new("core/src/x/mod.rs", text);
        assert_eq!(source.test_modules, ["tests"]);
        assert!(!source.code.contains("fn b"));
        assert!(source.code.contains("fn a() {}") && source.code.contains("fn c() {}"));
        assert_eq!(source.line(source.code.find("fn c").unwrap()), 9);
        assert_eq!(child(&source.path, "tests"), "core/src/x/tests");
        assert_eq!(child("core/src/x.rs", "tests"), "core/src/x/tests");
        assert_eq!(child("core/src/lib.rs", "x"), "core/src/x");
    }
}
