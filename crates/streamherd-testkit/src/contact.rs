use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::raw::RawClient;
use crate::reply::Reply;
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

    /// Whether all that this primary takes reaches this many replicas.
    ///
    /// Neither side's `INFO` tells: after a diskless copy the replica has its link up and the primary has it `online` for
    /// up to 1 s before it gets what was written since the copy (7.0.15), and a failover meanwhile loses that.
    pub(crate) fn reaches(&self, replicas: usize) -> io::Result<bool> {
        let mut client = self.connect()?;
        client.set_timeout(Some(Duration::from_secs(2)))?;
        // Waiting in vain puts a question into the replicas' stream, and the second wait is for its answer. Nothing else
        // goes there without writing any data.
        client.try_call(&["WAIT", "1000", "1"])?;
        client.try_call(&["PING"])?;
        let reached = client.try_call(&["WAIT", &replicas.to_string(), "500"])?;
        Ok(matches!(reached, Reply::Int(reached) if usize::try_from(reached).is_ok_and(|reached| reached >= replicas)))
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
