//! Managed blocks in files that others also write to.

use super::accounts::Ownership;
use super::write::{on_disk, replace};
use crate::{HostError, RealHost};
use keddah_resource::kind::block::{Observed, Place, Spec};
use keddah_resource::{Difference, Observation};
use rustix::fs::{Gid, Uid};
use rustix::process::{getegid, geteuid};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Looks at blocks.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    specs.iter().map(|spec| look(spec).map(|found| Observation::Known(found.into()))).collect()
}

fn look(spec: &Spec) -> Result<Observed, HostError> {
    let content = read(Path::new(&spec.path))?.unwrap_or_default();
    let (text, _) = split(spec, &content)?;
    Ok(Observed { text: text.map(|text| String::from_utf8_lossy(&text).into_owned()) })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, HostError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

/// What of a file is not the block's, before it and after it.
type Around = (Vec<u8>, Vec<u8>);

/// Takes the block out of a file. Several blocks of the same name (somebody has copied one) are
/// taken as one text, which then differs, and end as one.
fn split(spec: &Spec, content: &[u8]) -> Result<(Option<Vec<u8>>, Around), HostError> {
    let (begin, end) = (spec.begin(), spec.end());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut text: Option<Vec<u8>> = None;
    let mut inside = false;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let plain = line.trim_ascii();
        if plain == begin.as_bytes() && !inside {
            inside = true;
            text.get_or_insert_default();
        } else if plain == end.as_bytes() && inside {
            inside = false;
        } else if inside {
            text.get_or_insert_default().extend_from_slice(line);
        } else if text.is_none() {
            before.extend_from_slice(line);
        } else {
            after.extend_from_slice(line);
        }
    }
    if inside {
        return Err(HostError::new(format!("the block `{begin}` in {} has no end", spec.path))
            .with_hint(format!("add the line `{end}` where it ends, or remove the block")));
    }
    Ok((text, (before, after)))
}

/// Writes the block, where it stood or where it should go, and leaves every other line as it is.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let spec = spec.clone();
    on_disk(move || {
        let path = Path::new(&spec.path);
        let content = read(path)?;
        if content.is_none() && spec.text.is_empty() {
            return Ok(());
        }
        let (text, (mut before, mut after)) = split(&spec, content.as_deref().unwrap_or_default())?;
        if text.is_none() && spec.place == Place::Top {
            std::mem::swap(&mut before, &mut after);
        }
        if !spec.text.is_empty() {
            if before.last().is_some_and(|&byte| byte != b'\n') {
                before.push(b'\n');
            }
            before.extend_from_slice(format!("{}\n{}", spec.begin(), spec.text).as_bytes());
            if !spec.text.ends_with('\n') {
                before.push(b'\n');
            }
            before.extend_from_slice(format!("{}\n", spec.end()).as_bytes());
        }
        before.extend(after);
        let ownership = match fs::metadata(path) {
            Ok(found) => Ownership {
                uid: Uid::from_raw(found.uid()),
                gid: Gid::from_raw(found.gid()),
                mode: found.mode() & 0o7777,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ownership { uid: geteuid(), gid: getegid(), mode: 0o644 }
            }
            Err(error) => return Err(HostError::path("read", path, &error)),
        };
        replace(path, &before, ownership)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        Spec {
            path: "/etc/hosts".to_owned(),
            marker: "hosts".to_owned(),
            text: text.to_owned(),
            place: Place::End,
        }
    }

    #[test]
    fn a_copied_block_is_seen_as_a_difference() {
        let block = "# BEGIN keddah hosts\n1.2.3.4 a\n# END keddah hosts\n";
        let content = format!("first\n{block}middle\n{block}last");
        let (text, (before, after)) = split(&spec(""), content.as_bytes()).unwrap();
        assert_eq!(text.unwrap(), b"1.2.3.4 a\n1.2.3.4 a\n");
        assert_eq!((before, after), (b"first\n".to_vec(), b"middle\nlast".to_vec()));
    }

    #[test]
    fn a_block_without_end_is_an_error_and_never_swallows_the_rest() {
        let content = b"# BEGIN keddah hosts\n1.2.3.4 a\n127.0.0.1 localhost\n";
        assert!(split(&spec(""), content).unwrap_err().message.contains("has no end"));
    }
}
