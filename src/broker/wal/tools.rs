//! What looks at a log, or repairs it, without a broker.

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::error::{DIRECTORY, WalError, io_error};
use super::format::segment_name;
use super::operation::Operation;
use super::options::Options;
use super::recover::Recovered;
use super::report::Report;
use super::seal::Key;
use super::storage::{Locked, Storage};
use super::survey::survey;

/// An operation of a log, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dumped<'a> {
    /// The file's name in the directory.
    pub file: &'a str,
    /// Where its record begins.
    pub offset: u64,
    /// The number of its record.
    pub record: u64,
    /// The operation.
    pub operation: Operation<'a>,
}

/// Reads the log in a directory, and says what opening it would find. Changes nothing.
///
/// ```
/// let directory = tempfile::tempdir()?;
/// let report = wirebird::broker::wal::check(directory.path(), None)?;
/// assert!(report.is_sound() && report.records == 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If the directory cannot be read or is in use, if a key is needed or is the wrong one, and if a later version has
/// written it. Damage is no error.
pub fn check(directory: impl AsRef<Path>, key: Option<&Key>) -> Result<Report, WalError> {
    dump(directory, key, |_| {})
}

/// Reads the log in a directory, and passes on each operation of its sound records, in their order. Changes nothing.
///
/// # Errors
///
/// As [`check`].
pub fn dump(
    directory: impl AsRef<Path>,
    key: Option<&Key>,
    each: impl FnMut(Dumped<'_>),
) -> Result<Report, WalError> {
    let directory = directory.as_ref();
    dumped(&Disk::at(directory), key, each).map_err(|error| error.within(directory))
}

fn dumped(
    disk: &Disk,
    key: Option<&Key>,
    mut each: impl FnMut(Dumped<'_>),
) -> Result<Report, WalError> {
    // What cannot be written to needs no lock.
    let _lock = match disk.lock_if_there() {
        Err(Locked::By(pid)) => return Err(WalError::InUse { pid }),
        locked => locked.ok(),
    };
    let mut file = (0, String::new());
    let survey = survey(disk, key, &mut |seen| {
        if file.0 != seen.segment {
            file = (seen.segment, segment_name(seen.segment));
        }
        each(Dumped {
            file: &file.1,
            offset: seen.offset,
            record: seen.record,
            operation: seen.operation,
        });
    })?;
    Ok(survey.report)
}

/// Opens the log in a directory as a broker would, and closes it: what is damaged is copied to side files, a torn end is
/// cut, and further openings, also strict ones, know what is missing.
///
/// # Errors
///
/// As [`check`], and if the directory cannot be written to.
pub fn repair(directory: impl AsRef<Path>, key: Option<&Key>) -> Result<Report, WalError> {
    let directory = directory.as_ref();
    repaired(Disk::at(directory), key).map_err(|error| error.within(directory))
}

fn repaired(disk: Disk, key: Option<&Key>) -> Result<Report, WalError> {
    // What is not there is not made.
    disk.list().map_err(io_error("list", DIRECTORY))?;
    let options = Options {
        key: key.cloned(),
        segment_bytes: 1 << 20,
        background: false,
        ..Options::default()
    };
    let mut recovered = Recovered::open(Arc::new(disk), options)?;
    recovered.put_right()?;
    let report = recovered.report().clone();
    recovered.start(Box::new(|| {}))?;
    Ok(report)
}
