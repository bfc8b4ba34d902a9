//! What an ELF file says of a firmware: sizes and symbols.

use object::read::elf::ElfFile32;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SectionKind, elf};
use std::path::Path;

/// Where RAM begins on every Cortex-M.
const RAM: u64 = 0x2000_0000;

/// A linked firmware.
pub(crate) struct Elf(pub(crate) Vec<u8>);

impl Elf {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        std::fs::read(path).map(Self).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(&self) -> Result<ElfFile32<'_>, String> {
        ElfFile32::parse(&*self.0).map_err(|error| error.to_string())
    }

    /// Bytes that are programmed: code, constants, initial values of variables.
    pub(crate) fn flash(&self) -> Result<u64, String> {
        self.sum(|_, kind| kind != SectionKind::UninitializedData)
    }

    /// Bytes of static variables.
    pub(crate) fn static_ram(&self) -> Result<u64, String> {
        self.sum(|address, _| address >= RAM)
    }

    /// Sizes of the sections that exist on the device.
    fn sum(&self, counts: impl Fn(u64, SectionKind) -> bool) -> Result<u64, String> {
        let allocated = u64::from(elf::SHF_ALLOC);
        let on_device = |flags| match flags {
            SectionFlags::Elf { sh_flags } => sh_flags & allocated != 0,
            _ => false,
        };
        let file = self.parse()?;
        let sections =
            file.sections().filter(|s| on_device(s.flags()) && counts(s.address(), s.kind()));
        Ok(sections.map(|s| s.size()).sum())
    }

    /// Address and size of the one function or variable whose name contains this.
    pub(crate) fn place(&self, name: &str) -> Result<(u64, u64), String> {
        let file = self.parse()?;
        let mut symbols = file
            .symbols()
            .filter(|s| s.is_definition() && s.name().is_ok_and(|own| own.contains(name)));
        match (symbols.next(), symbols.next()) {
            (Some(symbol), None) => Ok((symbol.address(), symbol.size())),
            _ => Err(format!("not one symbol with '{name}'")),
        }
    }

    /// Names and sizes of functions and variables that contain one of the words.
    pub(crate) fn symbols_with(&self, words: &[&str]) -> Result<Vec<(String, u64)>, String> {
        let file = self.parse()?;
        let symbols = file
            .symbols()
            .filter(|s| s.is_definition())
            .filter_map(|s| Some((s.name().ok()?.to_owned(), s.size())));
        Ok(symbols.filter(|(name, _)| words.iter().any(|word| name.contains(word))).collect())
    }
}
