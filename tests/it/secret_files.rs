//! Files that hold secrets: which are read, with what warning, and which are refused (S10, S12).

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use everbearer::testkit::AuthServer;
use everbearer::{
    AuthApi, Error, FileStore, Grant, LongTermToken, Record, SealingKey, SecretSource, SigningKey,
    TokenIssuer as _, TokenProvider, TokenStore as _,
};
use tempfile::TempDir;

use crate::support::{Log, secs};

const KEY: &str = "Ca7vXn6mB1xvUe5J9sSYt0hP3kQzR8wDfL2gTiOyM4c=";
const PEM: &str = include_str!("grants/rsa_for_tests.pem");
/// A user that is neither root nor the one who runs the tests.
const STRANGER: u32 = 54_321;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Writes these files into a directory, and what reads them.
struct Files {
    directory: TempDir,
    server: AuthServer,
}

impl Files {
    async fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
            server: AuthServer::start().await.unwrap(),
        };
        files.write_into(files.directory.path());
        files
    }

    fn write_into(&self, directory: &Path) {
        for (name, text) in [
            ("secret", self.server.client_secret()),
            ("token", "lt_bare\n"),
            ("key", KEY),
            ("key.pem", PEM),
        ] {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            set_mode(&path, 0o600);
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What each reader made of its file.
    async fn read(&self) -> Vec<Result<(), Error>> {
        let api = AuthApi::new(self.server.base_url()).unwrap();
        let source = SecretSource::file(self.path("secret"));
        let grant = Grant::client_secret(self.server.client_id(), source);
        vec![
            api.obtain(&grant, None).await.map(drop),
            FileStore::new(self.path("token")).load().await.map(drop),
            SealingKey::from_file(self.path("key")).map(drop),
            SigningKey::from_pem_file(self.path("key.pem")).map(drop),
        ]
    }

    async fn are_all_read(&self) {
        for outcome in self.read().await {
            outcome.unwrap();
        }
    }

    /// Each reader refuses its file, with a remedy that it has.
    async fn are_all_refused(&self, why: &str) {
        let remedies = [
            "`SecretSource::skip_permission_checks`",
            "`FileStore::skip_permission_checks`",
            "`SealingKey::parse`",
            "`SigningKey::from_pem`",
        ];
        for (outcome, remedy) in self.read().await.into_iter().zip(remedies) {
            let text = outcome.expect_err(remedy).to_string();
            assert!(text.contains(why) && text.contains(remedy), "{text}");
            assert!(text.contains("WSL") && !text.contains('\n'), "{text}");
            for secret in [self.server.client_secret(), "lt_bare", KEY] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        self.are_all_read_without_checks().await;
    }

    async fn are_all_read_without_checks(&self) {
        let api = AuthApi::new(self.server.base_url()).unwrap();
        let source = SecretSource::file(self.path("secret")).skip_permission_checks();
        let grant = Grant::client_secret(self.server.client_id(), source);
        api.obtain(&grant, None).await.unwrap();
        let store = FileStore::new(self.path("token")).skip_permission_checks();
        let stored = store.load().await.unwrap().unwrap();
        store
            .store(&stored.record, Some(&stored.version))
            .await
            .unwrap();
        drop(store.lease(secs(60)).await.unwrap().unwrap());
        // As it was before.
        fs::write(self.path("token"), "lt_bare").unwrap();
    }
}

#[tokio::test]
async fn s10_a_file_that_others_may_write_is_refused() {
    let files = Files::new().await;
    for path in files.paths() {
        set_mode(&path, 0o602);
    }
    files
        .are_all_refused("other users can write to it (mode 0602)")
        .await;
}

#[tokio::test]
async fn s10_a_directory_that_others_may_write_is_refused_unless_it_is_sticky() {
    let files = Files::new().await;
    set_mode(files.directory.path(), 0o777);
    files
        .are_all_refused("which is not sticky (mode 0777)")
        .await;
    set_mode(files.directory.path(), 0o1777);
    files.are_all_read().await;
    set_mode(files.directory.path(), 0o755);
    files.are_all_read().await;
}

#[tokio::test]
async fn s10_a_directory_that_a_foreign_group_may_write_is_refused() {
    if !is_root() {
        return; // only root can give a directory to a foreign group
    }
    let files = Files::new().await;
    set_mode(files.directory.path(), 0o770);
    files.are_all_read().await; // root's group is root's own
    chown(files.directory.path(), None, Some(STRANGER)).unwrap();
    for mode in [0o770, 0o2770] {
        set_mode(files.directory.path(), mode);
        let why = format!("which is not sticky (mode {mode:04o})");
        files.are_all_refused(&why).await;
    }
}

/// A volume with an `fsGroup` belongs to root and to a supplementary group of the process, with mode 2770.
#[test]
fn s10_a_volume_of_a_group_of_the_process_is_accepted() {
    let name = "secret_files::s10_a_volume_of_a_group_of_the_process_is_accepted";
    if std::env::var_os("EVERBEARER_FS_GROUP").is_none() {
        if !is_root() {
            return; // only root can join a group
        }
        let child = std::process::Command::new("setpriv")
            .args([&format!("--groups={STRANGER}"), "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("EVERBEARER_FS_GROUP", "1")
            .output()
            .expect("setpriv is of util-linux");
        let printed = String::from_utf8_lossy(&child.stdout);
        return assert!(printed.contains("1 passed"), "{child:#?}");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let files = Files::new().await;
        chown(files.directory.path(), None, Some(STRANGER)).unwrap();
        set_mode(files.directory.path(), 0o2770);
        files.are_all_read().await;
        let store = FileStore::new(files.path("token"));
        drop(store.lease(secs(60)).await.unwrap().unwrap());
        // Without the bit that Kubernetes sets, it is any directory of a group.
        set_mode(files.directory.path(), 0o770);
        files
            .are_all_refused("which is not sticky (mode 0770)")
            .await;
    });
}

/// A directory above the one that holds the file can be put in another's place, too.
#[tokio::test]
async fn s10_an_ancestor_directory_that_others_may_write_is_refused() {
    let files = Files::new().await;
    let below = files.path("below");
    fs::create_dir(&below).unwrap();
    set_mode(&below, 0o700);
    fs::write(below.join("secret"), "hunter2hunter2").unwrap();
    set_mode(files.directory.path(), 0o777);
    let grant = Grant::client_secret("id", SecretSource::file(below.join("secret")));
    let api = AuthApi::new(files.server.base_url()).unwrap();
    let text = api.obtain(&grant, None).await.unwrap_err().to_string();
    assert!(text.contains("is not sticky"), "{text}");
}

#[tokio::test]
async fn s10_what_another_user_has_planted_is_refused() {
    if !is_root() {
        return; // only root can give a file away
    }
    let files = Files::new().await;
    for path in files.paths() {
        chown(&path, Some(STRANGER), None).unwrap();
    }
    files.are_all_refused("the user 54321 owns the file").await;

    let files = Files::new().await;
    chown(files.directory.path(), Some(STRANGER), None).unwrap();
    files
        .are_all_refused("the user 54321 owns the directory")
        .await;
}

/// In a sticky directory, another user cannot replace our files, but can put a symlink where none is yet.
#[tokio::test]
async fn s10_a_symlink_that_another_user_has_planted_is_refused() {
    if !is_root() {
        return; // only root can give a symlink away
    }
    let files = Files::new().await;
    let target = tempfile::tempdir().unwrap();
    files.write_into(target.path());
    for path in files.paths() {
        fs::remove_file(&path).unwrap();
        symlink(target.path().join(path.file_name().unwrap()), &path).unwrap();
    }
    files.are_all_read().await;
    for path in files.paths() {
        std::os::unix::fs::lchown(&path, Some(STRANGER), None).unwrap();
    }
    for outcome in files.read().await {
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains("owns the symlink"), "{text}");
    }
    let store = FileStore::new(files.path("token"));
    let text = store.lease(secs(60)).await.unwrap_err().to_string();
    assert!(text.contains("owns the symlink"), "{text}");
}

#[tokio::test]
async fn s10_a_loop_of_symlinks_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("loop");
    symlink("loop", &path).unwrap();
    let error = FileStore::new(&path).load().await.unwrap_err();
    assert!(error.to_string().contains("symlinks"), "{error}");
}

#[tokio::test]
async fn s10_a_fifo_is_refused_at_once() {
    let files = Files::new().await;
    for path in files.paths() {
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        set_mode(&path, 0o600);
    }
    for outcome in files.read().await {
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains("is no regular file"), "{text}");
    }
    let api = AuthApi::new(files.server.base_url()).unwrap();
    let source = SecretSource::file(files.path("secret")).skip_permission_checks();
    let error = api.obtain(&Grant::client_secret("id", source), None).await;
    assert!(error.unwrap_err().to_string().contains("no regular file"));
}

/// The mount of a Kubernetes secret: 0644 in a sticky directory of root, swapped by a symlink.
#[tokio::test]
async fn s10_a_kubernetes_secret_is_read_with_one_warning_also_after_it_was_swapped() {
    let (log, _logging) = Log::capture(tracing::Level::INFO);
    let server = AuthServer::start().await.unwrap();
    let mount = tempfile::tempdir().unwrap();
    let publish = |version: &str, secret: &str| {
        let directory = mount.path().join(version);
        fs::create_dir(&directory).unwrap();
        set_mode(&directory, 0o755);
        fs::write(directory.join("secret"), secret).unwrap();
        set_mode(&directory.join("secret"), 0o644);
        symlink(version, mount.path().join("..data_tmp")).unwrap();
        fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).unwrap();
    };
    publish("..2026_11_26", "an-older-one");
    symlink("..data/secret", mount.path().join("secret")).unwrap();
    set_mode(mount.path(), 0o1777);

    let path = mount.path().join("secret");
    let grant = Grant::client_secret(server.client_id(), SecretSource::file(&path));
    let api = AuthApi::new(server.base_url()).unwrap();
    api.obtain(&grant, None).await.unwrap_err();
    publish("..2026_11_27", server.client_secret());
    api.obtain(&grant, None).await.unwrap();
    let store = FileStore::new(&path);
    for _ in 0..2 {
        let stored = store.load().await.unwrap().unwrap();
        assert_eq!(stored.record.current().expose(), server.client_secret());
    }
    let log = log.text();
    let warnings = log.lines().filter(|line| line.contains("WARN"));
    assert_eq!(warnings.clone().count(), 2, "one for each reader: {log}");
    for line in warnings {
        let path = format!("path={}", path.display());
        assert!(line.contains(&path) && line.contains("mode=0644"), "{line}");
        assert!(!line.contains(server.client_secret()), "{line}");
    }
}

#[tokio::test]
async fn s10_a_provider_warns_of_a_file_that_others_can_read_once() {
    let (log, _logging) = Log::capture(tracing::Level::INFO);
    let files = Files::new().await;
    set_mode(&files.path("secret"), 0o644);
    let api = AuthApi::new(files.server.base_url()).unwrap();
    let source = SecretSource::file(files.path("secret"));
    let grant = Grant::client_secret(files.server.client_id(), source);
    let provider = TokenProvider::builder(api, grant).name("billing");
    let provider = provider.build().unwrap();
    provider.ready().await.unwrap();
    provider.rotate().await.unwrap();
    let log = log.text();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("other users can read a file"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("provider=\"billing\""), "{log}");
}

#[tokio::test]
async fn s10_a_key_in_a_file_that_others_can_read_is_read_with_a_warning() {
    let (log, _logging) = Log::capture(tracing::Level::INFO);
    let files = Files::new().await;
    for (mode, warnings) in [(0o600, 0), (0o400, 0), (0o440, 0), (0o644, 2)] {
        for name in ["key", "key.pem"] {
            set_mode(&files.path(name), mode);
        }
        let before = log.text().matches("other users can read a file").count();
        SealingKey::from_file(files.path("key")).unwrap();
        SigningKey::from_pem_file(files.path("key.pem")).unwrap();
        let logged = log.text().matches("other users can read a file").count() - before;
        assert_eq!(logged, warnings, "{mode:o}");
    }
}

#[tokio::test]
async fn s12_a_record_with_a_byte_order_mark_is_a_record() {
    let files = Files::new().await;
    let key = SealingKey::parse(KEY).unwrap();
    let store = FileStore::new(files.path("sealed"));
    let record = Record::from(LongTermToken::new("lt_secret").unwrap());
    let sealed = FileStore::new(files.path("sealed")).sealed_with(key);
    sealed.store(&record, None).await.unwrap();
    for name in ["sealed", "token"] {
        let path = files.path(name);
        if name == "token" {
            fs::write(&path, record.encode().expose()).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, with_additions(&text)).unwrap();
    }
    let error = store.load().await.unwrap_err();
    assert!(error.to_string().contains("is sealed"), "{error}");
    set_mode(&files.path("token"), 0o644);
    let error = FileStore::new(files.path("token"))
        .load()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`chmod 600 "), "{error}");
}

#[tokio::test]
async fn s10_a_store_writes_only_where_others_cannot_create_files() {
    let files = Files::new().await;
    let store = FileStore::new(files.path("token"));
    let stored = store.load().await.unwrap().unwrap();
    for mode in [0o777, 0o1777] {
        set_mode(files.directory.path(), mode);
        for error in [
            store
                .store(&stored.record, Some(&stored.version))
                .await
                .unwrap_err(),
            store.lease(secs(60)).await.unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.contains(&format!("mode {mode:04o}")), "{text}");
            assert!(text.contains("move the file into a directory"), "{text}");
        }
    }
    assert!(!files.path("token.lock").exists());
    set_mode(files.directory.path(), 0o755);
    store
        .store(&stored.record, Some(&stored.version))
        .await
        .unwrap();
}

/// Appends what editors and tools on Windows add.
fn with_additions(text: &str) -> String {
    format!("\u{feff}{text}\r\n")
}

#[tokio::test]
async fn s12_line_breaks_and_a_byte_order_mark_are_left_out_wherever_a_secret_comes_from() {
    let files = Files::new().await;
    for path in files.paths() {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, with_additions(&text)).unwrap();
    }
    files.are_all_read().await;
    let store = FileStore::new(files.path("token"));
    let stored = store.load().await.unwrap().unwrap();
    assert_eq!(stored.record.current().expose(), "lt_bare");
    SigningKey::from_pem(with_additions(PEM)).unwrap();
    SealingKey::parse(&with_additions(KEY)).unwrap();

    let api = AuthApi::new(files.server.base_url()).unwrap();
    let secret = with_additions(files.server.client_secret());
    let from_callback = {
        let secret = secret.clone();
        SecretSource::from_fn(move || {
            let secret = secret.clone();
            async { Ok(everbearer::Secret::from(secret)) }
        })
    };
    for source in [SecretSource::from(secret), from_callback] {
        let grant = Grant::client_secret(files.server.client_id(), source);
        api.obtain(&grant, None).await.unwrap();
    }
    let token = LongTermToken::new(with_additions("lt_0d51")).unwrap();
    assert_eq!(token.expose(), "lt_0d51");
    for empty in ["\n", "\u{feff}\r\n"] {
        let grant = Grant::client_secret("id", empty);
        let error = api.obtain(&grant, None).await.unwrap_err();
        assert!(error.to_string().contains("empty"), "{error}");
    }
}

#[test]
fn s12_line_breaks_of_a_variable_are_left_out() {
    let name = "secret_files::s12_line_breaks_of_a_variable_are_left_out";
    if std::env::var_os("EVERBEARER_S12").is_none() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("EVERBEARER_S12", with_additions("hunter2hunter2"))
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&child.stdout);
        return assert!(printed.contains("1 passed"), "{child:#?}");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = AuthServer::builder().client("client", "hunter2hunter2");
        let server = server.start().await.unwrap();
        let api = AuthApi::new(server.base_url()).unwrap();
        let grant = Grant::client_secret("client", SecretSource::env("EVERBEARER_S12"));
        api.obtain(&grant, None).await.unwrap();
    });
}
