//! A mail as rules and records see it.

use super::mime::Mime;
use super::record;
use crate::app::{Buffer, BufferSpec, Transaction, TxMeta, TO_SERVER};
use crate::event::json::Json;
use crate::file::Files;
use crate::packet::Direction;

/// Buffers, in the order of their slots.
pub(super) static BUFFERS: &[BufferSpec] = &[
    BufferSpec::new("file.data", TO_SERVER, 0).multi().streaming(),
    BufferSpec::new("file.name", TO_SERVER, 0).multi(),
    BufferSpec::new("file.magic", TO_SERVER, 0).multi(),
];

/// A mail.
#[derive(Debug, Default)]
pub(super) struct SmtpTx {
    pub(super) meta: TxMeta,
    pub(super) helo: Option<Vec<u8>>,
    pub(super) from: Option<Vec<u8>>,
    pub(super) recipients: Vec<Vec<u8>>,
    pub(super) mail: Option<Mime>,
    pub(super) files: Files,
    pub(super) is_data: bool,
    pub(super) done: bool,
}

impl Transaction for SmtpTx {
    fn meta(&self) -> &TxMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut TxMeta {
        &mut self.meta
    }

    fn progress(&self, _direction: Direction) -> u8 {
        u8::from(self.done)
    }

    fn complete(&self, _direction: Direction) -> bool {
        self.done
    }

    fn buffer(&self, slot: usize, direction: Direction, index: usize) -> Option<Buffer<'_>> {
        let file = self.files.of(direction).nth(index)?;
        match BUFFERS.get(slot)?.name {
            "file.data" => file.buffer(),
            "file.magic" => file.magic().map(|magic| Buffer::whole(magic.as_bytes())),
            _ => (!file.name.is_empty()).then(|| Buffer::whole(&file.name)),
        }
    }

    fn inspected(&mut self, direction: Direction) {
        self.files.inspected(direction);
    }

    fn files(&self) -> Option<&Files> {
        Some(&self.files)
    }

    fn files_mut(&mut self) -> Option<&mut Files> {
        Some(&mut self.files)
    }

    fn records(&self, ended: bool) -> usize {
        usize::from(self.done || ended)
    }

    fn record_type(&self, _index: usize) -> &'static str {
        "smtp"
    }

    fn write_record(&self, _index: usize, json: &mut Json<'_>) {
        record::write(self, true, json);
    }

    fn write_context(&self, json: &mut Json<'_>) {
        record::write(self, false, json);
    }
}
