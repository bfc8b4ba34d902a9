//! Power loss: a session that is cut off at a random byte leaves nothing behind, and the device
//! starts again.

use super::client::Setting;
use super::emulator::Wiring;
use super::server::Server;
use super::wire::Wire;
use core::time::Duration;
use std::thread;
use std::time::Instant;

/// How long a cut may be waited for.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often.
const POLL: Duration = Duration::from_millis(5);

/// What happens at a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The board loses its power and is switched on again.
    Power,
    /// Only the connection breaks; the device notices and connects again.
    Connection,
}

/// Cuts one session after at most `most` bytes, and has the device start again. Returns where it
/// was cut.
pub(crate) fn survive(
    setting: &Setting<'_>,
    server: &Server,
    wire: &Wire,
    wiring: Wiring,
    loss: Loss,
    most: u64,
) -> Result<u64, String> {
    let at = random_below(most)?.max(1);
    cut(setting, server, wire, wiring, loss, at)
        .map_err(|why| format!("{why}\n({loss:?} cut after {at} bytes)"))?;
    Ok(at)
}

fn cut(
    setting: &Setting<'_>,
    server: &Server,
    wire: &Wire,
    wiring: Wiring,
    loss: Loss,
    at: u64,
) -> Result<(), String> {
    wire.cut_after(at);
    let mut emulator = setting.start(wiring)?;
    let start = Instant::now();
    while !wire.is_cut() {
        if start.elapsed() > PATIENCE {
            return Err("the session never came so far".to_owned());
        }
        thread::sleep(POLL);
    }
    if loss == Loss::Power {
        emulator.kill();
    }
    wire.cut();
    wire.mend();
    if loss == Loss::Power {
        emulator = setting.start(wiring)?;
    }
    setting.finish(emulator)?;
    // The server has noticed the end of the broken session, and served the next one to its end.
    loop {
        let session = server.session()?;
        match session.error {
            Some(_) => {}
            None if session.predictions == setting.windows => return Ok(()),
            // Cut before its first byte, or tried while the wire was cut: nothing was asked for.
            None if session.predictions == 0 => {}
            None => {
                return Err(format!(
                    "a session ended in order after {} predictions",
                    session.predictions
                ));
            }
        }
    }
}

fn random_below(most: u64) -> Result<u64, String> {
    Ok(getrandom::u64().map_err(|error| error.to_string())? % most)
}
