//! Whole frames for callers that have no session yet: a client that wants the plan, a server that
//! answers it or turns a client away.

use crate::error::{Error, PlanFault, Result};
use crate::params::VERSION;
use crate::plan::{self, Plan};
use crate::wire::{Checksum, HEADER, OVERHEAD, TRAILER, Tag, emit_frame, emit_parts};

/// Bytes of a plan request.
pub const PLAN_REQUEST_BYTES: usize = 2 + OVERHEAD;
/// Bytes of an abort.
pub const ABORT_BYTES: usize = 2 + OVERHEAD;
/// Most bytes of a plan reply.
pub const PLAN_REPLY_MAX: usize = plan::MAX_BYTES + OVERHEAD;

/// What a client sends to get the plan, before its hello.
#[must_use]
pub fn plan_request() -> [u8; PLAN_REQUEST_BYTES] {
    short(Tag::PlanRequest, VERSION)
}

/// What a party sends that ends the connection because of `code`, see [`Error::code`].
#[must_use]
pub fn abort(code: u16) -> [u8; ABORT_BYTES] {
    short(Tag::Abort, code)
}

/// A frame with one number.
fn short(tag: Tag, number: u16) -> [u8; 2 + OVERHEAD] {
    let mut out = [0; 2 + OVERHEAD];
    let fits = emit_frame(tag, &number.to_le_bytes(), &mut out);
    debug_assert!(fits.is_ok());
    out
}

/// Bytes of the frame that carries this plan.
#[must_use]
pub const fn plan_reply_bytes(plan: &Plan<'_>) -> usize {
    plan.len_bytes() + OVERHEAD
}

/// Writes the answer to a plan request. Returns its length.
///
/// # Errors
/// [`Error::Memory`] if `out` has less than [`plan_reply_bytes`].
pub fn plan_reply(plan: &Plan<'_>, out: &mut [u8]) -> Result<usize> {
    let (content, digest) = plan.bytes();
    emit_parts(Tag::Plan, &[content, digest], out)
}

/// Reads the answer to a plan request. `Ok(None)`: more bytes are needed ([`PLAN_REPLY_MAX`] at
/// most). Returns the plan's bytes and the length of its frame.
///
/// # Errors
/// [`Error::PeerAborted`] if the server refused, [`Error::Plan`], or whatever is wrong with the
/// frame.
pub fn peek_plan(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [tag, length @ ..] = *header;
    let got = u32::from_le_bytes(length);
    let most = match tag {
        t if t == Tag::Plan as u8 => plan::MAX_BYTES as u32,
        t if t == Tag::Abort as u8 => 2,
        got => return Err(Error::Unexpected { expected: Tag::Plan as u8, got }),
    };
    if got > most {
        return Err(Error::FrameLength { got });
    }
    let Some((payload, trailer)) = body.split_at_checked(got as usize) else { return Ok(None) };
    let Some(trailer) = trailer.first_chunk::<TRAILER>() else { return Ok(None) };
    let mut checksum = Checksum::new();
    checksum.update(header);
    checksum.update(payload);
    if checksum.finish() != *trailer {
        return Err(Error::Checksum);
    }
    if tag == Tag::Abort as u8 {
        let code = payload.first_chunk().ok_or(Error::Malformed)?;
        return Err(Error::PeerAborted(u16::from_le_bytes(*code)));
    }
    if Plan::parse(payload)?.len_bytes() != payload.len() {
        return Err(Error::Plan(PlanFault::Truncated));
    }
    Ok(Some((payload, payload.len() + OVERHEAD)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Greeting;
    use crate::plan::{Header, Op, Quantisation};

    fn plan(out: &mut [u8]) -> usize {
        let input = Quantisation { scale: 1.0, min: -4, max: 4 };
        let header =
            Header { input_len: 3, output_len: 2, input, output_scale: 1.0, name: [0; 32] };
        let ops = [
            Op::FullyConnected { ring: 16, weight_bits: 8, inputs: 3, outputs: 2 },
            Op::Reveal { ring: 16, len: 2 },
        ];
        Plan::write(&header, &ops, out).unwrap()
    }

    #[test]
    fn plan_request_is_a_greeting() {
        let request = plan_request();
        assert_eq!(Greeting::peek(&request), Ok(Some((Greeting::PlanRequest, PLAN_REQUEST_BYTES))));
        assert_eq!(Greeting::peek(&request[..PLAN_REQUEST_BYTES - 1]), Ok(None));
    }

    #[test]
    fn plan_comes_back_whole_and_no_damage_passes() {
        let mut bytes = [0; plan::MAX_BYTES];
        let n = plan(&mut bytes);
        let plan = Plan::parse(&bytes[..n]).unwrap();
        let mut frame = [0; 400];
        let len = plan_reply(&plan, &mut frame).unwrap();
        assert_eq!(peek_plan(&frame), Ok(Some((&bytes[..n], len))));
        assert_eq!(plan_reply(&plan, &mut frame[..len - 1]), Err(Error::Memory { need: len }));
        for i in 0..len {
            assert_eq!(peek_plan(&frame[..i]), Ok(None));
            let mut damaged = frame;
            damaged[i] ^= 1 << (i % 8);
            assert!(!matches!(peek_plan(&damaged[..len]), Ok(Some(_))), "byte {i}");
        }
    }

    #[test]
    fn refusal_is_told() {
        let refusal = abort(Error::Refused.code());
        assert_eq!(peek_plan(&refusal), Err(Error::PeerAborted(107)));
        assert_eq!(
            peek_plan(&plan_request()),
            Err(Error::Unexpected { expected: Tag::Plan as u8, got: Tag::PlanRequest as u8 })
        );
    }
}
