//! The example `daemon`, run as its users run it: as a process, with a config, files and signals.

mod living;
mod refusals;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use everbearer::testkit::AuthServer;
use everbearer::{AuthApi, Grant, LongTermToken, TokenIssuer};
use tempfile::TempDir;

use crate::support::millis;

/// A config, what it names, and the process that reads it.
struct Daemon {
    dir: TempDir,
    env: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Daemon {
    /// With a config for this server, which the client of this ID may rotate tokens of.
    fn at(server: &AuthServer) -> Self {
        let daemon = Self {
            dir: tempfile::tempdir().unwrap(),
            env: Vec::new(),
            child: None,
        };
        daemon.configure(&format!(
            "[auth]\nbase_url = {:?}\nclient_id = {:?}\n\n[token]\nfile = {:?}\n\n\
             [job]\nurl = {:?}\nevery = \"50ms\"\n\n[http]\nlisten = \"127.0.0.1:0\"\n",
            server.base_url(),
            server.client_id(),
            daemon.path("token"),
            server.url("/jobs"),
        ));
        daemon
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn configure(&self, text: &str) {
        fs::write(self.path("daemon.toml"), text).unwrap();
    }

    /// Puts another text in the place of one in the config.
    fn change(&self, from: &str, to: &str) {
        let text = self.read("daemon.toml");
        assert!(text.contains(from), "{text}");
        self.configure(&text.replace(from, to));
    }

    /// Puts this token into the token file, in one step.
    fn put_token(&self, token: &str) {
        fs::write(self.path("new"), token).unwrap();
        fs::set_permissions(self.path("new"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(self.path("new"), self.path("token")).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command
            .arg(self.path("daemon.toml"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdout(fs::File::create(self.path("out")).unwrap())
            .stderr(fs::File::create(self.path("err")).unwrap())
            .stdin(Stdio::null());
        command
    }

    fn start(&mut self) {
        self.child = Some(self.command().spawn().unwrap());
    }

    /// What it says when it does not run: the exit code, and the one line.
    fn refusal(&self) -> (i32, String) {
        let code = self.command().status().unwrap().code().unwrap();
        let printed = self.read("err");
        let mut lines = printed.lines().skip_while(|it| !it.starts_with("error: "));
        let line = lines.next().unwrap_or_default().to_owned();
        assert_eq!(lines.next(), None, "{printed}");
        (code, line)
    }

    /// What it answers: status and body. The address is in its first log line.
    async fn get(&self, path: &str) -> (u16, String) {
        let log = self.read("err");
        let Some(at) = log.split("listening=").nth(1) else {
            return (0, log);
        };
        let url = format!("http://{}{path}", at.split_whitespace().next().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        match client.get(url).send().await {
            Ok(response) => (response.status().into(), response.text().await.unwrap()),
            Err(error) => (0, error.to_string()),
        }
    }

    async fn until_it_answers(&self, path: &str, status: u16, part: &str) -> String {
        for _ in 0..200 {
            let (is, body) = self.get(path).await;
            if is == status && body.contains(part) {
                return body;
            }
            tokio::time::sleep(millis(50)).await;
        }
        panic!("{path}: {:?}\n{}", self.get(path).await, self.read("err"));
    }

    async fn until_it_logs(&self, part: &str) {
        for _ in 0..200 {
            if self.read("err").contains(part) {
                return;
            }
            tokio::time::sleep(millis(50)).await;
        }
        panic!("no {part:?} in {}", self.read("err"));
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id();
        let kill = format!("kill -{name} {id}");
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends it by SIGTERM. Its exit code; without a deadline of its own, what hangs or fails for ever
    /// here would keep it for ever.
    fn stop(&mut self) -> i32 {
        self.signal("TERM");
        let mut child = self.child.take().unwrap();
        for _ in 0..6_000 {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            std::thread::sleep(millis(10));
        }
        child.kill().unwrap();
        panic!("it does not end: {}", self.read("err"));
    }
}

/// The example, built from the present sources: `cargo test --test it` builds no examples.
fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("examples/daemon");
        let build = ["build", "--quiet", "--locked", "--example", "daemon"];
        let built = Command::new(env!("CARGO"))
            .args(build)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "the example could not be built");
        program
    });
    &PROGRAM
}

async fn long_term_token(server: &AuthServer) -> LongTermToken {
    let api = AuthApi::new(server.base_url()).unwrap();
    let grant = Grant::client_secret(server.client_id(), server.client_secret());
    api.obtain(&grant, None).await.unwrap()
}
