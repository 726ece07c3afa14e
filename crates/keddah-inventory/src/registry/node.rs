//! Parameters of the NODE module: the operating system that everything else stands on.

use super::default::{NO, NONE, YES, int, json, text};
use super::kind::ParameterType::{
    Arguments, Bool, CidrList, Interval, Ip, List, Mapping, Password, Path, Port, PortList, Text,
    TextList, Username,
};
use super::kind::{any_of, integer, natural, number, one_of};
use super::{Decision, Levels, Module, Parameter, Support, row, section, structures};

pub(super) const NODE_ID: &[Parameter] = &section(
    Module::Node,
    "NODE_ID",
    Support::Managed,
    [
        row(
            "nodename",
            Text,
            Levels::I,
            NONE,
            "Host name to give this node; when absent it keeps its own or takes the \
         PostgreSQL instance's name.",
        ),
        row(
            "node_cluster",
            Text,
            Levels::C,
            text("nodes"),
            "Group name of the node in monitoring and shared settings.",
        ),
        row(
            "nodename_overwrite",
            Bool,
            Levels::C,
            YES,
            "Whether the machine's host name is really changed to the chosen one.",
        ),
        row(
            "nodename_exchange",
            Bool,
            Levels::C,
            NO,
            "Whether all nodes of one run learn each other's names through the hosts file.",
        )
        .accepted(),
        row(
            "node_id_from_pg",
            Bool,
            Levels::C,
            YES,
            "Whether a node without a name of its own takes cluster and instance name of the \
         PostgreSQL instance on it.",
        ),
    ],
);

pub(super) const NODE_DNS: &[Parameter] = &section(
    Module::Node,
    "NODE_DNS",
    Support::Managed,
    [
        row("node_write_etc_hosts", Bool, Levels::G_C_I, YES, "Whether `/etc/hosts` is managed."),
        row(
            "node_default_etc_hosts",
            TextList,
            Levels::G,
            json(r#"["${admin_ip} i.pigsty"]"#),
            "Hosts file lines that all nodes share.",
        ),
        row("node_etc_hosts", TextList, Levels::C, json("[]"), "Further hosts file lines."),
        row(
            "node_dns_method",
            one_of(&["add", "none", "overwrite"]),
            Levels::C,
            text("add"),
            "What happens to the resolver's servers: put ours first, leave them alone, or \
         replace them.",
        ),
        row(
            "node_dns_servers",
            TextList,
            Levels::C,
            json(r#"["${admin_ip}"]"#),
            "Addresses of DNS servers to use.",
        ),
        row(
            "node_dns_options",
            TextList,
            Levels::C,
            json(r#"["options single-request-reopen timeout:1"]"#),
            "Option lines for `/etc/resolv.conf`.",
        ),
    ],
);

pub(super) const NODE_PACKAGE: &[Parameter] = &section(
    Module::Node,
    "NODE_PACKAGE",
    Support::Managed,
    [
        row(
            "node_repo_modules",
            any_of(&["local", "node", "infra", "pgsql"]),
            Levels::C,
            text("local"),
            "Package repository groups to set up on the node, separated by commas; `local` is \
         the deployment's own repository.",
        )
        .accepted(),
        row(
            "node_repo_remove",
            Bool,
            Levels::C,
            YES,
            "Whether package sources that are already on the node are taken off.",
        )
        .accepted(),
        row(
            "node_packages",
            TextList,
            Levels::C,
            json(r#"["openssh-server"]"#),
            "Packages to bring to their newest version on the node.",
        ),
        row("node_default_packages", TextList, Levels::G, NONE, "Packages that every node gets."),
    ],
);

pub(super) const NODE_TUNE: &[Parameter] = &section(
    Module::Node,
    "NODE_TUNE",
    Support::Managed,
    [
        row(
            "node_disable_numa",
            Bool,
            Levels::C,
            NO,
            "Whether memory is treated as one pool on machines with several sockets; needs a \
         reboot.",
        )
        .accepted(),
        row("node_disable_swap", Bool, Levels::C, NO, "Whether swapping is switched off."),
        row(
            "node_static_network",
            Bool,
            Levels::C,
            YES,
            "Whether the resolver's settings are kept from being rewritten by the network \
         service.",
        )
        .accepted(),
        row(
            "node_disk_prefetch",
            Bool,
            Levels::C,
            NO,
            "Whether block devices read ahead, which helps spinning disks.",
        )
        .accepted(),
        row(
            "node_kernel_modules",
            TextList,
            Levels::C,
            json(r#"["softdog", "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh"]"#),
            "Kernel modules to load now and at boot. Of the default ones those that the kernel has; \
         containers have their host's.",
        ),
        row(
            "node_hugepage_count",
            natural(),
            Levels::C,
            int(0),
            "Number of 2 MiB huge pages to reserve; goes before the ratio.",
        ),
        row(
            "node_hugepage_ratio",
            number(0.0, 1.0),
            Levels::C,
            int(0),
            "Share of memory to reserve as huge pages; 0 reserves none.",
        ),
        row(
            "node_overcommit_ratio",
            number(0.0, 100.0),
            Levels::C,
            int(0),
            "Share of memory, in percent, that may be promised beyond swap under strict \
         accounting; 0 leaves the kernel's policy.",
        ),
        row(
            "node_tune",
            any_of(&["none", "oltp", "olap", "crit", "tiny"]),
            Levels::C,
            text("oltp"),
            "Tuning profile of the operating system.",
        ),
        row(
            "node_sysctl_params",
            Mapping,
            Levels::C,
            json(r#"{"fs.nr_open": 8388608}"#),
            "Kernel parameters to set, name to value.",
        ),
    ],
);

pub(super) const NODE_SEC: &[Parameter] = &section(
    Module::Node,
    "NODE_SEC",
    Support::Managed,
    [
        row(
            "node_selinux_mode",
            one_of(&["disabled", "permissive", "enforcing"]),
            Levels::C,
            text("permissive"),
            "Mode of SELinux where the system has it.",
        )
        .accepted(),
        row(
            "node_firewall_mode",
            one_of(&["off", "none", "zone", "strict"]),
            Levels::C,
            text("zone"),
            "What to do about the firewall: switch it off, leave it alone, or let the \
         intranet in and open public ports only.",
        )
        .accepted(),
        row(
            "node_firewall_intranet",
            CidrList,
            Levels::C,
            json(r#"["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"]"#),
            "Networks whose traffic is trusted, in CIDR notation.",
        ),
        row(
            "node_firewall_public_port",
            PortList,
            Levels::C,
            json("[22, 80, 443]"),
            "TCP ports that are open to everyone.",
        )
        .accepted(),
    ],
);

pub(super) const NODE_ADMIN: &[Parameter] = &section(
    Module::Node,
    "NODE_ADMIN",
    Support::Managed,
    [
        row(
            "node_data",
            Path,
            Levels::C,
            text("/data"),
            "Main data directory of the node, below which the modules keep theirs. Made where the \
         inventory names it; `pg_fs_main`, `pg_fs_backup` and `etcd_data` say where data goes.",
        ),
        row(
            "node_admin_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether an administrator's account is created on the node.",
        ),
        row(
            "node_admin_uid",
            integer(1, 65534),
            Levels::C,
            int(88),
            "Numeric user and group id of the administrator's account.",
        ),
        row(
            "node_admin_username",
            Username,
            Levels::C,
            text("dba"),
            "Name of the administrator's account.",
        ),
        row(
            "node_admin_sudo",
            one_of(&["none", "limit", "all", "nopass"]),
            Levels::C,
            text("nopass"),
            "How much sudo the administrator gets: nothing, some, everything with a password, \
         or everything without.",
        ),
        row(
            "node_admin_ssh_exchange",
            Bool,
            Levels::C,
            YES,
            "Whether the administrator's accounts of the nodes may log in to each other over \
         SSH.",
        )
        .accepted(),
        row(
            "node_admin_pk_current",
            Bool,
            Levels::C,
            YES,
            "Whether the public key of the person who runs the set-up may log in as the \
         administrator.",
        ),
        row(
            "node_admin_pk_list",
            TextList,
            Levels::C,
            json("[]"),
            "Public SSH keys that may log in as the administrator.",
        ),
        row(
            "node_aliases",
            Mapping,
            Levels::C,
            json("{}"),
            "Shell aliases for people who log in, name to command.",
        ),
    ],
);

pub(super) const NODE_TIME: &[Parameter] = &section(
    Module::Node,
    "NODE_TIME",
    Support::Managed,
    [
        row(
            "node_timezone",
            Text,
            Levels::C,
            text(""),
            "Time zone of the node, such as `Europe/Berlin`; empty leaves it alone.",
        ),
        row(
            "node_ntp_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether the clock is kept in time by chrony.",
        ),
        row(
            "node_ntp_servers",
            TextList,
            Levels::C,
            json(r#"["pool pool.ntp.org iburst"]"#),
            "Time sources as chrony configuration lines.",
        ),
        row(
            "node_crontab_overwrite",
            Bool,
            Levels::C,
            YES,
            "Whether `/etc/crontab` is replaced rather than added to.",
        )
.decided(&Decision {
value: NO,
instead: "`node_crontab` has a file of its own in `/etc/cron.d`, and `/etc/crontab` stays as it is",
}),
        row(
            "node_crontab",
            TextList,
            Levels::C,
            json("[]"),
            "Lines for cron: five time fields, a user, and a command. They stand in a file of their \
         own in `/etc/cron.d`.",
        ),
    ],
);

pub(super) const NODE_VIP: &[Parameter] = &section(
    Module::Node,
    "NODE_VIP",
    Support::Managed,
    [
        row(
            "vip_enabled",
            Bool,
            Levels::C,
            NO,
            "Whether a virtual address is shared by this node cluster.",
        ),
        row(
            "vip_address",
            Ip,
            Levels::C,
            NONE,
            "The shared virtual address, without a prefix length.",
        ),
        row(
            "vip_vrid",
            integer(1, 255),
            Levels::C,
            NONE,
            "Number of the virtual router, unique in the local network.",
        ),
        row(
            "vip_role",
            one_of(&["master", "backup"]),
            Levels::I,
            text("backup"),
            "Whether this node holds the address first or stands by.",
        ),
        row(
            "vip_preempt",
            Bool,
            Levels::C_I,
            NO,
            "Whether a node with higher priority takes the address back when it returns.",
        ),
        row(
            "vip_interface",
            Text,
            Levels::C_I,
            text("auto"),
            "Network interface that carries the virtual address; `auto` finds the one with \
         the node's address.",
        ),
        row(
            "vip_dns_suffix",
            Text,
            Levels::C,
            text(""),
            "Text appended to the node cluster's name in DNS.",
        ),
        row(
            "vip_auth_pass",
            Password,
            Levels::C,
            text(""),
            "Shared secret of the virtual router; empty derives one from cluster and router \
         number.",
        ),
        row(
            "vip_exporter_port",
            Port,
            Levels::C,
            int(9650),
            "TCP port of the virtual router's metrics exporter.",
        )
        .accepted(),
    ],
);

pub(super) const HAPROXY: &[Parameter] = &section(
    Module::Node,
    "HAPROXY",
    Support::Managed,
    [
        row("haproxy_enabled", Bool, Levels::C, YES, "Whether HAProxy runs on the node."),
        row(
            "haproxy_clean",
            Bool,
            Levels::G_C_A,
            NO,
            "Whether existing load balancer configuration is wiped first.",
        )
        .decided(&Decision {
            value: NO,
            instead: "nothing is wiped: a configuration of somebody else's is refused, and stays",
        }),
        row(
            "haproxy_reload",
            Bool,
            Levels::A,
            YES,
            "Whether HAProxy reloads when its configuration changes.",
        )
        .decided(&Decision {
            value: YES,
            instead: "HAProxy reloads when its configuration changes, as the plan says",
        }),
        row(
            "haproxy_auth_enabled",
            Bool,
            Levels::G,
            YES,
            "Whether the admin page asks for name and password.",
        ),
        row(
            "haproxy_admin_username",
            Username,
            Levels::G,
            text("admin"),
            "Name for the admin page.",
        ),
        row(
            "haproxy_admin_password",
            Password,
            Levels::G,
            text("pigsty"),
            "Password for the admin page. The default is public: change it.",
        ),
        row(
            "haproxy_exporter_port",
            Port,
            Levels::C,
            int(9101),
            "TCP port of the admin page and metrics.",
        ),
        row(
            "haproxy_client_timeout",
            Interval,
            Levels::C,
            text("24h"),
            "Time after which a silent client is disconnected.",
        ),
        row(
            "haproxy_server_timeout",
            Interval,
            Levels::C,
            text("24h"),
            "Time after which a silent server is disconnected.",
        ),
        row(
            "haproxy_services",
            List(&structures::NODE_SERVICE),
            Levels::C,
            json("[]"),
            "Services to expose on this node, each with its own port and list of servers.",
        ),
    ],
);

pub(super) const NODE_EXPORTER: &[Parameter] = &section(
    Module::Node,
    "NODE_EXPORTER",
    Support::Accepted,
    [
        row(
            "node_exporter_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether the operating system's metrics exporter runs.",
        ),
        row(
            "node_exporter_port",
            Port,
            Levels::C,
            int(9100),
            "TCP port of the operating system's metrics exporter.",
        ),
        row(
            "node_exporter_options",
            Arguments,
            Levels::C,
            text(
                "--no-collector.softnet --no-collector.nvme --collector.tcpstat \
         --collector.processes",
            ),
            "Further command-line options of the operating system's metrics exporter.",
        ),
    ],
);

pub(super) const VECTOR: &[Parameter] = &section(
    Module::Node,
    "VECTOR",
    Support::Accepted,
    [
        row("vector_enabled", Bool, Levels::C, YES, "Whether logs are shipped from the node."),
        row(
            "vector_clean",
            Bool,
            Levels::G_A,
            NO,
            "Whether the log shipper's state is wiped first.",
        ),
        row(
            "vector_data",
            Path,
            Levels::C,
            text("/data/vector"),
            "Directory in which the log shipper keeps its positions and buffers.",
        ),
        row("vector_port", Port, Levels::C, int(9598), "TCP port of the log shipper's metrics."),
        row(
            "vector_read_from",
            one_of(&["beginning", "end"]),
            Levels::C,
            text("beginning"),
            "Where the log shipper starts in files it has not seen before.",
        ),
        row(
            "vector_log_endpoint",
            TextList,
            Levels::C,
            json(r#"["infra"]"#),
            "Where logs go: groups or addresses of log databases.",
        ),
    ],
);
