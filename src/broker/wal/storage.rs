//! What the log wants of a file system: the directory of the log, and files in it by name.

use std::io;

use super::window::PIECE;

/// A directory. A name that was made, changed or removed is sure to stay so only after [`sync_dir`](Self::sync_dir).
pub(crate) trait Storage: Send + Sync {
    /// Keeps other processes out as long as what it returns is there.
    fn lock(&self) -> Result<Box<dyn Send>, Locked>;
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file that is there, for reading and, where that is allowed, writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// Makes a file that was not there.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// Replaces what has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_dir(&self) -> io::Result<()>;
}

/// A file. What was written is sure to stay only after [`sync_data`](Self::sync_data).
pub(crate) trait File: Send {
    fn len(&self) -> io::Result<u64>;
    /// May read less than there is.
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize>;
    /// How much of a long file is read at once.
    fn piece(&self) -> usize {
        PIECE
    }
    /// May write less than it is given.
    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize>;
    /// Data, and what is needed to find it, such as the length.
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Makes it this long if it is shorter, with space that is sure to be there.
    fn preallocate(&self, length: u64) -> io::Result<()>;
}

/// Why a directory cannot be locked.
#[derive(Debug)]
pub(crate) enum Locked {
    /// Another process has it; its number if that can be read.
    By(Option<u32>),
    Io(io::Error),
}

/// Reads up to `most` bytes from the front of a file into `to`.
pub(super) fn read_up_to(file: &dyn File, most: u64, to: &mut Vec<u8>) -> io::Result<()> {
    let length = usize::try_from(file.len()?.min(most)).map_err(io::Error::other)?;
    if to.len() < length {
        // What was there is gone before there is more, and nothing is filled in that is read over.
        *to = Vec::new();
        *to = vec![0; length];
    }
    to.truncate(length);
    let mut done = 0;
    while done < length {
        match file.read_at(to.get_mut(done..).unwrap_or_default(), done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    to.truncate(done);
    Ok(())
}

pub(super) fn write_all_at(file: &dyn File, from: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
