//! Every call of the store, and what must hold of what it makes of an answer.

use std::time::{Duration, SystemTime};

use super::Hostile;
use crate::entry::Fields;
use crate::id::{EntryId, Epoch, Lane, Reference, StreamId, Token};
use crate::progress::Progress;
use crate::store::{
    Asked, Durability, Gate, Greeting, Identity, Judged, Lost, Operation, Place, RequeueLimits, Restorable,
    Resubmission, SettleLimits, SettleStep, StoreError, Submission, Swept, Taken, TakenEntry, When,
};
use crate::trace::TraceContext;

const ID: EntryId = EntryId {
    lane: Lane::Front,
    id: StreamId { ms: 5, seq: 1 },
};

impl Hostile {
    pub(super) async fn asks(&self, call: &str) -> Result<(), StoreError> {
        let (store, admin) = (&self.store, &self.admin);
        let epoch = &Epoch("k3f9.1".to_owned());
        let second = Duration::from_secs(1);
        let input = ("lbs-input", r#"{"DataStreamName":"s","Info":1}"#);
        let fields: Fields = vec![(input.0.into(), input.1.into())];
        let two = [ID, ID];
        let letters = two.map(|id| id.id);
        let asked = Asked {
            reference: Reference::Queued(ID),
            name: Some("s"),
            digest: "d",
        };
        let now = || Submission {
            input: input.1.to_owned(),
            when: When::Now,
            coalesce: None,
            trace: None,
        };
        match call {
            "hello" => {
                let greeting = Greeting {
                    lock_ttl: second,
                    min_idle: None,
                    partitions: None,
                    known: None,
                    jumped: false,
                };
                store.hello(greeting).await.map(drop)
            }
            "join" => store.join(None).await.map(drop),
            "take" => {
                if let Judged::Ok(Taken::Entries(entries)) = store.take(epoch, second, 9).await? {
                    for TakenEntry { id, fields, .. } in entries {
                        let _ = fields.and_then(|fields| crate::entry::Entry::parse(id, fields));
                    }
                }
                Ok(())
            }
            "wait" => store.wait_for_one(&Lane::ALL, second, None).await.map(drop),
            "audit" => store.pending_of_mine(Lane::Front, None, 9).await.map(drop),
            "body" => {
                let body = store.body(ID).await?;
                assert!(body.is_none_or(|raw| raw.id == ID));
                Ok(())
            }
            "acquire" => one_each(store.acquire(epoch, second, &two).await?),
            "renew" => {
                let renewed = store.renew(epoch, second, &two.map(|id| (id, Token(9)))).await?;
                if let Judged::Ok(others) = renewed {
                    assert!(
                        others.iter().all(|(at, _)| *at < two.len()) && others.is_sorted_by(|(a, _), (b, _)| a < b)
                    );
                }
                Ok(())
            }
            "renew_one" => store.renew_one(second, ID, Token(9)).await.map(drop),
            "restore" => {
                let lease = || Restorable {
                    id: ID,
                    token: Token(9),
                    valid: true,
                    batch: 0,
                    fields: &fields,
                };
                one_each(store.restore(epoch, second, &[lease(), lease()], true).await?)
            }
            "settle" => {
                let step = SettleStep {
                    id: ID,
                    token: None,
                    coalesced: None,
                    operation: Operation::Done,
                    memory: None,
                };
                let limits = SettleLimits {
                    max_failures: 5,
                    dlq_max_len: 0,
                };
                let plain = SettleStep {
                    token: Some(Token(9)),
                    ..step.clone()
                };
                one_each(store.settle(epoch, 1, limits, &[step, plain]).await?)
            }
            "requeue" => {
                let limits = RequeueLimits {
                    min_idle: second,
                    max_abandonments: 5,
                    forgive_after: second,
                    dlq_max_len: 0,
                };
                one_each(store.requeue(epoch, limits, 0, &two).await?)
            }
            "list" => {
                let gate = Gate {
                    keep: second,
                    respect: true,
                };
                store
                    .list(epoch, Lane::Front, gate, None, second, second)
                    .await
                    .map(drop)
            }
            "look" => one_each(store.look(epoch, &two).await?),
            "submit" => {
                let stream = || Submission {
                    input: input.1.to_owned(),
                    when: When::At(SystemTime::now()),
                    coalesce: Some("s".to_owned()),
                    trace: TraceContext::new([1; 16], [2; 8], 1).ok(),
                };
                let submitted = store.submit(&[stream(), stream()]).await?;
                assert!((1..=2).contains(&submitted.len()));
                Ok(())
            }
            "add" => store.submit(&[now()]).await.map(drop),
            "promote" => store.promote(epoch, 9, 0, 0).await.map(drop),
            "delayed" => store.delayed(0, 9).await.map(drop),
            "progress" => {
                let said = [(ID, Progress::of(0.5).encode())];
                store.tell_progress(second, &[ID], &said).await
            }
            "register" => store.register("{}", second).await.map(drop),
            "registry" => {
                let registry = store.registry().await?;
                let _ = crate::registry::dead(&registry, second);
                Ok(())
            }
            "reap" => one_each(
                store
                    .reap(epoch, second, second, &["a".to_owned(), "b".to_owned()])
                    .await?,
            ),
            "sweep" => {
                let swept = store.sweep(epoch, Lane::Front, None, 0, None).await?;
                let _ = matches!(swept, Judged::Ok(Swept::TooEarly));
                Ok(())
            }
            "sweep_live" => store.sweep_live(epoch, 9).await.map(drop),
            "deregister" => store.deregister().await.map(drop),
            "leases" => store
                .leases(Lane::Front, crate::store::Wanted::default(), None, 9)
                .await
                .map(drop),
            "find" => store.find(Place::Delayed, None, 9).await.map(drop),
            "kick" => store.kick("s", Some(Reference::Queued(ID)), true).await.map(drop),
            "letters" => {
                for (id, fields) in store.letters(None, None).await?.letters {
                    let _ = crate::admin::DeadLetter::read(0, id, fields, 5);
                }
                Ok(())
            }
            "redrive" => {
                assert_eq!(store.redrive(true, &letters).await?.len(), 2);
                Ok(())
            }
            "purge" => {
                assert_eq!(store.purge(&letters).await?.len(), 2);
                Ok(())
            }
            "census" => store.census(second).await.map(drop),
            "look_for" => store.look_for(true, &[asked, asked]).await.map(drop),
            "resubmit" => {
                let lost = || Lost {
                    asked,
                    origin: Some(ID.id),
                    noted: false,
                    older: None,
                    when: When::Now,
                    input: input.1,
                    trace: None,
                };
                let resubmitted = store.resubmit(&Identity::default(), &[lost()]).await?;
                let _ = matches!(resubmitted, Resubmission::Changed);
                Ok(())
            }
            "wait_aof" => {
                // The submit before it takes the same answer for an id, or doesn't.
                let within = Duration::from_millis(1);
                let durability = Durability::Disk { replicas: 1, within };
                let _ = store.submit_durably(&[now()], durability).await;
                Ok(())
            }
            "server" => store.server_kind().await.map(drop),
            "flags" => store.keyspace_flags().await.map(drop),
            // Two partitions say the same, and are added up.
            "status" => {
                let status = admin.status().await?;
                assert_eq!(status.partitions.len(), 2);
                let _ = serde_json::to_string(&status).expect("it can be shown");
                Ok(())
            }
            "doctor" => admin.doctor().await.map(drop),
            _ => Ok(()),
        }
    }
}

/// As many outcomes as there were entries.
fn one_each<T>(judged: Judged<Vec<T>>) -> Result<(), StoreError> {
    if let Judged::Ok(outcomes) = judged {
        assert_eq!(outcomes.len(), 2);
    }
    Ok(())
}
