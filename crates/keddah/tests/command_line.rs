//! The command as a person meets it: a cleared environment, a directory of its own, no network.

#![allow(clippy::unwrap_used, reason = "a command that cannot be run fails its test")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory, removed at the end, in which the command runs.
struct Scene {
    directory: PathBuf,
}

#[must_use = "look at what came out"]
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Scene {
    fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("keddah-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    fn with(self, file: &str, text: &str) -> Self {
        let path = self.directory.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_keddah"))
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.directory)
            .env("XDG_RUNTIME_DIR", &self.directory)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn mode(&self, file: &str) -> u32 {
        std::fs::metadata(self.directory.join(file)).unwrap().permissions().mode() & 0o777
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

const ONE_NODE: &str = "\
all:
  children:
    etcd: { hosts: { 127.0.0.1: { etcd_seq: 1 } }, vars: { etcd_cluster: etcd } }
    pg-meta:
      hosts: { 127.0.0.1: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-meta, pg_admin_password: poison-4711 }
  vars:
    admin_ip: 127.0.0.1
    ansible_port: 1
    ansible_user: nobody
";

#[test]
fn every_command_has_help() {
    let scene = Scene::new("help");
    let help = scene.run(&["--help"]);
    assert_eq!(help.code, 0);
    for command in [
        "plan",
        "apply",
        "remove",
        "check",
        "compile",
        "inventory",
        "params",
        "schema",
        "cert",
        "sandbox",
        "completion",
    ] {
        assert!(help.stdout.contains(command), "{command} is not in the help");
        let own = scene.run(&[command, "--help"]);
        assert_eq!(own.code, 0, "{command}: {}", own.stderr);
        assert!(own.stdout.contains("Usage: keddah"), "{command}");
    }
    assert!(!help.stdout.contains("agent"), "the agent is not for people");
    assert_eq!(scene.run(&["frobnicate"]).code, 1);
    assert_eq!(scene.run(&["plan", "--frobnicate"]).code, 1, "2 would mean changes");
    let version = scene.run(&["--version"]);
    assert!(version.stdout.starts_with(concat!("keddah ", env!("CARGO_PKG_VERSION"))));
    for shell in ["bash", "zsh", "fish"] {
        let script = scene.run(&["completion", shell]);
        assert!(script.stdout.contains("keddah") && script.code == 0, "{shell}");
    }
}

#[test]
fn without_an_inventory_it_says_how_to_name_one() {
    let scene = Scene::new("none");
    for command in ["plan", "apply", "check"] {
        let outcome = scene.run(&[command]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{command}");
        assert_eq!(
            outcome.stderr,
            "error: there is no inventory here\nhint: name it with -i FILE, or call it keddah.yml\n"
        );
    }
    let missing = scene.run(&["check", "-i", "nowhere.yml"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("because: No such file"), "{}", missing.stderr);
    let directory = scene.run(&["check", "-i", "."]);
    assert!(directory.stderr.contains("name the file in it"), "{}", directory.stderr);
}

#[test]
fn check_shows_all_problems_with_their_places_and_no_secret() {
    let wrong = ONE_NODE.replace("pg_role: primary", "pg_role: primery, pg_prot: 5432");
    let scene = Scene::new("check").with("keddah.yml", &wrong);
    let outcome = scene.run(&["check"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("keddah.yml:5:"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("primery") && outcome.stdout.contains("pg_prot"));
    assert!(!outcome.stdout.contains("poison"), "{}", outcome.stdout);
    let json = scene.run(&["check", "--json"]);
    assert_eq!(json.code, 1);
    let problems: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(problems.as_array().unwrap().len() >= 2);
    assert!(problems[0]["place"]["line"].is_u64(), "{problems}");
    assert!(!json.stdout.contains("poison"));
    // Nothing is planned for a wrong inventory.
    assert_eq!(scene.run(&["plan"]).code, 1);

    let broken = Scene::new("broken").with("keddah.yml", "all: [\n");
    assert_eq!(broken.run(&["check"]).code, 1);
    let fine = Scene::new("fine").with("keddah.yml", ONE_NODE).run(&["check"]);
    assert_eq!(fine.code, 0, "{}", fine.stdout);
}

#[test]
fn compile_needs_no_node_and_finds_what_check_cannot() {
    let scene = Scene::new("compile").with("keddah.yml", ONE_NODE);
    let outcome = scene.run(&["compile"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("on 1 node"), "{}", outcome.stdout);
    assert!(!scene.directory.join("files").exists(), "nothing is written");
    let json = scene.run(&["compile", "--json"]);
    let counts: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(counts["resources"]["pgsql"].as_u64().unwrap() > 10, "{counts}");
    assert!(counts["resources"]["etcd"].as_u64().unwrap() > 5, "{counts}");

    let scene = scene.with("templates/haproxy/haproxy.cfg", "{{ maxcon }}\n");
    let outcome = scene.run(&["compile"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stdout);
    assert!(outcome.stderr.contains("templates/haproxy/haproxy.cfg:1"), "{}", outcome.stderr);
}

#[test]
fn where_no_node_answers_it_says_so_and_how_to_try() {
    let scene = Scene::new("unreachable").with("keddah.yml", ONE_NODE);
    for command in ["plan", "apply"] {
        let outcome = scene.run(&[command]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{command}");
        let said = &outcome.stderr;
        assert!(said.contains("127.0.0.1 does not answer"), "{said}");
        assert!(said.contains("Connection refused"), "{said}");
        assert!(said.contains("ssh -p 1 -l nobody 127.0.0.1 true"), "{said}");
        assert!(!said.contains("poison"));
    }
}

/// Looks at this machine, and changes nothing: nobody approves.
#[test]
fn a_host_that_stands_twice_is_told_by_every_command() {
    let text = "all:
  children:
    etcd: { hosts: { 10.9.9.1: { etcd_seq: 1 } } }
    pg-x:
      hosts:
        10.9.9.2: { pg_seq: 1, pg_role: primary }
        10.9.9.2: { pg_seq: 2, pg_role: replica }
        10.9.9.3: { pg_seq: 3, pg_role: primary }
      vars: { pg_cluster: pg-x }
";
    let scene = Scene::new("twice").with("twice.yml", text);
    let compiled = scene.run(&["compile", "-i", "twice.yml"]);
    assert!(compiled.stderr.contains("twice.yml:7: "), "{}", compiled.stderr);
    assert!(compiled.stderr.contains("10.9.9.2"), "{}", compiled.stderr);
}

#[test]
fn public_passwords_are_asked_for_once_and_before_anything_else() {
    let local =
        ONE_NODE.replace("ansible_port: 1\n    ansible_user: nobody", "ansible_connection: local");
    let scene = Scene::new("doors").with("keddah.yml", &local);
    let warned = "6 passwords are ones that everyone knows: `etcd_root_password`, ";
    let plan = scene.run(&["plan"]);
    assert!(plan.stderr.contains(warned), "{}", plan.stderr);
    assert!(plan.stderr.contains("apply asks for --allow-public-passwords"), "{}", plan.stderr);
    let refused = scene.run(&["apply", "--destroy", "nothing"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert_eq!(refused.stderr.matches(warned).count(), 1, "{}", refused.stderr);
    for words in [
        "error: nothing was changed: this would create logins with ",
        "passwords that everyone knows: `haproxy_admin_password`, `patroni_password`",
        "to allow it, once for this fleet: keddah apply --destroy nothing --allow-public-passwords",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    for secret in ["poison", "DBUser.", "Patroni.API", "Etcd.Root"] {
        assert!(!refused.stderr.contains(secret), "{secret}: {}", refused.stderr);
    }
    let allowed = scene.run(&["apply", "--allow-public-passwords"]);
    assert!(allowed.stderr.contains("no terminal to ask for approval"), "{}", allowed.stderr);
    assert!(!scene.directory.join("files").exists(), "what was not approved is not remembered");
}

#[test]
fn what_is_no_plan_is_told_from_a_plan() {
    let scene = Scene::new("planfile").with("keddah.yml", ONE_NODE);
    for (text, said) in [
        (&b"\x7fELF\xff\xfe"[..], "is not a plan, but a binary file"),
        (b"{\"a\": 1}", "is not a plan, but some other JSON"),
        (b"", "is not a plan, but empty"),
        (ONE_NODE.as_bytes(), "keddah apply -i change.plan"),
        (b"{\n  \"keddah_plan\": 2,\n  \"inv", "is only the beginning of a plan"),
        (b"{\"keddah_plan\": 1}", "was written by another version of keddah"),
        (b"{\"keddah_plan\": 2}", "was changed by hand or damaged"),
        (
            b"{\"summary\": {}, \"digest\": \"\", \"plan\": {}}",
            "the output of `keddah plan --json`",
        ),
    ] {
        std::fs::write(scene.directory.join("change.plan"), text).unwrap();
        let outcome = scene.run(&["apply", "change.plan"]);
        assert_eq!(outcome.code, 1);
        assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("keddah plan -o PLANFILE"), "{}", outcome.stderr);
    }
    let outcome = scene.run(&["apply", "."]);
    assert!(outcome.stderr.contains("because: Is a directory"), "{}", outcome.stderr);
}

#[test]
fn a_selection_of_nothing_is_an_error() {
    let scene = Scene::new("selection").with("keddah.yml", ONE_NODE);
    let outcome = scene.run(&["plan", "-l", "pg-mata"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("did you mean `pg-meta`?"), "{}", outcome.stderr);
    let outcome = scene.run(&["plan", "-m", "postgres"]);
    assert!(outcome.stderr.contains("the modules are"), "{}", outcome.stderr);
}

/// Two clusters on two nodes.
const PAIR: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-pair:
      hosts:
        10.10.10.10:
          pg_instances:
            5432: { pg_cluster: pg-a, pg_seq: 1, pg_role: primary }
            5442:
              pg_cluster: pg-b
              pg_seq: 1
              pg_role: primary
              pg_users: [{ name: shop, password: poison-1 }]
        10.10.10.11:
          pg_instances:
            5432: { pg_cluster: pg-a, pg_seq: 2, pg_role: replica }
            5442: { pg_cluster: pg-b, pg_seq: 2, pg_role: replica }
";

#[test]
fn an_instance_is_shown_with_what_follows_from_its_port_and_without_secrets() {
    let scene = Scene::new("instances").with("keddah.yml", PAIR);
    let shown = scene.run(&["inventory", "show", "pg-b-2", "--json"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let document: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(document["patroni_port"]["value"], 8018);
    assert_eq!(document["pg_data"]["value"], "/pg-pg-b/data");
    assert_eq!(document["pg_users"]["value"][0]["name"], "shop", "said at the other member");
    assert!(document["pg_seq"]["origin"].as_str().unwrap().ends_with("(instance 5442)"));
    let host = scene.run(&["inventory", "show", "10.10.10.10"]);
    for outcome in [&shown, &host] {
        assert!(!outcome.stdout.contains("poison"), "{}", outcome.stdout);
    }
}

#[test]
fn several_instances_compile_without_nodes() {
    let scene = Scene::new("compile-instances").with("keddah.yml", PAIR);
    let compiled = scene.run(&["compile"]);
    assert_eq!(compiled.code, 0, "{}", compiled.stderr);
}

#[test]
fn inventory_show_names_origins_and_hides_secrets() {
    let scene = Scene::new("show").with("keddah.yml", ONE_NODE);
    let shown = scene.run(&["inventory", "show", "127.0.0.1", "--all"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("keddah.yml:6 (group pg-meta)"), "{}", shown.stdout);
    assert!(shown.stdout.contains("# default"), "{}", shown.stdout);
    // A long value is a block below its name, whose lines stay readable.
    assert!(shown.stdout.contains("\n  local: { path: "), "{}", shown.stdout);
    let widest = shown.stdout.lines().filter(|line| line.starts_with("  ")).map(str::len).max();
    assert!(widest.is_some_and(|widest| widest <= 140), "{widest:?}");
    assert!(!shown.stdout.contains("poison"), "{}", shown.stdout);
    let list = scene.run(&["inventory", "--list"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(list["_meta"]["hostvars"]["127.0.0.1"]["pg_cluster"], "pg-meta");
    assert!(scene.run(&["inventory", "--graph"]).stdout.starts_with("@all:"));
    assert_eq!(scene.run(&["inventory"]).code, 1);
}

#[test]
fn params_and_schema_answer_without_an_inventory() {
    let scene = Scene::new("params");
    assert!(scene.run(&["params", "pg_port"]).stdout.contains("5432"));
    let near = scene.run(&["params", "pg_prot"]);
    assert_eq!(near.code, 1);
    assert!(near.stderr.contains("did you mean `pg_port`?"), "{}", near.stderr);
    let all: serde_json::Value =
        serde_json::from_str(&scene.run(&["params", "--json"]).stdout).unwrap();
    assert!(all.as_array().unwrap().len() > 300);
    let schema: serde_json::Value = serde_json::from_str(&scene.run(&["schema"]).stdout).unwrap();
    assert!(schema.get("$schema").is_some());
    assert!(scene.run(&["completion", "bash"]).stdout.contains("_keddah"));
}

fn openssl(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A certificate authority of the user's own, where Keddah looks for it.
fn make_authority(scene: &Scene) {
    let ca = scene.directory.join("files/pki/ca");
    std::fs::create_dir_all(&ca).unwrap();
    let key =
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"];
    let certificate = ["-out", "ca.crt", "-days", "10", "-subj", "/CN=test-ca"];
    openssl(&ca, &[&["req", "-x509"], &key[..], &certificate[..]].concat());
}

#[test]
fn without_an_authority_none_is_made_where_that_is_not_wanted() {
    let own = ONE_NODE.replacen("  vars:\n", "  vars:\n    ca_create: false\n", 1);
    assert_ne!(own, ONE_NODE);
    let scene = Scene::new("own-ca").with("keddah.yml", &own);
    for command in ["compile", "plan"] {
        let outcome = scene.run(&[command]);
        assert_eq!(outcome.code, 1, "{command}: {}", outcome.stdout);
        assert!(outcome.stderr.contains("ca_create is false"), "{command}: {}", outcome.stderr);
        assert!(!scene.directory.join("files").exists(), "{command} made something");
    }
    make_authority(&scene);
    let compiled = scene.run(&["compile"]);
    assert_eq!(compiled.code, 0, "{}", compiled.stderr);
}

#[test]
fn client_certificates_are_issued_for_their_owner_alone() {
    let scene = Scene::new("cert").with("keddah.yml", ONE_NODE);
    let without = scene.run(&["cert", "issue", "--cn", "dbuser_dba"]);
    assert_eq!(without.code, 1);
    assert!(without.stderr.contains("there is no CA"), "{}", without.stderr);

    make_authority(&scene);
    let issued = scene.run(&["cert", "issue", "--cn", "dbuser_dba"]);
    assert_eq!(issued.code, 0, "{}", issued.stderr);
    assert!(!issued.stderr.contains("warning: no cluster"), "{}", issued.stderr);
    let nobody = scene.run(&["cert", "issue", "--cn", "nobody_here"]);
    assert_eq!(nobody.code, 0, "{}", nobody.stderr);
    let warning = "warning: no cluster of the inventory declares a user `nobody_here`";
    assert!(nobody.stderr.contains(warning), "{}", nobody.stderr);
    for file in ["files/pki/client/dbuser_dba.key", "files/pki/client/dbuser_dba.crt"] {
        assert_eq!(scene.mode(file), 0o600, "{file}");
    }
    assert_eq!(scene.mode("files/pki/client"), 0o700);
    let client = scene.directory.join("files/pki/client");
    let verified = openssl(
        &client,
        &["verify", "-purpose", "sslclient", "-CAfile", "../ca/ca.crt", "dbuser_dba.crt"],
    );
    assert!(verified.contains("OK"));
    let subject = openssl(&client, &["x509", "-in", "dbuser_dba.crt", "-noout", "-subject"]);
    assert!(subject.contains("dbuser_dba"), "{subject}");
    let end =
        openssl(&client, &["x509", "-in", "dbuser_dba.crt", "-noout", "-checkend", "31449600"]);
    assert!(end.contains("will not expire"), "364 days from now: {end}");
    for system in ["postgres", "replicator"] {
        let refused = scene.run(&["cert", "issue", "--cn", system]);
        assert_eq!(refused.code, 1, "{system}");
        assert!(refused.stderr.contains("--allow-system-user"), "{}", refused.stderr);
    }
    let allowed = ["cert", "issue", "--cn", "postgres", "--allow-system-user", "--days", "1"];
    assert_eq!(scene.run(&allowed).code, 0);
    let again = scene.run(&["cert", "issue", "--cn", "dbuser_dba"]);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(scene.run(&["cert", "issue", "--cn", "../evil"]).code, 1);
}

/// What `--no-backup` spares is the last backup of a cluster that goes as a whole; whoever says it of one member means
/// something else.
#[test]
fn no_backup_is_refused_where_none_would_be_taken() {
    let two = ONE_NODE
        .replace(
            "pg_seq: 1, pg_role: primary }",
            "pg_seq: 1, pg_role: primary }, 10.10.10.11: { pg_seq: 2, pg_role: replica }",
        )
        .replace("127.0.0.1", "10.10.10.10")
        .replace("    ansible_port", "    ansible_host: 127.0.0.1\n    ansible_port");
    let scene = Scene::new("no-backup").with("keddah.yml", &two);
    for name in ["pg-meta-2", "10.10.10.11"] {
        let refused = scene.run(&["remove", name, "--no-backup"]);
        assert_eq!(refused.code, 1, "{name}");
        let words =
            format!("`--no-backup` is for a cluster that goes as a whole, and `{name}` is none");
        assert!(refused.stderr.contains(&words), "{}", refused.stderr);
    }
    let whole = scene.run(&["remove", "pg-meta", "--no-backup"]);
    assert!(!whole.stderr.contains("`--no-backup` is for"), "{}", whole.stderr);
}

/// A slip must not take a fleet out of sight and then call the rest well: `status` in a timer would be
/// silent for ever.
#[test]
fn of_an_inventory_that_holds_nothing_nothing_is_well() {
    let hosts = "{ etcd: { hosts: { 127.0.0.1: { etcd_seq: 1 } } } }";
    for (name, text) in [
        ("childs", format!("all:\n  childs: {hosts}\n")),
        ("host", format!("all:\n  children: {}\n", hosts.replace("hosts", "host"))),
        ("no hosts", format!("all:\n  children: {}\n", hosts.replace("hosts", "vars"))),
        ("empty", String::new()),
        ("nothing", "all:\n".to_owned()),
        ("only variables", "all: { vars: { admin_ip: 127.0.0.1 } }\n".to_owned()),
        ("no group", "all: { children: { etcd: } }\n".to_owned()),
    ] {
        let scene = Scene::new("nothing").with("keddah.yml", &text);
        for command in [&["plan"][..], &["apply", "--yes"], &["status"], &["status", "--json"]] {
            let outcome = scene.run(command);
            let said = format!("{}{}", outcome.stdout, outcome.stderr);
            assert_eq!(outcome.code, 1, "{name}: {command:?}: {said}");
            assert!(!said.contains("ll is well") && !said.contains("\"well\": true"), "{said}");
            assert!(said.contains("hosts") || said.contains("children"), "no way out: {said}");
        }
    }
}

#[test]
fn what_is_skipped_in_an_inventory_is_told_and_not_merely_counted() {
    let text = ONE_NODE.replace("  vars:\n    admin", "    pg-tset:\n  vars:\n    admin");
    let scene = Scene::new("skipped").with("keddah.yml", &text);
    for command in ["plan", "status"] {
        let told = scene.run(&[command]).stderr;
        assert!(told.contains("keddah.yml:7: group `pg-tset` has no host"), "{command}: {told}");
    }
    let nobody = scene.run(&["plan", "-l", "pg-tset"]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.stderr.contains("no host is in `pg-tset`"), "{}", nobody.stderr);
}

/// A real agent in a process of its own, spoken to over its standard streams.
#[test]
fn an_agent_speaks_frames_and_ends_with_its_input() {
    use std::io::{Read, Write};
    let mut child = Command::new(env!("CARGO_BIN_EXE_keddah"))
        .args(["agent", "--build", "abc"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut send = |message: serde_json::Value| {
        let bytes = serde_json::to_vec(&message).unwrap();
        stdin.write_all(&u32::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
        stdin.write_all(&bytes).unwrap();
    };
    let mut marker = [0; 15];
    stdout.read_exact(&mut marker).unwrap();
    assert_eq!(&marker, b"keddah-agent-1\n");
    let mut receive = || -> serde_json::Value {
        let mut length = [0; 4];
        stdout.read_exact(&mut length).unwrap();
        let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
        stdout.read_exact(&mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    send(serde_json::json!({"protocol": 1, "build": "abc"}));
    assert_eq!(receive(), serde_json::json!({"protocol": 1, "build": "abc"}));
    let path = std::env::current_exe().unwrap();
    let permissions = serde_json::json!({"owner": "root", "group": "root", "mode": 0o755});
    let spec = serde_json::json!({"directory": {
        "path": path.parent().unwrap(), "permissions": permissions}});
    send(serde_json::json!({"number": 7, "ask": {"observe": {"specs": [spec], "spent": 0}}}));
    let answer = receive();
    assert_eq!(answer["number"], 7);
    let observed = &answer["answer"]["observed"][0]["Ok"]["known"]["directory"];
    assert!(observed["permissions"]["owner"].is_string(), "{answer}");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
