//! `policy check` and `policy show`; `policy pin` is in `network`.

use crate::world::{World, log_key, policy};

#[test]
fn check_prints_what_a_policy_asks_for() {
    let world = World::new();
    world.file("policy", policy().as_bytes());
    world.file(
        "alone",
        format!("log {} https://log.example.com\nquorum none\n", log_key().verifier()).as_bytes(),
    );
    world.file("nothing", b"quorum none\n");
    world.file("broken", b"log x\n");
    world.transcript(
        "
$ aip-attest policy check policy
? 0
log      log.example.com/pipelines+1d6673ac+AdBKsjJ0K7SrOhNovUYV5ObQIkq3GgFrr4UgozLJd4c3
witness  w  witness.example.com+e5941423+BKCapfR6Z1mAL/lV+NwtKhSlyZ0jvpf4ZBJ/+Tg0VaTw
quorum   w  met by no fewer than 1 cosignatures
sha256:[..]

$ aip-attest policy check alone
? 0
log      log.example.com/pipelines+1d6673ac+AdBKsjJ0K7SrOhNovUYV5ObQIkq3GgFrr4UgozLJd4c3  https://log.example.com
quorum   none
sha256:[..]
! warning: the policy needs no witness: a log that shows people different trees is not found out

$ aip-attest policy check nothing
? 0
quorum   none
sha256:[..]
! warning: the policy names no log: nothing passes it
! warning: the policy needs no witness: a log that shows people different trees is not found out

$ aip-attest policy check broken
? 2
! error: cannot use the policy `broken`
!   caused by: policy line 1: [..]

$ aip-attest policy check
? 2
! error: no policy is named
! hint: name a file

$ aip-attest policy show
? 0
! note: no log is pinned
! hint: `aip-attest policy pin URL` pins one

$ aip-attest policy show log.example.com/pipelines
? 2
! error: no log `log.example.com/pipelines` is pinned
! hint: `aip-attest policy show` lists them
",
    );
    let json = world.run(&["policy", "check", "policy", "--json"]).json();
    assert_eq!((json["quorum"].as_str(), json["weakestQuorum"].as_u64()), (Some("w"), Some(1)));
}

#[test]
fn a_broken_pin_is_an_error_and_not_no_pin() {
    let world = World::with_receipt();
    world.file(".aip/pins/x.json", b"{}");
    for arguments in [&["verify", "app", "--any-signer", "--policy", "policy"][..], &["policy", "show"]] {
        world.run(arguments).expect(2, &["cannot read the pin", "remove the file"]);
    }
}
