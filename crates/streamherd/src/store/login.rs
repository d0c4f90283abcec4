//! Users and passwords.

use std::fmt;
use std::path::PathBuf;

use crate::error::SettingError;

/// A user and a password. What is not set here is taken from the URL.
///
/// Without a user it is Redis's own, `default`. The password shows neither in the debug form nor in any error.
///
/// ```
/// use streamherd::Credentials;
///
/// let login = Credentials::new().user("worker").password("open sesame");
/// assert!(!format!("{login:?}").contains("sesame"));
/// ```
#[derive(Clone, Default)]
pub struct Credentials {
    user: Option<String>,
    password: Option<Password>,
}

#[derive(Clone)]
enum Password {
    Text(String),
    File(PathBuf),
}

impl Credentials {
    /// Neither a user nor a password.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Logs in as this user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Logs in with this password, as it is: nothing is percent-encoded.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Password::Text(password.into()));
        self
    }

    /// Logs in with the password in this file, without the end of its last line. It is read once, when the client connects.
    #[must_use]
    pub fn password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.password = Some(Password::File(path.into()));
        self
    }

    /// Puts what is set in the place of what was.
    pub(super) fn put_into(
        self,
        setting: &'static str,
        user: &mut Option<String>,
        password: &mut Option<String>,
    ) -> Result<(), SettingError> {
        *user = self.user.or_else(|| user.take());
        *password = match self.password {
            Some(Password::Text(text)) => Some(text),
            Some(Password::File(path)) => Some(read(setting, &path)?),
            None => password.take(),
        };
        Ok(())
    }
}

fn read(setting: &'static str, path: &std::path::Path) -> Result<String, SettingError> {
    let unusable = |why: &str| {
        let rule = format!("the password's file {why}");
        SettingError::new(
            setting,
            path.display().to_string(),
            rule,
            "a file that holds the password alone",
        )
    };
    let text = std::fs::read_to_string(path).map_err(|e| unusable(&format!("can't be read: {e}")))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    match password.strip_suffix('\r').unwrap_or(password) {
        "" => Err(unusable("is empty")),
        password => Ok(password.to_owned()),
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut form = f.debug_struct("Credentials");
        form.field("user", &self.user);
        match &self.password {
            None => form.finish(),
            Some(Password::Text(_)) => form.field("password", &format_args!("…")).finish(),
            Some(Password::File(path)) => form.field("password_file", path).finish(),
        }
    }
}
