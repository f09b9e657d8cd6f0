use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::*;

/// Ten times what a test waits at a time: a machine with much to do is no silence.
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);

/// A server that does this with its first connection, and a client that waits [`SHORT`] for what does not move.
fn serving(serve: impl FnOnce(TcpStream) + Send + 'static) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || serve(listener.accept().expect("a connection").0));
    Client { silence: SHORT, ..Client::new(&url, "test").expect("a client") }
}

/// Reads a request head, and what came along of the body.
fn head(stream: &mut TcpStream) -> (String, usize) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    (head, length.unwrap_or(0))
}

fn answer(stream: &mut TcpStream, body: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).expect("sent");
}

fn post(client: &Client, bytes: usize, time: Duration) -> (Result<Answer, Error>, Duration) {
    let start = Instant::now();
    (client.send(Request::post("x", vec![7; bytes], 100), Until::Deadline(start + time)), start.elapsed())
}

/// More than the systems on both sides take without its being read.
const LARGE: usize = 32 << 20;

#[test]
fn an_upload_lasts_as_long_as_its_bytes_take() {
    let client = serving(|mut stream| {
        let (head, length) = head(&mut stream);
        assert!(head.starts_with("POST /x HTTP/1.1\r\n") && length == LARGE, "{head}");
        let mut piece = vec![0; LARGE / 20];
        for _ in 0..20 {
            stream.read_exact(&mut piece).expect("a piece");
            assert!(piece.iter().all(|byte| *byte == 7));
            thread::sleep(SHORT / 10);
        }
        answer(&mut stream, "taken");
    });
    let (answer, took) = post(&client, LARGE, LONG);
    let answer = answer.expect("an answer");
    assert_eq!((answer.status, &answer.body[..], answer.is_whole), (StatusCode::OK, &b"taken"[..], true));
    assert!(took > SHORT, "it was no slow upload: {took:?}");
}

#[test]
fn the_deadline_ends_an_upload_and_its_error_says_that_somebody_was_there() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let client = serving(move |stream| {
        let _ = wait.recv();
        drop(stream);
    });
    let (answer, took) = post(&client, LARGE, SHORT);
    assert!(matches!(answer, Err(Error::Cut { sent: 1.., of: LARGE, .. })), "{answer:?}");
    assert!(took >= SHORT && took < LONG / 6, "{took:?}");
    drop(done);
    // Who hangs up in the middle.
    let client = serving(|mut stream| {
        head(&mut stream);
        stream.read_exact(&mut vec![0; 100_000]).expect("a part");
    });
    let error = post(&client, LARGE, LONG).0.expect_err("no answer");
    let words = format!("`{}/x` was reached, and the body was cut after ", client.url());
    assert!(error.to_string().starts_with(&words), "{error}");
}

#[test]
fn an_answer_is_read_while_it_moves_and_no_longer_than_the_deadline() {
    let dripping = |pause: Duration, pieces: usize| {
        serving(move |mut stream| {
            head(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            for _ in 0..pieces {
                thread::sleep(pause);
                // Who hung up has seen enough.
                let _ = stream.write_all(b".");
            }
            if pieces == 1 {
                thread::sleep(LONG);
            }
        })
    };
    let get_until = |client: &Client, until| {
        let start = Instant::now();
        (client.send(Request::get("/x", 100), until), start.elapsed())
    };
    let get = |client: &Client, time| get_until(client, Until::Deadline(Instant::now() + time));
    let (answer, took) = get(&dripping(SHORT / 10, 13), LONG);
    assert_eq!(answer.expect("an answer").body, b".............");
    assert!(took > SHORT, "{took:?}");
    let (answer, took) = get(&dripping(SHORT / 10, 1_000), SHORT);
    assert!(matches!(answer, Err(Error::TooSlow { .. })) && took < LONG / 6, "{answer:?} {took:?}");
    let (answer, took) = get(&dripping(Duration::ZERO, 1), LONG);
    assert!(
        matches!(answer, Err(Error::TooSlow { .. })) && took < LONG / 6,
        "a silence: {answer:?} {took:?}"
    );
}

#[test]
fn who_takes_a_request_and_says_nothing_is_left() {
    for time in [SHORT / 3, LONG] {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let client = serving(move |stream| {
            let _ = wait.recv();
            drop(stream);
        });
        let (answer, took) = post(&client, 10, time);
        assert!(matches!(answer, Err(Error::NoAnswer { .. })) && took < LONG / 6, "{answer:?} {took:?}");
        drop(done);
    }
}

#[test]
fn nothing_is_asked_when_the_time_is_over() {
    let client = Client::new("http://127.0.0.1:1", "test").expect("a client");
    let answer = client.send(Request::get("x", 100), Until::Deadline(Instant::now()));
    assert!(matches!(answer, Err(Error::NoTime { .. })), "{answer:?}");
    let answer = client.send(Request::get("x", 100), Until::Deadline(Instant::now() + LONG));
    assert!(matches!(answer, Err(Error::Unreachable { proxy: None, .. })), "{answer:?}");
}

#[test]
fn of_an_answer_that_is_too_long_the_beginning_comes_back() {
    for (length, want) in [(99, true), (100, true), (101, false)] {
        let client = serving(move |mut stream| {
            head(&mut stream);
            answer(&mut stream, &"x".repeat(length));
        });
        let answer =
            client.send(Request::get("x", 100), Until::Deadline(Instant::now() + LONG)).expect("an answer");
        assert_eq!((answer.body.len(), answer.is_whole), (length.min(100), want));
    }
}

/// Serves one file after the other, a connection each, and says what was asked.
fn files(answers: &'static [(&'static str, u16, usize)]) -> (Client, std::sync::mpsc::Receiver<String>) {
    let (asked, paths) = std::sync::mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let path = head(&mut stream).0.split(' ').nth(1).expect("a path").to_owned();
            let (status, length) = answers
                .iter()
                .find(|(at, ..)| path == *at)
                .map_or((404, 0), |(_, status, length)| (*status, *length));
            let head =
                format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), &vec![7; length]].concat());
            if asked.send(path).is_err() {
                return;
            }
        }
    });
    (Client::new(&url, "test").expect("a client"), paths)
}

/// What serves a log, be it a log, a mirror or an object store, says in its own way that a partial tile is gone.
#[test]
fn of_a_partial_tile_that_is_gone_the_full_one_is_read() {
    let (client, paths) = files(&[
        ("/tile/0/000.p/3", 403, 9),
        ("/tile/0/000", 200, 8192),
        ("/tile/1/000.p/3", 404, 0),
        ("/tile/1/000", 200, 8192),
        ("/tile/2/000.p/3", 410, 0),
        ("/tile/2/000", 200, 8192),
        ("/tile/3/000.p/3", 503, 0),
        ("/tile/3/000", 200, 8192),
        ("/tile/4/000.p/3", 302, 0),
        ("/tile/5/000.p/3", 200, 97),
        ("/tile/6/000.p/3", 200, 4_000),
    ]);
    let fetch = |level| {
        let tile = tlog::tile::Tile::new(level, 0, 3).expect("a tile");
        client.fetch(tlog::reader::Want::hashes(tile), Until::LeastRate)
    };
    for level in [0, 1, 2] {
        assert_eq!(fetch(level).expect("the full one").len(), 96, "{level}");
    }
    for (level, want) in [(3, 503), (4, 302), (7, 404)] {
        match fetch(level) {
            Err(ReadError::Status(answer)) => assert_eq!(answer.status.as_u16(), want),
            other => panic!("{level}: {other:?}"),
        }
    }
    // What is too long is cut behind the byte that shows it.
    assert_eq!((fetch(5).expect("a tile").len(), fetch(6).expect("a tile").len()), (97, 97));
    let paths: Vec<String> = paths.try_iter().collect();
    assert!(!paths.contains(&"/tile/3/000".to_owned()), "busy is not gone: {paths:?}");
    assert!(matches!(client.read("tile/0/000", 8191, Until::LeastRate), Err(ReadError::TooLong { .. })));
    assert_eq!(client.read("tile/0/000", 8192, Until::LeastRate).expect("a file").len(), 8192);
}

#[test]
fn this_machine_is_known_by_its_names() {
    for (url, here) in [
        ("http://127.0.0.1:1", true),
        ("http://127.8.8.8/x", true),
        ("http://[::1]:1", true),
        ("http://localhost", true),
        ("http://localhost.example.com", false),
        ("http://10.0.0.1", false),
        ("https://log.example.com", false),
        ("nowhere", false),
    ] {
        assert_eq!(is_here(url), here, "{url}");
    }
}
