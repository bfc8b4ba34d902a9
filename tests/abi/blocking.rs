//! Both parties over a socket, each waiting for the other.

use crate::parties::{Memory, Model, PLAN, Pair, counter, expected, options, progress};
use core::ffi::c_void;
use core::ptr::{null, null_mut};
use minionn::minionn_status::*;
use minionn::*;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// What stands behind a test's [`minionn_io`].
struct Link {
    stream: TcpStream,
    /// Bytes that may still be read, or written, before it breaks.
    left: [usize; 2],
    /// At most as many at once.
    step: usize,
    /// The session that it is used for, to come back with.
    session: *mut minionn_session,
}

unsafe extern "C" fn read(user: *mut c_void, out: *mut u8, capacity: usize) -> isize {
    // SAFETY: the tests hand in a link, the library a buffer.
    let (link, out) =
        unsafe { (&mut *user.cast::<Link>(), core::slice::from_raw_parts_mut(out, capacity)) };
    if !link.session.is_null() {
        // SAFETY: a live handle, whose call is under way.
        assert_eq!(unsafe { minionn_client_prepare(link.session) }, MINIONN_ERROR_STATE);
    }
    let most = capacity.min(link.step).min(link.left[0]);
    if most == 0 {
        return -1;
    }
    link.stream.read(&mut out[..most]).map_or(-1, |n| {
        link.left[0] -= n;
        n as isize
    })
}

unsafe extern "C" fn write(user: *mut c_void, bytes: *const u8, len: usize) -> isize {
    // SAFETY: as above.
    let (link, bytes) =
        unsafe { (&mut *user.cast::<Link>(), core::slice::from_raw_parts(bytes, len)) };
    let most = len.min(link.step).min(link.left[1]);
    if most == 0 {
        return -1;
    }
    link.stream.write_all(&bytes[..most]).map_or(-1, |()| {
        link.left[1] -= most;
        most as isize
    })
}

/// Claims to have read or written more than there is room for.
unsafe extern "C" fn boasting_read(_: *mut c_void, _: *mut u8, capacity: usize) -> isize {
    capacity as isize + 1
}
unsafe extern "C" fn boasting_write(_: *mut c_void, _: *const u8, len: usize) -> isize {
    len as isize + 1
}

impl Link {
    const fn new(stream: TcpStream, step: usize) -> Self {
        Self { stream, left: [usize::MAX; 2], step, session: null_mut() }
    }
    fn io(&mut self) -> minionn_io {
        minionn_io { read: Some(read), write: Some(write), user: core::ptr::from_mut(self).cast() }
    }
}

/// Two ends of a connection.
fn connection() -> [TcpStream; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    [client, listener.accept().unwrap().0]
}

/// Serves one client, as a program in C would.
fn serve(mut stream: TcpStream, step: usize) -> minionn_progress {
    let (own, mut count) = (options(1, 4096), 77);
    let random = counter(&mut count);
    let mut greeting = core::mem::MaybeUninit::<minionn_greeting>::uninit();
    let mut bytes = Vec::new();
    // SAFETY: live pointers; a call that succeeds has filled the greeting.
    unsafe {
        let greeting = loop {
            let at = greeting.as_mut_ptr();
            match minionn_greeting_peek(bytes.as_ptr(), bytes.len(), &own, at) {
                MINIONN_NEED_MORE => {
                    let mut piece = [0; 7];
                    let n = stream.read(&mut piece).unwrap();
                    assert_ne!(n, 0);
                    bytes.extend_from_slice(&piece[..n]);
                }
                MINIONN_OK => {
                    let told = greeting.assume_init();
                    if told.kind != minionn_greeting_kind::MINIONN_GREETING_PLAN_REQUEST {
                        break told;
                    }
                    let (mut reply, mut n) = ([0; MINIONN_PLAN_REPLY_MAX], 0);
                    let (at, len) = (reply.as_mut_ptr(), reply.len());
                    let status = minionn_plan_reply(PLAN.as_ptr(), PLAN.len(), at, len, &mut n);
                    assert_eq!(status, MINIONN_OK);
                    stream.write_all(&reply[..n]).unwrap();
                    bytes.drain(..told.frame_len);
                }
                status => panic!("{status:?}"),
            }
        };
        let model = Model::new(greeting.options.stock);
        let (mut size, mut session, mut taken) = (0, null_mut(), 0);
        let options = greeting.options;
        assert_eq!(minionn_server_memory(model.handle, &options, &mut size), MINIONN_OK);
        let mut memory = Memory::new(size);
        let at = memory.at();
        let status = minionn_server_init(at, size, model.handle, &options, &random, &mut session);
        assert_eq!(status, MINIONN_OK);
        let (at, len) = (bytes.as_ptr(), bytes.len());
        assert_eq!(minionn_session_feed(session, at, len, &mut taken), MINIONN_OK);
        assert_eq!(taken, len);
        let mut link = Link::new(stream, step);
        assert_eq!(minionn_session_run(session, &link.io()), MINIONN_OK);
        let told = progress(session);
        minionn_session_wipe(session);
        told
    }
}

#[test]
fn both_parties_wait_for_each_other() {
    for step in [1 << 16, 97] {
        let [stream, peer] = connection();
        let server = std::thread::spawn(move || serve(peer, step));
        let x: Vec<i64> = (0..64).map(|i| i % 13).collect();
        let (options, mut count) = (options(2, 4096), 1);
        let random = counter(&mut count);
        let mut link = Link::new(stream, step);
        let io = link.io();
        let mut received = vec![0; MINIONN_PLAN_REPLY_MAX];
        let (mut plan, mut len) = (null(), 0);
        let (mut size, mut session) = (0, null_mut());
        let (mut logits, mut written, mut argmax) = ([0; 10], 0, 0);
        // SAFETY: live pointers.
        unsafe {
            let (at, capacity) = (received.as_mut_ptr(), received.len());
            let status = minionn_plan_fetch(&io, at, capacity, &mut plan, &mut len);
            assert_eq!(status, MINIONN_OK);
            assert_eq!(core::slice::from_raw_parts(plan, len), PLAN);
            assert_eq!(minionn_client_memory(plan, len, &options, &mut size), MINIONN_OK);
            let mut memory = Memory::new(size);
            let at = memory.at();
            let status = minionn_client_init(at, size, plan, len, &options, &random, &mut session);
            assert_eq!(status, MINIONN_OK);
            (*io.user.cast::<Link>()).session = session;
            let run = |status| {
                assert_eq!(status, MINIONN_OK);
                assert_eq!(minionn_session_run(session, &io), MINIONN_OK);
            };
            run(MINIONN_OK);
            run(minionn_client_prepare(session));
            for remaining in [1, 0] {
                run(minionn_client_predict_quantised(session, x.as_ptr(), x.len()));
                assert_eq!(progress(session).remaining, remaining);
            }
            let (at, w, a) = (logits.as_mut_ptr(), &mut written, &mut argmax);
            let status = minionn_client_answer_quantised(session, at, 10, w, a);
            assert_eq!(status, MINIONN_OK);
            run(minionn_client_close(session));
            assert_eq!(progress(session).state, minionn_state::MINIONN_CLOSED);
            minionn_session_wipe(session);
            assert!(memory.is_wiped());
        }
        assert_eq!((argmax, logits.to_vec()), expected(&x));
        let told = server.join().unwrap();
        assert_eq!((told.state, told.predictions), (minionn_state::MINIONN_CLOSED, 2));
    }
}

/// A broken link ends a session, and for good: bytes may have been lost.
#[test]
fn a_link_that_fails_ends_the_session() {
    for (left, status) in [
        // Nothing can be sent; part of the greeting; nothing can be read.
        ([usize::MAX, 0], MINIONN_ERROR_IO),
        ([usize::MAX, 50], MINIONN_ERROR_IO),
        ([0, usize::MAX], MINIONN_ERROR_IO),
    ] {
        let [stream, _peer] = connection();
        let pair = Pair::new(&options(1, 4096));
        let mut link = Link { left, ..Link::new(stream, 1 << 16) };
        let io = link.io();
        let mut state = minionn_state::MINIONN_BUSY;
        // SAFETY: live pointers.
        unsafe {
            assert_eq!(minionn_session_run(pair.client, &io), status);
            (*io.user.cast::<Link>()).left = [usize::MAX; 2];
            assert_eq!(minionn_session_run(pair.client, &io), status);
            assert_eq!(minionn_session_poll(pair.client, &mut state), status);
            assert_eq!(minionn_client_prepare(pair.client), status);
            assert_eq!(minionn_client_close(pair.client), status);
        }
        let told = progress(pair.client);
        assert_eq!((told.state, told.status), (minionn_state::MINIONN_FAILED, status));
    }
    // A peer that has gone, in the two ways of telling it.
    let [stream, peer] = connection();
    drop(peer);
    let pair = Pair::new(&options(1, 4096));
    let mut link = Link::new(stream, 1 << 16);
    link.stream.set_nodelay(true).unwrap();
    let boasting = minionn_io { read: Some(boasting_read), write: Some(write), ..link.io() };
    let silent = minionn_io { write: None, ..boasting };
    // SAFETY: live pointers.
    unsafe {
        assert_eq!(minionn_session_run(pair.server, &silent), MINIONN_ERROR_NULL);
        assert_eq!(minionn_session_run(pair.server, &link.io()), MINIONN_ERROR_EOF);
        assert_eq!(minionn_session_run(pair.client, &boasting), MINIONN_ERROR_IO);
    }
    let pair = Pair::new(&options(1, 4096));
    let boasting = minionn_io { write: Some(boasting_write), ..boasting };
    // SAFETY: live pointers.
    assert_eq!(unsafe { minionn_session_run(pair.client, &boasting) }, MINIONN_ERROR_IO);
}

#[test]
fn no_plan_is_told() {
    let mut refusal = vec![0; MINIONN_REFUSAL_BYTES];
    let mut reply = vec![0; MINIONN_PLAN_REPLY_MAX];
    let mut n = 0;
    // SAFETY: live buffers.
    unsafe {
        let reason = MINIONN_ERROR_REFUSED as i32;
        let at = refusal.as_mut_ptr();
        assert_eq!(minionn_greeting_refuse(reason, at, refusal.len(), &mut n), MINIONN_OK);
        let (at, len) = (reply.as_mut_ptr(), reply.len());
        assert_eq!(minionn_plan_reply(PLAN.as_ptr(), PLAN.len(), at, len, &mut n), MINIONN_OK);
    }
    reply.truncate(n);
    let more = [&reply[..], &[0]].concat();
    for (says, capacity, status) in [
        (&refusal[..], MINIONN_PLAN_REPLY_MAX, MINIONN_ERROR_PEER_ABORTED),
        (b"HTTP/1.1 400 ", MINIONN_PLAN_REPLY_MAX, MINIONN_ERROR_UNEXPECTED),
        (&[], MINIONN_PLAN_REPLY_MAX, MINIONN_ERROR_EOF),
        (&reply[..n - 1], MINIONN_PLAN_REPLY_MAX, MINIONN_ERROR_EOF),
        (&reply, n - 1, MINIONN_ERROR_MEMORY),
        (&more, MINIONN_PLAN_REPLY_MAX, MINIONN_ERROR_UNEXPECTED),
        (&reply, n, MINIONN_OK),
    ] {
        let [stream, mut peer] = connection();
        peer.write_all(says).unwrap();
        // As much is waiting before anything is read.
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let mut waiting = vec![0; says.len() + 1];
        while stream.peek(&mut waiting).unwrap() < says.len() {
            std::thread::yield_now();
        }
        let mut link = Link::new(stream, 1 << 16);
        let mut memory = vec![0; MINIONN_PLAN_REPLY_MAX];
        let (mut plan, mut len) = (null(), 7);
        // SAFETY: live pointers.
        let told = unsafe {
            let at = memory.as_mut_ptr();
            minionn_plan_fetch(&link.io(), at, capacity, &mut plan, &mut len)
        };
        assert_eq!(told, status);
        if status == MINIONN_OK {
            // SAFETY: the plan lies in `memory`.
            assert_eq!(unsafe { core::slice::from_raw_parts(plan, len) }, PLAN);
        } else {
            assert_eq!((plan, len), (null(), 7));
        }
    }
}
