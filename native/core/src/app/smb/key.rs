//! What a request and its answer, or things that are remembered in between, are found by.

use smallvec::SmallVec;

/// A file's identifier: 16 octets in SMB 2; in SMB 1 two, with the user's identifier behind them.
pub type FileId = SmallVec<[u8; 16]>;

/// What a key is about: keys of different kinds are never the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing yet.
    #[default]
    None,
    /// A file's identifier.
    File,
    /// The share a tree is connected to.
    Share,
    /// A file's name.
    Name,
    /// Where a read begins.
    Offset,
    /// A command with its answer.
    Generic,
    /// A command's header.
    Header,
    /// A part of what a pipe carries.
    Fragment,
    /// A tree to be connected to.
    Tree,
    /// A call over a pipe.
    Call,
}

/// Identifiers of a header, as far as they matter for the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// What it is about.
    pub kind: Kind,
    /// Session (SMB 1: user).
    pub session: u64,
    /// Tree; 0 where there is none yet.
    pub tree: u32,
    /// Message (SMB 1: multiplex); 0 where it does not matter.
    pub message: u64,
}

impl Key {
    /// The key of this kind for a header's identifiers.
    pub fn new(kind: Kind, session: u64, tree: u32, message: u64) -> Key {
        Key {
            kind,
            session,
            tree: if kind == Kind::Tree { 0 } else { tree },
            message: if matches!(kind, Kind::Fragment | Kind::Share) {
                0
            } else {
                message
            },
        }
    }

    /// The same without the tree: answers that come later do not name it.
    pub fn without_tree(self) -> Key {
        Key { tree: 0, ..self }
    }

    /// It is about the same exchange, whatever the tree.
    pub fn fits(&self, other: &Key) -> bool {
        (self.kind, self.session, self.message) == (other.kind, other.session, other.message)
    }
}
