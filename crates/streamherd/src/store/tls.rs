//! TLS by rustls, with its cryptography named outright: a process that also brings another provider has no default, and
//! rustls panics where one is needed.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fred::rustls::client::WebPkiServerVerifier;
use fred::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use fred::rustls::crypto::CryptoProvider;
use fred::rustls::pki_types::pem::{self, PemObject as _};
use fred::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use fred::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use fred::types::config::{Config, Server, ServerConfig, TlsConfig, TlsConnector, TlsHostMapping};

use super::network::Node;
use crate::error::SettingError;

/// How to speak TLS: whose certificates to trust, and which to show. For URLs that begin with `rediss`.
///
/// Files are PEM and are read once, when the client connects.
///
/// ```no_run
/// # async fn f() -> Result<(), streamherd::error::ConnectError> {
/// use streamherd::{Client, Tls};
///
/// let (client, notifications) = Client::builder("orders")
///     .url("rediss-cluster://redis.example:6379")
///     .tls(Tls::new().ca_file("ca.pem").client_certificate("worker.pem", "worker-key.pem"))
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    ca: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Trusts the system's authorities and shows no certificate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities in this file, and no others. Default: the system's, or those that the environment variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Shows this certificate (with those between it and the authority, if there are any), whose key is in the other file:
    /// PKCS#8, PKCS#1 or SEC1, not encrypted. Default: none is shown.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }

    /// The options by which redis-cli does the same.
    pub(super) fn redis_cli(&self) -> Vec<String> {
        let mut words = vec!["--tls".to_owned()];
        let (cert, key) = self.client.as_ref().map(|(cert, key)| (cert, key)).unzip();
        for (option, path) in [("--cacert", self.ca.as_ref()), ("--cert", cert), ("--key", key)] {
            words.extend(
                path.into_iter()
                    .flat_map(|path| [option.to_owned(), path.display().to_string()]),
            );
        }
        words
    }

    fn config(&self) -> Result<(ClientConfig, Arc<WebPkiServerVerifier>), SettingError> {
        let provider: Arc<CryptoProvider> = Arc::new(fred::rustls::crypto::ring::default_provider());
        let whole = |e: &dyn fmt::Display| {
            let of = self.ca.as_deref().unwrap_or(Path::new("the system's"));
            SettingError::new(CA, of.display().to_string(), format!("it can't be used: {e}"), A_CA)
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider))
            .build()
            .map_err(|e| whole(&e))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| whole(&e))?
            .with_webpki_verifier(Arc::clone(&verifier));
        let config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(CERTIFICATE, certificate)?, private_key(key)?)
                .map_err(|e| {
                    let rule = format!("it can't be used with {}: {e}", certificate.display());
                    SettingError::new(KEY, key.display().to_string(), rule, "the key of that certificate")
                })?,
        };
        Ok((config, verifier))
    }

    fn roots(&self) -> Result<RootCertStore, SettingError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca {
            for certificate in certificates(CA, path)? {
                roots.add(certificate).map_err(|e| {
                    unusable(
                        CA,
                        path,
                        &format!("holds a certificate that is no authority's ({e})"),
                        A_CA,
                    )
                })?;
            }
            return Ok(roots);
        }
        let found = fred::rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|e| format!(" ({e})")).unwrap_or_default();
            let rule = format!("the system has no authorities to trust{why}");
            return Err(SettingError::new(CA, "not set", rule, A_CA));
        }
        Ok(roots)
    }
}

const CA: &str = "tls.ca_file";
const CERTIFICATE: &str = "tls.client_certificate";
const KEY: &str = "tls.client_key";
const A_CA: &str = "a PEM file with the certificate of the authority that signed the servers'";
const A_CERTIFICATE: &str = "a PEM file that begins with the client's certificate";
const A_KEY: &str = "a PEM file with the key of the client's certificate, not encrypted (openssl pkey decrypts one)";

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingError> {
    let advice = if setting == CA { A_CA } else { A_CERTIFICATE };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(none) if none.is_empty() => Err(unusable(setting, path, "holds no certificate", advice)),
        Ok(found) => Ok(found),
        Err(e) => Err(unusable(setting, path, &trouble(&e), advice)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SettingError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| match e {
        pem::Error::NoItemsFound => unusable(KEY, path, "holds no private key, or an encrypted one", A_KEY),
        e => unusable(KEY, path, &trouble(&e), A_KEY),
    })
}

/// Without what the file holds, which may be a key.
fn trouble(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(e) => format!("can't be read: {e}"),
        _ => "is not well-formed PEM".to_owned(),
    }
}

fn unusable(setting: &'static str, path: &Path, what: &str, suggestion: &str) -> SettingError {
    SettingError::new(
        setting,
        path.display().to_string(),
        format!("that file {what}"),
        suggestion,
    )
}

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

fn dns_name(host: &str) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(host.to_owned()).ok()?;
    matches!(name, ServerName::DnsName(_)).then_some(name)
}

/// Checks certificates as rustls does, but takes one for any of several names.
///
/// A cluster's nodes and sentinels tell where servers are by IP addresses, which certificates often don't hold. The names
/// by which the user reached the first of them, and those that a node announces over a connection that was checked, are as
/// good: whoever could show a certificate for them could have been asked in the first place.
#[derive(Debug)]
struct AnyName {
    verifier: Arc<WebPkiServerVerifier>,
    also: Vec<ServerName<'static>>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let for_name = |name: &ServerName<'_>| {
            self.verifier
                .verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
        };
        let verified = for_name(server_name);
        match &verified {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => self
                .also
                .iter()
                .find_map(|name| for_name(name).ok())
                .map_or(verified, Ok),
            _ => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// What went wrong between two ends that did talk, and what to do, from the text that the client library makes of rustls's
/// errors; [`None`] if that is not what went wrong.
pub(super) fn advice(details: &str) -> Option<&'static str> {
    const UNTRUSTED: &str = "the server's certificate is signed by an authority that is not trusted here; name the file with the authority's certificate (Tls::ca_file)";
    const ADVICE: [(&str, &str); 11] = [
        ("UnknownIssuer", UNTRUSTED),
        // An authority of the same name with another key.
        ("InvalidCertificate(BadSignature", UNTRUSTED),
        (
            "CaUsedAsEndEntity",
            "the server shows an authority's certificate as its own; have the authority sign one for the server",
        ),
        (
            "NotValidForName",
            "the server's certificate is not for this host; use the name that stands in it, or have the certificate hold this one",
        ),
        (
            "InvalidCertificate(Expired",
            "the server's certificate has expired; renew it, and check the clocks",
        ),
        (
            "NotValidYet",
            "the server's certificate is not valid yet; check the clocks",
        ),
        ("InvalidCertificate", "the server's certificate can't be accepted"),
        (
            "CertificateRequired",
            "the server wants a client's certificate; name its file and that of its key (Tls::client_certificate)",
        ),
        (
            "AlertReceived",
            "the server refused the handshake; if this client shows a certificate, check that the server trusts its authority",
        ),
        (
            "InvalidMessage",
            "what answers speaks no TLS; check the port, or use a URL that begins with redis instead of rediss",
        ),
        (
            "PeerIncompatible",
            "the server speaks no TLS that this client does: 1.2 or 1.3",
        ),
    ];
    let said = |(word, advice): &(&str, &'static str)| details.contains(word).then_some(*advice);
    ADVICE.iter().find_map(said)
}
