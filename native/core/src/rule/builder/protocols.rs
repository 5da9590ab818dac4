//! Which application protocols a rule is about, and where they offer what it asks for.

use smallvec::SmallVec;

use super::{Builder, Fault};
use crate::app::{Protocol, PROTOCOLS};
use crate::rule::signature::Slot;

impl Builder<'_> {
    /// Ask for an application protocol.
    ///
    /// # Errors
    /// Another one was asked for before.
    pub fn ask_for(&mut self, app: &'static str) -> Result<(), Fault> {
        match more_specific(self.app, app) {
            Some(app) => {
                self.app = app;
                Ok(())
            }
            None => Err(format!("the rule is about {} already, this is about {app}", self.app).into()),
        }
    }
}

/// Which of two protocols a rule is about when it asks for both; `None` when they exclude each other.
pub fn more_specific(known: &'static str, new: &'static str) -> Option<&'static str> {
    match (known, new) {
        ("", new) => Some(new),
        (known, new) if known == new || new.is_empty() => Some(known),
        ("http", "http1" | "http2") => Some(new),
        ("http1" | "http2", "http") => Some(known),
        ("smb", "dcerpc") => Some(known),
        _ => None,
    }
}

/// Whether a rule about `app` is about this protocol.
pub fn meant_by(protocol: &Protocol, app: &str) -> bool {
    match app {
        "" => false,
        "http" => matches!(protocol.name, "http" | "http1" | "http2"),
        "http1" => matches!(protocol.name, "http" | "http1"),
        // DCERPC is carried by SMB as well.
        "dcerpc" => matches!(protocol.name, "dcerpc" | "smb"),
        app => protocol.name == app || protocol.aliases.contains(&app),
    }
}

/// Where a buffer is: its slot in each protocol that offers it and that the rule may be about.
pub fn slots_of(name: &str, app: &str, protocols: &[&'static Protocol]) -> SmallVec<[Slot; 2]> {
    PROTOCOLS
        .iter()
        .copied()
        .filter(|protocol| app.is_empty() || protocols.iter().any(|known| std::ptr::eq(*known, *protocol)))
        .filter_map(|protocol| {
            let slot = protocol.buffers.iter().position(|buffer| buffer.name == name)?;
            Some(Slot { protocol, slot })
        })
        .collect()
}

/// Where a value is, as [`slots_of`].
pub fn value_slots_of(name: &str) -> SmallVec<[Slot; 2]> {
    PROTOCOLS
        .iter()
        .copied()
        .filter_map(|protocol| {
            let slot = protocol.values.iter().position(|value| value.name == name)?;
            Some(Slot { protocol, slot })
        })
        .collect()
}
