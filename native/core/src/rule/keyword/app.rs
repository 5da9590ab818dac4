//! Values and events of application protocols.

use super::buffers::sticky;
use super::number::{number_test, number_test_by};
use super::{parts, Argument, Keyword, Outcome, Quotes};
use crate::rule::builder::{meant_by, value_slots_of, Builder, Fault};
use crate::rule::chain::{Condition, Content};
use crate::rule::lexer::pattern;
use crate::rule::signature::{NumberTest, PacketCondition, TxCondition, ValueTest, View};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "app-layer-event",
        "Something malformed or odd was noticed by a parser.",
        ("ip", "app-layer-event:dns.malformed_data;"),
        event,
    ),
    Keyword::new(
        "dns.opcode",
        "The operation of a DNS message.",
        ("dns", "dns.opcode:4;"),
        |b, a| number(b, "dns.opcode", "dns", a, 255),
    ),
    Keyword::new(
        "tls.version",
        "The version: 1.0 to 1.3, or 0x0303.",
        ("tls", "tls.version:1.2;"),
        tls_version,
    ),
    Keyword::new(
        "ssl_version",
        "Versions, any of them: sslv2, sslv3, tls1.0 to tls1.3, ! for not.",
        ("tls", "ssl_version:tls1.2;"),
        ssl_version,
    ),
    Keyword::new(
        "ssl_state",
        "How far the handshake is.",
        ("tls", "ssl_state:client_hello;"),
        ssl_state,
    ),
    Keyword::new(
        "tls.cert_chain_len",
        "Certificates sent.",
        ("tls", "tls.cert_chain_len:>2;"),
        |b, a| number(b, "tls.cert_chain_len", "tls", a, u32::MAX.into()),
    ),
    Keyword::new(
        "tls_cert_notbefore",
        "When the certificate becomes valid.",
        ("tls", "tls_cert_notbefore:1998-05-01<>2008-05-01;"),
        |b, a| date(b, "tls_cert_notbefore", a),
    ),
    Keyword::new(
        "tls_cert_notafter",
        "When the certificate expires.",
        ("tls", "tls_cert_notafter:>2015;"),
        |b, a| date(b, "tls_cert_notafter", a),
    ),
    Keyword::new(
        "tls_cert_expired",
        "The certificate has expired.",
        ("tls", "tls_cert_expired;"),
        |b, _| validity(b, "tls_cert_expired", ValueTest::Past),
    )
    .bare(),
    Keyword::new(
        "tls_cert_valid",
        "The certificate has not expired.",
        ("tls", "tls_cert_valid;"),
        |b, _| validity(b, "tls_cert_valid", ValueTest::Future),
    )
    .bare(),
    Keyword::new(
        "tls.subject",
        "Part of the certificate's subject.",
        ("tls", r#"tls.subject:"CN=a";"#),
        |b, a| within(b, "tls.cert_subject", a),
    )
    .quoted(Quotes::Yes)
    .negatable(),
    Keyword::new(
        "tls.issuerdn",
        "Part of the certificate's issuer.",
        ("tls", r#"tls.issuerdn:"CN=a";"#),
        |b, a| within(b, "tls.cert_issuer", a),
    )
    .quoted(Quotes::Yes)
    .negatable(),
    Keyword::new(
        "tls.fingerprint",
        "The certificate's SHA-1.",
        (
            "tls",
            r#"tls.fingerprint:"4a:a3:66:76:82:cb:6b:23:bb:c3:58:47:23:a4:63:a7:78:a4:a1:18";"#,
        ),
        |b, a| within(b, "tls.cert_fingerprint", a),
    )
    .quoted(Quotes::Yes)
    .negatable(),
    Keyword::new(
        "ssh.protoversion",
        "The protocol version.",
        ("ssh", "ssh.protoversion:2.0;"),
        |b, a| {
            // What a server that speaks version 2 may say (RFC 4253 section 5.1).
            if a.text.trim() == "2_compat" {
                let any = Argument {
                    text: r"/^(2|2\.0|1\.99)$/",
                    ..a
                };
                return aside(b, "ssh.proto", |b| super::pcre::pcre(b, any));
            }
            let numbers = a.text.trim().trim_start_matches(|c: char| c.is_ascii_digit());
            let valid = numbers.len() < a.text.trim().len()
                && numbers
                    .bytes()
                    .all(|octet| octet.is_ascii_digit() || b".-".contains(&octet));
            if !valid {
                return Err(format!("{:?} is not a version of the protocol", a.text).into());
            }
            whole(b, "ssh.proto", a)
        },
    )
    .quoted(Quotes::Optional),
    Keyword::new(
        "ssh.softwareversion",
        "Part of the software version.",
        ("ssh", r#"ssh.softwareversion:"OpenSSH";"#),
        |b, a| {
            let part = |char: char| char.is_ascii_alphanumeric() || ":.-_+ ".contains(char);
            if !a.text.chars().all(part) {
                return Err(format!("{:?} is not part of a software version", a.text).into());
            }
            within(b, "ssh.software", a)
        },
    )
    .quoted(Quotes::Optional),
    Keyword::new(
        "ftpbounce",
        "A PORT command names another host than the client.",
        ("ftp", "ftpbounce;"),
        |b, _| {
            b.ask_for("ftp")?;
            b.transaction.push(TxCondition::OtherHost {
                slots: value_slots_of("ftpbounce"),
            });
            b.last_keyword = "ftpbounce";
            Ok(())
        },
    )
    .bare(),
    Keyword::new(
        "ftpdata_command",
        "The command that opened an FTP data session.",
        ("ftp-data", "ftpdata_command:stor;"),
        |b, a| {
            let wanted = match a.text.to_ascii_lowercase().as_str() {
                "retr" => 1,
                "stor" => 2,
                other => return Err(format!("{other:?} is neither stor nor retr").into()),
            };
            value(
                b,
                "ftpdata_command",
                "ftp-data",
                ValueTest::Number(NumberTest::Equal(wanted)),
            )
        },
    ),
    Keyword::new(
        "dhcp.leasetime",
        "Seconds an address is given or asked for.",
        ("dhcp", "dhcp.leasetime:>86400;"),
        |b, a| number(b, "dhcp.leasetime", "dhcp", a, i64::MAX),
    ),
    Keyword::new(
        "dhcp.rebinding_time",
        "Seconds until any server is asked again.",
        ("dhcp", "dhcp.rebinding_time:<60;"),
        |b, a| number(b, "dhcp.rebinding_time", "dhcp", a, i64::MAX),
    ),
    Keyword::new(
        "dhcp.renewal_time",
        "Seconds until the same server is asked again.",
        ("dhcp", "dhcp.renewal_time:<60;"),
        |b, a| number(b, "dhcp.renewal_time", "dhcp", a, i64::MAX),
    ),
    Keyword::new(
        "snmp.version",
        "The version of SNMP.",
        ("snmp", "snmp.version:2;"),
        |b, a| number(b, "snmp.version", "snmp", a, 3),
    ),
    Keyword::new(
        "snmp.pdu_type",
        "The type of the PDU.",
        ("snmp", "snmp.pdu_type:1;"),
        |b, a| number(b, "snmp.pdu_type", "snmp", a, 255),
    ),
    Keyword::new(
        "krb5_msg_type",
        "The type of the message.",
        ("krb5", "krb5_msg_type:10;"),
        |b, a| number(b, "krb5_msg_type", "krb5", a, 255),
    ),
    Keyword::new(
        "mqtt.protocol_version",
        "The version of MQTT.",
        ("mqtt", "mqtt.protocol_version:5;"),
        |b, a| number(b, "mqtt.protocol_version", "mqtt", a, 255),
    ),
    Keyword::new(
        "rfb.secresult",
        "The result of authentication.",
        ("rfb", "rfb.secresult:ok;"),
        |b, a| {
            let result = match a.text {
                "ok" => "0",
                "fail" => "1",
                "toomany" => "2",
                "unknown" => "3",
                other => return Err(format!("{other:?} is neither ok, fail, toomany nor unknown").into()),
            };
            let text = Argument { text: result, ..a };
            number(b, "rfb.secresult", "rfb", text, u32::MAX.into())
        },
    ),
    Keyword::new(
        "rfb.sectype",
        "The security type chosen.",
        ("rfb", "rfb.sectype:>1;"),
        |b, a| number(b, "rfb.sectype", "rfb", a, u32::MAX.into()),
    ),
];

/// A test on a value that protocols offer.
pub(super) fn value(
    builder: &mut Builder<'_>,
    name: &'static str,
    app: &'static str,
    test: ValueTest,
) -> Outcome {
    builder.ask_for(app)?;
    let slots = value_slots_of(name);
    if slots.is_empty() {
        return Err(Fault::not_there_yet(format!("no protocol offers {name} yet")));
    }
    builder.transaction.push(TxCondition::Value {
        name,
        slots,
        direction: builder.direction,
        test,
    });
    builder.last_keyword = name;
    Ok(())
}

/// A number compared with a value that protocols offer.
pub(super) fn number(
    builder: &mut Builder<'_>,
    name: &'static str,
    app: &'static str,
    argument: Argument<'_>,
    most: i64,
) -> Outcome {
    value(
        builder,
        name,
        app,
        ValueTest::Number(number_test(argument.text, 0, most)?),
    )
}

/// Versions as records of TLS have them. Drafts of 1.3 count as 1.3.
const VERSIONS: &[(&str, i64)] = &[
    ("sslv2", 0x0002),
    ("sslv3", 0x0300),
    ("tls1.0", 0x0301),
    ("tls1.1", 0x0302),
    ("tls1.2", 0x0303),
    ("tls1.3", 0x0304),
];

/// 0x7f12 and the like: drafts of TLS 1.3.
const DRAFTS: std::ops::RangeInclusive<i64> = 0x7f00..=0x7fff;

fn tls_version(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let text = argument.text.trim().trim_matches('"');
    let version = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => VERSIONS
            .iter()
            .find(|(name, _)| name.strip_prefix("tls") == Some(text))
            .map(|(_, version)| *version),
    };
    let version =
        version.ok_or_else(|| format!("{text:?} is not a version: 1.0, 1.1, 1.2, 1.3 or 0x0303"))?;
    let mut versions = vec![version];
    if version == 0x0304 {
        versions.extend(DRAFTS);
    }
    value(builder, "tls.version", "tls", ValueTest::OneOf(versions, true))
}

fn ssl_version(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for part in parts(argument.text.trim().trim_matches('"')) {
        let (name, list) = match part.strip_prefix('!') {
            Some(name) => (name.trim(), &mut unwanted),
            None => (part, &mut wanted),
        };
        let name = name.to_ascii_lowercase();
        let version = VERSIONS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, version)| *version);
        let version = version.ok_or_else(|| format!("{name:?} is not a version of SSL or TLS"))?;
        list.push(version);
        if version == 0x0304 {
            list.extend(DRAFTS);
        }
    }
    // A version that is not named by a negation passes it.
    if !unwanted.is_empty() {
        wanted.extend(
            VERSIONS
                .iter()
                .map(|(_, version)| *version)
                .filter(|version| !unwanted.contains(version)),
        );
        if !unwanted.contains(&0x0304) {
            wanted.extend(DRAFTS);
        }
    }
    value(builder, "ssl_version", "tls", ValueTest::OneOf(wanted, true))
}

fn ssl_state(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let (mut set, mut clear) = (0, 0);
    for part in argument.text.split(['|', ',']).map(str::trim) {
        let (name, bits) = match part.strip_prefix('!') {
            Some(name) => (name.trim(), &mut clear),
            None => (part, &mut set),
        };
        let bit = ["client_hello", "server_hello", "client_keyx", "server_keyx"]
            .iter()
            .position(|known| *known == name);
        match bit {
            Some(bit) => *bits |= 1 << bit,
            None if name == "unknown" => *bits |= 1 << 4,
            None => return Err(format!("{name:?} is not a state of the handshake").into()),
        }
    }
    value(builder, "ssl_state", "tls", ValueTest::AnyBits(set, clear))
}

/// `1998`, `1998-05`, `1998-05-01`, `1998-05-01T12`, `...T12:30`, `...T12:30:59`, or seconds since 1970.
fn time(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is not a date, for example 2015-10-22 or 2015-10-22T23:59:59");
    let text = text.trim().trim_matches('"').trim();
    // A number of other than four digits is seconds.
    if text.len() != 4 && text.bytes().all(|octet| octet.is_ascii_digit()) {
        return text.parse().map_err(|_| bad());
    }
    let mut numbers = [1970i64, 1, 1, 0, 0, 0];
    let mut count = 0;
    for part in text.split(['-', 'T', ' ', ':']) {
        let number = part.parse().map_err(|_| bad())?;
        *numbers.get_mut(count).ok_or_else(bad)? = number;
        count += 1;
    }
    let [year, month, day, hour, minute, second] = numbers;
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
        || count == 0
    {
        return Err(bad());
    }
    Ok(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(builder: &mut Builder<'_>, name: &'static str, argument: Argument<'_>) -> Outcome {
    let text = argument.text.trim();
    // A dash is part of a date here, a range is written with <>.
    let test = match text.split_once("<>") {
        Some((low, high)) => NumberTest::Between(time(low)?, time(high)?),
        None if text.starts_with(['<', '>']) => {
            number_test_by(&text.replace('-', "/"), |text| time(&text.replace('/', "-")))?
        }
        None => NumberTest::Equal(time(text)?),
    };
    if matches!(test, NumberTest::Between(low, high) if low >= high) {
        return Err("the dates are in the wrong order".into());
    }
    value(builder, name, "tls", ValueTest::Number(test))
}

fn validity(builder: &mut Builder<'_>, name: &'static str, test: ValueTest) -> Outcome {
    builder.ask_for("tls")?;
    let slots = value_slots_of("tls_cert_notafter");
    if slots.is_empty() {
        return Err(Fault::not_there_yet("no protocol offers certificates yet"));
    }
    builder.transaction.push(TxCondition::Value {
        name,
        slots,
        direction: builder.direction,
        test,
    });
    Ok(())
}

/// A content in a buffer, in one word; the rule stays where it is.
fn within(builder: &mut Builder<'_>, buffer: &str, argument: Argument<'_>) -> Outcome {
    in_buffer(builder, buffer, argument, false)
}

/// The whole of a buffer, in one word.
fn whole(builder: &mut Builder<'_>, buffer: &str, argument: Argument<'_>) -> Outcome {
    in_buffer(builder, buffer, argument, true)
}

fn in_buffer(builder: &mut Builder<'_>, buffer: &str, argument: Argument<'_>, whole: bool) -> Outcome {
    let text = argument.text.trim();
    let octets = pattern(text).or_else(|_| Ok::<_, Fault>(text.as_bytes().to_vec()))?;
    if octets.is_empty() {
        return Err("the text is empty".into());
    }
    let mut content = Content::new(octets);
    content.negated = argument.negated;
    if whole {
        content.starts_with = true;
        content.offset = Some(crate::rule::chain::Operand::Number(0));
        content.depth = Some(crate::rule::chain::Operand::Number(content.pattern.len() as i64));
        content.ends_with = true;
    }
    aside(builder, buffer, |builder| {
        builder.push(Condition::Content(Box::new(content)))
    })
}

/// Conditions on a buffer of its own; what follows is about what was before.
fn aside(builder: &mut Builder<'_>, buffer: &str, push: impl FnOnce(&mut Builder<'_>) -> Outcome) -> Outcome {
    let chosen = sticky(buffer)
        .ok_or_else(|| Fault::not_there_yet(format!("the buffer {buffer} is not there yet")))?;
    let (list, last, open, base64) = (
        builder.list,
        builder.last_content,
        builder.open_buffer,
        builder.base64,
    );
    builder.open_buffer = None;
    builder.enter(chosen)?;
    push(builder)?;
    (
        builder.list,
        builder.last_content,
        builder.open_buffer,
        builder.base64,
    ) = (list, last, open, base64);
    Ok(())
}

/// An event of protocol detection, on the flow.
#[derive(Debug)]
struct DetectionEvent(Box<str>);

impl PacketCondition for DetectionEvent {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        view.app
            .is_some_and(|app| app.events.iter().any(|(name, _)| **name == *self.0))
    }

    fn keyword(&self) -> &'static str {
        "app-layer-event"
    }
}

/// Events that older rules ask for and that cannot be raised any more.
const OUTDATED: &[&str] = &[
    "tls.certificate_missing_element",
    "tls.certificate_unknown_element",
    "tls.certificate_invalid_string",
    "dns.not_a_request",
    "dns.not_a_response",
    "dns.invalid_additionals",
    "dns.unsolicited_response",
    "dns.state_memcap_reached",
    "dns.flooded",
];

fn event(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let text = argument.text.trim();
    if OUTDATED.contains(&text) {
        return Err(Fault::not_required(format!(
            "the event {text} is not raised any more"
        )));
    }
    let Some((app, name)) = text.split_once('.') else {
        let name = text.to_ascii_lowercase();
        if !DETECTION_EVENTS.contains(&name.as_str()) {
            return Err(Fault::hinted(
                format!("{text:?} is not an event"),
                "write app-layer-event:PROTOCOL.EVENT",
            ));
        }
        builder.packet.push(Box::new(DetectionEvent(name.into())));
        return Ok(());
    };
    let found = crate::app::PROTOCOLS
        .iter()
        .copied()
        .filter(|protocol| meant_by(protocol, app));
    let protocols: smallvec::SmallVec<_> = found
        .filter(|protocol| {
            protocol
                .events
                .iter()
                .any(|event| event.eq_ignore_ascii_case(name))
        })
        .collect();
    let Some(known) = protocols.first().and_then(|protocol: &&crate::app::Protocol| {
        protocol
            .events
            .iter()
            .copied()
            .find(|event| event.eq_ignore_ascii_case(name))
    }) else {
        let there = crate::app::PROTOCOLS
            .iter()
            .any(|protocol| meant_by(protocol, app) && !protocol.events.is_empty());
        return Err(if there || !crate::rule::parse::APPLICATIONS.contains(&app) {
            format!("{text:?} is not an event").into()
        } else {
            Fault::not_there_yet(format!("events of {app} are not there yet"))
        });
    };
    let app = crate::rule::parse::APPLICATIONS
        .iter()
        .copied()
        .find(|known| *known == app)
        .or_else(|| protocols.first().map(|protocol| protocol.name))
        .unwrap_or("");
    builder.ask_for(app)?;
    builder.transaction.push(TxCondition::Event {
        name: known,
        protocols,
    });
    builder.last_keyword = "app-layer-event";
    Ok(())
}

/// Events of protocol detection.
const DETECTION_EVENTS: &[&str] = &[
    "applayer_mismatch_protocol_both_directions",
    "applayer_wrong_direction_first_data",
    "applayer_detect_protocol_only_one_direction",
    "applayer_proto_detection_skipped",
    "applayer_no_tls_after_starttls",
    "applayer_unexpected_protocol",
];

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn dates_are_seconds_since_1970() {
        for (text, expected) in [
            ("1970", 0),
            ("2015-10-22", 1_445_472_000),
            ("2015-10-22T23:59:59", 1_445_558_399),
            ("2000-03", 951_868_800),
            ("1445852105", 1_445_852_105),
        ] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
        assert!(time("2015-13").is_err() && time("x").is_err());
    }
}
