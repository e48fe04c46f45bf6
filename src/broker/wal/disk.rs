//! A directory of the real file system.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use super::storage::{File, Locked, Storage};

const LOCK: &str = "lock";

pub(crate) struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// Makes the directory if there is none; only its owner may look into it then.
    pub(crate) fn make(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        Ok(Self::at(directory))
    }

    pub(crate) fn at(directory: &Path) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Locks a directory that was locked before, and changes nothing.
    pub(crate) fn lock_if_there(&self) -> Result<Box<dyn Send>, Locked> {
        locked(fs::File::open(self.path(LOCK)).map_err(Locked::Io)?).map(|file| Box::new(file) as _)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Storage for Disk {
    fn lock(&self) -> Result<Box<dyn Send>, Locked> {
        let path = self.path(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let mut file = locked(options.open(path).map_err(Locked::Io)?)?;
        file.set_len(0).map_err(Locked::Io)?;
        writeln!(file, "{}", std::process::id()).map_err(Locked::Io)?;
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // What is not Unicode is not ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let path = self.path(name);
        let both = OpenOptions::new().read(true).write(true).open(&path);
        let file = both.or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                fs::File::open(&path)
            }
            _ => Err(error),
        })?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Box::new(options.open(self.path(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.directory)?.sync_all()
    }
}

fn locked(file: fs::File) -> Result<fs::File, Locked> {
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // Whoever has it may be about to write the number.
            let _ = file.take(20).read_to_string(&mut text);
            Err(Locked::By(text.trim().parse().ok()))
        }
        Err(error) => Err(Locked::Io(error.into())),
    }
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, to, offset)
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, from, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        match fallocate(self, FallocateFlags::empty(), 0, length) {
            // The file system has no such thing: writing finds out whether there is space.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.set_len(length.max(File::len(self)?))
            }
            done => Ok(done?),
        }
    }
}
