//! What is not well, in words and with what to do about it.

use keddah_core::NodeName;
use serde::Serialize;
use std::fmt;

/// How bad a finding is. The table of all findings in docs/findings.md says which has which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Somebody cannot read or write, or data is about to be lost: now.
    Critical,
    /// Something that protects is missing, or something is not known: today.
    Warning,
    /// Worth knowing; changes neither exit code nor last sentence.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// The kinds of findings: name, severity, meaning. docs/findings.md is made from this and says what to
/// do; a finding of another name cannot be made.
pub const FINDINGS: &[(&str, Severity, &str)] = &[
    ("address-missing", Severity::Critical, "No node holds a virtual address that clients use."),
    (
        "address-elsewhere",
        Severity::Critical,
        "A cluster's virtual address is not with its leader.",
    ),
    ("address-twice", Severity::Critical, "Several nodes hold one virtual address."),
    (
        "altered-settings",
        Severity::Note,
        "Settings were made with `ALTER SYSTEM`; they win over the cluster's configuration.",
    ),
    (
        "archiving-elsewhere",
        Severity::Critical,
        "WAL is archived by something other than pgBackRest: backups end there.",
    ),
    ("archiving-late", Severity::Warning, "WAL waits for the archive for minutes."),
    (
        "archiving-fails",
        Severity::Critical,
        "WAL cannot be archived: it piles up, and no backup reaches to now.",
    ),
    (
        "backup-behind",
        Severity::Warning,
        "The newest backup does not lead on to what is written now.",
    ),
    (
        "backup-broken",
        Severity::Warning,
        "Files of backups that are listed are gone, or pages in them are damaged.",
    ),
    ("backup-missing", Severity::Warning, "A cluster has no full backup, or none of late."),
    ("backups-on-nodes", Severity::Note, "A cluster's backups are on its nodes' own disks only."),
    ("backups-unknown", Severity::Warning, "Whether there are backups could not be asked."),
    ("certificate-ends", Severity::Warning, "A certificate ends soon."),
    ("certificate-ended", Severity::Critical, "A certificate has ended, or does so within days."),
    ("checksum-failures", Severity::Critical, "Pages of a server's data are broken."),
    ("clock-apart", Severity::Warning, "A node's clock differs from that of this machine."),
    (
        "commits-wait",
        Severity::Critical,
        "Commits wait for a standby's consent, and nobody gives it.",
    ),
    (
        "configuration-unloaded",
        Severity::Warning,
        "A program does not use what its files say: they were changed after it read them, or it was told otherwise.",
    ),
    ("connections-exhausted", Severity::Critical, "No session is left for clients."),
    ("connections-full", Severity::Warning, "Nearly all sessions of a server are taken."),
    ("data-gone", Severity::Critical, "A server runs whose data directory is not there any more."),
    ("database-shut", Severity::Critical, "A declared database lets nobody in, or is not there."),
    ("diverged", Severity::Critical, "A standby holds commits that its leader does not have."),
    (
        "dcs-unheard",
        Severity::Warning,
        "A Patroni has not heard etcd for longer than a lease lasts.",
    ),
    ("disk-full", Severity::Critical, "A file system has hardly any room left."),
    ("disk-filling", Severity::Warning, "A file system has little room left."),
    ("disk-unknown", Severity::Warning, "A file system does not answer."),
    (
        "etcd-alarm",
        Severity::Critical,
        "A member of etcd complains, such as of no space, and may take no writes.",
    ),
    ("etcd-alone", Severity::Note, "etcd has one member: without it, no cluster can fail over."),
    ("etcd-elsewhere", Severity::Warning, "Members of etcd look for another one where it is not."),
    ("etcd-member-down", Severity::Warning, "A member of etcd does not answer."),
    (
        "etcd-foreign-settings",
        Severity::Warning,
        "A member of etcd has settings, or would start with some, that nobody has declared.",
    ),
    (
        "etcd-next-start",
        Severity::Critical,
        "A member of etcd would start as another one than it is, such as a cluster of its own.",
    ),
    (
        "etcd-no-quorum",
        Severity::Critical,
        "etcd has no majority: no cluster can fail over or change.",
    ),
    ("etcd-size", Severity::Warning, "etcd's store is near the size at which it takes no writes."),
    ("etcd-silent-keys", Severity::Warning, "What etcd holds could not be asked."),
    ("etcd-two-clusters", Severity::Critical, "Members of etcd belong to different clusters."),
    ("etcd-undeclared", Severity::Warning, "etcd has a member that the inventory does not have."),
    (
        "etcd-unlisted",
        Severity::Warning,
        "etcd has no such member as the inventory has: it was struck, or has never joined.",
    ),
    (
        "foreign-configuration",
        Severity::Warning,
        "A program reads a file that Keddah has not written.",
    ),
    ("idle-slot", Severity::Warning, "A replication slot that nobody uses keeps WAL."),
    ("lagging", Severity::Warning, "A standby is too far behind to take over."),
    ("login-refused", Severity::Warning, "A server, pool or service refuses a new login."),
    ("member-down", Severity::Warning, "A member of a cluster does not run."),
    (
        "next-start-fails",
        Severity::Critical,
        "A server runs on what it has read, and does not start again: a file that a setting names is gone.",
    ),
    ("no-leader", Severity::Critical, "A cluster has no leader: nobody can write."),
    (
        "no-synchronous-standby",
        Severity::Warning,
        "Commits should wait for a standby, and there is none.",
    ),
    ("node-unknown", Severity::Warning, "A node could not be asked how it does."),
    ("not-streaming", Severity::Warning, "A standby runs and does not receive what is written."),
    (
        "other-identity",
        Severity::Critical,
        "A member runs under another name than the inventory's.",
    ),
    ("other-timeline", Severity::Warning, "A standby is on another timeline than its leader."),
    (
        "monitor-refused",
        Severity::Warning,
        "The monitoring role's password is not the declared one.",
    ),
    ("paused", Severity::Warning, "Patroni is paused: nobody takes over."),
    (
        "pending-restart",
        Severity::Warning,
        "A server does not use all that is declared until it restarts.",
    ),
    ("pool-paused", Severity::Warning, "A pool holds its clients back."),
    ("pool-silent", Severity::Critical, "A pool takes connections and answers nothing."),
    ("port-closed", Severity::Warning, "A node does not reach a port of a member elsewhere."),
    (
        "program-replaced",
        Severity::Warning,
        "A program runs, and another version of it is installed: an upgrade waits for a restart.",
    ),
    ("public-passwords", Severity::Warning, "Passwords are ones that everyone knows."),
    (
        "public-passwords-sandbox",
        Severity::Note,
        "Passwords are ones that everyone knows, on nodes of a sandbox.",
    ),
    ("read-only", Severity::Critical, "A leader makes each new transaction read-only."),
    (
        "replay-held",
        Severity::Warning,
        "A standby receives what is written, and holds back its replay.",
    ),
    (
        "repository-gone",
        Severity::Critical,
        "The place in which a cluster was archived is empty: its disk is not mounted, say.",
    ),
    ("server-silent", Severity::Critical, "A server takes connections and answers nothing."),
    ("scheduled", Severity::Note, "Patroni will act at a time that somebody has set."),
    (
        "service-by-hand",
        Severity::Warning,
        "HAProxy was told otherwise than its file about a service.",
    ),
    ("service-down", Severity::Warning, "A unit that should run does not."),
    ("service-leads-nowhere", Severity::Warning, "A service has no server behind it."),
    ("service-silent", Severity::Critical, "A login through a service gets no answer."),
    (
        "transaction-ids",
        Severity::Warning,
        "A database needs to be vacuumed: transaction ids run out.",
    ),
    (
        "transaction-ids-end",
        Severity::Critical,
        "A server is about to refuse writes for want of transaction ids.",
    ),
    ("two-writable", Severity::Critical, "Two members of a cluster take writes."),
    (
        "undeclared-cluster",
        Severity::Warning,
        "etcd holds a cluster with a leader that the inventory does not have.",
    ),
    (
        "undeclared-leader",
        Severity::Critical,
        "A member leads that the inventory does not have: no service leads there.",
    ),
    (
        "undeclared-member",
        Severity::Warning,
        "A member runs that the inventory does not have: no service leads there.",
    ),
    (
        "unattended-upgrades",
        Severity::Warning,
        "A machine may upgrade or restart its servers by itself, all members at the same time.",
    ),
    ("versions-apart", Severity::Warning, "Members of a cluster run different versions."),
    (
        "writes-lead-nowhere",
        Severity::Critical,
        "The service for writes leads to nobody, while its cluster has a leader.",
    ),
    (
        "unsafe-setting",
        Severity::Warning,
        "A server runs with a setting under which data may be lost or broken.",
    ),
    ("user-shut", Severity::Warning, "A declared user cannot log in, or connect to any database."),
];

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its name, which stays the same from version to version.
    pub name: &'static str,
    /// What it is about: a cluster, an instance, a node, or etcd.
    pub place: String,
    /// The cluster of PostgreSQL that it belongs to.
    pub cluster: Option<String>,
    /// What is not well.
    pub message: String,
    /// Since when, in seconds since 1970, where that is known.
    pub since: Option<i64>,
    /// What to do about it.
    pub remedy: String,
    /// Whether the inventory says that it is known (`keddah_accept`).
    pub accepted: bool,
    /// The nodes that it is about.
    pub nodes: Vec<NodeName>,
    /// The member of etcd that it is about, by its id in hexadecimal digits, as etcd's own tool takes it.
    pub member: Option<String>,
}

impl Finding {
    /// A finding of a kind, whose severity is the table's.
    pub(super) fn of(
        name: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let severity = FINDINGS
            .iter()
            .find(|(known, ..)| *known == name)
            // A name that is not in the table is a defect, and no reason to hide what was found.
            .map_or(Severity::Critical, |(_, severity, _)| *severity);
        Self {
            severity,
            name,
            place: place.into(),
            cluster: None,
            message: message.into(),
            since: None,
            remedy: remedy.into(),
            accepted: false,
            nodes: Vec::new(),
            member: None,
        }
    }

    /// Which member of etcd it is about.
    pub(super) fn about_member(mut self, id: &str) -> Self {
        self.member = Some(id.to_owned());
        self
    }

    /// Since when.
    pub(super) fn since(mut self, seconds: i64) -> Self {
        self.since = (seconds > 0).then_some(seconds);
        self
    }

    /// Whether it keeps the fleet from being called well.
    pub fn counts(&self) -> bool {
        !self.accepted && self.severity != Severity::Note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_nothing_and_stand_once() {
        let mut names: Vec<&str> = FINDINGS.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
