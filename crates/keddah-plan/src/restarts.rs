//! Whether and how PostgreSQL may restart: what the user said, put into what should be, so that the
//! plan that is shown is the one that is carried out.

use keddah_resource::{DesiredFleet, Spec, TriggerAction};
use serde::{Deserialize, Serialize};

/// What the user allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restarts {
    /// None: changed parameters wait, and each later plan shows that they do.
    Never,
    /// One instance after another, each only after the one before serves and streams again.
    #[default]
    Rolling,
    /// All instances of a cluster at once.
    Now,
}

impl Restarts {
    /// Puts it into what should be. Instances that are made or started are not concerned.
    pub fn arrange(self, desired: &mut DesiredFleet) {
        match self {
            Restarts::Rolling => {}
            Restarts::Now => {
                for resource in desired.iter_mut() {
                    if matches!(resource.spec, Spec::Postmaster(_)) {
                        resource.restart_after.clear();
                    }
                }
            }
            Restarts::Never => {
                for resource in desired.iter_mut() {
                    if let Spec::Postmaster(postmaster) = &mut resource.spec {
                        postmaster.restarts = false;
                    }
                    // PostgreSQL itself remembers what it has not taken over.
                    for trigger in &mut resource.triggers {
                        if trigger.target.kind == keddah_resource::Kind::Postmaster {
                            trigger.action = TriggerAction::Reload;
                        }
                    }
                }
            }
        }
    }
}
