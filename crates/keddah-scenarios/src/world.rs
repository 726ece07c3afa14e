//! What scenarios share: the sandbox that stands, the project applied to it, figures to report.

use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::project::{Project, repository_file};
use crate::sandbox::{self, Image, Sandbox};
use crate::{Options, Suite};
use std::path::PathBuf;
use std::time::Instant;

/// The inventory that most scenarios are about.
const DEMO: &str = "conf/sandbox.yml";

/// Nodes for it: its four, and one to grow onto.
const DEMO_NODES: u8 = 5;

/// What scenarios share.
pub struct World {
    /// What the user asked for.
    pub options: Options,
    /// The program under test, as an absolute path.
    pub program: PathBuf,
    /// Measured on the way, for the end.
    pub figures: Vec<String>,
    sandbox: Option<Sandbox>,
    demo: Option<Project>,
}

/// Carries out one step and says how it went.
pub fn step<T>(name: &str, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let started = Instant::now();
    let result = act();
    let seconds = started.elapsed().as_secs_f64();
    match result {
        Ok(value) => {
            println!("  ok      {name} ({seconds:.1} s)");
            Ok(value)
        }
        Err(failure) => {
            println!("  FAILED  {name} ({seconds:.1} s)");
            Err(Failure { message: format!("{name}: {}", failure.message), ..failure })
        }
    }
}

/// Steps that do not need each other: all are carried out, and what failed is told together.
#[derive(Default)]
pub struct Steps {
    failed: Vec<Failure>,
}

impl Steps {
    /// Carries out one.
    pub fn step(&mut self, name: &str, act: impl FnOnce() -> Outcome) {
        if let Err(failure) = step(name, act) {
            self.failed.push(failure);
        }
    }

    /// Fails when one of them has.
    pub fn finish(self) -> Outcome {
        let Some(count @ 1..) = Some(self.failed.len()) else { return Ok(()) };
        let mut failure = Failure::new(format!("{count} steps failed"));
        for one in self.failed {
            failure = failure.with(format!("--- {}", one.message)).with(one.evidence);
        }
        Err(failure)
    }
}

impl World {
    /// A world without a sandbox.
    pub fn new(options: Options) -> Outcome<Self> {
        let program = options.keddah.canonicalize().map_err(|error| {
            Failure::new(format!("no program at {}: {error}", options.keddah.display()))
        })?;
        std::fs::create_dir_all(&options.output)?;
        Ok(Self { options, program, figures: Vec::new(), sandbox: None, demo: None })
    }

    /// Fresh nodes, in place of any others.
    pub fn fresh(&mut self, image: Image, nodes: u8) -> Outcome<&Sandbox> {
        self.fresh_with_disks(image, nodes, &[])
    }

    /// The same, with disks of their own, as `sandbox up --disk` takes them.
    pub fn fresh_with_disks(
        &mut self,
        image: Image,
        nodes: u8,
        disks: &[&str],
    ) -> Outcome<&Sandbox> {
        self.discard();
        let (name, suite) = (self.options.sandbox.clone(), self.options.suite.name());
        let keep = self.options.keep;
        let sandbox = Sandbox::up(&self.program, &name, suite, image, nodes, disks, keep)?;
        Ok(self.sandbox.insert(sandbox))
    }

    /// Nodes of another release, in a sandbox of their own beside the one that stands.
    pub fn beside(&self, suite: Suite, image: Image, nodes: u8) -> Outcome<Sandbox> {
        let name = sandbox::beside(&self.options.sandbox);
        Sandbox::up(&self.program, &name, suite.name(), image, nodes, &[], false)
    }

    /// The sandbox that stands, if one does.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref()
    }

    /// A project directory of its own with this inventory.
    pub fn project(&self, name: &str, inventory: &str) -> Outcome<Project> {
        Project::new(self.options.output.join("projects").join(name), inventory)
    }

    /// Takes the sandbox away, so that the next scenario begins on fresh nodes.
    pub fn discard(&mut self) {
        self.demo = None;
        self.sandbox = None;
    }

    /// The demo's inventory, fit for the release under test.
    pub fn demo_inventory(&self) -> Outcome<String> {
        let text = repository_file(DEMO)?;
        Ok(match self.options.suite {
            Suite::Trixie => text,
            // Debian 12 has no package of pgvector.
            Suite::Bookworm => text.replace("vector", "hstore"),
        })
    }

    /// The demo's inventory, applied to warm nodes; done once and used by several scenarios.
    pub fn demo(&mut self) -> Outcome<(&Sandbox, &Project)> {
        if self.demo.is_none() {
            let inventory = self.demo_inventory()?;
            let project = self.project("demo", &inventory)?;
            step("boot five warm nodes", || self.fresh(Image::Warm, DEMO_NODES).map(|_| ()))?;
            let sandbox = self.standing()?;
            step("apply conf/sandbox.yml", || {
                let applied = Keddah { sandbox, project: &project }.apply()?;
                Ok(std::fs::write(project.directory.join("apply.log"), applied.to_string())?)
            })?;
            self.demo = Some(project);
        }
        let sandbox = self.sandbox.as_ref().ok_or_else(missing)?;
        let project = self.demo.as_ref().ok_or_else(missing)?;
        Ok((sandbox, project))
    }

    fn standing(&self) -> Outcome<&Sandbox> {
        self.sandbox.as_ref().ok_or_else(missing)
    }
}

fn missing() -> Failure {
    Failure::new("no sandbox stands")
}
