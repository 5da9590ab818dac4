//! PDUs of connection-oriented and connectionless DCE RPC: octets to typed views.
//!
//! SMB's named pipes carry the connection-oriented ones too. Nothing here keeps state or panics on any octets; a field
//! that is cut off is [`Bad::Short`].
//!
//! Source: DCE 1.1 "Remote Procedure Call" (C706) chapter 12, with [MS-RPCE] section 2.2.

/// Octets of the header that all connection-oriented PDUs begin with (C706 section 12.6.3.1).
pub const HEADER_OCTETS: usize = 16;
/// Octets of a connectionless PDU's header (C706 section 12.5.1).
pub const DATAGRAM_HEADER_OCTETS: usize = 80;
/// Octets of a request's or response's own fields between header and stub data, without an object UUID.
pub const CALL_OCTETS: usize = 8;

/// First fragment of a call (`PFC_FIRST_FRAG`).
pub const FIRST_FRAGMENT: u8 = 0x01;
/// Last fragment of a call (`PFC_LAST_FRAG`).
pub const LAST_FRAGMENT: u8 = 0x02;

/// Connectionless: the last fragment (`PF_LAST_FRAG`).
pub const DATAGRAM_LAST_FRAGMENT: u8 = 0x02;
/// Connectionless: a fragment (`PF_FRAG`).
pub const DATAGRAM_FRAGMENT: u8 = 0x04;

/// Why octets are no PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Octets are missing.
    Short,
    /// A length contradicts another, or the version is another.
    Wrong,
}

/// What a PDU is for: `PTYPE` of C706 section 12.6.4.
pub mod kind {
    /// A call.
    pub const REQUEST: u8 = 0;
    /// Its result.
    pub const RESPONSE: u8 = 2;
    /// A call failed.
    pub const FAULT: u8 = 3;
    /// A call was not accepted.
    pub const REJECT: u8 = 6;
    /// Asks for interfaces.
    pub const BIND: u8 = 11;
    /// Says which are granted.
    pub const BIND_ACK: u8 = 12;
    /// Grants none.
    pub const BIND_NAK: u8 = 13;
    /// Asks for more interfaces.
    pub const ALTER_CONTEXT: u8 = 14;
    /// Says which are granted.
    pub const ALTER_CONTEXT_RESPONSE: u8 = 15;
    /// The last one that is defined (RTS, [MS-RPCH]).
    pub const LAST: u8 = 20;
    /// None: nothing answers it.
    pub const UNKNOWN: u8 = 99;

    /// The name records have for it; `None` for a number nobody defined.
    pub fn name(kind: u8) -> Option<&'static str> {
        const NAMES: [&str; 21] = [
            "REQUEST",
            "PING",
            "RESPONSE",
            "FAULT",
            "WORKING",
            "NOCALL",
            "REJECT",
            "ACK",
            "CL_CANCEL",
            "FACK",
            "CANCEL_ACK",
            "BIND",
            "BINDACK",
            "BINDNAK",
            "ALTER_CONTEXT",
            "ALTER_CONTEXT_RESP",
            "AUTH3",
            "SHUTDOWN",
            "CO_CANCEL",
            "ORPHANED",
            "RTS",
        ];
        match kind {
            UNKNOWN => Some("UNKNOWN"),
            kind => NAMES.get(usize::from(kind)).copied(),
        }
    }

    /// What answers a request of this kind.
    pub fn response_to(kind: u8) -> u8 {
        match kind {
            REQUEST => RESPONSE,
            BIND => BIND_ACK,
            ALTER_CONTEXT => ALTER_CONTEXT_RESPONSE,
            _ => UNKNOWN,
        }
    }

    /// What a response of this kind answers.
    pub fn request_of(kind: u8) -> u8 {
        match kind {
            RESPONSE => REQUEST,
            BIND_ACK => BIND,
            ALTER_CONTEXT_RESPONSE => ALTER_CONTEXT,
            _ => UNKNOWN,
        }
    }
}

/// Reads fields one after the other.
struct Fields<'a> {
    rest: &'a [u8],
    little_endian: bool,
}

impl<'a> Fields<'a> {
    fn new(octets: &'a [u8], little_endian: bool) -> Fields<'a> {
        Fields {
            rest: octets,
            little_endian,
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (field, rest) = self.rest.split_first_chunk::<N>().ok_or(Bad::Short)?;
        self.rest = rest;
        Ok(*field)
    }

    fn skip(&mut self, octets: usize) -> Result<(), Bad> {
        self.rest = self.rest.get(octets..).ok_or(Bad::Short)?;
        Ok(())
    }

    fn u8(&mut self) -> Result<u8, Bad> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, Bad> {
        let field = self.array()?;
        Ok(match self.little_endian {
            true => u16::from_le_bytes(field),
            false => u16::from_be_bytes(field),
        })
    }

    fn u32(&mut self) -> Result<u32, Bad> {
        let field = self.array()?;
        Ok(match self.little_endian {
            true => u32::from_le_bytes(field),
            false => u32::from_be_bytes(field),
        })
    }

    /// A UUID, in the order of its text.
    fn uuid(&mut self) -> Result<[u8; 16], Bad> {
        let mut uuid = self.array::<16>()?;
        if self.little_endian {
            uuid[..4].reverse();
            uuid[4..6].reverse();
            uuid[6..8].reverse();
        }
        Ok(uuid)
    }
}

/// Header of a connection-oriented PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Major version: 5.
    pub version: u8,
    /// Minor version: 0 or 1.
    pub version_minor: u8,
    /// What it is for, see [`kind`].
    pub kind: u8,
    /// [`FIRST_FRAGMENT`], [`LAST_FRAGMENT`], ...
    pub flags: u8,
    /// Numbers are little-endian (first octet of the data representation).
    pub little_endian: bool,
    /// Octets of the whole fragment, this header included.
    pub fragment_len: u16,
    /// Octets of the authentication trailer's value.
    pub auth_len: u16,
    /// What a request and its responses share.
    pub call_id: u32,
}

impl Header {
    /// The header `octets` begin with, whatever version it claims.
    ///
    /// # Errors
    /// [`Bad::Short`] when there are fewer than [`HEADER_OCTETS`].
    pub fn parse(octets: &[u8]) -> Result<Header, Bad> {
        let header = octets.first_chunk::<HEADER_OCTETS>().ok_or(Bad::Short)?;
        let [version, version_minor, kind, flags, representation, ..] = *header;
        let little_endian = representation & 0x10 != 0;
        let mut fields = Fields::new(&header[8..], little_endian);
        Ok(Header {
            version,
            version_minor,
            kind,
            flags,
            little_endian,
            fragment_len: fields.u16()?,
            auth_len: fields.u16()?,
            call_id: fields.u32()?,
        })
    }

    /// The first fragment of its call.
    pub fn first_fragment(&self) -> bool {
        self.flags & FIRST_FRAGMENT != 0
    }

    /// The last fragment of its call.
    pub fn last_fragment(&self) -> bool {
        self.flags & LAST_FRAGMENT != 0
    }

    /// Octets of stub data after [`CALL_OCTETS`].
    ///
    /// # Errors
    /// [`Bad::Wrong`] when the fragment is too short to have any.
    pub fn stub_len(&self) -> Result<usize, Bad> {
        usize::from(self.fragment_len)
            .checked_sub(HEADER_OCTETS + CALL_OCTETS)
            .ok_or(Bad::Wrong)
    }
}

/// An interface that a bind or alter context asks for: what rules (`dcerpc.iface`) and records look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Context the calls of this interface name.
    pub context_id: u16,
    /// Its UUID, in the order of its text.
    pub uuid: [u8; 16],
    /// Its version.
    pub version: u16,
    /// Its minor version.
    pub version_minor: u16,
    /// It was asked for in a first fragment.
    pub first_fragment: bool,
    /// What the server said, 0 is accepted; `None` while it said nothing.
    pub result: Option<u16>,
}

impl Interface {
    /// The server accepted it.
    pub fn accepted(&self) -> bool {
        self.result == Some(0)
    }
}

/// A UUID's text.
pub fn uuid_text(uuid: &[u8; 16]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(36);
    for (at, octet) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// The interfaces in the body of a bind or alter context (C706 section 12.6.4.3): `body` follows the header.
///
/// # Errors
/// [`Bad::Short`] when it ends before the interfaces it announces.
pub fn bind(header: &Header, body: &[u8]) -> Result<Vec<Interface>, Bad> {
    let mut fields = Fields::new(body, header.little_endian);
    // Fragment sizes and the association group.
    fields.skip(8)?;
    let count = fields.u8()?;
    fields.skip(3)?;
    let mut interfaces = Vec::with_capacity(usize::from(count).min(body.len() / 44));
    for _ in 0..count {
        let context_id = fields.u16()?;
        fields.skip(2)?;
        let uuid = fields.uuid()?;
        // One number of four octets, the major version in its low half.
        let version = fields.u32()?;
        // One transfer syntax: as Suricata, those after a first are not expected.
        fields.skip(20)?;
        interfaces.push(Interface {
            context_id,
            uuid,
            version: (version & 0xffff) as u16,
            version_minor: (version >> 16) as u16,
            first_fragment: header.first_fragment(),
            result: None,
        });
    }
    Ok(interfaces)
}

/// The results in the body of a bind_ack or alter context response (C706 section 12.6.4.4), one for each interface asked
/// for, in their order; 0 is accepted.
///
/// # Errors
/// [`Bad::Short`] when it ends before the results it announces.
pub fn bind_ack(header: &Header, body: &[u8]) -> Result<Vec<u16>, Bad> {
    let mut fields = Fields::new(body, header.little_endian);
    fields.skip(8)?;
    let address_len = usize::from(fields.u16()?);
    fields.skip(address_len)?;
    // Results begin at a multiple of four.
    fields.skip((address_len + 2).next_multiple_of(4) - (address_len + 2))?;
    let count = fields.u8()?;
    fields.skip(3)?;
    let mut results = Vec::with_capacity(usize::from(count).min(body.len() / 24));
    for _ in 0..count {
        results.push(fields.u16()?);
        // Reason and transfer syntax.
        fields.skip(22)?;
    }
    Ok(results)
}

/// Note what the server said to each interface.
pub fn answer(interfaces: &mut [Interface], results: &[u16]) {
    for (interface, result) in interfaces.iter_mut().zip(results) {
        interface.result = Some(*result);
    }
}

/// What a request says before its stub data (C706 section 12.6.4.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Context of the interface that is called.
    pub context_id: u16,
    /// Operation of the interface.
    pub opnum: u16,
    /// Marshalled arguments, with the object UUID and the authentication trailer where there are any.
    pub stub: &'a [u8],
}

impl<'a> Request<'a> {
    /// The request in `body`, which follows the header.
    ///
    /// # Errors
    /// [`Bad::Wrong`] when the fragment's length leaves no room for the fields, [`Bad::Short`] when `body` is cut off.
    pub fn parse(header: &Header, body: &'a [u8]) -> Result<Request<'a>, Bad> {
        let stub_len = header.stub_len()?;
        let mut fields = Fields::new(body, header.little_endian);
        fields.skip(4)?;
        Ok(Request {
            context_id: fields.u16()?,
            opnum: fields.u16()?,
            stub: fields.rest.get(..stub_len).ok_or(Bad::Short)?,
        })
    }
}

/// The stub data of a response (C706 section 12.6.4.10); `body` follows the header.
///
/// # Errors
/// [`Bad::Wrong`] when the fragment's length leaves no room for the fields, [`Bad::Short`] when `body` is cut off.
pub fn response_stub<'a>(header: &Header, body: &'a [u8]) -> Result<&'a [u8], Bad> {
    let stub_len = header.stub_len()?;
    body.get(CALL_OCTETS..)
        .and_then(|stub| stub.get(..stub_len))
        .ok_or(Bad::Short)
}

/// A connectionless PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// What it is for, see [`kind`].
    pub kind: u8,
    /// [`DATAGRAM_FRAGMENT`], [`DATAGRAM_LAST_FRAGMENT`], ...
    pub flags: u8,
    /// Numbers are little-endian.
    pub little_endian: bool,
    /// The client's activity, with the sequence number names the call.
    pub activity: [u8; 16],
    /// Number of the call.
    pub sequence: u32,
    /// Operation of the interface.
    pub opnum: u16,
    /// Marshalled arguments or results.
    pub stub: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// The PDU `octets` are.
    ///
    /// # Errors
    /// [`Bad::Short`] when it is cut off, [`Bad::Wrong`] when its version is not 4.
    pub fn parse(octets: &'a [u8]) -> Result<Datagram<'a>, Bad> {
        let (header, body) = octets
            .split_first_chunk::<DATAGRAM_HEADER_OCTETS>()
            .ok_or(Bad::Short)?;
        let [version, kind, flags, _, representation, ..] = *header;
        if version != 4 {
            return Err(Bad::Wrong);
        }
        let mut fields = Fields::new(&header[40..], true);
        let activity = fields.uuid()?;
        fields.little_endian = representation != 0;
        // Boot time and interface version.
        fields.skip(8)?;
        let (sequence, opnum) = (fields.u32()?, fields.u16()?);
        fields.skip(4)?;
        let fragment_len = usize::from(fields.u16()?);
        Ok(Datagram {
            kind,
            flags,
            little_endian: representation & 0x10 != 0,
            activity,
            sequence,
            opnum,
            stub: body.get(..fragment_len).ok_or(Bad::Short)?,
        })
    }

    /// Nothing of the request or response comes after it.
    pub fn last_fragment(&self) -> bool {
        self.flags & DATAGRAM_FRAGMENT == 0 || self.flags & DATAGRAM_LAST_FRAGMENT != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A bind of lsarpc (12345778-1234-abcd-ef00-0123456789ab) with NDR.
    const BIND: &[u8] = b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00\
        \xb8\x10\xb8\x10\x00\x00\x00\x00\x01\x00\x00\x00\
        \x00\x00\x01\x00\x78\x57\x34\x12\x34\x12\xcd\xab\xef\x00\x01\x23\x45\x67\x89\xab\x02\x00\x01\x00\
        \x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\x00\x2b\x10\x48\x60\x02\x00\x00\x00";
    const BIND_ACK: &[u8] = b"\x05\x00\x0c\x03\x10\x00\x00\x00\x44\x00\x00\x00\x01\x00\x00\x00\
        \xb8\x10\xb8\x10\x65\x8e\x00\x00\x0d\x00\\PIPE\\winreg\x00\x6d\
        \x01\x00\x00\x00\x00\x00\x00\x00\
        \x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\x00\x2b\x10\x48\x60\x02\x00\x00\x00";

    #[test]
    fn a_bind_asks_for_interfaces_and_its_answer_accepts_them() {
        let header = Header::parse(BIND).unwrap();
        assert_eq!((header.kind, header.fragment_len), (kind::BIND, 72));
        let mut interfaces = bind(&header, &BIND[HEADER_OCTETS..]).unwrap();
        assert_eq!(
            uuid_text(&interfaces[0].uuid),
            "12345778-1234-abcd-ef00-0123456789ab"
        );
        assert_eq!((interfaces[0].version, interfaces[0].version_minor), (2, 1));
        assert!(!interfaces[0].accepted());
        let header = Header::parse(BIND_ACK).unwrap();
        let results = bind_ack(&header, &BIND_ACK[HEADER_OCTETS..]).unwrap();
        answer(&mut interfaces, &results);
        assert!(interfaces[0].accepted());
    }

    #[test]
    fn a_request_shorter_than_its_fields_is_wrong_and_one_cut_off_is_short() {
        let mut octets = b"\x05\x00\x00\x03\x10\x00\x00\x00\x1c\x00\x00\x00\x01\x00\x00\x00\
            \x04\x00\x00\x00\x01\x00\x0f\x00stub"
            .to_vec();
        let header = Header::parse(&octets).unwrap();
        let request = Request::parse(&header, &octets[HEADER_OCTETS..]).unwrap();
        assert_eq!(
            (request.context_id, request.opnum, request.stub),
            (1, 15, &b"stub"[..])
        );
        assert_eq!(
            Request::parse(&header, &octets[HEADER_OCTETS..27]),
            Err(Bad::Short)
        );
        octets[8] = 23;
        let header = Header::parse(&octets).unwrap();
        assert_eq!(Request::parse(&header, &octets[HEADER_OCTETS..]), Err(Bad::Wrong));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(header) = Header::parse(&octets) {
                let body = &octets[HEADER_OCTETS..];
                let _ = (bind(&header, body), bind_ack(&header, body), response_stub(&header, body));
                let _ = Request::parse(&header, body);
            }
            let _ = Datagram::parse(&octets);
        }
    }
}
