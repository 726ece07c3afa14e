//! Kinds that live in the file system, on real files: apply, look again, nothing differs; and the
//! same after a run that was killed half-way.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use keddah_core::Secret;
use keddah_host::{Host, HostError, RealHost};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{block, file, symlink};
use keddah_resource::{Observation, Observed, Spec};
use proptest::prelude::*;
use rustix::process::{getegid, geteuid};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::runtime::Runtime;

/// Permissions that whoever runs the tests may give.
fn mine(mode: u32) -> Permissions {
    let name = |path: &str, id: u32| {
        let text = fs::read_to_string(path).unwrap();
        let id = id.to_string();
        let found = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let mut found = found.filter(|fields| fields[2] == id);
        found.next().map_or(id.clone(), |fields| fields[0].to_owned())
    };
    Permissions {
        owner: name("/etc/passwd", geteuid().as_raw()),
        group: name("/etc/group", getegid().as_raw()),
        mode,
    }
}

async fn look(host: &RealHost, spec: &Spec) -> Result<Observed, HostError> {
    match host.observe(std::slice::from_ref(spec)).await.remove(0)? {
        Observation::Known(observed) => Ok(observed),
        Observation::NotYet { because } => panic!("{because}"),
    }
}

/// One run; returns whether it changed anything.
async fn converge(host: &RealHost, spec: &Spec) -> Result<bool, HostError> {
    let observed = look(host, spec).await?;
    let Some(difference) = spec.diff(&observed) else { return Ok(false) };
    host.apply(spec, &observed, &difference, None).await?;
    Ok(true)
}

/// What may stand at a path, or beside it, before a run.
#[derive(Debug, Clone)]
enum Before {
    Nothing,
    File(Vec<u8>, u32),
    Link(&'static str),
    Candidate(Vec<u8>),
}

fn before() -> impl Strategy<Value = Before> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        Just(Before::Nothing),
        (bytes(), 0u32..0o1000).prop_map(|(content, mode)| Before::File(content, mode)),
        prop_oneof![Just("elsewhere"), Just("nowhere/at/all")].prop_map(Before::Link),
        bytes().prop_map(Before::Candidate),
    ]
}

fn prepare(directory: &Path, before: &Before) {
    let path = directory.join("thing.conf");
    match before {
        Before::Nothing => {}
        Before::File(content, mode) => {
            fs::write(&path, content).unwrap();
            // Owners other than root could not read it back.
            let mode = if geteuid().is_root() { *mode } else { mode | 0o600 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Before::Link(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
        Before::Candidate(content) => {
            fs::write(directory.join(".keddah-new.thing.conf"), content).unwrap();
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_file_converges_from_whatever_was_there(
        before in before(), content in ".{0,80}", mode in 0u32..0o10000, secret: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path(), &before);
        let path = directory.path().join("thing.conf").display().to_string();
        // Set-id bits are dropped by the kernel for others than root and the group's members.
        let permissions = mine(if geteuid().is_root() { mode } else { mode & 0o777 | 0o600 });
        let spec = Spec::from(if secret {
            file::Spec::secret(path.clone(), Secret::new(content.clone()), permissions)
        } else {
            file::Spec::text(path.clone(), content.clone(), permissions)
        });
        let host = RealHost::new(directory.path().join("state"));
        Runtime::new().unwrap().block_on(async {
            let first = converge(&host, &spec).await;
            if matches!(before, Before::Link("nowhere/at/all")) {
                prop_assert!(first.is_err());
                return Ok(());
            }
            first.unwrap();
            prop_assert_eq!(spec.diff(&look(&host, &spec).await.unwrap()), None);
            prop_assert!(!converge(&host, &spec).await.unwrap());
            prop_assert_eq!(fs::read_to_string(&path).unwrap(), content);
            let link = fs::symlink_metadata(&path).unwrap().is_symlink();
            prop_assert_eq!(link, matches!(before, Before::Link(_)));
            if let Observed::File(file::Observed { present: Some(present) }) =
                look(&host, &spec).await.unwrap()
            {
                prop_assert_eq!(present.text.is_none(), secret);
            }
            let expected: &[&str] = if link { &["elsewhere", "thing.conf"] } else { &["thing.conf"] };
            prop_assert_eq!(names(directory.path()), expected);
            let absent = Spec::from(file::Spec::absent(path));
            prop_assert!(converge(&host, &absent).await.unwrap());
            prop_assert!(!converge(&host, &absent).await.unwrap());
            Ok(())
        })?;
    }

    #[test]
    fn a_link_converges_and_never_replaces_what_is_no_link(before in before()) {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path(), &before);
        let path = directory.path().join("thing.conf");
        let spec =
            Spec::from(symlink::Spec { path: path.display().to_string(), target: "/a/b".into(), to_data: false });
        let host = RealHost::new(directory.path().join("state"));
        Runtime::new().unwrap().block_on(async {
            let result = converge(&host, &spec).await;
            if let Before::File(content, _) = &before {
                prop_assert!(result.is_err());
                prop_assert_eq!(&fs::read(&path).unwrap(), content);
                return Ok(());
            }
            result.unwrap();
            prop_assert_eq!(fs::read_link(&path).unwrap(), Path::new("/a/b"));
            prop_assert!(!converge(&host, &spec).await.unwrap());
            prop_assert_eq!(names(directory.path()), ["thing.conf"]);
            Ok(())
        })?;
    }

    #[test]
    fn a_block_leaves_every_other_line(
        others in prop::collection::vec("[ -~]{0,20}", 0..6),
        last_line_ends: bool,
        texts in prop::collection::vec(prop::collection::vec("[ -~]{1,20}", 0..4), 1..4),
        top: bool,
    ) {
        prop_assume!(!others.iter().chain(texts.iter().flatten()).any(|line| line.contains("keddah")));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        let mut original = others.join("\n");
        if last_line_ends && !original.is_empty() {
            original.push('\n');
        }
        fs::write(&path, &original).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let host = RealHost::new(directory.path().join("state"));
        let spec = |lines: &[String]| Spec::from(block::Spec {
            path: path.display().to_string(),
            marker: "hosts".to_owned(),
            text: lines.iter().map(|line| format!("{line}\n")).collect(),
            place: if top { block::Place::Top } else { block::Place::End },
        });
        Runtime::new().unwrap().block_on(async {
            for lines in &texts {
                converge(&host, &spec(lines)).await.unwrap();
                prop_assert!(!converge(&host, &spec(lines)).await.unwrap());
                let text = fs::read_to_string(&path).unwrap();
                let first = text.lines().next().unwrap_or_default();
                prop_assert!(!top || lines.is_empty() || first.starts_with("# BEGIN keddah"));
            }
            converge(&host, &spec(&[])).await.unwrap();
            prop_assert!(!converge(&host, &spec(&[])).await.unwrap());
            let left = fs::read_to_string(&path).unwrap();
            prop_assert_eq!(left.strip_suffix('\n').unwrap_or(&left),
                original.strip_suffix('\n').unwrap_or(&original));
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            prop_assert_eq!(mode, 0o640);
            Ok(())
        })?;
    }

    #[test]
    fn a_directory_converges_and_goes(mode in 0u32..0o10000, present: bool, other in 0u32..0o1000) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("parent/thing");
        if present {
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(other | 0o700)).unwrap();
            fs::write(path.join("content"), "kept").unwrap();
        }
        let mode = if geteuid().is_root() { mode } else { mode & 0o777 | 0o700 };
        let text = path.display().to_string();
        let spec = Spec::from(directory::Spec::present(text.clone(), mine(mode)));
        let host = RealHost::new(directory.path().join("state"));
        Runtime::new().unwrap().block_on(async {
            converge(&host, &spec).await.unwrap();
            prop_assert!(!converge(&host, &spec).await.unwrap());
            prop_assert_eq!(path.join("content").exists(), present);
            let absent = Spec::from(directory::Spec::absent(text));
            prop_assert!(converge(&host, &absent).await.unwrap());
            prop_assert!(!path.exists());
            prop_assert!(!converge(&host, &absent).await.unwrap());
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_check_that_refuses_leaves_the_old_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("thing.conf").display().to_string();
    let host = RealHost::new(directory.path().join("state"));
    let spec = |text: &str, secret: bool| {
        let spec = if secret {
            file::Spec::secret(path.clone(), Secret::new(text), mine(0o600))
        } else {
            file::Spec::text(path.clone(), text, mine(0o600))
        };
        let script = "grep -q good \"$1\" || { echo \"$1: $(cat \"$1\") is bad\" >&2; exit 1; }";
        Spec::from(spec.checked_by(&["sh", "-c", script, "sh", "{}"]))
    };
    converge(&host, &spec("good", false)).await.unwrap();
    let error = converge(&host, &spec("evil", false)).await.unwrap_err();
    assert_eq!(error.message, format!("sh refuses the new content of {path}"));
    assert_eq!(error.log, [format!("{path}: evil is bad")]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "good");
    assert_eq!(names(directory.path()), ["thing.conf"]);
    let error = converge(&host, &spec("evil", true)).await.unwrap_err();
    assert!(error.log.is_empty(), "a secret may be quoted: {:?}", error.log);
}

#[tokio::test]
async fn a_check_sees_what_is_there_beside_and_its_silence_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let host = RealHost::new(directory.path().join("state"));
    let beside = format!("{{if {}}}--beside", path("beside"));
    let spec = |text: &str| {
        let script = "shift; test $# -lt 2";
        let spec = file::Spec::text(path("thing.conf"), text, mine(0o600));
        Spec::from(spec.checked_by(&["sh", "-c", script, "sh", "{}", "more", &beside]))
    };
    converge(&host, &spec("one")).await.unwrap();
    fs::write(path("beside"), "").unwrap();
    let error = converge(&host, &spec("two")).await.unwrap_err();
    assert_eq!(error.log, ["it ended with exit code 1 and said nothing"]);
    assert_eq!(fs::read_to_string(path("thing.conf")).unwrap(), "one");
}

/// A program that quotes a line with a password in it is quoted without.
#[tokio::test]
async fn what_a_check_says_is_told_without_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("thing.conf").display().to_string();
    let host = RealHost::new(directory.path().join("state"));
    let script = "echo \"line 3: 'user x insecure-password S3cret' is bad\"; exit 1";
    let spec = file::Spec::text(path, "x", mine(0o600)).checked_by(&["sh", "-c", script]);
    let error = converge(&host, &Spec::from(spec)).await.unwrap_err();
    assert_eq!(error.log, ["line 3: 'user x insecure-password ********"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_never_absent() {
    let directory = tempfile::tempdir().unwrap();
    let host = RealHost::new(directory.path().join("state"));
    let path = directory.path().join("a").display().to_string();
    fs::create_dir(&path).unwrap();
    let below = format!("{path}/file");
    fs::write(&below, "").unwrap();
    let under_a_file = format!("{below}/x");
    for spec in [
        Spec::from(file::Spec::text(path.clone(), "", mine(0o600))),
        Spec::from(file::Spec::text(under_a_file.clone(), "", mine(0o600))),
        Spec::from(directory::Spec::present(below, mine(0o700))),
        Spec::from(directory::Spec::present(under_a_file, mine(0o700))),
    ] {
        assert!(look(&host, &spec).await.is_err(), "{}", spec.name());
    }
}

#[tokio::test]
async fn an_owner_who_does_not_exist_yet_is_seen_as_a_difference_and_named_on_apply() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("thing").display().to_string();
    let host = RealHost::new(directory.path().join("state"));
    let permissions = Permissions::new("nobody-has-this-name", "root", 0o600);
    let spec = Spec::from(file::Spec::text(path.clone(), "x", permissions));
    assert!(spec.diff(&look(&host, &spec).await.unwrap()).is_some());
    let error = converge(&host, &spec).await.unwrap_err();
    assert_eq!(error.message, "the account nobody-has-this-name does not exist on this node");
    assert!(!Path::new(&path).exists());
}

/// A directory of an ordinary account, in which that account has put a link in the place of `conf`.
fn swapped() -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    use std::os::unix::fs::{lchown, symlink};
    if !geteuid().is_root() {
        return None;
    }
    let base = tempfile::tempdir().unwrap();
    let (theirs, victim) = (base.path().join("theirs"), base.path().join("victim"));
    fs::create_dir(&theirs).unwrap();
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("secret"), "of root").unwrap();
    symlink(&victim, theirs.join("conf")).unwrap();
    lchown(theirs.join("conf"), Some(65534), Some(65534)).unwrap();
    lchown(&theirs, Some(65534), Some(65534)).unwrap();
    Some((base, victim))
}

#[test]
fn a_swapped_parent_leads_root_nowhere() {
    let Some((base, victim)) = swapped() else { return };
    let state = tempfile::tempdir().unwrap();
    let host = RealHost::new(state.path());
    let runtime = Runtime::new().unwrap();
    let at = |name: &str| format!("{}/theirs/conf/{name}", base.path().display());
    let refused = [
        Spec::from(file::Spec::text(at("new"), "x", mine(0o644))),
        Spec::from(file::Spec::text(at("secret"), "x", mine(0o644))),
        Spec::from(file::Spec::absent(at("secret"))),
        Spec::from(directory::Spec::present(at("made"), mine(0o755))),
        Spec::from(directory::Spec::absent(at("deep/er"))),
        Spec::from(symlink::Spec { path: at("link"), target: "/etc".into(), to_data: false }),
    ];
    fs::create_dir_all(victim.join("deep/er")).unwrap();
    for spec in refused {
        let error = runtime.block_on(converge(&host, &spec)).expect_err("root was led there");
        assert!(error.message.contains("ordinary account"), "{spec:?}: {error:?}");
    }
    // What a plan would show of a file that is not the declared one.
    let secret = Spec::from(file::Spec::text(at("secret"), "x", mine(0o644)));
    assert!(runtime.block_on(look(&host, &secret)).is_err(), "root's file is shown");
    let mut left: Vec<_> =
        fs::read_dir(&victim).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["deep", "secret"]);
    assert_eq!(fs::read(victim.join("secret")).unwrap(), b"of root");
    assert!(victim.join("deep/er").is_dir());
}
