//! What is known of a flow's protocol.

use crate::app::Protocol;

/// What is known of a protocol.
#[derive(Clone, Copy, Debug, Default)]
pub enum Found {
    /// Not known yet.
    #[default]
    Unknown,
    /// Will not be known.
    Failed,
    /// Known.
    Is(&'static Protocol),
}

impl Found {
    /// The protocol, if known.
    pub fn protocol(self) -> Option<&'static Protocol> {
        match self {
            Found::Is(protocol) => Some(protocol),
            _ => None,
        }
    }

    /// Name in records; `None` while unknown.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Found::Unknown => None,
            Found::Failed => Some("failed"),
            Found::Is(protocol) => Some(protocol.name),
        }
    }

    /// Nothing is known yet.
    pub(super) fn is_unknown(self) -> bool {
        matches!(self, Found::Unknown)
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Found) -> bool {
        match (self, other) {
            (Found::Is(a), Found::Is(b)) => std::ptr::eq(*a, *b),
            (Found::Unknown, Found::Unknown) | (Found::Failed, Found::Failed) => true,
            _ => false,
        }
    }
}
