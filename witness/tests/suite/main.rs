//! The witness from outside: over HTTP without a socket, and as the program.

mod crash;
mod damage;
mod durability;
mod findings;
mod flips;
mod program;
mod protocol;
mod races;
mod server;
mod vectors;
mod world;
