//! Whether a configuration of pgBackRest's says the same as what this machine's own files say: then what is
//! asked under either of them needs to be asked once only.

use super::accounts::User;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where pgBackRest has its configuration (its configuration reference, "config-path").
pub(super) const CONFIGURATION: &str = "/etc/pgbackrest";

/// Lines by section.
type Sections = BTreeMap<String, Vec<String>>;

/// Whether the account reads the same for a stanza from the files below a directory. What cannot be read is
/// not the same.
pub(super) fn is_own(directory: &Path, user: &User, stanza: &str, configuration: &str) -> bool {
    let mut own = Sections::new();
    let mut paths = vec![directory.join("pgbackrest.conf")];
    for entry in fs::read_dir(directory.join("conf.d")).into_iter().flatten().flatten() {
        // The extension that pgBackRest goes by ("config-include-path").
        paths.extend(
            Some(entry.path()).filter(|path| path.extension().is_some_and(|it| it == "conf")),
        );
    }
    for path in paths {
        if path.exists() {
            let Some(text) = readable(&path, user) else { return false };
            read(&text, &mut own);
        }
    }
    let mut wanted = Sections::new();
    read(configuration, &mut wanted);
    // What is said of other stanzas changes nothing for this one.
    let counts = |section: &String| {
        let name = section.split(':').next().unwrap_or_default();
        name == "global" || name == stanza
    };
    for sections in [&mut own, &mut wanted] {
        sections.retain(|section, lines| counts(section) && !lines.is_empty());
        sections.values_mut().for_each(|lines| lines.sort());
    }
    !own.is_empty() && own == wanted
}

fn read(text: &str, sections: &mut Sections) {
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((option, value)) =
            line.split_once('=').filter(|_| !line.starts_with('#'))
        {
            let line = format!("{}={}", option.trim(), value.trim());
            sections.entry(section.clone()).or_default().push(line);
        }
    }
}

fn readable(path: &Path, user: &User) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    let mode = about.mode();
    let may = (about.uid() == user.uid && mode & 0o400 != 0)
        || (about.gid() == user.gid && mode & 0o040 != 0)
        || mode & 0o004 != 0;
    fs::read_to_string(path).ok().filter(|_| may)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const WANTED: &str = "# Written by Keddah\n[pg-test]\npg1-path=/pg/data\n\n[global]\nrepo1-path = /pg/backup\n\
         [pg-test]\nrepo1-cipher-pass=secret\n";

    #[test]
    fn the_same_words_in_other_files_are_the_same() {
        let scratch = tempfile::tempdir().unwrap();
        let me = rustix::process::getuid().as_raw();
        let user = User {
            name: "me".to_owned(),
            uid: me,
            gid: rustix::process::getgid().as_raw(),
            home: String::new(),
            shell: String::new(),
        };
        let same = |wanted: &str| is_own(scratch.path(), &user, "pg-test", wanted);
        assert!(!same(WANTED), "there is nothing");
        let path = scratch.path().join("pgbackrest.conf");
        fs::write(&path, "[global]\nrepo1-path=/pg/backup\n\n[pg-test]\npg1-path=/pg/data\n")
            .unwrap();
        assert!(!same(WANTED), "without its password");
        fs::create_dir(scratch.path().join("conf.d")).unwrap();
        let secrets = scratch.path().join("conf.d/secrets.conf");
        fs::write(&secrets, "[pg-test]\nrepo1-cipher-pass=secret\n[pg-other]\npg1-port=7\n")
            .unwrap();
        assert!(same(WANTED));
        assert!(!same(&WANTED.replace("/pg/backup", "/elsewhere")), "another repository");
        assert!(!same(&format!("{WANTED}[global:archive-push]\ncompress-level=3\n")));
        fs::write(scratch.path().join("conf.d/more.conf"), "[global]\nprocess-max=2\n").unwrap();
        assert!(!same(WANTED), "somebody has said more");
        fs::remove_file(scratch.path().join("conf.d/more.conf")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        assert!(!same(WANTED), "the account could not read it");
    }
}
