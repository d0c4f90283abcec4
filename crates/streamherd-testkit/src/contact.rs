use std::io;
use std::net::Ipv4Addr;

use crate::raw::RawClient;
use crate::tls::Certificates;

/// How a server is reached. It outlives the server, and a restart doesn't change it.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) port: u16,
    pub(crate) certificates: Option<Certificates>,
}

impl Contact {
    pub(crate) fn connect(&self) -> io::Result<RawClient> {
        let addr = (Ipv4Addr::LOCALHOST, self.port);
        match &self.certificates {
            None => RawClient::connect(addr),
            Some(certificates) => RawClient::connect_tls(addr, certificates),
        }
    }

    /// # Panics
    ///
    /// If nobody listens.
    #[track_caller]
    pub(crate) fn client(&self) -> RawClient {
        match self.connect() {
            Ok(client) => client,
            Err(error) => panic!("cannot connect to redis-server at 127.0.0.1:{}: {error}", self.port),
        }
    }
}
