//! The start of a member of a cluster that somebody leads: it follows, and what it has beyond that one is
//! thrown away (`pg_rewind`, or a clone in its place).

use super::{Start, place, size};
use keddah_resource::{Led, StoppedCluster, StoppedMember};

/// What such a start loses; nothing where nothing is lost.
pub(super) fn start<'a>(
    cluster: &'a StoppedCluster,
    led: &Led,
    starting: &[&'a StoppedMember],
) -> Option<Start<'a>> {
    let name = &cluster.name;
    let lost = |member: &&'a StoppedMember| Some((*member, loss(member, led)?));
    let (members, losses): (Vec<_>, Vec<_>) = starting.iter().filter_map(lost).unzip();
    members.first()?;
    let who: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let hosts: Vec<&str> = members.iter().map(|member| member.node.as_str()).collect();
    let removals: Vec<String> = who.iter().map(|name| format!("`keddah remove {name}`")).collect();
    let message = format!(
        "{} would follow {}, which leads {name}, and what that one has not is thrown away",
        who.join(" and "),
        led.by
    );
    let ways = vec![
        format!(
            "to keep it and have the member back: {} moves its data aside, and the next apply clones it from \
             the leader",
            removals.join(" and ")
        ),
        format!(
            "or leave what is stopped on {} to somebody who looks at it, and select the others (`-l`)",
            hosts.join(" and ")
        ),
    ];
    Some(Start { cluster: name, message, losses, ways, chosen: false })
}

fn loss(member: &StoppedMember, led: &Led) -> Option<String> {
    let at = place(member);
    if let Some(directory) = &member.restored {
        return Some(format!(
            "the data of {at} is a restored backup whose recovery has not ended ({directory}/recovery.signal)"
        ));
    }
    // Where not even the last checkpoint can be read, it is half a copy.
    let wal = member.wal.as_ref()?;
    let Some(leader) = &led.wal else {
        return Some(format!(
            "what {at} has cannot be compared: how far {} has come cannot be read",
            led.by
        ));
    };
    let now = format!("{wal}; the leader is on timeline {}", leader.timeline);
    match wal.beyond(leader) {
        // Behind an older timeline's end, there may be more than could be read.
        Some(0) if wal.exact || wal.timeline == leader.timeline => None,
        Some(0) => Some(format!("the WAL of {at} cannot be read behind {wal}")),
        Some(bytes) if wal.timeline == leader.timeline && wal.holds(leader) => {
            Some(format!("{at} has {} of WAL that the leader lacks ({wal}; {leader})", size(bytes)))
        }
        Some(bytes) => {
            Some(format!("{at} has {} of WAL of its own behind the fork ({now})", size(bytes)))
        }
        None => {
            Some(format!("{at} has a history of which the leader's cannot be told apart ({now})"))
        }
    }
}
