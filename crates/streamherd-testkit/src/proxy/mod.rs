mod command;
mod fault;
mod frame;
mod link;
mod shared;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::port::Port;
pub use crate::proxy::command::{Command, Matcher};
pub use crate::proxy::fault::{Armed, Fault};
use crate::proxy::link::Link;
use crate::proxy::shared::{Shared, lock};
use crate::server::Server;

/// Stands between a client and a [`Server`] and makes one exact command go wrong.
///
/// A lost reply is the case that a mock gets wrong: the command *was* executed, and the client cannot know. The proxy
/// forwards real requests to a real server and counts replies, so it can lose one reply in the middle of a pipeline.
///
/// It runs on a thread of its own and follows the server through restarts. Dropping it closes every connection.
///
/// Servers that tell clients of each other, as those of a cluster and Sentinels do, need one in front of
/// [all of them](Self::in_front_of).
///
/// # Scripts
///
/// `EVALSHA` names a script by its SHA-1 only. The proxy reads names off the bodies that go by in `SCRIPT LOAD` and
/// `EVAL`, on any connection, and from [`learn_script`](Self::learn_script): a body that begins with the line
/// `-- streamherd:settle` is the script `settle`.
///
/// # Limits
///
/// After a `SUBSCRIBE`, `PSUBSCRIBE`, `SSUBSCRIBE` or `MONITOR`, replies can no longer be counted: the connection is
/// then passed through untouched, without faults or rewrites, though [`seen`](Self::seen) goes on. `CLIENT REPLY OFF`
/// is not understood.
///
/// # Examples
///
/// ```
/// use streamherd_testkit::{Fault, Matcher, Proxy, RawClient, Server};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let server = Server::start();
/// let proxy = Proxy::start(&server).await;
/// let fault = proxy.on(Matcher::command("INCR"), 1, Fault::SwallowReply);
///
/// let mut client = RawClient::connect(("127.0.0.1", proxy.port())).unwrap();
/// assert!(client.try_call(&["INCR", "hits"]).is_err());
/// assert!(fault.fired());
/// assert_eq!(server.client().cmd("GET hits").int(), 1);
/// # });
/// ```
#[derive(Debug)]
pub struct Proxy {
    fronts: Vec<Front>,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy in front of `server`, on a free port of 127.0.0.1. Connections are accepted when it returns.
    ///
    /// # Panics
    ///
    /// If it cannot listen or start its thread.
    ///
    /// # Cancel safety
    ///
    /// It never waits, so it can't be dropped half-way.
    pub async fn start(server: &Server) -> Self {
        Self::in_front_of(&[server], &[]).await
    }

    /// Starts a proxy in front of servers that tell clients of each other, each on a [port](Self::port_to) of its own: in
    /// what they say, the proxy's ports stand for theirs. Faults are for the watched ones, and [`seen`](Self::seen) tells of
    /// them; the others are only passed through.
    ///
    /// # Panics
    ///
    /// If it cannot listen or start its thread, or there is none to be watched.
    ///
    /// # Cancel safety
    ///
    /// It never waits, so it can't be dropped half-way.
    pub async fn in_front_of(watched: &[&Server], others: &[&Server]) -> Self {
        assert!(!watched.is_empty(), "somebody has to be watched");
        let watched = watched.iter().map(|server| (server.port(), true));
        let others = others.iter().map(|server| (server.port(), false));
        match Self::launch(watched.chain(others)) {
            Ok(proxy) => proxy,
            Err(error) => panic!("cannot start a proxy: {error}"),
        }
    }

    /// The port on 127.0.0.1, to the first of the servers.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.fronts[0].port.number()
    }

    /// The port on 127.0.0.1 that leads to a server.
    ///
    /// # Panics
    ///
    /// If the proxy is not in front of it.
    #[must_use]
    #[track_caller]
    pub fn port_to(&self, server: &Server) -> u16 {
        let Some(front) = self.fronts.iter().find(|front| front.server == server.port()) else {
            panic!("the proxy is not in front of {}", server.url());
        };
        front.port.number()
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Arms a fault for the `nth` request that matches, counted from 1 and from now on over all connections. A fault
    /// happens once. Of two that are due at the same request, the one armed first happens, and the other at its next
    /// match.
    ///
    /// # Panics
    ///
    /// If `nth` is 0.
    #[expect(
        clippy::must_use_candidate,
        reason = "a test may see by other means that the fault happened"
    )]
    #[track_caller]
    pub fn on(&self, matcher: Matcher, nth: usize, fault: Fault) -> Armed {
        assert!(nth > 0, "matches are counted from 1");
        lock(&self.shared.rules).arm(matcher, nth, fault)
    }

    /// Closes all connections. New ones are accepted.
    pub fn sever_all(&self) {
        self.shared.sever_all();
    }

    /// While `true`, closes all connections and every new one at once: a server that is there but does not talk.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse(refuse);
    }

    /// While `true`, takes all bytes and passes none on, in either direction: a network that has become a black hole. A
    /// connection that lost bytes to it stays silent for ever; others, and new ones, work again afterwards.
    pub fn swallow(&self, swallow: bool) {
        self.shared.swallow(swallow);
    }

    /// While `true`, passes requests on and takes all replies: a network that works in one direction. A connection that lost
    /// a reply to it hears nothing any more.
    pub fn mute(&self, mute: bool) {
        self.shared.mute(mute);
    }

    /// Passes on no more bytes per second than this from now on, per connection and direction; 0 for as many as come.
    pub fn narrow(&self, bytes_per_second: u64) {
        self.shared.narrow(bytes_per_second);
    }

    /// Holds back replies from now on: for so long the one that comes first, and together with it those that come meanwhile.
    pub fn slow_down(&self, by: Duration) {
        self.shared.slow_down(by);
    }

    /// The [names](Command::name) of all commands received so far, in order of arrival, the dropped ones included.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        lock(&self.shared.seen).clone()
    }

    /// Forgets what was [seen](Self::seen) so far, for a test that lets millions of commands go by.
    pub fn forget_seen(&self) {
        drop(std::mem::take(&mut *lock(&self.shared.seen)));
    }

    /// Replaces `from` by `to` in every reply from now on: to fake `redis_version:6.0.16`, say.
    ///
    /// # Panics
    ///
    /// If `from` is empty or `to` is not as long, because the lengths in a reply would then be wrong.
    #[track_caller]
    pub fn rewrite_replies(&self, from: &[u8], to: &[u8]) {
        assert!(!from.is_empty(), "there is nothing to replace");
        assert_eq!(from.len(), to.len(), "a rewrite must keep the length");
        lock(&self.shared.rewrites).push((from.to_vec(), to.to_vec()));
    }

    /// Tells the proxy the name of a script that was loaded past it. A body without a name is ignored.
    pub fn learn_script(&self, body: &[u8]) {
        lock(&self.shared.scripts).learn(body);
    }

    fn launch(servers: impl Iterator<Item = (u16, bool)>) -> io::Result<Self> {
        let (mut fronts, mut listeners) = (Vec::new(), Vec::new());
        for (server, watched) in servers {
            // Not a port of the kernel's choice: it hands those out again soon, and a client that still reconnects to this
            // proxy would reach another test's.
            let (port, listener) = Port::listen().map_err(io::Error::other)?;
            listener.set_nonblocking(true)?;
            fronts.push(Front { port, server });
            listeners.push((listener, server, watched));
        }
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let shared = Arc::new(Shared::default());
        if fronts.len() > 1 {
            *lock(&shared.rewrites) = fronts.iter().flat_map(Front::as_told).collect();
        }
        let (stop, stopped) = oneshot::channel();
        // A thread of its own, so that a test which blocks its runtime does not stop the proxy too.
        let thread = thread::Builder::new().name("testkit-proxy".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || serve(runtime, listeners, &shared, stopped)
        })?;
        Ok(Self {
            fronts,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.shared.refuse(true);
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has printed why.
            let _ = thread.join();
        }
    }
}

/// A port of the proxy, and the port of the server that it leads to.
#[derive(Debug)]
struct Front {
    port: Port,
    server: u16,
}

impl Front {
    /// How servers tell of this one, and what clients are to hear instead: the port in an address or as a number, and the
    /// port as a text. Our ports are all of one length.
    fn as_told(&self) -> [(Vec<u8>, Vec<u8>); 3] {
        let told = |port: u16| {
            [
                format!("127.0.0.1:{port}"),
                format!("\r\n:{port}\r\n"),
                format!("\r\n{port}\r\n"),
            ]
        };
        let mut ours = told(self.port.number()).into_iter();
        told(self.server).map(|theirs| (theirs.into_bytes(), ours.next().unwrap_or_default().into_bytes()))
    }
}

fn serve(
    runtime: Runtime,
    listeners: Vec<(TcpListener, u16, bool)>,
    shared: &Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        for (listener, server, watched) in listeners {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => panic!("the proxy cannot listen: {error}"),
            };
            tokio::spawn(accept(listener, server, watched, Arc::clone(shared)));
        }
        let _ = stopped.await;
    });
    // Not by dropping it, which would wait for hooks that may be stuck.
    runtime.shutdown_background();
}

/// Serves the connections of one port, for ever.
async fn accept(listener: tokio::net::TcpListener, server: u16, watched: bool, shared: Arc<Shared>) {
    loop {
        if let Ok((client, _)) = listener.accept().await {
            tokio::spawn(connect(Arc::clone(&shared), client, server, watched));
        }
    }
}

/// Serves one connection. An error means that one of its sides is gone, and so is the connection then.
async fn connect(shared: Arc<Shared>, client: TcpStream, server: u16, watched: bool) -> io::Result<()> {
    let (client, copy) = duplicate(client)?;
    let Some(id) = shared.admit(copy) else {
        return Ok(());
    };
    let registered = Registered { shared: &shared, id };
    let (server, copy) = duplicate(TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?)?;
    if shared.join(registered.id, copy) {
        Link::new(&shared, watched).run(client, server).await;
    }
    Ok(())
}

/// Closes the connection in the end, however that comes: the copies in the register would keep it open.
struct Registered<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.sever(self.id);
    }
}

fn duplicate(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let copy = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, copy))
}
