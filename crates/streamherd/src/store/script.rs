//! The scripts: their text, their digests, and calls that survive a server that forgot them.

use std::sync::LazyLock;

use fred::types::Value;

use super::error::StoreError;
use super::network::Line;
use crate::keys::Keys;

/// A script is sent as a comment with its name (so that a slow log and a proxy can tell which it is), the shared
/// parts, and its own text.
pub(super) struct Script {
    pub(super) name: &'static str,
    text: &'static str,
    /// Its text and its digest.
    pub(super) loaded: LazyLock<(String, String)>,
}

macro_rules! scripts {
    ($($constant:ident = $name:literal;)*) => {
        $(pub(super) static $constant: Script = Script {
            name: $name,
            text: include_str!(concat!("lua/", $name, ".lua")),
            loaded: LazyLock::new(|| compose(&$constant)),
        };)*
        pub(super) static ALL: &[&Script] = &[$(&$constant),*];
    };
}

scripts! {
    HELLO = "hello";
    JOIN = "join";
    READ = "read";
    ACQUIRE = "acquire";
    SEIZE = "seize";
    RENEW = "renew";
    RENEW_ONE = "renew_one";
    RESTORE = "restore";
    SETTLE = "settle";
    REQUEUE = "requeue";
    LIST = "list";
    LOOK = "look";
    SUBMIT = "submit";
    KEPT = "kept";
    RESUBMIT = "resubmit";
    PROMOTE = "promote";
    REGISTER = "register";
    CONSUMERS = "consumers";
    PAUSE = "pause";
    REAP = "reap";
    SWEEP = "sweep";
    SWEEP_LIVE = "sweep_live";
    DEREGISTER = "deregister";
    STATUS = "status";
    LEASES = "leases";
    DELAYED = "delayed";
    PROGRESS = "progress";
    FIND = "find";
    KICK = "kick";
    LETTERS = "letters";
    REDRIVE = "redrive";
    PURGE = "purge";
    CENSUS = "census";
    MIGRATE = "migrate";
}

/// Those that do without what the others share: one is given a single key, the other is to be short.
const ALONE: [&str; 2] = ["renew_one", "seize"];
/// Those that take entries from their owners, or see that these live.
const AMONG_GO: [&str; 4] = ["requeue", "list", "kick", "migrate"];

fn compose(script: &Script) -> (String, String) {
    if ALONE.contains(&script.name) {
        let body = format!("-- streamherd:{}\n{}", script.name, script.text);
        let digest = fred::util::sha1_hash(&body);
        return (body, digest);
    }
    let go = if AMONG_GO.contains(&script.name) {
        include_str!("lua/go.lua")
    } else {
        ""
    };
    let body = format!(
        "-- streamherd:{}\n{}{}{go}{}{}",
        script.name,
        include_str!("lua/keys.lua"),
        include_str!("lua/lib.lua"),
        include_str!("lua/live.lua"),
        script.text
    );
    let digest = fred::util::sha1_hash(&body);
    (body, digest)
}

/// KEYS and ARGV of a call.
pub(super) struct Call {
    keys: Vec<Value>,
    args: Vec<Value>,
}

impl Call {
    /// A call on a partition. Every script is given all of its keys, in the order in which `keys.lua` names them.
    pub(super) fn on(keys: &Keys) -> Self {
        Self {
            keys: keys.all().into_iter().map(Value::from).collect(),
            args: Vec::new(),
        }
    }

    /// A call on one key alone.
    pub(super) fn on_one(key: String) -> Self {
        Self {
            keys: vec![key.into()],
            args: Vec::new(),
        }
    }

    pub(super) fn key(mut self, key: impl Into<Value>) -> Self {
        self.keys.push(key.into());
        self
    }

    pub(super) fn arg(mut self, arg: impl Into<Value>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn number(self, n: u64) -> Self {
        self.arg(n.to_string())
    }

    /// How many names and values follow, and those.
    pub(super) fn fields(self, fields: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let counted = self.number(fields.len() as u64 * 2);
        fields.iter().fold(counted, |call, (name, value)| {
            call.arg(name.as_slice()).arg(value.as_slice())
        })
    }

    pub(super) fn after(&self, script: &str) -> Vec<Value> {
        let mut all = Vec::with_capacity(2 + self.keys.len() + self.args.len());
        all.push(script.into());
        all.push(Value::Integer(i64::try_from(self.keys.len()).unwrap_or(i64::MAX)));
        all.extend(self.keys.iter().cloned());
        all.extend(self.args.iter().cloned());
        all
    }
}

impl Line {
    /// Loads scripts, so that the calls that follow carry only digests. A user who may not load them still works:
    /// the first call of each then carries its text.
    pub(super) async fn load(&self, scripts: &[&Script], timeout: std::time::Duration) -> Result<(), StoreError> {
        for script in scripts {
            let args = vec!["LOAD".into(), script.loaded.0.as_str().into()];
            match self.command("script_load", "SCRIPT", args, timeout).await {
                Err(e) if e.is_denied() => return Ok(()),
                other => other.map(drop)?,
            }
        }
        Ok(())
    }

    /// Runs a script by its digest; a server that doesn't know it (SCRIPT FLUSH, restart, failover) gets the text once.
    pub(super) async fn run(
        &self,
        script: &'static Script,
        call: Call,
        timeout: std::time::Duration,
    ) -> Result<Value, StoreError> {
        let there = self.run_there(script, &call, timeout).await;
        if self.is_elsewhere(&there, timeout).await {
            return self.run_there(script, &call, timeout).await;
        }
        there
    }

    /// Runs a script on one key wherever that is while its slot migrates: what has left for another server is asked for
    /// there.
    pub(super) async fn run_following(
        &self,
        script: &'static Script,
        call: &Call,
        timeout: std::time::Duration,
    ) -> Result<Value, StoreError> {
        match self.run_there(script, call, timeout).await {
            Err(e) => match e.asks() {
                Some(node) => {
                    self.ask(&node, script.name, call.after(&script.loaded.0), timeout)
                        .await
                }
                None => Err(e),
            },
            done => done,
        }
    }

    async fn run_there(
        &self,
        script: &'static Script,
        call: &Call,
        timeout: std::time::Duration,
    ) -> Result<Value, StoreError> {
        let (body, digest) = &*script.loaded;
        match self.command(script.name, "EVALSHA", call.after(digest), timeout).await {
            Err(e) if e.says("NOSCRIPT") => self.command(script.name, "EVAL", call.after(body), timeout).await,
            other => other,
        }
    }
}
