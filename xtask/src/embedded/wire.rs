//! Wires between an emulator and a server, which can be cut after any number of bytes.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use core::time::Duration;
use serialport::{SerialPort as _, TTYPort};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Bytes moved at a time.
const BUFFER: usize = 1 << 12;
/// Bytes of the frame that begins a session, its nonce among them: docs/protocol.md.
const GREETING: usize = 105;
/// How often a silent pseudo-terminal is asked again.
const POLL: Duration = Duration::from_millis(50);
/// How long a terminal may stay full.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many bytes a wire still carries, both ways together.
#[derive(Clone, Debug)]
struct Budget(Arc<AtomicU64>);

impl Budget {
    /// Takes up to `bytes` from it.
    fn spend(&self, bytes: usize) -> usize {
        let left = self
            .0
            .fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(bytes as u64)))
            .unwrap_or(0);
        left.min(bytes as u64) as usize
    }

    fn is_spent(&self) -> bool {
        self.0.load(SeqCst) == 0
    }
}

/// A TCP port that leads to a server, or over a pseudo-terminal to a serial port.
pub(crate) struct Wire {
    /// For the emulator.
    pub(crate) port: u16,
    budget: Budget,
    connected: Arc<Mutex<Vec<TcpStream>>>,
    greetings: Greetings,
}

/// The first bytes of every connection from a device.
type Greetings = Arc<Mutex<Vec<Vec<u8>>>>;

impl Wire {
    fn listen() -> Result<(Self, TcpListener), String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let wire = Self {
            port,
            budget: Budget(Arc::new(AtomicU64::new(u64::MAX))),
            connected: Arc::default(),
            greetings: Arc::default(),
        };
        Ok((wire, listener))
    }

    /// To a server's TCP port; each connection to a new one.
    pub(crate) fn to_tcp(server: u16) -> Result<Self, String> {
        let (wire, listener) = Self::listen()?;
        let (budget, connected, greetings) =
            (wire.budget.clone(), wire.connected.clone(), wire.greetings.clone());
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (Ok(near2), Ok(far2)) = (near.try_clone(), far.try_clone()) else { continue };
                remember(&connected, [&near, &far]);
                let (to, fro, seen) = (budget.clone(), budget.clone(), greetings.clone());
                thread::spawn(move || pump(near, far, &to, Some(&seen)));
                thread::spawn(move || pump(far2, near2, &fro, None));
            }
        });
        Ok(wire)
    }

    /// To a pseudo-terminal, whose other end a server opens under the name returned. What is sent
    /// while no emulator is connected is lost, as on a wire with nobody at its end.
    pub(crate) fn to_terminal() -> Result<(Self, Terminal), String> {
        let (wire, listener) = Self::listen()?;
        let (mut near, far) = TTYPort::pair().map_err(|error| error.to_string())?;
        near.set_timeout(POLL).map_err(|error| error.to_string())?;
        let mut writer = near.try_clone_native().map_err(|error| error.to_string())?;
        // A server that computes reads nothing, and a terminal holds 4 kB.
        writer.set_timeout(PATIENCE).map_err(|error| error.to_string())?;
        let (up, down) = (wire.budget.clone(), wire.budget.clone());
        let device: Arc<Mutex<Option<TcpStream>>> = Arc::default();
        let (connected, greetings, to_device) =
            (wire.connected.clone(), wire.greetings.clone(), device.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                remember(&connected, [&stream]);
                *lock(&device) = stream.try_clone().ok();
                pump(stream, &mut writer, &up, Some(&greetings));
                *lock(&device) = None;
            }
        });
        thread::spawn(move || {
            let mut bytes = [0; BUFFER];
            loop {
                let n = match near.read(&mut bytes) {
                    Ok(n) => n,
                    Err(error) if error.kind() == ErrorKind::TimedOut => continue,
                    Err(_) => return,
                };
                let mut device = lock(&to_device);
                let granted = if device.is_some() { down.spend(n) } else { 0 };
                if let (Some(stream), Some(bytes)) = (device.as_mut(), bytes.get(..granted)) {
                    let _ = stream.write_all(bytes);
                }
            }
        });
        let name = far.name().ok_or("a pseudo-terminal without a name")?;
        Ok((wire, Terminal { name, _kept_open: far }))
    }

    /// Carries `bytes` bytes more, then breaks every connection.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.budget.0.store(bytes, SeqCst);
    }

    /// Whole again.
    pub(crate) fn mend(&self) {
        self.cut_after(u64::MAX);
    }

    /// Whether it has been cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.budget.is_spent()
    }

    /// Whether no device began a session as another one did: each has a nonce of its own, made from
    /// its seed.
    pub(crate) fn all_greetings_differ(&self) -> Result<(), String> {
        let mut greetings = lock(&self.greetings).clone();
        greetings.retain(|greeting| greeting.len() == GREETING);
        let all = greetings.len();
        greetings.sort();
        greetings.dedup();
        if all > 0 && greetings.len() == all {
            Ok(())
        } else {
            Err(format!("of {all} greetings only {} differ", greetings.len()))
        }
    }

    /// Breaks every connection now.
    pub(crate) fn cut(&self) {
        for stream in lock(&self.connected).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The server's end of a serial wire.
pub(crate) struct Terminal {
    /// For `minionn serve --serial`.
    pub(crate) name: String,
    /// While nobody has it open, the other end fails.
    _kept_open: TTYPort,
}

/// Moves bytes until one side ends or the wire is cut. Notes the first ones.
fn pump(
    mut from: TcpStream,
    mut to: impl Write + Close,
    budget: &Budget,
    greetings: Option<&Greetings>,
) {
    let mut bytes = [0; BUFFER];
    let mut first = Vec::new();
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        let missing = GREETING - first.len();
        first.extend(bytes.iter().take(n.min(missing)));
        let granted = budget.spend(n);
        if to.write_all(bytes.get(..granted).unwrap_or_default()).is_err() || granted < n {
            break;
        }
    }
    greetings.into_iter().for_each(|all| lock(all).push(first.clone()));
    let _ = from.shutdown(Shutdown::Both);
    to.close();
}

/// How the far end of a wire is told that this one has ended.
trait Close {
    fn close(&mut self);
}

impl Close for TcpStream {
    fn close(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Close for &mut TTYPort {
    /// A line has no end.
    fn close(&mut self) {}
}

fn remember<const K: usize>(connected: &Mutex<Vec<TcpStream>>, streams: [&TcpStream; K]) {
    lock(connected).extend(streams.into_iter().filter_map(|stream| stream.try_clone().ok()));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
