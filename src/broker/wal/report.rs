//! What opening a log has found.

/// What opening, checking or repairing a log has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Segment files that were read.
    pub segments: u64,
    /// Sound records in them.
    pub records: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Queues that there are.
    pub queues: u64,
    /// Live items in them.
    pub items: u64,
    /// Queues whose name is lost. They have the names `recovered/` and their number.
    pub nameless: Vec<u32>,
    /// The end that a crash has left half-written.
    pub torn: Option<Cut>,
    /// Records that a crash has kept from being written though later ones were: nobody was told that they are kept.
    pub unwritten: Vec<(u64, u64)>,
    /// What was written and is damaged or missing.
    pub damage: Vec<Damage>,
    /// Records that earlier openings have reported as missing.
    pub known: Vec<(u64, u64)>,
}

/// Where a file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// The file's name in the directory.
    pub file: String,
    /// Where it was cut, in bytes.
    pub offset: u64,
}

/// A part of the log that was written and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file's name in the directory, or the file that follows those that are missing.
    pub file: String,
    /// Where in it the damage begins.
    pub offset: u64,
    /// How many bytes it has; 0 if a file is missing.
    pub length: u64,
    /// The first and the last record that are missing. The last is less than the first if none is, as when only a
    /// file's header is damaged.
    pub records: (u64, u64),
    /// The file that the bytes were copied to.
    pub side_file: Option<String>,
}

impl Report {
    /// Whether nothing that was kept is missing. A torn end is no damage.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}
