//! The records of a block, octet for octet, in frames of which one is expanded to read one of them.
//!
//! A piece is: rows (u32), where each frame ends behind this head (u32 each), then the frames. A frame is plain: the
//! octets of each record's origin and text as numbers, all origins, all texts.

use super::codec::{expand, put, Reader, Squeezer};
use super::Damaged;

/// Records of one frame. Of 40,000 records: 75.9 octets each in frames of 256, 73.2 in frames of 8,192, which take thirty
/// times as long to read one.
pub const FRAME: usize = 256;

/// A record and its origin.
pub type Source = (Vec<u8>, Vec<u8>);

/// The piece of these records and origins.
///
/// # Errors
/// When there is no memory for it.
pub fn packed(records: &[(&[u8], &[u8])], squeezer: &mut Squeezer) -> Result<Vec<u8>, std::io::Error> {
    let mut head = (records.len() as u32).to_le_bytes().to_vec();
    let mut frames: Vec<u8> = Vec::new();
    let mut plain = Vec::new();
    for part in records.chunks(FRAME) {
        plain.clear();
        for (raw, origin) in part {
            put(&mut plain, origin.len() as u64);
            put(&mut plain, raw.len() as u64);
        }
        for (_, origin) in part {
            plain.extend_from_slice(origin);
        }
        for (raw, _) in part {
            plain.extend_from_slice(raw);
        }
        frames.extend(squeezer.squeeze(&plain)?);
        let end = u32::try_from(frames.len())
            .map_err(|_| std::io::Error::other("records too large for a block"))?;
        head.extend(end.to_le_bytes());
    }
    head.extend(frames);
    Ok(head)
}

/// The records of these rows, ascending, in their order.
///
/// # Errors
/// When the piece is damaged, or has no such row.
pub fn read(piece: &[u8], rows: &[u32]) -> Result<Vec<Source>, Damaged> {
    let mut found = Vec::with_capacity(rows.len());
    let mut at = 0;
    while let Some(&row) = rows.get(at) {
        let frame = row as usize / FRAME;
        let end = rows[at..].partition_point(|&row| row as usize / FRAME == frame) + at;
        let opened = Frame::read(piece, frame)?;
        for &row in &rows[at..end.max(at + 1)] {
            let (raw, origin) = opened.record(row as usize % FRAME)?;
            found.push((raw.to_vec(), origin.to_vec()));
        }
        at = end.max(at + 1);
    }
    Ok(found)
}

/// How many rows a piece says it has.
///
/// # Errors
/// When it is damaged.
pub fn rows(piece: &[u8]) -> Result<usize, Damaged> {
    Ok(u32_at(piece, 0)? as usize)
}

/// Which of these rows, ascending, have the octets in their text once its ASCII letters are lower case.
///
/// # Errors
/// When the piece is damaged.
pub fn with(piece: &[u8], rows: &[u32], octets: &[u8]) -> Result<Vec<bool>, Damaged> {
    let finder = memchr::memmem::Finder::new(octets);
    let mut found = Vec::with_capacity(rows.len());
    let mut opened: Option<(usize, Frame, bool)> = None;
    for &row in rows {
        let number = row as usize / FRAME;
        if opened.as_ref().is_none_or(|(open, _, _)| *open != number) {
            let mut frame = Frame::read(piece, number)?;
            frame.plain.make_ascii_lowercase();
            let any = finder.find(&frame.plain).is_some();
            opened = Some((number, frame, any));
        }
        let has = match &opened {
            Some((_, frame, true)) => finder.find(frame.record(row as usize % FRAME)?.0).is_some(),
            _ => false,
        };
        found.push(has);
    }
    Ok(found)
}

struct Frame {
    plain: Vec<u8>,
    /// Where each origin begins, then each text, then the end.
    places: Vec<usize>,
}

impl Frame {
    fn read(piece: &[u8], number: usize) -> Result<Frame, Damaged> {
        let count = rows(piece)?;
        let frames = count.div_ceil(FRAME);
        if number >= frames {
            return Err(Damaged);
        }
        let head = 4 + 4 * frames;
        let begin = if number == 0 {
            0
        } else {
            u32_at(piece, number)? as usize
        };
        let end = u32_at(piece, number + 1)? as usize;
        let octets = piece.get(head..).and_then(|frames| frames.get(begin..end));
        let plain = expand(octets.ok_or(Damaged)?)?;
        let here = (count - number * FRAME).min(FRAME);
        let mut reader = Reader::new(&plain);
        let (mut origins, mut texts) = (Vec::with_capacity(here), Vec::with_capacity(here));
        for _ in 0..here {
            origins.push(reader.number()? as usize);
            texts.push(reader.number()? as usize);
        }
        let mut place = plain.len() - reader.rest();
        let mut places = Vec::with_capacity(2 * here + 1);
        places.push(place);
        for len in origins.into_iter().chain(texts) {
            place = place
                .checked_add(len)
                .filter(|&end| end <= plain.len())
                .ok_or(Damaged)?;
            places.push(place);
        }
        (place == plain.len())
            .then_some(Frame { plain, places })
            .ok_or(Damaged)
    }

    fn record(&self, at: usize) -> Result<(&[u8], &[u8]), Damaged> {
        let count = self.places.len() / 2;
        let piece = |place: usize| {
            let (begin, end) = (*self.places.get(place)?, *self.places.get(place + 1)?);
            self.plain.get(begin..end)
        };
        if at >= count {
            return Err(Damaged);
        }
        Ok((piece(count + at).ok_or(Damaged)?, piece(at).ok_or(Damaged)?))
    }
}

/// The number at this place of a list of u32.
fn u32_at(piece: &[u8], place: usize) -> Result<u32, Damaged> {
    let octets = piece.get(4 * place..4 * place + 4).ok_or(Damaged)?;
    octets.try_into().map(u32::from_le_bytes).map_err(|_| Damaged)
}
