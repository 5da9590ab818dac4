//! A rule's text to a [`Signature`].

use std::sync::Arc;

use super::address;
use super::builder::{Builder, Fault};
use super::context::Context;
use super::header::{Header, Protocols};
use super::keyword::{find, own, similar, Argument, Keyword, Quotes, Takes};
use super::lexer::{fields, invalid, Choice, Fields, Piece};
use super::signature::{Action, Origin, Problem, ProblemKind, Signature};

/// Application protocols by the names Suricata's rules have, there yet or not.
pub const APPLICATIONS: &[&str] = &[
    "http",
    "http1",
    "http2",
    "ftp",
    "ftp-data",
    "smtp",
    "tls",
    "ssh",
    "imap",
    "smb",
    "dcerpc",
    "dns",
    "modbus",
    "enip",
    "dnp3",
    "nfs",
    "ntp",
    "tftp",
    "ike",
    "krb5",
    "quic",
    "dhcp",
    "snmp",
    "sip",
    "rfb",
    "mqtt",
    "pgsql",
    "telnet",
    "websocket",
    "template",
    "rdp",
    "bittorrent-dht",
    "pop3",
    "doh2",
    "ldap",
    "mdns",
    "ikev2",
];

/// The version `requires` compares with: the language level that is understood.
const LANGUAGE_VERSION: (u32, u32, u32) = (7, 0, 10);

/// Parse a rule; two signatures when it is bidirectional.
///
/// # Errors
/// The first problem found.
pub fn parse(text: &str, context: &mut Context, origin: &Origin) -> Result<Vec<Signature>, Problem> {
    let fields = fields(text)?;
    required(&fields, context)?;
    let (action, bidirectional) = (action(fields.header[0])?, direction(fields.header[4])?);
    let mut signatures = vec![one(text, &fields, action, context, origin, bidirectional, false)?];
    if bidirectional {
        signatures.push(one(text, &fields, action, context, origin, bidirectional, true)?);
    }
    Ok(signatures)
}

fn one(
    text: &str,
    fields: &Fields<'_>,
    action: Action,
    context: &mut Context,
    origin: &Origin,
    bidirectional: bool,
    exchanged: bool,
) -> Result<Signature, Problem> {
    let [_, protocol, src, sport, _, dst, dport] = fields.header;
    let (protocols, app) = protocols(protocol)?;
    let (src, dst) = if exchanged { (dst, src) } else { (src, dst) };
    let (sport, dport) = if exchanged { (dport, sport) } else { (sport, dport) };
    let header = Header {
        protocols,
        src: addresses(src, context)?,
        dst: addresses(dst, context)?,
        sport: ports(sport, context)?,
        dport: ports(dport, context)?,
        bidirectional,
    };
    let mut builder = Builder::new(context);
    builder.app = app;
    builder.app_in_header = !app.is_empty();
    for choice in &fields.options {
        option(&mut builder, choice)?;
    }
    builder.finish(action, header, text, origin.clone())
}

fn option(builder: &mut Builder<'_>, choice: &Choice<'_>) -> Result<(), Problem> {
    let Piece { text: name, at } = choice.name;
    builder.at = at;
    let Some(keyword) = find(name) else {
        let value = choice.value.map(|value| value.text);
        let done = own::option(builder, name, value).ok_or_else(|| unknown(name, at))?;
        return done.map_err(|fault| problem(name, fault, at, at));
    };
    let (argument, argument_at) = argument(keyword, choice)?;
    (keyword.parse)(builder, argument).map_err(|fault| problem(keyword.name, fault, at, argument_at))
}

fn unknown(name: &str, at: usize) -> Problem {
    let hint = similar(name)
        .map(|similar| format!("did you mean {similar}?"))
        .unwrap_or_default();
    let mut problem = invalid(at, name, format!("unknown rule keyword {name:?}"));
    problem.hint = hint;
    // Keywords of protocols that are not there yet are told apart from those that nobody has.
    let protocol = name.split(['.', '_']).next().unwrap_or("");
    if NOT_YET.contains(&name)
        || (APPLICATIONS.contains(&protocol)
            && super::keyword::find(protocol).is_none()
            && !is_there(protocol))
    {
        problem.kind = ProblemKind::NotThereYet;
        problem.reason = format!("the keyword {name} is not there yet");
        problem.hint.clear();
    }
    problem
}

fn is_there(protocol: &str) -> bool {
    crate::app::PROTOCOLS
        .iter()
        .any(|known| known.start.is_some() && super::builder::meant_by(known, protocol))
}

/// Keywords of Suricata 7 that are not there yet.
const NOT_YET: &[&str] = &[
    "lua",
    "luajit",
    "cip_service",
    "modbus",
    "nfs_procedure",
    "nfs_version",
    "nfs.version",
    "frame",
    "filestore_max",
    "dnp3_data",
    "dnp3_func",
    "dnp3_ind",
    "dnp3_obj",
    "ike.chosen_sa_attribute",
    "mqtt.type",
    "mqtt.flags",
    "mqtt.qos",
    "mqtt.reason_code",
    "mqtt.connack.session_present",
    "mqtt.connect.flags",
    "quic.cyu",
    "snmp.usm",
    "krb5_err_code",
    "krb5.weak_encryption",
    "krb5.ticket_encryption",
    "ftp.dynamic_port",
    "pgsql.query",
];

fn problem(keyword: &str, fault: Fault, at: usize, argument_at: usize) -> Problem {
    Problem {
        kind: fault.kind,
        at: fault.at.map_or(at, |inside| argument_at + inside),
        keyword: keyword.into(),
        reason: fault.reason,
        hint: fault.hint.into(),
    }
}

/// The argument as the keyword takes it, and where it is.
fn argument<'t>(keyword: &Keyword, choice: &Choice<'t>) -> Result<(Argument<'t>, usize), Problem> {
    let name = choice.name.text;
    let given = choice.value.filter(|value| !value.text.is_empty());
    let Some(Piece { text, at }) = given else {
        return match keyword.takes {
            Takes::Required => Err(invalid(choice.name.at, name, "the argument is missing")),
            _ => Ok((Argument::default(), choice.name.at)),
        };
    };
    if keyword.takes == Takes::Nothing {
        return Err(invalid(at, name, "takes no argument"));
    }
    let trimmed = text.trim_start_matches([' ', '\t']);
    let mut at = at + text.len() - trimmed.len();
    let (mut text, mut negated) = (trimmed, false);
    if let (true, Some(rest)) = (keyword.negatable, text.strip_prefix('!')) {
        let rest_trimmed = rest.trim_start_matches([' ', '\t']);
        at += 1 + rest.len() - rest_trimmed.len();
        (text, negated) = (rest_trimmed, true);
    }
    if text.is_empty() {
        return Err(invalid(at, name, "the argument is missing"));
    }
    match (keyword.quotes, text.starts_with('"')) {
        (Quotes::Yes, false) => return Err(invalid(at, name, "the argument has to be in double quotes")),
        (Quotes::No, true) => {
            return Err(invalid(at, name, "the argument stands without quotes"));
        }
        (_, false) => {}
        (_, true) => {
            let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let inner = inner.filter(|inner| !inner.is_empty());
            text = inner.ok_or_else(|| {
                let mut problem = invalid(at, name, "the closing quote is missing, or the text is empty");
                problem.hint = "a semicolon inside has to be written \\;".into();
                problem
            })?;
            at += 1;
        }
    }
    Ok((Argument { text, negated }, at))
}

fn action(piece: Piece<'_>) -> Result<Action, Problem> {
    Ok(match piece.text.to_ascii_lowercase().as_str() {
        "alert" => Action::Alert,
        "pass" => Action::Pass,
        "drop" => Action::Drop,
        "reject" | "rejectsrc" => Action::Reject,
        "rejectdst" => Action::RejectDst,
        "rejectboth" => Action::RejectBoth,
        "config" => Action::Config,
        other => {
            return Err(invalid(
                piece.at,
                "",
                format!("{other:?} is not an action: alert, pass, drop, reject, config"),
            ))
        }
    })
}

fn direction(piece: Piece<'_>) -> Result<bool, Problem> {
    match piece.text {
        "->" => Ok(false),
        "<>" => Ok(true),
        other => Err(invalid(
            piece.at,
            "",
            format!("{other:?} is not a direction: -> or <>"),
        )),
    }
}

/// IP protocols of a header's protocol, and the application protocol it names.
fn protocols(piece: Piece<'_>) -> Result<(Protocols, &'static str), Problem> {
    let mut protocols = Protocols {
        any: false,
        bits: [0; 4],
        version: 0,
        packet_only: false,
        stream_only: false,
        packet_header: false,
    };
    let mut bit = |proto: u8| protocols.bits[usize::from(proto / 64)] |= 1 << (proto % 64);
    let name = piece.text.to_ascii_lowercase();
    match name.as_str() {
        "tcp" => bit(6),
        "tcp-pkt" => {
            bit(6);
            protocols.packet_only = true;
        }
        "tcp-stream" => {
            bit(6);
            protocols.stream_only = true;
        }
        "udp" => bit(17),
        "icmp" => {
            bit(1);
            bit(58);
        }
        "icmpv4" => bit(1),
        "icmpv6" => bit(58),
        "sctp" => bit(132),
        "ip" => protocols.any = true,
        "ipv4" | "ip4" => {
            protocols.any = true;
            protocols.version = 4;
        }
        "ipv6" | "ip6" => {
            protocols.any = true;
            protocols.version = 6;
        }
        "pkthdr" => {
            protocols.any = true;
            protocols.packet_header = true;
        }
        name => {
            let app = crate::app::PROTOCOLS
                .iter()
                // Names of applications are written small, unlike those of what carries them.
                .filter(|_| name == piece.text)
                .find(|protocol| protocol.name == name || protocol.aliases.contains(&name))
                .map(|protocol| protocol.name)
                .or_else(|| APPLICATIONS.iter().copied().find(|known| *known == piece.text));
            let Some(app) = app else {
                return Err(invalid(piece.at, "", format!("{name:?} is not a protocol")));
            };
            let app = APPLICATIONS
                .iter()
                .copied()
                .find(|known| *known == name)
                .unwrap_or(app);
            protocols.any = true;
            return Ok((protocols, app));
        }
    }
    Ok((protocols, ""))
}

fn addresses(piece: Piece<'_>, context: &mut Context) -> Result<Arc<super::header::AddressSet>, Problem> {
    if let Some(known) = context.address_cache.get(piece.text) {
        return Ok(Arc::clone(known));
    }
    let set = address::addresses(piece.text, &context.address_vars)
        .map_err(|reason| invalid(piece.at, "", reason))?;
    let set = Arc::new(set);
    context
        .address_cache
        .insert(piece.text.to_string(), Arc::clone(&set));
    Ok(set)
}

fn ports(piece: Piece<'_>, context: &mut Context) -> Result<Arc<super::header::PortSet>, Problem> {
    if let Some(known) = context.port_cache.get(piece.text) {
        return Ok(Arc::clone(known));
    }
    let set =
        address::ports(piece.text, &context.port_vars).map_err(|reason| invalid(piece.at, "", reason))?;
    let set = Arc::new(set);
    context
        .port_cache
        .insert(piece.text.to_string(), Arc::clone(&set));
    Ok(set)
}

/// `requires:` before all else: a rule for another engine is neither loaded nor an error.
fn required(fields: &Fields<'_>, context: &Context) -> Result<(), Problem> {
    for choice in fields
        .options
        .iter()
        .filter(|choice| choice.name.text.eq_ignore_ascii_case("requires"))
    {
        let Some(value) = choice.value else { continue };
        let not_required = |reason: String| Problem {
            kind: ProblemKind::NotRequired,
            ..invalid(value.at, "requires", reason)
        };
        for part in value.text.split(',').map(str::trim) {
            let (key, rest) = part
                .split_once([' ', '\t'])
                .map_or((part, ""), |(key, rest)| (key, rest.trim()));
            match key {
                "version" => {
                    if !version_fits(rest).map_err(|reason| invalid(value.at, "requires", reason))? {
                        return Err(not_required(format!("the rule is for version {rest}")));
                    }
                }
                "feature" => {
                    if !FEATURES.contains(&rest) {
                        return Err(not_required(format!("the feature {rest} is not there")));
                    }
                }
                "keyword" => {
                    if find(rest).is_none() {
                        return Err(not_required(format!("the keyword {rest} is not there")));
                    }
                }
                _ if context.config.detect.ignore_unknown_requirements => {}
                other => return Err(not_required(format!("the requirement {other:?} is not known"))),
            }
        }
    }
    Ok(())
}

/// Features by Suricata's names.
const FEATURES: &[&str] = &["output::filestore", "ja3", "ja4"];

/// `>= 7.0.3 < 8`, alternatives with `|`.
fn version_fits(text: &str) -> Result<bool, String> {
    for alternative in text.split('|') {
        let mut fits = true;
        let mut words = alternative.split_whitespace();
        while let Some(word) = words.next() {
            let operator: String = word
                .chars()
                .take_while(|char| matches!(char, '<' | '>' | '='))
                .collect();
            let number = match &word[operator.len()..] {
                "" => words.next().ok_or("a version is missing")?,
                number => number,
            };
            let mut parts = number
                .splitn(3, '.')
                .map(|part| part.split('-').next().unwrap_or("").parse::<u32>());
            let mut next = || {
                parts
                    .next()
                    .unwrap_or(Ok(0))
                    .map_err(|_| format!("{number:?} is not a version"))
            };
            let version = (next()?, next()?, next()?);
            fits &= match operator.as_str() {
                ">=" => LANGUAGE_VERSION >= version,
                ">" => LANGUAGE_VERSION > version,
                "<=" => LANGUAGE_VERSION <= version,
                "<" => LANGUAGE_VERSION < version,
                other => return Err(format!("{other:?} is not an operator")),
            };
        }
        if fits {
            return Ok(true);
        }
    }
    Ok(false)
}
