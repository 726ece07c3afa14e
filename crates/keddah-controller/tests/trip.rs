//! The whole trip, driven without the binary: nodes in memory, and this machine only as the controller that
//! writes the authorities beside the inventory.

#![allow(clippy::unwrap_used, reason = "a trip that cannot be begun fails its test")]

use keddah_controller::{
    Applied, ApplyRequest, Approver, Choice, Clock, Context, Error, Event, PlanRequest, Proposal,
    Question, Seen, StatusRequest, Surroundings, Watch, Work, apply, plan,
};
use keddah_core::NodeName;
use keddah_fleet::agent::{self, Settings};
use keddah_fleet::{Agents, FORKS, Stop};
use keddah_host::{FakeEvent, FakeHost, RealHost};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::watch;

const NODES: [&str; 2] = ["10.10.10.11", "10.10.10.12"];

const INVENTORY: &str = "\
all:
  children:
    pair:
      hosts: { 10.10.10.11: {}, 10.10.10.12: {} }
      vars: { node_cluster: pair, haproxy_admin_password: poison-4711 }
";

struct Standing;

impl Clock for Standing {
    fn milliseconds(&self) -> i64 {
        1_800_000_000_000
    }
}

/// Nodes in memory; the controller's own files are real.
struct Machines {
    hosts: Vec<(&'static str, FakeHost)>,
    state: PathBuf,
}

impl Agents for Machines {
    fn serve(&self, node: &NodeName, conversation: DuplexStream, settings: Settings) {
        let runtime = agent::runtime().unwrap();
        let (reader, writer) = tokio::io::split(conversation);
        let fake = self.hosts.iter().find(|(name, _)| *name == node.as_str());
        match fake {
            Some((_, host)) => {
                let host = Arc::new(host.clone());
                runtime.block_on(agent::serve(host, reader, writer, settings)).unwrap();
            }
            None => {
                let host = Arc::new(RealHost::new(&self.state));
                runtime.block_on(agent::serve(host, reader, writer, settings)).unwrap();
            }
        }
    }
}

/// Says the same to every question, and remembers them.
struct Person {
    answer: &'static str,
    asked: Mutex<Vec<String>>,
}

impl Approver for Person {
    fn answer(&self, question: &Question<'_>) -> std::io::Result<String> {
        self.asked.lock().unwrap().push(format!("{question:?}"));
        Ok(self.answer.to_owned())
    }
}

/// A directory with an inventory, two bare nodes, and what was told.
struct Scene {
    directory: PathBuf,
    events: Arc<Mutex<Vec<FakeEvent>>>,
    told: Arc<Mutex<Vec<String>>>,
    context: Context,
}

impl Scene {
    fn new(test: &str, inventory: &str) -> Self {
        let directory = std::env::temp_dir()
            .join(format!("keddah-trip-{test}-{}", rustix::process::getpid().as_raw_nonzero()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("keddah.yml"), inventory).unwrap();
        let events: Arc<Mutex<Vec<FakeEvent>>> = Arc::default();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let hosts = NODES.map(|name| (name, FakeHost::sharing(name, &events))).to_vec();
        let agents = Machines { hosts, state: directory.join("state") };
        let hear = told.clone();
        let context = Context {
            inventory: Some(directory.join("keddah.yml")),
            environment: Surroundings {
                user: own("-un"),
                group: own("-gn"),
                host: "admin".to_owned(),
                pid: 4711,
                public_keys: Vec::new(),
                runtime_directory: Some(directory.clone()),
                ssh_configuration: None,
                executable: Some(directory.join("no-such-program")),
                state_directory: directory.join("state"),
                clock: Arc::new(Standing),
            },
            sink: Arc::new(move |event| hear.lock().unwrap().push(in_a_word(event))),
            approver: None,
            wishes: Arc::new(|| watch::channel(Stop::No).1),
            agents: Some(Arc::new(agents)),
        };
        Self { directory, events, told, context }
    }

    /// The same trip, with somebody to ask.
    fn with(&self, answer: &'static str) -> (Context, Arc<Person>) {
        let person = Arc::new(Person { answer, asked: Mutex::default() });
        (Context { approver: Some(person.clone()), ..self.context.clone() }, person)
    }

    async fn plan(&self) -> Proposal {
        let request = PlanRequest {
            choice: Choice::default(),
            despite: Vec::new(),
            patience: Duration::from_secs(10),
        };
        plan(&self.context, request).await.unwrap()
    }

    fn applied(&self) -> usize {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| matches!(event, FakeEvent::Applied { .. })).count()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn own(option: &str) -> String {
    let output = Command::new("id").arg(option).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn in_a_word(event: &Event<'_>) -> String {
    match event {
        Event::Unread { problem, .. } => format!("unread {}", problem.code),
        Event::Doubtful { problem, .. } => format!("doubtful {}", problem.code),
        Event::OtherWarnings { count, .. } => format!("{count} other warnings"),
        Event::Began(work) => format!("began {work:?}"),
        Event::Ended(work) => format!("ended {work:?}"),
        Event::Executing(plan) => format!("executing {}", plan.changes.len()),
        Event::Execution(event) => match event {
            keddah_plan::Event::ChangeStarted { .. } => "started".to_owned(),
            keddah_plan::Event::ChangeFinished { .. } => "finished".to_owned(),
            other => format!("{other:?}"),
        },
        Event::Executed => "executed".to_owned(),
    }
}

fn request(yes: bool) -> ApplyRequest<'static> {
    ApplyRequest {
        reviewed: None,
        yes,
        destroy: Vec::new(),
        despite: Vec::new(),
        allow_public_passwords: false,
        forks: FORKS,
        command: "keddah apply".to_owned(),
    }
}

/// What takes a moment when a plan is made.
fn reaching() -> [String; 2] {
    let work = Work::Reaching { nodes: NODES.len() };
    [format!("began {work:?}"), format!("ended {work:?}")]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planned_is_applied_and_then_nothing_is_left() {
    let scene = Scene::new("whole", INVENTORY);
    let proposal = scene.plan().await;
    let changes = proposal.planned.plan.changes.len();
    assert!(changes > 10, "{:?}", proposal.planned.plan);
    assert_eq!(scene.told(), reaching());
    assert_eq!(scene.applied(), 0, "a plan changes nothing");

    let (context, person) = scene.with("yes");
    let applied = apply(&context, &proposal, request(false)).await.unwrap();
    let Applied::Done { report, .. } = applied else { panic!("{applied:?}") };
    assert!(report.is_success(), "{report:?}");
    let asked = person.asked.lock().unwrap().clone();
    assert_eq!(asked, [format!("Apply {{ changes: {changes}, restarts: [] }}")]);
    let told = scene.told();
    assert_eq!(told.first(), Some(&format!("executing {changes}")));
    assert_eq!(told.last().map(String::as_str), Some("executed"));
    let count = |word: &str| told.iter().filter(|one| *one == word).count();
    assert_eq!((count("started"), count("finished")), (changes, changes), "{told:?}");
    let own = |change: &&keddah_plan::PlannedChange| NODES.contains(&change.id.node.as_str());
    let theirs = proposal.planned.plan.changes.iter().filter(own).count();
    assert_eq!(scene.applied(), theirs);
    assert!(scene.directory.join("files/pki/ca/ca.key").exists(), "the controller's own change");

    let again = scene.plan().await;
    assert!(again.planned.plan.changes.is_empty(), "{:?}", again.planned.plan.changes);
    assert_eq!(scene.told(), reaching());
    let applied = apply(&context, &again, request(false)).await.unwrap();
    assert!(matches!(applied, Applied::Nothing), "{applied:?}");
    assert_eq!((scene.told().len(), person.asked.lock().unwrap().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_unasked() {
    let scene = Scene::new("unasked", INVENTORY);
    let proposal = scene.plan().await;
    scene.told();
    let refused = apply(&scene.context, &proposal, request(false)).await.unwrap_err();
    let Error::Other(error) = refused else { panic!("{refused:?}") };
    assert_eq!(error.message, "there is no terminal to ask for approval");
    for answer in ["", "n", "yes!", "10.10.10.11"] {
        let (context, person) = scene.with(answer);
        let refused = apply(&context, &proposal, request(false)).await.unwrap_err();
        assert!(matches!(refused, Error::NotApproved), "{answer}: {refused:?}");
        assert_eq!(person.asked.lock().unwrap().len(), 1);
    }
    let unknown = ApplyRequest { destroy: vec!["old".to_owned()], ..request(true) };
    let refused = apply(&scene.context, &proposal, unknown).await.unwrap_err();
    assert!(format!("{refused:?}").contains("nothing bears this name"), "{refused:?}");
    assert_eq!((scene.applied(), scene.told().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_stop_is_heard() {
    let scene = Scene::new("stop", INVENTORY);
    let proposal = scene.plan().await;
    let (wish, stop) = watch::channel(Stop::Gently);
    let context = Context { wishes: Arc::new(move || stop.clone()), ..scene.context.clone() };
    let applied = apply(&context, &proposal, request(true)).await.unwrap();
    drop(wish);
    let Applied::Done { report, .. } = applied else { panic!("{applied:?}") };
    assert!(!report.is_success());
    assert_eq!(scene.applied(), 0);
    assert_eq!(scene.told().last().map(String::as_str), Some("executed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_inventory_is_an_error_with_its_problems_and_asks_no_node() {
    let text = INVENTORY.replace("node_cluster: pair", "node_cluster: pair, node_tune: fast");
    let scene = Scene::new("wrong", &text);
    let request = PlanRequest {
        choice: Choice::default(),
        despite: Vec::new(),
        patience: Duration::from_secs(10),
    };
    let Err(refused) = plan(&scene.context, request).await else { panic!("it was planned") };
    let Error::Problems(read) = refused else { panic!("{refused:?}") };
    assert!(read.diagnostics.iter().any(|one| one.message.contains("node_tune")), "{read:?}");
    assert_eq!(scene.told().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_looks_again_and_again() {
    let scene = Scene::new("status", INVENTORY);
    let request =
        StatusRequest { limit: vec![NODES[0].to_owned()], within: Duration::from_secs(10) };
    let watch = Watch::of(&scene.context, request).unwrap();
    for _ in 0..2 {
        let Seen { health, nodes, unread, now } = watch.look(&scene.context).await.unwrap();
        assert_eq!((nodes, unread, now), (1, 0, 1_800_000_000));
        // Its clock stands at 1970: a finding of that node, and of no other.
        let places: Vec<&str> = health.findings.iter().map(|one| one.place.as_str()).collect();
        assert!(places.contains(&NODES[0]) && !places.contains(&NODES[1]), "{places:?}");
    }
    assert_eq!(scene.applied(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_everyone_knows_is_told_and_opens_nothing() {
    let scene =
        Scene::new("public", &INVENTORY.replace(", haproxy_admin_password: poison-4711", ""));
    let proposal = scene.plan().await;
    assert_eq!(scene.told().first().map(String::as_str), Some("doubtful public-password"));
    assert!(proposal.opens_what_nobody_allowed(&scene.context).unwrap());
    let refused = apply(&scene.context, &proposal, request(true)).await.unwrap_err();
    assert!(format!("{refused:?}").contains("`haproxy_admin_password`"), "{refused:?}");
    assert_eq!(scene.applied(), 0);
}

/// The trip once more, in a process of its own whose standard streams are looked at: what is written past
/// the test harness' own capture would be seen there.
#[test]
fn nothing_is_printed() {
    let name = "what_was_planned_is_applied_and_then_nothing_is_left";
    let mut itself = Command::new(std::fs::read_link("/proc/self/exe").unwrap());
    let output = itself.args(["--exact", name, "--nocapture"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let own = format!("test {name} ... ok");
    assert_eq!(lines[..2], ["running 1 test", own.as_str()], "{said}");
    assert!(lines[2].starts_with("test result: ok. 1 passed") && lines.len() == 3, "{said}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
