use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;

use crate::error::StartError;

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// An authority of its own with a certificate for servers at `localhost` and 127.0.0.1, and one for clients.
///
/// They lie as PEM files in a directory that lives as long as the last clone of this value. Servers that talk to each
/// other need the same ones: [`ServerBuilder::tls_with`](crate::ServerBuilder::tls_with).
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: TempDir,
    known: Arc<ClientConfig>,
    anonymous: Arc<ClientConfig>,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    /// Makes the authority and the certificates that it signs.
    ///
    /// # Errors
    ///
    /// [`StartError::Io`] if they cannot be made or written.
    pub fn make() -> Result<Self, StartError> {
        Inner::make()
            .map(|inner| Self(Arc::new(inner)))
            .map_err(|error| io::Error::other(error.to_string()))
            .map_err(StartError::io("make certificates"))
    }

    /// The authority's certificate, for a client to trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// The server's certificate.
    #[must_use]
    pub fn server_certificate(&self) -> PathBuf {
        self.file("server.crt")
    }

    /// The server's private key.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// The client's certificate, for servers that [require one](crate::ServerBuilder::require_client_certificate).
    #[must_use]
    pub fn client_certificate(&self) -> PathBuf {
        self.file("client.crt")
    }

    /// The client's private key.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.file("client.key")
    }

    /// Another certificate of the same authority, for servers and clients of these names, and its private key. A server
    /// that runs takes it by `CONFIG SET tls-cert-file … tls-key-file …`.
    ///
    /// # Panics
    ///
    /// If it can't be made or written.
    #[must_use]
    #[track_caller]
    pub fn sign(&self, names: &[&str]) -> (PathBuf, PathBuf) {
        let name = names.join("+");
        match signed(&name, names, &self.0.issuer, self.0.dir.path()) {
            Ok(_) => (self.file(&format!("{name}.crt")), self.file(&format!("{name}.key"))),
            Err(error) => panic!("cannot sign a certificate for {name}: {error}"),
        }
    }

    /// A TLS session that shows the client's certificate if it is asked, or has none to show.
    pub(crate) fn session(&self, known: bool) -> io::Result<ClientConnection> {
        let config = if known { &self.0.known } else { &self.0.anonymous };
        let name = ServerName::try_from(NAMES[1]).map_err(io::Error::other)?;
        ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.dir.path().join(name)
    }
}

impl Inner {
    fn make() -> Result<Self, Box<dyn Error>> {
        let dir = tempfile::Builder::new().prefix("streamherd-tls-").tempdir()?;

        let key = KeyPair::generate()?;
        let mut params = params("streamherd-testkit authority", &NAMES)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = params.self_signed(&key)?;
        fs::write(dir.path().join("ca.crt"), authority.pem())?;
        let issuer = Issuer::new(params, key);
        signed("server", &NAMES, &issuer, dir.path())?;
        let (certificate, key) = signed("client", &NAMES, &issuer, dir.path())?;

        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let roots = Arc::new(roots);
        // Not the process's default provider: that belongs to the program under test.
        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map(|builder| builder.with_root_certificates(Arc::clone(&roots)))
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Self {
            known: Arc::new(builder()?.with_client_auth_cert(vec![certificate.der().clone()], key)?),
            anonymous: Arc::new(builder()?.with_no_client_auth()),
            issuer,
            dir,
        })
    }
}

fn params(name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// Signs a certificate and writes it and its key into `dir`.
fn signed(
    name: &str,
    names: &[&str],
    issuer: &Issuer<'_, KeyPair>,
    dir: &Path,
) -> Result<(rcgen::Certificate, KeyPair), Box<dyn Error>> {
    let key = KeyPair::generate()?;
    let mut params = params(&format!("streamherd-testkit {name}"), names)?;
    params.use_authority_key_identifier_extension = true;
    // Both purposes for both: a server is a client too, of its primary, of the cluster's other nodes and in MIGRATE.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer)?;
    fs::write(dir.join(format!("{name}.crt")), certificate.pem())?;
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
    Ok((certificate, key))
}

/// How a server speaks TLS.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) certificates: Certificates,
    pub(crate) require_client_certificate: bool,
}

impl Tls {
    pub(crate) fn add_to<'c>(&self, command: &'c mut Command, port: &str) -> &'c mut Command {
        let certificates = &self.certificates;
        let clients = if self.require_client_certificate { "yes" } else { "no" };
        command
            .args(["--port", "0", "--tls-port", port, "--tls-auth-clients", clients])
            .arg("--tls-ca-cert-file")
            .arg(certificates.authority())
            .arg("--tls-cert-file")
            .arg(certificates.server_certificate())
            .arg("--tls-key-file")
            .arg(certificates.server_key())
            // What it connects to speaks TLS as well: its primary and, for a Sentinel, all it watches.
            .args(["--tls-replication", "yes", "--tls-cluster", "yes"])
    }
}

/// A binary without TLS knows none of its options.
pub(crate) fn lacks_tls(log: &str) -> bool {
    log.contains("tls-port") && log.contains("Bad directive")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_without_tls_is_told_by_its_refusal() {
        let refusal = ">>> 'tls-port \"12345\"'\nBad directive or wrong number of arguments\n";
        assert!(lacks_tls(refusal));
        assert!(!lacks_tls(
            ">>> 'no-such-option \"1\"'\nBad directive or wrong number of arguments\n"
        ));
    }
}
