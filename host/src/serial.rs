//! A serial line to a device: one session after the other, for the line knows no connections.
//!
//! A device that lost its power in the middle of a session starts a new one with a hello, which no
//! honest peer sends anywhere else. So the first bytes of a greeting end the session that was under
//! way, wherever they come, and whatever precedes a greeting is skipped. A false alarm in a
//! session's pseudo-random bytes has a probability of less than 2^-80 for each byte.

use crate::error::{Error, Result};
use crate::stream::Medium;
use core::time::Duration;
use minionn_core::handshake::{Greeting, HELLO_BYTES, Hello, plan_request};
use minionn_core::session::Options;
use minionn_core::session::blocking::Blocking;
use minionn_core::wire::{HEADER, OVERHEAD, Tag, emit_frame};
use serialport::{ClearBuffer, FlowControl, SerialPort};
use std::collections::VecDeque;
use std::io::{self, BufWriter, ErrorKind, Read as _, Write as _};

/// How long a silent device is waited for inside of a session.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes of a greeting come closer after each other than this, adapters on USB included.
const APART: Duration = Duration::from_millis(50);
/// Bytes of a hello that are the same in all sessions: head of the frame, magic.
const HELLO_START: usize = HEADER + 8;
/// Bytes buffered.
const BUFFER: usize = 1 << 12;

/// Settings of a port: 8 data bits, no parity, one stop bit, and these.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the device, for example `/dev/ttyUSB0`.
    pub port: String,
    /// Bits per second.
    pub baud: u32,
    /// Whether RTS and CTS are wired.
    pub flow_control: bool,
}

/// A serial line as the engine's blocking byte stream.
pub struct Line {
    name: String,
    port: Box<dyn SerialPort>,
    writer: BufWriter<Box<dyn SerialPort>>,
    /// Received, not yet read.
    pending: VecDeque<u8>,
    /// How every hello begins, and a whole request for the plan.
    greetings: [Vec<u8>; 2],
    state: State,
}

/// Where a line stands.
enum State {
    /// Before a session's hello was read.
    Greeting,
    /// Inside of a session; the first of the pending bytes belong to it for sure.
    Session(usize),
    /// The device has begun another session: no more bytes for this one.
    Restarted,
}

impl Line {
    /// Opens a port.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port cannot be opened with these settings.
    pub fn open(settings: &Settings) -> Result<Self> {
        let flow = if settings.flow_control { FlowControl::Hardware } else { FlowControl::None };
        let name = settings.port.clone();
        let port = serialport::new(&name, settings.baud).flow_control(flow).timeout(IDLE).open();
        match port {
            Ok(port) => Self::over(port, name),
            Err(error) => Err(Error::Listen { address: name, source: error.into() }),
        }
    }

    /// Over a port that is open already.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port has no second handle for writing.
    pub fn over(mut port: Box<dyn SerialPort>, name: String) -> Result<Self> {
        let second = port.set_timeout(IDLE).and_then(|()| port.try_clone());
        let failed = |error: serialport::Error| Error::Listen {
            address: name.clone(),
            source: error.into(),
        };
        let writer = BufWriter::with_capacity(BUFFER, second.map_err(failed)?);
        let start = hello_start().map_err(|_| Error::Bug("a hello without a beginning"))?;
        let greetings = [start, plan_request().to_vec()];
        Ok(Self { name, port, writer, pending: VecDeque::new(), greetings, state: State::Greeting })
    }

    /// The port's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Skips everything before a greeting, as long as it takes.
    ///
    /// # Errors
    /// If the port fails.
    pub fn await_greeting(&mut self) -> io::Result<()> {
        self.state = State::Greeting;
        loop {
            match Greeting::peek(self.pending.make_contiguous()) {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => match self.fill() {
                    Err(error) if error.kind() == ErrorKind::TimedOut => {}
                    result => result?,
                },
                Err(_) => _ = self.pending.pop_front(),
            }
        }
    }

    /// Waits for more bytes.
    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; BUFFER];
        match self.port.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.pending.extend(bytes.get(..n).unwrap_or_default());
                Ok(())
            }
        }
    }

    /// As [`Self::fill`], but only for the time that a greeting's bytes may lie apart. False if
    /// none came.
    fn fill_soon(&mut self) -> io::Result<bool> {
        self.port.set_timeout(APART)?;
        let result = self.fill();
        self.port.set_timeout(IDLE)?;
        match result {
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// How many of the pending bytes come before a greeting.
    fn before_greeting(&mut self) -> io::Result<usize> {
        loop {
            let pending = &*self.pending.make_contiguous();
            let meets = |at: &usize| {
                pending.get(*at..).is_some_and(|rest| {
                    self.greetings.iter().any(|g| rest.starts_with(g) || g.starts_with(rest))
                })
            };
            let Some(at) = (0..pending.len()).find(meets) else { return Ok(pending.len()) };
            // The begin of a greeting, or the end of a frame that looks like it: then the device
            // waits for an answer and sends no more.
            let whole = self
                .greetings
                .iter()
                .any(|g| pending.get(at..).is_some_and(|rest| rest.starts_with(g)));
            if whole {
                return Ok(at);
            }
            if !self.fill_soon()? {
                return Ok(self.pending.len());
            }
        }
    }

    /// Bytes that may be read now.
    fn ready(&mut self) -> io::Result<usize> {
        if self.pending.is_empty() && !matches!(self.state, State::Restarted) {
            self.fill()?;
        }
        if let State::Session(0) = self.state {
            self.state = match self.before_greeting()? {
                0 => State::Restarted,
                own => State::Session(own),
            };
            if let State::Restarted = self.state {
                // What was still to be sent is for a session that is no more.
                self.port.clear(ClearBuffer::Output)?;
            }
        }
        Ok(match self.state {
            State::Greeting => self.pending.len(),
            State::Session(own) => own,
            State::Restarted => 0,
        })
    }
}

/// The part of a hello that is the same in all.
fn hello_start() -> minionn_core::Result<Vec<u8>> {
    let mut frame = vec![0; HELLO_BYTES + OVERHEAD];
    emit_frame(
        Tag::Hello,
        &Hello { options: Options::default(), digest: [0; 32], nonce: [0; 32], pairing: None }
            .emit(),
        &mut frame,
    )?;
    frame.truncate(HELLO_START);
    Ok(frame)
}

impl embedded_io::ErrorType for Line {
    type Error = io::Error;
}

impl embedded_io::Read for Line {
    /// Returns 0, as at the end of a stream, when the device has begun another session.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.ready()?.min(buf.len());
        for (to, from) in buf.iter_mut().zip(self.pending.drain(..n)) {
            *to = from;
        }
        if let State::Session(own) = &mut self.state {
            *own -= n;
        }
        Ok(n)
    }
}

impl embedded_io::Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Medium for Blocking<&mut Line> {
    /// From here on, another hello ends the session. What was read with this one belongs to it.
    fn session_begins(&mut self) {
        self.0.state = State::Session(0);
    }
}
