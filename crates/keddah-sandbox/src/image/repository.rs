//! A package repository with exactly what the nodes need, from the machine's own mirror.
//!
//! The index entries are the mirror's own, which apt has checked against Debian's signatures, so a
//! package that was damaged on its way is refused by the node that installs it.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, FileContext, Result};
use crate::image::apt::{Apt, Mirror, field, index_entries};
use crate::image::{Suite, recipe};
use crate::process::{output, stream, tool};

/// Fills `repository` with `pool` and `dists`: the packages of the warm image and what they need on a
/// node that has the bare image.
///
/// # Errors
/// What apt says, or an index that lacks a package which apt has just downloaded.
pub(super) fn build(
    repository: &Path,
    bare: &Path,
    suite: Suite,
    mirror: &Mirror,
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    let workshop = repository.join("workshop");
    let apt = Apt::new(&workshop, &bare.join("var/lib/dpkg/status"), suite, mirror)?;
    let mut update = apt.program("apt-get");
    update.arg("update");
    stream(update, on_line)?;
    let mut download = apt.program("apt-get");
    download.args(["install", "--yes", "--download-only"]).args(recipe::served(suite));
    stream(download, on_line)?;

    let architecture = output(tool("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let index = fill_pool(repository, &apt)?;
    let directory = repository.join(format!("dists/{suite}"));
    let list = format!("main/binary-{architecture}/Packages");
    let path = directory.join(&list);
    let parent = path.parent().unwrap_or(&directory);
    fs::create_dir_all(parent).on("create", parent)?;
    fs::write(&path, &index).on("write", &path)?;
    let release = directory.join("Release");
    let text = format!(
        "Origin: Keddah\nLabel: Keddah sandbox\nSuite: {suite}\nCodename: {suite}\nDate: {}\n\
         Architectures: {architecture}\nComponents: main\n\
         Description: What sandbox nodes install\nSHA256:\n {:x} {} {list}\n",
        apt.release_date(suite)?,
        Hexadecimal(Sha256::digest(index.as_bytes()).as_slice()),
        index.len(),
    );
    fs::write(&release, text).on("write", &release)?;
    fs::remove_dir_all(&workshop).on("remove", &workshop)
}

/// Moves what was downloaded to the places that the index names; returns the index.
fn fill_pool(repository: &Path, apt: &Apt) -> Result<String> {
    let archives = apt.archives();
    let mut files = Vec::new();
    for entry in fs::read_dir(&archives).on("read", &archives)? {
        let path = entry.on("read", &archives)?.path();
        if let Some((package, version)) =
            path.file_name().and_then(|name| package_of(name.to_str()?))
        {
            files.push((package, version, path));
        }
    }
    files.sort();
    let wanted = files.iter().map(|(package, version, _)| format!("{package}={version}"));
    let shown = output(apt.program("apt-cache").arg("show").args(wanted))?;
    let entries = index_entries(&shown);
    let mut index = String::new();
    for (package, version, path) in files {
        let missing =
            || Error::PackageIndex { message: format!("{package} {version} is not in it") };
        let entry = entries.get(&(package.clone(), version.clone())).ok_or_else(missing)?;
        let place = repository.join(field(entry, "Filename").ok_or_else(missing)?);
        let parent = place.parent().unwrap_or(repository);
        fs::create_dir_all(parent).on("create", parent)?;
        fs::rename(&path, &place).on("move to", &place)?;
        index.push_str(entry);
        index.push_str("\n\n");
    }
    Ok(index)
}

/// Package and version of a file that apt has downloaded: `name_version_architecture.deb`, in which
/// apt writes a colon as %3a.
fn package_of(file: &str) -> Option<(String, String)> {
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (package, version) = (parts.next()?, parts.next()?);
    Some((package.to_owned(), version.replace("%3a", ":")))
}

/// Bytes as hexadecimal digits.
struct Hexadecimal<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hexadecimal<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_read_from_file_names() {
        assert_eq!(
            package_of("prometheus-pgbouncer-exporter_1%3a0.10.2-2_amd64.deb"),
            Some(("prometheus-pgbouncer-exporter".into(), "1:0.10.2-2".into()))
        );
        assert_eq!(package_of("lock"), None);
    }
}
