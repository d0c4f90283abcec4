//! The command line of `streamherd doctor`.

use clap::{Args, ValueEnum};

/// Check the servers, the login and the service's keys. Each line says what was found; where something is wrong, what that
/// means and the command that mends it follow. Of a cluster, every master that holds a partition is looked at, and what is the
/// same on several is told once. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP, override_usage = "streamherd doctor --service <NAME> [OPTIONS]")]
pub(crate) struct DoctorArgs {
    /// What the login in --url is used for, and so which rights it must have
    #[arg(long, value_enum, value_name = "ROLE", default_value_t = Login::Worker)]
    pub(crate) role: Login,
}

const DOCTOR_HELP: &str = "\
The commands are for a login that may do what they do: with a password, put it into REDISCLI_AUTH and add --user NAME to
redis-cli. A setting that CONFIG SET changes is lost at the server's restart unless redis.conf has it too; replicas need the
same settings and logins as their masters, whose place they may take.

Exit codes:
  0  all is well, or there are only warnings
  1  something breaks a guarantee, or nothing works
  2  usage or start-up error: a setting, the connection, the password";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Login {
    /// Takes streams and works on them
    Worker,
    /// Only submits
    Producer,
    /// Looks at the queue: status, doctor
    Operator,
}

impl From<Login> for streamherd::Role {
    fn from(login: Login) -> Self {
        match login {
            Login::Worker => Self::Worker,
            Login::Producer => Self::Producer,
            Login::Operator => Self::Operator,
        }
    }
}
