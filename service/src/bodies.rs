//! Request bodies: how long, how slow, and how much of them is in memory at a time.
//!
//! A body that takes longer than its timeout is slow. A slow body is read as long as it brings
//! [`LEAST_BYTES_PER_SECOND`]: clients with slow lines are served, clients that send a byte now and then are not.

use std::net::IpAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::shares::{Bounds, Refused, Share, Shares};

/// What bodies may have, each and together.
#[derive(Debug)]
pub struct Bodies {
    limits: BodyLimits,
    large: Shares,
}

/// The bounds of bodies.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// How long a body may be without a share of `together`, bytes. The number of connections bounds the sum, so that a
    /// client with a body of the usual size never waits for clients with large ones.
    pub small: usize,
    /// What all bodies together may have beyond that at a time, bytes. One client has at most a quarter of what it leaves,
    /// so this must be at least five times the longest body, or the longest never fits.
    pub together: usize,
    /// How long one may take before it is slow.
    pub timeout: Duration,
}

/// The least rate of a slow body, over each [`RATE_SPAN`].
pub const LEAST_BYTES_PER_SECOND: u64 = 16 << 10;

/// The time over which a slow body's rate is taken.
pub const RATE_SPAN: Duration = Duration::from_secs(10);

/// A whole body, and its share of the memory until it is dropped.
#[derive(Debug)]
pub struct Received {
    bytes: Bytes,
    _share: Option<Share>,
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// It ended early.
    #[error("the request body broke off")]
    BrokenOff,
    /// It has a content encoding.
    #[error("a request body is not compressed")]
    Compressed,
    /// The memory for large ones is taken: by this client's own bodies, or by all.
    #[error("{}", no_room(.0))]
    NoRoom(Refused),
    /// It has more bytes than this.
    #[error("a request body has at most {0} bytes")]
    TooLarge(usize),
    /// It took too long.
    #[error("the request body came too slowly")]
    TooSlow,
}

impl BodyError {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoRoom(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The fixed identifier, for programs.
    pub fn rule(self) -> &'static str {
        match self {
            Self::BrokenOff => "body",
            Self::Compressed => "content-encoding",
            Self::NoRoom(_) => "bodies",
            Self::TooLarge(_) => "body-size",
            Self::TooSlow => "body-timeout",
        }
    }
}

fn no_room(refused: &Refused) -> &'static str {
    match refused {
        Refused::Share => "as many bytes of this address's request bodies are here as it may send at a time",
        Refused::Whole => "as many bytes of request bodies are here as are taken at a time",
    }
}

impl Bodies {
    /// Bodies within these bounds.
    pub fn new(limits: BodyLimits) -> Self {
        Self { limits, large: Shares::new(Bounds::of(limits.together as u64)) }
    }

    /// The memory for large bodies.
    pub fn large(&self) -> &Shares {
        &self.large
    }

    /// Reads the body of a client's request, of at most `longest` bytes.
    pub async fn read<B>(
        &self,
        client: IpAddr,
        headers: &HeaderMap,
        body: B,
        longest: usize,
    ) -> Result<Received, BodyError>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(BodyError::Compressed);
        }
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let announced = announced.unwrap_or(0);
        if announced > longest as u64 {
            return Err(BodyError::TooLarge(longest));
        }
        self.collect(client, body, announced as usize, longest).await
    }

    /// A body of one chunk is taken as it came. Else there is one buffer for all: a body of one-byte chunks, kept as chunks,
    /// would take many times its bytes.
    async fn collect<B>(
        &self,
        client: IpAddr,
        mut body: B,
        announced: usize,
        longest: usize,
    ) -> Result<Received, BodyError>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let mut bytes = Vec::new();
        let mut share: Option<Share> = None;
        let mut pace = Pace::new(self.limits.timeout, longest, Instant::now());
        loop {
            let Ok(frame) = tokio::time::timeout_at(pace.next_look.into(), body.frame()).await else {
                pace.look(bytes.len(), Instant::now())?;
                continue;
            };
            let Some(frame) = frame else { break };
            if Instant::now() >= pace.next_look {
                pace.look(bytes.len(), Instant::now())?;
            }
            // Trailers say nothing here.
            let Ok(data) = frame.map_err(|_| BodyError::BrokenOff)?.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > longest {
                return Err(BodyError::TooLarge(longest));
            }
            let large = length.saturating_sub(self.limits.small) as u64;
            let more = large.saturating_sub(share.as_ref().map_or(0, Share::amount));
            if more > 0 {
                match &mut share {
                    Some(share) => share.grow(more).map_err(BodyError::NoRoom)?,
                    None => share = Some(self.large.take(Some(client), more).map_err(BodyError::NoRoom)?),
                }
            }
            if bytes.is_empty() && body.is_end_stream() {
                return Ok(Received { bytes: data, _share: share });
            }
            if length > bytes.capacity() {
                // Memory is given to bytes that came, not to bytes that were announced; but each move leaves a copy behind,
                // which the allocator keeps for a while, so who sent this much has room for the rest.
                let room = match length {
                    _ if announced == 0 => 2 * length,
                    ..TRUSTED_BYTES => announced.min((4 * length).max(self.limits.small)),
                    TRUSTED_BYTES.. => announced,
                };
                bytes.reserve_exact(room.max(length) - bytes.len());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes: bytes.into(), _share: share })
    }
}

/// Whoever sent so much of a body gets memory for all that was announced. The pages of it are taken as they are written.
const TRUSTED_BYTES: usize = 1 << 20;

/// Whether a body comes fast enough. Pure: the time is an argument.
#[derive(Debug)]
struct Pace {
    /// When it is looked at next.
    next_look: Instant,
    /// The time from one look to the next.
    span: Duration,
    /// The bytes at the last look; `None` before the first, when any rate is allowed.
    at_last_look: Option<usize>,
    /// When it must be complete, whatever its rate was: the longest body at the least rate would be.
    end: Instant,
}

impl Pace {
    fn new(first: Duration, longest: usize, now: Instant) -> Self {
        let whole = Duration::from_secs((longest as u64).div_ceil(LEAST_BYTES_PER_SECOND));
        let end = now + first.max(whole);
        // A server that gives little time at first takes the rate over as little.
        Self { next_look: now + first, span: first.min(RATE_SPAN), at_last_look: None, end }
    }

    /// Looks at a body of which so many bytes are here. From the first look on it is a slow one.
    fn look(&mut self, bytes: usize, now: Instant) -> Result<(), BodyError> {
        let least = (self.span.as_millis() as u64).saturating_mul(LEAST_BYTES_PER_SECOND) / 1_000;
        let is_slower = self.at_last_look.is_some_and(|before| ((bytes - before) as u64) < least);
        if is_slower || now >= self.end {
            return Err(BodyError::TooSlow);
        }
        self.at_last_look = Some(bytes);
        self.next_look = (now + self.span).min(self.end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(30);

    /// How long a body of `longest` bytes at most is read that brings so many bytes a second, second by second.
    fn read_for(longest: usize, bytes_in: impl Fn(u64) -> usize) -> Result<u64, u64> {
        let start = Instant::now();
        let mut pace = Pace::new(FIRST, longest, start);
        let mut bytes = 0;
        for second in 1..100_000 {
            let now = start + Duration::from_secs(second);
            if now >= pace.next_look {
                pace.look(bytes, now).map_err(|_| second)?;
            }
            bytes += bytes_in(second);
            if bytes >= longest {
                return Ok(second);
            }
        }
        panic!("a body without an end");
    }

    #[test]
    fn a_body_on_a_slow_line_is_read_to_its_end_and_one_that_drips_is_not() {
        const MIB: usize = 1 << 20;
        // 5 MB at 120 kB/s.
        assert_eq!(read_for(5_000_000, |_| 120_000), Ok(42));
        assert_eq!(read_for(16 * MIB, |_| (16 << 10) + 17), Ok(1023), "a little more than the least rate");
        // It is looked at first after 30 s, and then over 10 s each.
        assert_eq!(read_for(16 * MIB, |_| 1), Err(40));
        assert_eq!(read_for(16 * MIB, |_| (16 << 10) - 1), Err(40));
        assert_eq!(read_for(16 * MIB, |second| if second < 60 { 20_000 } else { 0 }), Err(70), "it stops");
        // It may hold its breath within the ten seconds.
        let in_gusts = |second| if second % 10 == 5 { 200_000 } else { 0 };
        assert_eq!(read_for(4_000_000, in_gusts), Ok(195));
        // What it brought before it was slow buys no time.
        assert_eq!(read_for(16 * MIB, |second| if second == 1 { 8 * MIB } else { 0 }), Err(40));
        // What may be small only is not waited for longer than at first.
        assert_eq!(read_for(65_536, |_| 1_000), Err(30));
    }

    /// Whatever it does, a body ends when the longest would at the least rate.
    #[test]
    fn no_body_lasts_longer_than_the_longest_at_the_least_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(FIRST, 16 << 20, start);
        let (mut now, mut bytes) = (start, 0);
        while pace.look(bytes, now).is_ok() {
            (now, bytes) = (pace.next_look, bytes + (16 << 20));
        }
        assert_eq!(now - start, Duration::from_secs(1024));
    }
}
