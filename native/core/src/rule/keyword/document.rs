//! The page that documents all keywords, made from their tables.

use std::fmt::Write;

use super::{Keyword, Quotes, Takes, FAMILIES};

/// `docs/keywords.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Rule keywords\n\nGenerated from the keyword tables in `native/core/src/rule/keyword/`: change those, then \
         `cargo run -p tapwarden-core --example keywords_page > ../docs/keywords.md` in `native/`.\n\nKeywords behave \
         as in Suricata 7. Each example is a rule that is loaded by the tests.\n",
    );
    for (title, family) in FAMILIES {
        let _ = write!(
            page,
            "\n## {title}\n\n| keyword | argument | what it does | example |\n|---|---|---|---|\n"
        );
        for keyword in *family {
            row(&mut page, keyword);
        }
    }
    page
}

fn row(page: &mut String, keyword: &Keyword) {
    let _ = write!(page, "| `{}`", keyword.name);
    for alias in keyword.aliases {
        let _ = write!(page, ", `{alias}`");
    }
    let _ = writeln!(
        page,
        " | {} | {} | `{}` |",
        argument(keyword),
        cell(keyword.doc),
        cell(&example(keyword))
    );
}

fn argument(keyword: &Keyword) -> String {
    let takes = match keyword.takes {
        Takes::Nothing => return "none".into(),
        Takes::Optional => "may have one",
        Takes::Required => "yes",
    };
    let quotes = match keyword.quotes {
        Quotes::No => "",
        Quotes::Optional => ", quotes optional",
        Quotes::Yes => ", in quotes",
    };
    let negation = if keyword.negatable { ", `!` negates" } else { "" };
    format!("{takes}{quotes}{negation}")
}

/// A pipe would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A rule that uses the keyword.
pub fn example(keyword: &Keyword) -> String {
    let (protocol, options) = keyword.example;
    let sid = if keyword.name == "sid" { "" } else { " sid:1;" };
    format!("alert {protocol} any any -> any any ({options}{sid})")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::rule::context::Files;
    use crate::rule::load::load;
    use crate::rule::signature::ProblemKind;

    /// Reputation categories, and empty data files.
    struct Examples;

    impl Files for Examples {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            Ok(match path {
                "categories" => b"1,CnC,Command and control".to_vec(),
                "countries" => super::super::geoip::tests::database(),
                _ => Vec::new(),
            })
        }
    }

    fn keywords() -> impl Iterator<Item = &'static Keyword> {
        FAMILIES.iter().flat_map(|(_, family)| family.iter())
    }

    #[test]
    fn every_example_loads_or_its_protocol_is_not_there_yet() {
        let mut config = Config::default();
        config.detect.reputation_categories_file = "categories".into();
        config.detect.geoip_database = "countries".into();
        for keyword in keywords() {
            let rule = example(keyword);
            assert!(
                rule.contains(keyword.name),
                "{} is not in its example",
                keyword.name
            );
            let loaded = load(
                &config,
                &[("example".into(), rule.clone())],
                Box::new(Examples),
                ".",
            );
            for error in &loaded.errors {
                let known = error.kind == ProblemKind::NotThereYet;
                assert!(known, "{rule}\n{}: {}", error.keyword, error.reason);
            }
        }
    }

    #[test]
    fn no_name_stands_for_two_keywords() {
        let mut names = HashSet::new();
        for name in keywords().flat_map(|keyword| std::iter::once(&keyword.name).chain(keyword.aliases)) {
            assert!(names.insert(name), "{name} stands twice");
        }
    }

    #[test]
    fn the_documentation_is_what_the_tables_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/keywords.md");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            text == page(),
            "docs/keywords.md is out of date: its first lines say how to make it again"
        );
    }
}
