//! A real PostgreSQL server for tests.
//!
//! Promises: one server for each test process, started when the first test asks for it, on a free port of 127.0.0.1 with
//! random passwords, never as root, in a folder of its own. It stops and its folder goes when the process ends, however
//! that happens: a shell waits for the end of a pipe that only this process holds. Whoever asks gets an empty database
//! with the two roles of a proper installation. Does not: survive a power cut (`fsync` is off), or skip: without
//! PostgreSQL it fails and says what to do.
#![expect(clippy::disallowed_methods, reason = "tests wait for a process here and read where PostgreSQL lies")]
#![expect(clippy::expect_used, clippy::panic, reason = "only tests use this, and a test fails by a panic")]

mod find;

use std::fmt;
use std::fs::{File, Permissions};
use std::io::{Read as _, Seek as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The role that owns a database and migrates it.
pub const OWNER: &str = "catena_owner";
/// The role that the service uses: no superuser, no way around row-level security, nothing of its own.
pub const APP: &str = "catena_app";

const ADMIN: &str = "postgres";
const START_LIMIT: Duration = Duration::from_secs(60);
/// A port that was free a moment ago may be taken by now.
const START_ATTEMPTS: usize = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Quick to start and small; a commit is answered in order, but not forced to a disk that no test reads again.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "synchronous_commit=on",
    "shared_buffers=32MB",
    "max_connections=200",
    "log_statement=none",
];
/// What a commit need not do when nobody reads the disk again.
const VOLATILE: &[&str] = &["fsync=off", "full_page_writes=off"];
/// What it does otherwise.
const DURABLE: &[&str] = &["fsync=on", "full_page_writes=on"];
/// Makes a server's data and runs it until it ends or this process does, then removes the folder. `$1` is the folder,
/// `$2` that of the programs, the rest is for the server. A server that only begins misses its first signal.
const KEEPER: &str = r#"exec 3<&0 </dev/null; folder=$1; bin=$2; shift 2; cd "$folder" || exit 1
    "$bin/initdb" --no-sync --auth=scram-sha-256 --encoding=UTF8 --locale=C --username=postgres --pwfile=password \
        --pgdata=data 3<&- && rm password && { "$bin/postgres" -D data "$@" 3<&- & served=$!; } || exec rm -rf "$folder"
    (cat <&3 >/dev/null; while kill -QUIT $served 2>/dev/null; do sleep 0.1; done) & exec 3<&-
    wait $served; rm -rf "$folder""#;

/// A running server.
pub struct Postgres {
    bin: PathBuf,
    port: u16,
    password: String,
    took: Duration,
    databases: AtomicU64,
    /// The server ends when this closes.
    _alive: (Child, ChildStdin),
}

/// An empty database of [`Postgres`]. It goes with the server.
#[derive(Debug, Clone)]
pub struct Database {
    name: String,
    owner_url: String,
    app_url: String,
}

/// The server of this process, started by the first call.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start(VOLATILE))
}

impl Postgres {
    /// A server of its own whose commits reach the disk, for measuring.
    #[must_use]
    pub fn durable() -> Self {
        Self::start(DURABLE)
    }

    fn start(settings: &[&str]) -> Self {
        let started = Instant::now();
        let user = User::unprivileged();
        let password = random();
        let (bin, port, alive) = (0..START_ATTEMPTS)
            .find_map(|_| serve(&user, &password, settings))
            .expect("PostgreSQL starts; what it said is above");
        let mut server =
            Self { bin, port, password, took: Duration::ZERO, databases: AtomicU64::new(0), _alive: alive };
        let rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";
        for role in [OWNER, APP] {
            server.sql("postgres", &format!("CREATE ROLE {role} {rights} PASSWORD '{}'", server.password));
        }
        server.took = started.elapsed();
        server
    }

    /// The superuser's address of the database `postgres`.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.url(ADMIN, "postgres")
    }

    /// How long the start took, from looking for the programs to the roles.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.took
    }

    /// A new, empty database whose name begins with `name`, owned by [`OWNER`]; [`APP`] may connect, and no more.
    pub fn database(&self, name: &str) -> Database {
        let name = format!("{name}_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {OWNER}"));
        self.sql(
            "postgres",
            &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {APP}"),
        );
        Database { owner_url: self.url(OWNER, &name), app_url: self.url(APP, &name), name }
    }

    /// Runs statements as the superuser and returns what they printed, one row a line.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        self.psql(&self.url(ADMIN, database), statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// Runs statements at any address of this server.
    ///
    /// # Errors
    ///
    /// What PostgreSQL said, if it refused one.
    pub fn psql(&self, url: &str, statements: &str) -> Result<String, String> {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
        let ended = command.args(["--command", statements, url]).stdin(Stdio::null()).output().expect("psql starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if ended.status.success() { Ok(text(&ended.stdout)) } else { Err(text(&ended.stderr)) }
    }

    fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("bin", &self.bin).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Database {
    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address for [`OWNER`].
    #[must_use]
    pub fn owner_url(&self) -> &str {
        &self.owner_url
    }

    /// The address for [`APP`].
    #[must_use]
    pub fn app_url(&self) -> &str {
        &self.app_url
    }
}

/// Who runs the server: whoever runs the tests, or somebody without rights if that is root.
struct User {
    /// The user and group to become.
    other: Option<(u32, u32)>,
}

impl User {
    fn unprivileged() -> Self {
        let own = Path::new("/proc/self").metadata().map_or(u32::MAX, |process| process.uid());
        if own != 0 {
            return Self { other: None };
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let ids = |name: &str| {
            let mut fields = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":"))?.split(':');
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let found = ids("postgres").or_else(|| ids("nobody"));
        assert!(found.is_some(), "PostgreSQL never runs as root, and there is neither a user postgres nor nobody");
        Self { other: found }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.other {
            command.uid(user).gid(group);
        }
        // An interrupt at the terminal goes to the tests; the server ends when they do.
        command.process_group(0).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }
}

/// A server's folder: its data, its log. Removed here unless somebody else has taken that over.
struct Home(Option<PathBuf>);

impl Home {
    fn new(user: &User) -> Self {
        let folder = std::env::temp_dir().join(format!("catena-postgres-{}", random()));
        std::fs::create_dir(&folder).expect("a folder for PostgreSQL");
        let made = Self(Some(folder));
        std::fs::set_permissions(made.path(), Permissions::from_mode(0o700)).expect("the folder can be closed");
        if let Some((user, group)) = user.other {
            chown(made.path(), Some(user), Some(group)).expect("the folder can be given away");
        }
        made
    }

    fn path(&self) -> &Path {
        self.0.as_deref().expect("a folder that is not given away")
    }

    /// From now on the shell that keeps the server removes it.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Starts a server on a free port and waits until it is ready; `None`, with its last words shown, when it ended instead.
fn serve(user: &User, password: &str, settings: &[&str]) -> Option<(PathBuf, u16, (Child, ChildStdin))> {
    let home = Home::new(user);
    let bin = find::folder_for(user, &home);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    std::fs::write(home.path().join("password"), password).expect("a file for the password");
    let mut log =
        File::options().create_new(true).read(true).append(true).open(home.path().join("log")).expect("a log");
    let mut command = user.command(Path::new("sh"));
    command.args(["-c", KEEPER, "sh"]).arg(home.path()).arg(&bin).arg("-c").arg(format!("port={port}"));
    for setting in SETTINGS.iter().chain(settings) {
        command.args(["-c", setting]);
    }
    let output = || log.try_clone().expect("a second handle");
    let mut child = command.stdin(Stdio::piped()).stdout(output()).stderr(output()).spawn().expect("a shell starts");
    let pipe = child.stdin.take().expect("the pipe that was asked for");
    let started = Instant::now();
    loop {
        // The server writes how far it is into the last line of this file, for `pg_ctl` and for us.
        let state = std::fs::read_to_string(home.path().join("data/postmaster.pid")).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
            home.keep();
            return Some((bin, port, (child, pipe)));
        }
        let ended = child.try_wait().expect("a child can be asked").is_some();
        if ended || started.elapsed() > START_LIMIT {
            let mut said = String::new();
            let _ = log.rewind().and_then(|()| log.read_to_string(&mut said));
            println!("PostgreSQL did not start on port {port}:\n{said}");
            return None;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Digits that nobody guesses.
fn random() -> String {
    let mut bytes = [0; 16];
    let mut source = File::open("/dev/urandom").expect("the system's chance");
    source.read_exact(&mut bytes).expect("random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_and_its_roles_may_do_what_they_should_and_no_more() {
        let server = shared();
        println!("PostgreSQL started in {:?}", server.took());
        let (one, two) = (server.database("one"), server.database("one"));
        assert_ne!(one.name(), two.name(), "each database is a new one");
        let roles = "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles \
                     WHERE rolname LIKE 'catena%' ORDER BY 1";
        assert_eq!(server.sql("postgres", roles), "catena_app|f|f|f|f\ncatena_owner|f|f|f|f");
        assert_eq!(server.sql("postgres", "SHOW password_encryption"), "scram-sha-256");

        server.psql(one.owner_url(), "CREATE TABLE things (name text)").expect("the owner makes tables");
        let refused = server.psql(one.app_url(), "SELECT * FROM things").expect_err("not yet granted");
        assert!(refused.contains("permission denied"), "{refused}");
        for statement in ["CREATE TABLE mine (name text)", "CREATE SCHEMA mine", "CREATE TEMP TABLE mine (name text)"] {
            let refused = server.psql(one.app_url(), statement).expect_err(statement);
            assert!(refused.contains("permission denied"), "{statement}: {refused}");
        }
        server.psql(one.owner_url(), &format!("GRANT SELECT ON things TO {APP}")).expect("the owner grants");
        assert_eq!(server.psql(one.app_url(), "SELECT count(*) FROM things"), Ok("0".to_owned()));
        assert!(server.psql(two.app_url(), "SELECT * FROM things").is_err(), "the other database has no such table");

        let wrong = one.app_url().replacen(&server.password, "wrong", 1);
        assert!(server.psql(&wrong, "SELECT 1").is_err(), "a wrong password opens nothing");
        assert!(!format!("{server:?}").contains(&server.password), "the password is not shown by chance");
    }

    #[test]
    fn the_server_does_not_run_as_root() {
        let file = shared().sql("postgres", "SHOW data_directory");
        let owner = Path::new(&file).metadata().expect("the data lie where the server says").uid();
        assert_ne!(owner, 0);
    }
}
