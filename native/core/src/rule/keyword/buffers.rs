//! Sticky buffers, and the older modifiers that move a content into one. To add one: a line in [`STICKY`].

use super::{Argument, Keyword, Outcome, Parse};
use crate::rule::builder::Builder;
use crate::rule::signature::PacketBuffer;

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In transactions, under the same name.
    Transaction,
    /// In a packet's headers.
    Packet(PacketBuffer),
}

/// A sticky buffer.
#[derive(Clone, Copy, Debug)]
pub struct Sticky {
    /// Its keyword; protocols offer it under this name.
    pub name: &'static str,
    /// The application protocol it makes the rule be about; "" is none.
    pub app: &'static str,
    /// Where it is.
    pub place: Where,
    /// Naming it again opens another one.
    pub multi: bool,
    /// It is about JA3 or JA4: TLS or QUIC.
    pub fingerprint: bool,
    /// It is about files.
    pub file: bool,
}

const fn of(name: &'static str, app: &'static str) -> Sticky {
    Sticky {
        name,
        app,
        place: Where::Transaction,
        multi: false,
        fingerprint: false,
        file: false,
    }
}

const fn several(name: &'static str, app: &'static str) -> Sticky {
    Sticky {
        multi: true,
        ..of(name, app)
    }
}

const fn fingerprint(name: &'static str) -> Sticky {
    Sticky {
        fingerprint: true,
        ..of(name, "")
    }
}

const fn file(name: &'static str) -> Sticky {
    Sticky {
        file: true,
        multi: true,
        ..of(name, "")
    }
}

const fn header(name: &'static str, buffer: PacketBuffer) -> Sticky {
    Sticky {
        place: Where::Packet(buffer),
        ..of(name, "")
    }
}

/// All sticky buffers.
pub static STICKY: &[Sticky] = &[
    of("pkt_data", ""),
    of("http.uri", "http"),
    of("http.uri.raw", "http"),
    of("http.method", "http"),
    of("http.request_line", "http"),
    of("http.protocol", "http"),
    of("http.host", "http"),
    of("http.host.raw", "http"),
    of("http.header", "http"),
    of("http.header.raw", "http"),
    of("http.header_names", "http"),
    of("http.cookie", "http"),
    of("http.user_agent", "http"),
    of("http.referer", "http"),
    of("http.accept", "http"),
    of("http.accept_enc", "http"),
    of("http.accept_lang", "http"),
    of("http.connection", "http"),
    of("http.content_len", "http"),
    of("http.content_type", "http"),
    of("http.start", "http1"),
    several("http.request_header", "http"),
    several("http.response_header", "http"),
    Sticky {
        file: true,
        ..of("http.request_body", "http")
    },
    of("http.stat_code", "http"),
    of("http.stat_msg", "http"),
    of("http.response_line", "http"),
    of("http.server", "http"),
    of("http.location", "http"),
    of("http.response_body", "http"),
    several("http2.header_name", "http2"),
    several("http2.header", "http2"),
    file("file.data"),
    file("file.name"),
    file("file.magic"),
    several("dns.query", "dns"),
    several("dns.answer.name", "dns"),
    several("dns.query.name", "dns"),
    of("tls.sni", "tls"),
    of("tls.cert_subject", "tls"),
    of("tls.cert_issuer", "tls"),
    of("tls.cert_serial", "tls"),
    of("tls.cert_fingerprint", "tls"),
    several("tls.certs", "tls"),
    of("tls.random", "tls"),
    of("tls.random_time", "tls"),
    of("tls.random_bytes", "tls"),
    several("tls.alpn", "tls"),
    fingerprint("ja3.hash"),
    fingerprint("ja3.string"),
    fingerprint("ja3s.hash"),
    fingerprint("ja3s.string"),
    fingerprint("ja4.hash"),
    of("ssh.proto", "ssh"),
    of("ssh.software", "ssh"),
    of("ssh.hassh", "ssh"),
    of("ssh.hassh.server", "ssh"),
    of("ssh.hassh.string", "ssh"),
    of("ssh.hassh.server.string", "ssh"),
    of("smb.named_pipe", "smb"),
    of("smb.share", "smb"),
    of("smb.ntlmssp_user", "smb"),
    of("smb.ntlmssp_domain", "smb"),
    of("dcerpc.stub_data", "dcerpc"),
    of("quic.version", "quic"),
    of("quic.sni", "quic"),
    of("quic.ua", "quic"),
    several("quic.cyu.hash", "quic"),
    several("quic.cyu.string", "quic"),
    of("krb5_cname", "krb5"),
    of("krb5_sname", "krb5"),
    of("sip.method", "sip"),
    of("sip.uri", "sip"),
    of("sip.request_line", "sip"),
    of("sip.stat_code", "sip"),
    of("sip.stat_msg", "sip"),
    of("sip.response_line", "sip"),
    of("sip.protocol", "sip"),
    of("snmp.community", "snmp"),
    of("snmp.usm", "snmp"),
    of("rfb.name", "rfb"),
    of("ike.init_spi", "ike"),
    of("ike.resp_spi", "ike"),
    of("ike.nonce_payload", "ike"),
    of("ike.key_exchange_payload", "ike"),
    several("ike.vendor", "ike"),
    several("mqtt.connect.clientid", "mqtt"),
    several("mqtt.connect.username", "mqtt"),
    several("mqtt.connect.password", "mqtt"),
    several("mqtt.connect.willtopic", "mqtt"),
    several("mqtt.connect.willmessage", "mqtt"),
    several("mqtt.publish.topic", "mqtt"),
    several("mqtt.publish.message", "mqtt"),
    several("mqtt.subscribe.topic", "mqtt"),
    several("mqtt.unsubscribe.topic", "mqtt"),
    header("ip.src", PacketBuffer::SourceAddress),
    header("ip.dst", PacketBuffer::DestinationAddress),
    header("ipv4.hdr", PacketBuffer::Ipv4Header),
    header("ipv6.hdr", PacketBuffer::Ipv6Header),
    header("tcp.hdr", PacketBuffer::TcpHeader),
    header("udp.hdr", PacketBuffer::UdpHeader),
    header("icmpv4.hdr", PacketBuffer::Icmpv4Header),
    header("icmpv6.hdr", PacketBuffer::Icmpv6Header),
];

/// The sticky buffer of this name.
pub fn sticky(name: &str) -> Option<&'static Sticky> {
    STICKY.iter().find(|sticky| sticky.name == name)
}

macro_rules! enter {
    ($name:literal) => {
        (|builder: &mut Builder<'_>, _: Argument<'_>| -> Outcome {
            let sticky = sticky($name).ok_or(concat!("no buffer ", $name))?;
            builder.enter(sticky)
        }) as Parse
    };
}

macro_rules! modifier {
    ($name:literal, $buffer:literal) => {
        (|builder: &mut Builder<'_>, _: Argument<'_>| -> Outcome {
            let sticky = sticky($buffer).ok_or(concat!("no buffer ", $buffer))?;
            builder.move_content(sticky, $name)
        }) as Parse
    };
}

macro_rules! sample {
    () => {
        "a"
    };
    ($sample:literal) => {
        $sample
    };
}

/// Sticky buffers as keywords: name, aliases, header protocol of the example, what it holds, content of the example.
macro_rules! stickies {
    ($(($name:literal, [$($alias:literal),*], $proto:literal, $doc:literal $(, $sample:literal)?)),* $(,)?) => {
        &[
            $(Keyword::new(
                $name,
                $doc,
                ($proto, concat!($name, "; content:\"", sample!($($sample)?), "\";")),
                enter!($name),
            ).alias(&[$($alias),*]).bare(),)*
            Keyword::new("http_uri", "The content before is in the URI.", ("http", "content:\"a\"; http_uri;"), modifier!("http_uri", "http.uri")).bare(),
            Keyword::new("http_raw_uri", "The content before is in the raw URI.", ("http", "content:\"a\"; http_raw_uri;"), modifier!("http_raw_uri", "http.uri.raw")).bare(),
            Keyword::new("http_method", "The content before is in the method.", ("http", "content:\"a\"; http_method;"), modifier!("http_method", "http.method")).bare(),
            Keyword::new("http_header", "The content before is in the headers.", ("http", "content:\"a\"; http_header;"), modifier!("http_header", "http.header")).bare(),
            // Its example says a direction: requests and responses are looked at apart.
            Keyword::new("http.header.raw", "The headers as they were sent.", ("http", "flow:to_server; http.header.raw; content:\"a\";"), enter!("http.header.raw")).bare(),
            Keyword::new("http_raw_header", "The content before is in the raw headers.", ("http", "flow:to_server; content:\"a\"; http_raw_header;"), modifier!("http_raw_header", "http.header.raw")).bare(),
            Keyword::new("http_cookie", "The content before is in the cookies.", ("http", "content:\"a\"; http_cookie;"), modifier!("http_cookie", "http.cookie")).bare(),
            Keyword::new("http_user_agent", "The content before is in the user agent.", ("http", "content:\"a\"; http_user_agent;"), modifier!("http_user_agent", "http.user_agent")).bare(),
            Keyword::new("http_host", "The content before is in the host.", ("http", "content:\"a\"; http_host;"), modifier!("http_host", "http.host")).bare(),
            Keyword::new("http_raw_host", "The content before is in the raw host.", ("http", "content:\"a\"; http_raw_host;"), modifier!("http_raw_host", "http.host.raw")).bare(),
            Keyword::new("http_client_body", "The content before is in the request's body.", ("http", "content:\"a\"; http_client_body;"), modifier!("http_client_body", "http.request_body")).bare(),
            Keyword::new("http_server_body", "The content before is in the response's body.", ("http", "content:\"a\"; http_server_body;"), modifier!("http_server_body", "file.data")).bare(),
            Keyword::new("http_stat_code", "The content before is in the status code.", ("http", "content:\"a\"; http_stat_code;"), modifier!("http_stat_code", "http.stat_code")).bare(),
            Keyword::new("http_stat_msg", "The content before is in the status message.", ("http", "content:\"a\"; http_stat_msg;"), modifier!("http_stat_msg", "http.stat_msg")).bare(),
        ]
    };
}

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = stickies![
    ("pkt_data", [], "tcp", "Back to the payload."),
    ("http.uri", [], "http", "The URI, normalised."),
    ("http.uri.raw", [], "http", "The URI as it was sent."),
    ("http.method", [], "http", "The request's method."),
    (
        "http.request_line",
        ["http_request_line"],
        "http",
        "The whole request line."
    ),
    (
        "http.protocol",
        ["http_protocol"],
        "http",
        "The protocol, as HTTP/1.1."
    ),
    ("http.host", [], "http", "The host, in lower case."),
    ("http.host.raw", [], "http", "The host as it was sent."),
    ("http.header", [], "http", "The headers, normalised."),
    (
        "http.header_names",
        ["http_header_names"],
        "http",
        "The names of the headers, each in its line."
    ),
    ("http.cookie", [], "http", "The cookies."),
    ("http.user_agent", [], "http", "The user agent."),
    ("http.referer", ["http_referer"], "http", "The referer."),
    ("http.accept", ["http_accept"], "http", "What the client accepts."),
    (
        "http.accept_enc",
        ["http_accept_enc"],
        "http",
        "Encodings the client accepts."
    ),
    (
        "http.accept_lang",
        ["http_accept_lang"],
        "http",
        "Languages the client accepts."
    ),
    (
        "http.connection",
        ["http_connection"],
        "http",
        "The connection header."
    ),
    (
        "http.content_len",
        ["http_content_len"],
        "http",
        "The content length as text."
    ),
    (
        "http.content_type",
        ["http_content_type"],
        "http",
        "The content type."
    ),
    (
        "http.start",
        ["http_start"],
        "http",
        "Request or status line and headers."
    ),
    (
        "http.request_header",
        [],
        "http",
        "Each request header as name: value."
    ),
    (
        "http.response_header",
        [],
        "http",
        "Each response header as name: value."
    ),
    ("http.request_body", [], "http", "The request's body."),
    ("http.stat_code", [], "http", "The status code."),
    ("http.stat_msg", [], "http", "The status message."),
    (
        "http.response_line",
        ["http_response_line"],
        "http",
        "The whole status line."
    ),
    ("http.server", [], "http", "The server header."),
    ("http.location", [], "http", "The location header."),
    ("http.response_body", [], "http", "The response's body."),
    ("http2.header_name", [], "http2", "Each header's name."),
    ("http2.header", [], "http2", "Each header as name: value."),
    (
        "file.data",
        ["file_data"],
        "tcp",
        "The content of files, whatever carries them."
    ),
    ("file.name", [], "tcp", "The names of files."),
    ("file.magic", [], "tcp", "What libmagic calls the file."),
    ("dns.query", ["dns_query"], "dns", "The name asked for."),
    ("dns.answer.name", [], "dns", "Each answer's name."),
    ("dns.query.name", [], "dns", "Each query's name, both directions."),
    (
        "tls.sni",
        ["tls_sni"],
        "tls",
        "The server name the client asks for."
    ),
    (
        "tls.cert_subject",
        ["tls_cert_subject"],
        "tls",
        "The certificate's subject."
    ),
    (
        "tls.cert_issuer",
        ["tls_cert_issuer"],
        "tls",
        "The certificate's issuer."
    ),
    (
        "tls.cert_serial",
        ["tls_cert_serial"],
        "tls",
        "The certificate's serial number."
    ),
    (
        "tls.cert_fingerprint",
        ["tls_cert_fingerprint"],
        "tls",
        "The certificate's SHA-1.",
        "4a:a3:66:76:82:cb:6b:23:bb:c3:58:47:23:a4:63:a7:78:a4:a1:18"
    ),
    ("tls.certs", [], "tls", "The certificates' octets."),
    ("tls.random", [], "tls", "The 32 octets of random."),
    ("tls.random_time", [], "tls", "The first 4 octets of random."),
    ("tls.random_bytes", [], "tls", "The other 28 octets of random."),
    ("tls.alpn", [], "tls", "Application protocols offered or chosen."),
    (
        "ja3.hash",
        ["ja3_hash"],
        "tls",
        "JA3 of the client hello, over TLS or QUIC.",
        "e7d705a3286e19ea42f587b344ee6865"
    ),
    ("ja3.string", ["ja3_string"], "tls", "JA3's text."),
    (
        "ja3s.hash",
        [],
        "tls",
        "JA3S of the server hello.",
        "e7d705a3286e19ea42f587b344ee6865"
    ),
    ("ja3s.string", [], "tls", "JA3S's text."),
    ("ja4.hash", [], "tls", "JA4 of the client hello."),
    ("ssh.proto", ["ssh_proto"], "ssh", "The protocol version."),
    ("ssh.software", ["ssh_software"], "ssh", "The software version."),
    (
        "ssh.hassh",
        [],
        "ssh",
        "HASSH of the client.",
        "e7d705a3286e19ea42f587b344ee6865"
    ),
    (
        "ssh.hassh.server",
        [],
        "ssh",
        "HASSH of the server.",
        "e7d705a3286e19ea42f587b344ee6865"
    ),
    ("ssh.hassh.string", [], "ssh", "The client's HASSH text."),
    ("ssh.hassh.server.string", [], "ssh", "The server's HASSH text."),
    (
        "smb.named_pipe",
        ["smb_named_pipe"],
        "smb",
        "The named pipe connected to."
    ),
    ("smb.share", ["smb_share"], "smb", "The share connected to."),
    ("smb.ntlmssp_user", [], "smb", "The user of NTLMSSP."),
    ("smb.ntlmssp_domain", [], "smb", "The domain of NTLMSSP."),
    ("dcerpc.stub_data", ["dce_stub_data"], "dcerpc", "The stub data."),
    (
        "quic.version",
        [],
        "quic",
        "The version's four octets, of a long header."
    ),
    ("quic.sni", [], "quic", "The server name."),
    ("quic.ua", [], "quic", "The user agent of Google's hello."),
    (
        "quic.cyu.hash",
        [],
        "quic",
        "CYU of Google's hello: MD5 of its text.",
        "e7d705a3286e19ea42f587b344ee6865"
    ),
    ("quic.cyu.string", [], "quic", "CYU's text: version and tags."),
    ("krb5_cname", ["krb5.cname"], "krb5", "The client's name."),
    ("krb5_sname", ["krb5.sname"], "krb5", "The server's name."),
    ("sip.method", [], "sip", "The method."),
    ("sip.uri", [], "sip", "The URI."),
    ("sip.request_line", [], "sip", "The request line."),
    ("sip.stat_code", [], "sip", "The status code."),
    ("sip.stat_msg", [], "sip", "The status message."),
    ("sip.response_line", [], "sip", "The status line."),
    ("sip.protocol", [], "sip", "The protocol."),
    ("snmp.community", [], "snmp", "The community."),
    ("snmp.usm", [], "snmp", "The user of the user security model."),
    ("rfb.name", [], "rfb", "The desktop's name."),
    ("ike.init_spi", [], "ike", "The initiator's SPI."),
    ("ike.resp_spi", [], "ike", "The responder's SPI."),
    ("ike.nonce_payload", [], "ike", "The nonce."),
    ("ike.key_exchange_payload", [], "ike", "The key exchange payload."),
    ("ike.vendor", [], "ike", "Each vendor id."),
    ("mqtt.connect.clientid", [], "mqtt", "The client's id."),
    ("mqtt.connect.username", [], "mqtt", "The user name."),
    ("mqtt.connect.password", [], "mqtt", "The password."),
    ("mqtt.connect.willtopic", [], "mqtt", "The will's topic."),
    ("mqtt.connect.willmessage", [], "mqtt", "The will's message."),
    ("mqtt.publish.topic", [], "mqtt", "The topic published to."),
    ("mqtt.publish.message", [], "mqtt", "The message published."),
    ("mqtt.subscribe.topic", [], "mqtt", "Each topic subscribed to."),
    (
        "mqtt.unsubscribe.topic",
        [],
        "mqtt",
        "Each topic unsubscribed from."
    ),
    (
        "ip.src",
        [],
        "ip",
        "The source address: 4 or 16 octets, for datasets."
    ),
    ("ip.dst", [], "ip", "The destination address."),
    ("ipv4.hdr", [], "ip", "The IPv4 header."),
    ("ipv6.hdr", [], "ip", "The IPv6 header."),
    ("tcp.hdr", [], "tcp", "The TCP header."),
    ("udp.hdr", [], "udp", "The UDP header."),
    ("icmpv4.hdr", [], "icmp", "The ICMP header."),
    ("icmpv6.hdr", [], "icmp", "The ICMPv6 header."),
];
