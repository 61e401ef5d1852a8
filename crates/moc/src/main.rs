//! The Network M/OC.
fn main() {}
