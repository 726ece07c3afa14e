//! What was moved aside on this machine: by failed rewinds, beside data directories
//! (`templates/bin/pg-rewind`), and by removals.

use super::plain_file::beginning;
use crate::HostError;
use keddah_resource::{ASIDE, AsideFacts, InstanceFacts, REMOVED};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// No note of a node's is as long.
const LONGEST_NOTE: u64 = 64 * 1024;

/// Looks beside the data directory of each instance.
pub(super) fn gather(instances: &[InstanceFacts]) -> Result<Vec<AsideFacts>, HostError> {
    let mut found = Vec::new();
    for instance in instances {
        found.extend(beside(instance)?);
    }
    Ok(found)
}

/// What removals have moved aside in these directories, in the order of its names.
///
/// # Errors
/// When a directory cannot be read.
pub(super) fn removed(directories: &[String]) -> Result<Vec<String>, HostError> {
    let mut found = Vec::new();
    for directory in directories {
        let directory = Path::new(directory);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(error) => return Err(HostError::path("read", directory, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| HostError::path("read", directory, &error))?;
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let path = entry.path().to_string_lossy().into_owned();
            if is_directory && path.ends_with(REMOVED) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Why an instance stays stopped after a failed rewind, if it does.
///
/// # Errors
/// When that cannot be read.
pub(super) fn stays_stopped(data_directory: &str) -> Result<Option<String>, HostError> {
    let Some(directory) = without_links(data_directory)? else { return Ok(None) };
    let text = note(&with(&directory, ".stopped.txt"))?;
    Ok(text
        .map(|text| value_of(&text, "why").unwrap_or_else(|| "its rewind has failed".to_owned())))
}

/// A data directory by its real name; the directory itself may have been moved away.
fn without_links(data_directory: &str) -> Result<Option<PathBuf>, HostError> {
    let directory = Path::new(data_directory);
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
        return Ok(None);
    };
    match parent.canonicalize() {
        Ok(parent) => Ok(Some(parent.join(name))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HostError::path("read", parent, &error)),
    }
}

fn with(directory: &Path, ending: &str) -> PathBuf {
    let mut path = directory.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

fn beside(instance: &InstanceFacts) -> Result<Option<AsideFacts>, HostError> {
    let Some(directory) = without_links(&instance.data_directory)? else { return Ok(None) };
    let copy = with(&directory, ASIDE);
    let is_there = fs::symlink_metadata(&copy).is_ok_and(|about| about.is_dir());
    let stopped = stays_stopped(&instance.data_directory)?;
    if !is_there && stopped.is_none() {
        return Ok(None);
    }
    let about = if is_there { note(&with(&directory, ".aside.txt"))? } else { None };
    let about = about.unwrap_or_default();
    let value = |key: &str| value_of(&about, key).unwrap_or_default();
    Ok(Some(AsideFacts {
        instance: instance.name.clone(),
        cluster: instance.scope.clone(),
        copy: is_there.then(|| copy.to_string_lossy().into_owned()),
        moved: value("moved"),
        fork: value("fork"),
        bytes: value("bytes").parse().ok(),
        stopped,
    }))
}

/// The text of a note; none where there is no plain file. The directory belongs to the server's
/// account, so no link is followed.
fn note(path: &Path) -> Result<Option<String>, HostError> {
    let bytes = beginning(path, LONGEST_NOTE)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn value_of(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
    // It is shown on a terminal.
    Some(value.chars().filter(|character| !character.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_copy_and_a_reason_are_found_beside_the_data() {
        let scratch = tempfile::tempdir().unwrap();
        let real = scratch.path().join("pg-test-17");
        fs::create_dir(&real).unwrap();
        symlink(&real, scratch.path().join("pg")).unwrap();
        let instance = InstanceFacts {
            name: "pg-test-1".to_owned(),
            scope: "pg-test".to_owned(),
            data_directory: scratch.path().join("pg/data").to_string_lossy().into_owned(),
            ..InstanceFacts::default()
        };
        let found = || gather(std::slice::from_ref(&instance)).unwrap();
        assert_eq!(found(), [], "there is nothing");
        fs::write(real.join("data.aside.txt"), "moved: then\nbytes: 77\n").unwrap();
        assert_eq!(found(), [], "a note about a copy that is no longer there");

        let copy = real.join("data.aside");
        fs::create_dir(&copy).unwrap();
        fs::write(
            real.join("data.aside.txt"),
            "# About it.\npath: x\nmoved: 2026-01-02 03:04:05 UTC\nfork: 0/3000108 on timeline 1\n\
             bytes: 4711\nrewind: no\u{1b}[2J\n",
        )
        .unwrap();
        let facts = &found()[0];
        assert_eq!(facts.copy.as_deref(), copy.to_str());
        assert_eq!(facts.moved, "2026-01-02 03:04:05 UTC");
        assert_eq!((facts.fork.as_str(), facts.bytes), ("0/3000108 on timeline 1", Some(4711)));
        assert_eq!((facts.stopped.as_deref(), facts.instance.as_str()), (None, "pg-test-1"));

        fs::write(real.join("data.stopped.txt"), "since: now\nwhy: no room\u{7}\n").unwrap();
        assert_eq!(found()[0].stopped.as_deref(), Some("no room"));
        fs::remove_file(real.join("data.stopped.txt")).unwrap();
        let secret = scratch.path().join("secret");
        fs::write(&secret, "why: root's own\n").unwrap();
        symlink(&secret, real.join("data.stopped.txt")).unwrap();
        assert_eq!(found()[0].stopped, None, "a link of the server's account is not followed");
    }
}
