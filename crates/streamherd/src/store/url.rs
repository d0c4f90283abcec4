//! URLs as users write them.

use fred::types::config::Config;

use crate::error::ConnectError;

/// The configuration that a URL stands for, and whether it wants TLS.
///
/// # Errors
/// [`ConnectError::Url`] says what is wrong with it, without repeating it.
pub(super) fn parse(url: &str) -> Result<(Config, bool), ConnectError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(refused("it has no scheme"));
    };
    let (plain, wants_tls) = match scheme {
        "redis" | "redis+unix" | "redis-cluster" | "redis-sentinel" => (scheme, false),
        "rediss" => ("redis", true),
        "rediss-cluster" => ("redis-cluster", true),
        "rediss-sentinel" => ("redis-sentinel", true),
        _ => return Err(refused("its scheme is not one of Redis")),
    };
    if is_cut_short(rest) {
        return Err(refused(
            "a /, ?, # or @ in a user's name, a password or an option has to be percent-encoded: %2F, %3F, %23, %40",
        ));
    }
    // Of a URL with TLS the client library makes a configuration with the process's default provider.
    let config = Config::from_url(&format!("{plain}://{rest}")).map_err(|e| match e.details() {
        port if port.contains("InvalidPort") => refused("its port is not a number from 1 to 65535"),
        node if node.contains("cluster node") => refused("one of its nodes is not of the form host:port"),
        host if host.contains("host") || host.contains("Host") => refused("it names no host"),
        other => refused(other),
    })?;
    Ok((config, wants_tls))
}

pub(super) fn refused(reason: &str) -> ConnectError {
    ConnectError::Url {
        reason: reason.to_owned(),
    }
}

/// Whether what should be a login ends too soon, and would be taken for an address that is then shown. An `@` that ends no
/// login is taken for a sign of that wherever it stands, as a password can look like a path and a query of their own.
fn is_cut_short(rest: &str) -> bool {
    rest.find(['/', '?', '#'])
        .is_some_and(|end| rest.split_at(end).1.contains(['#', '@']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_is_not_encoded_is_no_address() {
        for url in [
            "redis://u:1/w@h",
            "redis://u:1#w@h",
            "redis://u:1?w@h",
            "redis-cluster://u:1/w@h?node=h:1",
            "redis-cluster://u:1?w@h?node=h:1",
            "redis+unix://u:/w?x=@h",
            "redis-cluster://u:1?node=w@h",
        ] {
            assert!(matches!(parse(url), Err(ConnectError::Url { .. })), "{url}");
        }
        for url in [
            "redis://u:p@w@h:1",
            "redis://h",
            "redis://h:1/2?",
            "redis-cluster://u:w@h?node=h:1&node=h:2",
            "redis-sentinel://u:w@h?sentinelServiceName=m&sentinelPassword=%40",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
    }
}
