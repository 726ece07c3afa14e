//! What HAProxy says about its listeners: whether those that should lead somewhere do.

use crate::{HostError, round};
use keddah_resource::IdleListener;
use keddah_resource::health::{ByHand, Listener};
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

/// HAProxy's administration socket, as `templates/haproxy/haproxy.cfg` names it.
const SOCKET: &str = "/run/haproxy/admin.sock";

/// Between two looks: a health check runs every half second while a server is down.
const STEP: Duration = Duration::from_millis(100);

/// HAProxy answers from memory; one that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listeners none of whose servers is up, once the health checks have had their say, or once
/// `patience` is over. A node without HAProxy has none.
///
/// # Errors
/// When HAProxy is there and does not answer.
pub async fn idle_listeners(patience: Duration) -> Result<Vec<IdleListener>, HostError> {
    let end = Instant::now() + patience;
    loop {
        let Some(answer) = ask("show stat -1 6 -1").await? else { return Ok(Vec::new()) };
        let state = State::read(&answer);
        if (state.idle.is_empty() && !state.checking) || Instant::now() >= end {
            return Ok(state.idle);
        }
        sleep(STEP).await;
    }
}

/// Listeners without a server that is up, and all of them with the servers that they lead to, as they are
/// at this moment.
///
/// # Errors
/// When HAProxy is there and does not answer.
pub(super) async fn listeners() -> Result<(Vec<IdleListener>, Vec<Listener>), HostError> {
    let Some(answer) = ask("show stat -1 6 -1").await? else { return Ok(Default::default()) };
    let State { idle, mut listeners, checking: _ } = State::read(&answer);
    if let Some(answer) = ask("show servers state").await? {
        by_hand(&answer, &mut listeners);
    }
    Ok((idle, listeners))
}

async fn ask(question: &str) -> Result<Option<String>, HostError> {
    let told = async {
        let mut stream = UnixStream::connect(SOCKET).await?;
        stream.write_all(format!("{question}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match round::ask("HAProxy", Some(PATIENCE), told).await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(error))
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            Ok(None)
        }
        Ok(Err(error)) => Err(HostError::new(format!("{SOCKET}: {error}"))),
        Err(_) => Err(HostError::new(format!("{SOCKET}: HAProxy does not answer"))),
    }
}

/// What `show stat` says of backends and servers (HAProxy's management guide, 9.1, "CSV format").
#[derive(Debug, PartialEq)]
struct State {
    idle: Vec<IdleListener>,
    /// Those that have servers, with the ones that get clients.
    listeners: Vec<Listener>,
    /// A server is being called up, or was not looked at yet.
    checking: bool,
}

impl State {
    fn read(answer: &str) -> Self {
        let mut lines = answer.lines();
        let names = lines.next().unwrap_or_default().trim_start_matches("# ").split(',');
        let columns: HashMap<&str, usize> =
            names.enumerate().map(|(at, name)| (name, at)).collect();
        let mut checks: BTreeMap<String, String> = BTreeMap::new();
        let mut idle = Vec::new();
        // By name: those that are up, and those of them that stand in where no other one is.
        let mut up: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
        let mut checking = false;
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let field = |name: &str| {
                columns.get(name).and_then(|at| fields.get(*at)).copied().unwrap_or_default()
            };
            let (listener, status) = (field("pxname"), field("status"));
            if field("svname") == "BACKEND" {
                if status == "DOWN" {
                    idle.push(IdleListener { name: listener.to_owned(), because: String::new() });
                }
                continue;
            }
            if field("svname") == "FRONTEND" {
                continue;
            }
            let (serving, standing_in) = up.entry(listener).or_default();
            if status.starts_with("UP") || status == "no check" {
                let stands_in = field("bck") == "1";
                let list = if stands_in { standing_in } else { serving };
                list.push(field("svname").to_owned());
            }
            // An asterisk marks a check that runs at the moment.
            let check = field("check_status").trim_start_matches("* ");
            // One that is up keeps that over a reload, long before it is looked at again.
            checking |= status.starts_with("DOWN")
                && matches!(check, "INI" | "UNK" | "L4OK" | "L6OK" | "L7OK");
            let because = in_words(check, field("check_code"));
            let because = match status.split(' ').next().unwrap_or_default() {
                "MAINT" => Some("is in maintenance (MAINT)".to_owned()),
                // Drained, or of no weight.
                "DRAIN" | "NOLB" => Some(format!("gets no new clients ({status})")),
                "DOWN" => Some(because),
                _ => None,
            };
            if let Some(because) = because {
                let all = checks.entry(listener.to_owned()).or_default();
                if !all.is_empty() {
                    all.push_str("; ");
                }
                all.push_str(&format!("{} {because}", field("svname")));
            }
        }
        for listener in &mut idle {
            listener.because = checks.remove(&listener.name).unwrap_or_default();
        }
        let listeners = up.into_iter().map(|(name, (serving, standing_in))| Listener {
            name: name.to_owned(),
            servers: if serving.is_empty() { standing_in } else { serving },
            ..Listener::default()
        });
        Self { idle, listeners: listeners.collect(), checking }
    }
}

/// What `show servers state` says that is not in the configuration (HAProxy's management guide, "show servers
/// state", version 1): forced maintenance and drain, another weight, a check that was switched off.
fn by_hand(answer: &str, listeners: &mut [Listener]) {
    const MAINTENANCE: u32 = 0x01;
    const DRAINED: u32 = 0x08;
    const CHECK_CONFIGURED: u32 = 0x02;
    const CHECK_ENABLED: u32 = 0x04;
    let lines: Vec<&str> = answer.lines().collect();
    let Some(names) = lines.iter().find_map(|line| line.strip_prefix("# ")) else { return };
    let columns: HashMap<&str, usize> =
        names.split(' ').enumerate().map(|(at, name)| (name, at)).collect();
    for line in lines.iter().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let field = |name: &str| {
            columns.get(name).and_then(|at| fields.get(*at)).copied().unwrap_or_default()
        };
        let (listener, server) = (field("be_name"), field("srv_name"));
        let Some(found) = listeners.iter_mut().find(|one| one.name == listener) else { continue };
        let bits = |name: &str| field(name).parse::<u32>().unwrap_or_default();
        let mut add = |what: String, back: String| {
            found.by_hand.push(ByHand { server: server.to_owned(), what, back });
        };
        let (admin, check) = (bits("srv_admin_state"), bits("srv_check_state"));
        let ready = format!("set server {listener}/{server} state ready");
        if admin & MAINTENANCE != 0 {
            add("is in maintenance".to_owned(), ready);
        } else if admin & DRAINED != 0 {
            add("is drained".to_owned(), ready);
        }
        if check & CHECK_CONFIGURED != 0 && check & CHECK_ENABLED == 0 {
            let back = format!("enable health {listener}/{server}");
            add("is not checked any more".to_owned(), back);
        }
        let (weight, initial) = (field("srv_uweight"), field("srv_iweight"));
        if !initial.is_empty() && weight != initial {
            let back = format!("set server {listener}/{server} weight {initial}");
            add(format!("has the weight {weight} and not {initial}"), back);
        }
        found.addresses.insert(server.to_owned(), field("srv_addr").to_owned());
    }
}

/// What a health check came to (HAProxy's management guide, 9.1, `check_status`), for somebody who does not
/// know its words; they stand behind, for those who look further.
fn in_words(check: &str, code: &str) -> String {
    let words = match check {
        "L4TOUT" | "L6TOUT" | "L7TOUT" => "does not answer in time",
        "L4CON" => "cannot be connected to",
        "L6RSP" => "fails at TLS",
        "L7RSP" => "answers what is no HTTP",
        // Patroni answers so for all that the service does not ask for.
        "L7STS" => "is not what the service wants",
        "" => return "has not been checked".to_owned(),
        other => return other.to_owned(),
    };
    match code {
        "" => format!("{words} ({check})"),
        code => format!("{words} ({check} {code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "# pxname,svname,status,check_status,check_code,bck,-";

    fn leads(name: &str, servers: &[&str]) -> Listener {
        let servers = servers.iter().map(|name| (*name).to_owned()).collect();
        Listener { name: name.to_owned(), servers, ..Listener::default() }
    }

    #[test]
    fn a_listener_without_a_server_that_is_up_is_idle() {
        let answer = format!(
            "{HEADER}\nadmin,BACKEND,UP,,,\npg-test-offline,pg-test-2,DOWN,L7STS,503,\n\
             pg-test-offline,pg-test-3,DOWN,L4CON,,\npg-test-offline,BACKEND,DOWN,,,\n\
             pg-test-primary,pg-test-1,UP,L7OK,200,\npg-test-primary,pg-test-2,DOWN,L7STS,503,\n\
             pg-test-primary,BACKEND,UP,,,\n"
        );
        let because = "pg-test-2 is not what the service wants (L7STS 503); pg-test-3 cannot be \
                       connected to (L4CON)"
            .to_owned();
        let idle = vec![IdleListener { name: "pg-test-offline".to_owned(), because }];
        let listeners =
            vec![leads("pg-test-offline", &[]), leads("pg-test-primary", &["pg-test-1"])];
        assert_eq!(State::read(&answer), State { idle, listeners, checking: false });
    }

    #[test]
    fn what_was_told_at_the_socket_is_no_secret() {
        let answer = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
                      srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
                      srv_check_health srv_check_state srv_agent_state\n\
                      4 pg-test-primary 1 pg-test-1 10.10.10.11 2 0 1 1 100 15 3 3 6 0\n\
                      4 pg-test-primary 2 pg-test-2 10.10.10.13 0 1 0 1 100 15 3 3 2 0\n\
                      4 pg-test-primary 3 pg-test-3 10.10.10.13 2 8 1 1 100 15 3 3 6 0\n";
        let mut listeners = [leads("pg-test-primary", &["pg-test-1"])];
        by_hand(answer, &mut listeners);
        let told: Vec<(&str, &str)> = listeners[0]
            .by_hand
            .iter()
            .map(|one| (one.server.as_str(), one.what.as_str()))
            .collect();
        let expected = [
            ("pg-test-2", "is in maintenance"),
            ("pg-test-2", "is not checked any more"),
            ("pg-test-2", "has the weight 0 and not 1"),
            ("pg-test-3", "is drained"),
        ];
        assert_eq!(told, expected);
        assert_eq!(listeners[0].addresses["pg-test-2"], "10.10.10.13");
        let answer = format!("{HEADER}\ns,a,MAINT,,,\ns,b,DOWN,L4CON,,\ns,BACKEND,DOWN,,,\n");
        let because = &State::read(&answer).idle[0].because;
        assert!(because.contains("a is in maintenance (MAINT)"), "{because}");
    }

    #[test]
    fn a_server_on_its_way_up_is_waited_for() {
        for line in ["s,a,DOWN 1/2,* L7OK,200,", "s,a,DOWN,INI,,"] {
            let answer = format!("{HEADER}\n{line}\ns,BACKEND,UP,,,\n");
            assert!(State::read(&answer).checking, "{line}");
        }
        let answer = format!(
            "{HEADER}\ns,a,UP 1/3,L7STS,503,\ns,b,UP,INI,,\ns,c,no check,,,\ns,BACKEND,UP,,,\n"
        );
        let listeners = vec![leads("s", &["a", "b", "c"])];
        assert_eq!(State::read(&answer), State { idle: Vec::new(), listeners, checking: false });
    }

    #[test]
    fn whoever_stands_in_serves_where_no_other_one_is_up() {
        let state = |a: &str| {
            let answer = format!(
                "{HEADER}\ns,FRONTEND,OPEN,,,,\ns,a,{a},L7OK,200,0,\ns,b,UP,L7OK,200,1,\ns,BACKEND,UP,,,,\n"
            );
            State::read(&answer).listeners
        };
        assert_eq!(state("UP"), [leads("s", &["a"])]);
        assert_eq!(state("MAINT"), [leads("s", &["b"])]);
    }
}
