//! What a file is, by its first octets: a small set of the descriptions `file(1)` gives.
//!
//! Rules look for words in such descriptions ("PE32", "HTML document", "for MS Windows"). The set covers executables,
//! documents, images, archives and text; anything else is "data". Details past those words (sections, compression
//! parameters) are given where they are cheap to read.

use std::borrow::Cow;

fn u16_le(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

fn u32_le(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

fn u32_be(octets: &[u8], at: usize) -> Option<u32> {
    u32_le(octets, at).map(u32::swap_bytes)
}

/// Fixed beginnings and what they say.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "Zip archive data"),
    (b"PK\x05\x06", "Zip archive data (empty)"),
    (b"\x1f\x8b", "gzip compressed data"),
    (b"BZh", "bzip2 compressed data"),
    (b"\xfd7zXZ\x00", "XZ compressed data"),
    (b"7z\xbc\xaf\x27\x1c", "7-zip archive data"),
    (b"Rar!\x1a\x07\x01\x00", "RAR archive data, v5"),
    (b"Rar!\x1a\x07\x00", "RAR archive data, v4"),
    (b"MSCF\x00\x00\x00\x00", "Microsoft Cabinet archive data"),
    (b"\xff\xd8\xff", "JPEG image data"),
    (b"{\\rtf", "Rich Text Format data"),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "Composite Document File V2 Document",
    ),
    (b"CWS", "Macromedia Flash data (compressed)"),
    (b"FWS", "Macromedia Flash data"),
    (b"\x00asm", "WebAssembly (wasm) binary module"),
    (b"\xca\xfe\xba\xbe\x00\x00", "compiled Java class data"),
    (b"<?xml", "XML document"),
];

/// Describe a file by its first octets; `whole` tells that there are no others.
pub fn describe(head: &[u8], whole: bool) -> Cow<'static, str> {
    if head.is_empty() {
        return "empty".into();
    }
    if let Some(found) = program(head).or_else(|| picture(head)).or_else(|| document(head)) {
        return found;
    }
    if let Some((_, text)) = BEGINNINGS.iter().find(|(octets, _)| head.starts_with(octets)) {
        return (*text).into();
    }
    if head.starts_with(b"ustar") || head.get(257..262) == Some(b"ustar") {
        return "POSIX tar archive".into();
    }
    text(head, whole)
}

fn program(head: &[u8]) -> Option<Cow<'static, str>> {
    if head.starts_with(b"MZ") {
        return Some(windows(head).unwrap_or_else(|| "MS-DOS executable".into()));
    }
    let class = head.strip_prefix(b"\x7fELF")?;
    let bits = match class.first()? {
        1 => "32-bit",
        2 => "64-bit",
        _ => return Some("ELF".into()),
    };
    let little = class.get(1) == Some(&1);
    let read = |at| u16_le(head, at).map(|value| if little { value } else { value.swap_bytes() });
    let kind = match read(16)? {
        1 => "relocatable",
        2 => "executable",
        3 => "shared object",
        4 => "core file",
        _ => "unknown type",
    };
    let machine = match read(18)? {
        3 => "Intel 80386",
        8 => "MIPS",
        20 => "PowerPC or cisco 4500",
        40 => "ARM",
        62 => "x86-64",
        183 => "ARM aarch64",
        243 => "UCB RISC-V",
        _ => "*unknown arch*",
    };
    let order = if little { "LSB" } else { "MSB" };
    Some(format!("ELF {bits} {order} {kind}, {machine}, version 1").into())
}

/// A program for Windows: the PE header an MS-DOS program points at.
fn windows(head: &[u8]) -> Option<Cow<'static, str>> {
    let at = usize::try_from(u32_le(head, 0x3c)?).ok()?;
    let header = head.get(at..)?;
    if !header.starts_with(b"PE\0\0") {
        return None;
    }
    let machine = match u16_le(header, 4)? {
        0x14c => "Intel 80386",
        0x8664 => "x86-64",
        0x1c0 | 0x1c4 => "ARMv7 Thumb",
        0xaa64 => "Aarch64",
        _ => "unknown processor",
    };
    let sections = u16_le(header, 6)?;
    let library = if u16_le(header, 22)? & 0x2000 != 0 {
        " (DLL)"
    } else {
        ""
    };
    let format = if u16_le(header, 24)? == 0x20b {
        "PE32+"
    } else {
        "PE32"
    };
    let subsystem = match u16_le(header, 92) {
        Some(1) => " (native)",
        Some(2) => " (GUI)",
        Some(3) => " (console)",
        _ => "",
    };
    Some(
        format!("{format} executable{library}{subsystem} {machine}, for MS Windows, {sections} sections")
            .into(),
    )
}

fn picture(head: &[u8]) -> Option<Cow<'static, str>> {
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        let (width, height, depth) = (u32_be(head, 16)?, u32_be(head, 20)?, head.get(24)?);
        let color = match head.get(25)? {
            0 => " grayscale",
            2 => "/color RGB",
            3 => " colormap",
            4 => " gray+alpha",
            6 => "/color RGBA",
            _ => "",
        };
        let interlaced = if head.get(28)? == &1 {
            "interlaced"
        } else {
            "non-interlaced"
        };
        return Some(format!("PNG image data, {width} x {height}, {depth}-bit{color}, {interlaced}").into());
    }
    let version = head
        .strip_prefix(b"GIF8")
        .filter(|rest| matches!(rest, [b'7' | b'9', b'a', ..]))?;
    let (width, height) = (u16_le(head, 6)?, u16_le(head, 8)?);
    Some(
        format!(
            "GIF image data, version 8{}a, {width} x {height}",
            char::from(version[0])
        )
        .into(),
    )
}

fn document(head: &[u8]) -> Option<Cow<'static, str>> {
    let version = head.strip_prefix(b"%PDF-")?;
    match version {
        [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9', ..] => Some(
            format!(
                "PDF document, version {}.{}",
                char::from(*major),
                char::from(*minor)
            )
            .into(),
        ),
        _ => Some("PDF document".into()),
    }
}

/// Tags that make text HTML where it begins with them.
const TAGS: &[&[u8]] = &[
    b"<!doctype html",
    b"<html",
    b"<head",
    b"<title",
    b"<body",
    b"<script",
    b"<style",
    b"<table",
    b"<a href=",
    b"<h1",
];

fn text(head: &[u8], whole: bool) -> Cow<'static, str> {
    let printable = |octet: &u8| {
        matches!(
            octet,
            0x20..=0x7e | b'\t' | b'\n' | b'\r' | 0x0c | 0x1b | 0x07 | 0x08
        )
    };
    let charset = if head.iter().all(printable) {
        "ASCII text"
    } else if head.iter().all(|octet| printable(octet) || *octet >= 0x80) {
        match std::str::from_utf8(head) {
            Ok(_) => "Unicode text, UTF-8 text",
            Err(error) if error.error_len().is_none() && !whole => "Unicode text, UTF-8 text",
            Err(_) if head.iter().all(|octet| printable(octet) || *octet >= 0xa0) => "ISO-8859 text",
            Err(_) => "Non-ISO extended-ASCII text",
        }
    } else {
        return "data".into();
    };
    let start = head.trim_ascii_start();
    let is_html = TAGS
        .iter()
        .any(|tag| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag));
    let kind = if is_html {
        "HTML document, "
    } else if head.starts_with(b"#!") {
        "script, "
    } else {
        ""
    };
    let returns = memchr::memmem::find(head, b"\r\n").is_some();
    let ends = match (returns, head.contains(&b'\n')) {
        (true, _) => ", with CRLF line terminators",
        (false, true) => "",
        (false, false) => ", with no line terminators",
    };
    format!("{kind}{charset}{ends}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_first_octets() {
        let mut program = b"MZ".to_vec();
        program.resize(0x3c, 0);
        program.extend_from_slice(&0x40u32.to_le_bytes());
        program.extend_from_slice(b"PE\0\0\x4c\x01\x05\x00");
        program.resize(0x40 + 22, 0);
        program.extend_from_slice(&[0x02, 0x01, 0x0b, 0x01]);
        program.resize(0x40 + 92, 0);
        program.extend_from_slice(&[2, 0]);
        for (head, described) in [
            (
                &program[..],
                "PE32 executable (GUI) Intel 80386, for MS Windows, 5 sections",
            ),
            (b"%PDF-1.4\n%\xe2\xe3", "PDF document, version 1.4"),
            (b"GIF89a\x01\x00\x02\x00", "GIF image data, version 89a, 1 x 2"),
            (b"hello\n", "ASCII text"),
            (b"hello", "ASCII text, with no line terminators"),
            (
                b"<html>\r\n",
                "HTML document, ASCII text, with CRLF line terminators",
            ),
            (b"\x00\x01\x02", "data"),
            (b"", "empty"),
        ] {
            assert_eq!(describe(head, true), described);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_described(head in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120), start in 0usize..5) {
            let starts: [&[u8]; 5] = [b"", b"MZ", b"\x7fELF", b"\x89PNG\r\n\x1a\n", b"GIF89a"];
            describe(&[starts[start], &head].concat(), true);
        }
    }
}
