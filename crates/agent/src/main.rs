//! The program `tamarack-agent`.

fn main() {}
