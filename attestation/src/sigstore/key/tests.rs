use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use proptest::prelude::*;
use tlog::key::Ed25519PrivateKey;

use super::*;

const EC: &str = include_str!("../../../../specs/vectors/sigstore/ec.pub");
const ED: &str = include_str!("../../../../specs/vectors/sigstore/ed.pub");

fn p256_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).expect("a scalar")
}

fn public(key: &SigningKey) -> SpkiKey {
    SpkiKey::P256(Box::new(*key.verifying_key()))
}

#[test]
fn keys_are_read_from_pem_and_der_and_written_as_openssl_writes_them() {
    for pem in [EC, ED] {
        let key = SpkiKey::parse(pem.as_bytes()).expect("a key");
        assert_eq!(key.to_pem(), pem);
        assert_eq!(SpkiKey::parse(&key.to_der()), Ok(key.clone()));
        // What an editor or a checkout makes of it.
        for same in [pem.replace('\n', "\r\n"), pem.trim_end().to_owned(), format!("{pem}\n\n")] {
            assert_eq!(SpkiKey::parse(same.as_bytes()), Ok(key.clone()), "{same:?}");
        }
    }
}

#[test]
fn other_spellings_and_other_keys_are_refused() {
    for (name, file) in [
        ("two keys", format!("{EC}{ED}").into_bytes()),
        ("text before", format!("x\n{EC}").into_bytes()),
        ("private key", EC.replace("PUBLIC", "PRIVATE").into_bytes()),
        ("certificate", EC.replace("PUBLIC KEY", "CERTIFICATE").into_bytes()),
        ("cut", EC.as_bytes()[..120].to_vec()),
        ("no padding", EC.replace('=', "").into_bytes()),
        ("empty", Vec::new()),
        ("not UTF-8", b"-----BEGIN PUBLIC KEY-----\n\xff".to_vec()),
    ] {
        assert!(SpkiKey::parse(&file).is_err(), "{name}");
    }
    let key = SpkiKey::parse(EC.as_bytes()).expect("a key");
    let der = key.to_der();
    assert_eq!(SpkiKey::from_der(&[&der[..], &[0]].concat()), Err(KeyError::Kind), "a byte behind");
    assert_eq!(SpkiKey::from_der(&der[..der.len() - 1]), Err(KeyError::Kind), "cut");
    // The same point, compressed: another spelling of the key, so another id of a log.
    let SpkiKey::P256(point) = &key else { panic!("P-256") };
    let compressed = point.to_sec1_point(true);
    let mut head = P256_HEAD.to_vec();
    (head[1], head[24]) = (0x39, 0x22);
    assert_eq!(SpkiKey::from_der(&[&head[..], compressed.as_bytes()].concat()), Err(KeyError::Kind));
    for (name, first) in [("compressed", 2), ("hybrid", 6), ("infinity", 0)] {
        let mut point = der.clone();
        point[P256_HEAD.len()] = first;
        assert_eq!(SpkiKey::from_der(&point), Err(KeyError::NotOnCurve), "{name}");
    }
    let mut off = der;
    *off.last_mut().expect("bytes") ^= 1;
    assert_eq!(SpkiKey::from_der(&off), Err(KeyError::NotOnCurve), "off the curve");
    // P-384: the head differs from its second byte on.
    let p384 = hex::decode("3076301006072a8648ce3d020106052b81040022036200").expect("hex");
    assert_eq!(SpkiKey::from_der(&[&p384[..], &[4; 97]].concat()), Err(KeyError::Kind));
    // A key that anybody can sign with.
    let small = [ED25519_HEAD, &[0; 32]].concat();
    assert!(matches!(SpkiKey::from_der(&small), Err(KeyError::Ed25519(_))));
}

/// cosign takes both signatures of a message, (r, s) and (r, n - s), and so do we. Every other change is refused.
#[test]
fn a_signature_with_a_high_s_verifies_and_a_changed_one_does_not() {
    let key = p256_key();
    let signature: Signature = key.sign(b"message");
    let high = Signature::from_scalars(signature.r(), -signature.s()).expect("a signature");
    let public = public(&key);
    let (low, high) = (signature.to_der().to_bytes(), high.to_der().to_bytes());
    assert_ne!(low, high);
    for der in [&low, &high] {
        assert!(public.verify(b"message", der));
        assert!(public.verify_sha256(&Hash::of(b"message"), der));
        assert!(!public.verify(b"another", der));
        for at in 0..der.len() {
            for bit in 0..8 {
                let mut flipped = der.to_vec();
                flipped[at] ^= 1 << bit;
                assert!(!public.verify(b"message", &flipped), "bit {bit} of byte {at}");
            }
        }
        assert!(!public.verify(b"message", &[&der[..], &[0]].concat()), "a byte behind");
        // BER: a length in the long form, a zero before r.
        let long = [&[0x30, 0x81, der[1]], &der[2..]].concat();
        assert!(!public.verify(b"message", &long), "a length in the long form");
        let r = usize::from(der[3]);
        let padded = [&[0x30, der[1] + 1, 2, der[3] + 1, 0], &der[4..4 + r], &der[4 + r..]].concat();
        assert!(!public.verify(b"message", &padded), "a zero too many before r");
    }
    // Raw r and s, as JOSE has them.
    assert!(!public.verify(b"message", &signature.to_bytes()));
    let zero = [0x30, 6, 2, 1, 0, 2, 1, 0];
    assert!(!public.verify(b"message", &zero), "r and s are 0");
}

#[test]
fn ed25519_signs_no_digest() {
    let key = Ed25519PrivateKey::from_seed(&[7; 32]);
    let public = SpkiKey::Ed25519(key.public_key());
    let digest = Hash::of(b"message");
    assert!(public.verify(b"message", &key.sign(b"message")));
    assert!(!public.verify_sha256(&digest, &key.sign(digest.as_bytes())));
    assert!(!public.verify_sha256(&digest, &key.sign(b"message")));
    assert!(!public.verify(b"message", &key.sign(b"message")[..63]));
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in 0..3_usize) {
        let bytes = [[&[], ED25519_HEAD, P256_HEAD][head], &bytes].concat();
        let _ = SpkiKey::from_der(&bytes);
        let _ = SpkiKey::parse(&bytes);
        let _ = SpkiKey::parse(&[b"-----BEGIN PUBLIC KEY-----\n".as_slice(), &bytes].concat());
        let _ = public(&p256_key()).verify(b"message", &bytes);
    }
}
