//! AF_PACKET with a TPACKET_V3 ring: the kernel writes blocks of frames into memory we share, no copy, no call a packet.
//!
//! Source: Linux `Documentation/networking/packet_mmap.rst`, `include/uapi/linux/if_packet.h`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use tapwarden_core::packet::Frame;
use tapwarden_core::time::Timestamp;

/// Milliseconds after which the kernel hands over a block that is not full: what is seen has to be blocked within 20.
/// Empty blocks are not handed over, so that an idle link costs nothing, and 64 of them still are a quarter of a second.
const BLOCK_TIMEOUT_MS: u32 = 4;

/// Only a unit of the ring's bookkeeping in TPACKET_V3: frames take what they need of a block.
const FRAME_OCTETS: u32 = 2048;

/// How a ring is opened.
#[derive(Clone, Debug)]
pub struct RingOptions {
    /// Octets of a block; a power of two, at least a page.
    pub block_size: u32,
    /// How many blocks.
    pub blocks: u32,
    /// Rings of the same group share the interface's flows by hash; 0 is no group.
    pub fanout_group: u16,
    /// Receive what is not addressed to this host.
    pub promiscuous: bool,
    /// Classic BPF program (code, jt, jf, k); empty takes everything.
    pub filter: Vec<(u16, u8, u8, u32)>,
}

/// An open ring.
#[derive(Debug)]
pub struct Ring {
    map: NonNull<u8>,
    map_len: usize,
    block_size: usize,
    blocks: usize,
    /// Block to look at next.
    current: usize,
    /// Frames of the current block not lent yet, and where the next one is.
    left: u32,
    next: usize,
    /// A block is ours and has to be given back.
    held: bool,
    packets: u64,
    drops: u64,
    /// A frame whose VLAN tag the kernel took out, put together again.
    tagged: Vec<u8>,
    linktype: u32,
    fd: OwnedFd,
}

// SAFETY: the mapping belongs to this Ring alone; nothing else in this process reads or writes it.
unsafe impl Send for Ring {}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn set_option<T>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is a valid T for the duration of the call and `size` is its size.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast::<libc::c_void>(),
            size,
        )
    };
    check(result).map(|_| ())
}

fn interface_index(name: &str) -> io::Result<libc::c_uint> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: `name` is a NUL-terminated string.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(index)
    }
}

impl Ring {
    /// Open a ring on an interface. Capture starts at once.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_NET_RAW, `ENODEV` when there is no such interface, `ENETDOWN` when it is down,
    /// `InvalidInput` for sizes the kernel cannot take.
    pub fn open(interface: &str, options: &RingOptions) -> io::Result<Ring> {
        let index = interface_index(interface)?;
        // SAFETY: plain system call; the descriptor is owned below. Protocol 0: nothing arrives before bind.
        let raw = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: `raw` was just opened and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        set_option(
            &fd,
            libc::SOL_PACKET,
            libc::PACKET_VERSION,
            &(libc::tpacket_versions::TPACKET_V3 as libc::c_int),
        )?;
        if !options.filter.is_empty() {
            attach_filter(&fd, &options.filter)?;
        }
        let block_size = options.block_size.max(4096).next_power_of_two();
        let request = libc::tpacket_req3 {
            tp_block_size: block_size,
            tp_block_nr: options.blocks.max(2),
            tp_frame_size: FRAME_OCTETS,
            tp_frame_nr: block_size / FRAME_OCTETS * options.blocks.max(2),
            tp_retire_blk_tov: BLOCK_TIMEOUT_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let map_len = request.tp_block_size as usize * request.tp_block_nr as usize;
        // SAFETY: a fresh shared mapping of the ring just made, of exactly its length.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                map_len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map =
            NonNull::new(map.cast::<u8>()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut ring = Ring {
            map,
            map_len,
            block_size: block_size as usize,
            blocks: request.tp_block_nr as usize,
            current: 0,
            left: 0,
            next: 0,
            held: false,
            packets: 0,
            drops: 0,
            tagged: Vec::new(),
            linktype: 1,
            fd,
        };
        ring.linktype = hardware_linktype(&ring.fd, interface)?;
        bind(&ring.fd, index)?;
        if options.promiscuous {
            let membership = libc::packet_mreq {
                mr_ifindex: index as libc::c_int,
                mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
                mr_alen: 0,
                mr_address: [0; 8],
            };
            set_option(
                &ring.fd,
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                &membership,
            )?;
        }
        if options.fanout_group != 0 {
            // The kernel puts fragments together first: only the first of them has the ports that the hash is made of.
            let mode = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG;
            let argument = libc::c_int::from(options.fanout_group) | (mode as libc::c_int) << 16;
            set_option(&ring.fd, libc::SOL_PACKET, libc::PACKET_FANOUT, &argument)?;
        }
        Ok(ring)
    }

    /// Wait until a block is ready, at most `timeout_ms`; false when there is none.
    ///
    /// # Errors
    /// What the socket reports: `ENETDOWN` when the interface went away.
    pub fn wait(&mut self, timeout_ms: i32) -> io::Result<bool> {
        if self.left > 0 || self.block_ready() {
            return Ok(true);
        }
        let mut poll = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        let ready = unsafe { libc::poll(&mut poll, 1, timeout_ms) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted {
                Ok(false)
            } else {
                Err(error)
            };
        }
        if poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
            let error = socket_error(&self.fd)?;
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        Ok(self.block_ready())
    }

    /// The next frame that is there now; `None` when there is none (then `wait`).
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        while self.left == 0 {
            self.give_back();
            if !self.block_ready() {
                return None;
            }
            self.held = true;
            let block = self.block();
            // SAFETY: the block is ours (status says so, acquired below in `block_ready`), and its header lies inside it.
            let header = unsafe { (*block.cast::<libc::tpacket_block_desc>()).hdr.bh1 };
            self.left = header.num_pkts;
            self.next = header.offset_to_first_pkt as usize;
        }
        let block = self.block();
        if self.next + size_of::<libc::tpacket3_hdr>() > self.block_size {
            self.left = 0;
            return None;
        }
        // SAFETY: `next` was checked to leave room for the header in the block we hold.
        let header = unsafe { std::ptr::read_unaligned(block.add(self.next).cast::<libc::tpacket3_hdr>()) };
        let start = self.next + usize::from(header.tp_mac);
        let captured = (header.tp_snaplen as usize).min(self.block_size.saturating_sub(start));
        // SAFETY: `start + captured` lies inside the block, which is ours until it is given back; giving back needs
        // `&mut self`, so not while the frame is lent.
        let data = unsafe { std::slice::from_raw_parts(block.add(start), captured) };
        self.left -= 1;
        self.next = if header.tp_next_offset == 0 {
            self.block_size
        } else {
            self.next + header.tp_next_offset as usize
        };
        let ts = Timestamp(i64::from(header.tp_sec) * 1_000_000_000 + i64::from(header.tp_nsec));
        let mut frame = Frame {
            ts,
            data,
            wire_len: header.tp_len,
            linktype: self.linktype,
        };
        if header.tp_status & libc::TP_STATUS_VLAN_VALID != 0 && data.len() >= 12 && self.linktype == 1 {
            let tpid = if header.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0 {
                header.hv1.tp_vlan_tpid
            } else {
                0x8100
            };
            self.tagged.clear();
            self.tagged.extend_from_slice(&data[..12]);
            self.tagged.extend_from_slice(&tpid.to_be_bytes());
            self.tagged
                .extend_from_slice(&(header.hv1.tp_vlan_tci as u16).to_be_bytes());
            self.tagged.extend_from_slice(&data[12..]);
            frame.wire_len += 4;
            frame.data = &self.tagged;
        }
        Some(frame)
    }

    /// Packets that came and packets the kernel dropped because the ring was full, since it was opened.
    pub fn statistics(&mut self) -> (u64, u64) {
        // SAFETY: tpacket_stats_v3 is plain data; all zeros is a value of it.
        let mut stats: libc::tpacket_stats_v3 = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        // SAFETY: `stats` and `length` are valid for the call and agree with each other.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                std::ptr::from_mut(&mut stats).cast::<libc::c_void>(),
                &mut length,
            )
        };
        if result == 0 {
            // Reading them sets the kernel's counters back to zero.
            self.packets += u64::from(stats.tp_packets);
            self.drops += u64::from(stats.tp_drops);
        }
        (self.packets, self.drops)
    }

    fn block(&self) -> *mut u8 {
        // SAFETY: `current` is below `blocks`, so the result lies inside the mapping.
        unsafe { self.map.as_ptr().add(self.current * self.block_size) }
    }

    fn status(&self) -> &AtomicU32 {
        let block = self.block().cast::<libc::tpacket_block_desc>();
        // SAFETY: the status word is aligned (blocks are page-aligned), lives as long as the mapping, and is only
        // touched atomically by us and the kernel.
        unsafe { AtomicU32::from_ptr(std::ptr::addr_of_mut!((*block).hdr.bh1.block_status)) }
    }

    fn block_ready(&self) -> bool {
        self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    fn give_back(&mut self) {
        if self.held {
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.current = (self.current + 1) % self.blocks;
            self.held = false;
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `open` with this length and is not used after this.
        unsafe { libc::munmap(self.map.as_ptr().cast::<libc::c_void>(), self.map_len) };
    }
}

fn bind(fd: &OwnedFd, index: libc::c_uint) -> io::Result<()> {
    // SAFETY: sockaddr_ll is plain data; all zeros is a value of it.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as libc::c_int;
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: a valid address of the given size.
    let result = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            std::ptr::from_ref(&address).cast::<libc::sockaddr>(),
            size,
        )
    };
    check(result)?;
    // A bind to an interface that is down succeeds; the socket then says so.
    match socket_error(fd)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn socket_error(fd: &OwnedFd) -> io::Result<libc::c_int> {
    let mut error: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `error` and `length` are valid for the call and agree.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            std::ptr::from_mut(&mut error).cast::<libc::c_void>(),
            &mut length,
        )
    };
    check(result)?;
    Ok(error)
}

fn attach_filter(fd: &OwnedFd, program: &[(u16, u8, u8, u32)]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog {
        len: length,
        filter: filter.as_mut_ptr(),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Link type of an interface: Ethernet (and loopback, which looks like it), or raw IP for tunnels.
fn hardware_linktype(fd: &OwnedFd, interface: &str) -> io::Result<u32> {
    // SAFETY: ifreq is plain data; all zeros is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(interface.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from as libc::c_char;
    }
    // SAFETY: a valid ifreq with a NUL-terminated name.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFHWADDR, &mut request) })?;
    // SAFETY: SIOCGIFHWADDR filled this member.
    let family = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
    match family {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(1),
        libc::ARPHRD_NONE
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | libc::ARPHRD_PPP => Ok(101),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("frames of hardware type {other} cannot be decoded; use an Ethernet or IP interface"),
        )),
    }
}
