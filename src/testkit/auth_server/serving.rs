//! The thread that serves, with a runtime of its own: a test may block, pause or drop its runtime,
//! and stopping ends every connection at once, whatever it is waiting for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::routes::router;
use super::state::ServerState;

/// Serves until it is dropped.
pub(super) struct Serving {
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
    stopped: oneshot::Receiver<()>,
}

impl Serving {
    /// `make_state` is told the address that was bound.
    pub(super) async fn start<F>(
        addr: SocketAddr,
        make_state: F,
    ) -> io::Result<(Arc<ServerState>, Self)>
    where
        F: FnOnce(SocketAddr) -> io::Result<ServerState> + Send + 'static,
    {
        let (opened_sender, opened) = oneshot::channel();
        let (stop, stop_receiver) = oneshot::channel();
        let (stopped_sender, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("auth-server".to_owned())
            .spawn(move || {
                run(open(addr, make_state), opened_sender, stop_receiver);
                let _ = stopped_sender.send(());
            })?;
        let state = opened.await.map_err(io::Error::other)??;
        let serving = Self {
            thread: Some(thread),
            stop: Some(stop),
            stopped,
        };
        Ok((state, serving))
    }

    pub(super) async fn stop(mut self) {
        self.stop = None;
        let _ = (&mut self.stopped).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Opened = (Arc<ServerState>, Runtime);

fn run(
    opened: io::Result<Opened>,
    report: oneshot::Sender<io::Result<Arc<ServerState>>>,
    stop: oneshot::Receiver<()>,
) {
    match opened {
        Ok((state, runtime)) => {
            let _ = report.send(Ok(state));
            let _ = runtime.block_on(stop);
        }
        Err(error) => {
            let _ = report.send(Err(error));
        }
    }
}

fn open(
    addr: SocketAddr,
    make_state: impl FnOnce(SocketAddr) -> io::Result<ServerState>,
) -> io::Result<Opened> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(addr))?;
    let state = Arc::new(make_state(listener.local_addr()?)?);
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let router = router(&state);
    runtime.spawn(async move { axum::serve(listener, router).await });
    Ok((state, runtime))
}
