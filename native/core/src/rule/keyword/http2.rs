//! Values of HTTP/2: types of frames, error codes, weights, windows, sizes, settings.

use super::app::{number, value};
use super::number::number_test;
use super::{Argument, Keyword, Outcome};
use crate::app::http2::SETTINGS;
use crate::rule::builder::Builder;
use crate::rule::signature::{NumberTest, ValueTest};

/// This family's keywords.
pub const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        "http2.frametype",
        "A frame of this type was sent: a number or its name, as GOAWAY.",
        ("http2", "http2.frametype:GOAWAY;"),
        |b, a| named(b, "http2.frametype", a, u8::MAX.into(), &FRAME_TYPES),
    ),
    Keyword::new(
        "http2.errorcode",
        "RST_STREAM or GOAWAY with this error code: a number or its name, as PROTOCOL_ERROR.",
        ("http2", "http2.errorcode:PROTOCOL_ERROR;"),
        |b, a| named(b, "http2.errorcode", a, u32::MAX.into(), &ERRORS),
    ),
    Keyword::new(
        "http2.priority",
        "The weight of a stream.",
        ("http2", "http2.priority:>100;"),
        |b, a| number(b, "http2.priority", "http2", a, u8::MAX.into()),
    ),
    Keyword::new(
        "http2.window",
        "The increment of a window, octets.",
        ("http2", "http2.window:<2048;"),
        |b, a| number(b, "http2.window", "http2", a, u32::MAX.into()),
    ),
    Keyword::new(
        "http2.size_update",
        "The size a sender gave its table of fields, octets.",
        ("http2", "http2.size_update:>4096;"),
        |b, a| number(b, "http2.size_update", "http2", a, i64::MAX),
    ),
    Keyword::new(
        "http2.settings",
        "A setting was sent, and its value.",
        ("http2", "http2.settings:SETTINGS_MAX_FRAME_SIZE>20000;"),
        settings,
    ),
];

const FRAME_TYPES: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RSTSTREAM",
    "SETTINGS",
    "PUSHPROMISE",
    "PING",
    "GOAWAY",
    "WINDOWUPDATE",
    "CONTINUATION",
];

/// By number; number 2, INTERNAL_ERROR, has no name in rules.
const ERRORS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "2",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

fn named(
    builder: &mut Builder<'_>,
    keyword: &'static str,
    argument: Argument<'_>,
    most: u64,
    names: &[&str],
) -> Outcome {
    let text = argument.text.trim();
    let number = match text.parse::<u64>() {
        Ok(number) => Some(number).filter(|number| *number <= most),
        Err(_) => names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
            .map(|number| number as u64),
    };
    let number = number.ok_or_else(|| {
        format!(
            "{text:?} is neither a number up to {most} nor one of {}",
            names.join(", ")
        )
    })?;
    let test = NumberTest::Equal(i64::try_from(number).unwrap_or(i64::MAX));
    value(builder, keyword, "http2", ValueTest::Number(test))
}

fn settings(builder: &mut Builder<'_>, argument: Argument<'_>) -> Outcome {
    let text = argument.text.trim();
    let end = text.find([' ', '<', '>', '=']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some((_, slot)) = SETTINGS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
    else {
        let known: Vec<_> = SETTINGS.iter().map(|(name, _)| *name).collect();
        return Err(format!("{name:?} is not a setting: {}", known.join(", ")).into());
    };
    let test = match rest.trim() {
        "" => ValueTest::Present,
        rest => ValueTest::Number(number_test(rest, 0, u32::MAX.into())?),
    };
    value(builder, slot, "http2", test)?;
    builder.last_keyword = "http2.settings";
    Ok(())
}
