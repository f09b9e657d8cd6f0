//! Numbers in predicates: what Python, JavaScript and this project's own writer print of a double is taken for signing, and
//! stays the number that it was (RFC 8785 section 3.2.2.3).

use std::fs;
use std::process::Command;

use attestation::json::parse_exact;
use serde_json::Value;
use testkit::chance::Chance;

/// Of random doubles of every exponent, and of ties: only odd multiples of 1/4 from 2^50 to 2^51 lie halfway
/// between two texts of 17 digits, the fewest that tell them apart.
fn doubles() -> Vec<f64> {
    let mut chance = Chance::new(8785);
    let mut doubles = vec![0.0, 5e-324, f64::MAX, f64::MIN_POSITIVE, 9007199254740992.0, 1e20, 1e21, 1e22];
    while doubles.len() < 1_000_000 {
        let bits = chance.below(u64::MAX);
        let random = f64::from_bits(bits);
        if random.is_finite() {
            doubles.push(random);
        }
        doubles.push((((1_u64 << 52) + (bits >> 12)) | 1) as f64 / 4.0);
    }
    doubles
}

/// Runs an interpreter on the doubles' bytes, little-endian; a line of text for each. `None` where there is none.
fn printed_by(program: &str, arguments: [&str; 2], doubles: &[f64]) -> Option<Vec<String>> {
    if !Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: there is no {program}");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("doubles");
    let bytes: Vec<u8> = doubles.iter().flat_map(|double| double.to_le_bytes()).collect();
    fs::write(&path, bytes).expect("written");
    let output = Command::new(program).args(arguments).arg(&path).output().expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    Some(lines.lines().map(str::to_owned).collect())
}

#[track_caller]
fn assert_taken(who: &str, doubles: &[f64], texts: &[String]) {
    assert_eq!(texts.len(), doubles.len(), "{who}");
    for (double, text) in doubles.iter().zip(texts) {
        let taken = parse_exact(text.as_bytes()).unwrap_or_else(|error| panic!("{who} {double:e}: {error}"));
        let signed = serde_json::to_string(&taken).expect("JSON");
        // JavaScript writes -0 as 0.
        let same = signed
            .parse::<f64>()
            .is_ok_and(|back| back.to_bits() == double.to_bits() || back == 0.0 && *double == 0.0);
        assert!(same, "{who} {double:e}: {text} is signed as {signed}");
    }
}

#[test]
fn what_python_and_javascript_print_of_a_double_is_signed_as_the_same_number() {
    let doubles = doubles();
    let ours: Vec<String> = doubles.iter().map(|double| Value::from(*double).to_string()).collect();
    assert_taken("our writer", &doubles, &ours);
    let python = "import array,sys\na=array.array('d'); f=open(sys.argv[1],'rb'); a.frombytes(f.read())\n\
                  if sys.byteorder!='little': a.byteswap()\nfor x in a: print(repr(x))";
    if let Some(texts) = printed_by("python3", ["-c", python], &doubles) {
        assert_taken("Python", &doubles, &texts);
    }
    let javascript = "const b=require('fs').readFileSync(process.argv[1]);const o=[];\
                      for(let i=0;i<b.length;i+=8)o.push(String(b.readDoubleLE(i)));console.log(o.join('\\n'))";
    if let Some(texts) = printed_by("node", ["-e", javascript], &doubles) {
        assert_taken("JavaScript", &doubles, &texts);
    }
}
