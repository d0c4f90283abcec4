//! The login: what it may do.

use super::words::shell;
use super::{ASK_PROVIDER, Check, Judge, failure, ok, warning};
use crate::config::ClusterMode;
use crate::store::{Answer, Need, Right, ServiceFacts};

impl Judge<'_> {
    pub(super) fn rights(&self, service: &ServiceFacts) -> Check {
        const NAME: &str = "rights";
        let lacking = lacking(service, Need::Required);
        let missing: Vec<&str> = missing(service, Need::Required);
        let mut keys = service.partitions.iter().flat_map(|partition| &partition.keys);
        let keys_denied =
            keys.any(|key| !key.allowed) || service.rights.iter().any(|(_, answer)| *answer == Answer::KeyDenied);
        let mut what: Vec<String> = lacking.iter().map(|right| right.command.to_owned()).collect();
        if keys_denied {
            what.insert(0, format!("the keys {}", self.place.key_rules.join(" ")));
        }
        let role = self.place.role;
        if what.is_empty() && missing.is_empty() {
            return ok(
                NAME,
                format!(
                    "user {} has all rights that its role of {role} can't do without",
                    self.place.user
                ),
                "every step of the protocol is allowed",
            );
        }
        let mut found = Vec::new();
        if !what.is_empty() {
            found.push(format!("user {} lacks {}", self.place.user, what.join(", ")));
        }
        if !missing.is_empty() {
            found.push(format!("the server has no {}", missing.join(", ")));
        }
        let mut smallest = vec!["ACL", "SETUSER", role.as_str(), "reset", "on", ">PASSWORD"];
        smallest.extend(self.place.smallest.iter().map(String::as_str));
        let check = failure(
            NAME,
            found.join("; "),
            format!(
                "it can't do the work of this role ({role}). The smallest user that can{}",
                match self.place.mode {
                    // The same on all of them, replicas included, which may be masters one day.
                    ClusterMode::Oss | ClusterMode::Sentinel => format!(", on every server: {}", shell(&smallest)),
                    ClusterMode::Standalone => format!(": {}", self.place.redis_cli(&smallest)),
                }
            ),
        );
        if what.is_empty() {
            return check.mend("remove rename-command from redis.conf, or use a provider that allows it");
        }
        let mut rules: Vec<String> = lacking.iter().map(Right::rule).collect();
        // Only where they are known to be refused: Redis takes no further pattern for a user who may use all keys. Who may
        // send no command with a key learns of its keys in a second round.
        if keys_denied {
            rules.splice(0..0, self.place.key_rules.iter().cloned());
        }
        check.mend(self.setuser(&rules))
    }

    pub(super) fn optional_rights(&self, service: &ServiceFacts) -> Check {
        const NAME: &str = "optional_rights";
        let lacking = lacking(service, Need::Useful);
        let missing = missing(service, Need::Useful);
        if lacking.is_empty() && missing.is_empty() {
            let found = format!("user {} has them all", self.place.user);
            return ok(NAME, found, "nothing is slower than it could be");
        }
        let mut found = Vec::new();
        if !lacking.is_empty() {
            let what: Vec<&str> = lacking.iter().map(|right| right.command).collect();
            found.push(format!("user {} lacks {}", self.place.user, what.join(", ")));
        }
        if !missing.is_empty() {
            found.push(format!("the server has no {}", missing.join(", ")));
        }
        let loss = service
            .rights
            .iter()
            .filter(|(right, answer)| right.need == Need::Useful && matches!(answer, Answer::Denied | Answer::Missing));
        let loss: Vec<String> = loss
            .map(|(right, _)| format!("without {}, {}", right.command, right.without))
            .collect();
        let check = warning(NAME, found.join("; "), loss.join("; "));
        if lacking.is_empty() {
            return check.mend(ASK_PROVIDER);
        }
        let mut rules = Vec::new();
        for right in lacking {
            rules.push(right.rule());
            if right.command == "PSUBSCRIBE" {
                rules.push(self.place.channel_rule.clone());
            }
        }
        check.mend(self.setuser(&rules))
    }

    pub(super) fn scripts(&self, service: &ServiceFacts) -> Check {
        const NAME: &str = "scripts";
        let refusal = match &service.script {
            Ok(()) => return ok(NAME, "EVAL runs", "every step of the protocol is one script"),
            Err(refusal) => refusal,
        };
        let check = failure(
            NAME,
            format!("refused: {}", refusal.text),
            "nothing works: every step of the protocol is one script",
        );
        match &refusal.rule {
            Some(rule) => check.mend(self.setuser(&[rule.clone(), "+evalsha".to_owned()])),
            None => check.mend("use a server that runs scripts"),
        }
    }
}

fn lacking(service: &ServiceFacts, need: Need) -> Vec<Right> {
    with_answer(service, need, &Answer::Denied).collect()
}

fn missing(service: &ServiceFacts, need: Need) -> Vec<&'static str> {
    with_answer(service, need, &Answer::Missing)
        .map(|right| right.command)
        .collect()
}

fn with_answer(service: &ServiceFacts, need: Need, wanted: &Answer) -> impl Iterator<Item = Right> {
    let rights = service.rights.iter();
    rights
        .filter(move |(right, answer)| right.need == need && answer == wanted)
        .map(|(right, _)| *right)
}
