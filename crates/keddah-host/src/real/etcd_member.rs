//! Members in etcd's own list, by `etcdctl`.

use super::etcd_client::reads_with_consent;
use super::etcd_gateway::{List, Member, address_and_port, list, members, missing_file, status};
use super::etcd_quorum::can_strike;
use super::unit::accepts;
use crate::command::Command;
use crate::sql::Unreachable;
use crate::sql::grouped::{Answers, groups};
use crate::{HostError, RealHost};
use keddah_resource::kind::etcd_auth::{ROOT, ROOT_PASSWORD_FILE};
use keddah_resource::kind::etcd_member::{EtcdConnection, Observed, Spec, Stage};
use keddah_resource::{Difference, EtcdFacts, EtcdMemberFacts, Observation};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a member may take to be well again before or after the list changes: some elections.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a new member may take to catch up before it votes: the whole state, some gigabytes at the
/// most (etcd's quota), over the network and to the disk.
const CATCHING_UP: Duration = Duration::from_secs(300);

/// Between two attempts.
const STEP: Duration = Duration::from_millis(500);

/// Secrets stay in files: only their paths are arguments.
fn etcdctl(connection: &EtcdConnection) -> Command {
    let EtcdConnection { endpoint, ca_path, certificate_path, key_path } = connection;
    let mut command = Command::new("etcdctl").env("ETCDCTL_API", "3").args([
        "--endpoints",
        endpoint,
        "--dial-timeout=2s",
        "--command-timeout=5s",
    ]);
    for (option, path) in [("--cacert", ca_path), ("--cert", certificate_path), ("--key", key_path)]
    {
        if !path.is_empty() {
            command = command.args([option, path]);
        }
    }
    // Where etcd asks for logins, only root changes its list; where it does not, it minds none. Told by
    // the environment, which is root's own, and not by an argument.
    if let Ok(password) = std::fs::read_to_string(ROOT_PASSWORD_FILE) {
        command = command.env("ETCDCTL_USER", &format!("{ROOT}:{password}"));
    }
    command.patience(Duration::from_secs(15))
}

/// The members as facts; `None` when etcd does not answer, whatever the reason.
pub(crate) async fn facts(connection: &EtcdConnection) -> Option<EtcdFacts> {
    if not_yet(connection).await.is_some() {
        return None;
    }
    let List { header, members } = list(connection).await.ok()?;
    let fact = |Member { id, name, peer_urls, learner, client_urls: _ }| EtcdMemberFacts {
        id: id.to_string(),
        name,
        peer_urls,
        learner,
    };
    let members = members.into_iter().map(fact).collect();
    Some(EtcdFacts { cluster: header.cluster_id, member: header.member_id, members })
}

/// Why etcd cannot be asked yet.
async fn not_yet(connection: &EtcdConnection) -> Option<String> {
    if let Some(path) = missing_file(connection) {
        return Some(format!("{path} does not exist yet"));
    }
    if !Path::new("/usr/bin/etcdctl").exists() && !Path::new("/usr/local/bin/etcdctl").exists() {
        return Some("etcdctl is not installed yet".to_owned());
    }
    let endpoint = &connection.endpoint;
    let (address, port) = address_and_port(endpoint)?;
    if accepts(&address, port).await {
        None
    } else {
        Some(format!("etcd does not run on {endpoint} yet"))
    }
}

/// Looks at members; one question per endpoint.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let mut answers = Answers::new(specs.len());
    for (connection, places) in groups(specs.iter().map(|spec| &spec.connection)) {
        let listed = match not_yet(connection).await {
            Some(because) => Err(Unreachable::NotYet { because }),
            None => members(connection).await.map_err(Unreachable::Failed),
        };
        let looked = match listed {
            Err(error) => Err(error),
            Ok(members) => {
                let mut looked = Vec::with_capacity(places.len());
                for place in &places {
                    let spec = specs[*place];
                    let found = find(&members, spec);
                    let peer_url = found.and_then(|member| member.peer_urls.first().cloned());
                    let id = found.map(|member| member.id.to_string());
                    let learner = found.is_some_and(|member| member.learner);
                    let answers = match &peer_url {
                        Some(url) if spec.present && *url != spec.peer_url => answers_at(url).await,
                        _ => false,
                    };
                    let observed = Observed { peer_url, id, learner, answers };
                    looked.push(Ok(Observation::Known(observed.into())));
                }
                Ok(looked)
            }
        };
        answers.fill(&places, looked);
    }
    answers.finish()
}

/// Whether somebody accepts connections at a peer URL.
async fn answers_at(url: &str) -> bool {
    match address_and_port(url) {
        Some((address, port)) => accepts(&address, port).await,
        None => false,
    }
}

/// A member has its name only once it has started; until then its peer URL tells it.
fn find<'a>(members: &'a [Member], spec: &Spec) -> Option<&'a Member> {
    members.iter().find(|member| member.name == spec.member).or_else(|| {
        members
            .iter()
            .find(|member| member.name.is_empty() && member.peer_urls.contains(&spec.peer_url))
    })
}

/// Adds, moves or removes one member. Waits until etcd is well enough for it: one that still misses
/// the member that was added before refuses the next.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let patience = match spec.stage {
        Stage::Listed => PATIENCE,
        Stage::Votes => CATCHING_UP,
    };
    let deadline = Instant::now() + patience;
    loop {
        // Looked at each time: an order whose answer was lost may have been carried out.
        let attempt = match attempt(spec).await {
            // A cluster of one that was given a second member is well only when that has started.
            Ok(()) if !spec.present => healthy(&spec.connection).await,
            other => other,
        };
        match attempt {
            Ok(()) => return Ok(()),
            Err(error) if !passes(&error) || Instant::now() >= deadline => return Err(error),
            Err(_) => sleep(STEP).await,
        }
    }
}

async fn attempt(spec: &Spec) -> Result<(), HostError> {
    let members = members(&spec.connection).await?;
    let found = find(&members, spec);
    if spec.stage == Stage::Votes {
        let Some(member) = found else {
            return Err(HostError::new(format!("{} is no member of etcd", spec.member)));
        };
        if !member.learner {
            return Ok(());
        }
        // The leader alone knows whether it has caught up. What another member hands on to it comes
        // there without a login, and is refused until the time is over where etcd asks for logins
        // (`etcdserver`, `promoteMember` and `promoteMemberHTTP`).
        let leader = status(&spec.connection).await?.leader;
        let leads = members.iter().find(|one| one.id == leader);
        let urls: Vec<&String> = leads.into_iter().flat_map(|one| &one.client_urls).collect();
        // Its loopback address is another machine's, unless all of them are on this one.
        let elsewhere = urls.iter().find(|url| !url.contains("//127."));
        let endpoint = elsewhere.or(urls.first()).ok_or_else(|| {
            // It passes, as an election does.
            HostError::new("etcd has no leader that clients could ask")
        })?;
        let connection =
            EtcdConnection { endpoint: (*endpoint).clone(), ..spec.connection.clone() };
        let promoted =
            etcdctl(&connection).args(["member", "promote", &format!("{:x}", member.id)]);
        return promoted.succeed().await.map(drop);
    }
    let command = etcdctl(&spec.connection);
    let peer_url = format!("--peer-urls={}", spec.peer_url);
    let command = match (spec.present, found) {
        (false, None) => return Ok(()),
        // etcdctl takes ids in hexadecimal digits, and lists them in decimal ones.
        (false, Some(member)) => {
            can_strike(spec, &members, member).await?;
            command.args(["member", "remove", &format!("{:x}", member.id)])
        }
        (true, None) => command.args(["member", "add", "--learner", &spec.member, &peer_url]),
        (true, Some(member)) if spec.replaces.as_ref() == Some(&member.id.to_string()) => {
            can_strike(spec, &members, member).await?;
            let struck = command.args(["member", "remove", &format!("{:x}", member.id)]);
            struck.succeed().await?;
            return Box::pin(attempt(spec)).await;
        }
        (true, Some(member)) if member.peer_urls == [spec.peer_url.clone()] => return Ok(()),
        (true, Some(member)) => {
            for url in &member.peer_urls {
                if answers_at(url).await {
                    return Err(HostError::new(format!(
                        "{} is left at {url}: somebody answers there",
                        spec.member
                    )));
                }
            }
            command.args(["member", "update", &format!("{:x}", member.id), &peer_url])
        }
    };
    command.succeed().await.map(drop)
}

/// Whether a member reads with the consent of a quorum.
///
/// # Errors
/// When it does not answer, or not in time.
pub(super) async fn healthy(connection: &EtcdConnection) -> Result<(), HostError> {
    reads_with_consent(connection).await.map_err(|error| {
        HostError::new(format!("etcd on {} is not well: {error}", connection.endpoint))
    })
}

/// Refusals that end by themselves when an election is over or a new member has caught up.
fn passes(error: &HostError) -> bool {
    const PASSING: [&str; 8] = [
        "not enough started members",
        "unhealthy cluster",
        "no leader",
        "leader changed",
        "request timed out",
        "deadline exceeded",
        "re-configuring cluster",
        // A learner that has not caught up yet.
        "in sync with leader",
    ];
    error.log.iter().any(|line| PASSING.iter().any(|words| line.contains(words)))
        || error.message.contains(" is not well: ")
        || error.message.contains("did not end within")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_by_name_or_before_it_has_one_by_its_url() {
        let member = |id, name: &str, peer_url: &str| Member {
            id,
            name: name.to_owned(),
            peer_urls: vec![peer_url.to_owned()],
            client_urls: Vec::new(),
            learner: false,
        };
        let members = [
            member(1, "etcd-1", "https://10.10.10.10:2380"),
            member(2, "", "https://10.10.10.11:2380"),
        ];
        let connection = EtcdConnection {
            endpoint: "https://10.10.10.10:2379".to_owned(),
            ca_path: String::new(),
            certificate_path: String::new(),
            key_path: String::new(),
        };
        let spec = |member: &str, peer_url: &str| Spec {
            member: member.to_owned(),
            peer_url: peer_url.to_owned(),
            present: true,
            replaces: None,
            stage: Stage::Listed,
            others: Vec::new(),
            connection: connection.clone(),
        };
        let id = |spec| find(&members, &spec).map(|member| member.id);
        assert_eq!(id(spec("etcd-1", "https://elsewhere:2380")), Some(1));
        assert_eq!(id(spec("etcd-2", "https://10.10.10.11:2380")), Some(2));
        assert_eq!(id(spec("etcd-3", "https://10.10.10.10:2380")), None);
    }
}
