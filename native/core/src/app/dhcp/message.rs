//! A DHCP message: the fixed fields of BOOTP and the options behind the magic cookie.
//!
//! Source: RFC 2131 section 2, RFC 2132.

/// Octets before the options, magic cookie included.
pub const HEADER_OCTETS: usize = 240;

/// Option codes (RFC 2132) by the names of IANA's registry.
pub mod code {
    /// Section 3.3.
    pub const SUBNET_MASK: u8 = 1;
    /// Section 3.5.
    pub const ROUTERS: u8 = 3;
    /// Section 3.8.
    pub const DNS_SERVERS: u8 = 6;
    /// Section 3.14.
    pub const HOSTNAME: u8 = 12;
    /// Section 9.1.
    pub const REQUESTED_ADDRESS: u8 = 50;
    /// Section 9.2.
    pub const LEASE_TIME: u8 = 51;
    /// Section 9.6.
    pub const MESSAGE_TYPE: u8 = 53;
    /// Section 9.8.
    pub const PARAMETERS: u8 = 55;
    /// Section 9.11.
    pub const RENEWAL_TIME: u8 = 58;
    /// Section 9.12.
    pub const REBINDING_TIME: u8 = 59;
    /// Section 9.13.
    pub const VENDOR_CLASS: u8 = 60;
    /// Section 9.14.
    pub const CLIENT_ID: u8 = 61;
    /// Section 3.2.
    pub const END: u8 = 255;
}

/// A client asks (`op` of RFC 2131).
pub const REQUEST: u8 = 1;
/// A server answers.
pub const REPLY: u8 = 2;
/// The message type of an acknowledgement (RFC 2132 section 9.6).
pub const ACK: u8 = 5;

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// What identifies the client, without its hardware type.
    ClientId(&'a [u8]),
    /// Seconds.
    Time(u32),
    /// Any other.
    Octets(&'a [u8]),
}

/// A message, kept as it came.
#[derive(Debug)]
pub struct Message {
    octets: Box<[u8]>,
    /// The options end before their end is said.
    pub truncated: bool,
}

impl Message {
    /// The message `octets` are; `None` when they are too few.
    pub fn parse(octets: &[u8]) -> Option<Message> {
        if octets.len() < HEADER_OCTETS {
            return None;
        }
        let mut message = Message {
            octets: octets.into(),
            truncated: false,
        };
        let mut options = message.options();
        options.by_ref().for_each(drop);
        message.truncated = options.truncated;
        Some(message)
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let field = self.octets.get(at..).and_then(|rest| rest.first_chunk());
        field.copied().unwrap_or([0; N])
    }

    /// [`REQUEST`], [`REPLY`], or neither.
    pub fn operation(&self) -> u8 {
        self.octets[0]
    }

    /// Transaction identifier (`xid`).
    pub fn id(&self) -> u32 {
        u32::from_be_bytes(self.field(4))
    }

    /// The client's own address (`ciaddr`).
    pub fn client_address(&self) -> [u8; 4] {
        self.field(12)
    }

    /// The address given to the client (`yiaddr`).
    pub fn assigned_address(&self) -> [u8; 4] {
        self.field(16)
    }

    /// The next server (`siaddr`).
    pub fn next_server(&self) -> [u8; 4] {
        self.field(20)
    }

    /// The relay agent (`giaddr`).
    pub fn relay(&self) -> [u8; 4] {
        self.field(24)
    }

    /// The client's hardware address (`chaddr`), at most 16 octets.
    pub fn hardware_address(&self) -> &[u8] {
        let len = usize::from(self.octets[2]).min(16);
        &self.octets[28..28 + len]
    }

    /// Its options, up to the end or to the first that is cut off.
    pub fn options(&self) -> Options<'_> {
        Options {
            rest: &self.octets[HEADER_OCTETS..],
            over: false,
            truncated: false,
        }
    }

    /// The seconds of the first option with this code.
    pub fn time(&self, wanted: u8) -> Option<u32> {
        self.options().find_map(|(code, value)| match value {
            Value::Time(seconds) if code == wanted => Some(seconds),
            _ => None,
        })
    }

    /// The message type (discover, offer, ...).
    pub fn kind(&self) -> Option<u8> {
        self.options().find_map(|(code, value)| match value {
            Value::Octets([kind, ..]) if code == code::MESSAGE_TYPE => Some(*kind),
            _ => None,
        })
    }
}

/// Goes over options as Suricata does: padding counts as an option with a length, times are four octets whatever length
/// they claim.
#[derive(Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    over: bool,
    /// An option was cut off, or the end was not said.
    pub truncated: bool,
}

impl<'a> Options<'a> {
    fn option(&mut self) -> Option<(u8, Value<'a>)> {
        let (&[code, len], body) = self.rest.split_first_chunk::<2>()?;
        let (value, rest) = match code {
            code::LEASE_TIME | code::RENEWAL_TIME | code::REBINDING_TIME => {
                let (seconds, rest) = body.split_first_chunk::<4>()?;
                (Value::Time(u32::from_be_bytes(*seconds)), rest)
            }
            code => {
                let (octets, rest) = body.split_at_checked(usize::from(len))?;
                let value = match octets {
                    [] | [_] if code == code::CLIENT_ID => return None,
                    [_, id @ ..] if code == code::CLIENT_ID => Value::ClientId(id),
                    octets => Value::Octets(octets),
                };
                (value, rest)
            }
        };
        self.rest = rest;
        Some((code, value))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u8, Value<'a>);

    fn next(&mut self) -> Option<(u8, Value<'a>)> {
        if self.over {
            return None;
        }
        if self.rest.first() == Some(&code::END) {
            self.over = true;
            return None;
        }
        let option = self.option();
        if option.is_none() {
            self.over = true;
            self.truncated = true;
        }
        option
    }
}
