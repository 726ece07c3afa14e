//! The controller's end of one conversation: many requests in flight over one stream.

use crate::arrivals::Arrivals;
use crate::frame;
use crate::limits::{Limits, nodes_part};
use crate::protocol::{
    Answer, Ask, Converge, Hello, Holder, MARKER, PROTOCOL, Request, Response, Welcome,
};
use keddah_core::NodeName;
use keddah_plan::{Failure, Outcome};
use keddah_resource::health::{HealthProbe, NodeHealth};
use keddah_resource::{
    Class, IdleListener, NodeFacts, Observation, Probe, ResourceId, Spec, TriggerAction,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Text a login shell may print before the agent speaks; more is not a greeting.
const MAXIMUM_NOISE: usize = 64 * 1024;

/// Why a request has no answer.
#[derive(Debug, Clone)]
pub enum SessionError {
    /// The node says why.
    Failed(Failure),
    /// The node cannot be talked to any more.
    Lost(Failure),
    /// Somebody else changes the node.
    Busy(Option<Holder>),
}

impl fmt::Display for SessionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Failed(failure) | SessionError::Lost(failure) => failure.fmt(formatter),
            SessionError::Busy(Some(holder)) => write!(formatter, "it is held by {holder}"),
            SessionError::Busy(None) => formatter.write_str("it is held by another keddah"),
        }
    }
}

impl std::error::Error for SessionError {}

/// How long a request may take; a change, and the wait for another controller's agent, are bounded on
/// the node, by what they do.
fn patience(ask: &Ask, limits: &Limits) -> Option<Duration> {
    match ask {
        Ask::Holder => Some(limits.looking),
        Ask::Owe { .. } => Some(limits.answer),
        Ask::IdleListeners { patience } => Some(limits.answer + Duration::from_millis(*patience)),
        Ask::Lock(_) | Ask::Converge(_) => None,
        // As long as its agent is alive, which bounds what it waits for.
        Ask::Facts(_) | Ask::Observe { .. } | Ask::Health(_) => None,
    }
}

/// What came of waiting for the agent's first line.
#[derive(Debug)]
pub(crate) enum Opening {
    /// The agent speaks.
    Agent,
    /// The node does not have this build of the agent.
    Missing,
    /// The stream ended; this is what was printed instead.
    Ended(String),
    /// Nothing more came in time; this is what was printed until then.
    Late(String),
}

/// The same as [`opening`], within a time: a login script that waits for something must not hold up
/// the whole fleet.
pub(crate) async fn opening_within(
    reader: &mut (impl AsyncRead + Unpin),
    missing: &str,
    arrivals: &Arrivals,
    limit: Duration,
) -> std::io::Result<Opening> {
    let mut printed = Vec::new();
    match arrivals.within(limit, opening(reader, missing, &mut printed)).await {
        Some(opened) => opened,
        None => Ok(Opening::Late(String::from_utf8_lossy(&printed).trim().to_owned())),
    }
}

/// Reads lines until the agent's marker, `missing`, or the end; all of them are kept in `printed`.
async fn opening(
    reader: &mut (impl AsyncRead + Unpin),
    missing: &str,
    printed: &mut Vec<u8>,
) -> std::io::Result<Opening> {
    let mut begin = 0;
    loop {
        let mut byte = [0_u8];
        // Byte by byte, for what follows the marker is not ours; it is one short line.
        if reader.read(&mut byte).await? == 0 || printed.len() > MAXIMUM_NOISE {
            return Ok(Opening::Ended(String::from_utf8_lossy(printed).trim().to_owned()));
        }
        printed.push(byte[0]);
        if byte[0] != b'\n' {
            // A prompt or greeting without a line feed may stand right before the marker.
            continue;
        }
        let text = String::from_utf8_lossy(&printed[begin..]);
        let text = text.trim_end();
        if text.ends_with(MARKER) {
            return Ok(Opening::Agent);
        }
        if text.ends_with(missing) {
            return Ok(Opening::Missing);
        }
        begin = printed.len();
    }
}

type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>>;

/// A conversation with one node.
#[derive(Debug)]
pub struct Session {
    node: NodeName,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    pending: Pending,
    next: AtomicU64,
    limits: Limits,
    /// Milliseconds that the node has spent on silence.
    spent: Arc<AtomicU64>,
    /// Why the connection ended, told by whoever holds the process behind it.
    epitaph: Arc<Mutex<Option<Failure>>>,
}

impl Session {
    /// Greets an agent whose marker line has been read.
    ///
    /// # Errors
    /// When the agent is of another build, or the stream breaks.
    pub(crate) async fn greet(
        node: &NodeName,
        build: &str,
        mut reader: impl AsyncRead + Unpin + Send + 'static,
        mut writer: impl AsyncWrite + Unpin + Send + 'static,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let patience = nodes_part(limits.looking).as_millis();
        let patience = u64::try_from(patience).unwrap_or(u64::MAX);
        let hello = Hello { protocol: PROTOCOL, build: build.to_owned(), patience };
        let broken = |error: crate::FrameError| Failure::new(format!("{node}: {error}"));
        frame::write(&mut writer, &hello).await.map_err(broken)?;
        let welcome: Option<Welcome> = frame::read(&mut reader).await.map_err(broken)?;
        let Some(Welcome { protocol, build: theirs }) = welcome else {
            return Err(Failure::new(format!("{node}: the agent ended at once")));
        };
        if protocol != PROTOCOL || theirs != build {
            return Err(Failure::new(format!("{node}: the agent is another build ({theirs})")));
        }

        let (outgoing, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                    break;
                }
            }
            let _ = writer.shutdown().await;
        });
        let answers = pending.clone();
        let spent = Arc::new(AtomicU64::new(0));
        let silence = spent.clone();
        let epitaph = Arc::new(Mutex::new(None));
        let cause = epitaph.clone();
        tokio::spawn(async move {
            loop {
                match frame::read::<Response>(&mut reader).await {
                    Ok(Some(Response { number, answer, spent })) => {
                        silence.store(spent, Ordering::Relaxed);
                        let waiting = lock(&answers).as_mut().and_then(|map| map.remove(&number));
                        if let Some(waiting) = waiting {
                            let _ = waiting.send(answer);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        lock(&cause).get_or_insert_with(|| Failure::new(error.to_string()));
                        break;
                    }
                }
            }
            // Dropping the senders tells everybody who waits.
            lock(&answers).take();
        });
        let next = AtomicU64::new(0);
        Ok(Self { node: node.clone(), outgoing, pending, next, limits, spent, epitaph })
    }

    /// Opens a conversation over streams whose other end is an agent, as in a test.
    ///
    /// # Errors
    /// When what answers is not an agent of this build.
    pub async fn over(
        node: &NodeName,
        build: &str,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, Failure> {
        Self::over_within(node, build, reader, writer, Limits::default()).await
    }

    /// The same as [`Session::over`], waiting so long at most.
    ///
    /// # Errors
    /// When what answers is not an agent of this build, or nothing answers in time.
    pub async fn over_within(
        node: &NodeName,
        build: &str,
        mut reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let limit = limits.opening;
        let began = Instant::now();
        // No shell is involved, so nothing can say that the agent is missing.
        match opening_within(&mut reader, "\0", &Arrivals::default(), limit).await {
            Ok(Opening::Agent) => {
                let greeted = Self::greet(node, build, reader, writer, limits);
                tokio::time::timeout_at(began + limit, greeted)
                    .await
                    .unwrap_or_else(|_| Err(late(node, limit, "")))
            }
            Ok(Opening::Late(text)) => Err(late(node, limit, &text)),
            Ok(Opening::Missing) => Err(Failure::new(format!("{node}: no agent"))),
            Ok(Opening::Ended(text)) => {
                Err(Failure::new(format!("{node}: no agent, but `{text}`")))
            }
            Err(error) => Err(Failure::new(format!("{node}: {error}"))),
        }
    }

    /// The node.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Where to write down why the connection ended.
    pub(crate) fn epitaph(&self) -> Arc<Mutex<Option<Failure>>> {
        self.epitaph.clone()
    }

    fn lost(&self) -> SessionError {
        let told = lock(&self.epitaph).clone();
        let failure = told.unwrap_or_else(|| Failure::new("the connection ended"));
        SessionError::Lost(Failure {
            message: format!("{} is out of reach: {}", self.node, failure.message),
            ..failure
        })
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, SessionError> {
        let Limits { pulse, answer, looking, .. } = self.limits;
        if matches!(ask, Ask::Facts(_) | Ask::Observe { .. } | Ask::Health(_)) {
            let (pulse, limit) = (looking / 4, looking - looking / 4);
            return match tokio::time::timeout(answer, self.ask_while_alive(ask, pulse, limit)).await
            {
                Ok(answer) => answer,
                Err(_) => Err(self.silent(answer)),
            };
        }
        let Some(limit) = patience(&ask, &self.limits) else {
            return self.ask_while_alive(ask, pulse, answer).await;
        };
        match tokio::time::timeout(limit, self.ask_for_ever(ask)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.silent(limit)),
        }
    }

    /// Waits for what may take long, as long as the agent answers another question meanwhile: it serves
    /// requests side by side, so one that answers none is frozen, or its machine is.
    async fn ask_while_alive(
        &self,
        ask: Ask,
        pulse: Duration,
        limit: Duration,
    ) -> Result<Answer, SessionError> {
        let asked = self.ask_for_ever(ask);
        tokio::pin!(asked);
        loop {
            let alive = async {
                tokio::time::sleep(pulse).await;
                tokio::time::timeout(limit, self.ask_for_ever(Ask::Holder)).await.is_ok()
            };
            tokio::select! {
                biased;
                answer = &mut asked => return answer,
                answers = alive => {
                    if !answers {
                        return Err(self.silent(pulse + limit));
                    }
                }
            }
        }
    }

    fn silent(&self, limit: Duration) -> SessionError {
        SessionError::Lost(
            Failure::new(format!(
                "{} is connected and has not answered for {:.0} s",
                self.node,
                limit.as_secs_f64()
            ))
            .hint("look at its load, its disks and its memory"),
        )
    }

    async fn ask_for_ever(&self, ask: Ask) -> Result<Answer, SessionError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let bytes = frame::encode(&Request { number, ask })
            .map_err(|error| SessionError::Failed(Failure::new(error.to_string())))?;
        let (sender, receiver) = oneshot::channel();
        match lock(&self.pending).as_mut() {
            Some(map) => map.insert(number, sender),
            None => return Err(self.lost()),
        };
        if self.outgoing.send(bytes).is_err() {
            return Err(self.lost());
        }
        match receiver.await {
            Ok(Answer::Failed(failure)) => Err(SessionError::Failed(failure)),
            Ok(Answer::Busy(holder)) => Err(SessionError::Busy(holder)),
            Ok(answer) => Ok(answer),
            Err(_) => {
                // The reason arrives with the end of the process, a moment after the stream's.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(self.lost())
            }
        }
    }

    fn confused(&self) -> SessionError {
        SessionError::Lost(Failure::new(format!("{} answered something else", self.node)))
    }

    /// What the node is.
    ///
    /// # Errors
    /// When the node cannot say, or is lost.
    pub async fn facts(&self, probe: &Probe) -> Result<NodeFacts, SessionError> {
        match self.ask(Ask::Facts(probe.clone())).await? {
            Answer::Facts(facts) => Ok(*facts),
            _ => Err(self.confused()),
        }
    }

    /// How the node does.
    ///
    /// # Errors
    /// When the node is lost, or does not answer in time.
    pub async fn health(&self, probe: &HealthProbe) -> Result<NodeHealth, SessionError> {
        match self.ask(Ask::Health(probe.clone())).await? {
            Answer::Health(health) => Ok(*health),
            _ => Err(self.confused()),
        }
    }

    /// Milliseconds that the node has spent on silence, as far as is known.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// What is there, in the order of the specs; `spent` is the time that was spent on silence before,
    /// here or elsewhere.
    ///
    /// # Errors
    /// When the node is lost; what cannot be looked at is an outcome of its own.
    pub async fn observe(
        &self,
        specs: Vec<Spec>,
        spent: u64,
    ) -> Result<Vec<Outcome>, SessionError> {
        let count = specs.len();
        match self.ask(Ask::Observe { specs, spent }).await? {
            Answer::Observed(observed) if observed.len() == count => Ok(observed
                .into_iter()
                .map(|one| match one {
                    Ok(Observation::Known(observed)) => Outcome::Observed(observed),
                    Ok(Observation::NotYet { because }) => Outcome::NotYet { because },
                    Err(failure) => Outcome::Failed(failure),
                })
                .collect()),
            _ => Err(self.confused()),
        }
    }

    /// Who changes the node at the moment.
    ///
    /// # Errors
    /// When the node is lost.
    pub async fn holder(&self) -> Result<Option<Holder>, SessionError> {
        match self.ask(Ask::Holder).await? {
            Answer::Held(holder) => Ok(holder),
            _ => Err(self.confused()),
        }
    }

    /// Lets nobody else change the node while this conversation lasts.
    ///
    /// # Errors
    /// [`SessionError::Busy`] when somebody else does.
    pub async fn lock(&self, holder: &Holder) -> Result<(), SessionError> {
        match self.ask(Ask::Lock(holder.clone())).await? {
            Answer::Locked => Ok(()),
            _ => Err(self.confused()),
        }
    }

    /// Notes what a target will have to do.
    ///
    /// # Errors
    /// When it cannot be written down, or the node is lost.
    pub(crate) async fn owe(
        &self,
        target: &ResourceId,
        action: TriggerAction,
    ) -> Result<(), SessionError> {
        match self.ask(Ask::Owe { target: target.clone(), action }).await? {
            Answer::Owed => Ok(()),
            _ => Err(self.confused()),
        }
    }

    /// Which of the node's listeners lead nowhere, once its health checks have had their say.
    ///
    /// # Errors
    /// When its HAProxy does not answer, or the node is lost.
    pub(crate) async fn idle_listeners(
        &self,
        patience: Duration,
    ) -> Result<Vec<IdleListener>, SessionError> {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        match self.ask(Ask::IdleListeners { patience }).await? {
            Answer::IdleListeners(listeners) => Ok(listeners),
            _ => Err(self.confused()),
        }
    }

    /// Carries out one change; answers what it cost, or `None` when nothing was left to do.
    ///
    /// # Errors
    /// When it fails, or the node is lost.
    pub(crate) async fn converge(
        &self,
        request: Box<Converge>,
    ) -> Result<Option<Class>, SessionError> {
        match self.ask(Ask::Converge(request)).await? {
            Answer::Converged(class) => Ok(class),
            _ => Err(self.confused()),
        }
    }
}

/// What there is to say of a login that does not come to an end.
pub(crate) fn late(node: &NodeName, limit: Duration, printed: &str) -> Failure {
    let mut failure = Failure::new(format!(
        "{node} is out of reach: a login has not come to an end within {} s",
        limit.as_secs()
    ));
    failure.log = printed.lines().map(str::to_owned).collect();
    let waits = "something in its login waits (a script in /etc/profile.d or ~/.bashrc, a prompt)";
    failure.hint(if printed.is_empty() {
        format!("it is down or out of the network's reach, or {waits}; a longer `--timeout` waits for it")
    } else {
        waits.to_owned()
    })
}

/// A poisoned lock means that another task panicked; the data, a map or an option, is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn greetings_of_the_shell_are_skipped_and_quoted() {
        async fn opening(text: &mut &[u8]) -> Opening {
            let limit = Limits::default().opening;
            opening_within(text, "missing", &Arrivals::default(), limit).await.unwrap()
        }
        let mut text = &b"Welcome!\nno mail.\nprompt> keddah-agent-1\nrest"[..];
        assert!(matches!(opening(&mut text).await, Opening::Agent));
        assert_eq!(text, b"rest");
        let mut text = &b"motd\nmissing\n"[..];
        assert!(matches!(opening(&mut text).await, Opening::Missing));
        let mut text = &b"This account is\ncurrently not available."[..];
        let Opening::Ended(text) = opening(&mut text).await else { panic!() };
        assert_eq!(text, "This account is\ncurrently not available.");
    }

    #[tokio::test]
    async fn a_login_that_waits_ends_with_what_it_printed() {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(b"maintenance tonight\ncontinue? [y/N] ").await.unwrap();
        let (arrivals, limit) = (Arrivals::default(), Duration::from_millis(50));
        let opened = opening_within(&mut ours, "missing", &arrivals, limit).await;
        let Ok(Opening::Late(text)) = opened else { panic!("{opened:?}") };
        assert_eq!(text, "maintenance tonight\ncontinue? [y/N]");
        let failure = late(&NodeName::new("a"), Duration::from_secs(60), &text);
        assert_eq!(failure.log, ["maintenance tonight", "continue? [y/N]"]);
    }
}
