//! Frames over a byte stream.

use crate::error::{Error, Result};
use crate::wire::{Checksum, GROUP, HEADER, TRAILER, Tag, pack, packed_len, unpack};
use embedded_io_async::{Read, Write};

/// What went over the wire, seen from one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// How often the party turned from sending to receiving.
    pub rounds: u32,
}

impl Traffic {
    /// What was added since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
            rounds: self.rounds - earlier.rounds,
        }
    }
}

/// A frame under way.
struct Frame {
    checksum: Checksum,
    left: u64,
}

/// What frames that follow will hold of a payload that is longer than a frame can be. On 32 bits
/// there are no such payloads, nor code for them.
#[cfg(target_pointer_width = "64")]
#[derive(Clone, Copy)]
struct Rest {
    tag: Tag,
    bytes: u64,
}

/// A byte stream that speaks in frames. At most one frame is under way in each direction.
pub(crate) struct Channel<IO> {
    io: IO,
    traffic: Traffic,
    sending: bool,
    frame: Option<Frame>,
    #[cfg(target_pointer_width = "64")]
    rest: Rest,
    /// Most payload of a frame.
    #[cfg(target_pointer_width = "64")]
    most: u64,
    /// Frames begun in this direction: the number of the next one.
    frames_sent: u64,
    /// The same of the other direction.
    frames_received: u64,
}

/// What is done with each group of values: number of the first, the values, their bytes.
type EachGroup<'e> = dyn FnMut(usize, &[u64], &[u8]) -> Result<()> + Send + 'e;

impl<IO: Read + Write> Channel<IO> {
    pub(crate) const fn new(io: IO) -> Self {
        Self {
            io,
            traffic: Traffic { sent: 0, received: 0, rounds: 0 },
            sending: false,
            frame: None,
            #[cfg(target_pointer_width = "64")]
            rest: Rest { tag: Tag::Abort, bytes: 0 },
            #[cfg(target_pointer_width = "64")]
            most: crate::wire::MAX_PAYLOAD,
            frames_sent: 0,
            frames_received: 0,
        }
    }

    pub(crate) const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Counts frames from 0 again: the next ones are hello and welcome.
    pub(crate) const fn restart(&mut self) {
        (self.frames_sent, self.frames_received) = (0, 0);
    }

    /// Starts a frame of `len` payload bytes; exactly that many must follow. What one frame cannot
    /// hold goes into as many as it takes.
    pub(crate) async fn begin(&mut self, tag: Tag, len: u64) -> Result<()> {
        let length = self.first_of(tag, len)?;
        self.sending = true;
        self.begin_frame(tag, length).await
    }

    async fn begin_frame(&mut self, tag: Tag, length: u32) -> Result<()> {
        let [b0, b1, b2, b3] = length.to_le_bytes();
        let header: [u8; HEADER] = [tag as u8, b0, b1, b2, b3];
        let left = u64::from(length) + HEADER as u64;
        self.frame = Some(Frame { checksum: Checksum::of_frame(self.frames_sent), left });
        self.frames_sent += 1;
        self.put_within(&header).await
    }

    /// Sends payload that belongs to this frame.
    async fn put_within(&mut self, bytes: &[u8]) -> Result<()> {
        let frame = self.frame.as_mut().ok_or(Error::Internal)?;
        frame.left = frame.left.checked_sub(bytes.len() as u64).ok_or(Error::Internal)?;
        frame.checksum.update(bytes);
        self.traffic.sent += bytes.len() as u64;
        self.io.write_all(bytes).await.map_err(|_| Error::Io)
    }

    /// Sends the checksum.
    async fn end_frame(&mut self) -> Result<()> {
        let frame = self.frame.take().filter(|f| f.left == 0).ok_or(Error::Internal)?;
        self.traffic.sent += TRAILER as u64;
        self.io.write_all(&frame.checksum.finish()).await.map_err(|_| Error::Io)
    }

    /// Sends a whole frame.
    pub(crate) async fn send(&mut self, tag: Tag, payload: &[u8]) -> Result<()> {
        self.begin(tag, payload.len() as u64).await?;
        self.put(payload).await?;
        self.end().await
    }

    /// Sends `count` values of `bits` bits; `value(i)` is called once for each, in order. Where it
    /// has none, nothing of its group is sent.
    pub(crate) async fn put_values(
        &mut self,
        count: usize,
        bits: u32,
        mut value: impl FnMut(usize) -> Result<u64> + Send,
    ) -> Result<()> {
        self.put_groups(count, bits, &mut |first, values| {
            for (i, slot) in (first..).zip(values) {
                *slot = value(i)?;
            }
            Ok(())
        })
        .await
    }

    /// As [`Self::put_values`], up to [`GROUP`] values at a time, with the number of the first.
    /// Compiled once, whatever fills them: this is most of what sends a polynomial.
    pub(crate) async fn put_groups(
        &mut self,
        count: usize,
        bits: u32,
        fill: &mut (dyn FnMut(usize, &mut [u64]) -> Result<()> + Send),
    ) -> Result<()> {
        let (mut values, mut bytes) = ([0; GROUP], [0; GROUP * 8]);
        for first in (0..count).step_by(GROUP) {
            let n = GROUP.min(count - first);
            let (Some(values), Some(bytes)) =
                (values.get_mut(..n), bytes.get_mut(..packed_len(n as u64, bits) as usize))
            else {
                return Err(Error::Internal);
            };
            fill(first, values)?;
            pack(values, bits, bytes)?;
            self.put(bytes).await?;
        }
        Ok(())
    }

    /// Hands over what was written, for a party that stops sending.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.io.flush().await.map_err(|_| Error::Io)
    }

    /// Reads a header. An abort of the peer is an error.
    pub(crate) async fn header(&mut self) -> Result<(u8, u32)> {
        if self.sending {
            self.flush().await?;
            self.sending = false;
            self.traffic.rounds += 1;
        }
        let mut header = [0; HEADER];
        let checksum = Checksum::of_frame(self.frames_received);
        self.frame = Some(Frame { checksum, left: HEADER as u64 });
        self.frames_received += 1;
        self.get_within(&mut header).await?;
        let [tag, length @ ..] = header;
        let length = u32::from_le_bytes(length);
        self.frame.as_mut().ok_or(Error::Internal)?.left = u64::from(length);
        if tag == Tag::Abort as u8 && length == 2 {
            let mut code = [0; 2];
            self.get_within(&mut code).await?;
            self.finish_frame().await?;
            return Err(Error::PeerAborted(u16::from_le_bytes(code)));
        }
        Ok((tag, length))
    }

    /// Expects a frame of this kind and length.
    pub(crate) async fn expect(&mut self, tag: Tag, len: u64) -> Result<()> {
        let first = self.first_of(tag, len)?;
        let (got, length) = self.header().await?;
        Self::check(tag, first.into(), got, length)
    }

    /// Whether a header is the one that is due.
    pub(crate) fn check(tag: Tag, len: u64, got: u8, length: u32) -> Result<()> {
        if got != tag as u8 {
            return Err(Error::Unexpected { expected: tag as u8, got });
        }
        if u64::from(length) != len {
            return Err(Error::FrameLength { got: length });
        }
        Ok(())
    }

    /// Receives payload of this frame.
    async fn get_within(&mut self, bytes: &mut [u8]) -> Result<()> {
        let frame = self.frame.as_mut().ok_or(Error::Internal)?;
        frame.left = frame.left.checked_sub(bytes.len() as u64).ok_or(Error::Internal)?;
        self.io.read_exact(bytes).await.map_err(|e| match e {
            embedded_io_async::ReadExactError::UnexpectedEof => Error::Eof,
            embedded_io_async::ReadExactError::Other(_) => Error::Io,
        })?;
        frame.checksum.update(bytes);
        self.traffic.received += bytes.len() as u64;
        Ok(())
    }

    /// Receives and compares the checksum.
    async fn finish_frame(&mut self) -> Result<()> {
        let frame = self.frame.take().filter(|f| f.left == 0).ok_or(Error::Internal)?;
        let mut trailer = [0; TRAILER];
        self.io.read_exact(&mut trailer).await.map_err(|_| Error::Eof)?;
        self.traffic.received += TRAILER as u64;
        if trailer == frame.checksum.finish() { Ok(()) } else { Err(Error::Checksum) }
    }

    /// Receives a whole frame.
    pub(crate) async fn receive(&mut self, tag: Tag, payload: &mut [u8]) -> Result<()> {
        self.expect(tag, payload.len() as u64).await?;
        self.get(payload).await?;
        self.finish().await
    }

    /// Receives `count` values of `bits` bits. Padding bits must be zero.
    pub(crate) async fn get_values(
        &mut self,
        count: usize,
        bits: u32,
        mut each: impl FnMut(usize, u64) -> Result<()> + Send,
    ) -> Result<()> {
        self.get_packed(count, bits, &mut |first, values, _| {
            values.iter().enumerate().try_for_each(|(i, &value)| each(first + i, value))
        })
        .await
    }

    /// As [`Self::get_values`], up to [`GROUP`] values at a time, with the number of the first and
    /// the bytes that they came in. Compiled once, as [`Self::put_groups`].
    pub(crate) async fn get_packed(
        &mut self,
        count: usize,
        bits: u32,
        each: &mut EachGroup<'_>,
    ) -> Result<()> {
        let (mut values, mut bytes) = ([0; GROUP], [0; GROUP * 8]);
        for first in (0..count).step_by(GROUP) {
            let n = GROUP.min(count - first);
            let (Some(values), Some(bytes)) =
                (values.get_mut(..n), bytes.get_mut(..packed_len(n as u64, bits) as usize))
            else {
                return Err(Error::Internal);
            };
            self.get(bytes).await?;
            if !unpack(bytes, bits, values) {
                return Err(Error::Malformed);
            }
            each(first, values, bytes)?;
        }
        Ok(())
    }

    /// Tells the peer why this party ends the session, if a frame can still be sent. Best effort.
    pub(crate) async fn abort(&mut self, error: Error) {
        let peer_is_gone = matches!(error, Error::Io | Error::Eof | Error::PeerAborted(_));
        let mid_frame = self.sending && self.frame.is_some();
        if !peer_is_gone
            && !mid_frame
            && self.send(Tag::Abort, &error.code().to_le_bytes()).await.is_ok()
        {
            let _ = self.flush().await;
        }
    }
}

/// Payloads of any length, in one frame or several.
#[cfg(target_pointer_width = "64")]
impl<IO: Read + Write> Channel<IO> {
    /// How much of `len` bytes the next frame holds. Notes what is left for others.
    fn first_of(&mut self, tag: Tag, len: u64) -> Result<u32> {
        let first = len.min(self.most);
        self.rest = Rest { tag, bytes: len - first };
        u32::try_from(first).map_err(|_| Error::Option)
    }

    /// If `len` bytes are more than is left of this frame, and others follow: how many it still
    /// takes.
    fn frame_ends_within(&self, len: usize) -> Result<Option<usize>> {
        let left = self.frame.as_ref().ok_or(Error::Internal)?.left;
        Ok((self.rest.bytes > 0 && len as u64 > left).then_some(left as usize))
    }

    /// Sends payload.
    pub(crate) async fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(left) = self.frame_ends_within(bytes.len())? {
            self.put_within(bytes.split_off(..left).ok_or(Error::Internal)?).await?;
            self.end_frame().await?;
            let Rest { tag, bytes } = self.rest;
            let length = self.first_of(tag, bytes)?;
            self.begin_frame(tag, length).await?;
        }
        self.put_within(bytes).await
    }

    /// Ends what was begun.
    pub(crate) async fn end(&mut self) -> Result<()> {
        if self.rest.bytes > 0 {
            return Err(Error::Internal);
        }
        self.end_frame().await
    }

    /// Receives payload.
    pub(crate) async fn get(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        while let Some(left) = self.frame_ends_within(bytes.len())? {
            self.get_within(bytes.split_off_mut(..left).ok_or(Error::Internal)?).await?;
            self.finish_frame().await?;
            let Rest { tag, bytes } = self.rest;
            self.expect(tag, bytes).await?;
        }
        self.get_within(bytes).await
    }

    /// Ends what was expected.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        if self.rest.bytes > 0 {
            return Err(Error::Internal);
        }
        self.finish_frame().await
    }
}

/// Every payload in one frame.
#[cfg(not(target_pointer_width = "64"))]
impl<IO: Read + Write> Channel<IO> {
    fn first_of(&mut self, _: Tag, len: u64) -> Result<u32> {
        u32::try_from(len).map_err(|_| Error::Option)
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> impl Future<Output = Result<()>> {
        self.put_within(bytes)
    }

    pub(crate) fn end(&mut self) -> impl Future<Output = Result<()>> {
        self.end_frame()
    }

    pub(crate) fn get(&mut self, bytes: &mut [u8]) -> impl Future<Output = Result<()>> {
        self.get_within(bytes)
    }

    pub(crate) fn finish(&mut self) -> impl Future<Output = Result<()>> {
        self.finish_frame()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::blocking::{Blocking, run};
    use crate::wire::OVERHEAD;
    use std::vec::Vec;

    /// What is written can be read.
    #[derive(Default)]
    struct Memory(Vec<u8>);

    impl embedded_io::ErrorType for Memory {
        type Error = core::convert::Infallible;
    }
    impl embedded_io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> core::result::Result<usize, Self::Error> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> core::result::Result<(), Self::Error> {
            Ok(())
        }
    }
    impl embedded_io::Read for Memory {
        fn read(&mut self, out: &mut [u8]) -> core::result::Result<usize, Self::Error> {
            let n = out.len().min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    fn channel(most: u64) -> Channel<Blocking<Memory>> {
        Channel { most, ..Channel::new(Blocking(Memory::default())) }
    }

    /// Sends `len` bytes in parts, receives them in others.
    fn carry(len: usize, [sent, received]: [u64; 2], [put, got]: [usize; 2]) -> Result<u64> {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + i / 256) as u8).collect();
        let (mut from, mut to) = (channel(sent), channel(received));
        run(async {
            from.begin(Tag::Tables, len as u64).await?;
            for part in bytes.chunks(put) {
                from.put(part).await?;
            }
            from.end().await?;
            from.send(Tag::Bye, &[]).await?;
            to.io = from.io;
            to.expect(Tag::Tables, len as u64).await?;
            let mut copy = std::vec![0; len];
            for part in copy.chunks_mut(got) {
                to.get(part).await?;
            }
            to.finish().await?;
            assert_eq!(copy, bytes);
            to.receive(Tag::Bye, &mut []).await?;
            assert_eq!(from.traffic.sent, to.traffic.received);
            Ok(from.traffic.sent - OVERHEAD as u64)
        })
    }

    #[test]
    fn what_no_frame_can_hold_goes_into_several() {
        for len in [0_usize, 1, 99, 100, 101, 200, 250, 1000] {
            for parts in [[1, 1000], [1000, 1], [33, 101], [250, 7]] {
                let frames = len.div_ceil(100).max(1);
                assert_eq!(
                    carry(len, [100, 100], parts),
                    Ok((len + frames * OVERHEAD) as u64),
                    "{len} {parts:?}"
                );
            }
        }
        assert_eq!(carry(200, [100, 101], [9, 9]), Err(Error::FrameLength { got: 100 }));
        assert_eq!(carry(200, [100, 200], [9, 9]), Err(Error::FrameLength { got: 100 }));
    }
}
