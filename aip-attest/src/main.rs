//! `aip-attest`: sign what a pipeline builds, log it, and verify it offline.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    aip_attest::main()
}
