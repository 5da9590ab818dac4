//! Remote procedure calls, over TCP, UDP and SMB's pipes.

use super::number::number_test;
use super::{Argument, Keyword, Outcome};
use crate::app::{Protocol, PROTOCOLS};
use crate::rule::builder::{meant_by, value_slots_of, Builder, Fault};
use crate::rule::signature::{InterfaceTest, NumberTest, TxCondition, ValueTest};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "dcerpc.iface",
        "The call is of an accepted interface: UUID, version, any_frag for binds beyond the first fragment.",
        (
            "dcerpc",
            "dcerpc.iface:367abb81-9844-35f1-ad32-98f038001003,>1,any_frag;",
        ),
        interface,
    )
    .alias(&["dce_iface"]),
    Keyword::new(
        "dcerpc.opnum",
        "Operation numbers.",
        ("dcerpc", "dcerpc.opnum:15-18,24;"),
        operation,
    )
    .alias(&["dce_opnum"]),
];

/// Protocols that carry calls.
fn carriers() -> impl Iterator<Item = &'static Protocol> {
    PROTOCOLS
        .iter()
        .copied()
        .filter(|protocol| protocol.start.is_some() && meant_by(protocol, "dcerpc"))
}

fn interface(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    builder.ask_for("dcerpc")?;
    let parts: Vec<&str> = argument.text.split(',').collect();
    let (uuid, version, any_fragment) = match parts[..] {
        [uuid] => (uuid, None, false),
        [uuid, "any_frag"] => (uuid, None, true),
        [uuid, version] => (uuid, Some(version), false),
        [uuid, version, "any_frag"] => (uuid, Some(version), true),
        _ => {
            return Err(Fault::hinted(
                format!("{:?} is not an interface", argument.text),
                "write UUID, UUID,VERSION or UUID,VERSION,any_frag",
            ))
        }
    };
    let uuid = read_uuid(uuid).ok_or_else(|| format!("{uuid:?} is not a UUID"))?;
    let version: Option<NumberTest> = version
        .map(|text| number_test(text, 0, u16::MAX.into()))
        .transpose()?;
    builder.transaction.push(TxCondition::Interface {
        protocols: carriers().collect(),
        test: InterfaceTest {
            uuid,
            version,
            any_fragment,
        },
    });
    builder.last_keyword = "dcerpc.iface";
    Ok(())
}

/// A UUID with its dashes or without any.
fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let bare = match text.len() {
        32 => text.to_string(),
        36 => {
            let dashes = text.match_indices('-').map(|(at, _)| at);
            dashes.eq([8, 13, 18, 23]).then(|| text.replace('-', ""))?
        }
        _ => return None,
    };
    let digits = bare
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<Vec<u32>>>()?;
    let octets: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect();
    octets.try_into().ok()
}

fn operation(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    builder.ask_for("dcerpc")?;
    let mut ranges = Vec::new();
    for part in argument.text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let read = |text: &str| {
            text.parse::<u32>()
                .map_err(|_| Fault::from(format!("{text:?} is not an operation number")))
        };
        let (low, high) = (read(low)?, read(high)?);
        if low > high {
            return Err(format!("{part:?} is not a range").into());
        }
        ranges.push((i64::from(low), i64::from(high)));
    }
    builder.transaction.push(TxCondition::Value {
        name: "dcerpc.opnum",
        slots: value_slots_of("dcerpc.opnum"),
        direction: builder.direction,
        test: ValueTest::Within(ranges),
    });
    builder.last_keyword = "dcerpc.opnum";
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read_uuid;

    #[test]
    fn a_uuid_has_its_dashes_in_place_or_none() {
        let octets = read_uuid("367abb81-9844-35f1-ad32-98f038001003").unwrap();
        assert_eq!(octets[..4], [0x36, 0x7a, 0xbb, 0x81]);
        assert_eq!(read_uuid("367abb81984435f1ad3298f038001003"), Some(octets));
        for bad in [
            "",
            "367abb8-19844-35f1-ad32-98f038001003",
            "367abb81-9844-35f1-ad32-98f03800100g",
        ] {
            assert_eq!(read_uuid(bad), None, "{bad}");
        }
    }
}
