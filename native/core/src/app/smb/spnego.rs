//! What a session's start says of who logs on: SPNEGO (RFC 4178) around NTLMSSP or a Kerberos ticket (RFC 4120), or
//! NTLMSSP alone.

use super::ntlmssp::{self, Logon};

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
/// `1.3.6.1.5.5.2`
const SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";
/// `1.2.840.113554.1.2.2`
const KERBEROS: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// `1.3.6.1.4.1.311.2.2.10`
const NTLMSSP: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";
/// Names of a principal that are kept.
const MAX_NAMES: usize = 64;

/// A service's ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// The realm.
    pub realm: Vec<u8>,
    /// The service's name, by its parts.
    pub names: Vec<Vec<u8>>,
}

/// Who logs on, as far as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// By NTLM.
    pub logon: Option<Logon>,
    /// By Kerberos.
    pub ticket: Option<Ticket>,
}

/// A DER element: (identifier, content, what follows).
fn element(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&identifier, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if identifier & 0x1f == 0x1f {
        return None;
    }
    let (len, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        let len = digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit));
        (len, rest)
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((identifier, content, rest))
}

/// The elements of a constructed one.
fn elements(mut octets: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (identifier, content, rest) = element(octets)?;
        octets = rest;
        Some((identifier, content))
    })
}

/// The content of the element with this identifier, among those of a constructed one.
fn within(octets: &[u8], wanted: u8) -> Option<&[u8]> {
    elements(octets)
        .find(|(identifier, _)| *identifier == wanted)
        .map(|(_, content)| content)
}

/// Who logs on by this security blob.
pub fn credentials(blob: &[u8]) -> Option<Credentials> {
    match negotiation(blob) {
        Some(token) => spnego(token),
        None => Some(Credentials {
            logon: Some(ntlmssp::logon(blob)?),
            ticket: None,
        }),
    }
}

/// The NegTokenInit of a GSS-API token whose mechanism is SPNEGO.
fn negotiation(blob: &[u8]) -> Option<&[u8]> {
    let (_, content, _) = element(blob)?;
    let (identifier, mechanism, rest) = element(content)?;
    if (identifier, mechanism) != (OID, SPNEGO) {
        return None;
    }
    element(rest).map(|(_, token, _)| token)
}

fn spnego(token: &[u8]) -> Option<Credentials> {
    let (identifier, fields, _) = element(token)?;
    if identifier != SEQUENCE {
        return None;
    }
    let (mut offers_ntlmssp, mut offers_kerberos) = (false, false);
    let mut credentials = Credentials::default();
    for (_, field) in elements(fields) {
        match element(field) {
            Some((SEQUENCE, mechanisms, _)) => {
                for (identifier, mechanism) in elements(mechanisms) {
                    offers_ntlmssp |= (identifier, mechanism) == (OID, NTLMSSP);
                    offers_kerberos |= (identifier, mechanism) == (OID, KERBEROS);
                }
            }
            Some((OCTETS, mechanism_token, _)) => {
                if offers_kerberos {
                    if let Some(found) = ticket(mechanism_token) {
                        credentials.ticket = Some(found);
                    }
                }
                if offers_ntlmssp && credentials.ticket.is_none() {
                    credentials.logon = ntlmssp::logon(mechanism_token);
                }
            }
            _ => {}
        }
    }
    Some(credentials)
}

/// The ticket of a GSS-API token with an AP-REQ (RFC 4121 section 4.1, RFC 4120 section 5.5.1).
fn ticket(token: &[u8]) -> Option<Ticket> {
    const AP_REQ: u8 = 0x6e;
    const TICKET: u8 = 0x61;
    let (_, content, _) = element(token)?;
    let (_, _, rest) = element(content).filter(|(identifier, ..)| *identifier == OID)?;
    let (identifier, request, _) = element(rest.get(2..)?)?;
    if identifier != AP_REQ {
        return None;
    }
    let request = within(request, SEQUENCE)?;
    let ticket = within(within(within(request, 0xa3)?, TICKET)?, SEQUENCE)?;
    let (_, realm, _) = element(within(ticket, 0xa1)?)?;
    let principal = within(within(ticket, 0xa2)?, SEQUENCE)?;
    let names = within(within(principal, 0xa1)?, SEQUENCE)?;
    Some(Ticket {
        realm: realm.to_vec(),
        names: elements(names)
            .take(MAX_NAMES)
            .map(|(_, name)| name.to_vec())
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(identifier: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![identifier, 0x82];
        out.extend_from_slice(&(content.len() as u16).to_be_bytes());
        out.extend_from_slice(content);
        out
    }

    fn token(mechanism: &[u8], inner: &[u8]) -> Vec<u8> {
        let mechanisms = der(0xa0, &der(SEQUENCE, &der(OID, mechanism)));
        let inner = der(0xa2, &der(OCTETS, inner));
        let init = der(0xa0, &der(SEQUENCE, &[mechanisms, inner].concat()));
        der(0x60, &[der(OID, SPNEGO), init].concat())
    }

    #[test]
    fn the_ticket_names_realm_and_service() {
        let names = der(SEQUENCE, &[der(0x1b, b"cifs"), der(0x1b, b"srv")].concat());
        let principal = der(SEQUENCE, &[der(0xa0, &der(2, &[2])), der(0xa1, &names)].concat());
        let ticket = der(
            0xa3,
            &der(
                0x61,
                &der(
                    SEQUENCE,
                    &[
                        der(0xa0, &der(2, &[5])),
                        der(0xa1, &der(0x1b, b"EXAMPLE")),
                        der(0xa2, &principal),
                    ]
                    .concat(),
                ),
            ),
        );
        let request = der(0x6e, &der(SEQUENCE, &ticket));
        let inner = der(0x60, &[der(OID, KERBEROS), vec![1, 0], request].concat());
        let found = credentials(&token(KERBEROS, &inner)).unwrap().ticket.unwrap();
        assert_eq!(found.realm, b"EXAMPLE");
        assert_eq!(found.names, [b"cifs".to_vec(), b"srv".to_vec()]);
    }

    #[test]
    fn a_negotiation_without_a_logon_is_told_apart_from_nothing() {
        assert_eq!(
            credentials(&token(NTLMSSP, b"NTLMSSP\0\x01\0\0\0")),
            Some(Credentials::default())
        );
        assert_eq!(credentials(b"\x60\x05hello"), None);
    }
}
