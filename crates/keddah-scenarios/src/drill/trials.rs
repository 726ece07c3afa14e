//! The trials.

use super::witness::{self, Witnesses};
use super::{MEMBERS, Measured, PATIENCE, Trial};
use crate::cluster::{Member, members, wait_healthy};
use crate::command::wait_until;
use crate::ensure;
use crate::failure::Outcome;
use crate::load::{Load, Session};
use crate::sandbox::{Sandbox, address};
use std::time::{Duration, Instant};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "freeze",
        about: "no process of the leader's node runs for SECONDS, then all go on",
        promise: "no acknowledged write is lost, never do two take commits, the old leader follows",
        seconds: 60,
        run: |sandbox, seconds| {
            on_leader(sandbox, seconds, |node| sandbox.fault(node, &["freeze"], seconds))
        },
    },
    Trial {
        name: "cut",
        about: "the leader's node is cut off the network for SECONDS, and runs on",
        promise: "no acknowledged write is lost, never do two take commits, the old leader follows",
        seconds: 120,
        run: |sandbox, seconds| {
            on_leader(sandbox, seconds, |node| sandbox.fault(node, &["cut"], seconds))
        },
    },
    Trial {
        name: "slow-etcd",
        about: "the disk of etcd carries 2 KiB/s for SECONDS",
        promise: "the leader stays, or hands over without a loss",
        seconds: 60,
        run: |sandbox, seconds| {
            on_leader(sandbox, seconds, |_| {
                sandbox.fault(1, &["slow-disk", "--rate", "2K"], seconds)?;
                etcd_is_slow(sandbox)
            })
        },
    },
    Trial {
        name: "full-disk",
        about: "the disk with the leader's data and WAL is full for SECONDS",
        promise: "no acknowledged write is lost, every page is whole, the member is well afterwards",
        seconds: 60,
        run: |sandbox, seconds| {
            on_leader(sandbox, seconds, |node| sandbox.fault(node, &["full-disk"], seconds))
        },
    },
    Trial {
        name: "power",
        about: "all nodes lose their power at once, for SECONDS (what the machine's kernel has taken, it keeps)",
        promise: "no acknowledged write is lost, all are well without anybody's help",
        seconds: 10,
        run: power,
    },
];

/// The writer goes through a node's services.
fn writer(node: u8) -> String {
    format!("host={} port=5433 user=test password=test dbname=test", address(node))
}

/// Waits until all stream and one is a synchronous standby; returns the leader.
pub(super) fn synchronous(sandbox: &Sandbox, at_most: Duration) -> Outcome<Member> {
    wait_until("a synchronous standby", at_most, || {
        // Whoever is asked first may be the one that is off.
        let leader = MEMBERS
            .iter()
            .map(|node| wait_healthy(sandbox, *node, MEMBERS.len(), Duration::ZERO))
            .find(Result::is_ok);
        let leader = leader
            .unwrap_or_else(|| wait_healthy(sandbox, MEMBERS[0], MEMBERS.len(), Duration::ZERO))?;
        let all = members(sandbox, leader.node)?;
        ensure!(all.iter().any(|one| one.role == "sync_standby"), "{all:?}");
        Ok(leader)
    })
}

/// A fault that ends by itself, under a writer that goes through another node than the leader's.
fn on_leader(
    sandbox: &Sandbox,
    seconds: u64,
    fault: impl FnOnce(u8) -> Outcome,
) -> Outcome<Measured> {
    let leader = synchronous(sandbox, PATIENCE)?;
    let other = MEMBERS.into_iter().find(|node| *node != leader.node).unwrap_or(MEMBERS[0]);
    let witnesses = Witnesses::start(sandbox, leader.node)?;
    let load = Load::start(sandbox, &writer(other), "written_in_drill", Session::Lasting)?;
    std::thread::sleep(Duration::from_secs(3));
    let began = Instant::now();
    let result = fault(leader.node).and_then(|()| {
        std::thread::sleep(Duration::from_secs(seconds));
        // A leader that lost its part has to notice before what is seen is worth anything.
        std::thread::sleep(Duration::from_secs(15));
        let now = synchronous(sandbox, PATIENCE)?;
        Ok((now, began.elapsed()))
    });
    std::thread::sleep(Duration::from_secs(2));
    let record = load.finish();
    let (now, healed) = result?;
    let together = witness::together(&witnesses.finish(sandbox)?);
    Ok(Measured { record: record?, together, moved: now.name != leader.name, healed })
}

/// Writes to etcd take more than a second: else nothing is tried. The first may still find room in what the kernel
/// lets through at once.
fn etcd_is_slow(sandbox: &Sandbox) -> Outcome {
    let put = "ETCDCTL_API=3 ETCDCTL_USER=\"root:$(cat /etc/etcd/root.password)\" timeout 20 \
               etcdctl --endpoints=https://127.0.0.1:2379 \
               --cacert=/etc/pki/etcd-ca.crt --cert=/etc/etcd/server.crt --key=/etc/etcd/server.key \
               --command-timeout=20s put /drill slow";
    let mut slowest = Duration::ZERO;
    for _ in 0..4 {
        slowest = slowest.max(sandbox.shell(1, put)?.elapsed);
    }
    println!("          a write to etcd takes up to {:.1} s", slowest.as_secs_f64());
    ensure!(slowest > Duration::from_secs(1), "a write to etcd takes {slowest:?}: no fault");
    Ok(())
}

fn power(sandbox: &Sandbox, seconds: u64) -> Outcome<Measured> {
    let leader = synchronous(sandbox, PATIENCE)?;
    let load = Load::start(sandbox, &writer(MEMBERS[0]), "written_in_drill", Session::Lasting)?;
    std::thread::sleep(Duration::from_secs(5));
    let began = Instant::now();
    // The leader last: what it acknowledges while the others go is the hard part.
    let mut order: Vec<u8> = MEMBERS.into_iter().filter(|node| *node != leader.node).collect();
    order.extend([leader.node, 1]);
    let off = order.iter().try_for_each(|node| sandbox.stop(*node, true));
    std::thread::sleep(Duration::from_secs(seconds));
    let result = off.and_then(|()| {
        (1..=sandbox.nodes).try_for_each(|node| sandbox.start(node))?;
        let now = synchronous(sandbox, PATIENCE)?;
        Ok((now, began.elapsed()))
    });
    std::thread::sleep(Duration::from_secs(2));
    let record = load.finish();
    let (now, healed) = result?;
    // The nodes were off together: there was nobody to take commits beside another.
    let together = Duration::ZERO;
    Ok(Measured { record: record?, together, moved: now.name != leader.name, healed })
}
