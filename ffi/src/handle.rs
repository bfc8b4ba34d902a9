//! Handles: Rust values at the start of memory that a C caller owns.
//!
//! ```text
//! caller's memory:  | Handle { magic, bytes, condition, value } | region that the value carves |
//! ```

use crate::pointer::checked;
use crate::status::{Result, Status};
use minionn_core::memory::ALIGN;
use minionn_core::target::TargetProfile;
use zeroize::Zeroize as _;

/// An opaque C type and what stands behind it.
pub(crate) trait Opaque {
    /// The value.
    type Value: 'static;
    /// Tells handles of different types, and wiped ones, apart.
    const MAGIC: u64;
}

/// What stands at the start of the caller's memory.
#[repr(C)]
pub(crate) struct Handle<T> {
    magic: u64,
    /// How many of the caller's memory are used.
    bytes: usize,
    /// One of the constants below.
    condition: u8,
    value: T,
}

/// No call is under way.
const FREE: u8 = 0;
/// A call is under way.
const LENT: u8 = 1;
/// A call has panicked: the value may be half-changed.
const BROKEN: u8 = 2;

/// Marks a handle as broken, unless it is forgotten: a panic passed by.
struct BrokenUnlessForgotten(*mut u8);

impl Drop for BrokenUnlessForgotten {
    fn drop(&mut self) {
        // SAFETY: `with` made it of a live handle's field, which outlives the call.
        unsafe { self.0.write(BROKEN) };
    }
}

/// Bytes reserved for the handle itself: the same for all types, so that other machines know it.
const fn head<T: Opaque>() -> usize {
    const {
        assert!(align_of::<Handle<T::Value>>() <= ALIGN);
        assert!(size_of::<Handle<T::Value>>() <= TargetProfile::THIS.handle);
        assert!(TargetProfile::THIS.handle.is_multiple_of(ALIGN));
    }
    TargetProfile::THIS.handle
}

/// Bytes of a handle whose value carves `region` bytes.
pub(crate) fn bytes<T: Opaque>(region: usize) -> Result<usize> {
    Ok(TargetProfile::THIS.check(region.saturating_add(head::<T>()))?)
}

/// Places a handle whose value carves `region` bytes.
///
/// # Safety
/// Unless NULL, `memory` is valid for reading and writing `size` bytes, by nobody else, until the
/// handle is wiped; what `make`'s value borrows lives as long.
pub(crate) unsafe fn init<T: Opaque>(
    memory: *mut u8,
    size: usize,
    region: usize,
    make: impl FnOnce(&'static mut [u8]) -> Result<T::Value>,
) -> Result<*mut T> {
    let bytes = bytes::<T>(region)?;
    checked(memory.cast_const())?;
    if memory.align_offset(ALIGN) != 0 {
        return Err(Status::MINIONN_ERROR_ALIGNMENT);
    }
    if size < bytes {
        return Err(Status::MINIONN_ERROR_MEMORY);
    }
    // SAFETY: at least `bytes` bytes, checked above, are ours until the handle is wiped. They are
    // initialised before a slice covers them, and handle and slice do not overlap: `head`
    // rounds up, and leaves `region`.
    unsafe {
        memory.write_bytes(0, bytes);
        let region = core::slice::from_raw_parts_mut(memory.add(head::<T>()), region);
        match make(region) {
            Ok(value) => {
                memory.cast::<Handle<T::Value>>().write(Handle {
                    magic: T::MAGIC,
                    bytes,
                    condition: FREE,
                    value,
                });
                Ok(memory.cast())
            }
            Err(status) => {
                wipe_bytes(memory, bytes);
                Err(status)
            }
        }
    }
}

/// The live handle behind a pointer. No reference to it is made here, so this may be asked while
/// a call is under way.
///
/// # Safety
/// Unless NULL or crooked, `handle` points at as many readable bytes as a handle has.
unsafe fn find<T: Opaque>(handle: *const T) -> Result<*mut Handle<T::Value>> {
    let handle = handle.cast_mut().cast::<Handle<T::Value>>();
    checked(handle.cast_const())?;
    // SAFETY: the bytes are readable, and any eight bytes are a number.
    if unsafe { (&raw const (*handle).magic).read() } == T::MAGIC {
        Ok(handle)
    } else {
        Err(Status::MINIONN_ERROR_HANDLE)
    }
}

/// As [`find`], if no call is under way or has panicked.
///
/// # Safety
/// As [`find`].
unsafe fn find_free<T: Opaque>(handle: *const T) -> Result<*mut Handle<T::Value>> {
    // SAFETY: the caller's promise; `find` checked that this is a live handle, which `init` wrote.
    unsafe {
        let handle = find(handle)?;
        match (&raw const (*handle).condition).read() {
            FREE => Ok(handle),
            LENT => Err(Status::MINIONN_ERROR_STATE),
            _ => Err(Status::MINIONN_ERROR_INTERNAL),
        }
    }
}

/// Lends the value to `call`. A call that panics leaves the handle broken; one that comes back
/// with the same handle, as a callback could, is told that it is not its turn.
///
/// # Safety
/// As [`find`]; no other thread uses the handle meanwhile.
pub(crate) unsafe fn with<T: Opaque, R>(
    handle: *mut T,
    call: impl FnOnce(&mut T::Value) -> Result<R>,
) -> Result<R> {
    // SAFETY: the caller's promise; this is a live handle, which `init` wrote, and nothing else
    // refers to its value. Its other fields are reached by raw pointers only.
    unsafe {
        let handle = find_free(handle.cast_const())?;
        let condition = &raw mut (*handle).condition;
        condition.write(LENT);
        let broken = BrokenUnlessForgotten(condition);
        let result = call(&mut (*handle).value);
        core::mem::forget(broken);
        condition.write(FREE);
        result
    }
}

/// The value, for reading.
///
/// # Safety
/// As [`find`]; during `'a`, nobody wipes the handle or has it lent by [`with`].
pub(crate) unsafe fn shared<'a, T: Opaque>(handle: *const T) -> Result<&'a T::Value> {
    // SAFETY: the caller's promise; this is a live handle, which `init` wrote.
    unsafe { find_free(handle).map(|handle| &(*handle).value) }
}

/// Drops the value and wipes all memory that it had.
///
/// # Safety
/// As [`find`]; nobody uses the handle any more.
pub(crate) unsafe fn wipe<T: Opaque>(handle: *mut T) -> Result<()> {
    // SAFETY: the caller's promise; `find` checked that this is a live handle, which `init` wrote,
    // with `bytes` bytes of memory. The number that tells a live handle goes first: the value
    // is dropped once, even if that panics.
    unsafe {
        let found = find(handle.cast_const())?;
        if (*found).condition == LENT {
            return Err(Status::MINIONN_ERROR_STATE);
        }
        let bytes = (*found).bytes;
        (*found).magic = 0;
        (&raw mut (*found).value).drop_in_place();
        wipe_bytes(found.cast(), bytes);
    }
    Ok(())
}

/// # Safety
/// `memory` is ours: `bytes` initialised bytes.
unsafe fn wipe_bytes(memory: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise. Padding inside a dropped value is written before it is covered
    // by a slice.
    unsafe {
        memory.write_bytes(0, bytes);
        core::slice::from_raw_parts_mut(memory, bytes).zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::guard;

    struct Thing;
    impl Opaque for Thing {
        type Value = (u32, std::rc::Rc<()>);
        const MAGIC: u64 = 7;
    }

    #[test]
    fn one_call_at_a_time_and_a_panic_breaks_the_handle_until_it_is_wiped() {
        let mut memory = vec![u128::MAX; 32];
        let size = bytes::<Thing>(16).unwrap();
        assert!(size <= size_of_val(&memory[..]));
        let alive = std::rc::Rc::new(());
        // SAFETY: the memory outlives the handle, and is large enough.
        unsafe {
            let at = memory.as_mut_ptr().cast();
            assert_eq!(
                init::<Thing>(at, size, 16, |_| Err(Status::MINIONN_ERROR_RANDOM)).err(),
                Some(Status::MINIONN_ERROR_RANDOM)
            );
            let handle = init::<Thing>(at, size, 16, |_| Ok((1, alive.clone()))).unwrap();
            assert_eq!(with(handle, |value| Ok(value.0)), Ok(1));
            // A callback that comes back with the handle it was called for.
            let again = with(handle, |_| {
                assert_eq!(with(handle, |_| Ok(())), Err(Status::MINIONN_ERROR_STATE));
                assert_eq!(shared(handle.cast_const()).err(), Some(Status::MINIONN_ERROR_STATE));
                assert_eq!(wipe(handle), Err(Status::MINIONN_ERROR_STATE));
                Ok(2)
            });
            assert_eq!(again, Ok(2));
            assert_eq!(
                guard(|| with(handle, |_| panic!("on purpose"))),
                Status::MINIONN_ERROR_INTERNAL
            );
            assert_eq!(with(handle, |value| Ok(value.0)), Err(Status::MINIONN_ERROR_INTERNAL));
            assert_eq!(shared(handle.cast_const()).err(), Some(Status::MINIONN_ERROR_INTERNAL));
            assert_eq!(wipe(handle), Ok(()));
            assert_eq!(wipe(handle), Err(Status::MINIONN_ERROR_HANDLE));
        }
        assert_eq!(std::rc::Rc::strong_count(&alive), 1, "dropped once");
        assert!(memory.iter().take(size / 16).all(|&x| x == 0));
    }
}
