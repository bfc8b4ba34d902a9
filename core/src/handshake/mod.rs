//! The first messages of a connection, before there is a session: the plan on request, the hello.

mod greeting;
mod hello;

pub use greeting::{
    ABORT_BYTES, PLAN_REPLY_MAX, PLAN_REQUEST_BYTES, abort, peek_plan, plan_reply,
    plan_reply_bytes, plan_request,
};
pub use hello::{Greeting, HELLO_BYTES, Hello, PairingId, WELCOME_BYTES};

/// Bytes of a frame before its payload.
pub const FRAME_HEADER: usize = crate::wire::HEADER;
