//! `flow` and what else is asked of flows: `stream_size`, `app-layer-protocol`.

use super::number::number_test;
use super::{parts, Argument, Keyword, Outcome, Quotes};
use crate::packet::Direction;
use crate::rule::builder::{meant_by, Builder, Fault};
use crate::rule::signature::{FlowCondition, NumberTest, PacketCondition, View};

macro_rules! counted {
    ($name:literal, $doc:literal, $side:expr, $octets:literal) => {
        Keyword::new(
            $name,
            $doc,
            ("tcp", concat!($name, ":>3;")),
            |builder, argument| counted(builder, $name, $side, argument.text, $octets),
        )
    };
}

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
    counted!(
        "flow.pkts_toserver",
        "Packets of the client so far.",
        Side::Client,
        false
    ),
    counted!(
        "flow.pkts_toclient",
        "Packets of the server so far.",
        Side::Server,
        false
    ),
    counted!(
        "flow.bytes_toserver",
        "Octets of the client so far, headers included.",
        Side::Client,
        true
    ),
    counted!(
        "flow.bytes_toclient",
        "Octets of the server so far, headers included.",
        Side::Server,
        true
    ),
    Keyword::new(
        "flow.pkts",
        "Packets so far: toserver, toclient, either or both, and a number.",
        ("tcp", "flow.pkts:toserver,>3;"),
        |builder, argument| of_a_side(builder, "flow.pkts", argument, false),
    ),
    Keyword::new(
        "flow.bytes",
        "Octets so far, headers included: toserver, toclient, either or both, and a number.",
        ("tcp", "flow.bytes:either,>100000;"),
        |builder, argument| of_a_side(builder, "flow.bytes", argument, true),
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
    // What said no more than a direction may be followed by another.
    if builder
        .flow
        .is_some_and(|earlier| earlier != FlowCondition::default())
    {
        return Err(Fault::hinted("flow stands twice", "flow:established,to_server"));
    }
    let mut flow = FlowCondition::default();
    let mut words = 0;
    for word in parts(argument.text) {
        words += 1;
        if words > 3 {
            return Err("flow takes at most three words".into());
        }
        let established = |flow: &mut FlowCondition, wanted| {
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

/// Packets or octets of the flow's sides, counted.
#[derive(Debug)]
struct Counted {
    keyword: &'static str,
    side: Side,
    test: NumberTest,
    octets: bool,
}

impl PacketCondition for Counted {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        let Some(flow) = view.flow else { return false };
        let counts = if self.octets { flow.octets } else { flow.packets };
        let holds = |direction: Direction| {
            self.test
                .matches(i64::try_from(counts[direction.index()]).unwrap_or(i64::MAX))
        };
        self.side.holds(holds)
    }

    fn keyword(&self) -> &'static str {
        self.keyword
    }
}

fn counted(
    builder: &mut Builder<'_>,
    keyword: &'static str,
    side: Side,
    text: &str,
    octets: bool,
) -> Outcome {
    let test = number_test(text, 0, i64::MAX)?;
    builder.requires_packet = true;
    builder.packet.push(Box::new(Counted {
        keyword,
        side,
        test,
        octets,
    }));
    builder.last_keyword = keyword;
    Ok(())
}

fn of_a_side(
    builder: &mut Builder<'_>,
    keyword: &'static str,
    argument: Argument<'_>,
    octets: bool,
) -> Outcome {
    let usage = || Fault::hinted("takes a side and a number", "toserver,>3");
    let (side, number) = argument.text.split_once(',').ok_or_else(usage)?;
    let side = match side.trim() {
        "toserver" => Side::Client,
        "toclient" => Side::Server,
        "either" => Side::Either,
        "both" => Side::Both,
        _ => return Err(usage()),
    };
    counted(builder, keyword, side, number, octets)
}

/// Whose octets or packets: what a side sent.
#[derive(Clone, Copy, Debug)]
enum Side {
    Server,
    Client,
    Both,
    Either,
}

impl Side {
    /// Whether it holds for the directions that are meant.
    fn holds(self, holds: impl Fn(Direction) -> bool) -> bool {
        match self {
            Side::Server => holds(Direction::ToClient),
            Side::Client => holds(Direction::ToServer),
            Side::Both => holds(Direction::ToClient) && holds(Direction::ToServer),
            Side::Either => holds(Direction::ToClient) || holds(Direction::ToServer),
        }
    }
}

#[derive(Debug)]
struct StreamSize {
    side: Side,
    test: NumberTest,
}

impl PacketCondition for StreamSize {
    fn matches(&self, view: &View<'_, '_>) -> bool {
        let Some(tcp) = view.tcp else { return false };
        self.side
            .holds(|direction| self.test.matches(i64::from(tcp.half(direction).size())))
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

/// Protocols of Suricata 8, and one that is never there.
const LATER: &[&str] = &["websocket", "pop3", "doh2", "ldap", "mdns", "template"];

fn app_layer_protocol(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if !builder.app.is_empty() {
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
    if LATER.contains(&name) {
        return Err(Fault::not_there_yet(format!(
            "{name} is of a later version of the language"
        )));
    }
    if !known {
        return Err(format!("{name:?} is not an application protocol").into());
    }
    // One protocol, or none of several.
    match builder.app_protocol_keyword.replace(argument.negated) {
        Some(earlier) if !(earlier && argument.negated) => {
            return Err("app-layer-protocol stands once, or several times negated".into());
        }
        _ => {}
    }
    builder.packet.push(Box::new(AppLayerProtocol {
        name: name.into(),
        negated: argument.negated,
    }));
    builder.last_keyword = "app-layer-protocol";
    Ok(())
}
