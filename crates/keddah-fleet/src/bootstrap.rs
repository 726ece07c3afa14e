//! The command lines by which a node starts its agent, and by which it gets one.
//!
//! The agent is this program, kept on the node under its own hash: it is copied once per version,
//! and in the usual case reaching a node costs one round trip.

use crate::{Become, quote};
use std::fmt::Write;

/// Where a node keeps agents.
const DIRECTORY: &str = "/var/lib/keddah/agent";

/// What the node prints when it does not have this version.
pub(crate) const MISSING: &str = "keddah-agent-missing";

/// How many versions stay on a node: this one, and the one that a colleague may still use.
const KEPT: usize = 2;

/// Sets `$s` to what makes the following command run as root.
fn privileges(become_root: Become) -> &'static str {
    match become_root {
        Become::IfNeeded => "s=; [ \"$(id -u)\" = 0 ] || s=\"sudo -n\"",
        Become::Never => "s=",
    }
}

/// The command that becomes the agent, or says that it is missing.
pub(crate) fn run(build: &str, become_root: Become) -> String {
    let agent = format!("{DIRECTORY}/keddah-{}", short(build));
    let script = format!(
        "{}; $s test -x {agent} && exec $s {agent} agent --build {build}; echo {MISSING}",
        privileges(become_root)
    );
    format!("exec sh -c {}", quote(&script))
}

/// The command that takes the executable on its standard input and puts it in its place.
///
/// It is complete and on disk before it gets its name, so whatever bears the name can be run.
pub(crate) fn install(build: &str, become_root: Become) -> String {
    let name = short(build);
    let mut script = String::new();
    let _ = write!(
        script,
        "set -e; umask 077; mkdir -p {DIRECTORY}; cd {DIRECTORY}; t=.upload-$$; \
         trap \"rm -f $t\" EXIT; cat > $t; \
         echo \"{build}  $t\" | sha256sum -c --quiet - >&2; \
         chmod 700 $t; sync $t; mv -f $t keddah-{name}; \
         find . -name \".upload-*\" -mmin +60 -delete; \
         ls -1t | grep \"^keddah-\" | tail -n +{} | xargs -r rm -f",
        KEPT + 1
    );
    let outer = format!("{}; exec $s sh -c {}", privileges(become_root), quote(&script));
    format!("exec sh -c {}", quote(&outer))
}

fn short(build: &str) -> &str {
    build.get(..16).unwrap_or(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs both commands with a shell, the agent's directory being one of the test's.
    #[test]
    fn an_agent_is_missing_then_installed_then_run() {
        let directory = std::env::temp_dir().join(format!("keddah-boot-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let here = directory.to_str().unwrap();
        let shell = |command: String, input: &str| {
            let command = command.replace(DIRECTORY, here);
            let mut child = std::process::Command::new("sh")
                .args(["-c", &command])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            (output.status.success(), String::from_utf8(output.stdout).unwrap())
        };
        let program = "#!/bin/sh\necho \"ran $*\"\n";
        let build = keddah_resource::kind::file::digest(program.as_bytes());
        let run = || run(&build, Become::Never);
        assert_eq!(shell(run(), "").1.trim(), MISSING);
        let (done, _) = shell(install(&build, Become::Never), "cut off");
        assert!(!done, "an incomplete upload is refused");
        assert_eq!(shell(run(), "").1.trim(), MISSING);
        for old in ["keddah-1", "keddah-2", "keddah-3"] {
            std::fs::write(directory.join(old), "").unwrap();
        }
        let (done, _) = shell(install(&build, Become::Never), program);
        assert!(done);
        assert_eq!(shell(run(), "").1.trim(), format!("ran agent --build {build}"));
        let left = std::fs::read_dir(&directory).unwrap().count();
        assert_eq!(left, KEPT, "old versions and uploads are gone");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
