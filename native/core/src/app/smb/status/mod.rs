//! Names of status codes: NTSTATUS (MS-ERREF section 2.3), and errors of DOS and of servers (MS-CIFS section 2.2.2.4).

mod names;

use names::NAMES;

/// Everything went well.
pub const SUCCESS: u32 = 0;
/// The answer comes later.
pub const PENDING: u32 = 0x0000_0103;
/// More came than fits: the rest is to be read.
pub const BUFFER_OVERFLOW: u32 = 0x8000_0005;
/// A file's end.
pub const END_OF_FILE: u32 = 0xc000_0011;

/// The name of an NTSTATUS, if it has one.
pub fn name(status: u32) -> Option<&'static str> {
    NAMES
        .binary_search_by_key(&status, |(known, _)| *known)
        .ok()
        .and_then(|at| NAMES.get(at))
        .map(|(_, name)| *name)
}

/// The name of an error of DOS.
pub fn dos_name(code: u16) -> Option<&'static str> {
    const NAMES: [&str; 6] = [
        "DOS_SUCCESS",
        "DOS_BAD_FUNC",
        "DOS_BAD_FILE",
        "DOS_BAD_PATH",
        "DOS_TOO_MANY_OPEN_FILES",
        "DOS_ACCESS_DENIED",
    ];
    NAMES.get(usize::from(code)).copied()
}

/// The name of an error of a server.
pub fn server_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "SRV_ERROR",
        2 => "SRV_BADPW",
        3 => "SRV_BADTYPE",
        4 => "SRV_ACCESS",
        91 => "SRV_BADUID",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_order_and_found() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(name(SUCCESS), Some("STATUS_SUCCESS"));
        assert_eq!(name(PENDING), Some("STATUS_PENDING"));
        assert_eq!(name(BUFFER_OVERFLOW), Some("STATUS_BUFFER_OVERFLOW"));
        assert_eq!(name(END_OF_FILE), Some("STATUS_END_OF_FILE"));
        assert_eq!(name(0xffff_ffff), None);
    }
}
