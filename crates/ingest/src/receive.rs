//! Datagrams from the kernel, many with one call. A receive thread does nothing else: it stamps
//! what came, puts it into a bounded queue and receives again. What the kernel dropped is read from
//! the socket (SO_RXQ_OVFL), what the queue refused is counted here.
//!
//! The only module of ingest with `unsafe`: `recvmmsg` and socket options have no safe form.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::Clock;

/// Datagrams taken by one call: 64 of 1,500 bytes fill a megabit, and the call costs the same.
const BATCH: usize = 64;
/// The largest UDP payload.
const DATAGRAM_MAX: usize = 65_535;
/// Control messages of one datagram: SO_RXQ_OVFL is 4 bytes and its header.
const CONTROL_WORDS: usize = 8;
/// A receive thread looks this often whether it shall stop.
const WAKE: Duration = Duration::from_millis(100);

/// Senders that wait to be accepted; the kernel refuses more.
const BACKLOG: libc::c_int = 128;

/// What is received on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// NetFlow and IPFIX.
    Flows,
    Syslog,
}

/// Datagrams that one call brought, one behind the other; or messages out of streams.
#[derive(Debug)]
pub struct Chunk {
    pub received: i64,
    pub kind: Kind,
    bytes: Vec<u8>,
    /// Source and end of each datagram.
    ends: Vec<(IpAddr, usize)>,
}

/// What the receive threads share with the decoder.
#[derive(Debug, Default)]
pub struct Shared {
    pub queued_bytes: AtomicUsize,
    pub kernel_drops: AtomicU64,
    pub queue_drops: AtomicU64,
}

/// A bound socket and the size of its receive buffer.
#[derive(Debug)]
pub struct Bound {
    pub kind: Kind,
    pub socket: UdpSocket,
    pub buffer_bytes: usize,
}

// === impl Chunk ===

impl Chunk {
    pub fn new(kind: Kind, received: i64) -> Chunk {
        Chunk { received, kind, bytes: Vec::new(), ends: Vec::new() }
    }

    pub fn push(&mut self, source: IpAddr, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push((source, self.bytes.len()));
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn datagrams(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        let mut from = 0;
        self.ends.iter().map(move |&(source, end)| {
            let datagram = self.bytes.get(from..end).unwrap_or_default();
            from = end;
            (source, datagram)
        })
    }
}

// === impl Shared ===

impl Shared {
    pub fn is_full(&self, queue_bytes_max: usize) -> bool {
        self.queued_bytes.load(Ordering::Relaxed) >= queue_bytes_max
    }

    /// Queues what was taken; says whether somebody is there to get it.
    pub fn put(&self, queue: &Sender<Chunk>, chunk: Chunk) -> bool {
        if chunk.ends.is_empty() {
            return true;
        }
        self.queued_bytes.fetch_add(chunk.size(), Ordering::Relaxed);
        queue.send(chunk).is_ok()
    }
}

/// Listens for senders over TCP; accepting does not wait.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Connections of an earlier run may still be closing.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Waits until one of the descriptors has something, at most `WAKE`; says which.
pub fn readable(descriptors: &[RawFd]) -> io::Result<Vec<bool>> {
    let wanted = |&fd: &RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<libc::pollfd> = descriptors.iter().map(wanted).collect();
    let wake_ms = libc::c_int::try_from(WAKE.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `polled` lives and is not otherwise used until the call returns, and its length is
    // the one given.
    let count = unsafe {
        let len = polled.len() as libc::nfds_t;
        libc::poll(polled.as_mut_ptr(), len, wake_ms)
    };
    if count < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(polled.iter().map(|one| count > 0 && one.revents != 0).collect())
}

/// Binds one socket, its receive buffer as large as the kernel allows.
pub fn bind(kind: Kind, address: SocketAddr, buffer_bytes: usize) -> io::Result<Bound> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_read_timeout(Some(WAKE))?;
    let wanted = libc::c_int::try_from(buffer_bytes).unwrap_or(libc::c_int::MAX);
    // With CAP_NET_ADMIN beyond net.core.rmem_max, else up to it.
    if set_option(&socket, libc::SO_RCVBUFFORCE, wanted).is_err() {
        socket.set_recv_buffer_size(buffer_bytes)?;
    }
    set_option(&socket, libc::SO_RXQ_OVFL, 1)?;
    socket.bind(&address.into())?;
    // The kernel doubles what was set, for its own bookkeeping (socket(7)).
    let buffer_bytes = socket.recv_buffer_size()? / 2;
    Ok(Bound { kind, socket: socket.into(), buffer_bytes })
}

fn set_option(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open while `socket` lives, and the kernel reads `len` bytes of
    // `value`, which outlives the call.
    let result = unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives until `stop` says so or the decoder is gone.
pub fn receive(
    bound: &Bound,
    clock: &Clock,
    queue: &Sender<Chunk>,
    queue_bytes_max: usize,
    shared: &Shared,
    stop: &dyn Fn() -> bool,
) -> io::Result<()> {
    let mut buffers = Buffers::new();
    while !stop() {
        let count = match buffers.receive(&bound.socket) {
            Ok(count) => count,
            Err(e) if is_idle(&e) => continue,
            Err(e) => return Err(e),
        };
        let chunk = buffers.chunk(bound.kind, count, clock.now());
        shared.kernel_drops.fetch_add(buffers.take_drops(), Ordering::Relaxed);
        let size = chunk.size();
        if shared.queued_bytes.load(Ordering::Relaxed) + size > queue_bytes_max {
            shared.queue_drops.fetch_add(count as u64, Ordering::Relaxed);
            continue;
        }
        if !shared.put(queue, chunk) {
            break;
        }
    }
    Ok(())
}

/// No datagram within `WAKE`, a signal, or an ICMP error of an earlier send.
fn is_idle(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted | ConnectionRefused)
}

/// Room for one call.
struct Buffers {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<[u64; CONTROL_WORDS]>,
    lens: Vec<usize>,
    sources: Vec<Option<IpAddr>>,
    /// What the kernel has dropped of this socket's datagrams so far, and of it was told.
    drops: u32,
    drops_told: u32,
}

impl Buffers {
    fn new() -> Buffers {
        // SAFETY: sockaddr_storage is plain data, for which all zeros are a valid value.
        let name: libc::sockaddr_storage = unsafe { zeroed() };
        Buffers {
            bytes: vec![0; BATCH * DATAGRAM_MAX],
            names: vec![name; BATCH],
            controls: vec![[0; CONTROL_WORDS]; BATCH],
            lens: vec![0; BATCH],
            sources: vec![None; BATCH],
            drops: 0,
            drops_told: 0,
        }
    }

    /// Blocks for the first datagram at most `WAKE` and takes what else is there.
    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut vectors: Vec<libc::iovec> = self
            .bytes
            .chunks_exact_mut(DATAGRAM_MAX)
            .map(|room| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(BATCH);
        let rooms = self.names.iter_mut().zip(&mut self.controls).zip(&mut vectors);
        for ((name, control), vector) in rooms {
            // SAFETY: mmsghdr is plain data, for which all zeros are a valid value.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = &raw mut *vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
            headers.push(header);
        }
        // SAFETY: every pointer in `headers` is to memory of `self` or `vectors` that lives and is
        // not otherwise used until the call returns, with the lengths given beside it.
        let count = unsafe {
            let none = std::ptr::null_mut();
            let flags = libc::MSG_WAITFORONE;
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), BATCH as u32, flags, none)
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().take(count).enumerate() {
            self.lens[i] = (header.msg_len as usize).min(DATAGRAM_MAX);
            self.sources[i] = source(&self.names[i]);
            if let Some(drops) = drops(&header.msg_hdr) {
                self.drops = drops;
            }
        }
        Ok(count)
    }

    fn take_drops(&mut self) -> u64 {
        let new = self.drops.wrapping_sub(self.drops_told);
        self.drops_told = self.drops;
        u64::from(new)
    }

    fn chunk(&self, kind: Kind, count: usize, received: i64) -> Chunk {
        let total = self.lens.iter().take(count).sum();
        let (bytes, ends) = (Vec::with_capacity(total), Vec::with_capacity(count));
        let mut chunk = Chunk { received, kind, bytes, ends };
        let rooms = self.bytes.chunks_exact(DATAGRAM_MAX).zip(&self.lens).zip(&self.sources);
        for ((room, &len), &source) in rooms.take(count) {
            if let Some(source) = source {
                chunk.push(source, &room[..len]);
            }
        }
        chunk
    }
}

/// The address that the kernel wrote, IPv4 where it is mapped into IPv6.
fn source(name: &libc::sockaddr_storage) -> Option<IpAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a sockaddr_in, which a sockaddr_storage has room and
            // alignment for.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, a sockaddr_in6.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(name.sin6_addr.s6_addr).to_canonical())
        }
        _ => None,
    }
}

/// SO_RXQ_OVFL: how many datagrams the kernel dropped on this socket since it was made; it says so
/// with the next datagram.
fn drops(header: &libc::msghdr) -> Option<u32> {
    // SAFETY: the kernel filled `msg_control` with `msg_controllen` bytes of control messages, and
    // the buffer lives as long as the header's borrow; CMSG_NXTHDR stays within it.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = control.as_ref() {
            if message.cmsg_level == libc::SOL_SOCKET && message.cmsg_type == libc::SO_RXQ_OVFL {
                return Some(libc::CMSG_DATA(control).cast::<u32>().read_unaligned());
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}
