//! A migration that is dropped at every place where that can happen.

use streamherd_testkit::{Command, eventually};
use streamherd_tests::{Redis, SOON, Truth, builder, drop_at_each_poll, drop_everywhere, drop_in_strides};

use super::Go;

fn any(_: &Command) -> bool {
    true
}

async fn no_connection_is_left(truth: &mut Truth) {
    eventually(SOON, "connections and tasks are gone", || {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let left = truth.clients().len() + tasks;
        async move { (left == 0).then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_walk_leaves_each_thing_in_one_queue_and_can_be_walked_again() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut go = Go::at(&server);
    let proxy = server.proxy().await;
    let migration = builder(&proxy).connect_migration().await.unwrap();
    let scripts = |command: &Command| command.is("EVALSHA");
    let mut submitted = 0;
    drop_everywhere("Migration::walk", &proxy, scripts, async |cut| {
        for _ in 0..3 {
            go.submit("user");
            go.0.call(&[
                "XADD",
                "orders-input-dlq",
                "*",
                "lbs-input",
                r#"{"DataStreamName":"dead"}"#,
            ]);
        }
        submitted += 3;
        cut.drop(migration.walk(false)).await;
        while !migration.walk(false).await.unwrap().is_complete() {}
        assert_eq!(
            go.cmd("XLEN orders-input").int() + go.cmd("XLEN orders-input-dlq").int(),
            0
        );
        assert_eq!(go.cmd("XLEN {orders:0}:input").int(), submitted);
        assert_eq!(go.cmd("XLEN {orders:0}:dlq").int(), submitted);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_connect_or_close_of_a_migration_leaves_no_connection() {
    let server = Redis::start(crate::TOPOLOGY);
    let mut truth = Truth::of(&server);
    let proxy = server.proxy().await;
    drop_in_strides("Builder::connect_migration", &proxy, any, 2, async |cut| {
        if let Some(connected) = cut.drop(builder(&proxy).connect_migration()).await {
            connected.unwrap().close().await;
        }
        no_connection_is_left(&mut truth).await;
    })
    .await;
    drop(proxy);
    drop_at_each_poll("Migration::close", &mut async |cut| {
        let migration = builder(&server).connect_migration().await.unwrap();
        cut.drop(migration.close()).await;
        no_connection_is_left(&mut truth).await;
    })
    .await;
}
