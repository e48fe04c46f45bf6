//! nngcat and `wirebird cat` side by side.

use std::os::unix::fs::symlink;
use std::thread;

use super::{Finished, Program};

/// Does the same with nngcat, with `wirebird cat`, and with a link to our program that is called nngcat.
pub(crate) fn with_each(check: impl Fn(&Program) + Sync) {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("nngcat");
    symlink(env!("CARGO_BIN_EXE_wirebird"), &link).unwrap();
    let programs = [
        Program::nngcat(),
        Program::wirebird_cat(),
        Program::at(&link),
    ];
    thread::scope(|scope| {
        for program in &programs {
            let check = &check;
            scope.spawn(move || check(program));
        }
    });
}

pub(crate) fn run_both(line: &str) -> [Finished; 2] {
    [Program::nngcat(), Program::wirebird_cat()].map(|program| program.run(line.split(' ')))
}
