//! TLS by rustls, with its cryptography named outright: a process that also brings another provider has no default, and
//! rustls panics where one is needed.

mod advice;
mod files;
mod names;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use fred::rustls::ClientConfig;
use fred::rustls::client::WebPkiServerVerifier;
use fred::rustls::pki_types::ServerName;
use fred::types::config::{Config, Server, ServerConfig, TlsConfig, TlsConnector, TlsHostMapping};

pub(super) use advice::advice;
pub use files::Tls;
use names::{AnyName, dns_name};

use super::network::Node;
use crate::error::SettingError;

/// TLS as it is spoken with all servers of one place. Cheap to clone.
#[derive(Clone)]
pub(super) struct Session {
    how: How,
    /// The servers that the user named.
    named: Arc<[Server]>,
    /// Whether those lead to others, which announce themselves by their IP addresses.
    leads_on: bool,
    /// The host names that a cluster's nodes announce.
    announced: Arc<Mutex<HashMap<Node, String>>>,
}

#[derive(Clone)]
enum How {
    Ours {
        tls: Tls,
        config: Arc<ClientConfig>,
        verifier: Arc<WebPkiServerVerifier>,
    },
    /// As the user has configured the client library.
    Theirs(TlsConfig),
}

impl Session {
    /// # Errors
    /// A file can't be used.
    pub(super) fn ours(tls: &Tls, server: &ServerConfig) -> Result<Self, SettingError> {
        let (config, verifier) = tls.config()?;
        let how = How::Ours {
            tls: tls.clone(),
            config: Arc::new(config),
            verifier,
        };
        Ok(Self::new(how, server))
    }

    pub(super) fn theirs(config: &TlsConfig, server: &ServerConfig) -> Self {
        Self::new(How::Theirs(config.clone()), server)
    }

    fn new(how: How, server: &ServerConfig) -> Self {
        Self {
            how,
            named: server.hosts().into(),
            leads_on: false,
            announced: Arc::default(),
        }
    }

    pub(super) const fn leading_on(mut self, leads_on: bool) -> Self {
        self.leads_on = leads_on;
        self
    }

    /// Keeps the host names that nodes announce.
    pub(super) fn learn(&self, names: &[(Node, String)]) {
        let usable = names
            .iter()
            .filter(|(_, name)| ServerName::try_from(name.as_str()).is_ok());
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(usable.cloned());
    }

    pub(super) fn redis_cli(&self) -> Vec<String> {
        match &self.how {
            How::Ours { tls, .. } => tls.redis_cli(),
            How::Theirs(_) => vec!["--tls".to_owned()],
        }
    }

    /// Prepares a connection to the one server of `config`.
    pub(super) fn apply(&self, config: &mut Config) {
        let ServerConfig::Centralized { server } = &mut config.server else {
            return;
        };
        let ip = server.host.parse::<IpAddr>().ok().filter(|_| self.leads_on);
        let announced = ip.and_then(|_| {
            let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            announced.get(&Node::at(&server.host, server.port)).cloned()
        });
        match &self.how {
            How::Ours {
                config: ours, verifier, ..
            } => {
                let mut ours = ClientConfig::clone(ours);
                if let Some(ip) = ip {
                    let named = self.named.iter().filter_map(|server| dns_name(&server.host));
                    let any = AnyName {
                        verifier: Arc::clone(verifier),
                        also: named.chain([ip.into()]).collect(),
                    };
                    ours.dangerous().set_certificate_verifier(Arc::new(any));
                }
                server.tls_server_name = announced.map(Into::into);
                config.tls = Some(TlsConfig::from(TlsConnector::from(ours)));
            }
            How::Theirs(theirs) => {
                let same = self
                    .named
                    .iter()
                    .find(|named| named.host == server.host && named.port == server.port);
                let mapped = || {
                    let first = self.named.first()?.host.to_string();
                    match &theirs.hostnames {
                        TlsHostMapping::None => None,
                        TlsHostMapping::DefaultHost => announced.or(Some(first)),
                        TlsHostMapping::Custom(mapping) => mapping.map(&ip?, &first),
                    }
                };
                server.tls_server_name = match same.and_then(|named| named.tls_server_name.clone()) {
                    Some(name) => Some(name),
                    None => ip.and_then(|_| mapped()).map(Into::into),
                };
            }
        }
    }
}
