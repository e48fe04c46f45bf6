//! The `wirebird` command.
fn main() {}
