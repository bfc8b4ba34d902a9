//! One error type: whose fault, and what.

use core::fmt;

/// Result of the engine.
pub type Result<T> = core::result::Result<T, Error>;

/// What went wrong. `Copy`, no strings, small enough to be returned in registers; [`Error::code`]
/// is stable for the C ABI and for abort frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Caller: the memory handed in is too small.
    Memory {
        /// Bytes needed.
        need: usize,
    },
    /// Caller: the memory handed in is not aligned to [`crate::memory::ALIGN`].
    Alignment,
    /// Caller: the file is not a plan of this version, or is damaged.
    Plan(PlanFault),
    /// Caller: the file is not a model of this version, or is damaged.
    Model(PlanFault),
    /// Caller: an input or output slice has the wrong length.
    Length {
        /// Elements needed.
        need: usize,
    },
    /// Caller: an input value is not a number or outside the plan's input range.
    Input,
    /// Caller: an option is outside its range.
    Option,
    /// Caller: no offline material is left; prepare first. Material is never used twice.
    Exhausted,
    /// Caller: this call is not allowed in this state.
    State,
    /// Caller: the session has ended after an error or a close.
    Closed,
    /// Caller: the random source failed.
    Random,
    /// Caller: the store for garbled tables failed.
    Store,
    /// Caller: these bytes are no pairing of this version, or damaged.
    Pairing(PlanFault),
    /// Link: reading or writing failed.
    Io,
    /// Link: the peer closed the connection in the middle of the protocol.
    Eof,
    /// Peer: a frame of another kind was due.
    Unexpected {
        /// Tag that was due.
        expected: u8,
        /// Tag that came.
        got: u8,
    },
    /// Peer: a frame's length differs from what plan and options demand.
    FrameLength {
        /// Bytes announced.
        got: u32,
    },
    /// Peer or link: a frame's checksum does not match.
    Checksum,
    /// Peer: speaks another version of the protocol.
    Version,
    /// Peer: has another plan.
    PlanMismatch,
    /// Peer: options refused by this party.
    Refused,
    /// Peer: a field holds a value that an honest peer cannot send.
    Malformed,
    /// Peer: names a pairing that this party does not have.
    UnknownPairing,
    /// Peer: its corrections of OTs contradict each other. A server must not use the pairing again:
    /// delete it wherever it is kept.
    Inconsistent,
    /// Peer: ended the session with this error code.
    PeerAborted(u16),
    /// Bug in this library: an invariant did not hold.
    Internal,
}

/// Why a plan, model or pairing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum PlanFault {
    /// Too short, or its length field disagrees.
    Truncated = 1,
    /// Not a file of this kind.
    Magic = 2,
    /// Written for another version.
    Version = 3,
    /// The digest at its end does not match its content.
    Digest = 4,
    /// A field is outside its range.
    Field = 5,
    /// Neighbouring operations do not fit together.
    Shape = 6,
    /// No parameter set carries the noise of a layer.
    Noise = 7,
    /// A weight is wider than the plan says.
    Weight = 8,
}

// On a microcontroller, results that are returned in memory are 2 % of a client's flash. What the
// caller handed in, or what was due of the peer, is known without the error.
const _: () = assert!(size_of::<Result<()>>() <= 2 * size_of::<usize>());

impl Error {
    /// Stable number: 1–99 caller, 100–199 link and peer, 200 bug.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Memory { .. } => 1,
            Self::Alignment => 2,
            Self::Plan(_) => 3,
            Self::Model(_) => 4,
            Self::Length { .. } => 5,
            Self::Input => 6,
            Self::Option => 7,
            Self::Exhausted => 8,
            Self::State => 9,
            Self::Closed => 10,
            Self::Random => 11,
            Self::Store => 12,
            Self::Pairing(_) => 13,
            Self::Io => 100,
            Self::Eof => 101,
            Self::Unexpected { .. } => 102,
            Self::FrameLength { .. } => 103,
            Self::Checksum => 104,
            Self::Version => 105,
            Self::PlanMismatch => 106,
            Self::Refused => 107,
            Self::Malformed => 108,
            Self::PeerAborted(_) => 109,
            Self::UnknownPairing => 110,
            Self::Inconsistent => 111,
            Self::Internal => 200,
        }
    }

    /// One sentence for a code of [`Error::code`]: what happened and what to do.
    #[must_use]
    pub const fn describe(code: u16) -> &'static str {
        match code {
            0 => "no error",
            1 => "memory too small: ask for the size first and hand in that much",
            2 => "memory not aligned: align it to the value that the size query returns",
            3 => "not a usable plan: compile the model again with this version",
            4 => "not a usable model: compile it again with this version",
            5 => "wrong number of elements: see the plan's input and output length",
            6 => "an input is not a number or outside the plan's input range",
            7 => "an option is outside its range",
            8 => "no offline material left: prepare again before predicting",
            9 => "this call is not allowed in this state",
            10 => "the session has ended: open a new one",
            11 => "the random source failed: nothing secret was sent",
            12 => "the table store failed: check its size and medium",
            13 => "not a usable pairing: set up again, without it",
            100 => "reading from or writing to the peer failed",
            101 => "the peer closed the connection early",
            102 => "the peer sent a message that was not due: do both sides run the same version?",
            103 => {
                "the peer sent a message of the wrong length: do both sides use the same plan and \
                 options?"
            }
            104 => "a message arrived damaged: check the link",
            105 => "the peer speaks another protocol version: update the older side",
            106 => "the peer serves another plan: fetch its plan again",
            107 => "the peer's options are refused: lower the stock size or choose other options",
            108 => "the peer sent a value that no honest peer sends",
            109 => "the peer ended the session with an error",
            110 => "the server does not have this pairing: set up again, without it",
            111 => {
                "the peer's OTs are inconsistent, which no honest peer's are: delete the pairing"
            }
            200 => "internal error: please report it",
            _ => "unknown error code",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::describe(self.code()))?;
        match self {
            Self::Memory { need } => write!(f, " ({need} bytes needed)"),
            Self::Length { need } => write!(f, " ({need} needed)"),
            Self::Unexpected { expected, got } => write!(f, " (tag {expected} due, {got} came)"),
            Self::FrameLength { got } => write!(f, " ({got} bytes announced)"),
            Self::Plan(fault) | Self::Model(fault) | Self::Pairing(fault) => {
                write!(f, " ({})", fault.describe())
            }
            Self::PeerAborted(code) => write!(f, ": {}", Self::describe(*code)),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for Error {}

impl PlanFault {
    /// What is wrong, in a few words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Truncated => "truncated, or its length field disagrees",
            Self::Magic => "not a file of this kind",
            Self::Version => "written for another version",
            Self::Digest => "its digest does not match: the file is damaged",
            Self::Field => "a field is outside its range",
            Self::Shape => "neighbouring operations do not fit together",
            Self::Noise => {
                "no parameter set carries a layer's noise: use fewer weight or activation bits"
            }
            Self::Weight => "a weight is wider than the plan says",
        }
    }
}
