//! EVE records: one file per kind, and the JSON they are written with.

pub mod json;
pub mod sink;
