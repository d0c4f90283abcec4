//! # Reading a data stream, and going on where the last worker stopped
//!
//! **What.** Here a data stream is a Redis stream, a shopping cart's log, and working on it is reading it to its end. How far it was
//! read, and what the reading has come to, lie beside it in a hash, and each step writes both at once under the fencing token: the
//! next worker goes on from there, every item is counted once, and a worker that has lost its lease can't move anything back.
//!
//! **Run.** It takes a Redis on this machine (`REDIS_URL` for another), and three terminals; two have workers, the third one a shop that
//! writes 100 items into a cart, twenty a second:
//!
//! ```sh
//! cargo run -p streamherd-examples --example reading
//! cargo run -p streamherd-examples --example reading                     # in the second terminal
//! cargo run -p streamherd-examples --example reading -- shop cart-1 100  # in the third
//! ```
//!
//! ```text
//! process … reads cart-1 from 0
//! cart-1: at …, total …
//! ```
//!
//! **Try.** Kill the worker that reads, in the middle of the cart. Six seconds later the other one goes on from the last step:
//!
//! ```sh
//! kill -9 PID
//! ```
//!
//! ```text
//! process … reads cart-1 from …-…
//! cart-1: paid 5050
//! ```
//!
//! That is the right total of the prices 1 to 100. Do it with another cart (each is read once), and stop the worker instead of killing it. When it goes on, it
//! is told that its lease is lost, or its next step is refused, whichever comes first, and the total is right again:
//!
//! ```sh
//! cargo run -p streamherd-examples --example reading -- shop cart-2 100
//! kill -STOP PID
//! kill -CONT PID    # ten seconds later
//! redis-cli HGETALL cart-2:read
//! ```

use std::time::Duration;

use fred::prelude::{Builder, Client as Redis, ClientLike as _, Config, LuaInterface as _, StreamsInterface as _};
use fred::types::streams::XReadResponse;
use streamherd::{BoxError, Client, Job, Worker};

/// Takes the cart over under a token, or takes a step; answers how far the cart is read, and the total.
///
/// Tokens are compared as text of the same length: a number of Lua is exact only up to 2^53.
const STEP: &str = r#"
if (redis.call('HGET', KEYS[1], 'token') or '') > ARGV[1] then
    return redis.error_reply('STALE a later worker reads this')
end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
if ARGV[2] then
    redis.call('HSET', KEYS[1], 'at', ARGV[2], 'total', ARGV[3])
end
return {redis.call('HGET', KEYS[1], 'at') or '0', redis.call('HGET', KEYS[1], 'total') or '0'}
"#;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let builder = Client::builder("reading").url(&url).max_in_flight(8);
    if let [_, word, cart, items] = &std::env::args().collect::<Vec<_>>()[..]
        && word == "shop"
    {
        builder.connect_producer().await?.submit(cart, &()).await?;
        return shop(connect(&url).await?, cart, items.parse()?).await;
    }
    let (client, notifications) = builder.connect().await?;
    Worker::new(client, notifications)
        .shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(1))
        .run(move |job| read(job, url.clone()))
        .await?;
    Ok(())
}

async fn read(job: Job, url: String) -> Result<(), BoxError> {
    // A connection of its own: a blocking read keeps all others on its connection waiting.
    let redis = connect(&url).await?;
    let cart = job.stream();
    let hash = format!("{cart}:read");
    let token = format!("{:020}", job.token().get());

    // From here on no earlier worker can take a step.
    let (mut at, mut total): (String, u64) = redis.eval(STEP, vec![hash.clone()], vec![token.clone()]).await?;
    println!("process {} reads {cart} from {at}", std::process::id());
    loop {
        let items: XReadResponse<String, String, String, String> = tokio::select! {
            items = redis.xread_map(Some(10), Some(1_000), cart, at.clone()) => items?,
            // The lease is lost, or the worker shuts down: the next one goes on from the last step.
            () = job.stop().cancelled() => return Err("stopped between two steps".into()),
        };
        for (id, item) in items.into_values().flatten() {
            let Some(price) = item.get("price") else {
                // No step: who comes after a crash before this stream is done has to find the end, too.
                println!("{cart}: paid {total}");
                redis.quit().await?;
                return Ok(());
            };
            tokio::time::sleep(Duration::from_millis(50)).await;
            (at, total) = (id, total + price.parse::<u64>()?);
            let step = vec![token.clone(), at.clone(), total.to_string()];
            // The total and the place in one step, or neither: a crash before or behind it changes nothing.
            let _: (String, u64) = redis.eval(STEP, vec![hash.clone()], step).await?;
            println!("{cart}: at {at}, total {total}");
        }
    }
}

async fn shop(redis: Redis, cart: &str, items: u64) -> Result<(), BoxError> {
    for price in 1..=items {
        let _: String = redis.xadd(cart, false, None, "*", ("price", price)).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _: String = redis.xadd(cart, false, None, "*", ("end", "")).await?;
    println!("{cart}: {items} items, and the end");
    Ok(())
}

async fn connect(url: &str) -> Result<Redis, BoxError> {
    let redis = Builder::from_config(Config::from_url(url)?).build()?;
    redis.init().await?;
    Ok(redis)
}
