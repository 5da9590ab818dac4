//! Where finished records go: one growing buffer of lines, taken a batch at a time.

/// Records of a batch: JSON lines and where each ends.
#[derive(Debug, Default)]
pub struct Records {
    /// The records, each ended by a newline.
    pub text: Vec<u8>,
    /// End of each record in `text` (after its newline).
    pub ends: Vec<usize>,
}

impl Records {
    /// Write one record with `write`, which must append exactly one JSON object.
    pub fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.text.push(b'\n');
        self.ends.push(self.text.len());
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// No record.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}
