//! `simulate`: runs seeds.

fn main() {}
