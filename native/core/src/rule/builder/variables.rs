//! Numbers, and variables that stand for them.

use super::{Builder, Fault};
use crate::rule::chain::{Operand, VarId};

/// Variables of one rule at most.
const MAX_VARIABLES: usize = 64;

impl Builder<'_> {
    /// What an argument names: a number, or a variable made before.
    ///
    /// # Errors
    /// Neither.
    pub fn operand(&self, text: &str, low: i64, high: i64) -> Result<Operand, Fault> {
        let text = text.trim();
        if text.starts_with(|first: char| first.is_ascii_digit() || first == '-' || first == '+') {
            let number = integer(text).filter(|number| (low..=high).contains(number));
            return number
                .map(Operand::Number)
                .ok_or_else(|| format!("{text:?} is not a number from {low} to {high}").into());
        }
        self.variable(text).map(Operand::Variable).ok_or_else(|| {
            Fault::hinted(
                format!("there is no variable {text:?}"),
                "byte_extract or byte_math has to set it earlier in the rule",
            )
        })
    }

    /// The number of a variable made before.
    pub fn variable(&self, name: &str) -> Option<VarId> {
        self.variables
            .iter()
            .position(|known| known == name)
            .map(|at| at as VarId)
    }

    /// The number of a variable that is made now.
    ///
    /// # Errors
    /// Too many, or not a name.
    pub fn make_variable(&mut self, name: &str) -> Result<VarId, Fault> {
        let name = name.trim();
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(format!("{name:?} is not a variable's name").into());
        }
        if let Some(known) = self.variable(name) {
            return Ok(known);
        }
        if self.variables.len() >= MAX_VARIABLES {
            return Err("too many variables".into());
        }
        self.variables.push(name.to_string());
        Ok((self.variables.len() - 1) as VarId)
    }
}

/// A number as C reads it: decimal, or hexadecimal after 0x.
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None if digits.starts_with(|first: char| first.is_ascii_digit()) => digits.parse(),
        None => return None,
    }
    .ok()?;
    Some(if negative { -value } else { value })
}
