//! Where packets come from: capture files (`file`) and AF_PACKET rings (`afpacket`). They lend frames to whoever feeds an
//! engine; a frame is valid until the next one is asked for.

pub mod afpacket;
pub mod file;
mod pcap;
mod pcapng;
mod window;
