//! systemd units: state, start at boot, reloads and restarts, and waiting until they serve.

use super::etcd_quorum;
use super::instance_facts;
use super::process;
use super::systemd;
use super::unit_start;
use crate::command::Command;
use crate::rest::{CA, Members, patroni_facts, strict_standbys};
use crate::{HostError, RealHost};
use keddah_resource::kind::unit::{Belongs, Observed, Readiness, Spec, StopGuard};
use keddah_resource::{Class, Difference, Kind, Observation, PatroniFacts, TriggerAction};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// A unit's properties by name.
type Properties<'a> = BTreeMap<&'a str, &'a str>;

/// Between two looks at a unit that is about to serve.
const STEP: Duration = Duration::from_millis(100);

/// A program that systemd holds for started because it runs is looked at once more after this
/// time: one with a mistake in its configuration has ended by then.
const SETTLING: Duration = Duration::from_millis(200);

/// One unit as systemd has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    load: String,
    active: String,
    sub: String,
    file: String,
    needs_daemon_reload: bool,
    can_reload: bool,
}

impl State {
    fn exists(&self) -> bool {
        self.load == "loaded"
    }

    /// A unit that systemd starts again and again is `activating`, and does not run.
    fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    /// Whether anything is left to stop.
    fn is_busy(&self) -> bool {
        !matches!(self.active.as_str(), "inactive" | "failed" | "deactivating")
    }

    fn starts_again(&self) -> bool {
        self.sub.starts_with("auto-restart")
    }

    /// Whether it starts at boot. A unit without an `[Install]` section cannot be told to, or not
    /// to: whatever is wanted holds.
    fn enabled(&self, wanted: bool) -> bool {
        match self.file.as_str() {
            "enabled" | "alias" => true,
            "static" | "indirect" | "generated" | "transient" => wanted,
            _ => false,
        }
    }
}

/// Reads `systemctl show`: a paragraph per unit, in the order in which they were asked for.
fn parse(text: &str) -> Vec<State> {
    paragraphs(text)
        .iter()
        .map(|values| {
            let value = |name| values.get(name).copied().unwrap_or_default().to_owned();
            State {
                load: value("LoadState"),
                active: value("ActiveState"),
                sub: value("SubState"),
                file: value("UnitFileState"),
                needs_daemon_reload: value("NeedDaemonReload") == "yes",
                can_reload: value("CanReload") == "yes",
            }
        })
        .collect()
}

fn paragraphs(text: &str) -> Vec<Properties<'_>> {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs
        .map(|paragraph| paragraph.lines().filter_map(|line| line.split_once('=')).collect())
        .collect()
}

fn systemctl(verb: &str) -> Command {
    Command::new("systemctl").args(["--no-ask-password", verb]).asks("systemd")
}

async fn show_one(unit: &str) -> Result<State, HostError> {
    Ok(parse(&systemd::show(&[unit]).await?.join("\n\n")).pop().unwrap_or_default())
}

/// Looks at units with one question for all of them.
pub async fn observe(host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let units: Vec<&str> = specs.iter().map(|spec| spec.unit.as_str()).collect();
    let text = match systemd::show(&units).await {
        Ok(told) => told.join("\n\n"),
        Err(error) => return specs.iter().map(|_| Err(error.clone())).collect(),
    };
    let answer = |((spec, state), properties): ((&&Spec, State), Properties<'_>)| {
        let observed = Observed {
            exists: state.exists(),
            enabled: state.enabled(spec.enabled),
            running: if spec.running { state.runs() } else { state.is_busy() },
            owes: host.owed().owes(Kind::Unit, &spec.unit)?,
            process: process::process(spec, &properties)?,
        };
        Ok(Observation::Known(observed.into()))
    };
    specs.iter().zip(parse(&text)).zip(paragraphs(&text)).map(answer).collect()
}

/// Starts, stops, enables, disables, reloads or restarts a unit.
pub async fn apply(
    host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    difference: &Difference,
) -> Result<(), HostError> {
    let unit = spec.unit.as_str();
    let mut state = show_one(unit).await?;
    if !state.exists() || state.needs_daemon_reload {
        systemctl("daemon-reload").succeed().await?;
        state = show_one(unit).await?;
    }
    if !state.exists() {
        return absent(host, spec, &state);
    }
    if let Some(belongs) = spec.belongs.as_ref().filter(|_| !spec.running && state.is_busy()) {
        let configuration = Path::new(&belongs.configuration);
        if let Some(another) = another(unit, belongs, instance_facts::named_by(configuration)?) {
            return Err(another);
        }
    }
    if let Some(guard) = spec.guard.filter(|_| !spec.running && state.is_busy()) {
        let ca = Path::new(CA).exists().then_some(CA);
        let answer = patroni_facts(guard.port, ca).await;
        if let Some(forbidden) = forbidden(unit, guard, answer.as_ref()) {
            return Err(forbidden);
        }
        if let (Some(belongs), Some(facts)) = (&spec.belongs, &answer)
            && let says = (facts.scope.clone(), String::new())
            && let Some(another) = another(unit, belongs, says)
        {
            return Err(another);
        }
        if let Some(facts) = answer.filter(|_| !guard.may_lead) {
            let strict = strict_standbys(guard.port, ca, facts.tls).await;
            if let Some(forbidden) = last_standby(unit, strict) {
                return Err(forbidden);
            }
        }
    }
    if state.enabled(spec.enabled) != spec.enabled {
        let verb = if spec.enabled { "enable" } else { "disable" };
        systemctl(verb).args(["--quiet", "--", unit]).succeed().await?;
    }
    let owes = host.owed().owes(Kind::Unit, unit)?;
    match (spec.running, state.runs()) {
        (false, _) => {
            if state.is_busy() {
                if let Some(quorum) = &spec.quorum {
                    etcd_quorum::can_stop(quorum).await?;
                }
                order(spec, "stop").await?;
            }
            host.owed().cross_out(Kind::Unit, unit, TriggerAction::Restart)
        }
        (true, false) => {
            as_declared(spec).await?;
            // Counts of earlier failures would keep systemd from trying. None is no failure.
            systemctl("reset-failed").args(["--", unit]).run().await?;
            // A unit that waits to be started again is not moved by `start`.
            order(spec, if state.starts_again() { "restart" } else { "start" }).await?;
            wait_until_ready(spec).await?;
            stays(spec).await?;
            host.owed().cross_out(Kind::Unit, unit, TriggerAction::Restart)
        }
        (true, true) => match owes.max(wanted(difference.class)) {
            None => Ok(()),
            Some(TriggerAction::Reload) => {
                if !state.can_reload {
                    return Err(HostError::new(format!(
                        "{unit} cannot read its configuration again while it runs"
                    ))
                    .with_hint(format!("restart it: systemctl restart {unit}")));
                }
                order(spec, "reload").await?;
                wait_until_ready(spec).await?;
                host.owed().cross_out(Kind::Unit, unit, TriggerAction::Reload)
            }
            Some(TriggerAction::Restart) => {
                if let Some(error) = process::start_that_leads_elsewhere(spec).await? {
                    return Err(error);
                }
                as_declared(spec).await?;
                if let Some(quorum) = &spec.quorum {
                    etcd_quorum::can_spare(quorum).await?;
                }
                systemctl("reset-failed").args(["--", unit]).run().await?;
                order(spec, "restart").await?;
                wait_until_ready(spec).await?;
                wait_until_serving(spec).await?;
                host.owed().cross_out(Kind::Unit, unit, TriggerAction::Restart)
            }
        },
    }
}

/// Whether a start would be the declared one's.
///
/// # Errors
/// When somebody has given the unit what nobody declared. Nothing was started or stopped.
async fn as_declared(spec: &Spec) -> Result<(), HostError> {
    let Some(settings) = &spec.settings else { return Ok(()) };
    match unit_start::refused(settings).await? {
        Some(refused) => Err(refused),
        None => Ok(()),
    }
}

/// What the difference itself asks of a unit that runs.
fn wanted(class: Class) -> Option<TriggerAction> {
    match class {
        Class::InPlace => None,
        Class::Reload => Some(TriggerAction::Reload),
        Class::Restart | Class::OrderedRestart | Class::Stop | Class::Replace | Class::Destroy => {
            Some(TriggerAction::Restart)
        }
    }
}

/// A unit that should not run need not exist.
fn absent(host: &RealHost, spec: &Spec, state: &State) -> Result<(), HostError> {
    let unit = &spec.unit;
    if !spec.running && !spec.enabled && state.load == "not-found" {
        return host.owed().cross_out(Kind::Unit, unit, TriggerAction::Restart);
    }
    Err(if state.load == "masked" {
        HostError::new(format!("{unit} is masked: somebody has forbidden to start it"))
            .with_hint(format!("systemctl unmask {unit}"))
    } else {
        HostError::new(format!("systemd cannot load {unit}: {}", state.load))
            .with_hint(format!("systemctl status {unit} says why"))
    })
}

/// Gives an order and waits until systemd holds it for carried out.
async fn order(spec: &Spec, verb: &str) -> Result<(), HostError> {
    let patience = Duration::from_secs(u64::from(spec.patience_seconds));
    let command = systemctl(verb).args(["--", &spec.unit]).patience(patience);
    match command.succeed().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("{} did not {verb}: {}", spec.unit, error.message);
            Err(with_journal(HostError { message, ..error }, &spec.unit).await)
        }
    }
}

/// The unit's own last lines say more than systemd does.
async fn with_journal(mut error: HostError, unit: &str) -> HostError {
    let journal = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--output=cat", "--lines=100", "--since=-15min"])
        .args(["--unit", unit])
        .succeed()
        .await
        .unwrap_or_default();
    if !journal.trim().is_empty() {
        error.log.clear();
    }
    error.with_log(&journal)
}

/// Waits until the unit runs and, where a port was named, accepts connections.
async fn wait_until_ready(spec: &Spec) -> Result<(), HostError> {
    let unit = &spec.unit;
    let deadline = Instant::now() + Duration::from_secs(u64::from(spec.patience_seconds));
    let mut confirmed = false;
    loop {
        let state = show_one(unit).await?;
        if state.active == "failed" {
            return Err(with_journal(HostError::new(format!("{unit} has failed")), unit).await);
        }
        if state.runs() {
            match &spec.readiness {
                Readiness::Active if confirmed => return Ok(()),
                Readiness::Active => {
                    confirmed = true;
                    sleep(SETTLING).await;
                    continue;
                }
                Readiness::Tcp { address, port } if accepts(address, *port).await => return Ok(()),
                Readiness::Http { address, port, tls }
                    if speaks(address, *port).await == Some(*tls) =>
                {
                    return Ok(());
                }
                Readiness::Tcp { .. } | Readiness::Http { .. } => {}
            }
        } else {
            confirmed = false;
        }
        if Instant::now() >= deadline {
            let missing = match &spec.readiness {
                Readiness::Tcp { address, port } if state.runs() => {
                    format!("does not accept connections on {address} port {port}")
                }
                Readiness::Http { address, port, tls } if state.runs() => {
                    let how = if *tls { "under TLS" } else { "without TLS" };
                    format!("does not answer {how} on {address} port {port}")
                }
                _ => format!("is {} ({})", state.active, state.sub),
            };
            let seconds = spec.patience_seconds;
            let mut error = HostError::new(format!("after {seconds} s {unit} {missing}"));
            if state.runs() {
                // A reload gives nothing to a program that waits since its start for what it lacked then.
                error = error.with_hint(format!(
                    "it runs and does not serve; where its log names what has been put right since, \
                     `systemctl restart {unit}`"
                ));
            }
            return Err(with_journal(error, unit).await);
        }
        sleep(STEP).await;
    }
}

/// Looks once more at a unit that has opened its port: a member of etcd that the others have struck opens it,
/// hears of that, and ends without an error. Its own last lines say so.
async fn stays(spec: &Spec) -> Result<(), HostError> {
    if spec.readiness == Readiness::Active {
        return Ok(());
    }
    sleep(SETTLING).await;
    let state = show_one(&spec.unit).await?;
    if state.runs() {
        return Ok(());
    }
    let unit = &spec.unit;
    let message =
        format!("{unit} ended right after its start: it is {} ({})", state.active, state.sub);
    let hint = format!("its last lines say why (journalctl -u {unit})");
    Err(with_journal(HostError::new(message).with_hint(hint), unit).await)
}

/// How long an instance may take to serve again after its Patroni was restarted, and it with it.
const SERVING_PATIENCE: Duration = Duration::from_secs(120);

/// Waits until the instance of a Patroni that was restarted serves again: the next one of its cluster
/// is restarted only then.
async fn wait_until_serving(spec: &Spec) -> Result<(), HostError> {
    let Readiness::Http { port, .. } = spec.readiness else { return Ok(()) };
    let ca = Path::new(CA).exists().then_some(CA);
    let deadline = Instant::now() + SERVING_PATIENCE;
    loop {
        let answer = patroni_facts(port, ca).await;
        let state = answer.map_or_else(|| "no answer".to_owned(), |facts| facts.state);
        if matches!(state.as_str(), "running" | "streaming") {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let seconds = SERVING_PATIENCE.as_secs();
            let message = format!(
                "{seconds} s after {} was restarted its instance does not serve: {state}",
                spec.unit
            );
            return Err(with_journal(HostError::new(message), &spec.unit).await);
        }
        sleep(STEP).await;
    }
}

/// Whether a port accepts connections. An address that stands for all of a machine's is reached
/// through the loopback.
pub(crate) async fn accepts(address: &str, port: u16) -> bool {
    let connecting = TcpStream::connect((reached_by(address), port));
    matches!(timeout(Duration::from_secs(1), connecting).await, Ok(Ok(_)))
}

fn reached_by(address: &str) -> &str {
    match address {
        "" | "*" | "0.0.0.0" => "127.0.0.1",
        "::" | "[::]" => "::1",
        other => other,
    }
}

/// Whether a port that speaks HTTP does so under TLS: asked in plain text, such a one does not answer
/// in it. `None` when nobody listens, or nothing is said in time.
async fn speaks(address: &str, port: u16) -> Option<bool> {
    let asking = async {
        let mut stream = TcpStream::connect((reached_by(address), port)).await.ok()?;
        stream.write_all(b"GET /liveness HTTP/1.0\r\n\r\n").await.ok()?;
        let mut answer = [0; 5];
        let plain = stream.read_exact(&mut answer).await.is_ok() && &answer == b"HTTP/";
        Some(!plain)
    };
    timeout(Duration::from_secs(2), asking).await.ok().flatten()
}

/// Why a service is not stopped that is another instance's: the cluster and the name that its neighbour's
/// configuration has, or its Patroni says, where either says anything.
fn another(unit: &str, belongs: &Belongs, (scope, name): (String, String)) -> Option<HostError> {
    let same = |is: &str, wanted: &str| is.is_empty() || is == wanted;
    if same(&scope, &belongs.scope) && same(&name, &belongs.name) {
        return None;
    }
    let is =
        if name.is_empty() { format!("a member of {scope}") } else { format!("{name} of {scope}") };
    let wanted = &belongs.name;
    let message = format!("{unit} is not stopped: what runs here is {is}, and {wanted} is to go");
    Some(HostError::new(message).with_hint("plan again: the inventory, or the node, has changed"))
}

/// Why a Patroni that runs is not stopped. That it does not answer does not mean that it does not lead.
fn forbidden(unit: &str, guard: StopGuard, answer: Option<&PatroniFacts>) -> Option<HostError> {
    let kept = |why: &str| HostError::new(format!("{unit} is not stopped: {why}"));
    match answer {
        None => Some(kept("it does not say whether its instance leads").with_hint(format!(
            "look at it (systemctl status {unit}); once it is known not to lead, stop it by hand, then remove again"
        ))),
        Some(facts) if facts.leads() && !guard.may_lead => Some(
            kept("its instance leads its cluster now")
                .with_hint("hand its part to another member first (patronictl switchover)"),
        ),
        Some(facts) if facts.paused => Some(
            kept("the cluster is paused, and PostgreSQL would run on without it")
                .with_hint("end the pause first (patronictl resume)"),
        ),
        Some(_) => None,
    }
}

/// Why the last standby of a cluster is not stopped whose commits always wait for one.
fn last_standby(unit: &str, strict: io::Result<Option<Members>>) -> Option<HostError> {
    let Members { members, own, .. } = match strict {
        Ok(members) => members?,
        Err(error) => {
            let why = format!(
                "{unit} is not stopped: it does not say whether commits wait for it: {error}"
            );
            let hint = format!("look at it (systemctl status {unit})");
            return Some(HostError::new(why).with_hint(hint));
        }
    };
    let left = members.iter().filter(|one| one.can_be_waited_for() && one.name != own);
    // Without its name, the one that goes is among them.
    let among = usize::from(own.is_empty());
    (left.count() <= among).then(|| {
        HostError::new(format!(
            "{unit} is not stopped: no other standby is there, and commits wait for one in any case \
             (patroni_synchronous_mode_strict)"
        ))
        .with_hint(
            "bring another standby up, or set patroni_synchronous_mode_strict to false and apply",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::MemberState;

    #[test]
    fn the_last_standby_stays_where_commits_always_wait_for_one() {
        let member = |name: &str, role: &str, state: &str| MemberState {
            name: name.into(),
            role: role.into(),
            state: state.into(),
            ..MemberState::default()
        };
        let strict = |own: &str, members: &[&MemberState]| {
            let members = members.iter().map(|&one| one.clone()).collect();
            Ok(Some(Members { members, own: own.to_owned(), ..Members::default() }))
        };
        let leader = member("a", "leader", "running");
        let goes = member("b", "sync_standby", "streaming");
        let other = member("c", "replica", "streaming");
        let refused = last_standby("patroni.service", strict("b", &[&leader, &goes]));
        assert!(refused.is_some_and(|error| error.message.contains("no other standby")));
        let stopped = member("c", "replica", "stopped");
        assert!(last_standby("p", strict("b", &[&leader, &goes, &stopped])).is_some());
        let mut delayed = other.clone();
        delayed.tags.insert("nosync".to_owned(), true.into());
        assert!(last_standby("p", strict("b", &[&leader, &goes, &delayed])).is_some());
        assert!(last_standby("p", strict("b", &[&leader, &goes, &other])).is_none());
        // One that nobody waits for may go, though only one is left to be waited for.
        assert!(last_standby("p", strict("c", &[&leader, &goes, &delayed])).is_none());
        // Older Patronis do not say who they are.
        assert!(last_standby("p", strict("", &[&leader, &goes])).is_some());
        assert!(last_standby("p", strict("", &[&leader, &goes, &other])).is_none());
        assert!(last_standby("p", Ok(None)).is_none(), "commits go on without");
        assert!(last_standby("p", Err(io::Error::other("no answer"))).is_some());
    }

    #[test]
    fn paragraphs_are_read_in_order() {
        let text = "Id=haproxy.service\nLoadState=loaded\nActiveState=activating\n\
                    SubState=auto-restart\nUnitFileState=enabled\nCanReload=yes\n\
                    NeedDaemonReload=yes\n\nId=nosuch.service\nLoadState=not-found\n\
                    ActiveState=inactive\nSubState=dead\nUnitFileState=\nCanReload=no\n\
                    NeedDaemonReload=no\n";
        let states = parse(text);
        assert_eq!(states.len(), 2);
        assert!(states[0].exists() && !states[0].runs() && states[0].starts_again());
        assert!(states[0].needs_daemon_reload && states[0].can_reload && states[0].enabled(false));
        assert!(!states[1].exists() && !states[1].enabled(true));
    }

    #[test]
    fn a_unit_that_cannot_be_enabled_is_as_wanted() {
        let state = State { file: "static".to_owned(), ..State::default() };
        assert!(state.enabled(true) && !state.enabled(false));
        let state = State { file: "masked".to_owned(), ..State::default() };
        assert!(!state.enabled(true));
    }

    #[tokio::test]
    async fn a_port_is_open_or_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(accepts("0.0.0.0", port).await);
        drop(listener);
        assert!(!accepts("127.0.0.1", port).await);
    }

    #[test]
    fn a_service_of_another_instance_is_not_stopped() {
        let belongs = Belongs {
            configuration: "/etc/patroni/conf.d".to_owned(),
            scope: "pg-test".to_owned(),
            name: "pg-test-3".to_owned(),
        };
        let why = |scope: &str, name: &str| {
            another("pgbouncer.service", &belongs, (scope.to_owned(), name.to_owned()))
        };
        assert!(why("pg-test", "pg-test-3").is_none());
        assert!(why("pg-test", "").is_none(), "Patroni does not say its name");
        assert!(why("", "").is_none(), "an earlier removal has taken the configuration");
        let swapped = why("pg-test", "pg-test-2").expect("it is another").message;
        assert!(swapped.contains("is pg-test-2 of pg-test, and pg-test-3 is to go"), "{swapped}");
        assert!(why("pg-meta", "").is_some());
    }

    #[test]
    fn a_patroni_is_stopped_only_where_that_costs_nobody_the_primary() {
        let says = |role: &str, paused| PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: "pg-a".to_owned(),
            system_identifier: "7".to_owned(),
            paused,
        };
        let why = |may_lead, answer: Option<&PatroniFacts>| {
            let guard = StopGuard { port: 8008, may_lead };
            forbidden("patroni.service", guard, answer).map(|error| error.message)
        };
        let contains =
            |why: Option<String>, words: &str| why.is_some_and(|why| why.contains(words));
        assert!(contains(why(false, None), "does not say"));
        assert!(contains(why(false, Some(&says("primary", false))), "leads its cluster"));
        assert!(contains(why(false, Some(&says("standby_leader", false))), "leads its cluster"));
        assert!(contains(why(true, Some(&says("primary", true))), "paused"));
        assert_eq!(why(true, Some(&says("primary", false))), None);
        assert_eq!(why(false, Some(&says("replica", false))), None);
    }
}
