//! `wirebird cat`, or the program under the name `nngcat`: nngcat's command line on this library.
//!
//! Every error exits with 1, and so does `--help`, as nngcat does.

mod args;
mod drive;
mod format;
mod options;
mod run;
mod strerror;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use args::Request;
use run::run;

const HELP: &str = include_str!("help.txt");

/// Runs nngcat with `args`, which lack the name of the program.
pub(super) fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<_> = args.into_iter().map(OsString::into_encoded_bytes).collect();
    match serve(&words, &mut io::stdout().lock()) {
        Ok(exit) => exit,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(words: &[Vec<u8>], out: &mut impl Write) -> Result<ExitCode, String> {
    let written = match args::parse(words, &mut load)? {
        Request::Run(job) => return run(&job, out).map(|()| ExitCode::SUCCESS),
        Request::Help => out.write_all(HELP.as_bytes()).map(|()| ExitCode::FAILURE),
        Request::Version => {
            writeln!(out, "{}", env!("CARGO_PKG_VERSION")).map(|()| ExitCode::SUCCESS)
        }
    };
    written.map_err(|error| format!("Cannot write: {error}"))
}

/// Reads a whole file, or standard input for `-`.
fn load(path: &[u8]) -> Result<Vec<u8>, String> {
    let name = String::from_utf8_lossy(path);
    let mut content = Vec::new();
    let read = if path == b"-" {
        io::stdin().lock().read_to_end(&mut content)
    } else {
        let mut file = File::open(os_str(path)?)
            .map_err(|error| format!("Cannot open file {name}: {}", reason(&error)))?;
        file.read_to_end(&mut content)
    };
    match read {
        Ok(_) => Ok(content),
        Err(error) => Err(format!("Read from {name} failed: {}", reason(&error))),
    }
}

/// The system's text for an error, without the number that Rust adds.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].into(),
        None => text,
    }
}

#[cfg(unix)]
fn os_str(path: &[u8]) -> Result<&OsStr, String> {
    Ok(std::os::unix::ffi::OsStrExt::from_bytes(path))
}

#[cfg(not(unix))]
fn os_str(path: &[u8]) -> Result<&OsStr, String> {
    let path = std::str::from_utf8(path).map_err(|_| "The file name is not UTF-8.")?;
    Ok(OsStr::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_exits_with_1_and_version_with_0() {
        let exit = |word: &str| {
            let mut out = Vec::new();
            let exit = serve(&[word.into()], &mut out).unwrap();
            // ExitCode has no equality.
            (format!("{exit:?}"), out)
        };
        assert_eq!(
            exit("--help"),
            (format!("{:?}", ExitCode::FAILURE), HELP.into())
        );
        assert_eq!(exit("-V").0, format!("{:?}", ExitCode::SUCCESS));
    }

    #[test]
    fn files_are_read_whole_and_errors_are_worded_as_nngcats() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        std::fs::write(&path, b"a\0b\n").unwrap();
        let bytes = |path: &std::path::Path| path.as_os_str().as_encoded_bytes().to_vec();
        assert_eq!(load(&bytes(&path)).unwrap(), b"a\0b\n");
        assert_eq!(
            load(b"/nonexistent").unwrap_err(),
            "Cannot open file /nonexistent: No such file or directory"
        );
        assert!(
            load(&bytes(directory.path()))
                .unwrap_err()
                .ends_with("failed: Is a directory")
        );
    }
}
