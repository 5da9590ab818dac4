//! What the configuration says about SMB: `app-layer.protocols.smb`. Octets; 0 is no limit.

use crate::app::http1::options::size;
use crate::config::AppProtocol;

/// Limits of what is read or written.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of one read or write.
    pub record: u32,
    /// Octets that wait for what is due before them.
    pub queue_octets: u64,
    /// Pieces that wait.
    pub queue_pieces: usize,
}

impl Default for Limits {
    /// Suricata 7's.
    fn default() -> Limits {
        Limits {
            record: 16 << 20,
            queue_octets: 64 << 20,
            queue_pieces: 64,
        }
    }
}

/// Limits of writes and reads (in the order of the directions they go), and of exchanges.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// By direction: writes, reads.
    pub transfers: [Limits; 2],
    /// Exchanges that wait.
    pub exchanges: usize,
}

impl Options {
    /// What `config` says, and defaults for what it does not.
    pub fn new(config: &AppProtocol) -> Options {
        let get = |key: &str| config.options.get(key).and_then(|text| size(text));
        let limits = |kind: &str| {
            let default = Limits::default();
            Limits {
                record: get(&format!("max-{kind}-size"))
                    .map_or(default.record, |octets| u32::try_from(octets).unwrap_or(u32::MAX)),
                queue_octets: get(&format!("max-{kind}-queue-size")).unwrap_or(default.queue_octets),
                queue_pieces: get(&format!("max-{kind}-queue-cnt")).map_or(default.queue_pieces, |count| {
                    usize::try_from(count).unwrap_or(usize::MAX)
                }),
            }
        };
        Options {
            transfers: [limits("write"), limits("read")],
            exchanges: config
                .options
                .get("max-tx")
                .and_then(|text| text.parse().ok())
                .unwrap_or(1024),
        }
    }
}
