//! Pointers from C: NULL and alignment are checked, what they point at is the caller's promise.

use crate::status::{Result, Status};

/// A pointer that is neither NULL nor crooked.
pub(crate) fn checked<T>(pointer: *const T) -> Result<*const T> {
    if pointer.is_null() {
        return Err(Status::MINIONN_ERROR_NULL);
    }
    if pointer.align_offset(align_of::<T>()) != 0 {
        return Err(Status::MINIONN_ERROR_ALIGNMENT);
    }
    Ok(pointer)
}

/// Where a result goes.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// Unless NULL or crooked, `pointer` is valid for writing for as long as this value is used.
    pub(crate) unsafe fn new(pointer: *mut T) -> Result<Self> {
        checked(pointer.cast_const()).map(|_| Self(pointer))
    }

    /// The last thing that a function does.
    pub(crate) fn set(self, value: T) {
        // SAFETY: `new` checked NULL and alignment, its caller promised the rest.
        unsafe { self.0.write(value) }
    }
}

/// Elements that C lends; NULL stands for none.
///
/// # Safety
/// Unless NULL or crooked, `pointer` is valid for reading `len` elements during `'a`, and nobody
/// writes them.
pub(crate) unsafe fn slice<'a, T: Copy>(pointer: *const T, len: usize) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    fits::<T>(len)?;
    // SAFETY: NULL, alignment and size are checked here, the rest is the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts(checked(pointer)?, len) })
}

/// Elements that C lends for writing; NULL stands for none. They may be uninitialised: callers only
/// write them.
///
/// # Safety
/// Unless NULL or crooked, `pointer` is valid for writing `len` elements during `'a`, and nobody
/// else uses them.
pub(crate) unsafe fn slice_mut<'a, T: Copy>(pointer: *mut T, len: usize) -> Result<&'a mut [T]> {
    if len == 0 {
        return Ok(&mut []);
    }
    fits::<T>(len)?;
    checked(pointer.cast_const())?;
    // SAFETY: NULL, alignment and size are checked here, the rest is the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer, len) })
}

/// No object is larger than this.
fn fits<T>(len: usize) -> Result<()> {
    match len.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(Status::MINIONN_ERROR_NULL),
    }
}
