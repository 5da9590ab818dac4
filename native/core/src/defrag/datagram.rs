//! One datagram: its fragments, trimmed against each other as the target's policy has it.

use super::Piece;
use crate::stream::policy::Policy;

/// What a fragment costs besides its octets.
const OVERHEAD: u64 = 64;

/// What came of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Something is missing yet.
    Waits,
    /// The fragment was not taken: there is no memory for it.
    NoRoom,
    /// The datagram is whole.
    Whole,
    /// It cannot become whole.
    Broken,
}

/// How a policy family trims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Bsd,
    BsdRight,
    Linux,
    Windows,
    Solaris,
    First,
    Last,
}

impl Rule {
    fn of(policy: Policy) -> Rule {
        match policy {
            Policy::Bsd | Policy::Hpux10 | Policy::Irix => Rule::Bsd,
            Policy::BsdRight => Rule::BsdRight,
            Policy::Linux | Policy::OldLinux => Rule::Linux,
            Policy::OldSolaris | Policy::Hpux11 | Policy::Macos | Policy::First => Rule::First,
            Policy::Solaris => Rule::Solaris,
            Policy::Windows | Policy::Vista | Policy::Windows2k3 => Rule::Windows,
            Policy::Last => Rule::Last,
        }
    }
}

#[derive(Debug)]
struct Fragment {
    /// Of its first octet kept when it came.
    offset: i64,
    octets: Vec<u8>,
    more: bool,
    /// Octets at its front that later fragments took.
    trimmed: i64,
    /// Later fragments took all of it.
    gone: bool,
    /// For the one at offset 0: what precedes the fragmentable part.
    header: Vec<u8>,
    ip_at: usize,
}

impl Fragment {
    fn start(&self) -> i64 {
        self.offset + self.trimmed
    }

    fn end(&self) -> i64 {
        self.offset + self.octets.len() as i64
    }

    fn memory(&self) -> u64 {
        self.octets.len() as u64 + self.header.len() as u64 + OVERHEAD
    }
}

/// A datagram in reassembly.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) serial: u64,
    /// When it is given up, seconds since 1970.
    pub(super) due_s: i64,
    /// Octets held.
    pub(super) memory: u64,
    /// The last fragment overlapped another.
    pub(super) overlap: bool,
    rule: Rule,
    /// By offset; of two with the same, the one that came first.
    fragments: Vec<Fragment>,
    seen_last: bool,
}

/// What to do with a fragment after it was held against one that is there.
enum Against {
    /// Look at the next one.
    Next,
    /// It is taken.
    Insert,
    /// It is of no use.
    Discard,
}

impl Datagram {
    pub(super) fn new(serial: u64, policy: Policy) -> Datagram {
        Datagram {
            serial,
            due_s: 0,
            memory: 0,
            overlap: false,
            rule: Rule::of(policy),
            fragments: Vec::new(),
            seen_last: false,
        }
    }

    /// Take a fragment if `room` octets of memory are enough; the whole datagram goes to `out`.
    pub(super) fn insert(&mut self, piece: &Piece<'_>, room: u64, out: &mut Vec<u8>) -> Outcome {
        let (start, length) = (i64::from(piece.offset), piece.payload.len() as i64);
        let end = start + length;
        let mut trim = 0;
        // Where to begin: right before the first fragment that is not before this one.
        let mut at = match self
            .fragments
            .iter()
            .position(|fragment| fragment.offset >= start)
        {
            _ if start == 0 => 0,
            Some(next) => next.saturating_sub(1),
            None => 0,
        };
        while at < self.fragments.len() {
            if self.fragments[at].gone {
                at += 1;
                continue;
            }
            let (old, rest) = self.fragments[at..].split_at_mut(1);
            let old = &mut old[0];
            self.overlap |= start < old.end() && old.offset < end;
            match against(self.rule, old, rest.first_mut(), (start, end), &mut trim) {
                Against::Next => at += 1,
                Against::Discard => return Outcome::Waits,
                Against::Insert => {
                    if old.gone || old.trimmed >= old.octets.len() as i64 {
                        let removed = self.fragments.remove(at);
                        self.memory = self.memory.saturating_sub(removed.memory());
                    }
                    break;
                }
            }
        }
        if trim >= length {
            return Outcome::Waits;
        }
        let octets = piece.payload.get(trim as usize..).unwrap_or(&[]).to_vec();
        let header = if start + trim == 0 {
            header_of(piece)
        } else {
            Vec::new()
        };
        let fragment = Fragment {
            offset: start + trim,
            octets,
            more: piece.more,
            trimmed: 0,
            gone: false,
            header,
            ip_at: piece.ip_at,
        };
        if fragment.memory() > room {
            return Outcome::NoRoom;
        }
        self.memory += fragment.memory();
        let place = self
            .fragments
            .partition_point(|other| other.offset <= fragment.offset);
        self.fragments.insert(place, fragment);
        self.seen_last |= !piece.more;
        self.assemble(out)
    }

    fn assemble(&self, out: &mut Vec<u8>) -> Outcome {
        if !self.seen_last || self.fragments.first().is_none_or(|first| first.offset != 0) {
            return Outcome::Waits;
        }
        let mut reached = 0;
        for fragment in &self.fragments {
            if fragment.offset > reached {
                return Outcome::Waits;
            }
            reached = reached.max(fragment.end());
        }
        out.clear();
        let (mut prefix, mut ip_at) = (0, 0);
        let (mut more, mut previous) = (true, 0);
        for fragment in &self.fragments {
            if !more && fragment.offset > previous {
                break;
            }
            if fragment.gone || fragment.trimmed >= fragment.octets.len() as i64 {
                continue;
            }
            if fragment.offset == 0 {
                (prefix, ip_at) = (fragment.header.len(), fragment.ip_at);
                out.clear();
                out.extend_from_slice(&fragment.header);
                out.extend_from_slice(&fragment.octets);
            } else {
                let begin = prefix + fragment.start() as usize;
                let octets = fragment
                    .octets
                    .get(fragment.trimmed.max(0) as usize..)
                    .unwrap_or(&[]);
                if out.len() < begin + octets.len() {
                    out.resize(begin + octets.len(), 0);
                }
                if let Some(slot) = out.get_mut(begin..begin + octets.len()) {
                    slot.copy_from_slice(octets);
                }
            }
            (more, previous) = (fragment.more, fragment.offset);
        }
        if finish(out, ip_at) {
            Outcome::Whole
        } else {
            Outcome::Broken
        }
    }
}

/// Hold a fragment (`start` to `end`) against one that is there.
fn against(
    rule: Rule,
    old: &mut Fragment,
    next: Option<&mut Fragment>,
    (start, end): (i64, i64),
    trim: &mut i64,
) -> Against {
    match rule {
        Rule::Bsd if start < old.end() => {
            if old.offset <= start {
                if old.end() > end {
                    return Against::Discard;
                }
                *trim = old.end() - start;
            } else if end > old.start() {
                old.trimmed = old.trimmed.max(end - old.offset);
            }
            if let Some(next) = next.filter(|next| end > next.offset) {
                next.trimmed = end - next.offset;
            }
            Against::Insert
        }
        Rule::Linux => {
            if old.start() < start + *trim && old.end() > start + *trim {
                *trim += old.end() - start;
            }
            if start + *trim < old.start() && end > old.start() {
                old.trimmed += end - old.start();
                return Against::Insert;
            }
            if start + *trim <= old.start() && end >= old.end() {
                old.gone = true;
                return Against::Insert;
            }
            Against::Next
        }
        Rule::Windows => {
            if start >= old.offset && end <= old.end() {
                return Against::Discard;
            }
            if start < old.offset && end > old.end() {
                old.gone = true;
                return Against::Insert;
            }
            let inside = start + *trim > old.start() && start + *trim < old.end();
            if inside || start == old.offset && end > old.end() {
                *trim += old.end() - start;
                return Against::Insert;
            }
            Against::Next
        }
        Rule::Solaris if start < old.end() => {
            if start >= old.offset {
                *trim = old.end() - start;
            }
            if start < old.offset && end >= old.end() {
                old.gone = true;
            }
            Against::Insert
        }
        Rule::First => {
            if start >= old.offset && end <= old.end() {
                return Against::Discard;
            }
            if start < old.offset {
                return Against::Insert;
            }
            if start < old.end() {
                *trim = old.end() - start;
                return Against::Insert;
            }
            Against::Next
        }
        Rule::Last if start <= old.offset => {
            if end > old.offset {
                old.trimmed = end - old.offset;
            }
            Against::Insert
        }
        Rule::BsdRight | Rule::Bsd | Rule::Solaris | Rule::Last => Against::Next,
    }
}

/// What precedes the fragmentable part, as it will be in the whole datagram.
fn header_of(piece: &Piece<'_>) -> Vec<u8> {
    let mut header = piece.header.to_vec();
    if let Some(slot) = piece.link.and_then(|link| header.get_mut(link)) {
        *slot = piece.proto;
    }
    header
}

/// Set the lengths in the IP header at `ip_at`; false when the datagram is too long.
fn finish(datagram: &mut [u8], ip_at: usize) -> bool {
    let Some(ip) = datagram.get_mut(ip_at..) else {
        return false;
    };
    let length = ip.len();
    if ip.first().is_none_or(|first| first >> 4 == 6) {
        let Some(payload) = length
            .checked_sub(40)
            .and_then(|length| u16::try_from(length).ok())
        else {
            return false;
        };
        ip[4..6].copy_from_slice(&payload.to_be_bytes());
        return true;
    }
    let (Ok(total), true) = (u16::try_from(length), length >= 20) else {
        return false;
    };
    let before = |ip: &[u8], at: usize| u32::from(u16::from_be_bytes([ip[at], ip[at + 1]]));
    let old = before(ip, 2) + before(ip, 6);
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip[6..8].fill(0);
    // A checksum that was right stays right (RFC 1624), one that was wrong stays wrong.
    let mut sum = (!before(ip, 10) & 0xffff) + (0x1_fffe - old) + u32::from(total);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !(sum as u16);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    true
}
