//! What to trust and what to show, from files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fred::rustls::client::WebPkiServerVerifier;
use fred::rustls::crypto::CryptoProvider;
use fred::rustls::pki_types::pem::{self, PemObject as _};
use fred::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use fred::rustls::{ClientConfig, RootCertStore};

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

    pub(super) fn config(&self) -> Result<(ClientConfig, Arc<WebPkiServerVerifier>), SettingError> {
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
