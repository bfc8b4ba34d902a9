//! Memory for the engine.

/// Zeroed memory with the alignment that the engine asks for. What is large comes from the system
/// in large pages where there are some, and goes back to it at once: a large stock would fault on
/// millions of small ones.
pub struct Memory(Pages, usize);

enum Pages {
    Own(Vec<u128>),
    Mapped(memmap2::MmapMut),
}

impl Memory {
    /// From this many bytes on it is mapped: two large pages.
    const LARGE: usize = 4 << 20;

    /// `bytes` bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let own = || Pages::Own(vec![0; bytes.div_ceil(size_of::<u128>())]);
        Self(
            if bytes < Self::LARGE { own() } else { mapped(bytes).map_or_else(own, Pages::Mapped) },
            bytes,
        )
    }

    /// The memory.
    pub fn bytes(&mut self) -> &mut [u8] {
        let all: &mut [u8] = match &mut self.0 {
            Pages::Own(words) => bytemuck::cast_slice_mut(words),
            Pages::Mapped(pages) => pages,
        };
        // Both are at least that long; the engine refuses what is shorter than it asked for.
        let len = self.1.min(all.len());
        all.split_at_mut(len).0
    }
}

/// Memory of its own, if the system has it to give.
fn mapped(bytes: usize) -> Option<memmap2::MmapMut> {
    let pages = memmap2::MmapMut::map_anon(bytes).ok()?;
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage); // a wish: without it, it only takes longer
    Some(pages)
}
