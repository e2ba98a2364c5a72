//! What configuration needs of the machine: files, the environment, systemd's credentials.

use std::io;
use std::path::{Path, PathBuf};

/// Handed in, so that reading configuration is pure.
pub trait World: Send + Sync {
    fn read(&self, path: &Path) -> io::Result<String>;
    /// A folder's files of this extension (`toml`), sorted by name.
    fn list(&self, folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>>;
    fn env(&self, name: &str) -> Option<String>;
    /// Where systemd puts what `LoadCredential=` names.
    fn credentials(&self) -> Option<PathBuf>;
}

/// The machine itself.
pub struct Machine;

impl World for Machine {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn list(&self, folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if !hidden && path.extension().is_some_and(|own| own == extension) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn credentials(&self) -> Option<PathBuf> {
        std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
    }
}
