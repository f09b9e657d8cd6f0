//! Servers that are not who the URL says: told at once, not tried until the time is up.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::world::{Ran, World};

/// A server on loopback that shows `certificate` and answers 404; its URL.
fn server(certificate: &str) -> String {
    // PKCS #8 of an Ed25519 key (RFC 8410): the seed is 32 times 0x44.
    let key =
        [&b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &[0x44; 32]].concat();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key)))
        .expect("a certificate of this key");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream, &config)));
    url
}

/// Whoever does not like the certificate hangs up.
fn answer(stream: TcpStream, config: &Arc<ServerConfig>) {
    let tls = ServerConnection::new(Arc::clone(config)).expect("a connection");
    let mut reader = BufReader::new(StreamOwned::new(tls, stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let answer = b"HTTP/1.1 404 x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhere";
    let _ = reader.get_mut().write_all(answer);
}

fn pin(trusted: &str, url: &str) -> Ran {
    let world = World::new().env("SSL_CERT_FILE", "trusted.pem");
    world.file("trusted.pem", trusted.as_bytes());
    let start = Instant::now();
    let ran = world.run(&["policy", "pin", url, "--yes", "--timeout", "60s"]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?} {ran:#?}", start.elapsed());
    ran
}

#[test]
fn a_certificate_that_does_not_fit_is_told_at_once() {
    // That everything else fits is shown by an answer.
    pin(AUTHORITY, &server(FITTING)).expect(2, &["answers 404: here"]);
    for (trusted, certificate, why) in [
        (AUTHORITY, FOR_ANOTHER_HOST, "certificate not valid for name"),
        (AUTHORITY, EXPIRED, "expired"),
        (FOR_ANOTHER_HOST, FITTING, "UnknownIssuer"),
    ] {
        let ran = pin(trusted, &server(certificate));
        ran.expect(
            2,
            &["error: no trustworthy connection to `https://127.0.0.1:", why, "hint: check the host"],
        );
        assert!(!ran.stderr.contains("trying again"), "{ran:#?}");
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // What a plain web server says to a first message that is none of HTTP.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let ran = pin(AUTHORITY, &url);
    ran.expect(2, &["no trustworthy connection", "is it an https one?"]);
    assert!(!ran.stderr.contains("trying again"), "{ran:#?}");
}

/// Self-signed, `CN=ca.example.com`; all of these are valid from 2020.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBFDCBx6ADAgECAgEBMAUGAytlcDAZMRcwFQYDVQQDDA5jYS5leGFtcGxlLmNv
bTAgFw0yMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowGTEXMBUGA1UEAwwO
Y2EuZXhhbXBsZS5jb20wKjAFBgMrZXADIQDGgiY3x9MQ7Fdie+ALolnSU3SfSq9k
RHDP++U6NfcyQqMyMDAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUeIroELOY
3px7YYcZvbCvRy+ST+AwBQYDK2VwA0EAOYFsTOKw4tTijRlbNNod3TYs1wM4AM1h
UEPqnyDe1B2TfGttpV0YtWe2wV3NS4o/3gFvaX6gGrWm62hV1BopCw==
-----END CERTIFICATE-----
";
/// By the authority, for 127.0.0.1, until 2100.
const FITTING: &str = "\
-----BEGIN CERTIFICATE-----
MIIBKzCB3qADAgECAgECMAUGAytlcDAZMRcwFQYDVQQDDA5jYS5leGFtcGxlLmNv
bTAgFw0yMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowDzENMAsGA1UEAwwE
bGVhZjAqMAUGAytlcAMhANdZeTu8E6KBmoJ8dq22+6ikmu4Af0ny0JktmbglrSxI
o1MwUTAPBgNVHREECDAGhwR/AAABMB0GA1UdDgQWBBQ6YFTRO8RPMBf2Brg6WUmF
w5HLWzAfBgNVHSMEGDAWgBR4iugQs5jenHthhxm9sK9HL5JP4DAFBgMrZXADQQAj
3jE5aT4r43PJNxqLh0zW7ECqS0x43KaMH60wbskndjT5n8XwQ+h8lm1Iv0InOUUp
GaCZRs9++Qd6MibsLOMI
-----END CERTIFICATE-----
";
/// By the authority, for other.example.com, until 2100.
const FOR_ANOTHER_HOST: &str = "\
-----BEGIN CERTIFICATE-----
MIIBODCB66ADAgECAgEDMAUGAytlcDAZMRcwFQYDVQQDDA5jYS5leGFtcGxlLmNv
bTAgFw0yMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowDzENMAsGA1UEAwwE
bGVhZjAqMAUGAytlcAMhANdZeTu8E6KBmoJ8dq22+6ikmu4Af0ny0JktmbglrSxI
o2AwXjAcBgNVHREEFTATghFvdGhlci5leGFtcGxlLmNvbTAdBgNVHQ4EFgQUOmBU
0TvETzAX9ga4OllJhcORy1swHwYDVR0jBBgwFoAUeIroELOY3px7YYcZvbCvRy+S
T+AwBQYDK2VwA0EAJ+vzwPbdjTHVNHLcTC7a++X/buOJe5+gvXUEUjp4T/FJF5rS
eUOpItTXhu9HuBw743JeXDgpdNUKtWCmwtGsAw==
-----END CERTIFICATE-----
";
/// By the authority, for 127.0.0.1, until 2021.
const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBKTCB3KADAgECAgEEMAUGAytlcDAZMRcwFQYDVQQDDA5jYS5leGFtcGxlLmNv
bTAeFw0yMDAxMDEwMDAwMDBaFw0yMTAxMDEwMDAwMDBaMA8xDTALBgNVBAMMBGxl
YWYwKjAFBgMrZXADIQDXWXk7vBOigZqCfHattvuopJruAH9J8tCZLZm4Ja0sSKNT
MFEwDwYDVR0RBAgwBocEfwAAATAdBgNVHQ4EFgQUOmBU0TvETzAX9ga4OllJhcOR
y1swHwYDVR0jBBgwFoAUeIroELOY3px7YYcZvbCvRy+ST+AwBQYDK2VwA0EAXn79
5HgcWacOhzgySJ4iEF1jfrtV1byiEjlphbHxJhTFFdPl5estlFVTmbo/fzzimXO6
rQtJqRJJ3mhlngtFAw==
-----END CERTIFICATE-----
";
