//! Nothing that hangs on the way to a node holds up the fleet: an `ssh` that does, and an agent.

use crate::protocol::{Answer, Ask, MARKER, PROTOCOL, Request, Response, Welcome};
use crate::transport::socket_name;
use crate::{
    Arrivals, Become, Controller, Holder, Limits, Session, SessionError, SshTarget, Target, frame,
};
use keddah_core::NodeName;
use keddah_plan::Failure;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

/// Long enough for a machine under load, and nothing that waits for ever.
const FOR_EVER: Duration = Duration::from_secs(20);

/// Whatever hangs, hangs for longer than that.
const HANG: &str = "exec sleep 60";

fn limits() -> Limits {
    let short = Duration::from_millis(500);
    Limits {
        opening: FOR_EVER,
        copying: short,
        ending: short,
        looking: short,
        answer: short,
        pulse: Duration::from_millis(50),
    }
}

fn target() -> SshTarget {
    SshTarget {
        host: "10.10.10.11".to_owned(),
        port: None,
        user: None,
        private_key_file: None,
        arguments: Vec::new(),
        become_root: Become::Never,
    }
}

/// A controller whose `ssh` is a script; `$last` of it is the command for the node.
struct Bench {
    directory: PathBuf,
    controller: Controller,
}

impl Bench {
    fn new(test: &str, script: &str, limits: Limits) -> Self {
        let directory =
            std::env::temp_dir().join(format!("keddah-transport-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let secure_shell = directory.join("ssh");
        let runs = directory.join("runs");
        let text =
            format!("#!/bin/sh\nfor last; do :; done\necho run >> {}\n{script}\n", runs.display());
        std::fs::write(&secure_shell, text).unwrap();
        std::fs::set_permissions(&secure_shell, std::fs::Permissions::from_mode(0o755)).unwrap();
        let executable = directory.join("agent");
        // More than a pipe holds.
        std::fs::write(&executable, vec![b'x'; 1 << 20]).unwrap();
        let controller = Controller {
            executable,
            build: "build".to_owned(),
            control_directory: directory.clone(),
            state_directory: directory.clone(),
            secure_shell,
            limits,
            arrivals: Arrivals::default(),
            agents: None,
        };
        Self { directory, controller }
    }

    async fn connect(&self) -> Failure {
        let node = NodeName::new("a");
        let target = Target::Ssh(target());
        let connected = tokio::time::timeout(FOR_EVER, self.controller.connect(&node, &target));
        connected.await.expect("it waits for ever").expect_err("there is no agent")
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.directory.join("runs")).unwrap().lines().count()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The script of a node without the agent; `rest` happens when it is copied there.
fn missing(then: &str, rest: &str) -> String {
    format!(
        "case $last in *keddah-agent-missing*) echo keddah-agent-missing; {then};; esac\n{rest}"
    )
}

#[tokio::test]
async fn a_login_over_a_shared_connection_that_hangs_takes_one_limit_in_all() {
    let limit = Duration::from_secs(4);
    let bench = Bench::new("shared", HANG, Limits { opening: limit, ..limits() });
    std::fs::write(bench.directory.join(socket_name(&target())), "").unwrap();
    let began = Instant::now();
    let failure = bench.connect().await;
    let took = began.elapsed();
    assert!(failure.message.contains("a login has not come to an end"), "{failure:?}");
    assert_eq!(bench.runs(), 2, "a new connection is tried");
    assert!(took < limit + limit / 2, "{took:?}");
}

/// Twice as many as may begin at the same time.
#[tokio::test]
async fn hosts_that_hang_in_login_keep_no_others_from_beginning() {
    let limit = Duration::from_secs(3);
    let bench = Bench::new("many", HANG, Limits { opening: limit, ..limits() });
    let controller = std::sync::Arc::new(bench.controller.clone());
    let targets = (0..160).map(|number| {
        let host = format!("10.10.10.{number}");
        (NodeName::new(host.clone()), Target::Ssh(SshTarget { host, ..target() }))
    });
    let began = Instant::now();
    let fleet = crate::Fleet::connect(&controller, targets).await;
    let took = began.elapsed();
    assert_eq!(fleet.unreachable().len(), 160);
    assert_eq!(bench.runs(), 160, "each was tried");
    assert!(took < limit * 5 / 3, "{took:?}");
}

#[tokio::test]
async fn a_copy_of_which_nothing_is_taken_is_given_up() {
    let bench = Bench::new("taken", &missing("exit 0", HANG), limits());
    let failure = bench.connect().await;
    assert!(
        failure.message.contains("cannot copy the agent: nothing was taken within 0.5 s"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_copy_that_is_taken_and_never_put_in_its_place_is_given_up() {
    let script = missing("exit 0", &format!("cat > /dev/null\n{HANG}"));
    let failure = Bench::new("placed", &script, limits()).connect().await;
    assert!(
        failure.message.contains("cannot copy the agent: it did not end within 0.5 s"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_slow_copy_that_gets_on_is_waited_for() {
    // Each part takes less than the limit, all of them more.
    let read = "for n in 1 2 3 4 5 6 7 8; do sleep 0.2; head -c 131072 > /dev/null; done";
    let script = missing("exit 0", &format!("{read}\necho no room >&2; exit 1"));
    let limits = Limits { copying: Duration::from_secs(1), ..limits() };
    let failure = Bench::new("slow", &script, limits).connect().await;
    assert!(failure.message.contains("cannot copy the agent: no room"), "{failure:?}");
}

#[tokio::test]
async fn a_login_that_has_answered_and_does_not_end_is_ended() {
    let script = missing(HANG, "echo no room >&2; exit 1");
    let failure = Bench::new("missing", &script, limits()).connect().await;
    assert!(failure.message.contains("cannot copy the agent: no room"), "{failure:?}");
    let failure = Bench::new("ended", &format!("exec >&-\n{HANG}"), limits()).connect().await;
    assert!(failure.message.contains("ssh: it did not end within 0.5 s"), "{failure:?}");
}

/// An agent of which this is the node's end, up to its first answer.
async fn greeted(mut stream: DuplexStream) -> DuplexStream {
    stream.write_all(format!("{MARKER}\n").as_bytes()).await.unwrap();
    let _: Option<crate::protocol::Hello> = frame::read(&mut stream).await.unwrap();
    let welcome = Welcome { protocol: PROTOCOL, build: "build".to_owned() };
    frame::write(&mut stream, &welcome).await.unwrap();
    stream
}

async fn session(limits: Limits, stream: DuplexStream) -> Result<Session, Failure> {
    let (reader, writer) = tokio::io::split(stream);
    let node = NodeName::new("a");
    let opened = Session::over_within(&node, "build", reader, writer, limits);
    tokio::time::timeout(FOR_EVER, opened).await.expect("it waits for ever")
}

fn holder() -> Holder {
    Holder {
        user: "root".to_owned(),
        host: "admin".to_owned(),
        pid: 7,
        since: "2026-01-01T00:00:00Z".to_owned(),
        command: "keddah apply".to_owned(),
        finishing: false,
    }
}

#[tokio::test]
async fn an_agent_that_speaks_and_does_not_greet_is_given_up() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    theirs.write_all(format!("{MARKER}\n").as_bytes()).await.unwrap();
    let limits = Limits { opening: Duration::from_millis(300), ..limits() };
    let failure = session(limits, ours).await.expect_err("nobody greets");
    assert!(failure.message.contains("out of reach"), "{failure:?}");
}

#[tokio::test]
async fn a_frozen_agent_is_given_up_even_where_it_may_take_long() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let agent = tokio::spawn(greeted(theirs));
    let session = session(limits(), ours).await.unwrap();
    let _frozen = agent.await.unwrap();
    let holder = holder();
    let locked = tokio::time::timeout(FOR_EVER, session.lock(&holder));
    let Err(SessionError::Lost(failure)) = locked.await.expect("it waits for ever") else {
        panic!("nobody locked it")
    };
    assert!(failure.message.contains("has not answered"), "{failure:?}");
}

#[tokio::test]
async fn an_agent_that_takes_long_and_answers_meanwhile_is_waited_for() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let mut stream = greeted(theirs).await;
        let mut asked = None;
        let mut pulses = 0;
        while let Ok(Some(Request { number, ask })) = frame::read(&mut stream).await {
            let response = match ask {
                Ask::Lock(_) => {
                    asked = Some(number);
                    continue;
                }
                // It takes longer than the limit of a question.
                _ if pulses < 20 => {
                    pulses += 1;
                    Response { number, answer: Answer::Held(None), spent: 0 }
                }
                _ => Response { number: asked.unwrap(), answer: Answer::Locked, spent: 0 },
            };
            frame::write(&mut stream, &response).await.unwrap();
        }
    });
    let began = Instant::now();
    let session = session(limits(), ours).await.unwrap();
    let holder = holder();
    let locked = tokio::time::timeout(FOR_EVER, session.lock(&holder));
    locked.await.expect("it is asked meanwhile").expect("it gets on");
    assert!(began.elapsed() > limits().answer, "it was long enough");
}
