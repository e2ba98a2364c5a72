//! Where the grants of sign-ins are kept: a file for each connection, of mode 600, in a folder of mode 700 beside the ledger.
//!
//! The law: what [`connectors::oauth::Vault::store`] was given is on disk, whole, when it returns: written beside, synced,
//! renamed over, and the folder synced. A file that others may read is refused. The daemon and `loopd auth` use the same
//! files: a lock beside each, held by the kernel for a process as long as it lives, says who renews.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::oauth::{NoVault, Vault};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use secrecy::{ExposeSecret, SecretString};

/// The vault of each connection, by its name.
pub type Vaults = Arc<dyn Fn(&str) -> Arc<dyn Vault> + Send + Sync>;

/// A grant is a few hundred bytes; a token may be a few thousand.
const LARGEST: u64 = 1024 * 1024;

/// Files in a folder, which is made when it is needed.
pub fn files(folder: &Path) -> Vaults {
    let folder = folder.to_owned();
    Arc::new(move |name| Arc::new(FileVault { folder: folder.clone(), name: name.to_owned() }))
}

/// For a house whose connections all keep the credentials that they are given.
pub fn none() -> Vaults {
    Arc::new(|_| Arc::new(NoVault))
}

/// One connection's file. Names of connections hold letters, digits, `-` and `_` only.
pub struct FileVault {
    folder: PathBuf,
    name: String,
}

impl FileVault {
    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    fn make_folder(&self) -> Result<(), String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| format!("{}: {error}", self.folder.display()))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let path = self.path();
        let beside = self.folder.join(format!("{}.json.new", self.name));
        // What a crash left there may have been opened by somebody since: begin with a file of our own.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}

impl Vault for FileVault {
    fn load(&self) -> Result<Option<SecretString>, String> {
        let path = self.path();
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(told(error)),
        };
        let mode = file.metadata().map_err(told)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!(
                "{} may be read by others (mode {mode:o}), so its tokens are not used: chmod 600 it, or better, sign in again",
                path.display()
            ));
        }
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).map_err(told)?;
        Ok(Some(SecretString::from(text)))
    }

    fn store(&self, grant: &SecretString) -> Result<(), String> {
        self.make_folder()?;
        self.write(grant.expose_secret()).map_err(|error| format!("{}: {error}", self.path().display()))
    }

    fn forget(&self) -> Result<(), String> {
        let told = |error: io::Error| format!("{}: {error}", self.path().display());
        match fs::remove_file(self.path()) {
            Ok(()) => File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(told),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    fn stamp(&self) -> u64 {
        let Ok(there) = fs::metadata(self.path()) else { return 0 };
        let mut stamp = DefaultHasher::new();
        (there.ino(), there.mtime(), there.mtime_nsec(), there.ctime(), there.ctime_nsec(), there.len())
            .hash(&mut stamp);
        stamp.finish()
    }

    fn lock(&self) -> Result<Option<Box<dyn Send>>, String> {
        self.make_folder()?;
        let path = self.folder.join(format!("{}.lock", self.name));
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(told)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(told(error.into())),
        }
    }

    fn command(&self) -> String {
        format!("loopd auth {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path) -> Arc<dyn Vault> {
        files(folder)("acme")
    }

    #[test]
    fn what_is_stored_is_there_whole_and_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("sign-ins");
        let one = vault(&place);
        assert!(one.load().expect("readable").is_none());
        assert_eq!(one.stamp(), 0);
        for text in ["first", "a second, longer one", "3"] {
            let before = one.stamp();
            one.store(&SecretString::from(text)).expect("stored");
            assert_ne!(one.stamp(), before, "others see that it changed");
            let other = vault(&place);
            assert_eq!(other.load().expect("readable").expect("there").expose_secret(), text);
        }
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join("acme.json"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&place).expect("there").count(), 1, "nothing is left beside it");
        one.forget().expect("forgotten");
        one.forget().expect("twice does no harm");
        assert!(one.load().expect("readable").is_none());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let one = vault(folder.path());
        one.store(&SecretString::from("x")).expect("stored");
        let path = folder.path().join("acme.json");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        assert!(one.load().expect_err("refused").contains("mode 644"));
        one.store(&SecretString::from("y")).expect("a new sign-in mends it");
        assert!(one.load().is_ok());
    }

    #[test]
    fn one_renews_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (vault(folder.path()), vault(folder.path()));
        let held = one.lock().expect("a lock").expect("free");
        assert!(other.lock().expect("a lock").is_none());
        drop(held);
        assert!(other.lock().expect("a lock").is_some());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let in_the_way = folder.path().join("sign-ins");
        fs::write(&in_the_way, "a file").expect("written");
        let why = vault(&in_the_way).store(&SecretString::from("x")).expect_err("no folder");
        assert!(why.contains("sign-ins"), "{why}");
    }
}
