//! How far long work has come, on standard error. Only the command shows it.

/// A bar, or none.
pub(crate) struct Bar {
    #[cfg(feature = "command")]
    bar: indicatif::ProgressBar,
}

impl Bar {
    /// For work over `rows`, if wanted.
    #[cfg(feature = "command")]
    pub(crate) fn new(wanted: bool, rows: usize, what: &'static str) -> Self {
        use indicatif::{ProgressBar, ProgressStyle};
        let bar = if wanted { ProgressBar::new(rows as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: bar.with_style(style).with_message(what) }
    }

    /// Nobody to show it to.
    #[cfg(not(feature = "command"))]
    pub(crate) fn new(_: bool, _: usize, _: &'static str) -> Self {
        Self {}
    }

    /// One row is done.
    pub(crate) fn advance(&self) {
        #[cfg(feature = "command")]
        self.bar.inc(1);
    }

    /// All is done.
    pub(crate) fn finish(self) {
        #[cfg(feature = "command")]
        self.bar.finish_and_clear();
    }
}
