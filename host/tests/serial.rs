//! The server on a serial line, over a pair of pseudo-terminals: sessions one after the other, and
//! sessions that are cut anywhere.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

use core::time::Duration;
use embedded_io::{ErrorKind, Read, Write};
use minionn_core::cost;
use minionn_core::handshake::HELLO_BYTES;
use minionn_core::model::Model;
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{Client, NoStore, Options, Tables, client_memory};
use minionn_core::wire::OVERHEAD;
use minionn_host::memory::Memory;
use minionn_host::serial::Line;
use minionn_host::server::{Server, SessionReport};
use serialport::{SerialPort as _, TTYPort};
use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, channel};

const OPTIONS: Options = Options {
    repetition: minionn_core::ot::Repetition::K2,
    tables: Tables::Streamed,
    stock: 1,
    activations: minionn_core::session::Activations::Garbled,
};
const PATIENCE: Duration = Duration::from_secs(60);

/// A device on the line that loses its power when a number of bytes have gone through, both ways
/// counted.
struct Device<'a> {
    port: &'a mut TTYPort,
    left: usize,
}

impl Device<'_> {
    fn spend(&mut self, bytes: usize) -> Result<usize, ErrorKind> {
        let granted = bytes.min(self.left);
        self.left -= granted;
        if granted == 0 && bytes > 0 { Err(ErrorKind::Other) } else { Ok(granted) }
    }
}

impl embedded_io::ErrorType for Device<'_> {
    type Error = ErrorKind;
}

impl Read for Device<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let n = self.spend(buf.len())?;
        let read = self.port.read(&mut buf[..n]).map_err(|_| ErrorKind::TimedOut)?;
        self.left += n - read;
        Ok(read)
    }
}

impl Write for Device<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        let n = self.spend(buf.len())?;
        self.port.write_all(&buf[..n]).map_err(|_| ErrorKind::TimedOut)?;
        Ok(n)
    }
    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// The digits model, an input of zeros, and its logits in the clear.
fn model() -> (Vec<u8>, Vec<i64>, Vec<i64>) {
    let bytes =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.minionn"))
            .unwrap();
    let model = Model::parse(&bytes).unwrap();
    let header = model.plan().header();
    let x = vec![3; header.input_len as usize];
    let mut out = vec![0; header.output_len as usize];
    model.evaluate(&x, &mut vec![0; Model::scratch_len(model.plan())], &mut out).unwrap();
    (bytes, x, out)
}

/// A server on one end of a line; the other end, and the sessions that it tells of.
fn serve(bytes: Vec<u8>) -> (TTYPort, Receiver<SessionReport>) {
    let (mut near, far) = TTYPort::pair().unwrap();
    near.set_timeout(PATIENCE).unwrap();
    let (sender, sessions) = channel();
    std::thread::spawn(move || {
        let server = Server::new(minionn_host::Model::from_bytes(bytes).unwrap());
        let mut line = Line::over(Box::new(far), "pair".to_owned()).unwrap();
        // Ends with the line, after the test.
        let _ = server.serve_line(&mut line, |session| sender.send(session).unwrap());
    });
    (near, sessions)
}

/// One session of a device that is cut off after `left` bytes.
fn session(
    port: &mut TTYPort,
    bytes: &[u8],
    x: &[i64],
    left: usize,
    seed: u8,
) -> Result<Vec<i64>, minionn_core::Error> {
    quiet(port);
    let plan = *Model::parse(bytes)?.plan();
    let mut memory = Memory::new(client_memory(&plan, &OPTIONS)?);
    let mut out = vec![0; plan.header().output_len as usize];
    let device = Blocking(Device { port, left });
    let mut client = run(Client::connect(
        device,
        NoStore,
        plan,
        OPTIONS,
        memory.bytes(),
        &mut KnownSeed::new(Seed([1 + seed; 32])),
    ))?;
    run(client.prepare())?;
    run(client.predict(x, &mut out))?;
    run(client.close())?;
    Ok(out)
}

/// As a device does before its hello: throws away what comes until nothing comes.
fn quiet(port: &mut TTYPort) {
    port.set_timeout(Duration::from_millis(300)).unwrap();
    while port.read(&mut [0; 4096]).is_ok() {}
    port.set_timeout(PATIENCE).unwrap();
}

#[test]
fn serves_one_session_after_the_other() {
    let (bytes, x, expected) = model();
    let (mut port, sessions) = serve(bytes.clone());
    for seed in 0..2 {
        assert_eq!(session(&mut port, &bytes, &x, usize::MAX, seed).unwrap(), expected);
        let ended = sessions.recv_timeout(PATIENCE).unwrap();
        assert!(ended.error.is_none() && ended.predictions == 1, "{ended:?}");
    }
}

#[test]
fn a_device_that_lost_its_power_anywhere_starts_again() {
    let (bytes, x, expected) = model();
    let (mut port, sessions) = serve(bytes.clone());
    let hello = HELLO_BYTES + OVERHEAD;
    let plan = *Model::parse(&bytes).unwrap().plan();
    let phases =
        [cost::setup(), cost::offline(&plan, &OPTIONS).unwrap(), cost::online(&plan, &OPTIONS)];
    let [keys, prepared, predicted] = phases.map(|phase| (phase.up + phase.down) as usize);
    // Inside of the hello, at its end, in the server's keys, the client's, in triplets, at the end
    // of the offline phase, in the middle of the online phase, and in the goodbye.
    let cuts = [
        hello / 2,
        hello,
        keys / 2,
        keys - 1000,
        keys + prepared / 2,
        keys + prepared - 1,
        keys + prepared + predicted / 2,
        keys + prepared + predicted + 1,
    ];
    for (seed, left) in cuts.into_iter().enumerate() {
        session(&mut port, &bytes, &x, left, seed as u8).unwrap_err();
        assert_eq!(
            session(&mut port, &bytes, &x, usize::MAX, seed as u8 + 100).unwrap(),
            expected,
            "after a cut at {left}"
        );
        if left >= hello {
            assert!(sessions.recv_timeout(PATIENCE).unwrap().error.is_some());
        }
        let ended = sessions.recv_timeout(PATIENCE).unwrap();
        assert!(ended.error.is_none(), "{ended:?}");
    }
}

#[test]
fn noise_before_a_greeting_is_skipped() {
    let (bytes, x, expected) = model();
    let (mut port, _sessions) = serve(bytes.clone());
    port.write_all(&[1, 80, 0, 0, 0, b'M', 2, 2, 1, 255, 0]).unwrap();
    assert_eq!(session(&mut port, &bytes, &x, usize::MAX, 1).unwrap(), expected);
}
