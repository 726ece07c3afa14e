//! A machine in memory, for tests of everything above this crate.

use crate::{Host, HostError};
use keddah_resource::health::{Asked, HealthProbe, NodeHealth};
use keddah_resource::kind::{
    backup, block, certificate, directory, etcd_access, etcd_auth, etcd_keys, etcd_login,
    etcd_member, file, hostname, packages, patroni_config, pg_baseline, pg_census, pg_database,
    pg_extension, pg_function, pg_grants, pg_instance, pg_privileges, pg_role, pg_schema,
    postmaster, stanza, symlink, sysctl, trust_anchor, unit, user,
};
use keddah_resource::{
    Difference, Distribution, IdleListener, Kind, Material, NodeFacts, Observation, Observed,
    Probe, ResourceId, Spec, TriggerAction,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Something that a fake machine was asked to do, in the order of all machines that share a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FakeEvent {
    /// A resource was noted to owe something.
    Owed {
        /// The machine.
        node: String,
        /// Kind and name of the unit or postmaster.
        target: (Kind, String),
        /// What it owes.
        action: TriggerAction,
    },
    /// Applying has begun.
    Begun {
        /// The machine.
        node: String,
        /// Kind and name.
        resource: (Kind, String),
    },
    /// Applying has ended well.
    Applied {
        /// The machine.
        node: String,
        /// Kind and name.
        resource: (Kind, String),
    },
}

/// What a fake machine does when asked about one resource.
#[derive(Debug, Clone)]
enum Trouble {
    CannotObserve(HostError),
    NotYet(String),
    CannotApply(HostError),
    Hang,
    Forget,
}

#[derive(Debug, Default)]
struct State {
    present: BTreeMap<(Kind, String), Observed>,
    owes: BTreeMap<(Kind, String), TriggerAction>,
    trouble: BTreeMap<(Kind, String), Trouble>,
    facts: Option<NodeFacts>,
    idle: Option<Result<Vec<IdleListener>, HostError>>,
}

/// A machine that remembers what was applied. Clones are the same machine.
#[derive(Debug, Clone)]
pub struct FakeHost {
    node: String,
    state: Arc<Mutex<State>>,
    events: Arc<Mutex<Vec<FakeEvent>>>,
}

impl FakeHost {
    /// A bare machine with a list of events of its own.
    pub fn new(node: &str) -> Self {
        Self::sharing(node, &Arc::default())
    }

    /// A bare machine that adds to a list of events together with others.
    pub fn sharing(node: &str, events: &Arc<Mutex<Vec<FakeEvent>>>) -> Self {
        Self { node: node.to_owned(), state: Arc::default(), events: Arc::clone(events) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn record(&self, event: FakeEvent) {
        self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event);
    }

    /// What has happened so far.
    pub fn events(&self) -> Vec<FakeEvent> {
        self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What the machine says about itself.
    #[must_use]
    pub fn with_facts(self, facts: NodeFacts) -> Self {
        self.state().facts = Some(facts);
        self
    }

    /// What the machine's HAProxy says of its listeners; nothing is idle until then.
    pub fn listeners(&self, idle: Result<Vec<IdleListener>, HostError>) {
        self.state().idle = Some(idle);
    }

    /// Puts something on the machine, as if somebody had done it by hand.
    pub fn set(&self, kind: Kind, name: &str, observed: impl Into<Observed>) {
        self.state().present.insert((kind, name.to_owned()), observed.into());
    }

    /// Takes something off the machine, as if somebody had done it by hand.
    pub fn forget(&self, kind: Kind, name: &str) {
        self.state().present.remove(&(kind, name.to_owned()));
    }

    /// Makes every look at a resource fail.
    pub fn cannot_observe(&self, kind: Kind, name: &str, error: HostError) {
        self.trouble(kind, name, Trouble::CannotObserve(error));
    }

    /// Makes a resource impossible to look at before something else has happened.
    pub fn not_yet(&self, kind: Kind, name: &str, because: &str) {
        self.trouble(kind, name, Trouble::NotYet(because.to_owned()));
    }

    /// Makes every change of a resource fail.
    pub fn cannot_apply(&self, kind: Kind, name: &str, error: HostError) {
        self.trouble(kind, name, Trouble::CannotApply(error));
    }

    /// Makes every change of a resource last for ever.
    pub fn hang(&self, kind: Kind, name: &str) {
        self.trouble(kind, name, Trouble::Hang);
    }

    /// Makes changes of a resource be reported as done without an effect.
    pub fn pretend(&self, kind: Kind, name: &str) {
        self.trouble(kind, name, Trouble::Forget);
    }

    /// Ends whatever was wrong with a resource.
    pub fn heal(&self, kind: Kind, name: &str) {
        self.state().trouble.remove(&(kind, name.to_owned()));
    }

    fn trouble(&self, kind: Kind, name: &str, trouble: Trouble) {
        self.state().trouble.insert((kind, name.to_owned()), trouble);
    }

    fn look(&self, spec: &Spec) -> Result<Observation, HostError> {
        let key = (spec.kind(), spec.name());
        let state = self.state();
        match state.trouble.get(&key) {
            Some(Trouble::CannotObserve(error)) => return Err(error.clone()),
            Some(Trouble::NotYet(because)) => {
                return Ok(Observation::NotYet { because: because.clone() });
            }
            _ => {}
        }
        let mut observed = state.present.get(&key).cloned().unwrap_or_else(|| absent(spec));
        // A postmaster is there as soon as the instance of its name has been made.
        if let Observed::Postmaster(postmaster) = &mut observed {
            postmaster.running |= state.present.contains_key(&(Kind::PgInstance, spec.name()));
        }
        let owed = state.owes.get(&key).copied();
        match &mut observed {
            Observed::Unit(unit) => unit.owes = unit.owes.max(owed),
            Observed::Postmaster(postmaster) => postmaster.owes = postmaster.owes.max(owed),
            _ => {}
        }
        Ok(Observation::Known(observed))
    }
}

impl Host for FakeHost {
    async fn facts(&self, _probe: &Probe) -> Result<NodeFacts, HostError> {
        Ok(self.state().facts.clone().unwrap_or_else(|| small_machine(&self.node)))
    }

    async fn observe(&self, specs: &[Spec]) -> Vec<Result<Observation, HostError>> {
        specs.iter().map(|spec| self.look(spec)).collect()
    }

    async fn apply(
        &self,
        spec: &Spec,
        _observed: &Observed,
        difference: &Difference,
        material: Option<&Material>,
    ) -> Result<(), HostError> {
        if let Some(why) = &difference.impossible {
            return Err(HostError::new(why.clone()));
        }
        let resource = (spec.kind(), spec.name());
        let node = self.node.clone();
        self.record(FakeEvent::Begun { node: node.clone(), resource: resource.clone() });
        let trouble = self.state().trouble.get(&resource).cloned();
        match trouble {
            Some(Trouble::CannotApply(error)) => return Err(error),
            Some(Trouble::Hang) => std::future::pending::<()>().await,
            Some(Trouble::Forget) => {
                self.record(FakeEvent::Applied { node, resource });
                return Ok(());
            }
            _ => {}
        }
        // Others get their turn between beginning and end, as on a real machine.
        tokio::task::yield_now().await;
        let before = self.look(spec);
        if let (Spec::Certificate(spec), Ok(Observation::Known(Observed::Certificate(before)))) =
            (spec, &before)
            && spec.needs_issue(before)
            && material.is_none()
        {
            return Err(HostError::new("the controller has sent no certificate"));
        }
        {
            let mut state = self.state();
            state.present.insert(resource.clone(), spec.settled());
            state.owes.remove(&resource);
        }
        self.record(FakeEvent::Applied { node, resource });
        Ok(())
    }

    async fn owe(&self, target: &ResourceId, action: TriggerAction) -> Result<(), HostError> {
        let key = (target.kind, target.name.clone());
        {
            let mut state = self.state();
            let owed = state.owes.get(&key).copied();
            state.owes.insert(key.clone(), action.max(owed.unwrap_or(action)));
        }
        self.record(FakeEvent::Owed { node: self.node.clone(), target: key, action });
        Ok(())
    }

    async fn idle_listeners(&self, _patience: Duration) -> Result<Vec<IdleListener>, HostError> {
        self.state().idle.clone().unwrap_or(Ok(Vec::new()))
    }

    async fn health(&self, _probe: &HealthProbe) -> NodeHealth {
        NodeHealth {
            clock: 0,
            servers: Vec::new(),
            etcd: None,
            etcd_settings: Vec::new(),
            disks: Vec::new(),
            certificates: Vec::new(),
            units: Asked::Told(Vec::new()),
            addresses: Asked::Told(Vec::new()),
            logins: Vec::new(),
            logins_untried: Vec::new(),
            closed_ports: Vec::new(),
            sandbox: true,
            unloaded: Vec::new(),
            idle_listeners: Asked::Told(Vec::new()),
            listeners: Vec::new(),
            unattended: None,
        }
    }
}

fn small_machine(node: &str) -> NodeFacts {
    NodeFacts {
        hostname: node.to_owned(),
        distribution: Distribution {
            id: "debian".to_owned(),
            version: "13".to_owned(),
            codename: "trixie".to_owned(),
        },
        architecture: "x86_64".to_owned(),
        cores: 2,
        memory_bytes: 4 << 30,
        sysctl_read_only: true,
        open_files_limit: 20_000,
        interfaces: Vec::new(),
        own_units: Vec::new(),
        ownership: keddah_resource::OwnershipFacts::default(),
        resolved: false,
        package_candidates: BTreeMap::new(),
        patroni: Vec::new(),
        members: Vec::new(),
        patroni_directories: Vec::new(),
        etcd: None,
        etcd_has_data: false,
        etcd_life: None,
        etcd_configured: false,
        instances: Vec::new(),
        data: Vec::new(),
        backups: Vec::new(),
        watchdog: None,
        sandbox: false,
        doors: Vec::new(),
        asides: Vec::new(),
        removed: Vec::new(),
        verifiers: Vec::new(),
        repositories: Vec::new(),
        system: keddah_resource::SystemFacts::default(),
        holdings: Vec::new(),
        ports: Vec::new(),
    }
}

/// What a bare machine would answer.
fn absent(spec: &Spec) -> Observed {
    match spec {
        Spec::Packages(spec) => packages::Observed {
            installed: BTreeMap::new(),
            candidates: spec.names.iter().map(|name| (name.clone(), "1.0".to_owned())).collect(),
            policy_left: false,
            obstacles: packages::Obstacles::default(),
        }
        .into(),
        Spec::User(_) => user::Observed { present: None }.into(),
        Spec::Hostname(_) => {
            hostname::Observed { kernel: "debian".to_owned(), file: String::new() }.into()
        }
        Spec::Block(_) => block::Observed { text: None }.into(),
        Spec::Directory(_) => directory::Observed { permissions: None, kept_already: false }.into(),
        Spec::File(_) => file::Observed { present: None }.into(),
        Spec::Symlink(_) => symlink::Observed::Absent.into(),
        Spec::Sysctl(_) => sysctl::Observed::default().into(),
        Spec::Certificate(_) => certificate::Observed { present: None }.into(),
        Spec::TrustAnchor(_) => trust_anchor::Observed { trusted: false }.into(),
        Spec::Unit(_) => unit::Observed {
            exists: false,
            enabled: false,
            running: false,
            owes: None,
            process: None,
        }
        .into(),
        Spec::EtcdKeys(_) => etcd_keys::Observed { keys: 0, living: Vec::new() }.into(),
        Spec::EtcdAuth(spec) => match spec.part {
            etcd_auth::Part::Root { .. } => {
                etcd_auth::Observed::Root { present: false, password: false }
            }
            etcd_auth::Part::Required { .. } => etcd_auth::Observed::Required(false),
        }
        .into(),
        Spec::EtcdAccess(_) => etcd_access::Observed {
            user: false,
            role: false,
            roles: Vec::new(),
            reaches: Vec::new(),
            password: true,
        }
        .into(),
        Spec::EtcdLogin(_) => etcd_login::Observed { known: false }.into(),
        Spec::EtcdMember(_) => {
            etcd_member::Observed { peer_url: None, id: None, learner: false, answers: false }
                .into()
        }
        Spec::Stanza(_) => stanza::Observed { status: 1, ..stanza::Observed::default() }.into(),
        Spec::Backup(_) => backup::Observed { full_backups: 0, newest: 0 }.into(),
        Spec::Postmaster(_) => postmaster::Observed::default().into(),
        Spec::PgInstance(_) => {
            pg_instance::Observed { initialized: false, state: None, role: None }.into()
        }
        Spec::PatroniConfig(_) => {
            patroni_config::Observed { document: serde_json::Map::new(), known: None }.into()
        }
        Spec::PgRole(_) => pg_role::Observed { present: None }.into(),
        Spec::PgDatabase(_) => {
            pg_database::Observed { present: None, tablespaces: BTreeSet::new() }.into()
        }
        Spec::PgSchema(_) => {
            pg_schema::Observed { owner: None, privileges: BTreeSet::new() }.into()
        }
        Spec::PgExtension(_) => {
            pg_extension::Observed { present: None, relocatable: true, available: true }.into()
        }
        Spec::PgFunction(_) => pg_function::Observed { present: None }.into(),
        Spec::PgPrivileges(_) => pg_privileges::Observed {
            defaults: BTreeSet::new(),
            public_schema: Some(BTreeSet::new()),
            public_create: true,
        }
        .into(),
        Spec::PgCensus(_) => pg_census::Observed::default().into(),
        Spec::PgGrants(_) => pg_grants::Observed::default().into(),
        Spec::PgBaseline(_) => pg_baseline::Observed { file: None }.into(),
    }
}
