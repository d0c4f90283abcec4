//! How clients reach a [`Server`].

use std::fmt::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::contact::Contact;
use crate::error::StartError;
use crate::eventually::Pace;
use crate::raw::RawClient;
use crate::server::Server;
use crate::tls::Certificates;

const SYNC_DEADLINE: Duration = Duration::from_secs(10);

impl Server {
    /// The port on 127.0.0.1. A restart keeps it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `redis://127.0.0.1:PORT`, or `rediss://` where the server speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme(), self.port())
    }

    /// The URL with the name and password of a [user](crate::ServerBuilder::user).
    ///
    /// # Panics
    ///
    /// If the builder was given no user of that name.
    #[must_use]
    #[track_caller]
    pub fn url_as(&self, user: &str) -> String {
        let (name, password) = (escaped(user), escaped(self.password_of(user)));
        format!("{}://{name}:{password}@127.0.0.1:{}", self.scheme(), self.port())
    }

    /// The unix socket, if the builder asked for one.
    #[must_use]
    pub fn unix_socket(&self) -> Option<&Path> {
        self.launch.socket.as_deref()
    }

    /// `redis+unix:///PATH`, if the builder asked for a unix socket.
    #[must_use]
    pub fn unix_url(&self) -> Option<String> {
        self.unix_socket()
            .map(|path| format!("redis+unix://{}", path.display()))
    }

    /// The certificates, if the server speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.launch.tls.as_ref().map(|tls| &tls.certificates)
    }

    /// A new blocking connection of its own, over TLS with the client's certificate where the server speaks that.
    ///
    /// # Panics
    ///
    /// If the server does not accept it.
    #[must_use]
    #[track_caller]
    pub fn client(&self) -> RawClient {
        self.contact().client()
    }

    /// A new blocking connection that has logged in as a [user](crate::ServerBuilder::user).
    ///
    /// # Panics
    ///
    /// If the builder was given no user of that name, or the server refuses it.
    #[must_use]
    #[track_caller]
    pub fn client_as(&self, user: &str) -> RawClient {
        let mut client = self.client();
        client.call(&["AUTH", user, self.password_of(user)]).ok();
        client
    }

    /// Whether the server is a replica that has a copy of its primary's data and is connected to it. What the primary
    /// takes right after the copy may reach it up to 1 s later.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    #[must_use]
    #[track_caller]
    pub fn is_in_sync(&self) -> bool {
        let info = self.client().cmd("INFO replication").text();
        info.lines().any(|line| line == "master_link_status:up")
    }

    pub(crate) fn contact(&self) -> Contact {
        self.launch.contact(self.port())
    }

    pub(crate) fn wait_for_sync(&self, primary: &Contact) -> Result<(), StartError> {
        let mut pace = Pace::new(SYNC_DEADLINE);
        while !self.is_in_sync() || !primary.reaches(1).unwrap_or(false) {
            let Some(pause) = pace.next() else {
                return Err(StartError::NotInSync {
                    deadline: SYNC_DEADLINE,
                    log: self.log(),
                });
            };
            thread::sleep(pause);
        }
        Ok(())
    }

    fn scheme(&self) -> &'static str {
        if self.launch.tls.is_some() { "rediss" } else { "redis" }
    }

    #[track_caller]
    fn password_of(&self, name: &str) -> &str {
        let Some(user) = self.launch.users.iter().find(|user| user.name == name) else {
            panic!("the redis-server at {} was given no user {name:?}", self.url());
        };
        &user.password
    }
}

/// Text as a part of a URL.
fn escaped(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}
