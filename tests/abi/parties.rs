//! Both parties in memory.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use minionn::minionn_status::*;
use minionn::*;

pub(crate) static MODEL: &[u8] = include_bytes!("../../models/digits_relu.minionn");
pub(crate) static PLAN: &[u8] = include_bytes!("../../models/digits_relu.plan");

/// Aligned memory of exactly `len` bytes, not zeroed.
pub(crate) struct Memory(Vec<u128>, usize);

impl Memory {
    pub(crate) fn new(len: usize) -> Self {
        Self(vec![u128::MAX; len.div_ceil(16)], len)
    }
    pub(crate) fn at(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
    pub(crate) const fn len(&self) -> usize {
        self.1
    }
    pub(crate) fn is_wiped(&self) -> bool {
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

/// A source that counts, from the number at `counter`.
pub(crate) fn counter(counter: &mut u8) -> minionn_random {
    minionn_random { fill: Some(counting), user: core::ptr::from_mut(counter).cast() }
}

pub(crate) fn options(stock: u32, size: usize) -> minionn_options {
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
pub(crate) struct Model {
    memory: Memory,
    pub(crate) handle: *mut minionn_model,
}

impl Model {
    pub(crate) fn new(stock: u32) -> Self {
        let (mut size, mut handle) = (0, null_mut());
        let (file, len) = (MODEL.as_ptr(), MODEL.len());
        // SAFETY: pointers of live values.
        unsafe {
            assert_eq!(minionn_model_memory(file, len, stock, &mut size), MINIONN_OK);
            let mut memory = Memory::new(size);
            let at = memory.at();
            let mut init = |size| minionn_model_init(at, size, file, len, stock, &mut handle);
            assert_eq!(init(size - 1), MINIONN_ERROR_MEMORY);
            assert_eq!(init(size), MINIONN_OK);
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
pub(crate) struct Pair {
    pub(crate) client: *mut minionn_session,
    pub(crate) server: *mut minionn_session,
    pub(crate) memory: [Memory; 2],
    pub(crate) model: Model,
}

impl Pair {
    pub(crate) fn new(options: &minionn_options) -> Self {
        let model = Model::new(options.stock);
        let (mut sizes, mut count) = ([0; 2], 0);
        let (mut client, mut server) = (null_mut(), null_mut());
        let random = counter(&mut count);
        let (plan, len) = (PLAN.as_ptr(), PLAN.len());
        // SAFETY: pointers of live values; the memory outlives the handles.
        unsafe {
            assert_eq!(minionn_client_memory(plan, len, options, &mut sizes[0]), MINIONN_OK);
            assert_eq!(minionn_server_memory(model.handle, options, &mut sizes[1]), MINIONN_OK);
            let mut memory = sizes.map(Memory::new);
            let at = [memory[0].at(), memory[1].at()];
            let mut start = |less: usize, up: usize| {
                let of = |i: usize| (at[i].add(up), sizes[i] - less);
                let ((c, c_size), (s, s_size)) = (of(0), of(1));
                let model = model.handle;
                [
                    minionn_client_init(c, c_size, plan, len, options, &random, &mut client),
                    minionn_server_init(s, s_size, model, options, &random, &mut server),
                ]
            };
            assert_eq!(start(1, 0), [MINIONN_ERROR_MEMORY; 2]);
            assert_eq!(start(1, 1), [MINIONN_ERROR_ALIGNMENT; 2]);
            assert_eq!(start(0, 0), [MINIONN_OK; 2]);
            Self { client, server, memory, model }
        }
    }

    /// Moves bytes both ways, `step` at a time, `damage`d towards the server, until nothing moves.
    pub(crate) fn finish_call(
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
                let client = minionn_session_poll(self.client, &mut states[0]);
                let cap = if lost { step } else { step.min(progress(self.server).feed_capacity) };
                let at = buffer.as_mut_ptr();
                assert_eq!(minionn_session_drain(self.client, at, cap, &mut n), MINIONN_OK);
                damage(&mut buffer[..n]);
                let at = buffer.as_mut_ptr();
                assert_eq!(minionn_session_feed(self.server, at, n, &mut taken), MINIONN_OK);
                assert!(lost || taken == n);
                moved += n;
                let server = minionn_session_poll(self.server, &mut states[1]);
                lost = server != MINIONN_OK;
                let cap = step.min(progress(self.client).feed_capacity);
                assert_eq!(minionn_session_drain(self.server, at, cap, &mut n), MINIONN_OK);
                assert_eq!(minionn_session_feed(self.client, at, n, &mut taken), MINIONN_OK);
                assert_eq!(taken, n);
                moved += n;
                [client, server]
            };
            let pending = progress(self.client).pending + progress(self.server).pending;
            let stuck = moved == 0 && (pending == 0 || status != [MINIONN_OK; 2]);
            if stuck && (states[0] != minionn_state::MINIONN_BUSY || status != [MINIONN_OK; 2]) {
                let result =
                    |i: usize| if status[i] == MINIONN_OK { Ok(states[i]) } else { Err(status[i]) };
                return [result(0), result(1)];
            }
        }
    }

    pub(crate) fn idle(&mut self, step: usize) {
        assert_eq!(self.finish_call(step, |_| {})[0], Ok(minionn_state::MINIONN_IDLE));
    }

    /// A prediction from the stock, checked against the integer model.
    pub(crate) fn predict(&mut self, x: &[i64], step: usize) {
        let (mut logits, mut written, mut argmax) = ([0; 10], 0, 0);
        // SAFETY: live handles and buffers.
        unsafe {
            let status = minionn_client_predict_quantised(self.client, x.as_ptr(), x.len());
            assert_eq!(status, MINIONN_OK);
            self.idle(step);
            let at = logits.as_mut_ptr();
            let status =
                minionn_client_answer_quantised(self.client, at, 10, &mut written, &mut argmax);
            assert_eq!((status, written), (MINIONN_OK, 10));
        }
        assert_eq!((argmax, logits.to_vec()), expected(x));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // SAFETY: the handles are live, wiped, or NULL; wiping twice is allowed while the memory is
        // there.
        unsafe {
            for _ in 0..2 {
                minionn_session_wipe(self.client);
                minionn_session_wipe(self.server);
            }
            assert_eq!(minionn_client_prepare(self.client), MINIONN_ERROR_HANDLE);
            assert_eq!(minionn_session_end_of_input(self.server), MINIONN_ERROR_HANDLE);
        }
        assert!(self.memory.iter().all(Memory::is_wiped));
    }
}

/// How far a live session has come.
pub(crate) fn progress(session: *const minionn_session) -> minionn_progress {
    let mut progress = core::mem::MaybeUninit::uninit();
    // SAFETY: a live handle; the call fills what `progress` has room for.
    unsafe {
        assert_eq!(minionn_session_progress(session, progress.as_mut_ptr()), MINIONN_OK);
        progress.assume_init()
    }
}

/// What the integer model says.
pub(crate) fn expected(x: &[i64]) -> (usize, Vec<i64>) {
    let model = minionn_core::model::Model::parse(MODEL).unwrap();
    let mut scratch = vec![0; minionn_core::model::Model::scratch_len(model.plan())];
    let mut out = vec![0; 10];
    let best = model.evaluate(x, &mut scratch, &mut out).unwrap();
    (best, out)
}
