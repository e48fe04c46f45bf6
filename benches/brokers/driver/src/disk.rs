//! What the disk can do: records of a group written by one call, and then synced.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::load::{Figures, Work, run as load};
use crate::{Args, Result};

/// As many bytes are there before, so that a sync only writes data.
const PREPARED: u64 = 64 << 20;

struct Log {
    file: std::fs::File,
    group: Vec<u8>,
    records: u64,
    at: u64,
}

impl Log {
    fn new(args: &Args, _: usize) -> Result<Self> {
        let path = Path::new(&args.address).join("raw.log");
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)?;
        let zeros = vec![0; 1 << 20];
        for at in (0..PREPARED).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Self {
            file,
            group: args.body().repeat(args.window),
            records: args.window as u64,
            at: 0,
        })
    }
}

impl Work for Log {
    fn round(&mut self) -> Result<u64> {
        if self.at + self.group.len() as u64 > PREPARED {
            self.at = 0;
        }
        self.file.write_all_at(&self.group, self.at)?;
        self.file.sync_data()?;
        self.at += self.group.len() as u64;
        Ok(self.records)
    }
}

/// `connections` is the size of a group.
pub fn run(args: &Args) -> Result<Figures> {
    let alone = Args {
        connections: 1,
        window: args.connections,
        ..args.clone()
    };
    load(&alone, Log::new)
}
