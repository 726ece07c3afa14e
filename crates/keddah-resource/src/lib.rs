//! Resource kinds: what should be (spec), what is (observed), and the pure difference between them.
//!
//! A kind is one file under `kind/`, always with the same names: `Spec`, `Observed`, `Spec::name`,
//! `Spec::diff` and `Spec::settled`. The effects that observe and apply a kind live in
//! `keddah-host`, under the same file name.

mod aside;
mod difference;
mod door;
mod facts;
mod graph;
pub mod health;
mod holdings;
mod id;
pub mod kind;
mod member_facts;
mod own_settings;
mod ownership;
mod ports;
pub mod private_key;
mod repository;
pub mod scram;
mod system_facts;
mod verifiers;
mod wal;
mod work;

pub use aside::{ASIDE, AsideFacts, REMOVED};
pub use difference::{Action, Class, Difference, FieldChange};
pub use door::{Door, DoorProbe, SANDBOX_MARK};
pub use facts::{
    BackupFacts, DataFacts, Distribution, ETCD_BOOTSTRAP, EtcdFacts, EtcdLife, EtcdMemberFacts,
    IdleListener, InstanceFacts, InstanceProbe, Interface, MADE_MARK, NodeFacts, PATRONI_FILES,
    PatroniFacts, Probe, is_leading,
};
pub use graph::{Cycle, DesiredFleet, Module, Resource, Trigger, TriggerAction, UnknownDependency};
pub use holdings::{DatabaseSize, HeldSlot, HoldingsFacts, HoldingsProbe};
pub use id::ResourceId;
pub use kind::{Kind, Material, Observation, Observed, Spec};
pub use member_facts::MemberFacts;
pub use own_settings::{Effect, ForeignSetting, OwnSettings, Start, Told};
pub use ownership::{OwnershipFacts, ServiceFacts};
pub use ports::PortFacts;
pub use repository::{PLACE_OPTIONS, Place, RepositoryFacts, with_defaults};
pub use system_facts::{SystemFacts, SystemProbe};
pub use verifiers::{RoleVerifier, VerifierFacts, VerifierProbe};
pub use wal::{Led, StoppedCluster, StoppedMember, WalEnd};
pub use work::Work;
