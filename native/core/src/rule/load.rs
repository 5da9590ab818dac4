//! Rule files to signatures: one bad rule never stops the rest.

use std::sync::Arc;

use super::context::{Context, Files};
use super::lexer::{lines, Line};
use super::parse::parse;
use super::signature::{Origin, ProblemKind, Signature};
use crate::config::Config;

/// A rule that was not loaded, or a warning about one that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// File as it was named.
    pub file: String,
    /// 1-based.
    pub line: u32,
    /// 1-based, in octets.
    pub column: u32,
    /// The rule's sid, when it could be read.
    pub sid: Option<u32>,
    /// The keyword, "" for the header or the rule as a whole.
    pub keyword: String,
    /// What is wrong.
    pub reason: String,
    /// What to write instead; may be "".
    pub hint: String,
    /// What kind of problem.
    pub kind: ProblemKind,
}

impl Notice {
    /// A problem with a line of a data file; line 0 is the whole.
    pub fn of_file(file: &str, line: u32, reason: String) -> Notice {
        Notice {
            file: file.to_string(),
            line,
            column: u32::from(line > 0),
            sid: None,
            keyword: String::new(),
            reason,
            hint: String::new(),
            kind: ProblemKind::Invalid,
        }
    }
}

/// What came of loading.
#[derive(Debug)]
pub struct Loaded {
    /// The rules, in the order of the files. Of two with the same gid and sid, the one with the higher revision.
    pub signatures: Vec<Signature>,
    /// Rules that were not loaded.
    pub errors: Vec<Notice>,
    /// Rules left out because their `requires` says so, and files of the configuration that could not be read.
    pub warnings: Vec<Notice>,
    /// Names, datasets, variables of all of them.
    pub context: Context,
}

/// Load rules from `sources`: (name, text). Data files are read through `files`.
pub fn load(config: &Config, sources: &[(String, String)], files: Box<dyn Files>, base_dir: &str) -> Loaded {
    let (context, problems) = Context::new(config, files, base_dir);
    let warnings = problems
        .into_iter()
        .map(|reason| Notice::of_file("", 0, reason))
        .collect();
    let mut loaded = Loaded {
        signatures: Vec::new(),
        errors: Vec::new(),
        warnings,
        context,
    };
    for (name, text) in sources {
        let file: Arc<str> = name.as_str().into();
        for line in lines(text) {
            loaded.rule(&line, &file);
        }
    }
    loaded
}

impl Loaded {
    fn rule(&mut self, line: &Line, file: &Arc<str>) {
        let origin = Origin {
            file: Arc::clone(file),
            line: line.number,
        };
        let (kind, at, keyword, reason, hint) = match parse(&line.text, &mut self.context, &origin) {
            Ok(signatures) => match self.add(signatures) {
                Ok(()) => return,
                Err(reason) => (ProblemKind::Invalid, 0, "sid".to_string(), reason, String::new()),
            },
            Err(problem) => (
                problem.kind,
                problem.at,
                problem.keyword,
                problem.reason,
                problem.hint,
            ),
        };
        let (place, column) = line.place(at);
        let notice = Notice {
            file: file.to_string(),
            line: place,
            column,
            sid: sid_in(&line.text),
            keyword,
            reason,
            hint,
            kind,
        };
        match kind {
            ProblemKind::NotRequired => self.warnings.push(notice),
            _ => self.errors.push(notice),
        }
    }

    /// Of rules with the same gid and sid the higher revision stays.
    fn add(&mut self, signatures: Vec<Signature>) -> Result<(), String> {
        let Some(first) = signatures.first() else {
            return Ok(());
        };
        let key = (first.gid, first.sid);
        if let Some(&known) = self.context.loaded.get(&key) {
            if known >= first.rev {
                return Err(format!(
                    "sid {} stands twice, revision {known} was there before",
                    first.sid
                ));
            }
            self.signatures
                .retain(|signature| (signature.gid, signature.sid) != key);
        }
        self.context.loaded.insert(key, first.rev);
        self.signatures.extend(signatures);
        Ok(())
    }
}

/// The sid of a rule that could not be parsed.
fn sid_in(text: &str) -> Option<u32> {
    let at = text.find("sid:")? + 4;
    let digits: String = text[at..]
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::PROTOCOLS;
    use crate::rule::context::NoFiles;
    use crate::rule::finish::MAX_GROUPS;

    fn loaded(text: &str) -> Loaded {
        load(
            &Config::default(),
            &[("r.rules".into(), text.into())],
            Box::new(NoFiles),
            ".",
        )
    }

    #[test]
    fn every_buffer_of_a_protocol_has_a_bit_of_its_own() {
        for protocol in PROTOCOLS {
            assert!(protocol.buffers.len() <= 64, "{}", protocol.name);
        }
    }

    #[test]
    fn a_rule_on_more_buffers_than_there_are_bits_is_refused() {
        let rule = |count: usize| {
            let buffers = "http.request_header; content:\"a\"; ".repeat(count);
            format!("alert http any any -> any any ({buffers}sid:1;)")
        };
        assert_eq!(loaded(&rule(MAX_GROUPS)).errors, []);
        let errors = loaded(&rule(MAX_GROUPS + 1)).errors;
        assert!(errors[0].reason.contains("more than 30 buffers"), "{errors:?}");
    }

    #[test]
    fn a_flowint_has_a_name_of_at_least_two_characters() {
        let rule = |options: &str| format!("alert tcp any any -> any any ({options} sid:1;)");
        for good in ["flowint:nn,+,1;", "flowint:a.b,>,c_2;", "flowint:n1,isset;"] {
            assert_eq!(loaded(&rule(good)).errors, [], "{good}");
        }
        for bad in [
            "flowint:n,+,1;",
            "flowint:1n,+,1;",
            "flowint:n-n,isset;",
            "flowint:nn,+,m;",
        ] {
            assert!(!loaded(&rule(bad)).errors.is_empty(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_loaded_or_refused_without_a_panic(text in any::<String>()) {
            loaded(&text);
        }

        #[test]
        fn any_options_are_loaded_or_refused_without_a_panic(
            options in proptest::collection::vec(
                (proptest::sample::select(keywords()), "[ -~\u{e9}\u{4e2d}]{0,24}"),
                0..8,
            ),
        ) {
            let options: String = options.iter().map(|(name, value)| format!("{name}:{value}; ")).collect();
            loaded(&format!("alert http any any -> any any ({options}sid:1;)"));
        }
    }

    fn keywords() -> Vec<&'static str> {
        let families = crate::rule::keyword::FAMILIES;
        families
            .iter()
            .flat_map(|(_, family)| family.iter().map(|keyword| keyword.name))
            .collect()
    }
}
