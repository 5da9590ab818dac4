//! How often a rule alerts, and what is logged behind it: `threshold`, `detection_filter`, `tag`, `config`, `bypass`.

use super::{parts, Argument, Keyword, Outcome};
use crate::packet::Direction;
use crate::rule::builder::{Builder, Fault};
use crate::rule::signature::{Threshold, ThresholdKind, Track};
use crate::rule::state::{Effect, FileScope, LogScope, Tag, TagMetric};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "threshold",
        "How many alerts in how long: type limit, threshold or both.",
        ("ip", "threshold:type limit, track by_src, count 1, seconds 60;"),
        threshold,
    ),
    Keyword::new(
        "detection_filter",
        "Match only from the so manieth match on.",
        ("ip", "detection_filter:track by_src, count 5, seconds 60;"),
        detection_filter,
    ),
    Keyword::new(
        "tag",
        "Log packets that follow.",
        ("ip", "tag:session,10,packets;"),
        tag,
    )
    .optional(),
    Keyword::new(
        "config",
        "Log no transaction or flow that matches.",
        (
            "dns",
            r#"dns.query; content:"a"; config:logging disable, type tx, scope tx;"#,
        ),
        config,
    ),
    Keyword::new(
        "bypass",
        "Look at the flow no more.",
        ("tcp", r#"content:"a"; bypass;"#),
        |builder, _| {
            builder.effects.push(Effect::Bypass);
            Ok(())
        },
    )
    .bare(),
    Keyword::new(
        "filestore",
        "Keep the file that matched.",
        ("http", "filestore;"),
        filestore,
    )
    .optional(),
    Keyword::new(
        "tls.store",
        "Keep the certificates.",
        ("tls", "tls.store;"),
        |builder, _| {
            builder.ask_for("tls")?;
            builder.effects.push(Effect::StoreCertificate);
            Ok(())
        },
    )
    .alias(&["tls_store"])
    .bare(),
];

#[derive(Default)]
struct Words {
    kind: Option<ThresholdKind>,
    track: Option<Track>,
    count: Option<u32>,
    seconds: Option<u32>,
}

fn words(text: &str) -> Result<Words, Fault> {
    let mut found = Words::default();
    for part in parts(text) {
        let (key, value) = part.split_once([' ', '\t']).map_or((part, ""), |(key, value)| {
            (key, value.split_whitespace().next().unwrap_or(""))
        });
        let number = || {
            value
                .parse::<u32>()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| Fault::from(format!("{key} takes a number above 0")))
        };
        let twice = match key {
            "type" => found
                .kind
                .replace(match value {
                    "limit" => ThresholdKind::Limit,
                    "threshold" => ThresholdKind::Threshold,
                    "both" => ThresholdKind::Both,
                    other => return Err(format!("{other:?} is not a type of threshold").into()),
                })
                .is_some(),
            "track" => found
                .track
                .replace(match value {
                    "by_src" => Track::BySrc,
                    "by_dst" => Track::ByDst,
                    "by_both" => Track::ByBoth,
                    "by_rule" => Track::ByRule,
                    other => return Err(format!("{other:?} is not something to track by").into()),
                })
                .is_some(),
            "count" => found.count.replace(number()?).is_some(),
            "seconds" => found.seconds.replace(number()?).is_some(),
            "unique_on" => return Err("unique_on is not an option here".into()),
            // What follows the fourth word is not looked at, as in Suricata: rules with a lost semicolon are about.
            _ if found.count.is_some() && found.seconds.is_some() && found.track.is_some() => break,
            _ => return Err(format!("{part:?} is not an option here").into()),
        };
        if twice {
            return Err(format!("{key} stands twice").into());
        }
    }
    Ok(found)
}

fn threshold(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if builder.detection_filter.is_some() {
        return Err("threshold and detection_filter exclude each other".into());
    }
    if builder.threshold.is_some() {
        return Err("threshold stands twice".into());
    }
    let found = words(argument.text)?;
    let (Some(kind), Some(track), Some(count), Some(seconds)) =
        (found.kind, found.track, found.count, found.seconds)
    else {
        return Err("threshold needs type, track, count and seconds".into());
    };
    builder.threshold = Some(Threshold {
        kind,
        track,
        count,
        seconds,
    });
    Ok(())
}

fn detection_filter(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    if builder.detection_filter.is_some() || builder.threshold.is_some() {
        return Err("threshold and detection_filter exclude each other, and stand once".into());
    }
    let found = words(argument.text)?;
    let (None, Some(track), Some(count), Some(seconds)) =
        (found.kind, found.track, found.count, found.seconds)
    else {
        return Err("detection_filter needs track, count and seconds".into());
    };
    builder.detection_filter = Some(Threshold {
        kind: ThresholdKind::DetectionFilter,
        track,
        count,
        seconds,
    });
    Ok(())
}

fn tag(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut parts = parts(argument.text);
    let kind = parts.next().filter(|kind| !kind.is_empty()).unwrap_or("session");
    let count = match parts.next() {
        Some(count) => count.parse().map_err(|_| format!("{count:?} is not a count"))?,
        None => 5,
    };
    let metric = match parts.next() {
        None | Some("packets") => TagMetric::Packets,
        Some("bytes") => TagMetric::Bytes,
        Some("seconds") => TagMetric::Seconds,
        Some(other) => return Err(format!("{other:?} is neither packets, bytes nor seconds").into()),
    };
    let side = parts.next();
    let host = match (kind, side) {
        ("session", None) => None,
        ("host", Some("src") | None) => Some(Track::BySrc),
        ("host", Some("dst")) => Some(Track::ByDst),
        _ => return Err("tag is session or host, host with src or dst".into()),
    };
    builder.effects.push(Effect::Tag(Tag { host, count, metric }));
    Ok(())
}

fn config(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut scope = None;
    let mut parts = parts(argument.text);
    if parts
        .next()
        .map(|first| first.split_whitespace().collect::<Vec<_>>())
        != Some(vec!["logging", "disable"])
    {
        return Err("config knows logging disable only".into());
    }
    for part in parts {
        match part.split_whitespace().collect::<Vec<_>>()[..] {
            ["type", "tx" | "flow"] => {}
            ["scope", "tx"] => scope = Some(LogScope::Transaction),
            ["scope", "flow"] => scope = Some(LogScope::Flow),
            _ => return Err(format!("{part:?} is not an option of config").into()),
        }
    }
    let scope = scope.ok_or("config needs a scope: tx or flow")?;
    builder.effects.push(Effect::DisableLogging(scope));
    Ok(())
}

fn filestore(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let mut parts = parts(argument.text).filter(|part| !part.is_empty());
    let direction = match parts.next() {
        None | Some("both") => None,
        Some("request" | "to_server") => Some(Direction::ToServer),
        Some("response" | "to_client") => Some(Direction::ToClient),
        Some(other) => return Err(format!("{other:?} is not a direction of filestore").into()),
    };
    let scope = match parts.next() {
        None | Some("file") => FileScope::File,
        Some("tx") => FileScope::Transaction,
        Some("flow" | "ssn") => FileScope::Flow,
        Some(other) => return Err(format!("{other:?} is not a scope of filestore").into()),
    };
    builder.effects.push(Effect::FileStore { direction, scope });
    // There must be a file to keep: such a rule is run on transactions, even when it says nothing else.
    super::file::test(builder, crate::rule::signature::FileTest::Any)
}
