//! Private neural-network prediction between two parties, as a library: a **client** holds an
//! input, a **server** a network. The client learns the prediction and nothing else, the server
//! nothing at all. The `minionn` command stands on this library.
//!
//! Both parties in one program:
//!
//! ```
//! use minionn_host::{Client, Model, Server};
//! use std::net::TcpListener;
//!
//! fn main() -> Result<(), Box<dyn core::error::Error>> {
//!     // The server's side: a network that `minionn compile` or `Model::compile` has made.
//!     let model = Model::open("../models/digits_relu.minionn")?;
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     let server = Server::new(model.clone());
//!     std::thread::spawn(move || server.serve(listener));
//!
//!     // The client's side: an input, here an image of 8 times 8 pixels.
//!     let image = vec![0.5; 64];
//!     let mut client = Client::connect(address)?;
//!     let prediction = client.predict(&image)?;
//!     println!("class {}", prediction.class);
//!
//!     // It is what the integer model gives in the clear, bit for bit.
//!     assert_eq!(prediction, model.predict_plain(&image)?);
//!     Ok(())
//! }
//! ```
//!
//! [`ClientOptions`] and [`ServerOptions`] say the rest: a plan that is known already, set-up that
//! is done once, stocks, the link, threads, time limits. Whole programs are in the folder
//! `examples`. The protocol hides values; it does not authenticate the peers, so run it over TLS or
//! SSH where the network is not trusted.
//!
//! | module | what it is |
//! |---|---|
//! | [`client`], [`server`] | both parties over `std::net` and any other blocking stream |
//! | `tokio` | both parties as tasks of tokio; with the feature `tokio` |
//! | [`model`] | [`Model`], the server's secret, and [`Plan`], which is public |
//! | [`error`] | [`Error`]: what happened, whose fault it is, what helps |
//! | [`pairing`] | what set-up makes, kept for later sessions |
//! | [`link_model`] | round trip and bandwidth, which decide how activations are computed |
//! | [`costs`] | bytes, rounds and memory, before anything runs |
//! | [`compile`] | float network → integers, rings and shifts with proven bounds → plan and model |
//! | [`onnx`], [`network`] | ONNX file → a graph of float layers |
//! | [`npy`] | NumPy arrays: samples in, results out |
//! | [`clamp`], [`text`] | inputs outside of a plan's range; what a plan says about its network |
//! | [`stream`], [`memory`] | streams and memory for those who call `minionn-core` themselves |
//! | `serial` | the server over a serial line; with the feature `serial` |
//!
//! With the feature `command`, which is on unless `default-features = false`, there is also what
//! the `minionn` command is made of. Programs need none of it, and its errors are texts:
//!
//! | module | what it is |
//! |---|---|
//! | `cli`, `commands` | arguments; one file for each subcommand |
//! | `bench`, `shaper` | measuring, over emulated links, too; the method as published |
//! | `check`, `prefix` | the float network, the integer model and the private run, layer by layer |
//! | `loopback`, `report` | both parties in one process; a session's predictions and costs |
//! | `c_header` | a plan, or samples and answers, for a C compiler |
//! | `plot`, `chart`, `units` | costs, and how they grow, as pictures; numbers for people |
//! | `server_process`, `repository` | `minionn serve` as a process; the folder `models/` |

#[cfg(feature = "command")]
pub mod bench;
#[cfg(feature = "command")]
pub mod c_header;
#[cfg(feature = "command")]
pub mod chart;
#[cfg(feature = "command")]
pub mod check;
pub mod clamp;
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
#[cfg(feature = "command")]
mod say;
#[cfg(feature = "serial")]
pub mod serial;
pub mod server;
#[cfg(feature = "command")]
pub mod server_process;
#[cfg(feature = "command")]
pub mod shaper;
mod store;
pub mod stream;
pub mod text;
mod threads;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "command")]
pub mod units;

pub use client::{Client, ClientOptions};
pub use compile::{CompileOptions, Output};
pub use error::{Error, Fault, Result};
pub use link_model::LinkModel;
pub use minionn_core::ot::Repetition;
pub use minionn_core::session::{Activations, Options, Tables};
pub use model::{Model, Plan};
pub use prediction::{Label, Prediction};
pub use server::{Server, ServerOptions, StopHandle};
pub use threads::Threads;
