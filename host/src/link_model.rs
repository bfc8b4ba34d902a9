//! What a link is to a protocol: how long a byte is on its way, and how many go into it in a
//! second.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use minionn_core::cost::Phase;
use minionn_core::session::{Activations, MAX_LOG2_BYTES_PER_ROUND};
use serde::{Serialize, Serializer};

/// A link that carries bytes both ways at once, each direction alike.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkModel {
    /// What it was asked for by.
    pub name: String,
    /// From sending a byte to having its answer, the work of the other side left out.
    pub round_trip: Duration,
    /// Bits of payload in a second, each way; a byte has eight.
    pub bits_per_second: f64,
}

/// Presets: name, round trip, bits per second.
const PRESETS: [(&str, Duration, f64); 4] = [
    ("lan", Duration::from_millis(1), 1e9),
    ("wan", Duration::from_millis(50), 100e6),
    // 921600 baud with start and stop bit; a USB adapter waits a millisecond each way.
    ("uart", Duration::from_millis(2), 737_280.0),
    // Two connection intervals of 15 ms; about what telephones reach with long packets at 2
    // Mbit/s.
    ("ble", Duration::from_millis(30), 700e3),
];

/// Units of time in seconds.
const TIMES: [(&str, f64); 3] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
/// Units of bandwidth in bits of payload per second: 10 bits of a serial line carry a byte.
const BANDWIDTHS: [(&str, f64); 5] =
    [("baud", 0.8), ("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9), ("bit", 1.0)];

/// Round trips and bandwidths beyond these are slips of the pen.
const MOST_ROUND_TRIP: f64 = 60.0;
const BITS: core::ops::RangeInclusive<f64> = 100.0..=1e12;

/// Why a link cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a link is lan, wan, uart, ble, or a round trip up to 60s and a bandwidth of 100bit to \
     1000gbit per second, such as 20ms,50mbit or 2ms,115200baud"
)]
pub struct ParseError;

/// A number with one of `units` behind it.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    number.trim().parse::<f64>().ok().map(|number| number * factor)
}

impl FromStr for LinkModel {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(&preset) = PRESETS.iter().find(|(name, ..)| *name == text) {
            return Ok(Self::preset(preset));
        }
        let (time, bandwidth) = text.split_once(',').ok_or(ParseError)?;
        let time = quantity(time, &TIMES)
            .filter(|time| (0.0..=MOST_ROUND_TRIP).contains(time))
            .ok_or(ParseError)?;
        let bits_per_second = quantity(bandwidth, &BANDWIDTHS)
            .filter(|bits| BITS.contains(bits))
            .ok_or(ParseError)?;
        Ok(Self {
            name: text.to_owned(),
            round_trip: Duration::from_secs_f64(time),
            bits_per_second,
        })
    }
}

impl LinkModel {
    /// A local network: 1 ms, 1 Gbit/s. What sessions suit where no link is named.
    #[must_use]
    pub fn lan() -> Self {
        let [lan, ..] = PRESETS;
        Self::preset(lan)
    }

    /// Across a continent or an ocean: 50 ms, 100 Mbit/s.
    #[must_use]
    pub fn wan() -> Self {
        let [_, wan, ..] = PRESETS;
        Self::preset(wan)
    }

    fn preset((name, round_trip, bits_per_second): (&str, Duration, f64)) -> Self {
        Self { name: name.to_owned(), round_trip, bits_per_second }
    }

    /// Bytes in a second, each way.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        self.bits_per_second / 8.0
    }

    /// When activations are to be compared on this link, rather than garbled: where each further
    /// round trip saves the bytes that go over the link meanwhile, rounded down to a power of
    /// two, as garbling takes the parties' time as well.
    #[must_use]
    pub fn activations(&self) -> Activations {
        let bytes = self.round_trip.as_secs_f64() * self.bytes_per_second();
        let worth = bytes.max(1.0).log2().floor() as u8; // saturates
        Activations::Compared { log2_bytes_per_round: worth.min(MAX_LOG2_BYTES_PER_ROUND) }
    }

    /// What a phase takes on this link when both parties take no time: parties that send in turn
    /// wait for every byte of either.
    #[must_use]
    pub fn seconds(&self, phase: Phase) -> f64 {
        f64::from(phase.rounds) * self.round_trip.as_secs_f64()
            + (phase.up + phase.down) as f64 / self.bytes_per_second()
    }
}

impl fmt::Display for LinkModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for LinkModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn presets_and_free_links() {
        for (text, milliseconds, bits) in [
            ("lan", 1.0, 1e9),
            ("wan", 50.0, 100e6),
            ("uart", 2.0, 737_280.0),
            ("ble", 30.0, 700e3),
            ("20ms,50mbit", 20.0, 50e6),
            ("0s, 1.5 Gbit", 0.0, 1.5e9),
            ("250us,115200baud", 0.25, 92_160.0),
            ("2s,300bit", 2000.0, 300.0),
        ] {
            let link: LinkModel = text.parse().unwrap();
            assert!((link.round_trip.as_secs_f64() * 1e3 - milliseconds).abs() < 1e-9, "{text}");
            assert!((link.bits_per_second / bits - 1.0).abs() < 1e-12, "{text}");
            assert_eq!(link.to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "LAN",
            "1ms",
            "1ms,",
            ",1gbit",
            "1,1gbit",
            "1ms,1",
            "-1ms,1gbit",
            "61s,1gbit",
            "1ms,0bit",
            "1ms,infgbit",
            "nans,1gbit",
            "1ms,1gbit,1",
        ] {
            assert_eq!(text.parse::<LinkModel>(), Err(ParseError), "{text}");
        }
    }

    #[test]
    fn a_round_trip_is_worth_what_the_link_carries_meanwhile() {
        // 125 kB, 625 kB, 184 B, 2625 B, nothing.
        for (text, log2_bytes_per_round) in
            [("lan", 16), ("wan", 19), ("uart", 7), ("ble", 11), ("0s,1gbit", 0)]
        {
            assert_eq!(
                text.parse::<LinkModel>().unwrap().activations(),
                Activations::Compared { log2_bytes_per_round },
                "{text}"
            );
        }
    }

    #[test]
    fn time_is_round_trips_and_bytes() {
        let link: LinkModel = "wan".parse().unwrap();
        // 3 · 50 ms, 2.5 MB at 12.5 MB/s.
        assert!(
            (link.seconds(Phase { up: 500_000, down: 2_000_000, rounds: 3 }) - 0.35).abs() < 1e-12
        );
    }
}
