//! Remove: the trip of the data, with some of the nodes on their way out, safeguarded.

use crate::steps::{self, Approval, Choice, Planned, Read, Selection};
use crate::{CommandError, Context, Error, Restart};
use keddah_compile::Removing;
use keddah_core::NodeName;
use keddah_inventory::registry::nearest;
use keddah_inventory::{Inventory, Params, model, parameters};
use keddah_plan::health::Health;
use keddah_plan::{Allowance, Report};
use keddah_resource::Spec;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::time::Duration;

/// What is to be taken away, and how.
#[derive(Debug, Clone)]
pub struct RemovalRequest {
    /// A host, a group, a cluster, an instance or a member of etcd.
    pub name: String,
    /// How long what is silent is waited for.
    pub patience: Duration,
    /// The same name once more, where nobody is asked for it.
    pub confirm: Option<String>,
    /// Whether a whole cluster goes without a last backup.
    pub no_backup: bool,
    /// The same name once more, where data and backups are deleted and not moved aside.
    pub destroy: Option<String>,
    /// Whether nothing is taken away but what was moved aside before.
    pub aside: bool,
    /// Clusters whose members go although they are not well.
    pub despite: Vec<String>,
    /// How PostgreSQL may restart on members that stay.
    pub restart: Restart,
    /// How much heavy work may run at once in the whole fleet.
    pub forks: NonZeroU16,
}

/// A removal's plan, and all that it takes to carry out that very plan.
pub struct Removal {
    /// The plan.
    pub planned: Planned,
    request: RemovalRequest,
    read: Read,
    inventory: Inventory,
    removing: Removing,
}

/// What came of it.
#[derive(Debug)]
pub enum Removed {
    /// There was nothing to take away: it has gone before.
    Nothing {
        /// How what stays does.
        health: Box<Health>,
        /// What is left to be done, or to be known.
        left: Vec<String>,
    },
    /// The plan was carried out; not everything need have gone well.
    Done {
        /// How each change ended.
        report: Box<Report>,
        /// How what stays does now.
        health: Box<Health>,
        /// What is left to be done, or to be known.
        left: Vec<String>,
    },
}

/// load → check → what goes → safeguards → plan.
///
/// # Errors
/// When the inventory is wrong, the name is not known or safeguarded, or the removal is refused.
pub async fn plan_removal(context: &Context, request: RemovalRequest) -> Result<Removal, Error> {
    let RemovalRequest {
        name,
        patience,
        confirm,
        no_backup,
        destroy,
        aside,
        despite,
        restart,
        forks: _,
    } = &request;
    let (no_backup, aside) = (*no_backup, *aside);
    let (mut read, inventory) = steps::checked(context)?;
    steps::known_clusters(&inventory, despite)?;
    let other = [confirm, destroy].into_iter().flatten().find(|typed| *typed != name);
    if let Some(typed) = other {
        return Err(CommandError::user(format!(
            "`{typed}` is not the name of what is removed, which is `{name}`"
        ))
        .into());
    }
    let deletes = destroy.is_some();
    let mut removing =
        Removing { without_backup: no_backup, deletes, ..removing(&inventory, name)? };
    if no_backup && !deletes && whole_clusters(&inventory, &removing).is_empty() {
        return Err(CommandError::user(format!(
            "`--no-backup` is for a cluster that goes as a whole, and `{name}` is none"
        ))
        .hint("leave it out: the others keep the data, and what goes is moved aside")
        .into());
    }
    if aside {
        let hosts = inventory.host(name).is_some() || inventory.group(name).is_some();
        let limit = Choice { limit: vec![name.clone()], ..Choice::default() };
        let removed = if hosts {
            Selection::of(&limit, &inventory)?.nodes().clone()
        } else {
            BTreeSet::new()
        };
        removing = Removing { asides: removing.pgsql, removed, ..Removing::default() };
    }
    safeguards(&inventory, &removing)?;
    no_cluster_unnamed(&inventory, &removing, name)?;
    let affected = affected(&inventory, &removing);

    let selection = Selection::nodes_only(affected, *restart);
    let planned =
        steps::plan(context, &mut read, &inventory, &selection, &removing, *patience).await?;
    Ok(Removal { planned, request, read, inventory, removing })
}

/// judge → approve → judge once more → execute → report.
///
/// # Errors
/// When nothing was changed, and why. What failed on the way is in the report.
pub async fn remove(context: &Context, removal: &mut Removal) -> Result<Removed, Error> {
    let Removal { planned, request, read, inventory, removing } = removal;
    let RemovalRequest { name, confirm, despite, forks, .. } = request;
    let plan = &planned.plan;
    if plan.changes.is_empty() {
        let health = Box::new(planned.health_without(context, removing).await);
        return Ok(Removed::Nothing { health, left: what_is_left(inventory, removing, &[]) });
    }
    // Of a cluster that goes as a whole nothing stays that could be hurt; what an interrupted removal of it has
    // stopped is no reason not to go on.
    let whole = whole_clusters(inventory, removing);
    let whole = whole.iter().map(|cluster| cluster.name.to_string());
    let despite: Vec<String> = despite.iter().cloned().chain(whole).collect();
    steps::not_into_the_sick(plan, &planned.health, &despite, &format!("keddah remove {name}"))?;
    let confirmed = confirm.as_ref().is_some_and(|confirm| confirm == name);
    // The plan is the removal's alone, and its name has been typed.
    let allowance = Allowance { names: BTreeSet::new(), everything: true };
    let typed = (!confirmed).then(|| name.clone());
    let approval = Approval { yes: confirmed, allowance, typed, command: String::new() };
    steps::approve(context, plan, &planned.desired, approval)?;
    steps::still_allowed(context, read, inventory, planned, removing).await?;
    let report = Box::new(steps::carry_out(context, planned, "keddah remove", *forks).await?);
    // What is half gone is not well, and is told.
    let health = Box::new(match report.is_success() {
        true => planned.health_without(context, removing).await,
        false => planned.health_at_once(context).await,
    });
    let left = what_is_left(inventory, removing, &moved_aside(planned));
    Ok(Removed::Done { report, health, left })
}

/// The clusters that go with all of their members.
fn whole_clusters<'i>(inventory: &'i Inventory, removing: &Removing) -> Vec<model::PgCluster<'i>> {
    let mut clusters = model::pg_clusters(inventory);
    clusters.retain(|cluster| {
        let goes = |node| removing.instance(node, cluster.name.as_str());
        !cluster.members.is_empty() && cluster.members.iter().all(|member| goes(&member.node))
    });
    clusters
}

/// Refuses where a cluster would go as a whole whose name was not typed: it merely shares its hosts with what
/// was. Named it is by its own name, by its instance's, and by a group that makes its hosts that cluster.
fn no_cluster_unnamed(
    inventory: &Inventory,
    removing: &Removing,
    name: &str,
) -> Result<(), CommandError> {
    let made_by_group = inventory
        .group(name)
        .and_then(|group| group.vars.iter().find(|(key, _)| key.text.as_str() == "pg_cluster"))
        .and_then(|(_, value)| value.as_str());
    let clusters = whole_clusters(inventory, removing);
    let unnamed: Vec<&str> = clusters
        .iter()
        .filter(|cluster| {
            let own = cluster.name.as_str();
            let is_one = cluster.members.iter().any(|one| one.instance(&cluster.name) == name);
            own != name && made_by_group != Some(own) && !is_one
        })
        .map(|cluster| cluster.name.as_str())
        .collect();
    let Some(first) = unnamed.first() else { return Ok(()) };
    let verb = if unnamed.len() == 1 { "goes" } else { "go" };
    Err(CommandError::user(format!(
        "with `{name}`, {} {verb} as a whole, and that was not named",
        unnamed.join(", ")
    ))
    .hint(format!(
        "where it is to go: `keddah remove {first}` first, take it out of the inventory, then `keddah remove \
         {name}` again; a member of etcd alone goes by its own name, such as `keddah remove etcd-1`"
    )))
}

/// The directories that a plan moves aside, by the names that they get.
fn moved_aside(planned: &Planned) -> Vec<(NodeName, String)> {
    let specs = planned.plan.changes.iter().filter_map(|change| planned.desired.get(&change.id));
    let kept = specs.filter_map(|resource| match &resource.spec {
        Spec::Directory(spec) if spec.kept => Some((resource.id.node.clone(), spec.aside())),
        _ => None,
    });
    kept.collect()
}

/// What a person has to do and to know after a removal: what is still declared would be made anew, and what
/// was moved aside takes up its place on the disk.
fn what_is_left(
    inventory: &Inventory,
    removing: &Removing,
    kept: &[(NodeName, String)],
) -> Vec<String> {
    let mut lines = Vec::new();
    let nodes: BTreeSet<&NodeName> = kept.iter().map(|(node, _)| node).collect();
    for node in nodes {
        let paths = kept.iter().filter(|(on, _)| on == node).map(|(_, path)| path.as_str());
        let mut places: Vec<&str> =
            paths.filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
        places.dedup();
        lines.push(format!(
            "what was moved aside on {node} ends in `.removed`, in {}; `keddah remove {node} --aside` deletes \
             it, as long as the host is in the inventory",
            places.join(", ")
        ));
    }
    let mut declared: Vec<String> = Vec::new();
    for cluster in model::pg_clusters(inventory) {
        for member in &cluster.members {
            if removing.instance(&member.node, cluster.name.as_str()) {
                declared.push(format!("{} ({})", member.instance(&cluster.name), member.node));
            }
        }
    }
    for member in model::etcd_clusters(inventory).into_iter().flat_map(|one| one.members) {
        if removing.etcd.contains(&member.node) {
            declared.push(format!("etcd on {}", member.node));
        }
    }
    if !declared.is_empty() {
        lines.push(format!(
            "take {} out of the inventory, or the next `keddah apply` makes {} anew",
            declared.join(", "),
            if declared.len() == 1 { "it" } else { "them" }
        ));
    }
    lines
}

/// A cluster's name takes away what makes its hosts that cluster, an instance's or an etcd member's only
/// that one; any other name takes all.
fn removing(inventory: &Inventory, name: &str) -> Result<Removing, CommandError> {
    let clusters = model::pg_clusters(inventory);
    let one = clusters.iter().find_map(|cluster| {
        let mut members = cluster.members.iter();
        let member = members.find(|member| member.instance(&cluster.name) == name)?;
        Some((cluster.name.to_string(), BTreeSet::from([member.node.clone()])))
    });
    if let Some(one) = one
        && inventory.host(name).is_none()
        && inventory.group(name).is_none()
    {
        return Ok(Removing { pgsql: BTreeMap::from([one]), ..Removing::default() });
    }
    if inventory.host(name).is_none()
        && let Some(etcd) = members_of_etcd(inventory, name)
    {
        return Ok(Removing { etcd, ..Removing::default() });
    }
    let known = |name: &str| {
        inventory.host(name).is_some()
            || inventory.group(name).is_some()
            || clusters.iter().any(|cluster| cluster.name.as_str() == name)
    };
    if !known(name) {
        return Err(unknown(inventory, &clusters, name));
    }
    let limit = Choice { limit: vec![name.to_owned()], ..Choice::default() };
    let selected = Selection::of(&limit, inventory)?.nodes().clone();
    let all: BTreeMap<String, BTreeSet<NodeName>> = clusters
        .iter()
        .map(|cluster| {
            let nodes = cluster.members.iter().map(|member| &member.node);
            (
                cluster.name.to_string(),
                nodes.filter(|node| selected.contains(*node)).cloned().collect(),
            )
        })
        .filter(|(_, nodes): &(String, BTreeSet<NodeName>)| !nodes.is_empty())
        .collect();
    Ok(if let Some((cluster, nodes)) = all.get_key_value(name) {
        let pgsql = BTreeMap::from([(cluster.clone(), nodes.clone())]);
        Removing { pgsql, ..Removing::default() }
    } else {
        Removing { pgsql: all, etcd: selected, ..Removing::default() }
    })
}

/// The hosts of etcd's cluster of a name, or of its member of a name; also where a group is called like
/// the cluster: what else its hosts are stays.
fn members_of_etcd(inventory: &Inventory, name: &str) -> Option<BTreeSet<NodeName>> {
    model::etcd_clusters(inventory).iter().find_map(|cluster| {
        let all = cluster.name == name;
        let goes = |seq: i64| all || name == format!("{}-{seq}", cluster.name);
        let members = cluster.members.iter().filter(|member| goes(member.seq));
        let nodes: BTreeSet<NodeName> = members.map(|member| member.node.clone()).collect();
        (!nodes.is_empty()).then_some(nodes)
    })
}

/// A name that nothing bears. What resembles an instance's is no cluster's.
fn unknown(inventory: &Inventory, clusters: &[model::PgCluster<'_>], name: &str) -> CommandError {
    let etcd = model::etcd_clusters(inventory).into_iter().flat_map(|cluster| {
        let name = cluster.name;
        cluster.members.into_iter().map(move |member| format!("{name}-{}", member.seq))
    });
    let instances: Vec<String> = clusters
        .iter()
        .flat_map(|cluster| cluster.members.iter().map(|one| one.instance(&cluster.name)))
        .chain(etcd)
        .collect();
    let hosts = inventory.hosts().map(|host| host.name.as_str());
    let groups = inventory.groups().map(|group| group.name.as_str());
    let names = instances.iter().map(String::as_str).chain(hosts);
    let names = names.chain(groups).chain(clusters.iter().map(|cluster| cluster.name.as_str()));
    let message = format!(
        "`{name}` is neither a host, nor a group, cluster, instance or etcd member of the inventory"
    );
    let error = CommandError::user(message);
    // Of one cluster's instances, the number alone is wrong: all of them are near.
    let siblings: Vec<&str> = clusters
        .iter()
        .filter(|cluster| {
            let number = name.strip_prefix(cluster.name.as_str());
            let number = number.and_then(|rest| rest.strip_prefix('-'));
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        })
        .flat_map(|cluster| cluster.members.iter().map(|one| one.instance(&cluster.name)))
        .filter_map(|one| instances.iter().find(|same| **same == one).map(String::as_str))
        .collect();
    let error = if !siblings.is_empty() {
        error.hint(format!("it has {}", siblings.join(", ")))
    } else if let Some(near) = nearest(name, names) {
        error.hint(format!("did you mean `{near}`?"))
    } else {
        error
    };
    error.hint(
        "a host that has been taken out of the inventory already is put back for what was moved aside \
         there (`--aside`)",
    )
}

fn safeguards(inventory: &Inventory, removing: &Removing) -> Result<(), CommandError> {
    let guarded = |what: String, safeguard: &str| {
        Err(CommandError::user(format!("{what} is safeguarded by {safeguard}"))
            .hint(format!("set `{safeguard}: false` for it in the inventory first")))
    };
    for cluster in model::pg_clusters(inventory) {
        for member in &cluster.members {
            let goes = removing.instance(&member.node, cluster.name.as_str());
            if goes && member.params.get(parameters::PG_SAFEGUARD) {
                let what = match member.is_one_of_several() {
                    true => member.instance(&cluster.name),
                    false => member.node.to_string(),
                };
                return guarded(what, "pg_safeguard");
            }
        }
    }
    for node in &removing.etcd {
        let params = Params::new(inventory, node);
        if params.set(parameters::ETCD_SEQ).is_some() && params.get(parameters::ETCD_SAFEGUARD) {
            return guarded(node.to_string(), "etcd_safeguard");
        }
    }
    Ok(())
}

/// The nodes themselves, those that share a cluster with them or ask them, and those that tell their
/// names.
fn affected(inventory: &Inventory, removing: &Removing) -> BTreeSet<NodeName> {
    let clusters = |node: &NodeName| -> BTreeSet<String> {
        let instances = Params::instances(inventory, node).into_iter();
        let postgres = instances.filter_map(|instance| instance.opt(parameters::PG_CLUSTER));
        let params = Params::new(inventory, node);
        let etcd = params
            .opt(parameters::ETCD_SEQ)
            .map(|_| format!("etcd {}", params.get(parameters::ETCD_CLUSTER)));
        postgres.chain(etcd).collect()
    };
    let hosts = removing.hosts();
    let touched: BTreeSet<String> = hosts.iter().flat_map(clusters).collect();
    let is_member =
        |node: &NodeName| Params::new(inventory, node).opt(parameters::ETCD_SEQ).is_some();
    let etcd_shrinks = removing.etcd.iter().any(is_member);
    inventory
        .hosts()
        .map(|host| &host.name)
        .filter(|node| {
            let tells_names = || Params::new(inventory, node).opt(parameters::INFRA_SEQ).is_some();
            // Every Patroni knows the members of etcd.
            let asks_etcd = || etcd_shrinks && !clusters(node).is_empty();
            hosts.contains(*node)
                || !clusters(node).is_disjoint(&touched)
                || asks_etcd()
                || tells_names()
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::SourceMap;

    const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.0.0.1: { etcd_seq: 1 } }, vars: { etcd_cluster: etcd } }
    pair:
      hosts:
        10.0.0.1:
          pg_instances:
            5432: { pg_cluster: pg-a, pg_seq: 1, pg_role: primary }
            5442: { pg_cluster: pg-b, pg_seq: 1, pg_role: primary, pg_safeguard: true }
        10.0.0.2:
          pg_instances:
            5432: { pg_cluster: pg-a, pg_seq: 2, pg_role: replica }
    pg-c:
      hosts: { 10.0.0.2: {}, 10.0.0.3: { pg_seq: 1, pg_role: primary, pg_cluster: pg-c } }
";

    fn inventory() -> Inventory {
        let mut sources = SourceMap::default();
        let (inventory, _) = keddah_inventory::load(&mut sources, "t.yml", INVENTORY.as_bytes());
        inventory.expect("it loads")
    }

    fn what_goes(name: &str) -> (Vec<String>, Vec<String>) {
        let removing = removing(&inventory(), name).expect("a name of the inventory");
        let instances = removing
            .pgsql
            .iter()
            .flat_map(|(cluster, nodes)| nodes.iter().map(move |node| format!("{cluster} {node}")))
            .collect();
        (instances, removing.etcd.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_name_says_what_goes() {
        let none: [&str; 0] = [];
        let (pgsql, etcd) = what_goes("pg-a");
        assert_eq!(pgsql, ["pg-a 10.0.0.1", "pg-a 10.0.0.2"], "a cluster without a group");
        assert_eq!(etcd, none);
        assert_eq!(what_goes("pg-a-2"), (vec!["pg-a 10.0.0.2".to_owned()], Vec::new()));
        assert_eq!(what_goes("pg-c").0, ["pg-c 10.0.0.3"], "not whoever else is in its group");
        let (pgsql, etcd) = what_goes("etcd");
        assert_eq!((pgsql.len(), etcd), (0, vec!["10.0.0.1".to_owned()]));
        let (pgsql, etcd) = what_goes("etcd-1");
        assert_eq!((pgsql.len(), etcd), (0, vec!["10.0.0.1".to_owned()]), "its PostgreSQL stays");
        let (pgsql, etcd) = what_goes("10.0.0.1");
        assert_eq!(pgsql, ["pg-a 10.0.0.1", "pg-b 10.0.0.1"]);
        assert_eq!(etcd, ["10.0.0.1"]);
        assert!(removing(&inventory(), "pg-z").is_err());
    }

    #[test]
    fn a_cluster_that_goes_as_a_whole_was_named() {
        let text = "all:
  children:
    infra: { hosts: { 10.0.0.1: { infra_seq: 1 } } }
    etcd: { hosts: { 10.0.0.1: { etcd_seq: 1 } }, vars: { etcd_cluster: etcd } }
    meta-hosts:
      hosts: { 10.0.0.1: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-meta }
    pg-test:
      hosts: { 10.0.0.2: { pg_seq: 1, pg_role: primary }, 10.0.0.3: { pg_seq: 2, pg_role: replica } }
      vars: { pg_cluster: pg-test }
";
        let mut sources = SourceMap::default();
        let (inventory, _) = keddah_inventory::load(&mut sources, "t.yml", text.as_bytes());
        let inventory = inventory.expect("it loads");
        let judged = |name| {
            let removing = removing(&inventory, name).expect("a name");
            no_cluster_unnamed(&inventory, &removing, name)
        };
        for name in ["pg-meta", "pg-meta-1", "meta-hosts", "pg-test", "10.0.0.3", "etcd", "etcd-1"]
        {
            assert!(judged(name).is_ok(), "{name}");
        }
        for (name, lost) in
            [("infra", "pg-meta"), ("10.0.0.1", "pg-meta"), ("all", "pg-meta, pg-test")]
        {
            let refused = judged(name).expect_err(name);
            assert!(refused.message.contains(&format!("with `{name}`, {lost} go")), "{refused:?}");
            assert!(refused.hints[0].contains("`keddah remove pg-meta` first"), "{refused:?}");
        }
    }

    #[test]
    fn a_mistyped_instance_is_told_which_there_are() {
        let hints = |name: &str| removing(&inventory(), name).expect_err("nobody bears it").hints;
        assert_eq!(hints("pg-a-9")[0], "it has pg-a-1, pg-a-2");
        assert_eq!(hints("pg-a2-1")[0], "did you mean `pg-a-1`?");
        assert_eq!(hints("etcd-2")[0], "did you mean `etcd-1`?");
        assert_eq!(hints("10.0.0.4")[0], "did you mean `10.0.0.1`?");
    }

    #[test]
    fn what_is_left_to_do_is_said() {
        let inventory = inventory();
        let removing = removing(&inventory, "pg-a-2").expect("a name");
        let kept =
            |version| (NodeName::new("10.0.0.2"), format!("/data/postgres/pg-a-{version}.removed"));
        let left = what_is_left(&inventory, &removing, &[kept(16), kept(17)]);
        assert!(left[0].contains("on 10.0.0.2 ends in `.removed`, in /data/postgres;"), "{left:?}");
        assert!(left[1].starts_with("take pg-a-2 (10.0.0.2) out of the inventory"), "{left:?}");
        assert_eq!(left.len(), 2);
        // What is deleted is not kept.
        assert_eq!(what_is_left(&inventory, &removing, &[]).len(), 1);
    }

    #[test]
    fn a_safeguard_is_the_instances_own() {
        let inventory = inventory();
        let guarded = |name| safeguards(&inventory, &removing(&inventory, name).expect("a name"));
        assert!(guarded("pg-a").is_ok());
        assert!(guarded("pg-b").is_err());
        assert!(guarded("10.0.0.1").is_err());
    }
}
