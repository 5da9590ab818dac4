//! EVE records: one file per kind, and the JSON they are written with.

pub mod alert;
pub mod anomaly;
pub mod ecs;
pub mod flow;
pub mod header;
pub mod json;
pub mod protocol_name;
pub mod sink;
pub mod stats;
