//! `flow` and what else is asked of flows: `stream_size`, `app-layer-protocol`.

use super::number::number_test;
use super::{parts, Argument, Keyword, Outcome, Quotes};
use crate::packet::Direction;
use crate::rule::builder::{meant_by, Builder, Fault};
use crate::rule::signature::{NumberTest, PacketCondition, View};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "flow",
        "Direction and state of the flow.",
        ("tcp", "flow:established,to_server;"),
        flow,
    ),
    Keyword::new(
        "stream_size",
        "Octets of the stream so far.",
        ("tcp", "stream_size:server,>,100;"),
        stream_size,
    ),
    Keyword::new(
        "flow.age",
        "Seconds from the flow's first packet to its latest.",
        ("tcp", "flow.age:>3600;"),
        age,
    ),
    Keyword::new(
        "app-layer-protocol",
        "The application protocol that was found, whatever the port.",
        ("tcp", "app-layer-protocol:tls;"),
        app_layer_protocol,
    )
    .quoted(Quotes::Optional)
    .negatable(),
];

fn flow(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut flow = builder.flow.unwrap_or_default();
    let mut words = 0;
    for word in parts(argument.text) {
        words += 1;
        if words > 3 {
            return Err("flow takes at most three words".into());
        }
        let established = |flow: &mut super::super::signature::FlowCondition, wanted| {
            if flow.established.is_some() || flow.stateless {
                return Err(Fault::from(
                    "established, not_established and stateless exclude each other",
                ));
            }
            flow.established = Some(wanted);
            Ok(())
        };
        let twice = || Fault::from(format!("{word} contradicts or repeats what flow says already"));
        match word.to_ascii_lowercase().as_str() {
            "established" => established(&mut flow, true)?,
            "not_established" => established(&mut flow, false)?,
            "stateless" => {
                if flow.established.is_some() || flow.stateless {
                    return Err(twice());
                }
                flow.stateless = true;
            }
            "to_server" | "from_client" => to(builder, Direction::ToServer)?,
            "to_client" | "from_server" => to(builder, Direction::ToClient)?,
            "only_stream" if !flow.no_stream && !flow.only_stream => flow.only_stream = true,
            "no_stream" if !flow.no_stream && !flow.only_stream => flow.no_stream = true,
            "only_frag" if flow.reassembled.is_none() => flow.reassembled = Some(true),
            "no_frag" if flow.reassembled.is_none() => flow.reassembled = Some(false),
            "only_stream" | "no_stream" | "only_frag" | "no_frag" => return Err(twice()),
            _ => return Err(format!("{word:?} is not a word of flow").into()),
        }
    }
    builder.flow = Some(flow);
    Ok(())
}

fn to(builder: &mut Builder<'_>, direction: Direction) -> Outcome {
    if builder.direction == Some(direction) {
        return Err("the direction stands twice".into());
    }
    builder.limit(direction)
}

#[derive(Debug)]
struct Age(NumberTest);

impl PacketCondition for Age {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        // Whole seconds of both, as Suricata counts.
        view.flow
            .is_some_and(|flow| self.0.matches(flow.last.seconds() - flow.start.seconds()))
    }

    fn keyword(&self) -> &'static str {
        "flow.age"
    }
}

fn age(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let test = number_test(argument.text, 0, u32::MAX.into())?;
    builder.requires_packet = true;
    builder.packet.push(Box::new(Age(test)));
    builder.last_keyword = "flow.age";
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Server,
    Client,
    Both,
    Either,
}

#[derive(Debug)]
struct StreamSize {
    side: Side,
    test: NumberTest,
}

impl PacketCondition for StreamSize {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        let Some(tcp) = view.tcp else { return false };
        let holds = |direction| self.test.matches(i64::from(tcp.half(direction).size()));
        // "server" is what the server sent.
        match self.side {
            Side::Server => holds(Direction::ToClient),
            Side::Client => holds(Direction::ToServer),
            Side::Both => holds(Direction::ToClient) && holds(Direction::ToServer),
            Side::Either => holds(Direction::ToClient) || holds(Direction::ToServer),
        }
    }

    fn keyword(&self) -> &'static str {
        "stream_size"
    }
}

fn stream_size(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut parts = parts(argument.text);
    let (Some(side), Some(operator), Some(size), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::hinted(
            "stream_size takes side, operator, size",
            "stream_size:server,>,100",
        ));
    };
    let side = match side {
        "server" => Side::Server,
        "client" => Side::Client,
        "both" => Side::Both,
        "either" => Side::Either,
        other => return Err(format!("{other:?} is neither server, client, both nor either").into()),
    };
    let test = match operator {
        "<" | "<=" | ">" | ">=" | "=" | "!=" => {
            number_test(&format!("{operator}{size}"), 0, i64::from(u32::MAX))?
        }
        other => return Err(format!("{other:?} is not an operator").into()),
    };
    builder.stream_size = true;
    builder.packet.push(Box::new(StreamSize { side, test }));
    builder.last_keyword = "stream_size";
    Ok(())
}

#[derive(Debug)]
struct AppLayerProtocol {
    name: Box<str>,
    negated: bool,
}

impl PacketCondition for AppLayerProtocol {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        let Some(app) = view.app else { return false };
        let is = |found: crate::app::Found| -> Option<bool> {
            let name = found.name()?;
            Some(match found.protocol() {
                Some(protocol) => meant_by(protocol, &self.name),
                None => name == &*self.name,
            })
        };
        let [to_server, to_client] = app.by_direction;
        let answer = match view.packet.direction {
            Some(Direction::ToServer) => is(to_server),
            Some(Direction::ToClient) => is(to_client),
            None => None,
        };
        // Unknown is neither: nothing can be said yet.
        answer.is_some_and(|answer| answer != self.negated)
    }

    fn keyword(&self) -> &'static str {
        "app-layer-protocol"
    }
}

fn app_layer_protocol(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if !builder.app.is_empty() && builder.app_in_header {
        return Err(Fault::hinted(
            format!("the rule is about {} already", builder.app),
            "name the protocol in the header or here, not both",
        ));
    }
    let name = argument.text;
    let known = name == "failed"
        || crate::app::PROTOCOLS
            .iter()
            .any(|protocol| meant_by(protocol, name))
        || crate::rule::parse::APPLICATIONS.contains(&name);
    if !known {
        return Err(format!("{name:?} is not an application protocol").into());
    }
    builder.app_protocol_keyword = true;
    builder.packet.push(Box::new(AppLayerProtocol {
        name: name.into(),
        negated: argument.negated,
    }));
    builder.last_keyword = "app-layer-protocol";
    Ok(())
}
