//! What the processor offers, found out once at run time.

/// Whether vectors of 256 bits hold integers.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn avx2() -> bool {
    #[cfg(not(feature = "force-portable"))]
    {
        cpufeatures::new!(detected, "avx2", "popcnt");
        detected::get()
    }
    #[cfg(feature = "force-portable")]
    false
}

/// Defines `name` to be the fastest of the paths of that name: `avx2::name` where the processor has
/// it, else `portable::name`.
macro_rules! fastest {
    ($(
        $(#[$doc:meta])*
        pub fn $name:ident $(<$($generic:ident: $bound:path),*>)?
            ($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;
    )*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name $(<$($generic: $bound),*>)? ($($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            if $crate::backend::cpu::avx2() {
                // SAFETY: the function needs nothing but what `cpu::avx2` found.
                return unsafe { avx2::$name($($argument),*) };
            }
            portable::$name($($argument),*)
        }
    )*};
}

pub(crate) use fastest;
