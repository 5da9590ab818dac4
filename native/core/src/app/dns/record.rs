//! EVE's `dns` record, version 2: one per question, one per response with answers both in detail and grouped by type.

use std::net::Ipv4Addr;

use super::message::{Data, Message, Record};
use super::DnsTx;
use crate::event::json::Json;
use crate::packet::Direction;

/// Names of record types as EVE writes them (its own spelling of NSAPPT, CDSNKEY and ND included).
const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (3, "ND"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAPPT"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (27, "GPOS"),
    (28, "AAAA"),
    (29, "LOC"),
    (30, "NXT"),
    (33, "SRV"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (55, "HIP"),
    (59, "CDS"),
    (60, "CDSNKEY"),
    (65, "HTTPS"),
    (99, "SPF"),
    (249, "TKEY"),
    (250, "TSIG"),
    (254, "MAILA"),
    (255, "ANY"),
    (256, "URI"),
];

/// Names of response codes (RFC 1035, RFC 2136).
const RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
    "NOTAUTH", "NOTZONE",
];

fn known_type(rrtype: u16) -> Option<&'static str> {
    TYPES
        .binary_search_by_key(&rrtype, |(number, _)| *number)
        .ok()
        .map(|at| TYPES[at].1)
}

fn write_type(rrtype: u16, json: &mut Json<'_>) {
    match known_type(rrtype) {
        Some(name) => json.str("rrtype", name),
        None => json.display("rrtype", rrtype),
    }
}

/// Record `index`: a question, or the answer.
pub fn write(tx: &DnsTx, index: usize, json: &mut Json<'_>) {
    json.open_object("dns");
    match tx.direction {
        Direction::ToServer => {
            json.num("version", 2);
            write_question(tx, index, json);
        }
        Direction::ToClient => write_answer(&tx.message, true, json),
    }
    json.close_object();
}

/// What an alert shows: all questions up to the first of an unknown type, or the answer without its records.
pub fn write_context(tx: &DnsTx, json: &mut Json<'_>) {
    let known = tx
        .message
        .questions
        .iter()
        .take_while(|question| known_type(question.rrtype).is_some())
        .count();
    json.open_object("dns");
    json.num("version", 2);
    match tx.direction {
        Direction::ToServer if known > 0 => {
            json.open_array("query");
            for index in 0..known {
                json.open();
                write_question(tx, index, json);
                json.close_object();
            }
            json.close_array();
        }
        Direction::ToClient
            if tx
                .message
                .questions
                .iter()
                .any(|question| known_type(question.rrtype).is_some()) =>
        {
            json.open_object("answer");
            write_answer(&tx.message, false, json);
            json.close_object();
        }
        _ => {}
    }
    json.close_object();
}

fn write_question(tx: &DnsTx, index: usize, json: &mut Json<'_>) {
    let message = &tx.message;
    let Some(question) = message.questions.get(index) else {
        return;
    };
    json.str("type", "query");
    json.num("id", message.id);
    json.str("rrname", message.name(question.name));
    if question.name.truncated {
        json.bool("rrname_truncated", true);
    }
    write_type(question.rrtype, json);
    json.num("tx_id", tx.id);
    if message.flags & 0x0040 != 0 {
        json.bool("z", true);
    }
    json.num("opcode", message.opcode());
}

fn write_answer(message: &Message, records: bool, json: &mut Json<'_>) {
    json.num("version", 2);
    json.str("type", "answer");
    json.num("id", message.id);
    json.display("flags", format_args!("{:x}", message.flags));
    for (bit, name) in [
        (0x8000, "qr"),
        (0x0400, "aa"),
        (0x0200, "tc"),
        (0x0100, "rd"),
        (0x0080, "ra"),
        (0x0040, "z"),
    ] {
        if message.flags & bit != 0 {
            json.bool(name, true);
        }
    }
    json.num("opcode", message.opcode());
    if let Some(question) = message.questions.first() {
        json.str("rrname", message.name(question.name));
        if question.name.truncated {
            json.bool("rrname_truncated", true);
        }
        write_type(question.rrtype, json);
    }
    let rcode = usize::from(message.flags & 0xf);
    match RCODES.get(rcode) {
        Some(name) => json.str("rcode", name),
        None => json.display("rcode", rcode),
    }
    if records && !message.answers.is_empty() {
        json.open_array("answers");
        for record in &message.answers {
            write_detail(message, record, json);
        }
        json.close_array();
        write_grouped(message, json);
    }
    if !message.authorities.is_empty() {
        json.open_array("authorities");
        for record in &message.authorities {
            write_detail(message, record, json);
        }
        json.close_array();
    }
}

/// Answers by type, in the order the types first appear.
fn write_grouped(message: &Message, json: &mut Json<'_>) {
    json.open_object("grouped");
    for (at, record) in message.answers.iter().enumerate() {
        let rrtype = record.rrtype;
        if matches!(record.data, Data::Other)
            || message.answers[..at]
                .iter()
                .any(|earlier| earlier.rrtype == rrtype)
        {
            continue;
        }
        // Only types that are taken apart get here, and all of those have names.
        json.open_array(known_type(rrtype).unwrap_or_default());
        for record in message.answers[at..]
            .iter()
            .filter(|other| other.rrtype == rrtype)
        {
            match record.data {
                Data::Address(octets) => json.str_element(address(message.name(octets))),
                Data::Name(name) | Data::Text(name) => json.str_element(message.name(name)),
                Data::Soa { .. } | Data::Srv { .. } | Data::Sshfp { .. } => {
                    json.open();
                    write_fields(message, &record.data, json);
                    json.close_object();
                }
                Data::Other => {}
            }
        }
        json.close_array();
    }
    json.close_object();
}

fn write_detail(message: &Message, record: &Record, json: &mut Json<'_>) {
    json.open();
    json.str("rrname", message.name(record.name));
    if record.name.truncated {
        json.bool("rrname_truncated", true);
    }
    write_type(record.rrtype, json);
    json.num("ttl", record.ttl);
    match record.data {
        Data::Address(octets) => json.str("rdata", address(message.name(octets))),
        Data::Name(name) => {
            json.str("rdata", message.name(name));
            if name.truncated {
                json.bool("rdata_truncated", true);
            }
        }
        Data::Text(text) => json.str("rdata", message.name(text)),
        Data::Soa { .. } => write_object("soa", message, &record.data, json),
        Data::Srv { .. } => write_object("srv", message, &record.data, json),
        Data::Sshfp { .. } => write_object("sshfp", message, &record.data, json),
        Data::Other => {}
    }
    json.close_object();
}

fn write_object(key: &str, message: &Message, data: &Data, json: &mut Json<'_>) {
    json.open_object(key);
    write_fields(message, data, json);
    json.close_object();
}

fn write_fields(message: &Message, data: &Data, json: &mut Json<'_>) {
    match *data {
        Data::Soa {
            mname,
            rname,
            numbers,
        } => {
            json.str("mname", message.name(mname));
            if mname.truncated {
                json.bool("mname_truncated", true);
            }
            json.str("rname", message.name(rname));
            if rname.truncated {
                json.bool("rname_truncated", true);
            }
            for (key, number) in ["serial", "refresh", "retry", "expire", "minimum"]
                .iter()
                .zip(numbers)
            {
                json.num(key, number);
            }
        }
        Data::Srv { numbers, target } => {
            for (key, number) in ["priority", "weight", "port"].iter().zip(numbers) {
                json.num(key, number);
            }
            json.str("name", message.name(target));
        }
        Data::Sshfp {
            algorithm,
            kind,
            fingerprint,
        } => {
            let mut text = String::new();
            for (at, octet) in message.name(fingerprint).iter().enumerate() {
                let colon = if at == 0 { "" } else { ":" };
                text.push_str(&format!("{colon}{octet:02x}"));
            }
            json.str("fingerprint", text);
            json.num("algo", algorithm);
            json.num("type", kind);
        }
        _ => {}
    }
}

/// An address as EVE's DNS records write it: IPv6 in full, not shortened; "" when it is no address.
fn address(octets: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ipv4Addr::from(octets).to_string();
    }
    if octets.len() != 16 {
        return String::new();
    }
    let mut text = String::with_capacity(39);
    for (at, octet) in octets.iter().enumerate() {
        if at > 0 && at % 2 == 0 {
            text.push(':');
        }
        text.push_str(&format!("{octet:02x}"));
    }
    text
}
