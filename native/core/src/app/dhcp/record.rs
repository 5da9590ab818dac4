//! A message as EVE's `dhcp` record shows it, base or extended.

use std::fmt::Write;

use super::message::{code, Message, Value, REPLY, REQUEST};
use crate::event::json::Json;

/// Write the object under `dhcp`.
pub(super) fn write(message: &Message, extended: bool, json: &mut Json<'_>) {
    json.open_object("dhcp");
    let operation = match message.operation() {
        REQUEST => "request",
        REPLY => "reply",
        _ => "<unknown>",
    };
    json.str("type", operation);
    json.num("id", message.id());
    json.str("client_mac", hex(message.hardware_address()));
    json.str("assigned_ip", address(&message.assigned_address()));
    if extended {
        json.str("client_ip", address(&message.client_address()));
        if message.operation() == REPLY {
            json.str("relay_ip", address(&message.relay()));
            json.str("next_server_ip", address(&message.next_server()));
        }
    }
    for (code, value) in message.options() {
        match value {
            Value::ClientId(id) => json.str("client_id", hex(id)),
            Value::Time(seconds) if code == code::RENEWAL_TIME => json.num("renewal_time", seconds),
            Value::Time(seconds) if extended && code == code::LEASE_TIME => json.num("lease_time", seconds),
            Value::Time(seconds) if extended => json.num("rebinding_time", seconds),
            Value::Time(_) => {}
            Value::Octets(octets) => {
                write_base(code, octets, json);
                if extended {
                    write_extended(code, octets, json);
                }
            }
        }
    }
    json.close_object();
}

fn write_base(code: u8, octets: &[u8], json: &mut Json<'_>) {
    match (code, octets) {
        (_, []) => {}
        (code::HOSTNAME, name) => json.str("hostname", name),
        (code::MESSAGE_TYPE, [kind, ..]) => json.str("dhcp_type", kind_name(*kind)),
        _ => {}
    }
}

fn write_extended(code: u8, octets: &[u8], json: &mut Json<'_>) {
    match code {
        code::SUBNET_MASK => json.str("subnet_mask", address(octets)),
        code::REQUESTED_ADDRESS => json.str("requested_ip", address(octets)),
        code::PARAMETERS => {
            json.open_array("params");
            for name in octets.iter().filter_map(|code| parameter_name(*code)) {
                json.str_element(name);
            }
            json.close_array();
        }
        code::DNS_SERVERS => write_addresses("dns_servers", octets, json),
        code::ROUTERS => write_addresses("routers", octets, json),
        code::VENDOR_CLASS if !octets.is_empty() => json.str("vendor_class_identifier", octets),
        _ => {}
    }
}

fn write_addresses(key: &str, octets: &[u8], json: &mut Json<'_>) {
    json.open_array(key);
    for octets in octets.chunks_exact(4) {
        json.str_element(address(octets));
    }
    json.close_array();
}

/// Message types (RFC 2132 section 9.6).
fn kind_name(kind: u8) -> &'static str {
    match kind {
        1 => "discover",
        2 => "offer",
        3 => "request",
        4 => "decline",
        5 => "ack",
        6 => "nak",
        7 => "release",
        8 => "inform",
        _ => "unknown",
    }
}

/// Parameters that records name.
fn parameter_name(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "subnet_mask",
        3 => "router",
        6 => "dns_server",
        15 => "domain",
        35 => "arp_timeout",
        42 => "ntp_server",
        66 => "tftp_server_name",
        150 => "tftp_server_ip",
        _ => return None,
    })
}

/// An address of 4 or 16 octets; of another length it is not shown.
fn address(octets: &[u8]) -> String {
    match octets {
        &[a, b, c, d] => format!("{a}.{b}.{c}.{d}"),
        octets if octets.len() == 16 => {
            let groups = octets
                .chunks_exact(2)
                .map(|pair| format!("{:02x}{:02x}", pair[0], pair[1]));
            groups.collect::<Vec<_>>().join(":")
        }
        _ => String::new(),
    }
}

/// Octets in hexadecimal between colons.
fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 3);
    for (at, octet) in octets.iter().enumerate() {
        let colon = if at > 0 { ":" } else { "" };
        let _ = write!(text, "{colon}{octet:02x}");
    }
    text
}
