use std::collections::VecDeque;
use std::future;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_blocking;

use crate::proxy::command::Command;
use crate::proxy::fault::{Armed, Fault, Hook};
use crate::proxy::frame::{self, NotResp};
use crate::proxy::shared::{Shared, lock};

const CHUNK: usize = 64 * 1024;

/// One client's connection and its counterpart at the server.
pub(super) struct Link<'a> {
    shared: &'a Shared,
    /// Whether faults are for it, and its requests are recorded.
    watched: bool,
    /// What is to happen to each reply that is still to come, in the order of the requests. An entry is pushed before its
    /// request is written, so a reply always finds its own entry in front.
    expected: Mutex<VecDeque<Expected>>,
    /// Bytes of this connection were swallowed, so no later reply would be the right one.
    lost: AtomicBool,
    /// The same for replies alone: requests go on.
    muted: AtomicBool,
    /// Wakes the side of the replies for an `Expected::Close`, which no reply announces.
    closing: Notify,
}

enum Expected {
    Deliver,
    /// Deliver, and from then on pass everything through.
    DeliverAndStopCounting,
    Lose(Option<Hook>, Armed),
    /// Deliver, but not before the test says so.
    Hold(oneshot::Receiver<()>, Armed),
    /// No reply will come: close the connection when those before it are delivered.
    Close,
}

/// What the side of the replies has to do before it goes on.
enum Halt {
    Lost(Option<Hook>, Armed),
    Held(oneshot::Receiver<()>, Armed),
}

impl<'a> Link<'a> {
    pub(super) fn new(shared: &'a Shared, watched: bool) -> Self {
        Self {
            shared,
            watched,
            expected: Mutex::default(),
            lost: AtomicBool::new(false),
            muted: AtomicBool::new(false),
            closing: Notify::new(),
        }
    }

    /// Runs until one side closes its connection or a fault does.
    pub(super) async fn run(&self, client: TcpStream, server: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // An error on either side is the end of the connection, which is how it is passed on.
        let _ = tokio::select! {
            ended = self.requests(&mut from_client, to_server) => ended,
            ended = self.replies(from_server, &mut to_client) => ended,
        };
        // Closing a socket with unread bytes resets it, and a reset may overtake replies that were delivered.
        let mut unread = vec![0; CHUNK];
        while from_client.try_read(&mut unread).is_ok_and(|n| n > 0) {}
    }

    /// Forwards requests until the client closes the connection. Never returns after a fault that closes it: that is left
    /// to the side of the replies, which first delivers those that are due.
    async fn requests(&self, client: &mut OwnedReadHalf, server: OwnedWriteHalf) -> io::Result<()> {
        let mut server = Batch::new(server);
        let mut received = Vec::new();
        let mut counting = true;
        loop {
            received.reserve(CHUNK);
            if client.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
            self.take_time(received.len()).await;
            let swallowed = self.is_swallowed();
            let mut at = 0;
            loop {
                let (args, len) = match frame::request(&received[at..]) {
                    Ok(Some(request)) => request,
                    Ok(None) => break,
                    Err(NotResp) if swallowed => {
                        at = received.len();
                        break;
                    }
                    Err(NotResp) => {
                        lock(&self.expected).push_back(Expected::DeliverAndStopCounting);
                        server.add(&received[at..]);
                        server.flush().await;
                        tokio::io::copy(client, &mut server.stream).await?;
                        return Ok(());
                    }
                };
                let bytes = &received[at..at + len];
                at += len;
                // Redis does not answer an empty request, so there is nothing to count.
                if !args.is_empty() {
                    let command = self.shared.name(args);
                    if self.watched {
                        self.shared.see(&command);
                    }
                    if swallowed {
                        continue;
                    }
                    if counting {
                        counting = !command.ends_the_counting();
                        self.admit(&command, bytes, &mut server).await;
                        continue;
                    }
                }
                server.add(bytes);
            }
            received.drain(..at);
            server.flush().await;
        }
    }

    /// As long as so many bytes need that have just been read.
    async fn take_time(&self, bytes: usize) {
        let time = self.shared.time_for(bytes);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    /// Asked for replies that are there.
    fn is_muted(&self) -> bool {
        if self.shared.is_muting() {
            self.muted.store(true, Ordering::SeqCst);
        }
        self.muted.load(Ordering::SeqCst)
    }

    /// Asked for bytes that are there.
    fn is_swallowed(&self) -> bool {
        if self.shared.is_swallowing() {
            self.lost.store(true, Ordering::SeqCst);
        }
        self.lost.load(Ordering::SeqCst)
    }

    /// Forwards one request, or does what a fault wants instead.
    async fn admit(&self, command: &Command, bytes: &[u8], server: &mut Batch) {
        let expect = |expected| lock(&self.expected).push_back(expected);
        let plain = if command.ends_the_counting() {
            Expected::DeliverAndStopCounting
        } else {
            Expected::Deliver
        };
        let fault = self.watched.then(|| self.shared.fault_for(command)).flatten();
        let Some((fault, armed)) = fault else {
            expect(plain);
            server.add(bytes);
            return;
        };
        // What came before is on its way whatever the fault does.
        server.flush().await;
        let hook = match fault {
            Fault::Delay(time) => {
                armed.mark();
                tokio::time::sleep(time).await;
                expect(plain);
                server.add(bytes);
                return;
            }
            Fault::HoldUntil(told) => {
                armed.mark();
                let _ = told.await;
                expect(plain);
                server.add(bytes);
                return;
            }
            Fault::HoldReplyUntil(told) => {
                expect(Expected::Hold(told, armed));
                server.add(bytes);
                return;
            }
            Fault::SwallowReply => Some(None),
            Fault::After(hook) => Some(Some(hook)),
            Fault::DropRequest => {
                armed.mark();
                None
            }
            Fault::Before(hook) => {
                run(hook, armed.clone()).await;
                None
            }
        };
        match hook {
            Some(hook) => {
                expect(Expected::Lose(hook, armed));
                server.add(bytes);
                server.flush().await;
            }
            None => {
                expect(Expected::Close);
                self.closing.notify_one();
            }
        }
        future::pending().await
    }

    /// Delivers replies until the server closes the connection or a fault does.
    async fn replies(&self, mut server: OwnedReadHalf, client: &mut OwnedWriteHalf) -> io::Result<()> {
        let mut received = Vec::new();
        let mut out = Vec::new();
        let mut counting = true;
        loop {
            if matches!(lock(&self.expected).front(), Some(Expected::Close)) {
                return Ok(());
            }
            received.reserve(CHUNK);
            tokio::select! {
                read = server.read_buf(&mut received) => if read? == 0 {
                    return Ok(());
                },
                () = self.closing.notified() => continue,
            }
            self.take_time(received.len()).await;
            if self.is_swallowed() || self.is_muted() {
                received.clear();
                continue;
            }
            let slowness = self.shared.slowness();
            if !slowness.is_zero() {
                tokio::time::sleep(slowness).await;
                while server.try_read_buf(&mut received).is_ok_and(|n| n > 0) {}
            }
            loop {
                let halt = self.sort(&mut received, &mut out, &mut counting);
                // A client that has gone is noticed by the side of the requests. Here it must not matter: a reply that is
                // to be lost still has to be awaited.
                let _ = client.write_all(&out).await;
                out.clear();
                match halt {
                    None => break,
                    Some(Halt::Held(told, armed)) => {
                        armed.mark();
                        let _ = told.await;
                    }
                    Some(Halt::Lost(None, armed)) => {
                        armed.mark();
                        return Ok(());
                    }
                    Some(Halt::Lost(Some(hook), armed)) => {
                        run(hook, armed).await;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Moves the complete replies from `received` to `out`, up to one that is to be lost, or to be held, which stays.
    fn sort(&self, received: &mut Vec<u8>, out: &mut Vec<u8>, counting: &mut bool) -> Option<Halt> {
        let mut at = 0;
        let mut halt = None;
        while *counting && halt.is_none() {
            let len = match frame::frame_len(&received[at..]) {
                Ok(Some(len)) => len,
                Ok(None) => break,
                Err(NotResp) => {
                    *counting = false;
                    break;
                }
            };
            let reply = &received[at..at + len];
            at += len;
            let expected = if frame::is_push(reply) {
                None
            } else {
                lock(&self.expected).pop_front()
            };
            match expected {
                Some(Expected::Lose(hook, armed)) => halt = Some(Halt::Lost(hook, armed)),
                Some(Expected::Hold(told, armed)) => {
                    lock(&self.expected).push_front(Expected::Deliver);
                    at -= len;
                    halt = Some(Halt::Held(told, armed));
                }
                Some(Expected::DeliverAndStopCounting) => {
                    *counting = false;
                    out.extend_from_slice(reply);
                }
                Some(Expected::Deliver | Expected::Close) | None => {
                    self.shared.rewrite_onto(out, reply);
                }
            }
        }
        if !*counting {
            out.extend_from_slice(&received[at..]);
            at = received.len();
        }
        received.drain(..at);
        halt
    }
}

/// Runs a hook where it may block. It runs to its end, and is marked as fired, even if the connection ends meanwhile:
/// killing the client is what hooks are for.
async fn run(hook: Hook, armed: Armed) {
    let running = spawn_blocking(move || {
        hook();
        armed.mark();
    });
    // A hook that panics has printed why, and stays unfired.
    let _ = running.await;
}

/// Requests on their way to the server, written together.
struct Batch {
    stream: OwnedWriteHalf,
    bytes: Vec<u8>,
}

impl Batch {
    fn new(stream: OwnedWriteHalf) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    async fn flush(&mut self) {
        // A server that has gone is noticed by the side of the replies, after it has delivered what is left to deliver.
        let _ = self.stream.write_all(&self.bytes).await;
        self.bytes.clear();
    }
}
