//! x
#[cfg(feature = "command")]
pub mod bench;
#[cfg(feature = "command")]
pub mod c_header;
#[cfg(feature = "command")]
pub mod chart;
#[cfg(feature = "command")]
pub mod check;
#[cfg(feature = "command")]
pub mod cli;
pub mod client;
#[cfg(feature = "command")]
pub mod commands;
pub mod compile;
pub mod costs;
pub mod error;
pub mod link_model;
#[cfg(feature = "command")]
pub mod loopback;
pub mod memory;
pub mod model;
pub mod network;
pub mod npy;
pub mod onnx;
pub mod pairing;
#[cfg(feature = "command")]
pub mod plot;
mod prediction;
#[cfg(feature = "command")]
pub mod prefix;
mod progress;
#[cfg(feature = "command")]
pub mod report;
#[cfg(feature = "command")]
pub mod repository;
#[cfg(feature = "serial")]
pub mod serial;
pub mod server;
#[cfg(feature = "command")]
pub mod server_process;
#[cfg(feature = "command")]
pub mod shaper;
mod store;
pub mod stream;
mod threads;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "command")]
pub mod units;
pub use client::{Client, ClientOptions};
pub use compile::{CompileOptions, Output};
pub use error::{Error, Fault, Result};
pub use model::{Model, Plan};
pub use prediction::Prediction;
pub use server::{Server, ServerOptions, StopHandle};
pub use threads::Threads;
