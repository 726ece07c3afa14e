//! Parameters of the MINIO module, which Keddah reads and does not manage.

use super::default::{NO, NONE, YES, int, json, text};
use super::kind::ParameterType::{Bool, List, Password, Path, Port, Text, Username};
use super::kind::natural;
use super::{Levels, Module, Parameter, Support, defaults, row, section, structures};

pub(super) const MINIO: &[Parameter] = &section(
    Module::Minio,
    "",
    Support::Unmanaged,
    [
        row(
            "minio_seq",
            natural(),
            Levels::I,
            NONE,
            "Number of this object storage node, unique in its cluster. Part of the identity.",
        ),
        row(
            "minio_cluster",
            Text,
            Levels::C,
            NONE,
            "Name of the object storage cluster. Part of the identity.",
        ),
        row(
            "minio_user",
            Username,
            Levels::C,
            text("minio"),
            "Operating system account that runs the object storage.",
        ),
        row("minio_https", Bool, Levels::G_C, YES, "Whether the object storage speaks HTTPS."),
        row(
            "minio_node",
            Text,
            Levels::C,
            text("${minio_cluster}-${minio_seq}.pigsty"),
            "Pattern of a node's name, from cluster and number.",
        ),
        row(
            "minio_data",
            Path,
            Levels::C,
            text("/data/minio"),
            "Data directory; `{x...y}` names several disks.",
        ),
        row(
            "minio_volumes",
            Text,
            Levels::C,
            NONE,
            "Volumes of the whole cluster, in place of the ones derived from nodes and disks.",
        ),
        row(
            "minio_domain",
            Text,
            Levels::G,
            text("sss.pigsty"),
            "Domain name under which clients reach the object storage.",
        ),
        row("minio_port", Port, Levels::C, int(9000), "TCP port of the object storage."),
        row("minio_admin_port", Port, Levels::C, int(9001), "TCP port of the web console."),
        row("minio_access_key", Username, Levels::C, text("minioadmin"), "Name of the root user."),
        row(
            "minio_secret_key",
            Password,
            Levels::C,
            text("S3User.MinIO"),
            "Password of the root user. The default is public: change it.",
        ),
        row(
            "minio_extra_vars",
            Text,
            Levels::C,
            text(""),
            "Further environment lines of the service.",
        ),
        row(
            "minio_provision",
            Bool,
            Levels::G_C,
            YES,
            "Whether buckets and users are created once the service runs.",
        ),
        row(
            "minio_alias",
            Text,
            Levels::G,
            text("sss"),
            "Alias of the deployment in the command-line client's configuration.",
        ),
        row(
            "minio_endpoint",
            Text,
            Levels::C,
            NONE,
            "URL of the object storage as clients use it, in place of the derived one.",
        ),
        row(
            "minio_buckets",
            List(&structures::BUCKET),
            Levels::C,
            json(defaults::MINIO_BUCKETS),
            "Buckets to create.",
        ),
        row(
            "minio_users",
            List(&structures::OBJECT_USER),
            Levels::C,
            json(defaults::MINIO_USERS),
            "Users to create, each with a policy.",
        ),
        row(
            "minio_safeguard",
            Bool,
            Levels::G_C_A,
            NO,
            "Refuses every removal of object storage while true.",
        ),
        row("minio_rm_data", Bool, Levels::G_C_A, YES, "Whether removing a node deletes its data."),
        row(
            "minio_rm_pkg",
            Bool,
            Levels::G_C_A,
            NO,
            "Whether removing a node uninstalls its packages.",
        ),
    ],
);
