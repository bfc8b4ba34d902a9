//! The first message of a client.

use crate::error::{Error, Result};
use crate::options::{Activations, Options, Tables};
use crate::ot::Repetition;
use crate::params::VERSION;
use crate::plan::DIGEST;
use crate::wire::{Checksum, HEADER, OVERHEAD, TRAILER, Tag};

/// First bytes of a hello.
const MAGIC: [u8; 8] = *b"MiniONN\0";

/// Bytes of a hello's payload: magic, version, k, tables, stock, plan digest, nonce, pairing.
pub const HELLO_BYTES: usize = 8 + 2 + 1 + 1 + 4 + DIGEST + 32 + 16;

/// Bytes of a welcome's payload: version, nonce.
pub const WELCOME_BYTES: usize = 2 + 32;

/// Names a pairing. Public; not zero.
pub type PairingId = [u8; 16];

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// How the session is to run.
    pub options: Options,
    /// The plan that the client holds.
    pub digest: [u8; DIGEST],
    /// Fresh for this session.
    pub nonce: [u8; 32],
    /// The pairing to go on with, instead of a set-up. On the wire, zeros: none.
    pub pairing: Option<PairingId>,
}

impl Hello {
    /// The payload.
    #[must_use]
    pub fn emit(&self) -> [u8; HELLO_BYTES] {
        let mut out = [0; HELLO_BYTES];
        let o = &self.options;
        let (version, stock) = (VERSION.to_le_bytes(), o.stock.to_le_bytes());
        let pairing = self.pairing.unwrap_or_default();
        let choices = [o.repetition.k() as u8, o.tables as u8 | o.activations.code() << 1];
        let fields: [&[u8]; 7] =
            [&MAGIC, &version, &choices, &stock, &self.digest, &self.nonce, &pairing];
        for (to, from) in out.iter_mut().zip(fields.iter().flat_map(|f| f.iter())) {
            *to = *from;
        }
        out
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`Error::Malformed`] if this is no hello, [`Error::Version`] for another version,
    /// [`Error::Refused`] for unknown options.
    pub fn parse(bytes: &[u8; HELLO_BYTES]) -> Result<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(Error::Internal)?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(Error::Internal)?;
        let ([k, modes], rest) = rest.split_first_chunk::<2>().ok_or(Error::Internal)?;
        let (stock, rest) = rest.split_first_chunk::<4>().ok_or(Error::Internal)?;
        let (digest, rest) = rest.split_first_chunk::<DIGEST>().ok_or(Error::Internal)?;
        let (nonce, rest) = rest.split_first_chunk::<32>().ok_or(Error::Internal)?;
        let pairing = *rest.first_chunk::<16>().ok_or(Error::Internal)?;
        if *magic != MAGIC {
            return Err(Error::Malformed);
        }
        if u16::from_le_bytes(*version) != VERSION {
            return Err(Error::Version);
        }
        let tables = if modes & 1 == 0 { Tables::Stored } else { Tables::Streamed };
        let activations = Activations::from_code(modes >> 1);
        let repetition = Repetition::from_k(*k).ok_or(Error::Refused)?;
        let options =
            Options { repetition, tables, stock: u32::from_le_bytes(*stock), activations };
        options.check().map_err(|_| Error::Refused)?;
        Ok(Self {
            options,
            digest: *digest,
            nonce: *nonce,
            pairing: (pairing != [0; 16]).then_some(pairing),
        })
    }
}

/// What a new connection asks for: a server looks before it reserves memory for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The plan, please; a hello follows.
    PlanRequest,
    /// A session. The engine reads the same bytes again.
    Hello(Hello),
}

impl Greeting {
    /// Reads a greeting from the first bytes of a connection. `Ok(None)`: more bytes are needed
    /// ([`Greeting::MAX`] at most). Returns the greeting and the length of its frame.
    ///
    /// # Errors
    /// Whatever is wrong with the frame.
    pub fn peek(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [tag, length @ ..] = *header;
        let need = match tag {
            t if t == Tag::Hello as u8 => HELLO_BYTES,
            t if t == Tag::PlanRequest as u8 => VERSION.to_le_bytes().len(),
            got => return Err(Error::Unexpected { expected: Tag::Hello as u8, got }),
        };
        let got = u32::from_le_bytes(length);
        if got as usize != need {
            return Err(Error::FrameLength { got });
        }
        let (Some(payload), Some(trailer)) = (body.get(..need), body.get(need..need + TRAILER))
        else {
            return Ok(None);
        };
        let mut checksum = Checksum::new();
        checksum.update(header);
        checksum.update(payload);
        if checksum.finish() != trailer {
            return Err(Error::Checksum);
        }
        let greeting = match payload.first_chunk::<HELLO_BYTES>() {
            Some(hello) => Self::Hello(Hello::parse(hello)?),
            None if payload == VERSION.to_le_bytes() => Self::PlanRequest,
            None => return Err(Error::Version),
        };
        Ok(Some((greeting, need + OVERHEAD)))
    }

    /// Most bytes that [`Greeting::peek`] wants.
    pub const MAX: usize = HELLO_BYTES + OVERHEAD;
}
