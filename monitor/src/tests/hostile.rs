//! Answers without end, and answers that blow up (S17).

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Instant;

use attestation::entry::Visibility;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::*;

/// Zeros for ever, as fast as they are read.
fn endless() -> Response {
    let zeros = Bytes::from_static(&[0; 64 << 10]);
    let stream = futures_like::repeat(zeros);
    Body::new(stream).into_response()
}

/// A gigabyte of zeros in a megabyte.
fn bomb() -> Response {
    static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        (0..1_024).for_each(|_| gzip.write_all(&zeros).expect("memory"));
        gzip.finish().expect("memory")
    });
    ([(header::CONTENT_ENCODING, "gzip")], BOMB.as_slice()).into_response()
}

fn redirect() -> Response {
    (StatusCode::FOUND, [(header::LOCATION, "http://169.254.169.254/latest/meta-data/")]).into_response()
}

/// A body that repeats one piece.
mod futures_like {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::{Bytes, Infallible};

    pub(super) struct Repeat(Bytes);

    pub(super) fn repeat(bytes: Bytes) -> Repeat {
        Repeat(bytes)
    }

    impl hyper::body::Body for Repeat {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(hyper::body::Frame::data(self.0.clone()))))
        }
    }
}

/// A byte now and then, a legal answer by itself: four a second for 20 seconds.
fn dripping() -> Response {
    Body::new(drops::Drops::of(80)).into_response()
}

mod drops {
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use tokio::time::{Instant, Sleep, sleep};

    use super::{Bytes, Infallible};

    const PAUSE: Duration = Duration::from_millis(250);

    pub(super) struct Drops {
        left: usize,
        pause: Pin<Box<Sleep>>,
    }

    impl Drops {
        pub(super) fn of(left: usize) -> Self {
            Self { left, pause: Box::pin(sleep(PAUSE)) }
        }
    }

    impl hyper::body::Body for Drops {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            ready!(self.pause.as_mut().poll(cx));
            self.left -= 1;
            self.pause.as_mut().reset(Instant::now() + PAUSE);
            Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(b" ")))))
        }
    }
}

/// A single run ends when it was told to, though each of a log's answers is within what is allowed: without an end for
/// all of them, these envelopes take 200 s.
#[test]
fn a_single_run_ends_in_time_however_slowly_envelopes_come() {
    let log = FakeLog::start(1);
    for about in 0..80 {
        let (envelope, entry) = signed(1, did(1), about, Visibility::Public);
        log.push(entry.to_leaf(time(1_000)));
        log.answer(&format!("api/v1/envelopes/{}", envelope.hash()), dripping);
    }
    log.publish();
    let watch = Watch::new(&log, "").with(&["--once", "--envelopes", "--timeout", "2s"]);
    let start = Instant::now();
    let round = watch.open().look(time(NOW)).expect("a disk");
    let took = start.elapsed();
    assert!(round.unchecked.is_some(), "what was not checked is not called checked");
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(60), "{took:?}");
    // Nothing is asked after that: no view, no second try.
    assert!(log.hits().len() < 30, "8 at a time were asked, and no others");
}

/// S17: whatever a log answers, wherever, the monitor reads a bounded part of it and says what it is.
#[test]
fn s17_answers_without_end_cost_little() {
    let log = FakeLog::start(1);
    log.grow_to(300);
    log.publish();
    let paths = [
        ("checkpoint", false),
        ("tile/0/000", true),
        ("tile/0/001.p/44", true),
        ("tile/1/000.p/1", true),
        ("tile/entries/000", true),
        ("tile/entries/001.p/44", true),
    ];
    for (path, is_tile) in paths {
        for (name, answer) in
            [("endless", endless as fn() -> Response), ("bomb", bomb), ("redirect", redirect)]
        {
            log.answer(path, answer);
            let watch = Watch::new(&log, "");
            let start = Instant::now();
            let round = watch.look();
            let took = start.elapsed();
            let is_finding = is_tile && name != "redirect";
            assert_eq!(classes(&round), if is_finding { vec!["bad-tile"] } else { vec![] }, "{path} {name}");
            assert_eq!(round.unchecked.is_some(), !is_finding, "{path} {name}");
            assert_eq!(watch.classes().len(), usize::from(is_finding), "{path} {name}: the proof is whole");
            assert!(took < Duration::from_secs(20), "{path} {name}: {took:?}");
            log.restore();
        }
    }
}

/// A leaf's own content can be as hostile as it likes.
#[test]
fn hostile_leaves_are_findings_and_no_more() {
    let log = FakeLog::start(1);
    let deep = [vec![b'['; 60_000], vec![b']'; 5_000]].concat();
    for leaf in [
        deep,
        vec![0xff; 65_535],
        br#"{"apiVersion":"0.0.1","kind":"dsse","#.to_vec(),
        b"{\"kind\":\"\x1b[2J\"}".to_vec(),
        vec![],
    ] {
        log.push(leaf);
    }
    log.publish();
    let watch = Watch::new(&log, "");
    let round = watch.look();
    assert_eq!(classes(&round), ["bad-entry"; 5]);
    assert!(round.found.iter().all(|found| !found.detail.contains(char::is_control)));
    assert_eq!(watch.findings().len(), 5);
}
