//! An emulated link: a proxy between the two sockets that hands every byte on when it would come
//! out of a [`LinkModel`].
//!
//! Each direction is a line of its own: bytes go in one after the other at its bandwidth, and come
//! out half a round trip later. When they are due follows from arithmetic alone, so what a thread
//! oversleeps delays one piece and never adds up. What a real network does besides (headers,
//! losses, TCP's slow start) is not emulated.

use crate::link_model::LinkModel;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

/// Bytes that travel together: about as many as a line carries in this time, within the bounds
/// below.
const PIECE: Duration = Duration::from_millis(1);
const LEAST_PIECE: f64 = 64.0;
const MAX_PIECE: f64 = 65536.0;
/// What waits in front of a line, beside what is on its way: enough that it never runs dry while
/// there is more.
const BACKLOG: Duration = Duration::from_millis(50);
/// A sleeping thread wakes later than asked; so long before, it only lets others go first.
const OVERSLEEP: Duration = Duration::from_micros(80);

/// One direction: when bytes come out.
#[derive(Debug)]
pub struct Line {
    delay: Duration,
    bytes_per_second: f64,
    /// When the last byte so far has gone in.
    free: Instant,
}

impl Line {
    /// An idle line.
    #[must_use]
    pub fn new(link: &LinkModel, now: Instant) -> Self {
        Self { delay: link.round_trip / 2, bytes_per_second: link.bytes_per_second(), free: now }
    }

    /// When the last of `bytes` bytes comes out that are handed over now.
    pub fn due(&mut self, now: Instant, bytes: usize) -> Instant {
        self.free =
            self.free.max(now) + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        self.free + self.delay
    }
}

/// Some bytes on their way.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// Opens the door to `target` through an emulated link, for one connection. Its threads end with
/// the connection.
///
/// # Errors
/// If the loopback interface has no port to give.
pub fn start(target: SocketAddr, link: LinkModel) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || join(&listener, target, &link));
    Ok(address)
}

/// Joins the first connection to `target`. A connection that fails is closed, which is what its
/// owner sees.
fn join(listener: &TcpListener, target: SocketAddr, link: &LinkModel) -> std::io::Result<()> {
    let (near, _) = listener.accept()?;
    let far = TcpStream::connect(target)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    carry(near.try_clone()?, far.try_clone()?, link);
    carry(far, near, link);
    Ok(())
}

/// Carries bytes in one direction until either end closes.
fn carry(from: TcpStream, to: TcpStream, link: &LinkModel) {
    let piece = (link.bytes_per_second() * PIECE.as_secs_f64()).clamp(LEAST_PIECE, MAX_PIECE);
    let under_way = (link.round_trip / 2 + BACKLOG).as_secs_f64() * link.bytes_per_second();
    let (queue, pieces) = sync_channel((under_way / piece).ceil() as usize + 1);
    let line = Line::new(link, Instant::now());
    thread::spawn(move || take_in(from, line, piece as usize, &queue));
    thread::spawn(move || hand_out(to, &pieces));
}

fn take_in(mut from: TcpStream, mut line: Line, piece: usize, queue: &SyncSender<Piece>) {
    let mut buffer = vec![0; piece];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..n).unwrap_or_default().to_vec();
        if queue.send(Piece { due: line.due(Instant::now(), n), bytes }).is_err() {
            return;
        }
    }
}

fn hand_out(mut to: TcpStream, pieces: &Receiver<Piece>) {
    for piece in pieces {
        wait_until(piece.due);
        if to.write_all(&piece.bytes).is_err() {
            return;
        }
    }
    // The other end has closed this direction; what came before has arrived.
    let _ = to.shutdown(Shutdown::Write);
}

fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        match left.checked_sub(OVERSLEEP) {
            Some(most) if !most.is_zero() => thread::sleep(most),
            _ => thread::yield_now(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn link(text: &str) -> LinkModel {
        text.parse().unwrap()
    }

    #[test]
    fn bytes_come_out_when_arithmetic_says() {
        let start = Instant::now();
        let mut line = Line::new(&link("20ms,8mbit"), start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        // A megabyte a second: a kilobyte each millisecond, and ten on the way.
        assert_eq!(line.due(start, 1000), at(11));
        assert_eq!(line.due(start, 2000), at(13), "behind the first");
        assert_eq!(line.due(at(2), 1000), at(14), "while the line is busy");
        assert_eq!(line.due(at(100), 1000), at(111), "after a pause");
        // However many pieces: no error adds up.
        let mut line = Line::new(&link("0s,8mbit"), start);
        let last = (0..10_000).map(|_| line.due(start, 100)).last().unwrap();
        assert!(
            last.duration_since(start).abs_diff(Duration::from_secs(1)) < Duration::from_micros(10)
        );
    }
}
