use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustls::StreamOwned;

use crate::reply::Reply;
use crate::stream::Stream;
use crate::tls::Certificates;

const TIMEOUT: Duration = Duration::from_secs(10);

/// One blocking RESP2 connection.
///
/// It never reconnects and never retries: what it returns is what the server said, once. Reads and writes time out
/// after 10 s unless [`set_timeout`](Self::set_timeout) says otherwise, so that a frozen server fails a test instead of
/// hanging it.
#[derive(Debug)]
pub struct RawClient {
    stream: BufReader<Stream>,
}

impl RawClient {
    /// Connects over TCP.
    ///
    /// # Errors
    ///
    /// If nobody listens on `addr`.
    pub fn connect(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Self::over(Stream::Tcp(stream))
    }

    /// Connects over TLS and shows the client's certificate if the server asks for one.
    ///
    /// # Errors
    ///
    /// If nobody listens on `addr`, or whoever does has no certificate of this authority.
    pub fn connect_tls(addr: impl ToSocketAddrs, certificates: &Certificates) -> io::Result<Self> {
        Self::handshake(addr, certificates, true)
    }

    /// Connects over TLS with no certificate to show.
    ///
    /// # Errors
    ///
    /// If nobody listens on `addr`, or whoever does has no certificate of this authority. A server that wants a
    /// certificate may be heard refusing only at the first reply: that is where TLS 1.3 has its place for it.
    pub fn connect_tls_anonymous(addr: impl ToSocketAddrs, certificates: &Certificates) -> io::Result<Self> {
        Self::handshake(addr, certificates, false)
    }

    /// Connects over a unix socket.
    ///
    /// # Errors
    ///
    /// If nobody listens on `path`.
    pub fn connect_unix(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::over(Stream::Unix(UnixStream::connect(path)?))
    }

    /// Sets how long a read or a write may take; `None` is for ever.
    ///
    /// # Errors
    ///
    /// If `timeout` is zero.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.get_ref().set_timeout(timeout)
    }

    /// Sends a command and returns its reply. An error of the server is a [`Reply::Error`].
    ///
    /// # Panics
    ///
    /// If the connection fails or times out.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        match self.try_call(args) {
            Ok(reply) => reply,
            Err(error) => panic!("{}: no reply from redis: {error}", shown(args)),
        }
    }

    /// Sends a command and returns its reply. An error of the server is a [`Reply::Error`].
    ///
    /// # Errors
    ///
    /// If the connection fails or times out. It is of no use afterwards: a late reply would be taken for the next one.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send(args)?;
        self.receive()
    }

    /// Sends a command written in one line, split at white space: `cmd("XLEN {orders:0}:input")`. There is no quoting.
    ///
    /// # Panics
    ///
    /// If the connection fails or times out.
    #[track_caller]
    pub fn cmd(&mut self, line: &str) -> Reply {
        let args: Vec<_> = line.split_whitespace().collect();
        self.call(&args)
    }

    /// Sends a command without waiting for its reply, to pipeline or to leave it blocking.
    ///
    /// # Errors
    ///
    /// If the connection fails or times out.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(&encode(args))?;
        stream.flush()
    }

    /// Waits for the next reply, or the next message after a `SUBSCRIBE`.
    ///
    /// # Errors
    ///
    /// If the connection fails or times out, or the server says what RESP2 has not.
    pub fn receive(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.stream)
    }

    /// Sends all commands before it reads the first reply.
    pub(crate) fn pipeline(&mut self, commands: &[Vec<String>]) -> io::Result<Vec<Reply>> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        let stream = self.stream.get_mut();
        stream.write_all(&bytes)?;
        stream.flush()?;
        commands.iter().map(|_| self.receive()).collect()
    }

    fn handshake(addr: impl ToSocketAddrs, certificates: &Certificates, known: bool) -> io::Result<Self> {
        let mut socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        let mut session = certificates.session(known)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Self::over(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    fn over(stream: Stream) -> io::Result<Self> {
        stream.set_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }
}

fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn read_reply(stream: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"));
    }
    let line = String::from_utf8_lossy(&line);
    let Some((kind, rest)) = line.strip_suffix("\r\n").and_then(|line| line.split_at_checked(1)) else {
        return Err(malformed(&line));
    };
    let number = || rest.parse::<i64>().map_err(|_| malformed(&line));
    Ok(match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Int(number()?),
        "$" => match usize::try_from(number()?) {
            Ok(len) => {
                let mut bytes = vec![0; len + 2];
                stream.read_exact(&mut bytes)?;
                bytes.truncate(len);
                Reply::Bulk(bytes)
            }
            Err(_) => Reply::Nil,
        },
        "*" => match usize::try_from(number()?) {
            Ok(len) => Reply::Array((0..len).map(|_| read_reply(stream)).collect::<Result<_, _>>()?),
            Err(_) => Reply::Nil,
        },
        _ => return Err(malformed(&line)),
    })
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP2: {line:?}"))
}

fn shown<A: AsRef<[u8]>>(args: &[A]) -> String {
    let words: Vec<_> = args
        .iter()
        .map(|arg| String::from_utf8_lossy(arg.as_ref()).into_owned())
        .collect();
    let mut line = words.join(" ");
    if let Some((end, _)) = line.char_indices().nth(200) {
        line.truncate(end);
        line.push('…');
    }
    line
}
