//! Measuring: the project's own method over loopback, and the method as published beside it.
//!
//! | module | what it is |
//! |---|---|
//! | [`own`] | a model's set-up, offline and online seconds and bytes, one thread for each party |
//! | [`paper`] | the method of the paper, as a baseline |
//! | [`compare`] | both on one model in one run |
//! | [`primitives`] | single parts of the protocol, and the limits of the machine |

pub mod compare;
pub mod own;
pub mod paper;
pub mod primitives;
