//! URLs and files with passwords, as operators write them.

use std::error::Error;
use std::path::Path;

use bolero::check;

use super::shape::{Text, upto};
use crate::config::ClusterMode;
use crate::error::ConnectError;
use crate::store::{Access, Credentials, Endpoint, Tls};

/// Stands in every password, and must not be shown anywhere.
const SECRET: &str = "gehe1m";

#[test]
fn any_text_is_an_endpoint_or_refused() {
    check!(name = "url").with_iterations(10_000).for_each(|url| {
        if let Ok(url) = std::str::from_utf8(url) {
            let shown = leads_somewhere_or_is_refused(url, Access::default());
            // The corpus has passwords as they should be written, and as they should not.
            assert!(!shown.contains(SECRET), "{shown}");
        }
    });
}

#[test]
fn no_password_in_a_url_is_ever_shown() {
    // Half of them read the system's authorities.
    check!(name = "url_shaped")
        .with_iterations(1_000)
        .with_generator(Login)
        .for_each(|url| {
            let shown = leads_somewhere_or_is_refused(url, Access::default());
            assert!(!shown.contains(SECRET), "{shown}");
        });
}

/// Whatever it comes to, all that can be shown of it.
fn leads_somewhere_or_is_refused(url: &str, access: Access) -> String {
    match Endpoint::from_url(url, access) {
        Ok(endpoint) => {
            assert!(url.contains("://"));
            let mode = endpoint.mode();
            assert!(mode != ClusterMode::Oss || endpoint.database() == 0);
            assert!(!endpoint.user().is_empty());
            let words = endpoint.redis_cli();
            assert_eq!(words[0], "redis-cli");
            format!("{endpoint:?} {} {words:?} {}", endpoint.address(), endpoint.database())
        }
        Err(e) => {
            let mut shown = format!("{e:?} {e}");
            let mut source = e.source();
            while let Some(cause) = source {
                shown += &format!(" {cause:?} {cause}");
                source = cause.source();
            }
            assert!(
                shown.len() < 2_048,
                "it says how to mend it, and does not repeat it: {shown}"
            );
            shown
        }
    }
}

/// A URL with a password that is written without care.
struct Login;

impl bolero::ValueGenerator for Login {
    type Output = String;

    fn generate<D: bolero::Driver>(&self, driver: &mut D) -> Option<String> {
        const SCHEMES: [&str; 8] = [
            "redis",
            "rediss",
            "redis-cluster",
            "rediss-cluster",
            "redis-sentinel",
            "rediss-sentinel",
            "redis+unix",
            "http",
        ];
        const HOSTS: [&str; 10] = [
            "h",
            "h:1",
            "h:0",
            "h:65536",
            "[::1]:7",
            "127.0.0.1:1/2",
            "h/x",
            "h?node=h:1&node=h:2",
            "h/3?sentinelServiceName=m&sentinelPassword=gehe1m&sentinelUsername=u",
            "/run/redis.sock",
        ];
        const USERS: [&str; 5] = ["", "u", "u%40", "ü", "u%"];
        let text = |driver: &mut D| {
            let pieces = &[
                "/", "?", "#", "@", ":", "%", "%40", "%zz", "&", "=", " ", "x", "é", "[", "]", "\\", "//", "1",
            ];
            let bytes = Text { pieces, most: 3 }.generate(driver)?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let scheme = SCHEMES[upto(driver, SCHEMES.len() - 1)?];
        let user = USERS[upto(driver, USERS.len() - 1)?];
        let host = HOSTS[upto(driver, HOSTS.len() - 1)?];
        let (before, after) = (text(driver)?, text(driver)?);
        Some(format!("{scheme}://{user}:{before}{SECRET}{after}@{host}"))
    }
}

#[test]
fn any_file_is_a_password_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    check!(name = "password_file")
        .with_iterations(500)
        .with_max_len(64)
        .for_each(|text| {
            std::fs::write(&path, text).unwrap();
            let access = Access {
                login: Credentials::new().user("u").password_file(&path),
                ..Access::default()
            };
            let is_password = std::str::from_utf8(text).is_ok_and(|text| !matches!(text, "" | "\n" | "\r\n" | "\r"));
            let endpoint = Endpoint::from_url("redis://h", access);
            assert_eq!(endpoint.is_ok(), is_password, "{text:?}: {endpoint:?}");
            if let Ok(text) = std::str::from_utf8(text) {
                let shown = format!("{endpoint:?}");
                assert!(text.trim().len() < 4 || !shown.contains(text.trim()), "{shown}");
            }
        });
}

#[test]
fn any_file_is_an_authority_a_certificate_or_a_key_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    check!(name = "pem")
        .with_iterations(500)
        .with_max_len(256)
        .for_each(|text| {
            is_pem_or_refused(dir.path(), text);
        });
}

#[test]
fn what_looks_like_pem_is_an_authority_a_certificate_or_a_key_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pieces = &[
        "-----BEGIN CERTIFICATE-----\n",
        "-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----END PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\n",
        "-----END EC PRIVATE KEY-----\n",
        "-----BEGIN gehe1m\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
        "-----END RSA PRIVATE KEY-----\n",
        "gehe1m\n",
        "gehe1mAA\n",
        "MIIB",
        "\n",
        "=",
        "-----",
        "BEGIN ",
        "AA==\n",
    ];
    check!(name = "pem_shaped")
        .with_iterations(1_000)
        .with_generator(Text { pieces, most: 8 })
        .for_each(|text| is_pem_or_refused(dir.path(), text));
}

fn is_pem_or_refused(dir: &Path, text: &[u8]) {
    let path = dir.join("pem");
    std::fs::write(&path, text).unwrap();
    let any = Tls::new().ca_file(&path);
    for (setting, tls) in [
        ("tls.ca_file", any.clone()),
        ("tls.", any.client_certificate(&path, &path)),
    ] {
        let access = Access {
            tls: Some(tls),
            ..Access::default()
        };
        match Endpoint::from_url("rediss://h", access) {
            // There is one in it.
            Ok(_) => assert!(text.windows(17).any(|part| part == b"BEGIN CERTIFICATE")),
            Err(ConnectError::Setting(e)) => {
                let shown = format!("{e} {e:?}");
                assert!(e.setting.starts_with(setting) && shown.len() < 1_024, "{shown}");
                // As text, or byte by byte.
                let bytes = format!("{:?}", SECRET.as_bytes());
                assert!(
                    !shown.contains(SECRET) && !shown.contains(bytes.trim_matches(['[', ']'])),
                    "{shown}"
                );
            }
            Err(e) => panic!("{e:?}"),
        }
    }
}
