//! TCP over Ethernet by `smoltcp`, polled.

use super::lan9118::Lan9118;
use super::{Fault, Link, PATIENCE_MS};
use crate::time::{Clock, Deadline};
use embedded_io::{Read, ReadReady, Write};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address};
use static_cell::ConstStaticCell;

/// Bytes buffered each way. More than about 8 KiB received lets QEMU's controller drop frames.
const RECEIVE: usize = 4096;
const SEND: usize = 4096;
/// A locally administered address.
const HARDWARE: EthernetAddress = EthernetAddress([0x02, 0x4d, 0x69, 0x6e, 0x69, 0x4f]);
/// The device in QEMU's user network, and its gateway, which is the host's loopback interface.
const DEVICE: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const PREFIX: u8 = 24;
/// First of the ports for outgoing connections.
const EPHEMERAL: u16 = 49_152;
/// How long the end of a connection is waited for.
const LINGER_MS: u32 = 2_000;

/// What the network needs of RAM: all zeros, so that it takes no flash.
struct Memory {
    device: Lan9118,
    receive: [u8; RECEIVE],
    send: [u8; SEND],
}

static MEMORY: ConstStaticCell<Memory> =
    ConstStaticCell::new(Memory { device: Lan9118::new(), receive: [0; RECEIVE], send: [0; SEND] });
static SOCKETS: ConstStaticCell<[SocketStorage<'static>; 1]> =
    ConstStaticCell::new([SocketStorage::EMPTY]);

/// Whom the link is with.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// A server on this port of the host.
    Host(u16),
    /// Clients that connect to this port of the device.
    Any(u16),
}

/// One TCP connection at a time as a link.
pub struct Ethernet {
    device: &'static mut Lan9118,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    clock: Clock,
    peer: Peer,
    opened: u16,
}

impl Ethernet {
    /// Starts controller and network, once. `seed` varies port and sequence numbers from start to
    /// start. `None` if there is no controller.
    pub fn start(peer: Peer, seed: u64) -> Option<Self> {
        let (Memory { device, receive, send }, sockets) = (MEMORY.try_take()?, SOCKETS.try_take()?);
        if !device.start(HARDWARE) {
            return None;
        }
        let mut config = Config::new(HARDWARE.into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, device, Instant::ZERO);
        // There is room for an address and a route: both are the first.
        interface.update_ip_addrs(|all| _ = all.push(IpCidr::new(IpAddress::Ipv4(DEVICE), PREFIX)));
        _ = interface.routes_mut().add_default_ipv4_route(GATEWAY);
        let mut sockets = SocketSet::new(&mut sockets[..]);
        let mut socket =
            Socket::new(SocketBuffer::new(&mut receive[..]), SocketBuffer::new(&mut send[..]));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let socket = sockets.add(socket);
        Some(Self {
            device,
            interface,
            sockets,
            socket,
            clock: Clock::start(),
            peer,
            opened: seed as u16,
        })
    }

    /// Moves frames. Bounded work.
    fn poll(&mut self) -> PollResult {
        let now =
            Instant::from_millis(i64::try_from(self.clock.milliseconds()).unwrap_or(i64::MAX));
        self.interface.poll(now, self.device, &mut self.sockets)
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    /// Polls until `done` says something, or the time is over.
    fn until<T>(
        &mut self,
        milliseconds: u32,
        mut done: impl FnMut(&mut Socket<'static>) -> Option<Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let deadline = Deadline::after(milliseconds);
        loop {
            if let Some(result) = done(self.socket()) {
                return result;
            }
            self.poll();
            if deadline.passed() {
                return Err(Fault::Silent);
            }
        }
    }

    /// Connects to the host.
    fn connect(&mut self, port: u16) -> Result<(), Fault> {
        self.opened = self.opened.wrapping_add(1);
        let local = EPHEMERAL | self.opened;
        let Self { interface, sockets, socket, .. } = self;
        let socket = sockets.get_mut::<Socket<'_>>(*socket);
        socket
            .connect(interface.context(), (IpAddress::Ipv4(GATEWAY), port), local)
            .map_err(|_| Fault::Closed)?;
        self.until(PATIENCE_MS, |socket| match (socket.may_send(), socket.is_open()) {
            (true, _) => Some(Ok(())),
            (false, true) => None,
            (false, false) => Some(Err(Fault::Closed)),
        })
    }

    /// Waits for a client, as long as it takes.
    fn accept(&mut self, port: u16) -> Result<(), Fault> {
        self.socket().listen(port).map_err(|_| Fault::Closed)?;
        while !self.socket().may_send() {
            self.poll();
        }
        Ok(())
    }
}

impl embedded_io::ErrorType for Ethernet {
    type Error = Fault;
}

impl Read for Ethernet {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        self.until(PATIENCE_MS, |socket| match socket.recv_slice(buf) {
            Ok(0) if !buf.is_empty() && socket.may_recv() => None,
            Ok(n) => Some(Ok(n)),
            // The peer has closed its half: the end of the stream.
            Err(_) => Some(Ok(0)),
        })
    }
}

impl ReadReady for Ethernet {
    /// Whether [`Read::read`] would return at once. Moves frames.
    fn read_ready(&mut self) -> Result<bool, Fault> {
        self.poll();
        let socket = self.socket();
        Ok(socket.can_recv() || !socket.may_recv())
    }
}

impl Write for Ethernet {
    /// Fills the buffer; frames leave when it is full, or with [`Write::flush`].
    fn write(&mut self, buf: &[u8]) -> Result<usize, Fault> {
        self.until(PATIENCE_MS, |socket| match socket.send_slice(buf) {
            Ok(0) if !buf.is_empty() => None,
            Ok(n) => Some(Ok(n)),
            Err(_) => Some(Err(Fault::Closed)),
        })
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.poll();
        Ok(())
    }
}

impl Link for Ethernet {
    fn open(&mut self) -> Result<(), Fault> {
        self.socket().abort();
        self.poll();
        match self.peer {
            Peer::Host(port) => self.connect(port),
            Peer::Any(port) => self.accept(port),
        }
    }

    fn close(&mut self) {
        self.socket().close();
        // Best effort: the session is over.
        let _ = self.until(LINGER_MS, |socket| {
            (!socket.is_active() || socket.send_queue() == 0 && !socket.may_recv())
                .then_some(Ok(()))
        });
    }
}
