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

    /// Options of a tcp rule that Suricata 7.0.10 loads, and of one that it refuses: a pair for each class of fault that a
    /// comparison over 22,000 rules found.
    const PAIRS: &[(&str, &str)] = &[
        (
            "tcp.hdr; content:\"a\";",
            "tcp.hdr; content:\"a\"; http.uri; content:\"b\";",
        ),
        ("tcp.hdr; content:\"a\";", "udp.hdr; content:\"a\";"),
        (
            "tcp.hdr; content:\"a\";",
            "tcp.hdr; content:\"a\"; flow:only_stream;",
        ),
        (
            "http.uri; content:\"a\";",
            "flow:no_stream; http.uri; content:\"a\";",
        ),
        ("dcerpc.opnum:5;", "dcerpc.opnum:5; dsize:>1;"),
        (
            "flow:to_server; flow:established;",
            "flow:established; flow:to_server;",
        ),
        (
            "app-layer-protocol:!http; app-layer-protocol:!tls;",
            "app-layer-protocol:http; app-layer-protocol:!tls;",
        ),
        (
            "app-layer-protocol:http;",
            "http.uri; content:\"a\"; app-layer-protocol:http;",
        ),
        ("l3_proto:ipv4;", "ip_proto:6;"),
        (
            "base64_decode; base64_data; content:\"a\"; pkt_data; content:\"b\";",
            "base64_decode; base64_data; content:\"a\"; http.uri; content:\"b\";",
        ),
        ("content:\"a\"; pcre:\"/b/R\";", "dsize:1; pcre:\"/b/R\";"),
        (
            "content:\"a\"; http_uri; pcre:\"/b/UR\";",
            "content:\"a\"; pcre:\"/b/UR\";",
        ),
        ("pcre:\"/(a)/,flow:nn\";", "pcre:\"/(a)/,flow:nn,flow:mm\";"),
        (
            "content:\"abc\"; depth:5; fast_pattern;",
            "content:\"abc\"; fast_pattern:only; depth:5;",
        ),
        (
            "content:\"a\"; isdataat:5,relative,rawbytes;",
            "content:\"a\"; isdataat:5,rawbytes,relative;",
        ),
        (
            "http.uri; content:\"abc\"; bsize:<3;",
            "http.uri; content:\"abc\"; bsize:<2;",
        ),
        (
            "http.uri; to_md5; content:\"abc\"; bsize:3;",
            "http.uri; to_md5; content:\"abc\"; bsize:2;",
        ),
        ("seq:5;", "seq:>5;"),
        (
            "stream-event:pkt_invalid_ack;",
            "stream-event:stream.pkt_invalid_ack;",
        ),
        (
            "decode-event:IPV4.PKT_TOO_SMALL;",
            "decode-event:stream.pkt_invalid_ack;",
        ),
        ("ttl:5; prefilter;", "dns.opcode:5; prefilter;"),
        ("hostbits:set,aa,dst;", "hostbits:set,aa,60,dst;"),
        (
            "xbits:set,aa,track ip_src,expire 60;",
            "xbits:set,aa,expire 60,track ip_src;",
        ),
        (
            "byte_test:4,=,1,0,relative,relative;",
            "byte_extract:1,0,vv,relative,relative;",
        ),
        ("byte_extract:4,0,vv,align 4;", "byte_extract:4,0,vv,align;"),
        ("target:src_ip;", "target:src_ip; target:dest_ip;"),
        ("filesize:>1;", "filename:\"a\"; http2.frametype:1;"),
        ("ssh.protoversion:2_compat;", "ssh.protoversion:new;"),
    ];

    #[test]
    fn what_the_arbiter_loads_is_loaded_and_what_it_refuses_is_refused() {
        let errors =
            |options: &str| loaded(&format!("alert tcp any any -> any any ({options} sid:1;)")).errors;
        for (good, bad) in PAIRS {
            assert_eq!(errors(good), [], "{good}");
            assert!(!errors(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn absent_stands_alone_or_with_something_else_to_ask() {
        let errors =
            |options: &str| loaded(&format!("alert http any any -> any any ({options} sid:1;)")).errors;
        for good in [
            "http.referer; absent;",
            "http.referer; absent:or_else; content:\"a\";",
        ] {
            assert_eq!(errors(good), [], "{good}");
        }
        for bad in [
            "absent;",
            "http.referer; absent:or;",
            "http.referer; absent:or_else;",
            "http.referer; absent; content:\"a\";",
            "http.referer; absent:or_else; content:\"a\"; fast_pattern;",
            "tcp.hdr; absent;",
        ] {
            assert!(!errors(bad).is_empty(), "{bad}");
        }
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
