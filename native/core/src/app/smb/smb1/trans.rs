//! TRANSACTION and TRANSACTION2: calls over pipes, and what is set of files (MS-CIFS sections 2.2.4.33 and 2.2.4.46).

use super::message::{Message, HEADER_OCTETS};
use crate::app::smb::reader::Reader;

/// TRANSACTION, asked: (the pipe it is about, the data).
pub fn request<'a>(message: &Message<'a>) -> Option<(Option<[u8; 2]>, &'a [u8])> {
    let body = message.body;
    let mut reader = Reader::new(body);
    let words = reader.u8()?;
    reader.skip(18)?;
    let (parameter_len, parameter_at) = (reader.u16()?, usize::from(reader.u16()?));
    let (data_len, data_at) = (reader.u16()?, usize::from(reader.u16()?));
    let setup_count = reader.u8()?;
    reader.skip(1)?;
    let pipe = if words == 16 && setup_count == 2 && data_len > 0 {
        reader.skip(2)?;
        Some(reader.take(2)?.try_into().ok()?)
    } else {
        None
    };
    reader.skip(2)?;
    let offset = |reader: &Reader<'_>| HEADER_OCTETS + body.len() - reader.rest().len();
    let at = offset(&reader);
    name(message, &mut reader, at)?;
    if data_len == 0 {
        return Some((pipe, &[]));
    }
    // Padding is said to be to four octets; in fact it is not always there.
    let at = offset(&reader);
    let padding = if at == parameter_at || at == data_at {
        0
    } else {
        at % 4
    };
    reader.skip(padding + usize::from(parameter_len))?;
    let at = offset(&reader);
    reader.skip(if at == data_at { 0 } else { at % 4 })?;
    Some((pipe, reader.take(data_len.into())?))
}

fn name(message: &Message<'_>, reader: &mut Reader<'_>, at: usize) -> Option<()> {
    if !message.unicode {
        return reader.until_nul().map(|_| ());
    }
    if at % 2 == 1 {
        reader.skip(1)?;
    }
    reader.wide_until_nul().map(|_| ())
}

/// TRANSACTION, answered: the data.
pub fn response(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    let words = u16::from(reader.u8()?);
    if words == 0 {
        reader.skip(2)?;
        return Some(&[]);
    }
    reader.skip(12)?;
    let data_len = reader.u16()?;
    let data_at = reader.u16()?;
    // Displacement, count of setup words, reserved, count of octets, padding.
    reader.skip(2 + 1 + 1 + 2 + 1)?;
    reader.skip(data_at.saturating_sub(36 + 2 * words).into())?;
    reader.take(data_len.into())
}

/// What TRANSACTION2 sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// SET_PATH_INFO or SET_FILE_INFO.
    pub subcommand: u16,
    /// Level of information.
    pub level: u16,
    /// Which file.
    pub target: Target,
    /// What of it.
    pub setting: Setting,
}

/// How a file is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its path.
    Path(Vec<u8>),
    /// By its identifier.
    File([u8; 2]),
}

/// What is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Whether it goes when closed.
    Disposition(bool),
    /// Its name, as sent.
    Name(Vec<u8>),
}

/// TRANSACTION2, asked: what it sets, if that is of interest.
///
/// # Errors
/// It could not be read.
pub fn set_request(body: &[u8]) -> Result<Option<Set>, ()> {
    let (subcommand, parameters, data) = second(body).ok_or(())?;
    let mut parameters = Reader::new(parameters);
    let (level, target) = match subcommand {
        SET_PATH_INFO => path_target(&mut parameters),
        SET_FILE_INFO => file_target(&mut parameters),
        _ => return Ok(None),
    }
    .ok_or(())?;
    let setting = match level {
        DISPOSITION => disposition(data),
        RENAME => new_name(data),
        _ => return Ok(None),
    }
    .ok_or(())?;
    Ok(Some(Set {
        subcommand,
        level,
        target,
        setting,
    }))
}

const SET_PATH_INFO: u16 = 6;
const SET_FILE_INFO: u16 = 8;
/// Levels above 1000 are Windows' own, by MS-FSCC's numbers.
const RENAME: u16 = 1010;
const DISPOSITION: u16 = 1013;

/// Subcommand, parameters and data of TRANSACTION2.
fn second(body: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let mut reader = Reader::new(body);
    reader.skip(19)?;
    let (parameter_len, parameter_at) = (reader.u16()?, reader.u16()?);
    let parameter_end = parameter_at.checked_add(parameter_len)?;
    let (data_len, data_at) = (reader.u16()?, reader.u16()?);
    reader.skip(2)?;
    let subcommand = reader.u16()?;
    // Count of octets, and the padding before the parameters.
    reader.skip(2 + 3)?;
    let parameters = reader.take(parameter_len.into())?;
    reader.skip(data_at.saturating_sub(parameter_end).into())?;
    Some((subcommand, parameters, reader.take(data_len.into())?))
}

fn path_target(parameters: &mut Reader<'_>) -> Option<(u16, Target)> {
    let level = parameters.u16()?;
    parameters.skip(4)?;
    Some((level, Target::Path(parameters.wide_until_nul()?)))
}

fn file_target(parameters: &mut Reader<'_>) -> Option<(u16, Target)> {
    let fid = parameters.take(2)?.try_into().ok()?;
    Some((parameters.u16()?, Target::File(fid)))
}

fn disposition(data: &[u8]) -> Option<Setting> {
    data.first().map(|delete| Setting::Disposition(delete & 1 == 1))
}

fn new_name(data: &[u8]) -> Option<Setting> {
    let mut reader = Reader::new(data);
    reader.skip(8)?;
    let len = usize::try_from(reader.u32()?).ok()?;
    Some(Setting::Name(reader.take(len)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_to_go_is_told_by_its_identifier() {
        let mut body = vec![15, 6, 0, 1, 0];
        body.resize(19, 0);
        for number in [6u16, 68, 1, 76] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&[1, 0, 8, 0, 12, 0, 0, 0, 0]);
        body.extend_from_slice(&[0x34, 0x12]);
        body.extend_from_slice(&DISPOSITION.to_le_bytes());
        body.extend_from_slice(&[0, 0, 0, 0, 1]);
        let set = set_request(&body).unwrap().unwrap();
        assert_eq!((set.subcommand, set.level), (SET_FILE_INFO, DISPOSITION));
        assert_eq!(
            (set.target, set.setting),
            (Target::File([0x34, 0x12]), Setting::Disposition(true))
        );
        assert_eq!(set_request(&body[..body.len() - 1]), Err(()));
    }
}
