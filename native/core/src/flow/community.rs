//! Community ID, version 1 (<https://github.com/corelight/community-id-spec>).

use std::net::IpAddr;

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

use super::Flow;
use crate::wire::icmp;

/// The text of a flow's Community ID.
pub fn id(flow: &Flow, seed: u16) -> String {
    let (sport, dport) = match flow.proto {
        1 => (
            flow.sport,
            u16::from(icmp::counterpart(flow.sport as u8).unwrap_or(0)),
        ),
        58 => (
            flow.sport,
            u16::from(icmp::counterpart_v6(flow.sport as u8).unwrap_or(0)),
        ),
        _ => (flow.sport, flow.dport),
    };
    let one_way = match flow.proto {
        1 => icmp::counterpart(flow.sport as u8).is_none(),
        58 => icmp::counterpart_v6(flow.sport as u8).is_none(),
        _ => false,
    };
    // One-way ICMP keeps its direction and has its code for a second port.
    let dport = if one_way { flow.dport } else { dport };
    let keep = one_way || (flow.src, sport) < (flow.dst, dport);
    let (a, b, p, q) = if keep {
        (flow.src, flow.dst, sport, dport)
    } else {
        (flow.dst, flow.src, dport, sport)
    };
    let mut hash = Sha1::new();
    hash.update(seed.to_be_bytes());
    for address in [a, b] {
        match address {
            IpAddr::V4(v4) => hash.update(v4.octets()),
            IpAddr::V6(v6) => hash.update(v6.octets()),
        }
    }
    hash.update([flow.proto, 0]);
    hash.update(p.to_be_bytes());
    hash.update(q.to_be_bytes());
    let mut text = String::from("1:");
    base64::engine::general_purpose::STANDARD.encode_string(hash.finalize(), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;

    #[test]
    fn the_reference_values_of_the_specification_come_out() {
        // From the specification's test captures.
        let tcp = flow("128.232.110.120", 34855, "66.35.250.204", 80, 6);
        assert_eq!(id(&tcp, 0), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let back = flow("66.35.250.204", 80, "128.232.110.120", 34855, 6);
        assert_eq!(id(&back, 0), id(&tcp, 0));
        assert_eq!(id(&tcp, 1), "1:3V71V58M3Ksw/yuFALMcW0LAHvc=");
        let udp = flow("192.168.1.52", 54585, "8.8.8.8", 53, 17);
        assert_eq!(id(&udp, 0), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        let ping = flow("192.168.0.89", 8, "192.168.0.1", 0, 1);
        assert_eq!(id(&ping, 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
    }
}
