//! Packets in, EVE records out. No I/O, no Python, no clock: time comes with the packets.
//!
//! `wire` octets as typed views <- `decode` a frame's layers <- `flow` who talks to whom <- `stream` what was said <-
//! `app` what it means <- `rule` what it matches <- [`engine`] one batch, start to end. `event` writes records.

pub mod app;
pub mod column;
pub mod config;
pub mod counters;
pub mod decode;
pub mod defrag;
pub mod engine;
pub mod event;
pub mod evidence;
pub mod file;
pub mod flow;
pub mod intel;
pub mod packet;
pub mod rule;
pub mod stream;
pub mod time;
pub mod wire;
