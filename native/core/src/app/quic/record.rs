//! EVE's `quic` record.

use super::{version, QuicTx};
use crate::app::tls::hello::ja3_hash;
use crate::event::json::Json;
use crate::packet::Direction;

/// Names of TLS extensions (IANA, "TLS ExtensionType Values").
fn extension_name(kind: u16) -> Option<&'static str> {
    const NAMES: [&str; 60] = [
        "server_name",
        "max_fragment_length",
        "client_certificate_url",
        "trusted_ca_keys",
        "truncated_hmac",
        "status_request",
        "user_mapping",
        "client_authz",
        "server_authz",
        "cert_type",
        "supported_groups",
        "ec_point_formats",
        "srp",
        "signature_algorithms",
        "use_srtp",
        "heartbeat",
        "alpn",
        "status_request_v2",
        "signed_certificate_timestamp",
        "client_certificate_type",
        "server_certificate_type",
        "padding",
        "encrypt_then_mac",
        "extended_master_secret",
        "token_binding",
        "cached_info",
        "tls_lts",
        "compress_certificate",
        "record_size_limit",
        "pwd_protect",
        "pwd_clear",
        "password_salt",
        "ticket_pinning",
        "tls_cert_with_extern_psk",
        "delegated_credentials",
        "session_ticket",
        "tlmsp",
        "tlmsp_proxying",
        "tlmsp_delegate",
        "supported_ekt_ciphers",
        "",
        "pre_shared_key",
        "early_data",
        "supported_versions",
        "cookie",
        "psk_key_exchange_modes",
        "",
        "certificate_authorities",
        "oid_filters",
        "post_handshake_auth",
        "signature_algorithms_cert",
        "key_share",
        "transparency_info",
        "connection_id_deprecated",
        "connection_id",
        "external_id_hash",
        "external_session_id",
        "quic_transport_parameters",
        "ticket_request",
        "dnssec_chain",
    ];
    match kind {
        13_172 => Some("next_protocol_negotiation"),
        65_281 => Some("renegotiation_info"),
        _ => NAMES
            .get(usize::from(kind))
            .copied()
            .filter(|name| !name.is_empty()),
    }
}

/// Write the record.
pub fn write(tx: &QuicTx, json: &mut Json<'_>) {
    json.open_object("quic");
    json.str("version", version::name(tx.version));
    if let Some(sni) = &tx.sni {
        json.str("sni", sni);
    }
    if let Some(ua) = &tx.ua {
        json.str("ua", ua);
    }
    if !tx.cyu.is_empty() {
        json.open_array("cyu");
        for cyu in &tx.cyu {
            json.open();
            json.str("hash", &cyu.hash);
            json.str("string", &cyu.string);
            json.close_object();
        }
        json.close_array();
    }
    if let Some(ja3) = &tx.ja3 {
        json.open_object(if tx.direction == Direction::ToServer {
            "ja3"
        } else {
            "ja3s"
        });
        json.str("hash", ja3_hash(ja3));
        json.str("string", ja3);
        json.close_object();
    }
    if let Some(ja4) = &tx.ja4 {
        json.str("ja4", ja4);
    }
    if !tx.extensions.is_empty() {
        json.open_array("extensions");
        for extension in &tx.extensions {
            json.open();
            if let Some(name) = extension_name(extension.kind) {
                json.str("name", name);
            }
            json.num("type", extension.kind);
            if !extension.values.is_empty() {
                json.open_array("values");
                for value in &extension.values {
                    json.str_element(value);
                }
                json.close_array();
            }
            json.close_object();
        }
        json.close_array();
    }
    json.close_object();
}
