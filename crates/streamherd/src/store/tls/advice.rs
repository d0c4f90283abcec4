//! What to do about a handshake that failed.

/// What went wrong between two ends that did talk, and what to do, from the text that the client library makes of rustls's
/// errors; [`None`] if that is not what went wrong.
pub(in crate::store) fn advice(details: &str) -> Option<&'static str> {
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
