//! Buffers and values of protocols as keywords by their own names, where no family says more about them.
//!
//! A protocol's tables are all a new protocol needs: `toy.word; content:"a";` and `toy.number:>5;`. What wants another
//! spelling, aliases, checks or an example in the documentation gets a line in a family.

use super::buffers::{Sticky, Where};
use super::number::number_test;
use super::Outcome;
use crate::app::{Protocol, PROTOCOLS};
use crate::rule::builder::{value_slots_of, Builder};
use crate::rule::signature::{TxCondition, ValueTest};

/// Do what the option `name`, with `argument` behind its colon, says by a protocol's own tables; `None` when none has it.
pub fn option(builder: &mut Builder<'_>, name: &str, argument: Option<&str>) -> Option<Outcome> {
    PROTOCOLS
        .iter()
        .find_map(|protocol| of_protocol(builder, protocol, name, argument))
}

fn of_protocol(
    builder: &mut Builder<'_>,
    protocol: &'static Protocol,
    name: &str,
    argument: Option<&str>,
) -> Option<Outcome> {
    if let Some(spec) = protocol.buffers.iter().find(|spec| spec.name == name) {
        let sticky = Sticky {
            name: spec.name,
            app: protocol.name,
            place: Where::Transaction,
            multi: spec.multi,
            fingerprint: false,
            file: false,
        };
        return Some(match argument {
            None => builder.enter(&sticky),
            Some(_) => Err("takes no argument".into()),
        });
    }
    let spec = protocol.values.iter().find(|spec| spec.name == name)?;
    Some(match argument {
        None => Err("the argument is missing".into()),
        Some(text) => value(builder, protocol.name, spec.name, text),
    })
}

fn value(builder: &mut Builder<'_>, app: &'static str, name: &'static str, text: &str) -> Outcome {
    let test = ValueTest::Number(number_test(text, i64::MIN, i64::MAX)?);
    builder.ask_for(app)?;
    builder.transaction.push(TxCondition::Value {
        name,
        slots: value_slots_of(name),
        direction: builder.direction,
        test,
    });
    builder.last_keyword = name;
    Ok(())
}
