//! A project directory: an inventory, and the files that keddah puts beside it.

use crate::ensure;
use crate::failure::Outcome;
use std::path::{Path, PathBuf};

/// A directory with an inventory of its own.
#[derive(Debug)]
pub struct Project {
    /// The directory.
    pub directory: PathBuf,
}

impl Project {
    /// Makes it anew, with this inventory.
    pub fn new(directory: PathBuf, inventory: &str) -> Outcome<Self> {
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        let project = Self { directory: directory.canonicalize()? };
        project.write(inventory)?;
        Ok(project)
    }

    /// The inventory's path.
    pub fn inventory(&self) -> PathBuf {
        self.directory.join("keddah.yml")
    }

    /// The inventory's text.
    pub fn text(&self) -> Outcome<String> {
        Ok(std::fs::read_to_string(self.inventory())?)
    }

    /// Replaces the inventory. Only its owner may read it: it holds passwords.
    pub fn write(&self, text: &str) -> Outcome {
        std::fs::write(self.inventory(), text)?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        Ok(std::fs::set_permissions(self.inventory(), private)?)
    }

    /// Replaces one place of the inventory.
    pub fn edit(&self, from: &str, to: &str) -> Outcome {
        let text = self.text()?;
        let found = text.matches(from).count();
        ensure!(found == 1, "the scenario edits `{from}`, which the inventory has {found} times");
        self.write(&text.replacen(from, to, 1))
    }

    /// The CA's certificate, for clients.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("files/pki/ca/ca.crt")
    }
}

/// A file of the repository, found from the current directory upwards.
pub fn repository_file(path: &str) -> Outcome<String> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().map(|up| up.join(path)).find(|path| path.is_file());
    ensure!(found.is_some(), "{path} is not found from {} upwards", here.display());
    Ok(std::fs::read_to_string(found.unwrap_or_else(|| Path::new(path).into()))?)
}
