//! What rules ask of, and leave in, the memory of flows, hosts and host pairs: flowbits, flowint, xbits, hostbits.

use std::collections::HashMap;

use super::signature::Track;

/// What remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// The flow (`flowbits`, `flowint`).
    Flow,
    /// A host: the packet's source or destination (`hostbits`, `xbits` by `ip_src`, `ip_dst`).
    Source,
    /// See [`Memory::Source`].
    Destination,
    /// The pair of addresses (`xbits` by `ip_pair`).
    Pair,
}

/// What is asked of the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateTest {
    /// Any of these bits is set (`wanted`), or none of them is.
    Bits {
        /// The keyword.
        keyword: &'static str,
        /// Where.
        memory: Memory,
        /// See [`Names`].
        names: Vec<u32>,
        /// `isset` or `isnotset`.
        wanted: bool,
    },
    /// `flowint:NAME,COMPARE,VALUE`; a variable never set does not match.
    Integer {
        /// The flow variable.
        name: u32,
        /// The comparison.
        compare: IntegerCompare,
        /// Compared with.
        value: IntegerValue,
    },
    /// `flowint:NAME,isset` / `notset`.
    IntegerSet {
        /// The flow variable.
        name: u32,
        /// Whether it must be set.
        wanted: bool,
    },
    /// `flowvar:NAME,content`: a variable captured by pcre contains this.
    Variable {
        /// The flow variable.
        name: u32,
        /// The content.
        content: Box<[u8]>,
    },
    /// `pktvar:NAME,content`: a variable captured on this packet contains this.
    PacketVariable {
        /// The packet variable.
        name: u32,
        /// The content.
        content: Box<[u8]>,
    },
    /// `iprep`
    Reputation {
        /// Which side.
        side: ReputationSide,
        /// Index of the category in the categories file.
        category: u8,
        /// The comparison, with the value: 0 to 127.
        test: super::signature::NumberTest,
        /// `isset` / `isnotset` instead of a comparison.
        set: Option<bool>,
    },
}

/// `iprep`'s first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReputationSide {
    /// Either.
    Any,
    /// Source.
    Source,
    /// Destination.
    Destination,
    /// Both.
    Both,
}

/// How flowints are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerCompare {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

/// A number, or another flowint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerValue {
    /// A number.
    Number(u32),
    /// The flowint of this name.
    Name(u32),
}

/// What is done to a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitChange {
    /// Set it.
    Set,
    /// Clear it.
    Unset,
    /// Turn it over.
    Toggle,
}

/// What is done to a flowint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerChange {
    /// `=`
    Set,
    /// `+`
    Add,
    /// `-`
    Subtract,
}

/// What a match leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// flowbits, xbits, hostbits.
    Bit {
        /// Where.
        memory: Memory,
        /// See [`Names`].
        name: u32,
        /// What.
        change: BitChange,
        /// For how long (xbits, hostbits); 0 is as long as the memory lives.
        expire_s: u32,
    },
    /// flowint.
    Integer {
        /// The flow variable.
        name: u32,
        /// What.
        change: IntegerChange,
        /// By how much.
        value: IntegerValue,
    },
    /// `tag`: log packets that follow.
    Tag(Tag),
    /// `filestore`
    FileStore {
        /// Of which direction; `None` is the rule's own.
        direction: Option<crate::packet::Direction>,
        /// All files of this scope instead of the matching one.
        scope: FileScope,
    },
    /// `bypass`: the flow is not looked at any more.
    Bypass,
    /// `tls.store`: keep the certificates.
    StoreCertificate,
    /// `config:logging disable, ...`: nothing of this scope is logged.
    DisableLogging(LogScope),
}

/// What `filestore` keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileScope {
    /// The file that matched.
    File,
    /// All of the transaction.
    Transaction,
    /// All of the flow.
    Flow,
}

/// What `config` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogScope {
    /// The transaction.
    Transaction,
    /// The flow.
    Flow,
}

/// `tag`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// `Some`: the host on this side; `None`: the flow ("session").
    pub host: Option<Track>,
    /// How much.
    pub count: u32,
    /// Of what.
    pub metric: TagMetric,
}

/// What a tag counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagMetric {
    /// Packets.
    Packets,
    /// Octets.
    Bytes,
    /// Seconds.
    Seconds,
}

/// What a name names; each kind has its own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// flowbits
    FlowBit,
    /// xbits
    XBit,
    /// hostbits
    HostBit,
    /// flowint
    FlowInt,
    /// Variables of flows, captured by pcre.
    FlowVariable,
    /// Variables of packets, captured by pcre.
    PacketVariable,
}

/// Names of bits and variables, numbered over the whole rule set.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<(NameKind, Box<str>), u32>,
    names: Vec<(NameKind, Box<str>)>,
}

impl Names {
    /// The number of a name; a new one the first time.
    pub fn number(&mut self, kind: NameKind, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(&(kind, name.into())) {
            return number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert((kind, name.into()), number);
        self.names.push((kind, name.into()));
        number
    }

    /// What a number names.
    pub fn name(&self, number: u32) -> Option<(NameKind, &str)> {
        self.names
            .get(number as usize)
            .map(|(kind, name)| (*kind, &**name))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
