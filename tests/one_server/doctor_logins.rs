//! What `doctor` finds that a login lacks, and that what it says gives it back.

use streamherd::{Need, Role, Verdict};
use streamherd_tests::{ANSWER, Address, Redis, builder, shell};

use super::doctor::{assert_healthy, check, examine_as, healthy};

/// The rules of a role: what it must have, and what is useful to it.
async fn rules(server: &Redis, role: Role) -> Vec<String> {
    let admin = builder(server).connect_admin().await.unwrap();
    let rules = admin.acl_rules(role);
    admin.close().await;
    rules
}

fn log_in(server: &Redis, rules: &[String]) -> Address {
    server.user("app", rules)
}

/// Expects a login to lack exactly this, and to have all when it was given what the check says.
async fn lacks_exactly(server: &Redis, role: Role, rules: &[String], check_name: &str, lacks: &str) {
    let at = log_in(server, rules);
    let diagnosis = examine_as(&at, role).await;
    for name in ["rights", "optional_rights"] {
        let check = check(&diagnosis, name);
        if name != check_name {
            assert_eq!(check.verdict, Verdict::Ok, "{role} without {lacks}: {check:#?}");
            continue;
        }
        let wanted = if name == "rights" {
            Verdict::Failure
        } else {
            Verdict::Warning
        };
        assert_eq!(check.verdict, wanted, "{role} without {lacks}: {check:#?}");
        assert_eq!(check.found, format!("user app lacks {lacks}"), "{role}");
        let mend = check.mend.as_deref().unwrap();
        assert!(mend.contains(" ACL SETUSER app "), "{mend}");
        shell(mend);
    }
    let diagnosis = examine_as(&at, role).await;
    for name in ["rights", "optional_rights", "scripts"] {
        let check = check(&diagnosis, name);
        assert_eq!(check.verdict, Verdict::Ok, "{role} given back {lacks}: {check:#?}");
    }
    assert_ne!(diagnosis.verdict, Verdict::Failure, "{diagnosis:#?}");
}

#[tokio::test]
async fn each_right_that_a_login_lacks_is_named_alone_and_given_back() {
    let server = healthy(&[]);
    for role in Role::ALL {
        let all = rules(&server, role).await;
        for right in role.rights() {
            let check = match right.need {
                Need::Required => "rights",
                Need::Useful => "optional_rights",
                _ => continue,
            };
            let others: Vec<String> = all.iter().filter(|rule| **rule != right.rule()).cloned().collect();
            assert_eq!(others.len() + 1, all.len(), "{}", right.command);
            lacks_exactly(&server, role, &others, check, right.command).await;
        }
        let keys = all.iter().find(|rule| rule.starts_with('~')).unwrap();
        let others: Vec<String> = all.iter().filter(|rule| *rule != keys).cloned().collect();
        lacks_exactly(&server, role, &others, "rights", &format!("the keys {keys}")).await;
    }
    let all = rules(&server, Role::Worker).await;
    let others: Vec<String> = all.iter().filter(|rule| !rule.starts_with('&')).cloned().collect();
    lacks_exactly(&server, Role::Worker, &others, "optional_rights", "PSUBSCRIBE").await;
}

#[tokio::test]
async fn the_smallest_login_in_a_diagnosis_works() {
    let server = healthy(&[]);
    for role in Role::ALL {
        let diagnosis = examine_as(&log_in(&server, &["+ping".to_owned()]), role).await;
        let wrong = check(&diagnosis, "rights");
        let (_, smallest) = wrong.meaning.split_once("The smallest user that can: ").unwrap();
        shell(&smallest.replace("PASSWORD", "secret"));
        let at = server.address().logged_in(&format!("{role}:secret"));
        let diagnosis = examine_as(&at, role).await;
        assert_eq!(diagnosis.verdict, Verdict::Warning, "{diagnosis:#?}");
        assert_eq!(check(&diagnosis, "rights").verdict, Verdict::Ok);
    }
}

#[tokio::test]
async fn a_login_that_may_do_nothing_is_told_all_that_was_not_checked() {
    let server = healthy(&[]);
    for rules in [vec![], vec!["+ping".to_owned()]] {
        for role in Role::ALL {
            let diagnosis = examine_as(&log_in(&server, &rules), role).await;
            assert_eq!(diagnosis.verdict, Verdict::Failure);
            for check in &diagnosis.checks {
                let mend = check.mend.as_deref().unwrap_or_default();
                let says = mend.contains(" ACL SETUSER app ") || mend.contains("doctor --role operator");
                assert!(check.verdict == Verdict::Ok || says, "{check:#?}");
            }
        }
    }
}

#[tokio::test]
async fn a_service_with_glob_characters_and_quotes_is_examined_and_mended() {
    let server = healthy(&[]);
    let at = |at: &Address| at.service("it's*[odd]?").command_timeout(ANSWER).connect_admin();
    let admin = at(&server.address()).await.unwrap();
    let all = admin.acl_rules(Role::Worker);
    assert_healthy(&admin.doctor().await.unwrap());
    let others: Vec<String> = all.iter().filter(|rule| !rule.starts_with('~')).cloned().collect();
    let app = at(&log_in(&server, &others)).await.unwrap();
    let diagnosis = app.doctor().await.unwrap();
    shell(check(&diagnosis, "rights").mend.as_deref().unwrap());
    assert_eq!(check(&app.doctor().await.unwrap(), "rights").verdict, Verdict::Ok);
    app.close().await;
    admin.close().await;
}
