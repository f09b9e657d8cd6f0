//! `aip`: the same program under the name of the Python original.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    aip_attest::main()
}
