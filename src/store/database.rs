//! A database that is open: SQLite or PostgreSQL, asked in the same words.

use super::{
    StoreError, schema,
    settings::{PostgresSettings, Settings, TlsMode},
};
use crate::source::Secret;
use sqlx::{
    Connection, PgPool, SqliteConnection, SqlitePool,
    pool::PoolOptions,
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::Pin,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{fs, time::timeout};

/// One attempt may take so long. Nobody who decides waits for it, but a person may.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
/// Rows that SQLite's thread hands over before it waits to be asked for more: a page, so that nobody is woken for each half of it.
const ROWS_AHEAD: usize = 1_024;
/// So long SQLite waits for another writer; shorter than [`PATIENCE`], so that the lock is what is told.
const BUSY: Duration = Duration::from_secs(5);
/// Connections to a file: one writes while others read.
pub(super) const FILE_CONNECTIONS: u32 = 3;

/// A pool of either kind.
#[derive(Debug, Clone)]
pub(super) enum Db {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The same body for either kind of pool: what sqlx has generic in the kind of database needs a page of bounds.
macro_rules! on {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            $crate::store::database::Db::Sqlite($pool) => $body,
            $crate::store::database::Db::Postgres($pool) => $body,
        }
    };
}

/// As [`on!`], within a transaction that writes: `$tx` is `&mut` of it. It is committed where the body is `Ok`.
macro_rules! transact {
    ($db:expr, $tx:ident => $body:expr) => {{
        let db = $db;
        let work = async {
            match db {
                $crate::store::database::Db::Sqlite(pool) => {
                    // Where the lock is only taken at the first write, two that have read already refuse each other.
                    let mut connection = pool.acquire().await?;
                    let begun = sqlx::Connection::begin_with(&mut *connection, "BEGIN IMMEDIATE");
                    let mut transaction = begun.await?;
                    let $tx = &mut transaction;
                    let done: Result<_, $crate::store::StoreError> = async { $body }.await;
                    match done {
                        Ok(value) => match transaction.commit().await {
                            Ok(()) => Ok(value),
                            Err(error) => {
                                // Whether SQLite rolled it back, sqlx does not know either.
                                connection.close_on_drop();
                                Err(error.into())
                            }
                        },
                        Err(error) => {
                            // Dropped, it would be rolled back some time later, and its connection may be taken before.
                            if transaction.rollback().await.is_err() {
                                // SQLite had done so itself, as where the disk is full, which sqlx does not know:
                                // it would refuse every later transaction on this connection.
                                connection.close_on_drop();
                            }
                            Err(error)
                        }
                    }
                }
                $crate::store::database::Db::Postgres(pool) => {
                    let mut transaction = pool.begin().await?;
                    let $tx = &mut transaction;
                    let value = $body?;
                    transaction.commit().await?;
                    Ok(value)
                }
            }
        };
        $crate::store::database::within!(work).await
    }};
}

/// What is asked of a database. Boxed, as the compiler cannot tell of what sqlx returns that it may change threads once it
/// is inside of something generic.
pub(super) type Work<'w, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'w>>;

/// The result of an async block that asks a database, or that it took too long.
macro_rules! within {
    ($work:expr) => {
        $crate::store::database::in_time(Box::pin($work))
    };
}

pub(super) use {on, transact, within};

/// As `within!`.
pub(super) async fn in_time<T>(work: Work<'_, T>) -> Result<T, StoreError> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(StoreError::late(PATIENCE)))
}

/// Which file a path leads to: another one may be put into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// An open database with its tables.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: Db,
    file: Option<OpenFile>,
    password: Option<FollowedPassword>,
}

/// A password that somebody else changes now and then.
#[derive(Debug)]
struct FollowedPassword {
    settings: PostgresSettings,
    newest: Mutex<Secret>,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    /// The file, and the log beside it.
    ids: [Option<FileId>; 2],
}

/// What became of the file of an open database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Still {
    /// It is the one that is open.
    There,
    /// There is none under this name any more.
    Gone,
    /// There is another.
    Replaced,
}

// === impl Opened ===

impl Opened {
    /// Connects and brings the tables up to date.
    pub(super) async fn open(settings: &Settings) -> Result<Self, StoreError> {
        let mut password = None;
        let db = match (&settings.sqlite, &settings.postgres) {
            (Some(file), _) => Db::Sqlite(open_file(file).await?),
            (None, Some(postgres)) => {
                let (pool, newest) = open_server(postgres).await?;
                password = newest.map(|newest| FollowedPassword {
                    settings: postgres.clone(),
                    newest: Mutex::new(newest),
                });
                Db::Postgres(pool)
            }
            (None, None) => return Err(StoreError::Unusable("no database is set".to_owned())),
        };
        schema::bring_up_to_date(&db).await?;
        let file = match &settings.sqlite {
            Some(path) => Some(OpenFile {
                ids: [id(path).await, id(&log_of(path)).await],
                path: path.clone(),
            }),
            None => None,
        };
        Ok(Self { db, file, password })
    }

    /// Connections that are made from now on have the password that is in its file now. Those that are open stay: the
    /// server asked them once. Looked at before every use, as a connection is made whenever the pool wants one more.
    async fn follow_password(&self) {
        let (Some(followed), Db::Postgres(pool)) = (&self.password, &self.db) else {
            return;
        };
        // Where it is not there right now, as while it is being replaced, the former one is tried on.
        let Ok(Some(password)) = password_in_file(&followed.settings).await else {
            return;
        };
        let is_new = {
            let mut newest = followed
                .newest
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let is_new = *newest != password;
            *newest = password.clone();
            is_new
        };
        if is_new && let Ok(options) = server_options(&followed.settings, Some(&password)) {
            pool.set_connect_options(options);
        }
    }

    /// Whether what is open is still what the configuration names. On Unix a file that was removed or replaced can
    /// be written to as before, and nobody would ever see it again.
    pub(super) async fn still(&self) -> Still {
        let Some(file) = &self.file else {
            self.follow_password().await;
            return Still::There;
        };
        match id(&file.path).await {
            now if now == file.ids[0] => Still::There,
            None => Still::Gone,
            Some(_) => Still::Replaced,
        }
    }

    /// Lets go of a file that is not the one of its name any more. The log beside it was written for that file:
    /// read into another it would garble it. SQLite leaves it, as it does not know whose it is.
    pub(super) async fn leave(&self) {
        self.close().await;
        let Some(file) = &self.file else { return };
        let log = log_of(&file.path);
        if file.ids[1].is_some() && id(&log).await == file.ids[1] {
            drop(fs::remove_file(&log).await);
            drop(fs::remove_file(beside(&file.path, "-shm")).await);
        }
    }

    /// Waits until every connection is closed.
    pub(super) async fn close(&self) {
        // What hangs is given up on.
        drop(
            timeout(PATIENCE, async {
                on!(&self.db, pool => pool.close().await)
            })
            .await,
        );
    }

    /// Bytes that the database takes.
    pub(super) async fn size(&self) -> Result<u64, StoreError> {
        let sql = match &self.db {
            Db::Sqlite(_) => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            Db::Postgres(_) => "SELECT pg_database_size(current_database())",
        };
        let size: i64 = within!(async {
            Ok(on!(&self.db, pool => sqlx::query_scalar(sql).fetch_one(pool).await?))
        })
        .await?;
        Ok(u64::try_from(size).unwrap_or(0))
    }
}

/// Whether the file of `settings` is there; of a server, that it may be.
pub(super) async fn is_there(settings: &Settings) -> bool {
    match &settings.sqlite {
        Some(path) => id(path).await.is_some(),
        None => true,
    }
}

async fn id(path: &Path) -> Option<FileId> {
    let found = fs::metadata(path).await.ok()?;
    Some(FileId {
        device: found.dev(),
        inode: found.ino(),
    })
}

fn log_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Opens a file, or makes it.
///
/// `synchronous = FULL`: in WAL mode NORMAL keeps the file sound as well, but a power cut may take back the last
/// transactions, and an order of a person that was acknowledged must not be among them. It costs one sync per
/// transaction, of which there are a few a minute.
async fn open_file(path: &Path) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .row_buffer_size(ROWS_AHEAD)
        .busy_timeout(BUSY);
    // Decides only while the file is made: then room that was freed can be given back a piece at a time. Said later it
    // takes the lock of who writes, and every new connection, also of who only reads, would wait for it.
    if fs::metadata(path).await.map_or(0, |file| file.len()) == 0 {
        let options = options.clone().auto_vacuum(SqliteAutoVacuum::Incremental);
        let made = within!(async {
            let connection = SqliteConnection::connect_with(&options).await?;
            Ok(connection.close().await?)
        });
        made.await.map_err(|error| of_file(path, error))?;
    }
    let pool = pool(FILE_CONNECTIONS).connect_with(options);
    let opened = within!(async { Ok(pool.await?) }).await;
    opened.map_err(|error| of_file(path, error))
}

fn of_file(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Unusable(text) => StoreError::Unusable(format!(
            "cannot open {} (store.sqlite): {text}; the folder must be there and writable, and the file a database of forethought",
            path.display()
        )),
        other => other,
    }
}

/// Connects to a server; with the password that was in its file.
async fn open_server(settings: &PostgresSettings) -> Result<(PgPool, Option<Secret>), StoreError> {
    let password = password_in_file(settings).await?;
    let options = server_options(settings, password.as_ref())?;
    let pool = pool(settings.connections).connect_with(options);
    let opened = within!(async { Ok(pool.await?) }).await;
    let opened = opened.map_err(|error| match error {
        StoreError::Unusable(text) => StoreError::Unusable(format!(
            "cannot use {} (store.postgres): {text}",
            settings.url
        )),
        StoreError::Gone(text) => StoreError::Gone(format!("{}: {text}", settings.url)),
        other => other,
    })?;
    Ok((opened, password))
}

/// Connections stay: who connects anew every half hour is refused at the worst moment.
fn pool<D: sqlx::Database>(connections: u32) -> PoolOptions<D> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn wrong(text: &str) -> StoreError {
    StoreError::Unusable(format!("store.postgres: {text}"))
}

async fn password_in_file(settings: &PostgresSettings) -> Result<Option<Secret>, StoreError> {
    let Some(file) = &settings.password_file else {
        return Ok(None);
    };
    let text = fs::read_to_string(file)
        .await
        .map_err(|error| wrong(&format!("password_file {}: {error}", file.display())))?;
    Ok(Some(Secret::new(text.trim_end_matches(['\n', '\r']))))
}

fn server_options(
    settings: &PostgresSettings,
    from_file: Option<&Secret>,
) -> Result<PgConnectOptions, StoreError> {
    // What sqlx says of a URL it cannot read may quote it.
    let mut options = PgConnectOptions::from_str(settings.url.expose())
        .map_err(|_| wrong(&format!("{} cannot be read as a URL", settings.url)))?
        .application_name("forethought")
        // A query that outlives us keeps its locks.
        .options([
            ("statement_timeout", PATIENCE.as_millis().to_string()),
            ("lock_timeout", BUSY.as_millis().to_string()),
            ("idle_in_transaction_session_timeout", "30000".to_owned()),
        ]);
    if let Some(password) = from_file.or(settings.password.as_ref()) {
        options = options.password(password.expose());
    }
    let tls = &settings.tls_config;
    options = options.ssl_mode(match tls.mode {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Prefer => PgSslMode::Prefer,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    });
    if let Some(file) = &tls.ca_file {
        options = options.ssl_root_cert(file);
    }
    if let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) {
        options = options.ssl_client_cert(certificate).ssl_client_key(key);
    }
    Ok(options)
}
