//! The node's end of the conversation.
//!
//! Requests are served at the same time as they come. When the controller goes away, what was
//! begun is finished and nothing else is begun; then the agent ends, and the node's lock with it.
//!
//! Two tasks only read and write, and answer whether anybody is there at all. On [`runtime`] they go on
//! while the work keeps its own thread busy: a machine that is merely slow is not taken for one that is
//! frozen. Whose work waits in the kernel, for a file that nobody writes, say, is not answered for.

use crate::FrameError;
use crate::converge::{converge, failure};
use crate::frame;
use crate::lock::{LockError, NodeLock, holder};
use crate::protocol::{Answer, Ask, Hello, MARKER, PROTOCOL, Request, Response, Welcome};
use keddah_host::{Host, Round};
use keddah_plan::Failure;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

/// Where the lock of a node is.
pub const LOCK_PATH: &str = "/run/keddah/lock";

/// What an agent has to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The hash of this executable, or any text that the controller also has.
    pub build: String,
    /// The lock file; `None` for a host that nobody else can change, such as a test's.
    pub lock_path: Option<PathBuf>,
}

/// What [`serve`] is to run on: the work has the thread that calls it, and the conversation has another.
///
/// # Errors
/// When there is no thread to be had.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

/// Serves one conversation until the controller hangs up.
///
/// # Errors
/// When the streams break, or the other end is not a controller of this build.
pub async fn serve<H: Host + 'static>(
    host: Arc<H>,
    reader: impl AsyncRead + Unpin + Send + 'static,
    writer: impl AsyncWrite + Unpin + Send + 'static,
    settings: Settings,
) -> Result<(), FrameError> {
    LocalSet::new().run_until(converse(host, reader, writer, settings)).await
}

struct Agent<H> {
    host: Arc<H>,
    lock_path: Option<PathBuf>,
    lock: RefCell<Option<NodeLock>>,
    stopping: Cell<bool>,
    patience: Duration,
    round: CurrentRound,
}

/// What belongs to one look at this machine: who was silent is not asked again.
type CurrentRound = Arc<Mutex<Option<Arc<Round>>>>;

async fn converse<H: Host + 'static>(
    host: Arc<H>,
    mut reader: impl AsyncRead + Unpin + Send + 'static,
    mut writer: impl AsyncWrite + Unpin + Send + 'static,
    settings: Settings,
) -> Result<(), FrameError> {
    writer.write_all(format!("{MARKER}\n").as_bytes()).await.map_err(FrameError::Io)?;
    writer.flush().await.map_err(FrameError::Io)?;
    let Some(Hello { protocol, build, patience }) = frame::read(&mut reader).await? else {
        return Ok(());
    };
    let welcome = Welcome { protocol: PROTOCOL, build: settings.build.clone() };
    frame::write(&mut writer, &welcome).await?;
    if protocol != PROTOCOL || build != settings.build {
        // The welcome has told the controller, which explains it better.
        return Ok(());
    }

    let agent = Rc::new(Agent {
        host,
        lock_path: settings.lock_path,
        lock: RefCell::new(None),
        stopping: Cell::new(false),
        patience: Duration::from_millis(patience),
        round: CurrentRound::default(),
    });
    let (answers, mut queue) = mpsc::unbounded_channel::<Response>();
    let writing = tokio::spawn(async move {
        let mut broken = false;
        while let Some(response) = queue.recv().await {
            // A controller that went away does not stop what was begun.
            broken = broken || frame::write(&mut writer, &response).await.is_err();
        }
        let _ = writer.shutdown().await;
    });
    let (asking, mut asked) = mpsc::unbounded_channel::<Request>();
    let beat = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let beating = tokio::task::spawn_local({
        let beat = beat.clone();
        async move {
            loop {
                beat.store(milliseconds(begun.elapsed()), Ordering::Relaxed);
                tokio::time::sleep(BEAT).await;
            }
        }
    });
    let pulse = Pulse {
        thread: rustix::thread::gettid().as_raw_nonzero().get(),
        beat,
        begun,
        lock_path: agent.lock_path.clone(),
        round: agent.round.clone(),
        answers: answers.clone(),
    };
    let reading = tokio::spawn(async move {
        // Whoever hung up hears no answer: these end with this task.
        let mut pulses = JoinSet::new();
        loop {
            while pulses.try_join_next().is_some() {}
            match frame::read::<Request>(&mut reader).await {
                Ok(Some(Request { number, ask: Ask::Holder })) => {
                    let pulse = pulse.clone();
                    pulses.spawn(async move { pulse.answer(number).await });
                }
                Ok(Some(request)) => {
                    if asking.send(request).is_err() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                // A controller that was killed is the same as one that hung up.
                Err(FrameError::Io(_)) => break Ok(()),
                Err(error) => break Err(error),
            }
        }
    });
    let mut running = JoinSet::new();
    while let Some(Request { number, ask }) = asked.recv().await {
        let (agent, answers) = (agent.clone(), answers.clone());
        running.spawn_local(async move {
            let answer = agent.answer(ask).await;
            let spent = spent(&agent.round);
            let _ = answers.send(Response { number, answer, spent });
        });
        while running.try_join_next().is_some() {}
    }
    let ended = reading.await.unwrap_or(Ok(()));
    beating.abort();
    agent.stopping.set(true);
    if let Some(lock) = agent.lock.borrow_mut().as_mut() {
        // Whoever waits is told wrongly that the controller is at work; nothing else follows.
        let _ = lock.finishing();
    }
    while running.join_next().await.is_some() {}
    drop(answers);
    let _ = writing.await;
    ended
}

/// How often the work shows that it goes on.
const BEAT: Duration = Duration::from_millis(50);

/// Without a beat for so long, the work's thread is looked at.
const STILL: Duration = Duration::from_millis(500);

/// What answers while the work goes on, however slowly: who changes the node now.
#[derive(Clone)]
struct Pulse {
    /// The work's thread, and when it has shown itself last, in milliseconds since the beginning.
    thread: i32,
    beat: Arc<AtomicU64>,
    begun: Instant,
    lock_path: Option<PathBuf>,
    round: CurrentRound,
    answers: mpsc::UnboundedSender<Response>,
}

impl Pulse {
    async fn answer(&self, number: u64) {
        while self.hangs() {
            tokio::time::sleep(BEAT).await;
        }
        let answer = held(self.lock_path.as_deref());
        let _ = self.answers.send(Response { number, answer, spent: spent(&self.round) });
    }

    /// Whether the work neither goes on nor waits for a processor: it waits in the kernel.
    fn hangs(&self) -> bool {
        let beat = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        if self.begun.elapsed().saturating_sub(beat) < STILL {
            return false;
        }
        let path = format!("/proc/self/task/{}/stat", self.thread);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // Behind the name, which is in brackets and may hold anything (proc(5)).
        let state = text.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|state| !state.starts_with('R'))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn held(lock_path: Option<&Path>) -> Answer {
    Answer::Held(lock_path.and_then(|path| holder(path).ok()?))
}

fn of(round: &CurrentRound) -> MutexGuard<'_, Option<Arc<Round>>> {
    round.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds of silence in the current look.
fn spent(round: &CurrentRound) -> u64 {
    milliseconds(of(round).as_ref().map_or(Duration::ZERO, |round| round.spent()))
}

impl<H: Host> Agent<H> {
    /// Whether this conversation may change the node.
    fn is_locked(&self) -> bool {
        self.lock_path.is_none() || self.lock.borrow().is_some()
    }

    /// The round that a question belongs to: what a machine is asked first begins one.
    fn round(&self, begins: bool) -> Arc<Round> {
        let current = &mut *of(&self.round);
        let round = current.clone().filter(|_| !begins);
        let round = round.unwrap_or_else(|| Round::new(self.patience));
        if begins {
            *current = Some(round.clone());
        }
        round
    }

    /// What looks is kept on the heap: all kinds at once are too much for the stack of a thread.
    async fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Facts(probe) => {
                match self.round(true).within(Box::pin(self.host.facts(&probe))).await {
                    Ok(facts) => Answer::Facts(Box::new(facts)),
                    Err(error) => Answer::Failed(failure(error)),
                }
            }
            Ask::Observe { specs, spent } => {
                let round = self.round(false);
                round.spent_elsewhere(Duration::from_millis(spent));
                let observed = round.clone().within(Box::pin(self.host.observe(&specs))).await;
                round.hang_up();
                Answer::Observed(observed.into_iter().map(|one| one.map_err(failure)).collect())
            }
            // The pulse is faster where there is one.
            Ask::Holder => held(self.lock_path.as_deref()),
            Ask::Lock(holder) => {
                let Some(path) = &self.lock_path else { return Answer::Locked };
                if self.lock.borrow().is_some() {
                    return Answer::Locked;
                }
                match NodeLock::take(path, &holder).await {
                    Ok(lock) => {
                        // What is asked from here on is about what has changed.
                        *of(&self.round) = None;
                        *self.lock.borrow_mut() = Some(lock);
                        Answer::Locked
                    }
                    Err(LockError::Busy(holder)) => Answer::Busy(holder),
                    Err(LockError::Io(error)) => {
                        Answer::Failed(Failure::new(format!("{}: {error}", path.display())))
                    }
                }
            }
            Ask::Owe { .. } | Ask::Converge(_) if !self.is_locked() => Answer::Failed(
                Failure::new("the node is not locked for this controller, so nothing is changed")
                    .hint("this is a defect of the controller: please report it"),
            ),
            Ask::Owe { target, action } => match self.host.owe(&target, action).await {
                Ok(()) => Answer::Owed,
                Err(error) => Answer::Failed(failure(error)),
            },
            Ask::IdleListeners { patience } => {
                match self.host.idle_listeners(Duration::from_millis(patience)).await {
                    Ok(listeners) => Answer::IdleListeners(listeners),
                    Err(error) => Answer::Failed(failure(error)),
                }
            }
            Ask::Health(probe) => {
                let health = self.round(false).within(Box::pin(self.host.health(&probe))).await;
                Answer::Health(Box::new(health))
            }
            Ask::Converge(request) => match converge(&*self.host, &request, &self.stopping).await {
                Ok(class) => Answer::Converged(class),
                Err(failure) => Answer::Failed(failure),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Converge, Holder};
    use crate::{Limits, Session, SessionError};
    use keddah_core::NodeName;
    use keddah_host::{FakeHost, HostError};
    use keddah_plan::Promise;
    use keddah_resource::health::{HealthProbe, NodeHealth};
    use keddah_resource::kind::directory;
    use keddah_resource::{
        Difference, IdleListener, Kind, Material, NodeFacts, Observation, Observed, Probe,
        ResourceId, Spec, TriggerAction,
    };
    use std::thread::JoinHandle;

    /// A machine that does this for everything, and lets nothing else run on its thread meanwhile.
    struct Busy(FakeHost, fn());

    impl Host for Busy {
        async fn facts(&self, probe: &Probe) -> Result<NodeFacts, HostError> {
            self.1();
            self.0.facts(probe).await
        }
        async fn observe(&self, specs: &[Spec]) -> Vec<Result<Observation, HostError>> {
            self.1();
            self.0.observe(specs).await
        }
        async fn apply(
            &self,
            spec: &Spec,
            observed: &Observed,
            difference: &Difference,
            material: Option<&Material>,
        ) -> Result<(), HostError> {
            self.0.apply(spec, observed, difference, material).await
        }
        async fn owe(&self, target: &ResourceId, action: TriggerAction) -> Result<(), HostError> {
            self.0.owe(target, action).await
        }
        async fn idle_listeners(&self, patience: Duration) -> Result<Vec<IdleListener>, HostError> {
            self.0.idle_listeners(patience).await
        }
        async fn health(&self, probe: &HealthProbe) -> NodeHealth {
            self.0.health(probe).await
        }
    }

    const LOOKING: Duration = Duration::from_millis(1200);

    /// What comes of asking a machine for its facts that does this first, and its agent.
    async fn facts_of(work: fn()) -> (Result<NodeFacts, SessionError>, JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let agent = std::thread::spawn(move || {
            let Ok(runtime) = runtime() else { panic!("no thread is to be had") };
            let (reader, writer) = tokio::io::split(theirs);
            let settings = Settings { build: "test".into(), lock_path: None };
            let host = Busy(FakeHost::sharing("node", &Arc::default()), work);
            let _ = runtime.block_on(serve(Arc::new(host), reader, writer, settings));
        });
        let (reader, writer) = tokio::io::split(ours);
        let limits = Limits { looking: LOOKING, ..Limits::default() };
        let session =
            Session::over_within(&NodeName::new("node"), "test", reader, writer, limits).await;
        let Ok(session) = session else { panic!("no conversation") };
        (session.facts(&Probe::default()).await, agent)
    }

    #[tokio::test]
    async fn a_machine_that_is_slow_is_not_silent() {
        let facts = facts_of(|| {
            let begun = Instant::now();
            while begun.elapsed() < 3 * LOOKING {
                std::hint::spin_loop();
            }
        });
        let (facts, _) = facts.await;
        assert!(facts.is_ok(), "{facts:?}");
    }

    #[tokio::test]
    async fn one_whose_work_waits_in_the_kernel_is_silent() {
        let (answer, agent) = facts_of(|| std::thread::sleep(2 * LOOKING)).await;
        let Err(SessionError::Lost(lost)) = answer else { panic!("it was waited for") };
        assert!(lost.message.contains("has not answered"), "{lost:?}");
        // Its controller has gone with a question unanswered: when the work is done, the agent ends, and the
        // lock of its node with it.
        let begun = Instant::now();
        while !agent.is_finished() && begun.elapsed() < 4 * LOOKING {
            tokio::time::sleep(BEAT).await;
        }
        assert!(agent.is_finished(), "it goes on");
    }

    #[tokio::test]
    async fn nothing_is_changed_without_the_lock() {
        let name = format!("keddah-agent-{}", std::process::id());
        let lock_path = std::env::temp_dir().join(name).join("lock");
        let agent = Agent {
            host: Arc::new(FakeHost::sharing("node", &Arc::default())),
            lock_path: Some(lock_path.clone()),
            lock: RefCell::new(None),
            stopping: Cell::new(false),
            patience: Duration::from_secs(1),
            round: CurrentRound::default(),
        };
        let owe = || Ask::Owe {
            target: ResourceId::new(&NodeName::new("node"), Kind::Unit, "etcd.service"),
            action: TriggerAction::Reload,
        };
        let Answer::Failed(refused) = agent.answer(owe()).await else { panic!("it was done") };
        assert!(refused.message.contains("not locked"), "{refused:?}");
        let spec = directory::Spec::present("/a/b", directory::Permissions::root(0o755));
        let change = || {
            Ask::Converge(Box::new(Converge {
                id: ResourceId::new(&NodeName::new("node"), Kind::Directory, "/a/b"),
                spec: spec.clone().into(),
                promise: Promise::Whatever,
                cause: None,
                owes: Vec::new(),
                material: None,
            }))
        };
        let Answer::Failed(refused) = agent.answer(change()).await else { panic!("it was done") };
        assert!(refused.message.contains("not locked"), "{refused:?}");
        let holder = Holder {
            user: "root".into(),
            host: "admin".into(),
            pid: 7,
            since: "2026-01-01T00:00:00Z".into(),
            command: "keddah apply".into(),
            finishing: false,
        };
        assert!(matches!(agent.answer(Ask::Lock(holder)).await, Answer::Locked));
        assert!(matches!(agent.answer(owe()).await, Answer::Owed));
        let changed = agent.answer(change()).await;
        assert!(matches!(changed, Answer::Converged(Some(_))), "it is made with the lock");
        let _ = lock_path.parent().map(std::fs::remove_dir_all);
    }
}
