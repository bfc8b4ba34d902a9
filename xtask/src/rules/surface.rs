//! What `minionn-core` offers with its default features, as its documentation lists it: items, not
//! their methods.

use crate::shell::{cargo, run, target_dir};
use std::fs;

/// May only fall: what is public is kept and explained.
const CEILING: usize = 110;

/// Documents core and counts.
pub(crate) fn check() -> Result<String, String> {
    run(cargo("doc --quiet --package minionn-core --no-deps").env("RUSTDOCFLAGS", "-D warnings"))?;
    let list = target_dir().join("doc/minionn_core/all.html");
    let list = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    judge(count(&list))
}

fn judge(items: usize) -> Result<String, String> {
    match items {
        0 => Err("the documentation of minionn-core lists no items: has its form changed?".into()),
        _ if items > CEILING => Err(format!(
            "minionn-core has {items} public items, {CEILING} are allowed: make new ones \
             pub(crate), or let others go"
        )),
        CEILING => Ok(format!("{items} public items in core")),
        _ => Ok(format!("{items} public items in core: lower the ceiling of {CEILING} to that")),
    }
}

/// Entries of the page that lists all items, without those of its own headings.
fn count(list: &str) -> usize {
    list.matches("<li><a href=\"").count() - list.matches("<li><a href=\"#").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_and_judged() {
        let list = "<li><a href=\"#structs\">Structs</a></li>\
                    <ul class=\"all-items\"><li><a href=\"struct.A.html\">A</a></li>\
                    <li><a href=\"b/fn.c.html\">b::c</a></li></ul>";
        assert_eq!(count(list), 2);
        assert!(judge(0).is_err() && judge(CEILING + 1).is_err());
        assert!(judge(CEILING).is_ok());
        assert!(judge(CEILING - 1).unwrap().contains("lower"));
    }
}
