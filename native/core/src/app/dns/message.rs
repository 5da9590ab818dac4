//! A DNS message's octets, taken apart. Names are gathered in one buffer: a message costs few allocations.
//!
//! Source: RFC 1035 section 4; limits are those of Suricata 7, so that the same messages are refused.

/// Octets of a name in text form that are kept.
const MAX_NAME_OCTETS: usize = 1025;
/// Labels and pointers of a name that are followed.
const MAX_LABELS: usize = 255;

/// Record type A.
pub const A: u16 = 1;
/// Record type NS.
pub const NS: u16 = 2;
/// Record type CNAME.
pub const CNAME: u16 = 5;
/// Record type SOA.
pub const SOA: u16 = 6;
/// Record type NULL.
pub const NULL: u16 = 10;
/// Record type PTR.
pub const PTR: u16 = 12;
/// Record type MX.
pub const MX: u16 = 15;
/// Record type TXT.
pub const TXT: u16 = 16;
/// Record type AAAA.
pub const AAAA: u16 = 28;
/// Record type SRV.
pub const SRV: u16 = 33;
/// Record type SSHFP.
pub const SSHFP: u16 = 44;

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// They end too early.
    Short,
    /// They contradict themselves.
    Wrong,
}

/// Octets in a message's `text`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Name {
    start: u32,
    len: u32,
    /// Longer than what was kept.
    pub truncated: bool,
}

/// What was odd about names.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameFlags {
    /// A pointer points at itself.
    pub infinite_loop: bool,
    /// A name was cut.
    pub truncated: bool,
    /// A name had too many labels.
    pub label_limit: bool,
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Name asked for.
    pub name: Name,
    /// Type asked for.
    pub rrtype: u16,
}

/// What a resource record holds.
#[derive(Clone, Copy, Debug)]
pub enum Data {
    /// Address octets: 4, 16, or something else that is not shown.
    Address(Name),
    /// A name.
    Name(Name),
    /// Text or octets.
    Text(Name),
    /// Start of authority.
    Soa {
        /// Primary name server.
        mname: Name,
        /// Mailbox.
        rname: Name,
        /// Serial, refresh, retry, expire, minimum.
        numbers: [u32; 5],
    },
    /// Service.
    Srv {
        /// Priority, weight, port.
        numbers: [u16; 3],
        /// Target.
        target: Name,
    },
    /// SSH fingerprint.
    Sshfp {
        /// Algorithm.
        algorithm: u8,
        /// Fingerprint type.
        kind: u8,
        /// Fingerprint octets.
        fingerprint: Name,
    },
    /// Not taken apart.
    Other,
}

/// A resource record; a TXT record gives one per string.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub rrtype: u16,
    /// Seconds it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// A message: header, questions, answers, authorities.
#[derive(Debug, Default)]
pub struct Message {
    /// Identifier.
    pub id: u16,
    /// The header's second word.
    pub flags: u16,
    /// Questions.
    pub questions: Vec<Question>,
    /// Answers.
    pub answers: Vec<Record>,
    /// Authorities.
    pub authorities: Vec<Record>,
    /// What was odd about names.
    pub name_flags: NameFlags,
    text: Vec<u8>,
}

/// A reading place: `rest` is a part of `message` (pointers are relative to the latter).
#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a [u8],
    message: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Bad> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Bad::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Bad> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Bad> {
        let octets = self.take(2)?;
        Ok(u16::from_be_bytes([octets[0], octets[1]]))
    }

    fn u32(&mut self) -> Result<u32, Bad> {
        let octets = self.take(4)?;
        Ok(u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]]))
    }
}

impl Message {
    /// Header and questions only.
    ///
    /// # Errors
    /// When the octets are not a message.
    pub fn parse_questions(octets: &[u8]) -> Result<Message, Bad> {
        let mut cursor = Cursor {
            rest: octets,
            message: octets,
        };
        Message::start(&mut cursor).map(|(message, _)| message)
    }

    /// Header, questions, answers and authorities. The additional section is not looked at.
    ///
    /// # Errors
    /// When the octets are not a message.
    pub fn parse(octets: &[u8]) -> Result<Message, Bad> {
        let mut cursor = Cursor {
            rest: octets,
            message: octets,
        };
        let (mut message, counts) = Message::start(&mut cursor)?;
        message.answers = message.records(&mut cursor, counts[0])?;
        message.authorities = message.records(&mut cursor, counts[1])?;
        Ok(message)
    }

    /// Header and questions; returns the numbers of answers and authorities.
    fn start(cursor: &mut Cursor<'_>) -> Result<(Message, [u16; 2]), Bad> {
        let mut message = Message {
            id: cursor.u16()?,
            flags: cursor.u16()?,
            ..Message::default()
        };
        let questions = cursor.u16()?;
        let counts = [cursor.u16()?, cursor.u16()?];
        cursor.u16()?;
        for _ in 0..questions {
            let name = message.parse_name(cursor)?;
            let rrtype = cursor.u16()?;
            cursor.u16()?;
            message.questions.push(Question { name, rrtype });
        }
        Ok((message, counts))
    }

    /// Operation code (RFC 1035 section 4.1.1).
    pub fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    /// The octets of a name or text.
    pub fn name(&self, name: Name) -> &[u8] {
        let start = name.start as usize;
        self.text
            .get(start..start + name.len as usize)
            .unwrap_or_default()
    }

    fn keep(&mut self, octets: &[u8]) -> Name {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(octets);
        Name {
            start,
            len: octets.len() as u32,
            truncated: false,
        }
    }

    fn parse_name(&mut self, cursor: &mut Cursor<'_>) -> Result<Name, Bad> {
        let message = cursor.message;
        let mut at = *cursor;
        // Where reading goes on after the first pointer.
        let mut after: Option<&[u8]> = None;
        let start = self.text.len();
        let mut flags = NameFlags::default();
        let mut count = 0;
        while let Some(&len) = at.rest.first() {
            match len >> 6 {
                0 if len == 0 => {
                    at.u8()?;
                    break;
                }
                0 => {
                    at.u8()?;
                    let label = at.take(usize::from(len))?;
                    if !flags.truncated {
                        if self.text.len() > start {
                            self.text.push(b'.');
                        }
                        self.text.extend_from_slice(label);
                    }
                }
                3 => {
                    let pointing = at.rest;
                    let offset = usize::from(at.u16()? & 0x3fff);
                    let target = message.get(offset..).ok_or(Bad::Wrong)?;
                    if target == pointing {
                        if after.is_none() {
                            return Err(Bad::Wrong);
                        }
                        flags.infinite_loop = true;
                        break;
                    }
                    after.get_or_insert(at.rest);
                    at.rest = target;
                }
                _ => return Err(Bad::Wrong),
            }
            count += 1;
            if count > MAX_LABELS {
                if after.is_none() {
                    return Err(Bad::Wrong);
                }
                flags.label_limit = true;
                flags.truncated = true;
                break;
            }
            if self.text.len() - start > MAX_NAME_OCTETS {
                self.text.truncate(start + MAX_NAME_OCTETS);
                flags.truncated = true;
                if after.is_some() {
                    break;
                }
            }
        }
        cursor.rest = after.unwrap_or(at.rest);
        self.name_flags.infinite_loop |= flags.infinite_loop;
        self.name_flags.truncated |= flags.truncated;
        self.name_flags.label_limit |= flags.label_limit;
        Ok(Name {
            start: start as u32,
            len: (self.text.len() - start) as u32,
            truncated: flags.truncated,
        })
    }

    fn records(&mut self, cursor: &mut Cursor<'_>, count: u16) -> Result<Vec<Record>, Bad> {
        let mut records = Vec::new();
        for _ in 0..count {
            let name = self.parse_name(cursor)?;
            let rrtype = cursor.u16()?;
            cursor.u16()?;
            let ttl = cursor.u32()?;
            let len = cursor.u16()?;
            let mut rdata = Cursor {
                rest: cursor.take(usize::from(len))?,
                message: cursor.message,
            };
            // A record that says nothing is an error, whatever its type.
            if rdata.rest.is_empty() {
                return Err(Bad::Wrong);
            }
            let data = self.data(rrtype, &mut rdata).map_err(|_| Bad::Wrong)?;
            records.push(Record {
                name,
                rrtype,
                ttl,
                data,
            });
            while rrtype == TXT && !rdata.rest.is_empty() {
                let Ok(data) = self.data(rrtype, &mut rdata) else {
                    break;
                };
                records.push(Record {
                    name,
                    rrtype,
                    ttl,
                    data,
                });
            }
        }
        Ok(records)
    }

    fn data(&mut self, rrtype: u16, rdata: &mut Cursor<'_>) -> Result<Data, Bad> {
        Ok(match rrtype {
            A | AAAA => Data::Address(self.keep(rdata.rest)),
            CNAME | PTR | NS => Data::Name(self.parse_name(rdata)?),
            MX => {
                rdata.u16()?;
                Data::Name(self.parse_name(rdata)?)
            }
            SOA => Data::Soa {
                mname: self.parse_name(rdata)?,
                rname: self.parse_name(rdata)?,
                numbers: [
                    rdata.u32()?,
                    rdata.u32()?,
                    rdata.u32()?,
                    rdata.u32()?,
                    rdata.u32()?,
                ],
            },
            SRV => Data::Srv {
                numbers: [rdata.u16()?, rdata.u16()?, rdata.u16()?],
                target: self.parse_name(rdata)?,
            },
            TXT => {
                let len = rdata.u8()?;
                let text = rdata.take(usize::from(len))?;
                Data::Text(self.keep(text))
            }
            NULL => Data::Text(self.keep(rdata.rest)),
            SSHFP => Data::Sshfp {
                algorithm: rdata.u8()?,
                kind: rdata.u8()?,
                fingerprint: self.keep(rdata.rest),
            },
            _ => Data::Other,
        })
    }
}
