//! Capture files of any octets.

use std::io::Cursor;

use tapwarden_capture::file::CaptureFile;

/// Frames a file of these sizes can hold at most.
const MAX_FRAMES: usize = 1 << 20;

/// pcap or pcapng, plain or packed: every frame is asked for.
///
/// # Panics
/// When there are more frames than the octets can hold, or a frame longer than its snapshot length.
pub fn file(octets: &[u8]) {
    let reader = Box::new(Cursor::new(octets.to_vec()));
    let Ok(mut file) = CaptureFile::read_from(reader, octets.len() as u64) else {
        return;
    };
    let mut frames = 0;
    while file.next_frame().is_some() {
        frames += 1;
        assert!(frames < MAX_FRAMES, "frames out of nothing");
    }
    assert!(file.position() <= file.size());
    file.linktype();
}
