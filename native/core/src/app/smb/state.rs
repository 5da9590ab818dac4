//! What is remembered of a connection between messages. All of it is bounded: what was learnt first goes first.

use super::key::{FileId, Key};
use super::limits::Options;
use super::memory::Memory;
use super::pipe;
use super::queue::Queue;
use super::tracker::Transfer;
use super::transaction::{Command, Detail, SmbTx};
use crate::packet::Direction;

/// Names, files, reads and trees that are remembered, each.
const MAX_REMEMBERED: usize = 16_384;
/// Calls over pipes whose answers come in parts.
const MAX_FRAGMENTED: usize = 64;
/// After octets were lost: a file of which more than this waits is not followed.
const MAX_WAITING_AFTER_LOSS: u64 = 2_000_000;
/// Pipes that carry DCERPC.
const DCERPC_PIPES: &[&[u8]] = &[
    b"svcctl", b"srvsvc", b"atsvc", b"lsarpc", b"samr", b"spoolss", b"winreg",
];
/// Instead of the name of a pipe, or its share, whose opening was not seen and that carries DCERPC.
const UNSEEN_PIPE: &[u8] = b"<dcerpc>";

/// A share that is connected to.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Its name; empty where the connecting was not seen.
    pub name: Vec<u8>,
    /// It is the one of pipes.
    pub is_pipe: bool,
}

/// What is known of one direction's stream.
#[derive(Debug, Default)]
pub struct Side {
    /// Octets of a transfer's current piece that still come.
    pub file_left: u32,
    /// The file they are of.
    pub file: FileId,
    /// Octets after those that are passed over.
    pub skip: u32,
    /// Octets were lost at some time.
    pub lost: bool,
    /// What comes may begin within a message: look for the next one.
    pub lost_track: bool,
}

/// A piece of a file, in a message.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its octets.
    pub len: u32,
    /// Those that are here.
    pub data: &'a [u8],
    /// Octets of the message that are not here.
    pub to_come: u32,
}

/// A connection.
#[derive(Debug)]
pub struct State {
    /// Exchanges.
    pub queue: Queue,
    /// Limits.
    pub options: Options,
    /// Names and files' identifiers that answers need.
    pub names: Memory<Key, Vec<u8>>,
    /// Files' names.
    pub files: Memory<FileId, Vec<u8>>,
    /// Reads that are not answered: file and offset.
    pub reads: Memory<Key, (FileId, u64)>,
    /// Shares by their trees.
    pub trees: Memory<Key, Tree>,
    /// What came of an answer over a pipe that is not complete.
    pub fragments: Memory<(Key, FileId), Vec<u8>>,
    /// By direction.
    pub sides: [Side; 2],
    /// Time of the packet: seconds since 1970.
    pub now_s: i64,
    /// Some transfers are given up when nothing comes in time.
    awaiting_after_loss: bool,
    /// Until which time that was looked at.
    housekept_s: i64,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, Default)]
struct Added {
    /// Octets came that were there already.
    overlaps: bool,
    /// It was not taken: too many octets wait.
    too_large: bool,
    /// It was not taken: too many pieces wait.
    too_many: bool,
}

impl State {
    /// Nothing is known.
    pub fn new(options: Options) -> State {
        State {
            queue: Queue::new(options.exchanges),
            options,
            names: Memory::new(MAX_REMEMBERED),
            files: Memory::new(MAX_REMEMBERED),
            reads: Memory::new(MAX_REMEMBERED),
            trees: Memory::new(MAX_REMEMBERED),
            fragments: Memory::new(MAX_FRAGMENTED),
            sides: Default::default(),
            now_s: 0,
            awaiting_after_loss: false,
            housekept_s: i64::MIN,
        }
    }

    /// A transfer of this file in this direction; `open`: only one that is under way.
    pub fn transfer(&mut self, file: &[u8], direction: Direction, open: bool) -> Option<&mut SmbTx> {
        self.queue.find(|tx| match &tx.detail {
            Detail::File(transfer) => {
                transfer.direction == direction
                    && transfer.id.as_slice() == file
                    && (transfer.is_open() || !open)
            }
            _ => false,
        })
    }

    /// The oldest exchange of this command with this key.
    pub fn exchange(&mut self, command: Command, key: &Key) -> Option<&mut SmbTx> {
        self.queue.find(|tx| tx.command == command && tx.key.fits(key))
    }

    /// The negotiation by this version of SMB.
    pub fn negotiation(&mut self, version: u8) -> Option<&mut SmbTx> {
        self.queue
            .find(|tx| matches!(&tx.detail, Detail::Negotiate(found) if found.version == version))
    }

    /// The file is a pipe that carries DCERPC.
    pub fn carries_dcerpc(&self, file: &[u8]) -> bool {
        let Some(name) = self.files.get(&FileId::from_slice(file)) else {
            return false;
        };
        let name = match name.as_slice() {
            [b'\\', rest @ ..] if !rest.is_empty() => rest,
            name => name,
        };
        name == UNSEEN_PIPE || DCERPC_PIPES.contains(&name)
    }

    /// The tree is of pipes, or not known to be of files: (it is a pipe, that carries DCERPC). Where connecting to it
    /// was not seen, `data` tells.
    pub fn pipe(&mut self, tree_key: Key, file: &[u8], data: &[u8]) -> (bool, bool) {
        let tree = self.trees.get(&tree_key).cloned().unwrap_or_default();
        let known = (tree.is_pipe || tree.name.is_empty()) && self.carries_dcerpc(file);
        if !tree.name.is_empty() || tree.is_pipe {
            return (tree.is_pipe, known);
        }
        if !pipe::is_likely(data) {
            return (false, known);
        }
        let unseen = Tree {
            name: UNSEEN_PIPE.to_vec(),
            is_pipe: true,
        };
        self.trees.insert(tree_key, unseen);
        if !known {
            self.files.insert(FileId::from_slice(file), UNSEEN_PIPE.to_vec());
        }
        (true, true)
    }

    /// Hand a piece to the transfer of its file that is under way, or one that `begin` makes.
    pub fn piece(
        &mut self,
        direction: Direction,
        file: &[u8],
        piece: &Piece<'_>,
        bounded: bool,
        begin: Option<(Command, Key, Transfer)>,
    ) -> bool {
        let limits = bounded.then(|| self.options.transfers[direction.index()]);
        let tx = match begin {
            None => match self.transfer(file, direction, true) {
                Some(tx) => tx,
                None => return false,
            },
            Some((command, key, transfer)) => {
                let tx = self.queue.begin(Detail::File(Box::new(transfer)));
                tx.command = command;
                tx.key = key;
                tx
            }
        };
        let Some((transfer, files)) = tx.transfer() else {
            return false;
        };
        let mut added = Added {
            overlaps: piece.offset < transfer.passed(),
            ..Added::default()
        };
        if let Some(limits) = limits {
            added.too_large =
                limits.queue_octets != 0 && transfer.waiting() + u64::from(piece.len) > limits.queue_octets;
            added.too_many = limits.queue_pieces != 0 && transfer.waiting_pieces() >= limits.queue_pieces;
        }
        let taken = !added.too_large && !added.too_many;
        if taken {
            transfer.piece(files, piece.data, piece.offset, piece.len);
        }
        self.tell(direction, added);
        let side = &mut self.sides[direction.index()];
        if taken {
            let here = u32::try_from(piece.data.len()).unwrap_or(u32::MAX);
            side.file_left = piece.len.saturating_sub(here);
            side.file = FileId::from_slice(file);
        }
        side.skip = piece.to_come.saturating_sub(side.file_left);
        true
    }

    fn tell(&mut self, direction: Direction, added: Added) {
        let writes = direction == Direction::ToServer;
        if added.too_large {
            self.queue.raise(if writes {
                "write_queue_size_exceeded"
            } else {
                "read_queue_size_exceeded"
            });
        } else if added.too_many {
            self.queue.raise(if writes {
                "write_queue_cnt_exceeded"
            } else {
                "read_queue_cnt_exceeded"
            });
        }
        if added.overlaps {
            self.queue.raise("file_overlap");
        }
    }

    /// Pass over what still comes of a message.
    pub fn pass_over(&mut self, direction: Direction, octets: u32) {
        self.sides[direction.index()].skip = octets;
    }

    /// What belongs to the message before: the rest of a file's piece, then what is passed over. Returns octets used.
    pub fn continue_message(&mut self, direction: Direction, data: &[u8]) -> usize {
        let used = self.continue_file(direction, data, false);
        let side = &mut self.sides[direction.index()];
        let skipped = (data.len() - used).min(side.skip as usize);
        side.skip -= skipped as u32;
        used + skipped
    }

    fn continue_file(&mut self, direction: Direction, data: &[u8], lost: bool) -> usize {
        let after_loss = self.sides.iter().any(|side| side.lost);
        let side = &mut self.sides[direction.index()];
        let len = data.len().min(side.file_left as usize);
        if len == 0 {
            return 0;
        }
        side.file_left -= len as u32;
        let file = side.file.clone();
        let Some(tx) = self.transfer(&file, direction, false) else {
            return len;
        };
        if let Some((transfer, files)) = tx.transfer() {
            if after_loss && transfer.waiting() > MAX_WAITING_AFTER_LOSS {
                transfer.truncate(files);
            }
            transfer.deadline_s = None;
            transfer.more(files, &data[..len], lost);
        }
        len
    }

    /// Octets of a direction were lost.
    pub fn lose(&mut self, direction: Direction, octets: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = octets;
        loop {
            let len = left.min(ZEROS.len() as u64);
            let used = self.continue_file(direction, &ZEROS[..len as usize], true) as u64;
            left -= used;
            if used == 0 {
                break;
            }
        }
        let side = &mut self.sides[direction.index()];
        side.skip -= left.min(u64::from(side.skip)) as u32;
        side.lost = true;
        side.lost_track = true;
    }

    /// After octets of a direction were lost what was asked or answered before is not waited for; transfers are, for
    /// a while.
    pub fn keep_house(&mut self, direction: Direction) {
        let now_s = self.now_s;
        if self.sides[direction.index()].lost {
            let newest = self.queue.newest();
            for tx in self.queue.iter_mut().filter(|tx| tx.number < newest) {
                if let Some((transfer, _)) = tx.transfer() {
                    transfer.wait_from(now_s);
                    self.awaiting_after_loss = true;
                } else {
                    tx.done[Direction::ToServer.index()] = true;
                    tx.done[direction.index()] = true;
                }
            }
        }
        if self.awaiting_after_loss && self.housekept_s != now_s {
            self.housekept_s = now_s;
            self.awaiting_after_loss = false;
            for tx in self.queue.iter_mut() {
                let Some((transfer, files)) = tx.transfer() else {
                    continue;
                };
                match transfer.deadline_s {
                    Some(deadline) if now_s > deadline => {
                        transfer.truncate(files);
                        tx.finish();
                    }
                    Some(_) => self.awaiting_after_loss = true,
                    None => {}
                }
            }
        }
    }

    /// Nothing of this direction can be read any more.
    pub fn give_up(&mut self, direction: Direction) {
        if direction == Direction::ToClient {
            self.queue.answers_end = true;
        }
        for tx in self.queue.iter_mut() {
            tx.done[direction.index()] = true;
        }
    }
}
