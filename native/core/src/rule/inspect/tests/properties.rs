//! Any conditions on any octets.

use proptest::prelude::*;

use super::*;

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        (-20i64..20).prop_map(Operand::Number),
        (0u8..4).prop_map(Operand::Variable)
    ]
}

fn any_content() -> impl Strategy<Value = Condition> {
    let limits = prop::collection::vec(prop::option::of(operand()), 4);
    ("[ab]{1,3}", limits, any::<[bool; 4]>()).prop_map(|(pattern, limits, flags)| {
        content(&pattern, |content| {
            if flags[0] {
                (content.offset, content.depth) = (limits[0], limits[1]);
            } else {
                (content.distance, content.within) = (limits[2], limits[3]);
            }
            content.negated = flags[1];
            content.ends_with = flags[2];
            if flags[3] {
                content.set_nocase();
            }
        })
    })
}

fn any_number() -> impl Strategy<Value = Condition> {
    let encoding = prop_oneof![
        Just(Encoding::Big),
        Just(Encoding::Little),
        Just(Encoding::Dce),
        Just(Encoding::Text(0)),
        Just(Encoding::Text(10)),
    ];
    let parts = (
        operand(),
        operand(),
        operand(),
        any::<[bool; 4]>(),
        encoding,
        any::<u32>(),
    );
    (0..4, parts).prop_map(
        |(kind, (count, offset, value, flags, encoding, bitmask))| match kind {
            0 => Condition::ByteTest(Box::new(ByteTest {
                count,
                compare: ByteCompare::Or,
                negated: flags[0],
                value,
                offset,
                relative: flags[1],
                encoding,
                bitmask,
            })),
            1 => Condition::ByteJump(Box::new(ByteJump {
                count,
                offset,
                relative: flags[1],
                encoding,
                multiplier: bitmask as u16,
                align: flags[0],
                from_beginning: flags[2],
                from_end: flags[3],
                post_offset: value,
                bitmask,
            })),
            2 => Condition::ByteMath(Box::new(ByteMath {
                count,
                offset: bitmask as i8 as i32,
                operator: if flags[2] {
                    MathOperator::Divide
                } else {
                    MathOperator::ShiftRight
                },
                value,
                variable: 1,
                relative: flags[1],
                encoding,
                bitmask,
            })),
            _ => Condition::IsDataAt(IsDataAt {
                at: value,
                relative: flags[1],
                negated: flags[0],
            }),
        },
    )
}

proptest! {
    #[test]
    fn no_conditions_on_any_octets_panic(
        conditions in prop::collection::vec(prop_oneof![any_content(), any_number()], 1..8),
        data in "[abA0-9\\x00]{0,40}",
        offset in prop_oneof![Just(0u64), any::<u64>()],
    ) {
        let subject = Subject { offset, ..Subject::whole(data.as_bytes()) };
        holds_in(conditions, &subject);
    }
}
