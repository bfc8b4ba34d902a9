//! Measuring: single parts beside the machine's limits, networks over real and emulated links,
//! growth, and the method as published.
//!
//! | module | what it is |
//! |---|---|
//! | [`own`] | a model's set-up, offline and online seconds and bytes, one thread for each party |
//! | [`networks`] | the paper's networks, single and stocked, over several links |
//! | [`lstm`] | the one of them that is made when it is needed |
//! | [`clients`] | many clients of one server at once |
//! | [`curves`] | time, bytes and memory as something grows, on [`synthetic`] models |
//! | [`primitives`] | bodies of single operations |
//! | [`parts`], [`limits`], [`table`] | single parts, the machine's limits, both side by side |
//! | [`paper`] | the method of the paper, as a baseline |
//! | [`compare`] | both on one model in one run |
//! | [`tables`] | the paper's tables, as published beside measured |

pub mod clients;
pub mod compare;
pub mod curves;
pub mod limits;
pub mod lstm;
pub mod networks;
pub mod own;
pub mod paper;
pub mod parts;
pub mod primitives;
pub mod synthetic;
pub mod table;
pub mod tables;

/// For parts that fail only on slices of a wrong length, which nothing here hands in.
pub(crate) fn done(result: minionn_core::Result<()>) {
    assert!(result.is_ok(), "a slice has a wrong length");
}
