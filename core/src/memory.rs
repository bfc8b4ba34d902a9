//! The caller's memory: measured and carved by the same code, so a size query can't disagree with
//! what is used.

use crate::error::{Error, Result};
use crate::target::TargetProfile;
use bytemuck::Pod;
use zeroize::Zeroize as _;

/// Alignment of every region, and of the memory that a caller hands in.
pub const ALIGN: usize = 16;

/// Memory to be carved, or only measured.
#[derive(Debug)]
pub(crate) struct Space<'a> {
    rest: Option<&'a mut [u8]>,
    used: usize,
    machine: TargetProfile,
}

impl<'a> Space<'a> {
    /// Counts what is taken on a target; every slice it returns is empty.
    #[must_use]
    pub(crate) const fn measure_on(machine: TargetProfile) -> Self {
        Self { rest: None, used: 0, machine }
    }

    /// Carves `memory`.
    ///
    /// # Errors
    /// [`Error::Alignment`] if it is not aligned to [`ALIGN`].
    pub(crate) fn carve(memory: &'a mut [u8]) -> Result<Self> {
        if memory.as_ptr().align_offset(ALIGN) != 0 {
            return Err(Error::Alignment);
        }
        Ok(Self { rest: Some(memory), used: 0, machine: TargetProfile::THIS })
    }

    /// Takes `n` zeroed elements.
    ///
    /// # Errors
    /// [`Error::Memory`] if not that much is left: `need` is what this and earlier calls ask for,
    /// so measure first for the whole.
    pub(crate) fn take<T: Pod>(&mut self, n: usize) -> Result<&'a mut [T]> {
        let bytes = n.checked_mul(size_of::<T>()).and_then(|b| b.checked_next_multiple_of(ALIGN));
        let total = bytes.and_then(|b| self.used.checked_add(b));
        let (Some(bytes), Some(total)) = (bytes, total) else {
            return Err(Error::Memory { need: usize::MAX });
        };
        let Some(rest) = self.rest.take() else {
            self.used = total;
            return Ok(&mut []);
        };
        let (head, tail) = rest.split_at_mut_checked(bytes).ok_or(Error::Memory { need: total })?;
        self.rest = Some(tail);
        self.used = total;
        head.fill(0);
        let head = head.get_mut(..n * size_of::<T>()).ok_or(Error::Internal)?;
        bytemuck::try_cast_slice_mut(head).map_err(|_| Error::Internal)
    }

    /// Whose memory it is.
    #[must_use]
    pub(crate) const fn machine(&self) -> TargetProfile {
        self.machine
    }

    /// Bytes taken so far.
    #[must_use]
    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// What is left.
    #[must_use]
    pub(crate) fn into_rest(self) -> &'a mut [u8] {
        self.rest.unwrap_or_default()
    }
}

/// Bytes that `layout` takes on a machine.
pub(crate) fn measure(
    machine: TargetProfile,
    layout: impl FnOnce(&mut Space<'static>) -> Result<()>,
) -> Result<usize> {
    let mut space = Space::measure_on(machine);
    layout(&mut space)?;
    Ok(space.used())
}

/// Wipes, a word at a time: byte by byte, as slices of bytes are wiped by themselves, takes longer
/// than all arithmetic on large memory.
pub(crate) fn wipe<T: Pod>(values: &mut [T]) {
    let (head, words, tail) = bytemuck::pod_align_to_mut::<T, u64>(values);
    words.zeroize();
    for rest in [head, tail] {
        bytemuck::cast_slice_mut::<T, u8>(rest).zeroize();
    }
}

/// Wipes the first `n` bytes.
///
/// # Errors
/// [`Error::Internal`] if there are not that many: what was to be wiped lies elsewhere.
pub(crate) fn wipe_first(n: usize, bytes: &mut [u8]) -> Result<()> {
    wipe(bytes.get_mut(..n).ok_or(Error::Internal)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Memory([u8; 64]);

    #[test]
    fn measuring_and_carving_agree_to_the_byte() {
        fn layout<'a>(space: &mut Space<'a>) -> Result<(&'a mut [u64], &'a mut [u8])> {
            Ok((space.take(3)?, space.take(5)?))
        }
        let mut measured = Space::measure_on(TargetProfile::THIS);
        layout(&mut measured).unwrap();
        assert_eq!(measured.used(), 48);
        let mut memory = Memory([0xff; 64]);
        let (a, b) = layout(&mut Space::carve(&mut memory.0[..48]).unwrap()).unwrap();
        assert_eq!((a.len(), b.len(), a[2], b[4]), (3, 5, 0, 0));
        assert_eq!(
            layout(&mut Space::carve(&mut memory.0[..47]).unwrap()).err(),
            Some(Error::Memory { need: 48 })
        );
        assert_eq!(Space::carve(&mut memory.0[1..]).err(), Some(Error::Alignment));
    }

    #[test]
    fn wipes_all_and_nothing_else() {
        for (from, to) in [(0, 64), (1, 64), (3, 5), (7, 25), (8, 40), (9, 9)] {
            let mut memory = Memory([0xff; 64]);
            wipe(&mut memory.0[from..to]);
            assert!(
                memory
                    .0
                    .iter()
                    .enumerate()
                    .all(|(i, &byte)| (byte == 0) == (from..to).contains(&i))
            );
        }
        let mut blocks = [u128::MAX; 3];
        wipe(&mut blocks[1..]);
        wipe_first(9, bytemuck::cast_slice_mut(&mut blocks[..1])).unwrap();
        assert_eq!(blocks, [u128::MAX << 72, 0, 0]);
        assert_eq!(
            wipe_first(17, bytemuck::cast_slice_mut(&mut blocks[..1])),
            Err(Error::Internal)
        );
    }
}
