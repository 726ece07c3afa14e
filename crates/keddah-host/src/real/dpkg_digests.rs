//! Whether single files are as their packages brought them. `dpkg --verify` reads all files of a package,
//! which costs more than the rest of a plan's questions to a machine together.

use super::instance_facts::found;
use super::samples;
use crate::HostError;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Where dpkg keeps what it knows (its manual, "FILES"; deb-md5sums(5) for the lists).
const KNOWN: &str = "/var/lib/dpkg";

/// Of files, each with the package that owns it, as `dpkg-query -S` names it, those that are not as the
/// package brought them. What the package tells no digest of cannot be told.
pub(super) fn changed(owned: &[(String, String)]) -> Result<BTreeSet<String>, HostError> {
    let brought = digests(Path::new(KNOWN), owned)?;
    if brought.is_empty() {
        return Ok(BTreeSet::new());
    }
    // One that is not there, or cannot be read, is not as it was brought.
    let same = |path: &String, digest: &String| {
        fs::read(path).is_ok_and(|content| samples::hexadecimal(&content) == *digest)
    };
    Ok(brought
        .into_iter()
        .filter(|(path, digest)| !same(path, digest))
        .map(|(path, _)| path)
        .collect())
}

/// The digests of these files as their packages brought them.
fn digests(
    known: &Path,
    owned: &[(String, String)],
) -> Result<BTreeMap<String, String>, HostError> {
    let read = |path: &Path| {
        let bytes = found(path, fs::read(path))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let wanted: BTreeSet<&str> = owned.iter().map(|(_, path)| path.as_str()).collect();
    let packages: BTreeSet<&str> = owned.iter().map(|(package, _)| package.as_str()).collect();
    let mut digests = BTreeMap::new();
    for package in &packages {
        let text = read(&known.join("info").join(format!("{package}.md5sums")))?;
        for (path, digest) in lines(&text) {
            let path = format!("/{path}");
            if wanted.contains(path.as_str()) {
                digests.insert(path, digest.to_owned());
            }
        }
    }
    // What is configuration stands in dpkg's own list of packages.
    let status = read(&known.join("status"))?;
    for paragraph in status.split("\n\n") {
        let name = paragraph.lines().find_map(|line| line.strip_prefix("Package: "));
        let of = |package: &&str| package.split(':').next() == name;
        if !packages.iter().any(of) {
            continue;
        }
        let after = paragraph.lines().skip_while(|line| *line != "Conffiles:").skip(1);
        for line in after.take_while(|line| line.starts_with(' ')) {
            let mut words = line.split_whitespace();
            if let (Some(path), Some(digest)) = (words.next(), words.next())
                && wanted.contains(path)
                && digest.len() == 32
            {
                digests.insert(path.to_owned(), digest.to_owned());
            }
        }
    }
    Ok(digests)
}

/// Reads `md5sum`: digest, two characters, path.
fn lines(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| Some((line.get(34..)?, line.get(..32)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_stand_in_lists_and_in_the_status() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("info")).unwrap();
        let (one, other) = ("c5575cc60674755e853cf476db8dc788", "fe5c1890fce351cde863fb7f9814beff");
        fs::write(at("info/patroni.md5sums"), format!("{one}  usr/bin/patroni\n{one}  usr/x\n"))
            .unwrap();
        fs::write(at("info/libx:amd64.md5sums"), format!("{one}  usr/lib/x y\n")).unwrap();
        let status = format!(
            "Package: haproxy\nStatus: install ok installed\nConffiles:\n /etc/default/haproxy {other}\n \
             /etc/old {one} obsolete\n /etc/new newconffile\nDescription: x\n\n\
             Package: another\nConffiles:\n /etc/patroni/dcs.yml {one}\n"
        );
        fs::write(at("status"), status).unwrap();
        let owned = [
            ("patroni", "/usr/bin/patroni"),
            ("patroni", "/etc/patroni/dcs.yml"),
            ("libx:amd64", "/usr/lib/x y"),
            ("haproxy", "/etc/default/haproxy"),
            ("haproxy", "/etc/new"),
        ];
        let owned = owned.map(|(package, path)| (package.to_owned(), path.to_owned()));
        let found = digests(scratch.path(), &owned).unwrap();
        let expected =
            [("/etc/default/haproxy", other), ("/usr/bin/patroni", one), ("/usr/lib/x y", one)];
        let expected = expected.map(|(path, digest)| (path.to_owned(), digest.to_owned()));
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[tokio::test]
    async fn dpkg_says_the_same_of_this_machine() {
        let owned = |package: &str| {
            let list = Path::new(KNOWN).join("info").join(format!("{package}.list"));
            let text = fs::read_to_string(list).unwrap();
            let files = text.lines().filter(|path| Path::new(path).is_file());
            files.map(|path| (package.to_owned(), path.to_owned())).collect::<Vec<_>>()
        };
        use crate::command::Command;
        for package in ["patroni", "postgresql-common", "dpkg"] {
            let output = Command::new("dpkg").args(["--verify", package]).run().await.unwrap();
            let lines = output.stdout.lines();
            // Containers leave documentation out.
            let lines = lines.filter(|line| !line.starts_with("missing"));
            let said: BTreeSet<String> =
                lines.filter_map(|line| Some(line[line.find(" /")? + 1..].to_owned())).collect();
            let files = owned(package);
            assert!(digests(Path::new(KNOWN), &files).unwrap().len() > 3, "{package}");
            assert_eq!(changed(&files).unwrap(), said, "{package}");
        }
    }
}
