//! Why an option cannot be taken.

use crate::rule::signature::ProblemKind;

/// Why an option cannot be taken.
#[derive(Debug)]
pub struct Fault {
    /// Octet offset in the argument; `None` is the whole option.
    pub at: Option<usize>,
    /// Why.
    pub reason: String,
    /// What to write instead.
    pub hint: &'static str,
    /// What kind of problem.
    pub kind: ProblemKind,
}

impl Fault {
    /// A fault with what to write instead.
    pub fn hinted(reason: impl Into<String>, hint: &'static str) -> Fault {
        Fault {
            hint,
            ..Fault::from(reason.into())
        }
    }

    /// A rule that is left out without being wrong.
    pub fn not_required(reason: impl Into<String>) -> Fault {
        Fault {
            kind: ProblemKind::NotRequired,
            ..Fault::from(reason.into())
        }
    }

    /// Something that is not offered yet.
    pub fn not_there_yet(reason: impl Into<String>) -> Fault {
        Fault {
            kind: ProblemKind::NotThereYet,
            ..Fault::from(reason.into())
        }
    }
}

impl From<String> for Fault {
    fn from(reason: String) -> Fault {
        Fault {
            at: None,
            reason,
            hint: "",
            kind: ProblemKind::Invalid,
        }
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Fault {
        Fault::from(reason.to_string())
    }
}
