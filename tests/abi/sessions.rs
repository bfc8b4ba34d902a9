//! Sessions from set-up to their end, and what a party is told on the way.

use crate::parties::{MODEL, Memory, Model, PLAN, Pair, counter, expected, options, progress};
use core::ffi::{c_int, c_void};
use core::ptr::{null, null_mut};
use minionn::minionn_status::*;
use minionn::*;

#[test]
fn both_parties_predict_and_every_state_error_is_told() {
    for (stock, size, step) in [(2, 1 << 16, 1 << 16), (1, MINIONN_BUFFER_MIN, 37)] {
        let mut pair = Pair::new(&options(stock, size));
        let client = pair.client;
        let x: Vec<i64> = (0..64).map(|i| i % 13).collect();
        let (mut logits, mut real) = ([7; 12], [7.0; 12]);
        let (mut written, mut argmax) = (99, 99);
        let mut info = core::mem::MaybeUninit::<minionn_info>::uninit();
        // SAFETY: live handles and buffers.
        unsafe {
            let predict = |x: &[i64]| minionn_client_predict_quantised(client, x.as_ptr(), x.len());
            let mut answer = |logits: *mut i64, capacity| {
                minionn_client_answer_quantised(client, logits, capacity, &mut written, &mut argmax)
            };
            assert_eq!(minionn_client_prepare(client), MINIONN_ERROR_STATE);
            pair.idle(step);
            assert_eq!(predict(&x), MINIONN_ERROR_EXHAUSTED);
            assert_eq!(minionn_client_prepare(client), MINIONN_OK);
            assert_eq!(minionn_client_prepare(client), MINIONN_ERROR_STATE);
            assert_eq!(progress(client).state, minionn_state::MINIONN_BUSY);
            pair.idle(step);
            assert_eq!(progress(client).state, minionn_state::MINIONN_IDLE);
            assert_eq!(progress(client).remaining, stock);
            assert_eq!(predict(&x[..63]), MINIONN_ERROR_LENGTH);
            assert_eq!(
                minionn_client_predict(client, [f32::NAN; 64].as_ptr(), 64),
                MINIONN_ERROR_INPUT
            );
            assert_eq!(answer(logits.as_mut_ptr(), 12), MINIONN_ERROR_STATE);
            assert_eq!(predict(&x), MINIONN_OK);
            pair.idle(step);
            assert_eq!(answer(logits.as_mut_ptr(), 9), MINIONN_ERROR_LENGTH);
            assert_eq!(answer(null_mut(), 12), MINIONN_ERROR_NULL);
            assert_eq!(logits, [7; 12]);
            assert_eq!(answer(logits.as_mut_ptr(), 12), MINIONN_OK);
            assert_eq!((written, &logits[10..]), (10, &[7; 2][..]));
            let (integers, best) = (logits, argmax);
            let at = real.as_mut_ptr();
            let status = minionn_client_answer(client, at, 12, &mut written, &mut argmax);
            assert_eq!((status, written, argmax), (MINIONN_OK, 10, best));
            assert_eq!(expected(&x), (best, integers[..10].to_vec()));
            assert_eq!(minionn_plan_info(PLAN.as_ptr(), PLAN.len(), info.as_mut_ptr()), MINIONN_OK);
            let scale = f64::from(info.assume_init().output_scale);
            assert!(integers.iter().zip(real).take(10).all(|(&y, r)| y as f64 * scale == r));
            assert_eq!(&real[10..], [7.0; 2]);
            let (client_told, server_told) = (progress(client), progress(pair.server));
            assert_eq!((client_told.remaining, client_told.predictions), (stock - 1, 0));
            assert_eq!((server_told.remaining, server_told.predictions), (0, 1));
            assert_eq!(client_told.traffic.sent, server_told.traffic.received);

            assert_eq!(minionn_client_close(client), MINIONN_OK);
            let closed = Ok(minionn_state::MINIONN_CLOSED);
            assert_eq!(pair.finish_call(step, |_| {}), [closed, closed]);
            assert_eq!(progress(client).status, MINIONN_OK);
            assert_eq!(minionn_client_prepare(client), MINIONN_ERROR_CLOSED);
        }
    }
}

#[test]
fn a_link_decides_and_the_answer_is_the_same() {
    let x: Vec<i64> = (0..64).map(|i| i % 7).collect();
    let mut rounds = Vec::new();
    for (activations, link_rtt_us, link_bits_per_s) in [
        (MINIONN_ACTIVATIONS_GARBLED, 0, 0),
        (MINIONN_ACTIVATIONS_COMPARED, 0, 0),
        // Round trips that cost nothing, and such that cost more than all the bytes.
        (MINIONN_ACTIVATIONS_AUTO, 1, 8),
        (MINIONN_ACTIVATIONS_AUTO, u32::MAX, u64::MAX),
    ] {
        let link =
            minionn_options { activations, link_rtt_us, link_bits_per_s, ..options(1, 4096) };
        let mut pair = Pair::new(&link);
        pair.idle(4096);
        // SAFETY: a live handle.
        assert_eq!(unsafe { minionn_client_prepare(pair.client) }, MINIONN_OK);
        pair.idle(4096);
        pair.predict(&x, 4096);
        rounds.push(progress(pair.client).traffic.rounds);
    }
    let [garbled, compared, fast, slow] = rounds[..] else { unreachable!() };
    assert!(garbled < compared, "{garbled} rounds by circuits, {compared} by comparison");
    assert_eq!((fast, slow), (compared, garbled));
}

/// Calls a job on this thread and another, and counts.
unsafe extern "C" fn run_twice(user: *mut c_void, job: minionn_job, argument: *mut c_void) {
    struct Lent(*mut c_void);
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
    // SAFETY: live handles, executors and buffers.
    unsafe {
        assert_eq!(minionn_session_use_workers(pair.client, &none), MINIONN_ERROR_NULL);
        assert_eq!(minionn_session_use_workers(pair.client, &client), MINIONN_OK);
        assert_eq!(minionn_session_use_workers(pair.server, &server), MINIONN_OK);
        pair.idle(1 << 16);
        assert_eq!(minionn_client_prepare(pair.client), MINIONN_OK);
        pair.idle(1 << 16);
        assert_eq!(minionn_session_use_workers(pair.client, null()), MINIONN_OK);
    }
    pair.predict(&x, 1 << 16);
    drop(pair);
    assert!(calls.iter().all(|&calls| calls > 0));
}

#[test]
fn damaged_bytes_end_both_sessions_for_good() {
    for damaged in [3_usize, 50, 100, 20_000, 90_000] {
        let mut pair = Pair::new(&options(1, 4096));
        let mut passed = 0_usize;
        let mut damage = |bytes: &mut [u8]| {
            if let Some(i) = damaged.checked_sub(passed).filter(|&i| i < bytes.len()) {
                bytes[i] ^= 0x40;
            }
            passed += bytes.len();
        };
        let mut result = pair.finish_call(1000, &mut damage);
        if result[0].is_ok() {
            // SAFETY: a live handle.
            assert_eq!(unsafe { minionn_client_prepare(pair.client) }, MINIONN_OK);
            result = pair.finish_call(1000, &mut damage);
        }
        assert!(passed > damaged && result[1].is_err(), "byte {damaged} of {passed}: {result:?}");
        assert_eq!(pair.finish_call(1000, |_| {})[1], result[1], "an error stays");
        assert_eq!(Err(progress(pair.server).status), result[1]);
        if result[0] == Err(MINIONN_ERROR_PEER_ABORTED) {
            assert_eq!(Err(progress(pair.client).peer_status), result[1]);
        }
    }
}

#[test]
fn a_lost_link_is_an_error() {
    let mut pair = Pair::new(&options(1, 4096));
    let mut state = minionn_state::MINIONN_BUSY;
    // SAFETY: live handles.
    unsafe {
        assert_eq!(minionn_session_end_of_input(pair.client), MINIONN_OK);
        assert_eq!(minionn_session_poll(pair.client, &mut state), MINIONN_ERROR_EOF);
        assert_eq!(minionn_session_poll(pair.client, &mut state), MINIONN_ERROR_EOF);
        assert_eq!(minionn_client_prepare(pair.client), MINIONN_ERROR_EOF);
    }
    assert_eq!(progress(pair.client).status, MINIONN_ERROR_EOF);
    assert_eq!(pair.finish_call(100, |_| {})[0], Err(MINIONN_ERROR_EOF));
}

unsafe extern "C" fn failing(_: *mut c_void, _: *mut u8, _: usize) -> c_int {
    -1
}

/// Claims success and writes nothing.
unsafe extern "C" fn lazy(_: *mut c_void, _: *mut u8, _: usize) -> c_int {
    0
}

#[test]
fn without_randomness_nothing_starts() {
    let options = options(1, 4096);
    let model = Model::new(1);
    let mut memory = Memory::new(1 << 22);
    let (at, len) = (memory.at(), memory.len());
    let (mut client, mut server) = (null_mut(), null_mut());
    let mut seed = [3_u8; 32];
    for (fill, status) in [
        (Some(failing as unsafe extern "C" fn(_, _, _) -> _), MINIONN_ERROR_RANDOM),
        (Some(lazy as _), MINIONN_ERROR_RANDOM),
        (None, MINIONN_ERROR_NULL),
    ] {
        let random = minionn_random { fill, user: null_mut() };
        let (plan, plan_len) = (PLAN.as_ptr(), PLAN.len());
        // SAFETY: live memory, plan, model.
        let told = unsafe {
            [
                minionn_client_init(at, len, plan, plan_len, &options, &random, &mut client),
                minionn_server_init(at, len, model.handle, &options, &random, &mut server),
            ]
        };
        assert_eq!(told, [status; 2]);
        assert!(client.is_null() && server.is_null());
        // Nothing is left of it in the part that was asked for.
        // SAFETY: as above.
        unsafe {
            let mut need = 0;
            assert_eq!(minionn_client_memory(plan, plan_len, &options, &mut need), MINIONN_OK);
            assert!(core::slice::from_raw_parts(at, need).iter().all(|&byte| byte == 0));
        }
    }
    // The seed for tests gives 32 bytes, and says the same twice.
    let mut out = [0_u8; 33];
    // SAFETY: live buffers, or NULL.
    unsafe {
        let user = seed.as_mut_ptr().cast();
        assert_eq!(minionn_random_test_seed(user, out.as_mut_ptr(), 33), -1);
        assert_eq!(minionn_random_test_seed(user, null_mut(), 32), -1);
        assert_eq!(minionn_random_test_seed(null_mut(), out.as_mut_ptr(), 32), -1);
        assert_eq!(out, [0; 33]);
        assert_eq!(minionn_random_test_seed(user, out.as_mut_ptr(), 32), 0);
        assert_eq!((&out[..32], out[32]), (&seed[..], 0));
    }
    let first = |seed: &mut [u8; 32]| {
        let user = seed.as_mut_ptr().cast();
        let random = minionn_random { fill: Some(minionn_random_test_seed), user };
        let (mut session, mut state, mut n) = (null_mut(), minionn_state::MINIONN_BUSY, 0);
        let mut greeting = [0; MINIONN_GREETING_MAX];
        let (plan, plan_len) = (PLAN.as_ptr(), PLAN.len());
        // SAFETY: live memory, plan, handle and buffers.
        unsafe {
            let status =
                minionn_client_init(at, len, plan, plan_len, &options, &random, &mut session);
            assert_eq!(status, MINIONN_OK);
            assert_eq!(minionn_session_poll(session, &mut state), MINIONN_OK);
            let status =
                minionn_session_drain(session, greeting.as_mut_ptr(), greeting.len(), &mut n);
            assert_eq!((status, n), (MINIONN_OK, greeting.len()));
            minionn_session_wipe(session);
        }
        greeting
    };
    let greeting = first(&mut seed);
    assert_eq!(first(&mut seed), greeting);
    assert_ne!(first(&mut [4; 32]), greeting);
}

#[test]
fn null_crooked_and_foreign_pointers_are_refused() {
    let options = options(1, 4096);
    let mut pair = Pair::new(&options);
    let (mut n, mut state) = (77, minionn_state::MINIONN_BUSY);
    let bytes = [0; 64];
    let bad_model = pair.model.handle.cast::<minionn_session>();
    // SAFETY: the pointers are live, NULL or crooked; the foreign handle is a live one of another
    // type.
    unsafe {
        assert_eq!(
            minionn_session_poll(pair.client.byte_add(1), &mut state),
            MINIONN_ERROR_ALIGNMENT
        );
        assert_eq!(minionn_session_poll(bad_model, &mut state), MINIONN_ERROR_HANDLE);
        assert_eq!(
            minionn_server_memory(pair.client.cast(), &options, &mut n),
            MINIONN_ERROR_HANDLE
        );
        assert_eq!(
            minionn_session_feed(pair.client, bytes.as_ptr(), usize::MAX, &mut n),
            MINIONN_ERROR_NULL
        );
        assert_eq!(n, 77);
        assert_eq!(minionn_session_feed(pair.client, null(), 0, &mut n), MINIONN_OK);
        assert_eq!(n, 0);
        minionn_session_wipe(null_mut());
        minionn_model_wipe(null_mut());

        let mut info = core::mem::MaybeUninit::uninit();
        assert_eq!(minionn_plan_info(null(), 0, info.as_mut_ptr()), MINIONN_ERROR_PLAN);
        assert_eq!(
            minionn_plan_info(PLAN.as_ptr(), PLAN.len() - 1, info.as_mut_ptr()),
            MINIONN_ERROR_PLAN
        );
        assert_eq!(minionn_model_memory(PLAN.as_ptr(), PLAN.len(), 1, &mut n), MINIONN_ERROR_MODEL);
        assert_eq!(
            minionn_options_init(&mut { options }, size_of::<minionn_options>() - 1),
            MINIONN_ERROR_OPTION
        );
    }
    pair.idle(1000);
}

#[test]
fn a_server_takes_no_commands() {
    let mut pair = Pair::new(&options(1, 4096));
    let server = pair.server;
    let (mut written, mut argmax) = (0, 0);
    // SAFETY: live handles and buffers.
    unsafe {
        for status in [
            minionn_client_prepare(server),
            minionn_client_predict(server, [0.0; 64].as_ptr(), 64),
            minionn_client_predict_quantised(server, [0; 64].as_ptr(), 64),
            minionn_client_answer(server, [0.0; 10].as_mut_ptr(), 10, &mut written, &mut argmax),
            minionn_client_answer_quantised(
                server,
                [0; 10].as_mut_ptr(),
                10,
                &mut written,
                &mut argmax,
            ),
            minionn_client_close(server),
        ] {
            assert_eq!(status, MINIONN_ERROR_ROLE);
        }
    }
    // It did no harm.
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
    let auto = |rtt_us, bits_per_s| minionn_options {
        activations: MINIONN_ACTIVATIONS_AUTO,
        link_rtt_us: rtt_us,
        link_bits_per_s: bits_per_s,
        ..good
    };
    let mut size = 5;
    for bad in [
        with(|o| o.size -= 1),
        with(|o| o.repetition = 3),
        with(|o| o.tables = 2),
        with(|o| o.activations = 3),
        auto(0, 1),
        auto(1, 0),
        with(|o| o.stock = 0),
        with(|o| o.stock = MINIONN_STOCK_MAX + 1),
        with(|o| o.inbox = MINIONN_BUFFER_MIN - 1),
        with(|o| o.outbox = 0),
    ] {
        // SAFETY: live pointers.
        let status = unsafe { minionn_client_memory(PLAN.as_ptr(), PLAN.len(), &bad, &mut size) };
        assert_eq!((status, size), (MINIONN_ERROR_OPTION, 5), "{bad:?}");
    }
    // SAFETY: live pointers.
    let status =
        unsafe { minionn_client_memory(PLAN.as_ptr(), PLAN.len(), &auto(1, 1), &mut size) };
    assert_eq!(status, MINIONN_OK);
    // A stock that is not the model's.
    let model = Model::new(2);
    let mut memory = Memory::new(1 << 22);
    let (mut count, mut server) = (0_u8, null_mut());
    let random = counter(&mut count);
    // SAFETY: live pointers.
    let status = unsafe {
        minionn_server_init(memory.at(), 1 << 22, model.handle, &good, &random, &mut server)
    };
    assert_eq!(status, MINIONN_ERROR_OPTION);
}

#[test]
fn greeting_plan_and_refusal_work_without_a_session() {
    let own = options(1, 4096);
    let mut greeting = core::mem::MaybeUninit::<minionn_greeting>::uninit();
    let (mut used, mut n) = (0, 0);
    let mut frame = [0; MINIONN_PLAN_REPLY_MAX];
    let (at, len) = (frame.as_mut_ptr(), frame.len());
    // SAFETY: live pointers; a call that succeeds has filled the greeting.
    unsafe {
        assert_eq!(minionn_plan_request(at, MINIONN_PLAN_REQUEST_BYTES, &mut n), MINIONN_OK);
        let mut peek = |n| minionn_greeting_peek(at, n, &own, greeting.as_mut_ptr());
        assert_eq!(peek(n - 1), MINIONN_NEED_MORE);
        assert_eq!(peek(n), MINIONN_OK);
        let told = greeting.assume_init();
        assert_eq!(told.kind, minionn_greeting_kind::MINIONN_GREETING_PLAN_REQUEST);
        assert_eq!((told.frame_len, told.options.stock, told.pairing_id), (n, 1, [0; 16]));

        let reply = |len, n| minionn_plan_reply(PLAN.as_ptr(), PLAN.len(), at, len, n);
        assert_eq!(reply(PLAN.len(), &mut n), MINIONN_ERROR_MEMORY);
        assert_eq!(reply(len, &mut n), MINIONN_OK);
        let (mut plan, mut plan_len) = (null(), 0);
        let mut peek = |n| minionn_plan_peek(at, n, &mut plan, &mut plan_len, &mut used);
        assert_eq!(peek(n - 1), MINIONN_NEED_MORE);
        assert_eq!(peek(len), MINIONN_OK);
        assert_eq!((core::slice::from_raw_parts(plan, plan_len), used), (PLAN, n));
        at.add(20).write(at.add(20).read() ^ 1);
        let mut peek = |n| minionn_plan_peek(at, n, &mut plan, &mut plan_len, &mut used);
        assert_eq!(peek(n), MINIONN_ERROR_CHECKSUM);

        let model = Model::new(1);
        assert_eq!(minionn_model_plan(model.handle, &mut plan, &mut plan_len), MINIONN_OK);
        assert_eq!(core::slice::from_raw_parts(plan, plan_len), PLAN);
        assert!(MODEL.as_ptr_range().contains(&plan));

        for reason in [0, -1, 201, 300] {
            assert_eq!(minionn_greeting_refuse(reason, at, len, &mut n), MINIONN_ERROR_OPTION);
        }
        let reason = MINIONN_ERROR_REFUSED as i32;
        assert_eq!(minionn_greeting_refuse(reason, at, len, &mut n), MINIONN_OK);
        assert_eq!(n, MINIONN_REFUSAL_BYTES);
        let mut peek = |n| minionn_plan_peek(at, n, &mut plan, &mut plan_len, &mut used);
        assert_eq!(peek(n), MINIONN_ERROR_PEER_ABORTED);
    }
    // A client's own first bytes.
    let client = minionn_options {
        activations: MINIONN_ACTIVATIONS_AUTO,
        link_rtt_us: 50_000,
        link_bits_per_s: 100_000_000,
        ..options(1, 4096)
    };
    let mut pair = Pair::new(&client);
    let mut first = Vec::new();
    assert_eq!(
        pair.finish_call(1000, |bytes| first.extend_from_slice(bytes))[0],
        Ok(minionn_state::MINIONN_IDLE)
    );
    let own = options(7, 128);
    // SAFETY: live pointers; a call that succeeds has filled the greeting.
    let told = unsafe {
        let at = greeting.as_mut_ptr();
        let status = minionn_greeting_peek(first.as_ptr(), MINIONN_GREETING_MAX, &own, at);
        assert_eq!(status, MINIONN_OK);
        greeting.assume_init()
    };
    assert_eq!(told.kind, minionn_greeting_kind::MINIONN_GREETING_SESSION);
    assert_eq!(told.frame_len, MINIONN_GREETING_MAX);
    let minionn_options { stock, repetition, tables, activations, inbox, .. } = told.options;
    assert_eq!(
        (stock, repetition, tables, activations, inbox),
        (1, 8, MINIONN_TABLES_STORED, MINIONN_ACTIVATIONS_AUTO, 128)
    );
    // Sessions with the client's link and with what the greeting says of it need the same.
    let mut sizes = [0; 2];
    for (options, size) in [client, minionn_options { inbox: 4096, outbox: 4096, ..told.options }]
        .iter()
        .zip(&mut sizes)
    {
        // SAFETY: live pointers.
        let status = unsafe { minionn_server_memory(pair.model.handle, options, size) };
        assert_eq!(status, MINIONN_OK);
    }
    assert_eq!(sizes[0], sizes[1]);
}
