//! Values of any type in memory that the caller owns.

#![allow(unsafe_code)]

use crate::error::{Error, Result};
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::NonNull;
use zeroize::Zeroize as _;

/// Moves `value` to the first place in `memory` that is aligned for it. It is never dropped: for
/// types without a destructor.
///
/// # Errors
/// [`Error::Memory`] if it does not fit.
pub fn place<T>(memory: &mut [u8], value: T) -> Result<&mut T> {
    let pointer = check::<T>(memory)?;
    // SAFETY: `check` made sure of size and alignment; the memory is borrowed exclusively for the
    // lifetime of the result.
    unsafe {
        pointer.write(value);
        Ok(&mut *pointer.as_ptr())
    }
}

fn check<T>(memory: &mut [u8]) -> Result<NonNull<T>> {
    // Round keys of wide vectors are aligned to more than the caller's memory.
    let offset = memory.as_ptr().align_offset(align_of::<T>());
    let (need, got) = (offset.saturating_add(size_of::<T>()), memory.len());
    let place = memory.get_mut(offset..).filter(|_| need <= got).ok_or(Error::Memory { need })?;
    NonNull::new(place.as_mut_ptr().cast()).ok_or(Error::Internal)
}

/// A future in the caller's memory: a box without an allocator. Dropped with this value, and its
/// memory wiped.
pub struct PlacedFuture<'m, T> {
    future: NonNull<dyn Future<Output = T> + 'm>,
    bytes: usize,
    memory: PhantomData<&'m mut [u8]>,
}

impl<'m, T> PlacedFuture<'m, T> {
    /// Moves `future` to the first place in `memory` that is aligned for it.
    ///
    /// # Errors
    /// As [`place`].
    pub fn new<F: Future<Output = T> + 'm>(memory: &'m mut [u8], future: F) -> Result<Self> {
        let pointer = check::<F>(memory)?;
        // SAFETY: `check` made sure of size and alignment, and `memory` is borrowed for as long as
        // this value lives.
        unsafe { pointer.write(future) };
        Ok(Self { future: pointer, bytes: size_of::<F>(), memory: PhantomData })
    }

    /// The future, pinned: its memory is not moved or reused before it is dropped.
    pub fn as_mut(&mut self) -> Pin<&mut (dyn Future<Output = T> + 'm)> {
        // SAFETY: the future stays where it is until `drop`, and this borrow is exclusive.
        unsafe { Pin::new_unchecked(self.future.as_mut()) }
    }
}

impl<T> Drop for PlacedFuture<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the future was written by `new`, is dropped once, and its bytes are ours until
        // the end of the borrow.
        unsafe {
            let bytes = core::slice::from_raw_parts_mut(
                self.future.as_ptr().cast::<core::mem::MaybeUninit<u8>>(),
                self.bytes,
            );
            self.future.drop_in_place();
            for byte in bytes.iter_mut() {
                byte.write(0);
            }
            bytes.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::{Context, Poll, Waker};

    #[repr(align(16))]
    struct Memory([u8; 256]);

    #[test]
    fn runs_drops_and_wipes() {
        struct Flag<'a>(&'a core::cell::Cell<bool>, u64);
        impl Drop for Flag<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let dropped = core::cell::Cell::new(false);
        let mut memory = Memory([0x11; 256]);
        {
            let flag = Flag(&dropped, 0x5ec2_e75e_c2e7);
            let future = async move {
                core::future::ready(()).await;
                flag.1
            };
            let size = size_of_val(&future);
            let mut placed = PlacedFuture::new(&mut memory.0[..size], future).unwrap();
            let polled = placed.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled, Poll::Ready(0x5ec2_e75e_c2e7));
        }
        assert!(dropped.get());
        assert!(!memory.0.windows(6).any(|w| w == &0x5ec2_e75e_c2e7_u64.to_le_bytes()[..6]));
        assert!(
            PlacedFuture::new(&mut memory.0[..0], async move { memory_hog(&dropped) }).is_err()
        );
        let (value, at) = (
            place(&mut memory.0[1..], 7_u64).map(|value| (*value, &raw const *value as usize % 8)),
            0,
        );
        assert_eq!(value, Ok((7, at)));
        assert!(matches!(place(&mut memory.0[1..8], 7_u64), Err(Error::Memory { need: 15 })));
        assert_eq!(*place(&mut memory.0[..8], 7_u64).unwrap(), 7);
    }

    fn memory_hog(cell: &core::cell::Cell<bool>) -> bool {
        cell.get()
    }
}
