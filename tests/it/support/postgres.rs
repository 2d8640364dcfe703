//! A real PostgreSQL: a private cluster in a temporary folder, run by a user without privileges.

use super::{
    eventually,
    guard::{Guarded, free_port, run},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

/// The user that is asked for, and the password of the cluster.
pub(crate) const USER: &str = "forethought";
pub(crate) const PASSWORD: &str = "only for tests";

/// A cluster.
pub(crate) struct Postgres {
    folder: TempDir,
    port: u16,
    databases: AtomicUsize,
    process: Mutex<Option<Guarded>>,
    tls: bool,
}

/// The cluster that the run shares.
pub(crate) fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Self {
        let cluster = Self::made(false);
        cluster.again();
        cluster
    }

    /// As [`Postgres::start`], with TLS: certificate and key of the server, PEM.
    pub(crate) fn with_tls(certificate: &str, key: &str) -> Self {
        let cluster = Self::made(true);
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = cluster.folder.path().join("data").join(name);
            fs::write(&file, text).unwrap();
            // It takes a key that nobody else can read only.
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                run("chown", &["postgres", &file.display().to_string()], None).unwrap();
            }
        }
        cluster.again();
        cluster
    }

    fn made(tls: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display().to_string();
        // The user must reach its folder below.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let password = folder.path().join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        let data = format!("{path}/data");
        fs::create_dir(&data).unwrap();
        if is_root() {
            run("chown", &["postgres", &data], None).unwrap();
        }
        let (program, mut arguments) = unprivileged("initdb");
        arguments.extend([
            format!("--pgdata={data}"),
            format!("--username={USER}"),
            "--auth=scram-sha-256".to_owned(),
            format!("--pwfile={}", password.display()),
            "--no-sync".to_owned(),
            "--encoding=UTF8".to_owned(),
            "--locale=C".to_owned(),
        ]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&program, &arguments, None).unwrap();
        Self {
            folder,
            port: free_port(),
            databases: AtomicUsize::new(0),
            process: Mutex::default(),
            tls,
        }
    }

    /// Starts it, the first time or after [`Postgres::stop`].
    pub(crate) fn again(&self) {
        let (program, arguments) = unprivileged("postgres");
        let process = Guarded::start(&program, |_| {
            let mut all = arguments;
            let data = self.folder.path().join("data");
            all.extend(["-D".to_owned(), data.display().to_string()]);
            for setting in [
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={}", self.port),
                "unix_socket_directories=".to_owned(),
                "shared_buffers=16MB".to_owned(),
                "max_connections=60".to_owned(),
                format!("ssl={}", if self.tls { "on" } else { "off" }),
            ] {
                all.extend(["-c".to_owned(), setting]);
            }
            all
        });
        *self.process.lock().unwrap() = Some(process);
        eventually("PostgreSQL answers", 60, || {
            let port = self.port.to_string();
            run(&tool("pg_isready"), &["-h", "127.0.0.1", "-p", &port], None)
        });
    }

    /// Stops it at once; what is connected is thrown out.
    pub(crate) fn stop(&self) {
        let mut process = self.process.lock().unwrap().take().unwrap();
        process.signal("INT");
        process.wait(60);
    }

    /// A new, empty database: its URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.ask(&format!("CREATE DATABASE {name}"));
        format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port)
    }

    /// Another user who owns the database at `url`, or another password of that user; the URL of the user.
    pub(crate) fn user(&self, url: &str, user: &str, password: &str) -> String {
        let database = url.rsplit_once('/').unwrap().1;
        let sql = format!(
            "DO $$ BEGIN CREATE ROLE {user} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
             ALTER ROLE {user} PASSWORD '{password}'; ALTER DATABASE {database} OWNER TO {user}"
        );
        self.ask(&sql);
        url.replace(&format!("//{USER}@"), &format!("//{user}@"))
    }

    /// Throws out who is connected as `user`.
    pub(crate) fn throw_out(&self, user: &str) {
        self.ask(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'"
        ));
    }

    fn ask(&self, sql: &str) {
        let url = format!(
            "postgres://{USER}:{}@127.0.0.1:{}/postgres",
            PASSWORD.replace(' ', "%20"),
            self.port
        );
        run(&tool("psql"), &[&url, "-X", "-q", "-c", sql], None).unwrap();
    }

    /// A file with the password.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }
}

fn is_root() -> bool {
    run("id", &["-u"], None).unwrap().trim() == "0"
}

/// A tool of the newest PostgreSQL there is. Debian has them outside of the path.
fn tool(name: &str) -> String {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    let newest = found.pop();
    newest.map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

/// How a tool is run as a user without privileges: PostgreSQL refuses to be run by root.
fn unprivileged(name: &str) -> (String, Vec<String>) {
    if !is_root() {
        return (tool(name), Vec::new());
    }
    let words = [
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        &tool(name),
    ];
    ("setpriv".to_owned(), words.map(str::to_owned).to_vec())
}
