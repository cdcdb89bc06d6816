//! lighttpd as a reverse proxy, on a loopback port, for as long as a test runs.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{INTERVAL, PATIENCE};

/// How often lighttpd is started: another process may take the port first.
const ATTEMPTS: usize = 5;
const LOG: &str = "log";

pub(super) struct Lighttpd {
    addr: SocketAddr,
    process: Child,
    dir: TempDir,
}

impl Lighttpd {
    /// Starts lighttpd in front of `upstream`, and returns when it passes requests on.
    pub(super) async fn start(upstream: SocketAddr) -> Self {
        for _ in 0..ATTEMPTS {
            let mut lighttpd = Self::spawn(upstream);
            let answers = tokio::time::timeout(PATIENCE, lighttpd.until_answering()).await;
            if answers.unwrap_or_else(|_| panic!("no answer: {}", lighttpd.log())) {
                return lighttpd;
            }
            let log = lighttpd.log();
            assert!(log.contains("Address already in use"), "{log}");
        }
        panic!("lighttpd found {ATTEMPTS} ports in use");
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What lighttpd has written to its standard error.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }

    fn spawn(upstream: SocketAddr) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let (host, port) = (upstream.ip(), upstream.port());
        let configuration = format!(
            r#"server.modules = ("mod_proxy")
server.bind = "{}"
server.port = {}
server.tag = "{path}"
server.document-root = "{path}"
server.upload-dirs = ("{path}")
proxy.server = ("" => (("host" => "{host}", "port" => {port})))
"#,
            addr.ip(),
            addr.port(),
        );
        let file = dir.path().join("lighttpd.conf");
        fs::write(&file, configuration).unwrap();
        let process = Command::new("lighttpd")
            .arg("-D")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(fs::File::create(dir.path().join(LOG)).unwrap())
            .spawn()
            .unwrap_or_else(|error| match error.kind() {
                ErrorKind::NotFound => {
                    panic!("lighttpd is not installed; run tests/interop/proxies/run")
                }
                _ => panic!("lighttpd cannot be started: {error}"),
            });
        Self { addr, process, dir }
    }

    /// Returns false if lighttpd ends instead.
    async fn until_answering(&mut self) -> bool {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(1))
            .build()
            .unwrap();
        let health = format!("http://{}/v1/health", self.addr);
        while self.process.try_wait().unwrap().is_none() {
            match client.get(&health).send().await {
                Ok(response) if response.status().is_success() && self.sent(&response) => {
                    return true;
                }
                _ => tokio::time::sleep(INTERVAL).await,
            }
        }
        false
    }

    /// Returns whether the response is from this process, and not from another one on the same port.
    fn sent(&self, response: &reqwest::Response) -> bool {
        let tag = self.dir.path().as_os_str();
        let server = response.headers().get(reqwest::header::SERVER);
        server.is_some_and(|server| server.as_bytes() == tag.as_encoded_bytes())
    }
}

impl Drop for Lighttpd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
