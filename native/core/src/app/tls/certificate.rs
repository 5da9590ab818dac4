//! The certificates of a side: the first one's names and dates, and all of them as they came.

use sha1::{Digest, Sha1};
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is shown of a certificate.
#[derive(Debug)]
pub struct Shown {
    /// Distinguished name of its subject: `C=US, O=Example, CN=example.com`.
    pub subject: String,
    /// The same of its issuer.
    pub issuer: String,
    /// Serial number: `01:AB`.
    pub serial: String,
    /// SHA-1 of the whole: `01:ab`.
    pub fingerprint: String,
    /// Seconds since 1970 from which it is valid.
    pub not_before: i64,
    /// Seconds since 1970 until which it is valid.
    pub not_after: i64,
}

/// Certificates of a side.
#[derive(Debug, Default)]
pub struct Certificates {
    /// The first one that could be read.
    pub shown: Option<Shown>,
    /// All of them, DER.
    pub chain: Vec<Vec<u8>>,
    seen: bool,
}

/// Certificates of a chain that are kept.
const MAX_CHAIN: usize = 64;

fn number24(octets: &[u8]) -> Option<usize> {
    let [a, b, c, ..] = *octets else { return None };
    Some(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
}

/// `01:AB` (or `01:ab`).
fn colons(octets: &[u8], upper: bool) -> String {
    let text: Vec<String> = octets
        .iter()
        .map(|octet| {
            if upper {
                format!("{octet:02X}")
            } else {
                format!("{octet:02x}")
            }
        })
        .collect();
    text.join(":")
}

fn show(der: &[u8]) -> Result<Shown, &'static str> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| match error {
        x509_parser::nom::Err::Incomplete(_) => "CERTIFICATE_INVALID_LENGTH",
        x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => match error {
            X509Error::InvalidVersion => "CERTIFICATE_INVALID_VERSION",
            X509Error::InvalidSerial => "CERTIFICATE_INVALID_SERIAL",
            X509Error::InvalidAlgorithmIdentifier => "CERTIFICATE_INVALID_ALGORITHMIDENTIFIER",
            X509Error::InvalidX509Name => "CERTIFICATE_INVALID_X509NAME",
            X509Error::InvalidDate => "CERTIFICATE_INVALID_DATE",
            X509Error::InvalidExtensions => "CERTIFICATE_INVALID_EXTENSIONS",
            X509Error::Der(_) => "CERTIFICATE_INVALID_DER",
            _ => "INVALID_CERTIFICATE",
        },
    })?;
    let text = |name: String, event| if name.contains('\0') { Err(event) } else { Ok(name) };
    Ok(Shown {
        subject: text(certificate.subject().to_string(), "CERTIFICATE_INVALID_SUBJECT")?,
        issuer: text(certificate.issuer().to_string(), "CERTIFICATE_INVALID_ISSUER")?,
        serial: colons(certificate.raw_serial(), true),
        fingerprint: colons(&Sha1::digest(der), false),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

impl Certificates {
    /// Read a Certificate message (RFC 5246 section 7.4.2). Returns events.
    pub fn read(&mut self, message: &[u8]) -> Option<&'static str> {
        let mut event = None;
        let len = number24(message)?;
        let mut rest = message.get(3..3 + len)?;
        if std::mem::replace(&mut self.seen, true) {
            return None;
        }
        while !rest.is_empty() {
            let Some(der) = number24(rest).and_then(|len| rest.get(3..3 + len)) else {
                return Some("INVALID_CERTIFICATE");
            };
            rest = &rest[3 + der.len()..];
            if self.shown.is_none() {
                match show(der) {
                    Ok(shown) => self.shown = Some(shown),
                    Err(failed) => {
                        event = Some(failed);
                        continue;
                    }
                }
            }
            if self.chain.len() < MAX_CHAIN {
                self.chain.push(der.to_vec());
            }
        }
        event
    }
}
