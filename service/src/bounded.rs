//! Reading from others with a bound in bytes and in time.
//!
//! The timeout of an HTTP client is for each piece of an answer, so a server that sends a byte now and then would hold a
//! reader for ever.

use std::io;
use std::time::{Duration, Instant};

/// How a body was read.
#[derive(Debug, Eq, PartialEq)]
pub enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// The first bytes, up to the limit; there are more.
    TooLong(Vec<u8>),
    /// It took longer than it may.
    TooSlow,
}

/// Reads to the end, to `limit` bytes, or until `time` is over. It waits for one more piece then, at most.
///
/// # Errors
/// What `from` answers, but for an interrupted read, which goes on.
pub fn read(mut from: impl io::Read, limit: usize, time: Duration) -> io::Result<Body> {
    let start = Instant::now();
    let mut body = Vec::new();
    let mut piece = [0; 32 << 10];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(Body::Whole(body)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let room = limit - body.len();
        body.extend_from_slice(&piece[..read.min(room)]);
        if read > room {
            return Ok(Body::TooLong(body));
        }
        if start.elapsed() > time {
            return Ok(Body::TooSlow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    #[test]
    fn a_body_has_as_many_bytes_as_it_may() {
        for (length, want) in [
            (0, Body::Whole(vec![])),
            (7, Body::Whole(vec![7; 7])),
            (100_000, Body::Whole(vec![7; 100_000])),
            (100_001, Body::TooLong(vec![7; 100_000])),
        ] {
            assert_eq!(read(&vec![7; length][..], 100_000, TIME).expect("memory"), want);
        }
    }

    #[test]
    fn one_byte_at_a_time_holds_nobody() {
        struct Drops;
        impl io::Read for Drops {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                std::thread::sleep(Duration::from_millis(1));
                into[0] = 7;
                Ok(1)
            }
        }
        assert_eq!(read(Drops, usize::MAX, Duration::from_millis(20)).expect("no error"), Body::TooSlow);
    }
}
