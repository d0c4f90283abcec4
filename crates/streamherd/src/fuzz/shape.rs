//! What the inputs are drawn from: pieces that mean something to the reader, among some that mean nothing.

use bolero::ValueGenerator;
use bolero::generator::bolero_generator::Driver;
use serde_json::{Value, json};

/// Text of up to so many pieces.
pub(super) struct Text {
    pub(super) pieces: &'static [&'static str],
    pub(super) most: usize,
}

impl ValueGenerator for Text {
    type Output = Vec<u8>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        for _ in 0..upto(driver, self.most)? {
            match upto(driver, 9)? {
                0 => text.push(driver.produce::<u8>()?),
                1 => text.extend(driver.produce::<char>()?.to_string().into_bytes()),
                2 => text.extend(number(driver)?.into_bytes()),
                _ => text.extend(pick(driver, self.pieces)?.as_bytes()),
            }
        }
        Some(text)
    }
}

/// From 0 up to and with `most`.
pub(super) fn upto<D: Driver>(driver: &mut D, most: usize) -> Option<usize> {
    driver.gen_variant(most + 1, 0)
}

pub(super) fn pick<'a, D: Driver, T: ?Sized>(driver: &mut D, of: &[&'a T]) -> Option<&'a T> {
    of.get(upto(driver, of.len().checked_sub(1)?)?).copied()
}

/// Where counters, ids and lengths end, and what lies between.
pub(super) fn number<D: Driver>(driver: &mut D) -> Option<String> {
    const EDGES: [&str; 16] = [
        "0",
        "1",
        "-1",
        "+1",
        "007",
        "65535",
        "65536",
        "999999999",
        "1000000000",
        "4294967295",
        "4294967296",
        "9007199254740993",
        "9223372036854775807",
        "18446744073709551615",
        "18446744073709551616",
        "1e400",
    ];
    Some(match upto(driver, 2)? {
        0 => driver.produce::<u16>()?.to_string(),
        1 => driver.produce::<u64>()?.to_string(),
        _ => pick(driver, &EDGES)?.to_owned(),
    })
}

/// One of the replies of a real server, in which some of the parts are something else.
pub(super) struct Spoilt {
    pub(super) of: Vec<Value>,
    pub(super) words: &'static [&'static str],
}

impl ValueGenerator for Spoilt {
    type Output = Value;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Value> {
        let mut reply = self.of.get(upto(driver, self.of.len().checked_sub(1)?)?)?.clone();
        for _ in 0..upto(driver, 3)? {
            self.spoil(driver, &mut reply)?;
        }
        Some(reply)
    }
}

impl Spoilt {
    fn spoil<D: Driver>(&self, driver: &mut D, part: &mut Value) -> Option<()> {
        match part {
            Value::Array(items) if !items.is_empty() && upto(driver, 7)? > 0 => {
                let at = upto(driver, items.len() - 1)?;
                match upto(driver, 7)? {
                    0 => drop(items.remove(at)),
                    1 => items.push(items[at].clone()),
                    2 => items.truncate(at),
                    _ => self.spoil(driver, &mut items[at])?,
                }
            }
            Value::Object(object) if upto(driver, 7)? > 0 => {
                for inner in object.values_mut() {
                    self.spoil(driver, inner)?;
                }
            }
            part => *part = self.anything(driver, 3)?,
        }
        Some(())
    }

    fn anything<D: Driver>(&self, driver: &mut D, depth: usize) -> Option<Value> {
        Some(match upto(driver, 7)? {
            0 => Value::Null,
            1 => json!(driver.produce::<i64>()?),
            2 => json!(driver.produce::<u64>()?.to_string()),
            3 => json!(number(driver)?),
            4 => json!({ "hex": format!("{:02x}", driver.produce::<u8>()?) }),
            5 if depth > 0 => {
                let mut items = Vec::new();
                for _ in 0..upto(driver, 3)? {
                    items.push(self.anything(driver, depth - 1)?);
                }
                Value::Array(items)
            }
            _ => json!(pick(driver, self.words)?),
        })
    }
}
