//! Passwords that are easy to recognise, looked for wherever others could read them.

use crate::command::{self, Output};
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::poison::{Watch, contains};
use crate::postgres::login;
use crate::project::Project;
use crate::sandbox::{Image, Sandbox};
use crate::world::{Steps, World, step};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const INVENTORY: &str = include_str!("../../inventories/secrets.yml");

/// What all passwords of the inventory contain.
const POISON: &str = "Xk7Poison";

/// What a password becomes before it leaves the controller; no log should have that either.
const VERIFIER: &str = "SCRAM-SHA-256$";

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let project = world.project("secrets", INVENTORY)?;
    let sandbox = step("boot two warm nodes", || world.fresh(Image::Warm, 2))?;
    let keddah = Keddah { sandbox, project: &project };
    for node in 1..=2 {
        sandbox.shell(node, "touch /run/before-keddah")?.success()?;
    }
    let marker = project.directory.join("before-keddah");
    std::fs::write(&marker, "")?;

    let watch = Watch::start(POISON);
    let said =
        step("check, plan, plan to a file, apply it, plan, change, apply", || use_it(&keddah));
    let seen = watch.finish();
    let said = said?;

    step("passwords work: the poison did reach the nodes", || {
        let works = |user: &str, password: &str, port: u16| {
            login(user, password, "10.10.10.11", port, "app").query(sandbox, "SELECT 1").map(|_| ())
        };
        works("dbuser_dba", "Xk7Poison.Admin", 5436)?;
        works("app", "Xk7Poison.Changed", 5433)?;
        works("other", "Xk7Poison'\"$Other\\", 5433)?;
        works("other", "Xk7Poison'\"$Other\\", 5436)
    })?;
    let mut steps = Steps::default();
    steps.step("not in anything that keddah says", || {
        for output in &said {
            clean(&output.command, "the command line", POISON)?;
            clean(&output.stdout, &format!("what `{}` prints", output.command), POISON)?;
            clean(&output.stderr, &format!("the messages of `{}`", output.command), POISON)?;
            clean(&output.stdout, &format!("what `{}` prints", output.command), VERIFIER)?;
        }
        Ok(())
    });
    steps.step("not in any process's arguments or environment", || {
        let watched = ["patroni", "pgbouncer", "keddah", "haproxy", "etcd", "postgres"];
        let missing: Vec<&&str> =
            watched.iter().filter(|name| !seen.programs.contains(**name)).collect();
        ensure!(seen.rounds > 20 && missing.is_empty(), "nobody watched {missing:?}");
        ensure!(seen.places.is_empty(), "it stands in {:?}", seen.places);
        Ok(())
    });
    steps.step("not in the nodes' journals and logs", || {
        (1..=2).try_for_each(|node| logs(sandbox, node))
    });
    steps.step("not in a file of the nodes that others may read", || {
        (1..=2).try_for_each(|node| readable(sandbox, node))
    });
    steps.step(
        "in private files of the nodes it does stand: the search finds what is there",
        || {
            let script =
                format!("find /etc /pg/ -xdev -type f -exec grep -l -a -F {POISON} {{}} + | wc -l");
            let found = sandbox.shell(1, &script)?;
            ensure!(found.text() != "0", "the search finds nothing at all, which proves nothing");
            Ok(())
        },
    );
    steps.step("not in a file of the controller", || controller(sandbox, &project, &marker));
    steps.finish()
}

/// Everything that could say too much, on the way from bare inventory to changed cluster.
fn use_it(keddah: &Keddah<'_>) -> Outcome<Vec<Output>> {
    let project = keddah.project;
    let plan_file = project.directory.join("reviewed.plan");
    let plan_file = plan_file.to_string_lossy();
    let mut said = Vec::new();
    let mut run = |arguments: &[&str], codes: &[i32]| -> Outcome {
        said.push(keddah.run(arguments)?.expect(codes)?);
        Ok(())
    };
    run(&["check"], &[0])?;
    run(&["inventory", "show", "10.10.10.10"], &[0])?;
    run(&["plan", "--full"], &[2])?;
    run(&["plan", "--json", "-o", &plan_file], &[2])?;
    run(&["apply", "--yes", "--full", &plan_file], &[0])?;
    run(&["plan"], &[0])?;
    project.edit("Xk7Poison.App", "Xk7Poison.Changed")?;
    project.edit("Xk7Poison.HAProxy", "Xk7Poison.HAProxyChanged")?;
    project.edit("Xk7Poison.Patroni", "Xk7Poison.PatroniChanged")?;
    run(&["plan", "--full"], &[2])?;
    run(&["plan", "--json"], &[2])?;
    run(&["apply", "--yes", "--json"], &[0])?;
    run(&["plan", "--json"], &[0])?;
    // A mistake on the very line of a password: the line is quoted, the password is not.
    project.edit(
        "{ name: app, password: Xk7Poison.Changed,",
        "{ name: app, password: Xk7Poison.Changed, rolez: [],",
    )?;
    run(&["check"], &[0, 1])?;
    run(&["check", "--json"], &[0, 1])?;
    project.edit(" rolez: [],", "")?;
    Ok(said)
}

fn clean(text: &str, place: &str, poison: &str) -> Outcome {
    if !contains(text.as_bytes(), poison.as_bytes()) {
        return Ok(());
    }
    let lines: Vec<String> = text
        .lines()
        .filter(|line| line.contains(poison))
        .take(5)
        .map(|line| line.replace(poison, "[here]"))
        .collect();
    Err(Failure::new(format!("a secret stands in {place}")).with(lines.join("\n")))
}

/// Log files count whoever may read them.
fn logs(sandbox: &Sandbox, node: u8) -> Outcome {
    for poison in [POISON, VERIFIER] {
        let script = format!(
            "journalctl --no-pager -o export | grep -a -c -F '{poison}'; \
             grep -r -l -a -F '{poison}' /pg/log/ /var/log/ 2>/dev/null; true"
        );
        let found = sandbox.shell(node, &script)?;
        if found.text() != "0" {
            let lines = format!(
                "(journalctl --no-pager -o cat; find /pg/log/ /var/log/ -type f -name '*.*' \
                 -not -path '*/journal/*' -exec cat {{}} +) | grep -a -F '{poison}' | head -n 5 | \
                 sed 's/{POISON}[^ ]*/[here]/g; s/SCRAM-SHA-256\\$[^ ]*/[verifier]/g' | cut -c 1-400"
            );
            let lines = sandbox.shell(node, &lines)?;
            return Err(Failure::new(format!("the logs of node-{node} have a secret"))
                .with(format!("entries in the journal, then files:\n{}", found.stdout))
                .with(lines.stdout));
        }
    }
    Ok(())
}

/// Files that others may read, made or changed since before the first apply.
fn readable(sandbox: &Sandbox, node: u8) -> Outcome {
    let script = format!(
        "find / /run /tmp /dev/shm -xdev -type f -perm /o=r -cnewer /run/before-keddah \
         -exec grep -l -a -F '{POISON}' {{}} + | sort -u"
    );
    let found = sandbox.shell_for(node, &script, Duration::from_secs(120))?;
    ensure!(found.text().is_empty(), "node-{node}: {found}");
    Ok(())
}

/// Files beside the inventory may hold it if they are private; the plan file may not at all.
fn controller(sandbox: &Sandbox, project: &Project, marker: &Path) -> Outcome {
    let plan = std::fs::read_to_string(project.directory.join("reviewed.plan"))?;
    clean(&plan, "the plan file", POISON)?;
    clean(&plan, "the plan file", VERIFIER)?;
    let mut find = Command::new("find");
    find.arg(&project.directory).arg(sandbox.runtime());
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    for place in [PathBuf::from("/tmp"), "/run/keddah".into(), "/var/lib/keddah".into(), home] {
        if place.is_dir() {
            find.arg(place);
        }
    }
    // The nodes' own files were searched from within; build products have no end.
    find.args(["-xdev", "(", "-path", "/var/lib/keddah/sandbox", "-o", "-name", "target*"]);
    find.args(["-o", "-name", "registry", ")", "-prune", "-o", "-type", "f"]);
    find.arg("-cnewer").arg(marker).args(["-size", "-20M", "-print0"]);
    let found = command::run(&mut find, Duration::from_secs(120))?;
    let mut searched = 0;
    for path in found.stdout.split('\0').filter(|path| !path.is_empty()) {
        let (Ok(text), Ok(about)) = (std::fs::read(path), std::fs::metadata(path)) else {
            continue;
        };
        searched += 1;
        let private = about.permissions().mode() & 0o007 == 0 && about.uid() == 0;
        ensure!(
            private || !contains(&text, POISON.as_bytes()),
            "{path} has it, and others may read it"
        );
        let name = path.ends_with("keddah.yml");
        ensure!(
            name || !path.contains("/projects/") || !contains(&text, POISON.as_bytes()),
            "{path} has it"
        );
    }
    ensure!(searched > 2, "only {searched} files were searched: {found}");
    Ok(())
}
