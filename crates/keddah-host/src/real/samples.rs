//! Which files are what their package brought: dpkg and ucf note the MD5 of each configuration file as
//! it was installed, so that an upgrade does not overwrite what somebody has changed.

use md5::{Digest, Md5};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Where dpkg notes its packages' configuration files (deb-conffiles(5), `Conffiles` in the status file).
const DPKG: &str = "/var/lib/dpkg/status";

/// Where ucf notes those that packages' scripts have put in place (ucf(1)).
const UCF: &str = "/var/lib/ucf/hashfile";

/// What was noted, read when it is first asked for.
#[derive(Debug, Default)]
pub struct Samples {
    noted: OnceLock<HashMap<String, String>>,
}

impl Samples {
    /// Whether a file's content is what its package brought. What cannot be told is no sample: its
    /// difference is then shown in full.
    pub fn is_one(&self, path: &str, content: &[u8]) -> bool {
        let noted = self.noted.get_or_init(|| {
            let read = |path| std::fs::read_to_string(path).unwrap_or_default();
            noted(&read(DPKG), &read(UCF))
        });
        noted.get(path).is_some_and(|noted| *noted == hexadecimal(content))
    }
}

pub(super) fn hexadecimal(content: &[u8]) -> String {
    Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digests by path.
fn noted(dpkg: &str, ucf: &str) -> HashMap<String, String> {
    let mut noted = HashMap::new();
    let mut note = |path: &str, digest: &str| {
        // While a package is unpacked, its files have no digest as yet.
        if path.starts_with('/') && digest.len() == 32 {
            noted.insert(path.to_owned(), digest.to_owned());
        }
    };
    let mut within = false;
    for line in dpkg.lines() {
        match line.strip_prefix(' ') {
            Some(entry) if within => {
                let mut words = entry.split_ascii_whitespace();
                if let (Some(path), Some(digest)) = (words.next(), words.next()) {
                    note(path, digest);
                }
            }
            Some(_) => {}
            None => within = line.starts_with("Conffiles:"),
        }
    }
    for line in ucf.lines() {
        let mut words = line.split_ascii_whitespace();
        if let (Some(digest), Some(path)) = (words.next(), words.next()) {
            note(path, digest);
        }
    }
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
Package: haproxy
Status: install ok installed
Conffiles:
 /etc/default/haproxy fbec3dd45b6c3f1d4ffe1d8e2e3a6d8c
 /etc/haproxy/haproxy.cfg 0cc175b9c0f1b6a831c399e269772661
 /etc/logrotate.d/haproxy newconffile
Description: load balancer
 /etc/not-a-conffile 92eb5ffee6ae2fec3ad71c777531578f
";

    #[test]
    fn what_dpkg_and_ucf_noted_is_a_sample_until_it_is_changed() {
        let ucf = "900150983cd24fb0d6963f7d28e17f72  /etc/postgresql-common/createcluster.conf\n";
        let samples = Samples::default();
        samples.noted.set(noted(STATUS, ucf)).expect("it was not read yet");
        assert!(samples.is_one("/etc/haproxy/haproxy.cfg", b"a"), "MD5 of a, as RFC 1321 has it");
        assert!(!samples.is_one("/etc/haproxy/haproxy.cfg", b"b"), "somebody changed it");
        assert!(samples.is_one("/etc/postgresql-common/createcluster.conf", b"abc"));
        assert!(!samples.is_one("/etc/not-a-conffile", b"b"));
        assert!(!samples.is_one("/etc/logrotate.d/haproxy", b""));
        assert!(!samples.is_one("/etc/elsewhere", b"a"));
    }
}
