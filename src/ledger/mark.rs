//! What was known to be on disk when the ledger was last synced, in a file of its own (`mark`) in the ledger's folder.
//! sled mends what it opens by cutting off what it cannot read; so a ledger that has lost something is refused before sled
//! gets hold of it.
//!
//! Laws:
//! - A mark is written after what it tells of is on disk. So one that is older than the ledger (a kill, a power loss) never
//!   makes a whole ledger refused, and no sync waits for it.
//! - *Closed in order*: the sum over every file is in the mark. Any other sum is refused. The sum is taken out, durably,
//!   before sled opens the files.
//! - *Not closed in order*: the database is at least as long as it was, and holds the epoch of the last sync. sled gives
//!   back room at the end of its file, so a shorter one is first read, whole, in a copy.
//! - No mark, or one that cannot be read, claims nothing. Whoever knows better than it may remove it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = "mark";

/// What a mark says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Counts syncs; the same number stands in the database.
    pub epoch: u64,
    /// Of the database's file, in bytes.
    pub length: u64,
    /// Over every file. `None`: not closed in order.
    pub sum: Option<u32>,
}

impl Mark {
    /// `None`: there is none that can be read.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(NAME)).ok()?;
        let (said, check) = text.trim_end().rsplit_once(' ')?;
        if u32::from_str_radix(check, 16).ok()? != crc32fast::hash(said.as_bytes()) {
            return None;
        }
        let mut parts = said.split(' ');
        let (epoch, length, sum) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        let sum = if sum == OPEN { None } else { Some(u32::from_str_radix(sum, 16).ok()?) };
        Some(Self { epoch, length, sum })
    }

    /// Always the same number of bytes, in one write over the old ones.
    pub(super) fn write(self, to: &File) -> io::Result<()> {
        let sum = self.sum.map_or_else(|| OPEN.to_owned(), |sum| format!("{sum:08x}"));
        let said = format!("{:020} {:020} {sum}", self.epoch, self.length);
        to.write_all_at(format!("{said} {:08x}\n", crc32fast::hash(said.as_bytes())).as_bytes(), 0)
    }
}

const OPEN: &str = "--------";

/// The file of the mark, made if there is none.
pub(super) fn file(folder: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(folder.join(NAME))
}

/// The sum over every file of sled's: names, lengths, contents. With `sync`, each is brought to disk on the way.
pub(super) fn sum(folder: &Path, sync: bool) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    for name in files(folder)? {
        let mut file = File::open(folder.join(&name))?;
        if sync {
            file.sync_all()?;
        }
        hasher.update(name.as_os_str().as_encoded_bytes());
        hasher.update(&file.metadata()?.len().to_be_bytes());
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
    }
    Ok(hasher.finalize())
}

/// Copies sled's files.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for name in files(from)? {
        if let Some(parent) = name.parent() {
            std::fs::create_dir_all(to.join(parent))?;
        }
        std::fs::copy(from.join(&name), to.join(&name))?;
    }
    Ok(())
}

/// The files that are sled's, by their names from the folder, in order. What else stands there (a mount's `lost+found`) is
/// none of ours.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name == "conf" || name == "db" || name.as_encoded_bytes().starts_with(b"snap.") {
            found.push(PathBuf::from(name));
        }
    }
    let blobs = Path::new("blobs");
    match std::fs::read_dir(folder.join(blobs)) {
        Ok(entries) => {
            for entry in entries {
                found.push(blobs.join(entry?.file_name()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    found.sort();
    Ok(found)
}
