//! Which service processes run on nodes, and since when: how restarts are noticed.

use crate::failure::{Failure, Outcome};
use crate::sandbox::Sandbox;
use std::collections::BTreeSet;

/// Name, process id and start time of each service's processes, `node-1 patroni 123 4567`.
pub type Processes = BTreeSet<String>;

/// PostgreSQL's own children come and go; its postmaster stands for it.
const SCRIPT: &str = r#"
for process in /proc/[0-9]*; do
    name=$(cat "$process/comm" 2>/dev/null) || continue
    case $name in
        patroni|pgbouncer|haproxy|etcd)
            echo "$name ${process#/proc/} $(cut -d' ' -f22 "$process/stat" 2>/dev/null)" ;;
    esac
done
if [ -s /pg/data/postmaster.pid ]; then
    pid=$(head -n 1 /pg/data/postmaster.pid)
    [ -d "/proc/$pid" ] && echo "postgres $pid $(cut -d' ' -f22 "/proc/$pid/stat")"
fi
true
"#;

/// Looks at nodes.
pub fn processes(sandbox: &Sandbox, nodes: impl IntoIterator<Item = u8>) -> Outcome<Processes> {
    let mut all = Processes::new();
    for node in nodes {
        let output = sandbox.shell(node, SCRIPT)?.success()?;
        all.extend(output.stdout.lines().map(|line| format!("node-{node} {line}")));
    }
    Ok(all)
}

/// Fails unless the same processes run as before, apart from those of these programs.
pub fn expect_same(before: &Processes, after: &Processes, except: &[&str]) -> Outcome {
    let counts = |line: &&String| !except.iter().any(|name| line.contains(&format!(" {name} ")));
    let gone: Vec<&String> = before.difference(after).filter(counts).collect();
    let new: Vec<&String> = after.difference(before).filter(counts).collect();
    if gone.is_empty() && new.is_empty() {
        return Ok(());
    }
    Err(Failure::new("processes restarted").with(format!("gone: {gone:?}\nnew: {new:?}")))
}

/// The nodes on which a program's processes are others than before.
pub fn restarted(before: &Processes, after: &Processes, program: &str) -> BTreeSet<String> {
    let of = |all: &Processes| -> BTreeSet<String> {
        all.iter().filter(|line| line.contains(&format!(" {program} "))).cloned().collect()
    };
    let node = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    of(after).difference(&of(before)).map(node).collect()
}
