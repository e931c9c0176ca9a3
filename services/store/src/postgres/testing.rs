//! A private PostgreSQL for tests and benchmarks: the real one, as Debian installs it.
//!
//! A server lives in a temporary directory, listens on a free port of the loopback interface, and
//! syncs to the disk like any other. A shell that reads our pipe watches over it: it stops the server
//! and clears away the directory when the pipe closes, also when that is because this process was
//! killed. A superuser cannot run PostgreSQL, so for root the shell becomes the user `postgres`.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use tempfile::TempDir;
use tokio_postgres::NoTls;

/// Who may do everything, without a password.
const USER: &str = "strife";
/// Whoever else there is proves it by a password.
const ACCESS: &str =
    "host all strife 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
/// How often another port is tried: a free one may be taken before the server has it.
const TRIES: usize = 5;
/// Told to whoever runs tests where there is no PostgreSQL.
const MISSING: &str = "PostgreSQL is not installed, and these tests use the real one: install it \
     with `apt-get install postgresql` (on other systems, have initdb and pg_ctl in PATH)";

/// What the watching shell does. `$1`: directory of the programs; `$2`: port; `$3`: settings;
/// `$4`: who may connect; `$5`: directory with `server.crt` and `server.key`, or nothing.
const WATCH: &str = r#"
    set -e
    cd /
    # A crashed server syncs all its files when it starts again, which takes long on a slow disk.
    export PGCTLTIMEOUT=300
    trap : INT TERM HUP
    home=$(mktemp -d "${TMPDIR:-/tmp}/strife-postgres-XXXXXX")
    stop() { "$1/pg_ctl" -D "$home/data" -m immediate -s stop >/dev/null 2>&1 || :; }
    start() { "$1/pg_ctl" -D "$home/data" -l "$home/log" -w -s -o "$2" start >/dev/null 2>&1; }
    trap 'stop "$1"; rm -rf "$home"' EXIT
    "$1/initdb" -D "$home/data" -U strife -A trust -E UTF8 --no-locale -N >"$home/log" 2>&1 \
        || { cat "$home/log" >&2; exit 1; }
    printf '%s' "$4" >"$home/data/pg_hba.conf"
    # As many as fleets side by side may want.
    settings="-p $2 -k $home -c listen_addresses=127.0.0.1 -c max_connections=400 $3"
    if [ -n "$5" ]; then
        cp "$5/server.crt" "$5/server.key" "$home/data/"
        chmod 600 "$home/data/server.key"
        settings="$settings -c ssl=on"
    fi
    start "$1" "$settings" || { cat "$home/log" >&2; exit 1; }
    echo ready
    while read -r order; do
        case $order in
            stop) stop "$1" ;;
            start) start "$1" "$settings" || { cat "$home/log" >&2; exit 1; } ;;
            end) exit 0 ;;
        esac
        echo done
    done
"#;

/// A running server. Ends when dropped, and with this process.
pub struct Server {
    port: u16,
    orders: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    child: Child,
    _certificate: Option<TempDir>,
}

/// How a [`Server`] is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// PEM files of a certificate and its key: the server offers TLS.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// More settings, as on the server's command line: `-c fsync=off`.
    pub settings: String,
}

impl Server {
    /// Whether PostgreSQL is installed here.
    pub fn is_installed() -> bool {
        programs().is_some()
    }

    /// The server that all tests of this process share, each with databases of its own.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&Options::default()));
        &SHARED
    }

    /// Starts a server of one's own.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start.
    pub fn start(options: &Options) -> Self {
        let programs = programs().unwrap_or_else(|| panic!("{MISSING}"));
        for _ in 0..TRIES {
            if let Some(server) = Self::try_start(&programs, options) {
                return server;
            }
        }
        panic!("PostgreSQL does not start; what it said is above");
    }

    fn try_start(programs: &Path, options: &Options) -> Option<Self> {
        let port = free_port();
        let certificate = options.certificate.as_ref().map(readable_by_all);
        let offered = certificate.as_ref().map(|dir| dir.path().display().to_string());
        let mut command = shell();
        command.args([programs.as_os_str(), port.to_string().as_ref(), options.settings.as_ref()]);
        command.args([ACCESS, &offered.unwrap_or_default()]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is a shell");
        let stdin = child.stdin.take().expect("piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        let heard = stdout.read_line(&mut line);
        if heard.is_err() || line.trim() != "ready" {
            let _ = child.wait();
            return None;
        }
        let orders = Mutex::new((stdin, stdout));
        Some(Self { port, orders, child, _certificate: certificate })
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of a database, for `--store`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{}/{database}", self.host())
    }

    /// Creates an empty database and returns its address.
    pub async fn create_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }

    /// Runs statements as the superuser.
    ///
    /// # Panics
    /// If one of them fails.
    pub async fn execute(&self, database: &str, sql: &str) {
        let connected = tokio_postgres::connect(&self.url(database), NoTls).await;
        let (client, connection) = connected.expect("the server runs");
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        drop(client);
        let _ = connection.await;
    }

    /// Ends it as a crash would: nothing is written any more, every connection is cut.
    pub fn crash(&self) {
        self.order("stop");
    }

    /// Starts it again after [`Server::crash`], where it was.
    pub fn restart(&self) {
        self.order("start");
    }

    fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let (stdin, stdout) = &mut *orders;
        writeln!(stdin, "{order}").expect("the shell lives");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the shell lives");
        assert_eq!(line.trim(), "done", "the shell does what it is told");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let orders = self.orders.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(orders.0, "end");
        let _ = self.child.wait();
    }
}

/// Where `initdb` and `pg_ctl` are: in `PATH`, or where packages put them, the newest first.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let has_both = |dir: &PathBuf| ["initdb", "pg_ctl"].iter().all(|name| dir.join(name).is_file());
    if let Some(found) = env::split_paths(&path).find(has_both) {
        return Some(found);
    }
    let mut packaged: Vec<(u32, PathBuf)> = Vec::new();
    for version in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let number = version.file_name().to_string_lossy().parse().unwrap_or(0);
        packaged.push((number, version.path().join("bin")));
    }
    packaged.sort();
    packaged.into_iter().rev().map(|(_, dir)| dir).find(has_both)
}

/// The watching shell, without its arguments; as the user `postgres` if we are root.
fn shell() -> Command {
    let id = Command::new("id").arg("-u").output().expect("there is `id`");
    let mut command = match id.stdout.trim_ascii() {
        b"0" => {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        }
        _ => Command::new("sh"),
    };
    command.args(["-c", WATCH, "postgres"]);
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// The files where another user can copy them.
fn readable_by_all((certificate, key): &(PathBuf, PathBuf)) -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let open = |path: &Path, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).expect("our own file");
    };
    open(dir.path(), 0o755);
    for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
        let to = dir.path().join(name);
        fs::copy(from, &to).expect("a readable file");
        open(&to, 0o644);
    }
    dir
}
