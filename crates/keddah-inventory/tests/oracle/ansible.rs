//! Finds `ansible-inventory` and asks it many questions at once.

use serde::Deserialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a failure says first: a judge moves with Debian's packages, too.
pub const LOOK_FIRST: &str = "did the judge change? see `make compare-packages` for what Debian changed since \
     the last green run, then the test the_judge_is_the_pinned_one_and_its_pip_starts";

/// What one run of `ansible-inventory` gave.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Whether Ansible could not read the inventory.
    pub fn refused(&self) -> bool {
        self.status != 0 || self.stderr.contains("Unable to parse")
    }
}

/// The Python interpreter that has Ansible.
pub struct Oracle {
    python: PathBuf,
}

#[allow(clippy::disallowed_methods, reason = "where Ansible is installed is known only outside")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Oracle {
    /// `None` when there is no Ansible and the caller may skip.
    pub fn find() -> Option<Self> {
        let program = environment("KEDDAH_ANSIBLE_INVENTORY").map(PathBuf::from).or_else(|| {
            std::env::split_paths(&environment("PATH")?)
                .map(|folder| folder.join("ansible-inventory"))
                .find(|path| path.is_file())
        });
        let Some(program) = program else {
            assert!(
                environment("KEDDAH_SKIP_ORACLE").as_deref() == Some("1"),
                "ansible-inventory is needed to judge this crate: install ansible-core 2.19, point \
                 KEDDAH_ANSIBLE_INVENTORY to the program, or set KEDDAH_SKIP_ORACLE=1",
            );
            // Straight to the stream: the test harness would swallow what is printed.
            let _ = std::io::stderr().write_all(
                b"\nSKIPPED: no ansible-inventory to compare with (KEDDAH_SKIP_ORACLE=1)\n",
            );
            return None;
        };
        let script = std::fs::read_to_string(&program)
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let python = script
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("#!"))
            .unwrap_or_else(|| panic!("{} is not a script", program.display()));
        Some(Self { python: PathBuf::from(python.trim()) })
    }

    /// The versions of packages that the interpreter sees, as `name==version`.
    pub fn versions(&self, names: &[&str]) -> Vec<String> {
        let script = "import sys, importlib.metadata as m\n\
                      for name in sys.argv[1:]: print(f'{name}=={m.version(name)}')";
        let output = Command::new(&self.python).args(["-c", script]).args(names).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// A program of an environment that was moved after its making cannot start.
    pub fn start_pip(&self) {
        let pip = self.python.with_file_name("pip");
        let output = Command::new(&pip).arg("--version").output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", pip.display()));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs `ansible-inventory` with each list of arguments.
    pub fn ask(&self, questions: &[Vec<String>]) -> Vec<Answer> {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/driver.py");
        let configuration = Path::new(env!("CARGO_TARGET_TMPDIR")).join("empty.cfg");
        std::fs::write(&configuration, "").unwrap();
        let mut child = Command::new(&self.python)
            .arg(driver)
            // Nobody's configuration takes part.
            .env_clear()
            .env("PATH", environment("PATH").unwrap_or_default())
            .env("HOME", env!("CARGO_TARGET_TMPDIR"))
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_CONFIG", configuration)
            .env("ANSIBLE_NOCOLOR", "1")
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.python.display()));
        let input = serde_json::to_vec(questions).unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{LOOK_FIRST}\nthe Ansible driver failed");
        let answers: Vec<Answer> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answers.len(), questions.len());
        answers
    }
}
