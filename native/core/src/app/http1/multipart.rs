//! Files in a `multipart/form-data` request body (RFC 7578).

use memchr::memmem;

use super::header::parameter;
use crate::file::{Files, State};
use crate::packet::Direction;

/// Longest boundary that is looked for.
const MAX_BOUNDARY_OCTETS: usize = 200;
/// Octets of a part's header that are waited for.
const MAX_PART_HEADER_OCTETS: usize = 16 * 1024;

/// Where in a form the reader is.
#[derive(Debug)]
pub struct Multipart {
    /// `--` and the boundary.
    delimiter: Vec<u8>,
    /// Offset in the body of the first octet not used.
    pub parsed: u64,
    in_file: bool,
    over: bool,
}

impl Multipart {
    /// For a `Content-Type` with a boundary. `Err` when its boundary is too long, `Ok(None)` when it has none.
    pub fn new(content_type: &[u8]) -> Result<Option<Multipart>, ()> {
        let Some(boundary) = parameter(content_type, b"boundary=") else {
            return Ok(None);
        };
        if boundary.len() >= MAX_BOUNDARY_OCTETS {
            return Err(());
        }
        Ok(Some(Multipart {
            delimiter: [b"--", boundary].concat(),
            parsed: 0,
            in_file: false,
            over: false,
        }))
    }

    /// Use what there is of the body from `parsed` on. Returns events.
    pub fn read(&mut self, mut data: &[u8], complete: bool, files: &mut Files) -> Option<&'static str> {
        let direction = Direction::ToServer;
        let mut event = None;
        while !self.over {
            let boundary = memmem::find(data, &self.delimiter);
            if self.in_file {
                // The line end before the boundary belongs to the boundary.
                match boundary {
                    Some(at) => {
                        files.append(direction, &data[..at.saturating_sub(2)]);
                        files.close(direction, State::Closed);
                        self.in_file = false;
                        self.advance(&mut data, at);
                    }
                    None if complete => {
                        files.append(direction, data);
                        files.close(direction, State::Truncated);
                        self.in_file = false;
                        self.over = true;
                    }
                    None => {
                        let safe = self.safe(data);
                        files.append(direction, &data[..safe]);
                        self.advance(&mut data, safe);
                        break;
                    }
                }
                continue;
            }
            let Some(at) = boundary else {
                let skip = data.len().saturating_sub(self.delimiter.len() + 2);
                self.advance(&mut data, skip);
                break;
            };
            self.advance(&mut data, at);
            let after = &data[self.delimiter.len()..];
            if after.starts_with(b"--") {
                self.over = true;
                break;
            }
            let Some(end) = memmem::find(after, b"\r\n\r\n") else {
                if after.len() > MAX_PART_HEADER_OCTETS {
                    event = Some("MULTIPART_INVALID_HEADER");
                    self.over = true;
                }
                break;
            };
            let header = after.get(2..end).unwrap_or_default();
            let name = file_name(header);
            let used = self.delimiter.len() + end + 4;
            if let Some(name) = name {
                let rest = &data[used..];
                if rest.starts_with(&self.delimiter) {
                    event = Some("MULTIPART_NO_FILEDATA");
                } else {
                    let name = &name[..name.len().min(super::MAX_FILE_NAME_OCTETS)];
                    self.in_file = files.open(name, direction).is_some();
                }
            }
            self.advance(&mut data, used);
        }
        event
    }

    fn advance(&mut self, data: &mut &[u8], octets: usize) {
        *data = &data[octets..];
        self.parsed += octets as u64;
    }

    /// How much of `data` cannot be the beginning of a line end with a boundary.
    fn safe(&self, data: &[u8]) -> usize {
        let tail = data.len().saturating_sub(self.delimiter.len() + 1);
        data[tail..]
            .iter()
            .position(|&octet| octet == b'\r')
            .map_or(data.len(), |at| tail + at)
    }
}

/// `filename` of a part.
fn file_name(header: &[u8]) -> Option<&[u8]> {
    const FIELD: &[u8] = b"content-disposition:";
    header.split(|&octet| octet == b'\n').find_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_disposition = line.len() >= FIELD.len() && line[..FIELD.len()].eq_ignore_ascii_case(FIELD);
        is_disposition
            .then(|| parameter(&line[FIELD.len()..], b"filename="))
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.exe\"\r\nContent-Type: application/octet-stream\r\n\r\nMZ\r\ndata\r\n--xyz--\r\n";

    #[test]
    fn a_form_cut_anywhere_gives_its_file() {
        for cut in 0..FORM.len() {
            let mut form = Multipart::new(b"multipart/form-data; boundary=xyz")
                .unwrap()
                .unwrap();
            let mut files = Files::default();
            form.read(&FORM[..cut], false, &mut files);
            let from = form.parsed as usize;
            form.read(&FORM[from..], true, &mut files);
            assert_eq!(files.files.len(), 1, "cut at {cut}");
            let file = &files.files[0];
            assert_eq!(
                (file.name.as_slice(), file.size, file.state),
                (&b"x.exe"[..], 8, State::Closed)
            );
        }
    }
}
