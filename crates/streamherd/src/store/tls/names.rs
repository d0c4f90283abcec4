//! For which names a certificate will do.

use std::sync::Arc;

use fred::rustls::client::WebPkiServerVerifier;
use fred::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use fred::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use fred::rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, SignatureScheme};

pub(super) fn dns_name(host: &str) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(host.to_owned()).ok()?;
    matches!(name, ServerName::DnsName(_)).then_some(name)
}

/// Checks certificates as rustls does, but takes one for any of several names.
///
/// A cluster's nodes and sentinels tell where servers are by IP addresses, which certificates often don't hold. The names
/// by which the user reached the first of them, and those that a node announces over a connection that was checked, are as
/// good: whoever could show a certificate for them could have been asked in the first place.
#[derive(Debug)]
pub(super) struct AnyName {
    pub(super) verifier: Arc<WebPkiServerVerifier>,
    pub(super) also: Vec<ServerName<'static>>,
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
