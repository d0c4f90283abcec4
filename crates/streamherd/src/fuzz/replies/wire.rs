//! A server that answers what it is told to.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Answers the client library's own questions, and everything else with `answer`.
pub(super) fn serve(mut stream: TcpStream, answer: &Mutex<Vec<u8>>) {
    let Ok(input) = stream.try_clone() else { return };
    let mut input = BufReader::new(input);
    let _ = stream.set_nodelay(true);
    while let Some(command) = command(&mut input) {
        let first = command
            .first()
            .map(|word| word.to_ascii_uppercase())
            .unwrap_or_default();
        let reply = match first.as_slice() {
            b"PING" => b"+PONG\r\n".to_vec(),
            b"CLIENT" => b":1\r\n".to_vec(),
            b"QUIT" | b"SELECT" => b"+OK\r\n".to_vec(),
            _ => answer.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

fn command(input: &mut impl std::io::BufRead) -> Option<Vec<Vec<u8>>> {
    let length = |input: &mut dyn std::io::BufRead| {
        let mut line = String::new();
        input.read_line(&mut line).ok().filter(|read| *read > 0)?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    let mut words = Vec::new();
    for _ in 0..length(input)? {
        let mut word = vec![0; length(input)? + 2];
        input.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Some(words)
}

/// RESP2 of what the JSON says: texts are bulk strings, `{"hex": …}` those that are no text, `{"error": …}` an error.
/// As a script packs it.
fn pack(value: &Value, bytes: &mut Vec<u8>) {
    use rmp::encode::{write_array_len, write_bool, write_f64, write_nil, write_sint, write_str, write_uint};
    match value {
        Value::Null => write_nil(bytes).map(drop).expect("a Vec takes all"),
        Value::Bool(yes) => write_bool(bytes, *yes).expect("a Vec takes all"),
        Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                write_uint(bytes, number).map(drop).expect("a Vec takes all");
            } else if let Some(number) = number.as_i64() {
                write_sint(bytes, number).map(drop).expect("a Vec takes all");
            } else {
                write_f64(bytes, number.as_f64().unwrap_or(f64::NAN)).expect("a Vec takes all");
            }
        }
        Value::String(text) => write_str(bytes, text).expect("a Vec takes all"),
        Value::Array(items) => {
            let length = u32::try_from(items.len()).expect("it is short");
            write_array_len(bytes, length).map(drop).expect("a Vec takes all");
            items.iter().for_each(|item| pack(item, bytes));
        }
        // Nothing that a script packs: what is cut off in the middle of it.
        Value::Object(_) => bytes.push(0xdc),
    }
}

pub(super) fn wire(value: &Value) -> Vec<u8> {
    let bulk = |bytes: &[u8]| [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    match value {
        Value::Null => b"$-1\r\n".to_vec(),
        Value::Bool(yes) => format!(":{}\r\n", u8::from(*yes)).into_bytes(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => format!(":{number}\r\n").into_bytes(),
            None => bulk(number.to_string().as_bytes()),
        },
        Value::String(text) => bulk(text.as_bytes()),
        Value::Array(items) => {
            let mut all = format!("*{}\r\n", items.len()).into_bytes();
            items.iter().for_each(|item| all.extend(wire(item)));
            all
        }
        Value::Object(object) if object.contains_key("packed") => {
            let mut bytes = Vec::new();
            pack(&object["packed"], &mut bytes);
            bulk(&bytes)
        }
        Value::Object(object) => match (object.get("hex"), object.get("error")) {
            (Some(Value::String(hex)), _) => {
                let digits: Vec<u8> = hex
                    .bytes()
                    .filter_map(|byte| char::from(byte).to_digit(16))
                    .map(|d| d as u8)
                    .collect();
                bulk(
                    &digits
                        .chunks(2)
                        .map(|two| two.iter().fold(0, |byte, digit| byte << 4 | digit))
                        .collect::<Vec<_>>(),
                )
            }
            (_, Some(Value::String(text))) => format!("-{}\r\n", text.replace(['\r', '\n'], " ")).into_bytes(),
            _ => b"*-1\r\n".to_vec(),
        },
    }
}
