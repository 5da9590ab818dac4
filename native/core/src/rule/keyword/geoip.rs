//! `geoip`: the country of an address, by a MaxMind database.

use std::net::IpAddr;
use std::sync::Arc;

use super::{parts, Argument, Keyword, Outcome};
use crate::rule::builder::{Builder, Fault};
use crate::rule::context::Countries;
use crate::rule::signature::{PacketCondition, View};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[Keyword::new(
    "geoip",
    "The country of an IPv4 address: src, dst, both or any (the default), then ISO codes, `!` for none of them. Needs \
     `detect.geoip_database` (suricata.yaml: `geoip-database`).",
    ("ip", "geoip:src,US,CA;"),
    geoip,
)];

/// Countries of one rule at most.
const MAX_COUNTRIES: usize = 64;

/// Which address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
    Both,
    Any,
}

#[derive(Debug)]
struct Country {
    side: Side,
    codes: Vec<Box<str>>,
    negated: bool,
    database: Arc<Countries>,
}

impl Country {
    /// An address whose country is not known is in none, and not outside of one either.
    fn holds(&self, address: IpAddr) -> bool {
        let code = self.database.country(address);
        code.is_some_and(|code| self.codes.iter().any(|known| **known == *code) != self.negated)
    }
}

impl PacketCondition for Country {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        let packet = view.packet;
        if packet.pseudo || packet.ip.version != 4 {
            return false;
        }
        match self.side {
            Side::Source => self.holds(packet.src),
            Side::Destination => self.holds(packet.dst),
            Side::Both => self.holds(packet.src) && self.holds(packet.dst),
            Side::Any => self.holds(packet.src) || self.holds(packet.dst),
        }
    }

    fn keyword(&self) -> &'static str {
        "geoip"
    }
}

fn geoip(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut words = parts(argument.text).peekable();
    let side = match words.peek().copied() {
        Some("src") => Side::Source,
        Some("dst") => Side::Destination,
        Some("both") => Side::Both,
        _ => Side::Any,
    };
    if side != Side::Any || words.peek() == Some(&"any") {
        words.next();
    }
    let (mut codes, mut negated) = (Vec::new(), false);
    for word in words {
        let code = word.strip_prefix('!').unwrap_or(word);
        negated |= code.len() < word.len();
        codes.push(code.into());
    }
    if codes.is_empty() || codes.len() > MAX_COUNTRIES {
        return Err(format!("geoip takes 1 to {MAX_COUNTRIES} countries").into());
    }
    let database = builder.context.countries().map_err(|reason| {
        Fault::hinted(
            reason,
            "name a MaxMind database: detect.geoip_database, or geoip-database in suricata.yaml",
        )
    })?;
    builder.requires_packet = true;
    builder.packet.push(Box::new(Country {
        side,
        codes,
        negated,
        database,
    }));
    builder.last_keyword = "geoip";
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Country, Side};
    use crate::config::Config;
    use crate::rule::context::{Context, Countries, NoFiles};

    /// A database in which one half of IPv4 is in DE and the other in FR (MaxMind DB File Format 2.0).
    pub fn database() -> Vec<u8> {
        let text = |text: &str| [&[0x40 | text.len() as u8], text.as_bytes()].concat();
        let located = |code: &str| {
            let country = [&[0xe1][..], &text("iso_code"), &text(code)].concat();
            [&[0xe1][..], &text("country"), &country].concat()
        };
        let (germany, france) = (located("DE"), located("FR"));
        // One node of two records of 24 bits; a record points into the data, past the node and the separator.
        let (first, second) = (1 + 16, 1 + 16 + germany.len() as u8);
        let tree = [0, 0, first, 0, 0, second];
        let metadata = [
            ("node_count", &[0xc1, 1][..]),
            ("record_size", &[0xa1, 24]),
            ("ip_version", &[0xa1, 4]),
            ("binary_format_major_version", &[0xa1, 2]),
            ("binary_format_minor_version", &[0xa1, 0]),
            ("build_epoch", &[0x01, 0x02, 1]),
            ("database_type", b"\x44Test"),
            ("languages", &[0x00, 0x04]),
            ("description", &[0xe0]),
        ];
        let mut out = [&tree[..], &[0; 16], &germany, &france, b"\xab\xcd\xefMaxMind.com"].concat();
        out.push(0xe0 | metadata.len() as u8);
        for (key, value) in metadata {
            out.extend_from_slice(&text(key));
            out.extend_from_slice(value);
        }
        out
    }

    #[test]
    fn an_address_is_in_the_countries_named_or_in_none_of_them() {
        let database = std::sync::Arc::new(Countries::new(database()).unwrap());
        let holds = |codes: &[&str], negated, address: [u8; 4]| {
            let country = Country {
                side: Side::Any,
                codes: codes.iter().map(|code| (*code).into()).collect(),
                negated,
                database: database.clone(),
            };
            country.holds(address.into())
        };
        assert!(holds(&["US", "DE"], false, [1, 1, 1, 1]));
        assert!(!holds(&["DE"], false, [192, 0, 2, 1]));
        assert!(holds(&["DE"], true, [192, 0, 2, 1]));
        assert!(!holds(&["FR"], true, [192, 0, 2, 1]));
    }

    #[test]
    fn without_a_database_a_rule_on_countries_is_refused_with_what_to_do() {
        let (mut context, _) = Context::new(&Config::default(), Box::new(NoFiles), ".");
        let text = "alert ip any any -> any any (geoip:US; sid:1;)";
        let origin = crate::rule::signature::Origin {
            file: "a.rules".into(),
            line: 1,
        };
        let problem = crate::rule::parse::parse(text, &mut context, &origin).unwrap_err();
        assert_eq!(problem.keyword, "geoip");
        assert!(problem.reason.contains("no GeoIP database"), "{}", problem.reason);
        assert!(problem.hint.contains("geoip_database"), "{}", problem.hint);
    }
}
