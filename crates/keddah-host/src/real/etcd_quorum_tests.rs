//! The guards of etcd's quorum, and a member's way from learner to voter, with real members on loopback.

use super::{can_spare, can_stop, can_strike};
use crate::RealHost;
use crate::real::etcd_gateway::{Member, members};
use crate::real::etcd_member::apply;
use keddah_resource::kind::etcd_member::{EtcdConnection, Observed, Spec, Stage};
use keddah_resource::kind::unit::Quorum;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// A member's ports and, while it runs, its process, which ends with the test.
struct Process {
    name: String,
    client: u16,
    peer: u16,
    child: Option<Child>,
}

impl Process {
    fn prepare(name: &str) -> Self {
        // Both at once, so that they differ; taken by nobody else within the moment etcd needs.
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (client, peer) = (free(), free());
        Self { name: name.to_owned(), client: port(&client), peer: port(&peer), child: None }
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }

    fn connection(&self) -> EtcdConnection {
        EtcdConnection {
            endpoint: format!("http://127.0.0.1:{}", self.client),
            ca_path: String::new(),
            certificate_path: String::new(),
            key_path: String::new(),
        }
    }

    fn start(&mut self, directory: &TempDir, cluster: &str, state: &str) {
        let client = self.connection().endpoint;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd", "--name", &self.name, "--data-dir"])
            .arg(directory.path().join(&self.name))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &self.peer_url()])
            .args(["--initial-advertise-peer-urls", &self.peer_url()])
            .args(["--initial-cluster", cluster, "--initial-cluster-state", state])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn cluster(processes: &[&Process]) -> String {
    let one = |process: &&Process| format!("{}={}", process.name, process.peer_url());
    processes.iter().map(one).collect::<Vec<_>>().join(",")
}

fn quorum(own: &Process, others: &[&Process]) -> Quorum {
    let others = others.iter().map(|one| one.connection()).collect();
    Quorum { own: own.connection(), others }
}

/// A member in the list, asked for through the first of those that stay.
fn spec(member: &Process, present: bool, stage: Stage, stay: &[&Process]) -> Spec {
    Spec {
        member: member.name.clone(),
        peer_url: member.peer_url(),
        present,
        replaces: None,
        stage,
        others: stay[1..].iter().map(|one| one.connection()).collect(),
        connection: stay[0].connection(),
    }
}

fn named<'a>(list: &'a [Member], process: &Process) -> Option<&'a Member> {
    list.iter().find(|one| one.peer_urls.contains(&process.peer_url()))
}

/// Looks, and changes what differs, as a plan and an apply do.
async fn converge(spec: &Spec) {
    let list = members(&spec.connection).await.unwrap();
    let found = list.iter().find(|one| one.peer_urls.contains(&spec.peer_url));
    let observed = Observed {
        peer_url: found.map(|_| spec.peer_url.clone()),
        id: found.map(|one| one.id.to_string()),
        learner: found.is_some_and(|one| one.learner),
        answers: false,
    };
    let difference = spec.diff(&observed).expect("it differs");
    apply(&RealHost::new(std::env::temp_dir()), spec, &observed, &difference).await.unwrap();
}

#[tokio::test]
async fn a_member_is_spared_struck_stopped_and_gets_its_vote_with_a_quorum_only() {
    let directory = tempfile::Builder::new().prefix("keddah-etcd-").tempdir().unwrap();
    let [mut one, mut two, mut three, mut four] =
        ["m-1", "m-2", "m-3", "m-4"].map(Process::prepare);
    let all = cluster(&[&one, &two, &three]);
    for process in [&mut one, &mut two, &mut three] {
        process.start(&directory, &all, "new");
    }
    // All up. The guard waits until they have elected a leader.
    let up = Instant::now() + Duration::from_secs(60);
    while let Err(error) = can_spare(&quorum(&one, &[&two, &three])).await {
        assert!(Instant::now() < up, "{error:?}");
    }
    let list = members(&one.connection()).await.unwrap();
    assert_eq!(list.len(), 3);
    let strikes_third = spec(&three, false, Stage::Listed, &[&one, &two]);
    let strikes_second = spec(&two, false, Stage::Listed, &[&one, &three]);
    let (second, third) = (named(&list, &two).unwrap(), named(&list, &three).unwrap());
    can_strike(&strikes_second, &list, second).await.unwrap();
    can_strike(&strikes_third, &list, third).await.unwrap();
    can_stop(&quorum(&two, &[&one, &three])).await.unwrap();

    // One down: no other one can be spared, not for a moment and not for good; the dead one can.
    three.kill();
    let refused = can_spare(&quorum(&one, &[&two, &three])).await.unwrap_err();
    assert!(refused.message.contains("of 3 members 2 are a quorum"), "{refused:?}");
    let refused = can_strike(&strikes_second, &list, second).await.unwrap_err();
    assert!(refused.message.contains("m-2 is not struck"), "{refused:?}");
    assert!(refused.log.iter().any(|line| line.contains(&three.client.to_string())), "{refused:?}");
    let refused = can_stop(&quorum(&two, &[&one, &three])).await.unwrap_err();
    assert!(refused.message.contains("etcd is not stopped"), "{refused:?}");
    converge(&strikes_third).await;
    let list = members(&one.connection()).await.unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    // Nobody needs a member that is struck.
    can_stop(&quorum(&three, &[&one, &two])).await.unwrap();

    // A new one joins, and takes no vote before it has caught up.
    converge(&spec(&four, true, Stage::Listed, &[&one, &two])).await;
    let list = members(&one.connection()).await.unwrap();
    assert!(named(&list, &four).unwrap().learner, "{list:?}");
    can_spare(&quorum(&one, &[&two, &four])).await.unwrap();
    let joining = cluster(&[&one, &two, &four]);
    four.start(&directory, &joining, "existing");
    converge(&spec(&four, true, Stage::Votes, &[&one, &two])).await;
    let list = members(&one.connection()).await.unwrap();
    assert!(list.len() == 3 && list.iter().all(|one| !one.learner), "{list:?}");
    can_spare(&quorum(&one, &[&two, &four])).await.unwrap();
}
