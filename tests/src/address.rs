//! Where a service is, as clients are told.

use streamherd::{Builder, Client};

/// A URL, and how many partitions the service there has.
#[derive(Debug, Clone)]
pub struct Address {
    /// `redis://…`, `redis-sentinel://…` or `redis-cluster://…`.
    pub url: String,
    /// 1 or more.
    pub partitions: u16,
}

impl Address {
    /// A service of one partition.
    #[must_use]
    pub fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            partitions: 1,
        }
    }

    /// A client of a service there, with the library's own settings.
    pub fn service(&self, service: &str) -> Builder {
        let builder = Client::builder(service).url(&self.url);
        // One is the default, and who only looks finds the number out.
        if self.partitions == 1 {
            return builder;
        }
        builder.partitions(self.partitions)
    }

    /// The same place, another database.
    #[must_use]
    pub fn in_database(&self, database: u8) -> Self {
        let (servers, options) = self.url.split_once('?').unwrap_or((&self.url, ""));
        Self {
            url: format!("{servers}/{database}?{options}"),
            ..self.clone()
        }
    }

    /// The same place for somebody who logs in: `login` is `name:password`.
    #[must_use]
    pub fn logged_in(&self, login: &str) -> Self {
        let (scheme, rest) = self.url.split_once("://").expect("a URL");
        Self {
            url: format!("{scheme}://{login}@{rest}"),
            ..self.clone()
        }
    }
}

/// Where clients find a service.
pub trait Reachable {
    /// What they are told.
    fn address(&self) -> Address;
}

impl Reachable for Address {
    fn address(&self) -> Address {
        self.clone()
    }
}

impl Reachable for str {
    fn address(&self) -> Address {
        Address::of(self)
    }
}

impl Reachable for String {
    fn address(&self) -> Address {
        Address::of(self)
    }
}
