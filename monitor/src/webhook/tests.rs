use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;

use testkit::trials::urls::PRIVATE;
use tlog::encoding::decode_base64_array;
use tlog::key::{PublicKey, VerifierKey};

use super::*;

fn signer() -> SignerKey {
    SignerKey::from_seed(KeyName::new("aip-monitor").expect("a name"), KeyType::Ed25519, &[3; 32])
}

/// S18: every way into the private network that a URL can spell.
#[test]
fn s18_private_addresses_are_refused_however_they_are_spelled() {
    for url in PRIVATE {
        let refused = Webhook::new(url, signer(), Reach::Public).and_then(|hook| hook.addresses());
        assert!(refused.is_err(), "{url}: {refused:?}");
    }
    assert!(PRIVATE.len() >= 40);
    for url in ["https://93.184.216.34/", "https://[2606:2800:220:1::1]/", "https://[::ffff:93.184.216.34]/x"]
    {
        assert!(Webhook::new(url, signer(), Reach::Public).is_ok(), "{url}");
    }
    // Who allows it may: but a file is no webhook.
    assert!(Webhook::new("http://127.0.0.1/", signer(), Reach::Anywhere).is_ok());
    assert!(Webhook::new("file:///etc/passwd", signer(), Reach::Anywhere).is_err());
}

#[test]
fn public_addresses_begin_where_the_set_aside_end() {
    for (address, want) in [
        ("1.1.1.1", true),
        ("9.255.255.255", true),
        ("11.0.0.0", true),
        ("100.63.255.255", true),
        ("100.128.0.0", true),
        ("126.255.255.255", true),
        ("128.0.0.0", true),
        ("169.253.255.255", true),
        ("169.255.0.0", true),
        ("172.15.255.255", true),
        ("172.32.0.0", true),
        ("192.0.1.0", true),
        ("192.0.2.1", false),
        ("192.167.255.255", true),
        ("192.169.0.0", true),
        ("198.17.255.255", true),
        ("198.20.0.0", true),
        ("198.51.100.1", false),
        ("203.0.113.1", false),
        ("223.255.255.255", true),
        ("240.0.0.1", false),
        ("2000::1", true),
        ("3fff::1", false),
        ("3ffe::1", true),
        ("4000::1", false),
        ("2001:db8::1", false),
        ("2001:4860:4860::8888", true),
        ("2002:5db8:d822::1", true),
    ] {
        assert_eq!(is_public(address.parse().expect(address)), want, "{address}");
    }
}

/// S18: a name that leads to a public and to a private address, in any order, is refused before a connection.
#[test]
fn s18_a_name_is_judged_by_every_address_it_has() {
    let mut hook = Webhook::new("https://hook.example.com/", signer(), Reach::Public).expect("a webhook");
    type Resolve = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;
    let resolvers: [Resolve; 4] = [
        |_, port| Ok(vec![([127, 0, 0, 1], port).into()]),
        |_, port| Ok(vec![([93, 184, 216, 34], port).into(), ([10, 0, 0, 1], port).into()]),
        |_, port| Ok(vec![([169, 254, 169, 254], port).into(), ([93, 184, 216, 34], port).into()]),
        |_, port| Ok(vec![SocketAddr::new("::ffff:10.0.0.1".parse().expect("an address"), port)]),
    ];
    for resolve in resolvers {
        hook.resolve = resolve;
        assert!(matches!(hook.post("k", b"{}\n"), Err(WebhookError::Private(_))));
    }
    hook.resolve = |_, _| Ok(Vec::new());
    assert!(matches!(hook.post("k", b"{}\n"), Err(WebhookError::Resolve(_))));
}

/// The lines of a request's head, and its body.
type Request = (Vec<String>, Vec<u8>);

/// Answers one request with `answer`; what was asked.
fn serve_once(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<Request>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(&stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let length =
            head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).expect("a body");
        (&stream).write_all(answer.as_bytes()).expect("an answer");
        (head, body)
    });
    (address, thread)
}

#[test]
fn a_post_is_signed_and_goes_to_the_address_that_was_checked() {
    let (address, server) = serve_once("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    // The name does not exist: only the resolver that was asked leads anywhere.
    let url = format!("http://hook.invalid:{}/path", address.port());
    let mut hook = Webhook::new(&url, signer(), Reach::Anywhere).expect("a webhook");
    hook.resolve = |_, port| Ok(vec![([127, 0, 0, 1], port).into()]);
    let body = b"{\"alert\":\"entry\"}\n";
    hook.post("origin-7", body).expect("posted");
    let (head, got) = server.join().expect("served");
    assert_eq!(got, body);
    assert_eq!(head[0], "POST /path HTTP/1.1");
    let header = |name: &str| {
        let line =
            head.iter().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        line.unwrap_or_else(|| panic!("no `{name}` in {head:?}")).1.to_owned()
    };
    assert_eq!(header("idempotency-key"), "origin-7");
    let vkey: VerifierKey = header("aip-key").parse().expect("a vkey");
    let PublicKey::Ed25519(key) = vkey.key() else { panic!("an Ed25519 key") };
    let signature = decode_base64_array(&header("aip-signature")).expect("64 bytes");
    assert!(key.verify(&got, &signature));
}

/// S18: a redirect leads nowhere.
#[test]
fn s18_redirects_and_refusals_are_no_delivery() {
    for (answer, want) in [
        (
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            307,
        ),
        ("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n", 302),
        ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", 500),
    ] {
        let (address, server) = serve_once(answer);
        let hook = Webhook::new(&format!("http://{address}/"), signer(), Reach::Anywhere).expect("a webhook");
        let refused = hook.post("k", b"{}\n").expect_err("no delivery");
        assert!(matches!(refused, WebhookError::Status(status) if status == want), "{refused}");
        server.join().expect("served");
    }
}

/// The answer of a webhook that sends a byte now and then is not waited for: the log is to be looked at.
#[test]
fn an_answer_that_never_ends_holds_nobody() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4_096]).expect("a request");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n").expect("a head");
        let slowly = (0..60_000).take_while(|_| {
            std::thread::sleep(Duration::from_millis(5));
            stream.write_all(b"x").is_ok()
        });
        slowly.count()
    });
    let mut hook = Webhook::new(&format!("http://{address}/"), signer(), Reach::Anywhere).expect("a webhook");
    hook.patience = Duration::from_secs(2);
    hook.post("k", b"{}\n").expect("it was taken");
    drop(hook);
    assert!(server.join().expect("served") < 60_000, "nobody waited for the end");
}

/// A URL that is a secret stays out of messages.
#[test]
fn errors_do_not_tell_the_url() {
    let hook = Webhook::new("http://127.0.0.1:1/secret", signer(), Reach::Anywhere).expect("a webhook");
    let error = hook.post("k", b"{}\n").expect_err("nobody listens");
    let told = format!("{error} {error:?} {}", std::error::Error::source(&error).expect("a cause"));
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn a_key_is_made_once_and_is_the_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    let made = key(&path).expect("a new key");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(key(&path).expect("the same key").verifier(), made.verifier());
    fs::write(&path, "PRIVATE+KEY+secret").expect("written");
    let told = key(&path).expect_err("no key").to_string();
    assert!(!told.contains("secret"), "{told}");
}
