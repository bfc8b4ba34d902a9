//! "Outputs are as they were before when a call fails", of every function: each is called with
//! each pointer NULL and crooked in turn, and with whatever else makes it fail.

use crate::pairing::export;
use crate::parties::{MODEL, Memory, Model, PLAN, Pair, counter, options};
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use minionn::minionn_status::*;
use minionn::*;
use std::collections::BTreeSet;

/// Every kind of output that there is.
#[repr(C)]
struct Outputs {
    size: usize,
    written: usize,
    index: usize,
    options: minionn_options,
    info: minionn_info,
    cost: minionn_cost,
    pairing: minionn_pairing,
    greeting: minionn_greeting,
    progress: minionn_progress,
    state: minionn_state,
    bytes: *const u8,
    model: *mut minionn_model,
    session: *mut minionn_session,
    real: [f64; 16],
    integers: [i64; 16],
    array: [u8; MINIONN_SERVER_PAIRING_BYTES],
}

/// What outputs hold before.
const PATTERN: u8 = 0xa5;

/// What is wrong with an argument.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Null,
    Crooked,
}

/// An argument that may be spoilt.
trait Argument: Copy {
    /// With this fault; `None`: there is no such thing.
    fn spoilt(self, fault: Fault) -> Option<Self>;
}

impl<T> Argument for *const T {
    fn spoilt(self, fault: Fault) -> Option<Self> {
        self.cast_mut().spoilt(fault).map(<*mut T>::cast_const)
    }
}

impl<T> Argument for *mut T {
    fn spoilt(self, fault: Fault) -> Option<Self> {
        // The opaque types have no size: what stands behind them is aligned.
        let aligned = align_of::<T>() > 1 || size_of::<T>() == 0;
        match fault {
            Fault::Null => Some(null_mut()),
            Fault::Crooked => aligned.then(|| self.wrapping_byte_add(1)),
        }
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(impl Argument for $type {
            fn spoilt(self, _: Fault) -> Option<Self> {
                None
            }
        })*
    };
}
numbers!(usize u32 i32);

/// What was tried.
struct Tried {
    outputs: Box<MaybeUninit<Outputs>>,
    functions: BTreeSet<&'static str>,
    calls: usize,
}

impl Tried {
    fn new() -> Self {
        let mut outputs = Box::new(MaybeUninit::<Outputs>::uninit());
        // SAFETY: all bytes are written.
        unsafe { outputs.as_mut_ptr().write_bytes(PATTERN, 1) };
        Self { outputs, functions: BTreeSet::new(), calls: 0 }
    }

    fn at(&mut self) -> *mut Outputs {
        self.outputs.as_mut_ptr()
    }

    /// A call has failed, as it should, and touched nothing.
    fn check(&mut self, function: &'static str, told: minionn_status, expected: minionn_status) {
        assert_eq!(told, expected, "{function}");
        // SAFETY: `new` has written all bytes; a call that failed has written none.
        let bytes = unsafe {
            core::slice::from_raw_parts(self.at().cast::<u8>().cast_const(), size_of::<Outputs>())
        };
        let touched = bytes.iter().position(|&byte| byte != PATTERN);
        assert_eq!(touched, None, "{function} with {expected:?}");
        self.functions.insert(function);
        self.calls += 1;
    }
}

/// A call that fails with this status.
macro_rules! fails {
    ($tried:ident, $status:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: pointers of live values, or what this test is about.
        let told = unsafe { $function($($argument),*) };
        $tried.check(stringify!($function), told, $status);
    }};
}

/// The call with each pointer NULL and crooked, but for those (by number) that may be NULL.
macro_rules! each_pointer {
    ($tried:ident, $function:ident($($argument:expr),* $(,)?) $(, NULL: $free:literal)?) => {{
        let free: &[usize] = &[$($free)?];
        let count = [$(stringify!($argument)),*].len();
        for hit in 0..count {
            for fault in [Fault::Null, Fault::Crooked] {
                let possible = [$($argument.spoilt(fault).is_some()),*][hit];
                if !possible || matches!(fault, Fault::Null) && free.contains(&hit) {
                    continue;
                }
                let mut number = 0;
                let mut next = || {
                    number += 1;
                    number - 1 == hit
                };
                // SAFETY: pointers of live values, but for the one that is refused.
                let told = unsafe {
                    $function($(if next() {
                        $argument.spoilt(fault).unwrap()
                    } else {
                        $argument
                    }),*)
                };
                let expected = match fault {
                    Fault::Null => MINIONN_ERROR_NULL,
                    Fault::Crooked => MINIONN_ERROR_ALIGNMENT,
                };
                $tried.check(stringify!($function), told, expected);
            }
        }
    }};
}

unsafe extern "C" fn no_bytes(_: *mut c_void, _: *mut u8, _: usize) -> c_int {
    1
}
unsafe extern "C" fn no_read(_: *mut c_void, _: *mut u8, _: usize) -> isize {
    -1
}
unsafe extern "C" fn no_run(_: *mut c_void, _: minionn_job, _: *mut c_void) {}
unsafe extern "C" fn no_write(_: *mut c_void, _: *const u8, _: usize) -> isize {
    0
}

/// Where outputs go, all of them in a [`Tried`].
struct Places {
    size: *mut usize,
    written: *mut usize,
    index: *mut usize,
    array: *mut u8,
    session: *mut *mut minionn_session,
}

impl Tried {
    fn places(&mut self) -> Places {
        let o = self.at();
        // SAFETY: addresses of fields.
        unsafe {
            Places {
                size: &raw mut (*o).size,
                written: &raw mut (*o).written,
                index: &raw mut (*o).index,
                array: (&raw mut (*o).array).cast(),
                session: &raw mut (*o).session,
            }
        }
    }

    fn without_a_session(&mut self) {
        let tried = self;
        let o = tried.at();
        let Places { size, written, array, .. } = tried.places();
        let (plan, plan_len) = (PLAN.as_ptr(), PLAN.len());
        let good = options(1, 4096);
        let bad = minionn_options { stock: 0, ..good };
        let mut steps = [0.0_f32; 2];
        let (good, bad) = (&raw const good, &raw const bad);
        // SAFETY: addresses of fields.
        let (opts, info, cost, greeting, bytes) = unsafe {
            (
                &raw mut (*o).options,
                &raw mut (*o).info,
                &raw mut (*o).cost,
                &raw mut (*o).greeting,
                &raw mut (*o).bytes,
            )
        };
        let options_size = size_of::<minionn_options>();
        each_pointer!(tried, minionn_options_init(opts, options_size));
        fails!(tried, MINIONN_ERROR_OPTION, minionn_options_init(opts, options_size + 1));
        each_pointer!(tried, minionn_options_set_link(opts, 0_i32));
        fails!(tried, MINIONN_ERROR_OPTION, minionn_options_set_link(opts, 0));

        each_pointer!(tried, minionn_plan_info(plan, plan_len, info));
        fails!(tried, MINIONN_ERROR_PLAN, minionn_plan_info(plan, plan_len - 1, info));
        let (step, offset) = (&raw mut steps[0], &raw mut steps[1]);
        each_pointer!(tried, minionn_plan_input_step(plan, plan_len, 0, step, offset));
        fails!(tried, MINIONN_ERROR_PLAN, minionn_plan_input_step(plan, 8, 0, step, offset));
        fails!(
            tried,
            MINIONN_ERROR_LENGTH,
            minionn_plan_input_step(plan, plan_len, 1 << 20, step, offset)
        );
        each_pointer!(tried, minionn_plan_cost(plan, plan_len, good, cost));
        fails!(tried, MINIONN_ERROR_OPTION, minionn_plan_cost(plan, plan_len, bad, cost));
        fails!(tried, MINIONN_ERROR_PLAN, minionn_plan_cost(plan, 8, good, cost));
        let request = MINIONN_PLAN_REQUEST_BYTES;
        each_pointer!(tried, minionn_plan_request(array, request, written));
        fails!(tried, MINIONN_ERROR_MEMORY, minionn_plan_request(array, request - 1, written));
        each_pointer!(tried, minionn_plan_reply(plan, plan_len, array, plan_len + 9, written));
        fails!(
            tried,
            MINIONN_ERROR_MEMORY,
            minionn_plan_reply(plan, plan_len, array, plan_len + 8, written)
        );
        fails!(
            tried,
            MINIONN_ERROR_PLAN,
            minionn_plan_reply(plan, 5, array, plan_len + 9, written)
        );

        let (mut reply, mut n) = (vec![0; MINIONN_PLAN_REPLY_MAX], 0);
        // SAFETY: live buffers.
        let status =
            unsafe { minionn_plan_reply(plan, plan_len, reply.as_mut_ptr(), reply.len(), &mut n) };
        assert_eq!(status, MINIONN_OK);
        let frame = reply.as_ptr();
        each_pointer!(tried, minionn_plan_peek(frame, n, bytes, written, size));
        fails!(tried, MINIONN_NEED_MORE, minionn_plan_peek(frame, n - 1, bytes, written, size));
        reply[30] ^= 1;
        let frame = reply.as_ptr();
        fails!(tried, MINIONN_ERROR_CHECKSUM, minionn_plan_peek(frame, n, bytes, written, size));
        let io = minionn_io { read: Some(no_read), write: Some(no_write), user: null_mut() };
        let half = minionn_io { read: None, ..io };
        let (io, half, memory) = (&raw const io, &raw const half, reply.as_mut_ptr());
        each_pointer!(tried, minionn_plan_fetch(io, memory, n, bytes, written));
        fails!(tried, MINIONN_ERROR_NULL, minionn_plan_fetch(half, memory, n, bytes, written));
        fails!(tried, MINIONN_ERROR_IO, minionn_plan_fetch(io, memory, n, bytes, written));

        each_pointer!(tried, minionn_greeting_peek(frame, n, good, greeting));
        fails!(tried, MINIONN_ERROR_UNEXPECTED, minionn_greeting_peek(frame, n, good, greeting));
        fails!(tried, MINIONN_NEED_MORE, minionn_greeting_peek(frame, 0, good, greeting));
        let refusal = MINIONN_REFUSAL_BYTES;
        each_pointer!(tried, minionn_greeting_refuse(107_i32, array, refusal, written));
        fails!(
            tried,
            MINIONN_ERROR_MEMORY,
            minionn_greeting_refuse(107, array, refusal - 1, written)
        );
        fails!(tried, MINIONN_ERROR_OPTION, minionn_greeting_refuse(0, array, refusal, written));
    }

    fn starts(&mut self, pair: &mut Pair) {
        let tried = self;
        let [own, peers] = export(pair);
        let o = tried.at();
        let Places { size, written, session, .. } = tried.places();
        let (plan, plan_len) = (PLAN.as_ptr(), PLAN.len());
        let (file, file_len) = (MODEL.as_ptr(), MODEL.len());
        let good = options(1, 4096);
        let bad = minionn_options { repetition: 5, ..good };
        let other = minionn_options { stock: 2, ..good };
        let (good, bad, other) = (&raw const good, &raw const bad, &raw const other);
        // SAFETY: addresses of fields.
        let (bytes, model, pairing) =
            unsafe { (&raw mut (*o).bytes, &raw mut (*o).model, &raw mut (*o).pairing) };
        let ready = Model::new(1);
        let served = ready.handle.cast_const();
        let foreign = pair.client.cast::<minionn_model>().cast_const();
        let mut count = 1;
        let random = counter(&mut count);
        let failing = minionn_random { fill: Some(no_bytes), ..random };
        let (random, failing) = (&raw const random, &raw const failing);
        let mut memory = Memory::new(1 << 22);
        let (at, len) = (memory.at(), memory.len());

        each_pointer!(tried, minionn_model_memory(file, file_len, 1_u32, size));
        fails!(tried, MINIONN_ERROR_MODEL, minionn_model_memory(plan, plan_len, 1, size));
        fails!(tried, MINIONN_ERROR_OPTION, minionn_model_memory(file, file_len, 0, size));
        each_pointer!(tried, minionn_model_init(at, len, file, file_len, 1_u32, model));
        fails!(tried, MINIONN_ERROR_MEMORY, minionn_model_init(at, 8, file, file_len, 1, model));
        fails!(tried, MINIONN_ERROR_MODEL, minionn_model_init(at, len, file, 8, 1, model));
        each_pointer!(tried, minionn_model_plan(served, bytes, written));
        fails!(tried, MINIONN_ERROR_HANDLE, minionn_model_plan(foreign, bytes, written));

        each_pointer!(tried, minionn_client_memory(plan, plan_len, good, size));
        fails!(tried, MINIONN_ERROR_OPTION, minionn_client_memory(plan, plan_len, bad, size));
        fails!(tried, MINIONN_ERROR_PLAN, minionn_client_memory(file, file_len, good, size));
        each_pointer!(tried, minionn_client_init(at, len, plan, plan_len, good, random, session));
        for (status, len, options, random) in [
            (MINIONN_ERROR_MEMORY, 8, good, random),
            (MINIONN_ERROR_OPTION, len, bad, random),
            (MINIONN_ERROR_RANDOM, len, good, failing),
        ] {
            fails!(
                tried,
                status,
                minionn_client_init(at, len, plan, plan_len, options, random, session)
            );
        }
        each_pointer!(tried, minionn_server_memory(served, good, size));
        fails!(tried, MINIONN_ERROR_OPTION, minionn_server_memory(served, bad, size));
        fails!(tried, MINIONN_ERROR_HANDLE, minionn_server_memory(foreign, good, size));
        each_pointer!(tried, minionn_server_init(at, len, served, good, random, session));
        for (status, len, options, random) in [
            (MINIONN_ERROR_MEMORY, 8, good, random),
            (MINIONN_ERROR_OPTION, len, other, random),
            (MINIONN_ERROR_RANDOM, len, good, failing),
        ] {
            fails!(tried, status, minionn_server_init(at, len, served, options, random, session));
        }

        let (half, half_len) = (own.as_ptr(), own.len());
        let (theirs, their_len) = (peers.as_ptr(), peers.len());
        each_pointer!(tried, minionn_pairing_info(half, half_len, pairing));
        fails!(tried, MINIONN_ERROR_PAIRING, minionn_pairing_info(half, half_len - 1, pairing));
        each_pointer!(
            tried,
            minionn_client_resume(at, len, plan, plan_len, good, half, half_len, random, session)
        );
        for (status, half, half_len, random) in [
            (MINIONN_ERROR_PAIRING, half, half_len - 1, random),
            (MINIONN_ERROR_PAIRING, theirs, their_len, random),
            (MINIONN_ERROR_RANDOM, half, half_len, failing),
        ] {
            fails!(
                tried,
                status,
                minionn_client_resume(
                    at, len, plan, plan_len, good, half, half_len, random, session
                )
            );
        }
        each_pointer!(
            tried,
            minionn_server_resume(at, len, served, good, theirs, their_len, random, session)
        );
        for (status, options, half, half_len, random) in [
            (MINIONN_ERROR_PAIRING, good, half, half_len, random),
            (MINIONN_ERROR_OPTION, other, theirs, their_len, random),
            (MINIONN_ERROR_RANDOM, good, theirs, their_len, failing),
        ] {
            fails!(
                tried,
                status,
                minionn_server_resume(at, len, served, options, half, half_len, random, session)
            );
        }
    }

    /// Calls of a session that is idle, with a stock, and has predicted once.
    fn sessions(&mut self, pair: &Pair) {
        let tried = self;
        let o = tried.at();
        let Places { written, index, array, .. } = tried.places();
        // SAFETY: addresses of fields.
        let (progress, state, real, integers) = unsafe {
            (
                &raw mut (*o).progress,
                &raw mut (*o).state,
                (&raw mut (*o).real).cast::<f64>(),
                (&raw mut (*o).integers).cast::<i64>(),
            )
        };
        let (client, server) = (pair.client, pair.server);
        let foreign = pair.model.handle.cast::<minionn_session>();
        let (x, n) = ([0.5_f32; 64], 64_usize);
        let quantised = [1_i64; 64];
        let (x, quantised) = (x.as_ptr(), quantised.as_ptr());
        let bytes = [0_u8; 8];
        let bytes = bytes.as_ptr();
        let io = minionn_io { read: Some(no_read), write: Some(no_write), user: null_mut() };
        let half = minionn_io { write: None, ..io };
        let (io, half) = (&raw const io, &raw const half);
        let workers = minionn_executor { run: Some(no_run), user: null_mut() };
        let nobody = minionn_executor { run: None, ..workers };
        let (workers, nobody) = (&raw const workers, &raw const nobody);

        each_pointer!(tried, minionn_session_feed(client, bytes, 8_usize, written));
        fails!(tried, MINIONN_ERROR_HANDLE, minionn_session_feed(foreign, bytes, 8, written));
        each_pointer!(tried, minionn_session_drain(client, array, 8_usize, written));
        fails!(tried, MINIONN_ERROR_HANDLE, minionn_session_drain(foreign, array, 8, written));
        each_pointer!(tried, minionn_session_poll(client, state));
        fails!(tried, MINIONN_ERROR_HANDLE, minionn_session_poll(foreign, state));
        each_pointer!(tried, minionn_session_progress(client.cast_const(), progress));
        fails!(tried, MINIONN_ERROR_HANDLE, minionn_session_progress(foreign, progress));
        each_pointer!(tried, minionn_session_end_of_input(client));
        fails!(tried, MINIONN_ERROR_HANDLE, minionn_session_end_of_input(foreign));
        each_pointer!(tried, minionn_session_use_workers(client, workers), NULL: 1);
        fails!(tried, MINIONN_ERROR_NULL, minionn_session_use_workers(client, nobody));
        each_pointer!(tried, minionn_session_run(client, io));
        fails!(tried, MINIONN_ERROR_NULL, minionn_session_run(client, half));
        for (session, size) in
            [(client, MINIONN_CLIENT_PAIRING_BYTES), (server, MINIONN_SERVER_PAIRING_BYTES)]
        {
            each_pointer!(tried, minionn_session_export_pairing(session, array, size, written));
            fails!(
                tried,
                MINIONN_ERROR_MEMORY,
                minionn_session_export_pairing(session, array, size - 1, written)
            );
        }

        each_pointer!(tried, minionn_client_prepare(client));
        fails!(tried, MINIONN_ERROR_ROLE, minionn_client_prepare(server));
        each_pointer!(tried, minionn_client_predict(client, x, n));
        fails!(tried, MINIONN_ERROR_LENGTH, minionn_client_predict(client, x, n - 1));
        fails!(tried, MINIONN_ERROR_ROLE, minionn_client_predict(server, x, n));
        each_pointer!(tried, minionn_client_predict_quantised(client, quantised, n));
        fails!(
            tried,
            MINIONN_ERROR_LENGTH,
            minionn_client_predict_quantised(client, quantised, n - 1)
        );
        each_pointer!(tried, minionn_client_close(client));
        fails!(tried, MINIONN_ERROR_ROLE, minionn_client_close(server));

        let (few, enough) = (9_usize, 10_usize);
        each_pointer!(tried, minionn_client_answer(client, real, enough, written, index));
        each_pointer!(
            tried,
            minionn_client_answer_quantised(client, integers, enough, written, index)
        );
        for (session, capacity, status) in
            [(client, few, MINIONN_ERROR_LENGTH), (server, enough, MINIONN_ERROR_ROLE)]
        {
            fails!(tried, status, minionn_client_answer(session, real, capacity, written, index));
            fails!(
                tried,
                status,
                minionn_client_answer_quantised(session, integers, capacity, written, index)
            );
        }
    }

    /// Calls of a session that an error has ended.
    fn ended(&mut self, pair: &Pair) {
        let tried = self;
        let o = tried.at();
        let Places { written, array, .. } = tried.places();
        // SAFETY: an address of a field.
        let state = unsafe { &raw mut (*o).state };
        let io = minionn_io { read: Some(no_read), write: Some(no_write), user: null_mut() };
        let io = &raw const io;
        let client = pair.client;
        fails!(tried, MINIONN_ERROR_IO, minionn_session_run(client, io));
        fails!(tried, MINIONN_ERROR_IO, minionn_session_poll(client, state));
        fails!(tried, MINIONN_ERROR_IO, minionn_client_prepare(client));
        fails!(
            tried,
            MINIONN_ERROR_IO,
            minionn_session_export_pairing(client, array, MINIONN_CLIENT_PAIRING_BYTES, written)
        );
    }
}

#[test]
fn outputs_are_unchanged_when_a_call_fails() {
    let mut tried = Tried::new();
    tried.without_a_session();
    let mut pair = Pair::new(&options(2, 4096));
    tried.starts(&mut pair);
    // SAFETY: a live handle.
    assert_eq!(unsafe { minionn_client_prepare(pair.client) }, MINIONN_OK);
    pair.idle(4096);
    pair.predict(&[3; 64], 4096);
    tried.sessions(&pair);
    // None of these calls has done any harm.
    pair.predict(&[4; 64], 4096);
    // SAFETY: a live handle.
    assert_eq!(unsafe { minionn_client_prepare(pair.client) }, MINIONN_OK);
    tried.ended(&pair);

    // Those that cannot fail, or return no status.
    let others = [
        "minionn_library_info",
        "minionn_model_wipe",
        "minionn_random_test_seed",
        "minionn_session_wipe",
        "minionn_strerror",
    ];
    tried.functions.extend(others);
    let symbols = include_str!("../c/symbols.txt");
    assert_eq!(tried.functions, symbols.lines().collect::<BTreeSet<_>>());
    assert!(tried.calls > 150, "{}", tried.calls);
}
