//! The C ABI, called as C calls it: both parties in memory, and everything that a caller can do
//! wrong.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use core::ffi::{CStr, c_int, c_void};
use core::ptr::{null, null_mut};
use minionn::minionn_status::*;
use minionn::*;

const MODEL: &[u8] = include_bytes!("../models/digits_relu.minionn");
const PLAN: &[u8] = include_bytes!("../models/digits_relu.plan");

/// Aligned memory of exactly `len` bytes, not zeroed.
struct Memory(Vec<u128>, usize);

impl Memory {
    fn new(len: usize) -> Self {
        Self(vec![u128::MAX; len.div_ceil(16)], len)
    }
    fn at(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
    fn is_wiped(&self) -> bool {
        self.0.iter().take(self.1 / 16).all(|&x| x == 0)
    }
}

/// Counts up: not random, and different on every call. `user` points at a counter.
unsafe extern "C" fn counting(user: *mut c_void, out: *mut u8, len: usize) -> c_int {
    // SAFETY: the tests hand in a counter, the library a buffer.
    unsafe {
        let counter = &mut *user.cast::<u8>();
        *counter += 1;
        out.write_bytes(*counter, len);
    }
    0
}

unsafe extern "C" fn failing(_: *mut c_void, _: *mut u8, _: usize) -> c_int {
    -1
}

/// Claims success and writes nothing.
unsafe extern "C" fn lazy(_: *mut c_void, _: *mut u8, _: usize) -> c_int {
    0
}

fn options(stock: u32, size: usize) -> minionn_options {
    let mut options = core::mem::MaybeUninit::uninit();
    // SAFETY: there is room for one, and the call fills it.
    let mut options = unsafe {
        assert_eq!(
            minionn_options_init(options.as_mut_ptr(), size_of::<minionn_options>()),
            MINIONN_OK
        );
        options.assume_init()
    };
    (options.stock, options.inbox, options.outbox) = (stock, size, size);
    options
}

/// A model and its memory.
struct Model {
    memory: Memory,
    handle: *mut minionn_model,
}

impl Model {
    fn new(stock: u32) -> Self {
        let (mut size, mut align, mut handle) = (0, 0, null_mut());
        // SAFETY: pointers of live values.
        unsafe {
            assert_eq!(
                minionn_model_memory(MODEL.as_ptr(), MODEL.len(), stock, &mut size, &mut align),
                MINIONN_OK
            );
            assert_eq!(align, MINIONN_ALIGN);
            let mut memory = Memory::new(size);
            assert_eq!(
                minionn_model_init(
                    memory.at(),
                    size - 1,
                    MODEL.as_ptr(),
                    MODEL.len(),
                    stock,
                    &mut handle
                ),
                MINIONN_ERROR_MEMORY
            );
            assert!(handle.is_null());
            assert_eq!(
                minionn_model_init(
                    memory.at(),
                    size,
                    MODEL.as_ptr(),
                    MODEL.len(),
                    stock,
                    &mut handle
                ),
                MINIONN_OK
            );
            Self { memory, handle }
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle is live, or NULL.
        unsafe { minionn_model_wipe(self.handle) };
        assert!(self.memory.is_wiped());
    }
}

/// Both parties and their memory.
struct Pair {
    client: *mut minionn_client,
    server: *mut minionn_server,
    memory: [Memory; 2],
    _model: Model,
}

impl Pair {
    fn new(options: &minionn_options) -> Self {
        let model = Model::new(options.stock);
        let (mut sizes, mut align, mut counter) = ([0; 2], 0, 0_u8);
        let (mut client, mut server) = (null_mut(), null_mut());
        let user = (&raw mut counter).cast();
        // SAFETY: pointers of live values; the memory outlives the handles.
        unsafe {
            assert_eq!(
                minionn_client_memory(
                    PLAN.as_ptr(),
                    PLAN.len(),
                    options,
                    &mut sizes[0],
                    &mut align
                ),
                MINIONN_OK
            );
            assert_eq!(
                minionn_server_memory(model.handle, options, &mut sizes[1], &mut align),
                MINIONN_OK
            );
            let mut memory = sizes.map(Memory::new);
            let at = [memory[0].at(), memory[1].at()];
            let mut start = |less: usize, up: usize| {
                let of = |i: usize| (at[i].add(up), sizes[i] - less);
                let ((c, c_size), (s, s_size)) = (of(0), of(1));
                [
                    minionn_client_init(
                        c,
                        c_size,
                        PLAN.as_ptr(),
                        PLAN.len(),
                        options,
                        Some(counting),
                        user,
                        &mut client,
                    ),
                    minionn_server_init(
                        s,
                        s_size,
                        model.handle,
                        options,
                        Some(counting),
                        user,
                        &mut server,
                    ),
                ]
            };
            assert_eq!(start(1, 0), [MINIONN_ERROR_MEMORY; 2]);
            assert_eq!(start(1, 1), [MINIONN_ERROR_ALIGNMENT; 2]);
            assert_eq!(start(0, 0), [MINIONN_OK; 2]);
            Self { client, server, memory, _model: model }
        }
    }

    /// Moves bytes both ways, `step` at a time, `damage`d towards the server, until nothing moves.
    fn settle(
        &mut self,
        step: usize,
        mut damage: impl FnMut(&mut [u8]),
    ) -> [Result<minionn_state, minionn_status>; 2] {
        let mut buffer = vec![0; step];
        // What goes to a server that has ended is lost, as in a closed socket: it no longer empties
        // its inbox.
        let mut lost = false;
        loop {
            let (mut states, mut n, mut taken, mut moved) =
                ([minionn_state::MINIONN_BUSY; 2], 0, 0, 0);
            // SAFETY: live handles and buffers.
            let status = unsafe {
                let client = minionn_client_poll(self.client, &mut states[0]);
                let cap = if lost { step } else { step.min(minionn_server_want(self.server)) };
                assert_eq!(
                    minionn_client_drain(self.client, buffer.as_mut_ptr(), cap, &mut n),
                    MINIONN_OK
                );
                damage(&mut buffer[..n]);
                assert_eq!(
                    minionn_server_feed(self.server, buffer.as_ptr(), n, &mut taken),
                    MINIONN_OK
                );
                assert!(lost || taken == n);
                moved += n;
                let server = minionn_server_poll(self.server, &mut states[1]);
                lost = server != MINIONN_OK;
                let cap = step.min(minionn_client_want(self.client));
                assert_eq!(
                    minionn_server_drain(self.server, buffer.as_mut_ptr(), cap, &mut n),
                    MINIONN_OK
                );
                assert_eq!(
                    minionn_client_feed(self.client, buffer.as_ptr(), n, &mut taken),
                    MINIONN_OK
                );
                assert_eq!(taken, n);
                moved += n;
                [client, server]
            };
            // SAFETY: as above.
            let pending = unsafe {
                minionn_client_pending(self.client) + minionn_server_pending(self.server)
            };
            let stuck = moved == 0 && (pending == 0 || status != [MINIONN_OK; 2]);
            if stuck && (states[0] != minionn_state::MINIONN_BUSY || status != [MINIONN_OK; 2]) {
                let result =
                    |i: usize| if status[i] == MINIONN_OK { Ok(states[i]) } else { Err(status[i]) };
                return [result(0), result(1)];
            }
        }
    }

    fn idle(&mut self, step: usize) {
        assert_eq!(self.settle(step, |_| {})[0], Ok(minionn_state::MINIONN_IDLE));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // SAFETY: the handles are live, wiped, or NULL; wiping twice is allowed while the memory is
        // there.
        unsafe {
            for _ in 0..2 {
                minionn_client_wipe(self.client);
                minionn_server_wipe(self.server);
            }
            assert_eq!(minionn_client_prepare(self.client), MINIONN_ERROR_HANDLE);
            assert_eq!(minionn_server_pending(self.server), 0);
        }
        assert!(self.memory.iter().all(Memory::is_wiped));
    }
}

/// What the integer model says.
fn expected(x: &[i64]) -> (usize, Vec<i64>) {
    let model = minionn_core::model::Model::parse(MODEL).unwrap();
    let mut scratch = vec![0; minionn_core::model::Model::scratch_len(model.plan())];
    let mut out = vec![0; 10];
    let best = model.evaluate(x, &mut scratch, &mut out).unwrap();
    (best, out)
}

#[test]
fn both_parties_predict_and_every_state_error_is_told() {
    for (stock, size, step) in [(2, 1 << 16, 1 << 16), (1, MINIONN_BUFFER_MIN, 37)] {
        let mut pair = Pair::new(&options(stock, size));
        let x: Vec<i64> = (0..64).map(|i| i % 13).collect();
        let (mut logits, mut real) = ([7; 12], [7.0; 12]);
        let (mut written, mut argmax) = (99, 99);
        let mut info = core::mem::MaybeUninit::<minionn_info>::uninit();
        // SAFETY: live handles and buffers.
        unsafe {
            assert_eq!(minionn_client_prepare(pair.client), MINIONN_ERROR_STATE);
            pair.idle(step);
            assert_eq!(
                minionn_client_predict_quantised(pair.client, x.as_ptr(), 64),
                MINIONN_ERROR_EXHAUSTED
            );
            assert_eq!(minionn_client_prepare(pair.client), MINIONN_OK);
            assert_eq!(minionn_client_prepare(pair.client), MINIONN_ERROR_STATE);
            pair.idle(step);
            assert_eq!(minionn_client_left(pair.client), stock);
            assert_eq!(
                minionn_client_predict_quantised(pair.client, x.as_ptr(), 63),
                MINIONN_ERROR_LENGTH
            );
            assert_eq!(
                minionn_client_predict(pair.client, [f32::NAN; 64].as_ptr(), 64),
                MINIONN_ERROR_INPUT
            );
            assert_eq!(
                minionn_client_answer(
                    pair.client,
                    logits.as_mut_ptr(),
                    12,
                    &mut written,
                    &mut argmax
                ),
                MINIONN_ERROR_STATE
            );
            assert_eq!(minionn_client_predict_quantised(pair.client, x.as_ptr(), 64), MINIONN_OK);
            pair.idle(step);
            assert_eq!(
                minionn_client_answer(
                    pair.client,
                    logits.as_mut_ptr(),
                    9,
                    &mut written,
                    &mut argmax
                ),
                MINIONN_ERROR_LENGTH
            );
            assert_eq!(
                minionn_client_answer(pair.client, null_mut(), 12, &mut written, &mut argmax),
                MINIONN_ERROR_NULL
            );
            assert_eq!((logits, written, argmax), ([7; 12], 99, 99));
            assert_eq!(
                minionn_client_answer(
                    pair.client,
                    logits.as_mut_ptr(),
                    12,
                    &mut written,
                    &mut argmax
                ),
                MINIONN_OK
            );
            assert_eq!(
                minionn_client_answer_real(
                    pair.client,
                    real.as_mut_ptr(),
                    12,
                    &mut written,
                    &mut argmax
                ),
                MINIONN_OK
            );
            assert_eq!(minionn_plan_info(PLAN.as_ptr(), PLAN.len(), info.as_mut_ptr()), MINIONN_OK);
            let info = info.assume_init();
            let (best, integers) = expected(&x);
            assert_eq!((written, argmax, &logits[..10], logits[10]), (10, best, &integers[..], 7));
            assert!(
                integers
                    .iter()
                    .zip(real)
                    .all(|(&y, r)| y as f64 * f64::from(info.output_scale) == r)
            );
            assert_eq!(minionn_server_predictions(pair.server), 1);

            assert_eq!(minionn_client_close(pair.client), MINIONN_OK);
            let closed = Ok(minionn_state::MINIONN_CLOSED);
            assert_eq!(pair.settle(step, |_| {}), [closed, closed]);
            assert_eq!(minionn_client_prepare(pair.client), MINIONN_ERROR_CLOSED);
        }
    }
}

/// Calls a job on this thread and another, and counts.
unsafe extern "C" fn run_twice(
    user: *mut core::ffi::c_void,
    job: minionn_job,
    argument: *mut core::ffi::c_void,
) {
    struct Lent(*mut core::ffi::c_void);
    // SAFETY: a job's argument may be used by any thread.
    unsafe impl Send for Lent {}
    // SAFETY: the test's counter; a session calls from one thread at a time.
    unsafe { *user.cast::<u32>() += 1 };
    let (job, lent) = (job.unwrap(), Lent(argument));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let Lent(argument) = { lent };
            // SAFETY: as the library asks.
            unsafe { job(argument) }
        });
        // SAFETY: as above.
        unsafe { job(argument) }
    });
}

#[test]
fn threads_are_lent() {
    let mut pair = Pair::new(&options(3, 1 << 16));
    let mut calls = [0_u32; 2];
    let [client, server] = calls.each_mut().map(|calls| minionn_executor {
        run: Some(run_twice),
        user: core::ptr::from_mut(calls).cast(),
    });
    let none = minionn_executor { run: None, ..client };
    let x: Vec<i64> = (0..64).map(|i| i % 13).collect();
    let (mut logits, mut written, mut argmax) = ([7; 12], 99, 99);
    // SAFETY: live handles, executors and buffers.
    unsafe {
        assert_eq!(minionn_client_share(pair.client, &none), MINIONN_ERROR_NULL);
        assert_eq!(minionn_server_share(null_mut(), &server), MINIONN_ERROR_NULL);
        assert_eq!(minionn_client_share(pair.client, &client), MINIONN_OK);
        assert_eq!(minionn_server_share(pair.server, &server), MINIONN_OK);
        pair.idle(1 << 16);
        assert_eq!(minionn_client_prepare(pair.client), MINIONN_OK);
        pair.idle(1 << 16);
        assert_eq!(minionn_client_share(pair.client, null_mut()), MINIONN_OK);
        assert_eq!(minionn_client_predict_quantised(pair.client, x.as_ptr(), 64), MINIONN_OK);
        pair.idle(1 << 16);
        assert_eq!(
            minionn_client_answer(pair.client, logits.as_mut_ptr(), 12, &mut written, &mut argmax),
            MINIONN_OK
        );
    }
    let (best, all) = expected(&x);
    assert_eq!((argmax, &logits[..written]), (best, &all[..]));
    drop(pair);
    assert!(calls.iter().all(|&calls| calls > 0));
}

/// Both halves of a pairing, exported by a session.
fn export(pair: &mut Pair) -> [Vec<u8>; 2] {
    let (mut own, mut peers) =
        (vec![7; MINIONN_CLIENT_PAIRING_BYTES], vec![7; MINIONN_SERVER_PAIRING_BYTES]);
    let (own_size, peers_size, mut n) = (own.len(), peers.len(), 99);
    // SAFETY: live handles and buffers.
    unsafe {
        assert_eq!(
            minionn_client_export(pair.client, own.as_mut_ptr(), own_size, &mut n),
            MINIONN_ERROR_STATE
        );
        assert_eq!(
            minionn_server_export(pair.server, peers.as_mut_ptr(), peers_size, &mut n),
            MINIONN_ERROR_STATE
        );
        pair.idle(1000);
        assert_eq!(
            minionn_client_export(pair.client, own.as_mut_ptr(), own_size - 1, &mut n),
            MINIONN_ERROR_MEMORY
        );
        assert_eq!(
            minionn_client_export(pair.client, null_mut(), own_size, &mut n),
            MINIONN_ERROR_NULL
        );
        assert_eq!(
            minionn_client_export(pair.client, own.as_mut_ptr(), own_size, null_mut()),
            MINIONN_ERROR_NULL
        );
        assert_eq!((n, &own[..]), (99, &[7; MINIONN_CLIENT_PAIRING_BYTES][..]));
        assert_eq!(
            minionn_client_export(pair.client, own.as_mut_ptr(), own_size, &mut n),
            MINIONN_OK
        );
        assert_eq!(n, own_size);
        assert!(!minionn_server_keep_asked(pair.server));
        pair.idle(1000);
        assert!(minionn_server_keep_asked(pair.server));
        assert_eq!(
            minionn_server_export(pair.server, peers.as_mut_ptr(), peers_size - 1, &mut n),
            MINIONN_ERROR_MEMORY
        );
        assert_eq!(
            minionn_server_export(pair.server, peers.as_mut_ptr(), peers_size, &mut n),
            MINIONN_OK
        );
        assert_eq!(n, peers_size);
    }
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
        let mut counter = 100_u8;
        let user = (&raw mut counter).cast();
        let (sizes, at) =
            (self.memory.each_ref().map(|m| m.1), [self.memory[0].at(), self.memory[1].at()]);
        let model = self._model.handle;
        // SAFETY: live handles, memory and buffers; the memory outlives the handles.
        unsafe {
            minionn_client_wipe(self.client);
            minionn_server_wipe(self.server);
            let (plan, c, s) = (PLAN.as_ptr(), &mut self.client, &mut self.server);
            let random: minionn_random = Some(counting);
            let half = (own.as_ptr(), own.len());
            let client = minionn_client_init_resume(
                at[0],
                sizes[0],
                plan,
                PLAN.len(),
                options,
                half.0,
                half.1,
                random,
                user,
                c,
            );
            let server = match peers {
                Some(half) => minionn_server_init_resume(
                    at[1],
                    sizes[1],
                    model,
                    options,
                    half.as_ptr(),
                    half.len(),
                    random,
                    user,
                    s,
                ),
                None => minionn_server_init(at[1], sizes[1], model, options, random, user, s),
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
    let (mut logits, mut written, mut argmax) = ([0; 10], 0, 0);
    let mut cost = core::mem::MaybeUninit::<minionn_cost>::uninit();
    let mut traffic = minionn_traffic { sent: 0, received: 0, rounds: 0 };
    // SAFETY: live handles and buffers.
    unsafe {
        assert_eq!(
            minionn_plan_cost(PLAN.as_ptr(), PLAN.len(), &options, cost.as_mut_ptr()),
            MINIONN_OK
        );
        let resume = cost.assume_init().resume;
        pair.idle(13);
        assert_eq!(minionn_client_traffic(pair.client, &mut traffic), MINIONN_OK);
        assert_eq!(
            (traffic.sent, traffic.received, traffic.rounds),
            (resume.up, resume.down, resume.rounds)
        );
        assert_eq!(minionn_client_prepare(pair.client), MINIONN_OK);
        pair.idle(1000);
        assert_eq!(minionn_client_predict_quantised(pair.client, x.as_ptr(), 64), MINIONN_OK);
        pair.idle(1000);
        assert_eq!(
            minionn_client_answer(pair.client, logits.as_mut_ptr(), 10, &mut written, &mut argmax),
            MINIONN_OK
        );
    }
    assert_eq!((argmax, logits.to_vec()), expected(&x));
}

#[test]
fn a_pairing_that_the_server_has_forgotten_is_told() {
    let options = options(1, 4096);
    let mut pair = Pair::new(&options);
    let [own, _] = export(&mut pair);
    assert_eq!(pair.resume(&options, &own, None), [MINIONN_OK; 2]);
    assert_eq!(
        pair.settle(1000, |_| {}),
        [Err(MINIONN_ERROR_PEER_ABORTED), Err(MINIONN_ERROR_UNKNOWN_PAIRING)]
    );
    // SAFETY: a live handle.
    assert_eq!(unsafe { minionn_client_peer_status(pair.client) }, MINIONN_ERROR_UNKNOWN_PAIRING);
}

#[test]
fn what_is_no_pairing_is_refused() {
    let good = options(1, 4096);
    let mut pair = Pair::new(&good);
    let [own, peers] = export(&mut pair);
    let mut info = minionn_pairing { id: [0; 16], server: true, repetition: 0 };
    let mut id = [0; MINIONN_PAIRING_ID_BYTES];
    let mut bad = own.clone();
    bad[40] ^= 1;
    // SAFETY: live buffers, or NULL.
    unsafe {
        assert_eq!(minionn_pairing_info(null(), own.len(), &mut info), MINIONN_ERROR_NULL);
        assert_eq!(minionn_pairing_info(own.as_ptr(), own.len(), null_mut()), MINIONN_ERROR_NULL);
        assert_eq!(minionn_pairing_info(null(), 0, &mut info), MINIONN_ERROR_PAIRING);
        assert_eq!(minionn_pairing_info(bad.as_ptr(), bad.len(), &mut info), MINIONN_ERROR_PAIRING);
        assert_eq!(
            minionn_pairing_info(own.as_ptr(), own.len() - 1, &mut info),
            MINIONN_ERROR_PAIRING
        );
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
    let (mut state, mut greeting, mut n) =
        (minionn_state::MINIONN_BUSY, [0; MINIONN_GREETING_MAX], 0);
    let (mut kind, mut used, mut own_options) =
        (minionn_greeting::MINIONN_GREETING_SESSION, 0, good);
    // SAFETY: live handles and buffers.
    unsafe {
        assert_eq!(minionn_client_poll(pair.client, &mut state), MINIONN_OK);
        assert_eq!(
            minionn_client_drain(pair.client, greeting.as_mut_ptr(), greeting.len(), &mut n),
            MINIONN_OK
        );
        assert_eq!(
            minionn_greeting_peek(greeting.as_ptr(), n, &mut own_options, &mut kind, &mut used),
            MINIONN_OK
        );
        assert_eq!(kind, minionn_greeting::MINIONN_GREETING_RESUME);
        assert_eq!(
            minionn_greeting_pairing(greeting.as_ptr(), n - 1, id.as_mut_ptr()),
            MINIONN_NEED_MORE
        );
        assert_eq!(minionn_greeting_pairing(greeting.as_ptr(), n, null_mut()), MINIONN_ERROR_NULL);
        assert_eq!(id, [0; 16]);
        assert_eq!(minionn_greeting_pairing(greeting.as_ptr(), n, id.as_mut_ptr()), MINIONN_OK);
        assert_eq!(&id, &info.id);
        greeting[60] ^= 1;
        assert_eq!(
            minionn_greeting_pairing(greeting.as_ptr(), n, id.as_mut_ptr()),
            MINIONN_ERROR_CHECKSUM
        );
        assert_eq!(minionn_plan_request(greeting.as_mut_ptr(), greeting.len(), &mut n), MINIONN_OK);
        assert_eq!(
            minionn_greeting_pairing(greeting.as_ptr(), n, id.as_mut_ptr()),
            MINIONN_ERROR_STATE
        );
    }
}

#[test]
fn damaged_bytes_end_both_sessions_for_good() {
    for damaged in [3, 50, 100, 20_000, 150_000] {
        let mut pair = Pair::new(&options(1, 4096));
        let mut passed = 0_usize;
        let mut result = pair.settle(1000, |bytes| {
            if let Some(byte) = damaged_at(damaged, passed, bytes.len()) {
                bytes[byte] ^= 0x40;
            }
            passed += bytes.len();
        });
        if result[0].is_ok() {
            // SAFETY: a live handle.
            assert_eq!(unsafe { minionn_client_prepare(pair.client) }, MINIONN_OK);
            result = pair.settle(1000, |bytes| {
                if let Some(byte) = damaged_at(damaged, passed, bytes.len()) {
                    bytes[byte] ^= 0x40;
                }
                passed += bytes.len();
            });
        }
        assert!(passed > damaged && result[1].is_err(), "byte {damaged} of {passed}: {result:?}");
        assert_eq!(pair.settle(1000, |_| {})[1], result[1], "an error stays");
        if result[0] == Err(MINIONN_ERROR_PEER_ABORTED) {
            // SAFETY: a live handle.
            assert_eq!(Err(unsafe { minionn_client_peer_status(pair.client) }), result[1]);
        }
    }
}

fn damaged_at(damaged: usize, passed: usize, len: usize) -> Option<usize> {
    damaged.checked_sub(passed).filter(|&i| i < len)
}

#[test]
fn a_lost_link_is_an_error() {
    let mut pair = Pair::new(&options(1, 4096));
    let mut state = minionn_state::MINIONN_BUSY;
    // SAFETY: live handles.
    unsafe {
        assert_eq!(minionn_client_end_of_input(pair.client), MINIONN_OK);
        assert_eq!(minionn_client_poll(pair.client, &mut state), MINIONN_ERROR_EOF);
        assert_eq!(minionn_client_poll(pair.client, &mut state), MINIONN_ERROR_EOF);
        assert_eq!(minionn_client_prepare(pair.client), MINIONN_ERROR_EOF);
    }
    assert_eq!(pair.settle(100, |_| {})[0], Err(MINIONN_ERROR_EOF));
}

#[test]
fn without_randomness_nothing_starts() {
    let options = options(1, 4096);
    let model = Model::new(1);
    let mut memory = Memory::new(1 << 22);
    let at = memory.at();
    let (mut client, mut server) = (null_mut(), null_mut());
    for (random, status) in [
        (Some(failing as unsafe extern "C" fn(_, _, _) -> _), MINIONN_ERROR_RANDOM),
        (Some(lazy as _), MINIONN_ERROR_RANDOM),
        (None, MINIONN_ERROR_NULL),
    ] {
        // SAFETY: live memory, plan, model.
        unsafe {
            assert_eq!(
                minionn_client_init(
                    at,
                    1 << 22,
                    PLAN.as_ptr(),
                    PLAN.len(),
                    &options,
                    random,
                    null_mut(),
                    &mut client
                ),
                status
            );
            assert_eq!(
                minionn_server_init(
                    at,
                    1 << 22,
                    model.handle,
                    &options,
                    random,
                    null_mut(),
                    &mut server
                ),
                status
            );
        }
        assert!(client.is_null() && server.is_null());
    }
}

#[test]
fn null_crooked_and_foreign_pointers_are_refused() {
    let options = options(1, 4096);
    let mut pair = Pair::new(&options);
    let (mut n, mut state) = (77, minionn_state::MINIONN_BUSY);
    let mut bytes = [0; 64];
    // SAFETY: the pointers are live, NULL or crooked; the foreign handle is a live one of another
    // type.
    unsafe {
        assert_eq!(minionn_client_poll(null_mut(), &mut state), MINIONN_ERROR_NULL);
        assert_eq!(minionn_client_poll(pair.client, null_mut()), MINIONN_ERROR_NULL);
        assert_eq!(
            minionn_client_poll(pair.client.byte_add(1), &mut state),
            MINIONN_ERROR_ALIGNMENT
        );
        assert_eq!(minionn_client_poll(pair.server.cast(), &mut state), MINIONN_ERROR_HANDLE);
        assert_eq!(minionn_server_poll(pair.client.cast(), &mut state), MINIONN_ERROR_HANDLE);
        assert_eq!(minionn_client_feed(pair.client, null(), 1, &mut n), MINIONN_ERROR_NULL);
        assert_eq!(
            minionn_client_feed(pair.client, bytes.as_ptr(), usize::MAX, &mut n),
            MINIONN_ERROR_NULL
        );
        assert_eq!(n, 77);
        assert_eq!(minionn_client_feed(pair.client, null(), 0, &mut n), MINIONN_OK);
        assert_eq!(
            minionn_client_drain(pair.client, bytes.as_mut_ptr(), 64, null_mut()),
            MINIONN_ERROR_NULL
        );
        assert_eq!(
            minionn_client_drain(null_mut(), bytes.as_mut_ptr(), 64, &mut n),
            MINIONN_ERROR_NULL
        );
        assert_eq!(
            (
                minionn_client_pending(null()),
                minionn_client_want(null()),
                minionn_client_left(null())
            ),
            (0, 0, 0)
        );
        minionn_client_wipe(null_mut());
        minionn_server_wipe(null_mut());
        minionn_model_wipe(null_mut());

        let mut info = core::mem::MaybeUninit::uninit();
        assert_eq!(minionn_plan_info(null(), 9, info.as_mut_ptr()), MINIONN_ERROR_NULL);
        assert_eq!(minionn_plan_info(null(), 0, info.as_mut_ptr()), MINIONN_ERROR_PLAN);
        assert_eq!(
            minionn_plan_info(PLAN.as_ptr(), PLAN.len() - 1, info.as_mut_ptr()),
            MINIONN_ERROR_PLAN
        );
        assert_eq!(
            minionn_model_memory(PLAN.as_ptr(), PLAN.len(), 1, &mut n, &mut n.clone()),
            MINIONN_ERROR_MODEL
        );
        assert_eq!(
            minionn_client_memory(PLAN.as_ptr(), PLAN.len(), null(), &mut n, &mut n.clone()),
            MINIONN_ERROR_NULL
        );
        assert_eq!(
            minionn_options_init(null_mut(), size_of::<minionn_options>()),
            MINIONN_ERROR_NULL
        );
        assert_eq!(
            minionn_options_init(&mut { options }, size_of::<minionn_options>() - 1),
            MINIONN_ERROR_OPTION
        );
    }
    pair.idle(1000);
}

#[test]
fn options_out_of_range_are_refused() {
    let good = options(1, 4096);
    let with = |change: fn(&mut minionn_options)| {
        let mut options = good;
        change(&mut options);
        options
    };
    let (mut size, mut align) = (5, 5);
    for bad in [
        with(|o| o.size -= 1),
        with(|o| o.repetition = 3),
        with(|o| o.tables = 2),
        with(|o| o.stock = 0),
        with(|o| o.stock = MINIONN_STOCK_MAX + 1),
        with(|o| o.inbox = MINIONN_BUFFER_MIN - 1),
        with(|o| o.outbox = 0),
    ] {
        // SAFETY: live pointers.
        let status = unsafe {
            minionn_client_memory(PLAN.as_ptr(), PLAN.len(), &bad, &mut size, &mut align)
        };
        assert_eq!((status, size, align), (MINIONN_ERROR_OPTION, 5, 5), "{bad:?}");
    }
    // A stock that is not the model's.
    let model = Model::new(2);
    let mut memory = Memory::new(1 << 22);
    let (mut counter, mut server) = (0_u8, null_mut());
    // SAFETY: live pointers.
    let status = unsafe {
        let user = (&raw mut counter).cast();
        minionn_server_init(
            memory.at(),
            1 << 22,
            model.handle,
            &good,
            Some(counting),
            user,
            &mut server,
        )
    };
    assert_eq!(status, MINIONN_ERROR_OPTION);
}

#[test]
fn greeting_plan_and_refusal_work_without_a_session() {
    let mut own = options(1, 4096);
    let (mut kind, mut used, mut n) = (minionn_greeting::MINIONN_GREETING_SESSION, 0, 0);
    let mut frame = [0; MINIONN_PLAN_REPLY_MAX];
    // SAFETY: live pointers.
    unsafe {
        assert_eq!(
            minionn_plan_request(frame.as_mut_ptr(), MINIONN_PLAN_REQUEST_BYTES - 1, &mut n),
            MINIONN_ERROR_MEMORY
        );
        assert_eq!(
            minionn_plan_request(frame.as_mut_ptr(), MINIONN_PLAN_REQUEST_BYTES, &mut n),
            MINIONN_OK
        );
        assert_eq!(
            minionn_greeting_peek(frame.as_ptr(), n - 1, &mut own, &mut kind, &mut used),
            MINIONN_NEED_MORE
        );
        assert_eq!((kind, used), (minionn_greeting::MINIONN_GREETING_SESSION, 0));
        assert_eq!(
            minionn_greeting_peek(frame.as_ptr(), n, &mut own, &mut kind, &mut used),
            MINIONN_OK
        );
        assert_eq!((kind, used), (minionn_greeting::MINIONN_GREETING_PLAN_REQUEST, n));

        assert_eq!(
            minionn_plan_reply(PLAN.as_ptr(), PLAN.len(), frame.as_mut_ptr(), PLAN.len(), &mut n),
            MINIONN_ERROR_MEMORY
        );
        assert_eq!(
            minionn_plan_reply(PLAN.as_ptr(), PLAN.len(), frame.as_mut_ptr(), frame.len(), &mut n),
            MINIONN_OK
        );
        let (mut plan, mut len) = (null(), 0);
        assert_eq!(
            minionn_plan_peek(frame.as_ptr(), n - 1, &mut plan, &mut len, &mut used),
            MINIONN_NEED_MORE
        );
        assert!(plan.is_null());
        assert_eq!(
            minionn_plan_peek(frame.as_ptr(), frame.len(), &mut plan, &mut len, &mut used),
            MINIONN_OK
        );
        assert_eq!((core::slice::from_raw_parts(plan, len), used), (PLAN, n));
        frame[20] ^= 1;
        assert_eq!(
            minionn_plan_peek(frame.as_ptr(), n, &mut plan, &mut len, &mut used),
            MINIONN_ERROR_CHECKSUM
        );

        let model = Model::new(1);
        assert_eq!(minionn_model_plan(model.handle, &mut plan, &mut len), MINIONN_OK);
        assert_eq!(core::slice::from_raw_parts(plan, len), PLAN);

        assert_eq!(minionn_abort(0, frame.as_mut_ptr(), frame.len(), &mut n), MINIONN_ERROR_OPTION);
        assert_eq!(
            minionn_abort(MINIONN_ERROR_REFUSED as i32, frame.as_mut_ptr(), frame.len(), &mut n),
            MINIONN_OK
        );
        assert_eq!(n, MINIONN_ABORT_BYTES);
        assert_eq!(
            minionn_plan_peek(frame.as_ptr(), n, &mut plan, &mut len, &mut used),
            MINIONN_ERROR_PEER_ABORTED
        );
    }
    // A client's own first bytes.
    let mut pair = Pair::new(&options(1, 4096));
    let mut first = Vec::new();
    assert_eq!(
        pair.settle(1000, |bytes| first.extend_from_slice(bytes))[0],
        Ok(minionn_state::MINIONN_IDLE)
    );
    let mut own = options(7, 128);
    // SAFETY: live pointers.
    unsafe {
        assert_eq!(
            minionn_greeting_peek(
                first.as_ptr(),
                MINIONN_GREETING_MAX,
                &mut own,
                &mut kind,
                &mut used
            ),
            MINIONN_OK
        );
    }
    assert_eq!((kind, used), (minionn_greeting::MINIONN_GREETING_SESSION, MINIONN_GREETING_MAX));
    assert_eq!(
        (own.stock, own.repetition, own.tables, own.inbox),
        (1, 8, MINIONN_TABLES_STORED, 128)
    );
}

#[test]
fn versions_and_sizes_agree_with_the_package() {
    let [major, minor, patch] =
        [MINIONN_VERSION_MAJOR, MINIONN_VERSION_MINOR, MINIONN_VERSION_PATCH];
    assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
    assert_eq!(minionn_version_number(), major << 16 | minor << 8 | patch);
    // SAFETY: static texts that end with a zero.
    unsafe {
        assert_eq!(CStr::from_ptr(minionn_version()).to_str(), Ok(env!("CARGO_PKG_VERSION")));
        for status in [i32::MIN, -1, 0, 8, 90, 91, 200, 300, i32::MAX] {
            assert!(!CStr::from_ptr(minionn_strerror(status)).is_empty());
        }
    }
    assert_eq!(minionn_protocol_version(), MINIONN_PROTOCOL_VERSION);
    for (function, size) in [
        (minionn_align(), MINIONN_ALIGN),
        (minionn_plan_max(), MINIONN_PLAN_MAX),
        (minionn_plan_request_bytes(), MINIONN_PLAN_REQUEST_BYTES),
        (minionn_plan_reply_max(), MINIONN_PLAN_REPLY_MAX),
        (minionn_greeting_max(), MINIONN_GREETING_MAX),
        (minionn_abort_bytes(), MINIONN_ABORT_BYTES),
        (minionn_client_pairing_bytes(), MINIONN_CLIENT_PAIRING_BYTES),
        (minionn_server_pairing_bytes(), MINIONN_SERVER_PAIRING_BYTES),
    ] {
        assert_eq!(function, size);
    }
}
