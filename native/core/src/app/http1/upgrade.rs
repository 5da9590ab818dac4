//! What HTTP/2 is told of the request it was upgraded from (RFC 7540 section 3.2).

use super::transaction::HttpTx;
use crate::app::http2::hpack::encode_literal;

/// The request as a header block: it becomes the request of stream 1.
pub fn note(tx: &HttpTx) -> Vec<u8> {
    let mut block = Vec::new();
    let Some(method) = &tx.request.method else {
        return block;
    };
    encode_literal(b":method", method, &mut block);
    if let Some(uri) = &tx.request.uri {
        encode_literal(b":path", uri, &mut block);
    }
    for (name, value) in tx.messages[0].headers.iter() {
        let name: &[u8] = match name {
            name if name.eq_ignore_ascii_case(b"host") => b":authority",
            name if name.eq_ignore_ascii_case(b"http2-settings") => b"http2-settings",
            name => name,
        };
        encode_literal(name, value, &mut block);
    }
    block
}
