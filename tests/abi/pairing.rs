//! What set-up makes, kept for later sessions.

use crate::parties::{PLAN, Pair, counter, options, progress};
use core::ptr::{null, null_mut};
use minionn::minionn_status::*;
use minionn::*;

/// Both halves of a pairing, exported by a session.
pub(crate) fn export(pair: &mut Pair) -> [Vec<u8>; 2] {
    let (mut own, mut peers) =
        (vec![7; MINIONN_CLIENT_PAIRING_BYTES], vec![7; MINIONN_SERVER_PAIRING_BYTES]);
    let mut n = 99;
    let mut export = |session, half: &mut Vec<u8>, less| {
        // SAFETY: live handles and buffers.
        unsafe {
            let (at, len) = (half.as_mut_ptr(), half.len() - less);
            minionn_session_export_pairing(session, at, len, &mut n)
        }
    };
    assert_eq!(export(pair.client, &mut own, 0), MINIONN_ERROR_STATE);
    assert_eq!(export(pair.server, &mut peers, 0), MINIONN_ERROR_STATE);
    pair.idle(1000);
    assert_eq!(export(pair.client, &mut own, 1), MINIONN_ERROR_MEMORY);
    assert_eq!(own, [7; MINIONN_CLIENT_PAIRING_BYTES]);
    assert_eq!(export(pair.client, &mut own, 0), MINIONN_OK);
    assert!(!progress(pair.server).keep_asked);
    pair.idle(1000);
    assert!(progress(pair.server).keep_asked);
    assert_eq!(export(pair.server, &mut peers, 1), MINIONN_ERROR_MEMORY);
    assert_eq!(export(pair.server, &mut peers, 0), MINIONN_OK);
    assert_eq!(n, peers.len());
    [own, peers]
}

impl Pair {
    /// Both parties again, in the same memory, on the pairing in `own` and, unless the server has
    /// forgotten it, in `peers`.
    fn resume(
        &mut self,
        options: &minionn_options,
        own: &[u8],
        peers: Option<&[u8]>,
    ) -> [minionn_status; 2] {
        let mut count = 100;
        let random = counter(&mut count);
        let sizes = self.memory.each_ref().map(crate::parties::Memory::len);
        let at = self.memory.each_mut().map(crate::parties::Memory::at);
        let model = self.model.handle;
        // SAFETY: live handles, memory and buffers; the memory outlives the handles.
        unsafe {
            minionn_session_wipe(self.client);
            minionn_session_wipe(self.server);
            let (plan, c, s) = (PLAN.as_ptr(), &mut self.client, &mut self.server);
            let half = (own.as_ptr(), own.len());
            let client = minionn_client_resume(
                at[0],
                sizes[0],
                plan,
                PLAN.len(),
                options,
                half.0,
                half.1,
                &random,
                c,
            );
            let server = match peers {
                Some(half) => {
                    let (half, len) = (half.as_ptr(), half.len());
                    minionn_server_resume(at[1], sizes[1], model, options, half, len, &random, s)
                }
                None => minionn_server_init(at[1], sizes[1], model, options, &random, s),
            };
            [client, server]
        }
    }
}

#[test]
fn a_session_goes_on_with_a_pairing() {
    let options = options(1, 4096);
    let mut pair = Pair::new(&options);
    let [own, peers] = export(&mut pair);
    assert_eq!(pair.resume(&options, &own, Some(&peers)), [MINIONN_OK; 2]);
    let x: Vec<i64> = (0..64).map(|i| i % 11).collect();
    let mut cost = core::mem::MaybeUninit::<minionn_cost>::uninit();
    // SAFETY: live pointers; the call fills what `cost` has room for.
    let resume = unsafe {
        let status = minionn_plan_cost(PLAN.as_ptr(), PLAN.len(), &options, cost.as_mut_ptr());
        assert_eq!(status, MINIONN_OK);
        cost.assume_init().resume
    };
    pair.idle(13);
    let minionn_traffic { sent, received, rounds } = progress(pair.client).traffic;
    assert_eq!((sent, received, rounds), (resume.up, resume.down, resume.rounds));
    // SAFETY: a live handle.
    assert_eq!(unsafe { minionn_client_prepare(pair.client) }, MINIONN_OK);
    pair.idle(1000);
    pair.predict(&x, 1000);
}

#[test]
fn a_pairing_that_the_server_has_forgotten_is_told() {
    let options = options(1, 4096);
    let mut pair = Pair::new(&options);
    let [own, _] = export(&mut pair);
    assert_eq!(pair.resume(&options, &own, None), [MINIONN_OK; 2]);
    assert_eq!(
        pair.finish_call(1000, |_| {}),
        [Err(MINIONN_ERROR_PEER_ABORTED), Err(MINIONN_ERROR_UNKNOWN_PAIRING)]
    );
    let (client, server) = (progress(pair.client), progress(pair.server));
    assert_eq!(client.status, MINIONN_ERROR_PEER_ABORTED);
    assert_eq!(client.peer_status, MINIONN_ERROR_UNKNOWN_PAIRING);
    assert_eq!(server.status, MINIONN_ERROR_UNKNOWN_PAIRING);
    assert_eq!(server.peer_status, MINIONN_OK);
    assert_eq!([client.state, server.state], [minionn_state::MINIONN_FAILED; 2]);
}

#[test]
fn what_is_no_pairing_is_refused() {
    let good = options(1, 4096);
    let mut pair = Pair::new(&good);
    let [own, peers] = export(&mut pair);
    let mut info = minionn_pairing { id: [0; 16], server: true, repetition: 0 };
    let mut bad = own.clone();
    bad[40] ^= 1;
    // SAFETY: live buffers, or NULL.
    unsafe {
        assert_eq!(minionn_pairing_info(null(), own.len(), &mut info), MINIONN_ERROR_NULL);
        assert_eq!(minionn_pairing_info(own.as_ptr(), own.len(), null_mut()), MINIONN_ERROR_NULL);
        assert_eq!(minionn_pairing_info(null(), 0, &mut info), MINIONN_ERROR_PAIRING);
        for (half, len) in [(&bad, bad.len()), (&own, own.len() - 1)] {
            assert_eq!(minionn_pairing_info(half.as_ptr(), len, &mut info), MINIONN_ERROR_PAIRING);
        }
        assert!(info.server && info.repetition == 0);
        for (half, server) in [(&own, false), (&peers, true)] {
            assert_eq!(minionn_pairing_info(half.as_ptr(), half.len(), &mut info), MINIONN_OK);
            assert_eq!((info.server, info.repetition, &info.id[..]), (server, 8, &own[16..32]));
        }
    }
    assert_eq!(pair.resume(&good, &bad, Some(&bad)), [MINIONN_ERROR_PAIRING; 2]);
    assert_eq!(pair.resume(&good, &peers, Some(&own)), [MINIONN_ERROR_PAIRING; 2]);
    let other = minionn_options { repetition: 2, ..good };
    assert_eq!(pair.resume(&other, &own, Some(&peers)), [MINIONN_ERROR_OPTION; 2]);
    assert_eq!(pair.resume(&good, &own, Some(&peers)), [MINIONN_OK; 2]);

    // The name in a greeting.
    let (mut state, mut bytes, mut n) = (minionn_state::MINIONN_BUSY, [0; MINIONN_GREETING_MAX], 0);
    let mut greeting = core::mem::MaybeUninit::<minionn_greeting>::uninit();
    // SAFETY: live handles and buffers; a call that succeeds has filled the greeting.
    unsafe {
        assert_eq!(minionn_session_poll(pair.client, &mut state), MINIONN_OK);
        let status = minionn_session_drain(pair.client, bytes.as_mut_ptr(), bytes.len(), &mut n);
        assert_eq!(status, MINIONN_OK);
        let mut peek = |bytes: &[u8]| {
            minionn_greeting_peek(bytes.as_ptr(), bytes.len(), &good, greeting.as_mut_ptr())
        };
        assert_eq!(peek(&bytes[..n - 1]), MINIONN_NEED_MORE);
        assert_eq!(peek(&bytes[..n]), MINIONN_OK);
        bytes[60] ^= 1;
        assert_eq!(peek(&bytes[..n]), MINIONN_ERROR_CHECKSUM);
        let greeting = greeting.assume_init();
        assert_eq!(greeting.kind, minionn_greeting_kind::MINIONN_GREETING_RESUME);
        assert_eq!((greeting.frame_len, greeting.pairing_id), (n, info.id));
    }
}
